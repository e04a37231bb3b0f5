# Slow readers: one that takes its time gets everything, one that reads nothing
# is left, and neither makes the worker hold more than a page.
# tags: asan

use strict;
use warnings;

use POSIX ();
use Socket qw(SOL_SOCKET SO_RCVBUF);

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

use constant { EVENTS => 200, SIZE => 60_000 };

my $s = VMOps->stack;
$s->log_details;
$s->add_server_conf("send_timeout 4s;\n");
wait_for { 1 == $s->workers } 10, 'one worker';
my $t = VMOps::Rest->new($s);
my ($worker) = $s->workers;

sub rss {
    my ($kb) = VMOps::slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m;
    return $kb * 1024;
}

sub connections {
    return scalar grep { (readlink($_) // '') =~ /^socket/ }
        glob "/proc/$worker/fd/*";
}

my $id = $t->start(timeout_s => 600)->{command_id};
my $path = "/vm-ops/commands/$id/events";
my @streams = map { VMOps::Stream->new($s, $path, token => $t->token,
                                       raw => 1) } 1 .. 2;
my ($steady, $stuck) = @streams;
setsockopt $stuck->{sock}, SOL_SOCKET, SO_RCVBUF, 4096;
like $steady->next->{data}, qr/"queued"/, 'the first event';

my $both = connections();

# many large lines at once, as the function would write them; not to the disk
$s->redis(qw(CONFIG SET appendonly no));
my $before = rss();
my $writer = fork // die "fork: $!";
if (!$writer) {
    my $redis = $s->redis_client;
    for my $n (1 .. EVENTS) {
        my $event = $redis->call(XADD => 'tenants/{acme}/events', '*',
            type => 'command', ms => time . '000', command_id => $id,
            kind => 'log', status => 'running', data => "$n " . 'x' x SIZE);
        $redis->call(SPUBLISH => 'tenants/{acme}/live',
                     "cmd $id running $event");
    }
    POSIX::_exit(0);
}

my ($next, $most) = (1, 0);
while ($next <= EVENTS) {
    my $event = $steady->next;
    last unless $event;
    next if $event->{event} ne 'log';
    my ($n, $xs) = $event->{data} =~ /"(\d+) (x+)"/;
    last if $n != $next || length $xs != SIZE;
    $next++;
    select undef, undef, undef, 0.01;
    $most = rss() if $next % 20 == 0 && rss() > $most;
}
waitpid $writer, 0;
is $next, EVENTS + 1, 'the slow one gets every event, in order';
cmp_ok $most - $before, '<', 16 << 20,
    'the worker holds a page of each, not ' . EVENTS * SIZE . ' bytes'
    unless VMOps::keeps_freed();

wait_for { connections() < $both } 10, 'the other one to be left';
like $s->error_log, qr/a client does not read its events/, 'and it is said why';
my $end = eval { my @all = $stuck->rest_of(5); $stuck->end } // 'cut';
is $end, 'cut', 'its answer is cut, not ended';
ok $steady->silent(0.2), 'the first one goes on';

done_testing;
