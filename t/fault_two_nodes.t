# Two nodes of two workers: requests at one, the agent at the other, and an
# agent that moves between them with commands under way; one worker sweeps at a
# time; and the agents of a dead worker, or node, are offline within 5 s.

use strict;
use warnings;

use VMOps;
use VMOps::Faults;
use VMOps::Relay;
use VMOps::Witness;

my $s = VMOps->stack(workers => 2, nodes => 2);
my $relay = VMOps::Relay->start(to => '127.0.0.1:' . $s->port(1));
my $w = VMOps::Witness->with_site($s, guests => 4, durations => {
    qmstart => 400, qmstop => 400 }, server => 'http://' . $relay->address);
my ($site, $agent) = ($w->site, $w->site->agent);
my $faults = VMOps::Faults->new($s);

sub agent_is_at {
    my ($node) = @_;
    wait_for { $faults->holder($relay->pid, $node) } 15,
        "the agent at node $node";
    $agent->wait_status('online');
}

# the request at one, the socket at the other

for my $case ([1, 2], [2, 1], [1, 1], [2, 2]) {
    my ($socket, $rest) = @$case;
    $relay->lead('127.0.0.1:' . $s->port($socket));
    agent_is_at($socket);
    $w->all_guests('stopped');
    $w->again;
    my $r = $w->order('start', 100, node => $rest, wait => 10);
    is $r->{json}{status}, 'succeeded',
        "the socket at node $socket, the request at $rest";
    $w->settle;
    $w->agree("socket at $socket, request at $rest");
}

# moving, with commands at every stage; the orders go on meanwhile

my $node = 1;
for my $round (1 .. rounds(ci => 4, full => 60)) {
    my $action = $round % 2 ? 'start' : 'stop';
    $w->all_guests($round % 2 ? 'stopped' : 'running');
    $w->again;
    $w->taken($action, 100, node => $node);
    wait_for { grep { $_->{event} eq 'request' } @{ $w->effects } } 10,
        'a task';
    $w->order($action, 101, node => 3 - $node);
    $node = 3 - $node;
    $relay->lead('127.0.0.1:' . $s->port($node));
    $w->taken($action, 102, node => $node);
    agent_is_at($node);
    my $r = $w->order($action, 103, node => 3 - $node, wait => 10);
    is $r->{json}{status}, 'succeeded', "at node $node it has orders";
    $w->settle;
    $w->agree("round $round: moved to node $node");
}
isnt $agent->record->{status}, 'locked', 'a moving agent is no clone';

# the sweep: all workers ask, one at a time does it

sub calls {
    my ($seconds) = @_;
    my $redis = $s->redis_client;
    $redis->call('MONITOR');
    my $until = now + $seconds;
    my %calls;
    while ((my $left = $until - now) > 0) {
        my $line = $redis->next_message($left) // last;
        $calls{$1}++ if $line =~ /"FCALL" "vmops_(sweep|active_lease)"/;
    }
    return \%calls;
}
my $calls = calls(8);
cmp_ok $calls->{active_lease}, '>=', 12, '4 workers ask in turn, every 2 s: '
    . "$calls->{active_lease} times in 8 s";
cmp_ok $calls->{sweep}, '>=', 3, 'the tenant is swept every 2 s';
cmp_ok $calls->{sweep}, '<=', 5, "by one of them: $calls->{sweep} times";

# dead workers: an agent that cannot come back is offline within 5 s, and what
# it was to do is ended in time by the workers that are left

for my $case (['a worker', sub {
                   $faults->kill_worker($faults->holder($relay->pid, 1)) }],
              ['a node', sub { $faults->kill_nginx(1) }]) {
    my ($what, $kill) = @$case;
    $relay->lead('127.0.0.1:' . $s->port(1));
    agent_is_at(1);
    $w->all_guests('stopped');
    $w->again;
    my $id = $w->taken('start', 100, node => 2, timeout_s => 3);
    wait_for { @{ $w->effects } } 10, 'its task';
    $faults->pause($agent->pid);
    $kill->();
    my ($killed, $asked) = (now, 0);
    wait_for {
        $asked = now;
        $site->rest(GET => '/agents/' . $agent->id, { node => 2 })
            ->{json}{status} eq 'offline';
    } 10, 'the agent offline';
    cmp_ok $asked - $killed, '<=', 5,
        sprintf "$what killed: offline after %.1f s", $asked - $killed;
    is $w->order('start', 101, node => 2)->{json}{code}, 'agent_offline',
        'and an order is refused';
    wait_for { VMOps::Witness::final($w->records->{$id}) } 8, 'its end';
    is $w->records->{$id}{status}, 'indeterminate', 'its command is ended';
    $faults->mend;
    $faults->go_on($agent->pid);
    agent_is_at(1);
    $w->settle;
    $w->agree("$what killed");
}

$w->all_guests('stopped');
$w->again;
$w->taken('start', 100);
$w->settle;
$w->control;

done_testing;
