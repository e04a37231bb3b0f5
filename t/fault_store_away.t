# Redis killed, stopped, and only its connections cut, while commands are under
# way: a request gets an answer at once, nothing happens twice, nothing is lost,
# and all is final in time once the store is back.

use strict;
use warnings;

use VMOps;
use VMOps::Faults;
use VMOps::Witness;

my $s = VMOps->stack(workers => 2);
my $w = VMOps::Witness->with_site($s, guests => 4, durations => {
    qmstart => 600, qmstop => 600 });
my ($site, $agent) = ($w->site, $w->site->agent);
my $faults = VMOps::Faults->new($s);

sub tasks { return grep { $_->{event} eq 'request' } @{ $w->effects } }

# killed, with a command at every stage

for my $round (1 .. rounds(ci => 2, full => 20)) {
    my $action = $round % 2 ? 'start' : 'stop';
    $w->all_guests($round % 2 ? 'stopped' : 'running');
    $w->again;
    is $w->order($action, 100)->{status}, 202, "round $round, killed: one";
    wait_for { tasks() } 10, 'its task';
    $w->order($action, 101, key => "kill-$round");
    $faults->kill_redis;
    my $r = $w->order($action, 102);
    is $r->{json}{code}, 'store_unavailable', 'without a store: 503';
    cmp_ok $r->{ms}, '<', 1000, 'at once';
    $faults->mend;
    ok $w->taken($action, 101, key => "kill-$round"), 'with it: taken';
    ok $w->taken($action, 102), 'the next one, too';
    $w->settle;
    is scalar(keys %{ $w->records }), 3, 'three commands';
    $w->agree("round $round: Redis killed");
}

# stopped: longer than the beat may fail, and longer than a command may take

my $stop_s = rounds(ci => 5, full => 20);
$w->all_guests('stopped');
$w->again;
my $short = $w->order('start', 100, timeout_s => 3);
is $short->{status}, 202, 'a command for 3 s';
is $w->order('start', 101, timeout_s => $stop_s + 10)->{status}, 202,
    'and a longer one';
wait_for { tasks() == 2 } 10, 'their tasks';
$faults->stop_redis;
my $stopped = now;
my $r = $w->order('start', 102);
is $r->{json}{code}, 'store_unavailable', 'a store that is silent: 503';
cmp_ok $r->{ms}, '<', 4000, "in $r->{ms} ms";
wait_for { now - $stopped > 4 } 10, 'the loss to be known';
$r = $w->order('start', 103);
is $r->{json}{code}, 'store_unavailable', 'later, too';
cmp_ok $r->{ms}, '<', 1000, 'and at once';
wait_for { now - $stopped > $stop_s } $stop_s + 1, 'the end of the stop';
$faults->go_on_redis;
my $back = now;
wait_for { VMOps::Witness::final($w->records->{ $short->{json}{command_id} }) }
    6, 'the end of what was overdue';
cmp_ok now - $back, '<', 5, 'final within 5 s of the return';
$agent->wait_status('online');
$w->order('start', 103);
$w->settle;
is $w->records->{ $short->{json}{command_id} }{status}, 'succeeded',
    'its result replaced what nobody knew';

# here alone a command may be open for longer: nothing can be written meanwhile

$w->agree("Redis stopped for $stop_s s", away_ms => 1000 * $stop_s);

# the connections only

for my $type ('pubsub', 'all') {
    for my $round (1 .. rounds(ci => 2, full => 20)) {
        my $action = $round % 2 ? 'stop' : 'start';
        $w->all_guests($round % 2 ? 'running' : 'stopped');
        $w->again;
        my $id = $w->order($action, 100)->{json}{command_id};
        wait_for { tasks() } 10, 'its task';
        cmp_ok $faults->drop_clients($type), '>', 0,
            "$type: connections are cut";
        my $r = $w->order($action, 101, key => "$type-$round");
        ok $r->{status} == 202 || $r->{json}{code} eq 'store_unavailable',
            'an order meanwhile has an answer';
        $w->taken($action, 101, key => "$type-$round");
        # each worker has connections of its own, and finds out by itself
        my $waited;
        wait_for {
            $waited = $w->order($action, 102, wait => 10,
                                key => "$type-$round-waited");
            ($waited->{json}{code} // '') ne 'store_unavailable';
        } 10, 'every worker to be back';
        is $waited->{status}, 200, 'the end of another is waited for';
        is $waited->{json}{status}, 'succeeded', 'and told';
        $w->settle;
        is join(' ', map { $_->{status} } values %{ $w->records }),
            'succeeded succeeded succeeded', 'all succeeded';
        $w->agree("round $round: connections cut ($type)");
    }
}

$w->control;

done_testing;
