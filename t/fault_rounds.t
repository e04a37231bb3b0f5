# Rounds of random faults under random orders: whatever was killed, stopped, cut
# or lost, the three witnesses agree.  SEED=N repeats a round and goes on from
# it; a failure says its own.

use strict;
use warnings;

use VMOps;
use VMOps::Faults;
use VMOps::Relay;
use VMOps::Witness;

use constant { GUESTS => 8, ORDERS_MS => 2500, QUIET_S => 3 };

my $s = VMOps->stack(workers => 2, nodes => 2);
my $relay = VMOps::Relay->start(to => '127.0.0.1:' . $s->port(1));
my $w = VMOps::Witness->with_site($s, guests => GUESTS, durations => {
    qmstart => 200, qmstop => 200 }, server => 'http://' . $relay->address);
my ($site, $pve, $agent) = ($w->site, $w->site->pve, $w->site->agent);
my $faults = VMOps::Faults->new($s);
my $seed = VMOps::Dice->new->seed;
my ($dice, $mark, @plan, @orders);

diag "SEED=$seed";

# name => [what breaks, what mends it (after up to 3 s), how likely]
my %FAULTS = (
    'a worker killed' => [sub {
        $faults->kill_worker($dice->one_of($s->workers(1 + $dice->below(2))));
    }, undef, 2],
    'the agent\'s worker killed' => [sub {
        my ($worker) = grep { defined } map {
            $faults->holder($relay->pid, $_) } 1, 2;
        $faults->kill_worker($worker) if $worker;
    }, undef, 3],
    'a node killed' => [sub { $faults->kill_nginx(1 + $dice->below(2)) },
                        sub { $faults->mend }, 2],
    'both nodes killed' => [sub { $faults->kill_nginx(1, 2) },
                            sub { $faults->mend }, 1],
    'Redis killed' => [sub { $faults->kill_redis }, sub { $faults->mend }, 2],
    'Redis stopped' => [sub { $faults->stop_redis },
                        sub { $faults->go_on_redis }, 2],
    'Redis cut' => [sub {
        $faults->cut_redis($mark);
        $w->store_was_cut;
    }, sub { $faults->mend }, 3],
    'the channels cut' => [sub { $faults->drop_clients('pubsub') }, undef, 2],
    'all clients cut' => [sub { $faults->drop_clients }, undef, 2],
    'the agent killed' => [sub { $agent->crash },
                           sub { $agent->start(wait_status => 0) }, 2],
    'the agent stopped' => [sub { $faults->pause($agent->pid) },
                            sub { $faults->go_on($agent->pid) }, 1],
    'the line cut' => [sub { $relay->cut }, undef, 1],
    'the line silent' => [sub { $relay->hold }, sub { $relay->go_on }, 1],
    'the agent on the other node' => [sub {
        $relay->lead('127.0.0.1:' . $s->port(1 + $dice->below(2)));
    }, undef, 2],
    'an answer of the hypervisor lost' => [sub {
        $pve->control('POST', 'faults', { method => 'POST', drop => 'after' });
    }, sub { $pve->control('DELETE', 'faults') }, 1],
);

# What each needs for itself, for breaking and for mending.
my %USES = (
    redis => [grep { /Redis|channels|clients|node.* killed/ } keys %FAULTS],
    nginx => [grep { /node.* killed|worker/ } keys %FAULTS],
    agent => [grep { /agent (?:killed|stopped)/ } keys %FAULTS],
    line  => [grep { /line|other node/ } keys %FAULTS],
    pve   => [grep { /hypervisor/ } keys %FAULTS],
);

my @LIKELY = map { ($_) x $FAULTS{$_}[2] } sort keys %FAULTS;

my %happened;
for my $round (1 .. rounds(ci => 6, full => 200)) {
    $dice = VMOps::Dice->new($seed + $round - 1);
    make_plan();
    run_plan();
    my $cut = $w->{cut};

    # a client goes on with what it has no answer to; after a loss it may not
    # trust the answers it has, either

    my %again = map { $_->{key} => $_ } grep { $_->{unknown} || $cut } @orders;
    for my $order (map { $again{$_} } sort keys %again) {
        $w->taken($order->{action}, $order->{vmid}, key => $order->{key},
                  timeout_s => $order->{timeout_s});
    }
    $w->settle(for_s => $cut ? QUIET_S : 0);
    my $name = join ', ', map { $_->[1] } grep { $_->[3] } @plan;
    $w->agree("round $round ($name)") & nothing_left()
        or diag "SEED=$dice->{seed} repeats it:\n", map {
            sprintf "%5d ms %s\n", $_->[0], $_->[1] } @plan;
    $happened{$_->{status}}++ for values %{ $w->records };
}

diag 'ends: ', join ', ', map { "$happened{$_} $_" } sort keys %happened;
cmp_ok $happened{succeeded} // 0, '>', 0, 'some succeeded';
isnt $agent->record->{status}, 'locked', 'no false lock';

# the control needs a command that succeeded

$w->all_guests('stopped');
$w->again;
$w->taken('start', 100);
$w->settle;
$w->control;

done_testing;

# [ms, name, what to do, is a fault], in order of time
sub make_plan {
    @plan = @orders = ();
    $w->again;
    my @vmids = map { 100 + $_ } 0 .. GUESTS - 1;
    for my $n (1 .. 3 + $dice->below(4)) {
        my $vmid = splice @vmids, $dice->below(scalar @vmids), 1;
        my $action = $dice->one_of(qw(start stop));
        $pve->control('PUT', "guests/$vmid", {
            status => $action eq 'start' ? 'stopped' : 'running' });
        my $order = { action => $action, vmid => $vmid,
                      key => "$dice->{seed}-$n-$$",
                      node => 1 + $dice->below(2),
                      timeout_s => 5 + $dice->below(6) };
        $pve->control('POST', 'tasks/next', { type => "qm$action",
            vmid => $vmid, duration => 50 + $dice->below(2500) })
            if $dice->below(2);
        my $at = $dice->below(ORDERS_MS);
        push @orders, $order;
        push @plan, [$at, "$action $vmid by node $order->{node}",
                     sub { give($order) }];
        push @plan, [$at + $dice->below(2000), "cancel $action $vmid",
                     sub { cancel($order) }] if !$dice->below(6);
    }
    my %used;
    for my $n (0 .. $dice->below(2)) {
        my $name = $dice->one_of(@LIKELY);
        my @uses = grep { grep { $_ eq $name } @{ $USES{$_} } } sort keys %USES;
        next if grep { $used{$_}++ } @uses;
        my ($break, $mend) = @{ $FAULTS{$name} };
        my $at = 100 + $dice->below(ORDERS_MS);
        push @plan, [$at, $name, $break, 1];
        push @plan, [$at + 100 + $dice->below(2900), "$name: mended", $mend]
            if $mend;
        push @plan, [$at > 1000 ? $at - 1000 : 0, 'the last second begins',
                     sub { $mark = $faults->mark }] if $name eq 'Redis cut';
    }
    @plan = sort { $a->[0] <=> $b->[0] } @plan;
}

sub run_plan {
    my $start = now;
    for my $step (@plan) {
        my $wait = $step->[0] / 1000 - (now - $start);
        select undef, undef, undef, $wait if $wait > 0;
        $step->[2]->();
    }
}

sub give {
    my ($order) = @_;
    my $r = $w->order($order->{action}, $order->{vmid},
                      map { $_ => $order->{$_} } qw(key node timeout_s));
    $order->{unknown} = $r->{status} == 0 || $r->{status} >= 500;
    $order->{id} = $r->{json}{command_id} if $r->{json};
}

sub cancel {
    my ($order) = @_;
    $site->rest(POST => "/vm-ops/commands/$order->{id}/cancel",
                { timeout => 5 }) if $order->{id};
}

# of what is open in the store
sub nothing_left {
    my %left = (open => $s->redis('HGET', $w->key, 'open'),
                deadlines => $s->redis('ZCARD', $w->key('deadlines')),
                queued => $s->redis('ZCARD', $w->key('agents', $agent->id,
                                                     'queue')));
    return is_deeply \%left, { open => 0, deadlines => 0, queued => 0 },
        'nothing is left open';
}
