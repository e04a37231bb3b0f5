# A receiver that does not drain its socket: a bounded queue, then a Close; and a
# command whose frame never left is not lost.
# tags: asan

use strict;
use warnings;

use JSON::PP;
use MIME::Base64 ();

use VMOps;
use VMOps::Gateway;
use VMOps::WSAgent;

# small buffers, so that the queue is reached soon
my $g = VMOps::Gateway->start(listen => ' sndbuf=4608');
my $a = $g->agent;
$a->{rcvbuf} = 4096;

sub resident {
    my ($pid) = $g->workers;
    my ($kb) = VMOps::slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;
    return $kb;
}

# orders that are not read: what has room is sent, the others wait, and when
# nothing moves for five seconds the session ends

$g->online;
my @intents = map { $g->intent(params => '{"x":"' . 'x' x 30_000 . '"}') }
    1 .. 40;
is_deeply [grep { $_->[0] ne 'OK' } $g->at_once(@intents)], [],
    '40 orders of 30 KB are queued';
my @ids = map { $_->{command_id} } @intents;
my $start = now;
wait_for { $g->error_log =~ /code 1013: too slow/ } 8, 'the Close';
cmp_ok now - $start, '>', 2, 'a full queue has its time, then: 1013';
$g->wait_offline;

# what never left is given back, and goes to the next session

my %status;
wait_for {
    %status = map { $g->command($_)->{status} => 1 } @ids;
    join(' ', sort keys %status) =~ /^(?:delivered )?queued$/;
} 5, 'what became of them';
my (%first, %second);
while (my $m = $a->next_message(0.5)) {
    next if $m->{t} ne 'cmd';
    my $order = decode_json(MIME::Base64::decode_base64url($m->{p}));
    $first{ $order->{id} } = 1;
    $a->{last_seq} = $order->{seq};
}
$a->drop;
my $next = $g->{agent} = $a->twin;
# of 4 KB a kernel that probes for room may stop for longer than five seconds
$next->{rcvbuf} = 65536;
$next->online;
# on a slow machine some have waited for too long by now, and are not sent any more
my %late;
wait_for {
    if (my $order = eval { $next->cmd(1) }) {
        $second{ $order->{id} }++;
        $next->result($order);
        $next->receive('result.ok');
    } else {
        for my $id (grep { !$first{$_} && !$second{$_} } @ids) {
            my $command = $g->command($id);
            $late{$id} = $command->{error_code}
                if $command->{status} eq 'failed';
        }
    }
    keys(%first) + keys(%second) + keys(%late) == @ids;
} 60, 'the rest of them';
is_deeply [grep { $first{$_} || $late{$_} || $second{$_} > 1 } keys %second], [],
    'none came twice';
is_deeply [grep { $_ ne 'agent_disconnected' } values %late], [],
    'who waited for too long has not run';
cmp_ok keys(%second) + keys(%late), '>', 10, 'most had never left';
is_deeply [grep { $g->command($_)->{status} ne 'succeeded' } keys %second], [],
    'and ran now';

# one that reads, slowly, has them all

@intents = map { $g->intent(params => '{"x":"' . 'x' x 30_000 . '"}') }
    1 .. 30;
$g->at_once(@intents);
for my $intent (@intents) {
    my $order = $next->cmd;
    is $order->{id}, $intent->{command_id}, 'a slow one has it in its order'
        if $intent == $intents[0] || $intent == $intents[-1];
    select undef, undef, undef, 0.02;
}
is $next->{closed}, undef, 'and is not closed';

# pings without end from one who never reads

my $flood = $g->make_agent;
$flood->{rcvbuf} = 4096;
$flood->online;
$g->wait_online($flood);
my $closes = () = $g->error_log =~ /code 1013: too slow/g;
my $before = resident();
my $ping = VMOps::WSAgent::frame_bytes('p' x 125, type => 'ping') x 200;
$flood->{sock}->blocking(0);
my $sent = 0;
wait_for {
    my $n = syswrite $flood->{sock}, $ping;
    $sent += $n if $n;
    $closes < (() = $g->error_log =~ /code 1013: too slow/g);
} 20, 'the end of the flood';
$g->wait_offline($flood, 5);
pass "a flood of $sent bytes of pings ends, too";
cmp_ok resident() - $before, '<', 2048, 'and has cost less than 2 MiB';

done_testing;
