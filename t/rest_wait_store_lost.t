# A store that goes while a request waits: when it is back the wait goes on, and
# is answered at the command's end; if it stays away, the command is accepted
# nevertheless.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);

sub begin {
    my ($seconds) = @_;
    return $t->begin(POST => '/vm-ops/proxmox/start',
                     json => { vm_uuid => $t->vm, timeout_s => 600 },
                     headers => { Prefer => "wait=$seconds" });
}

# each worker comes back by itself: a row of good answers is all of them
sub all_ready {
    my $well = 0;
    wait_for {
        $well = $s->rest(GET => '/readyz', { headers => {
            Connection => 'close' } })->{status} == 200 ? $well + 1 : 0;
        $well == 20;
    } 15, 'every worker';
}

# it comes back
my @waits = map { begin(60) } 1 .. 4;
my @orders = map { $t->agent->cmd } @waits;
kill 'KILL', $s->redis_pid;
wait_for { $s->rest(GET => '/readyz')->{status} == 503 } 5, 'no store';
ok $_->is_waiting, 'it waits on' for @waits;
my $r = begin(60)->answer(5);
is $r->{status}, 503, 'a new one is refused';
is $r->{json}{code}, 'store_unavailable', 'store_unavailable';
cmp_ok $r->{ms}, '<', 1000, 'at once';
is $r->{headers}{'retry-after'}, 1, 'and when to come again';

$s->up;
wait_for { $t->agent->drop; eval { $t->online } } 20, 'the agent';
for my $order (@orders) {
    $t->agent->ack($order);
    $t->agent->result($order);
    $t->agent->receive('result.ok', 20);
}
my @ended = map { $_->answer(20) } @waits;
is_deeply [map { "$_->{status} $_->{json}{status}" } @ended],
    [('200 succeeded') x 4], 'the store is back: each ends with its command';

# it stays away
all_ready();
@waits = map { begin(3) } 1 .. 4;
@orders = map { $t->agent->cmd } @waits;
kill 'KILL', $s->redis_pid;
for my $wait (@waits) {
    $r = $wait->answer(10);
    is $r->{status}, 202, 'it stays away: accepted, when the time is over';
    cmp_ok $r->{ms}, '>=', 2900, 'not before';
    cmp_ok $r->{ms}, '<', 6000, 'nor much later';
    like $r->{json}{status}, qr/^(?:queued|delivered)$/, 'as it was known last';
    is_deeply [sort keys %{ $r->{json} }], [sort keys %{ $ended[0]{json} }],
        'a whole AgentCommand';
    like $r->{headers}{location}, qr{/vm-ops/commands/$r->{json}{command_id}$},
        'and where it is';
}

# it hangs
$s->up;
wait_for { $t->agent->drop; eval { $t->online } } 20, 'the agent';
all_ready();
my $wait = begin(2);
my $order = $t->agent->cmd;
kill 'STOP', $s->redis_pid;
$r = $wait->answer(10);
kill 'CONT', $s->redis_pid;
is $r->{status}, 202, 'it hangs: accepted';
cmp_ok $r->{ms}, '<', 6000, 'soon after the time';

done_testing;
