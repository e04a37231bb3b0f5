# Redis comes back without its last second, as after a loss of power or a
# fail-over: results and orders that only the agent knows come back, nothing is
# called unsent that was sent, numbers and epochs go on, a retry does not run
# again, and what was revoked is revoked again.

use strict;
use warnings;

use VMOps;
use VMOps::Faults;
use VMOps::Relay;
use VMOps::Witness;

my $s = VMOps->stack;
my $relay = VMOps::Relay->start(to => '127.0.0.1:' . $s->port);
my $w = VMOps::Witness->with_site($s, guests => 2, durations => {
    qmstart => 300, qmstop => 300 }, server => 'http://' . $relay->address);
my ($site, $agent) = ($w->site, $w->site->agent);
my $faults = VMOps::Faults->new($s);
my $running = 0;

# how often the agent has been welcomed
sub sessions {
    my @lines = grep { /"session_ready"/ } split /^/, VMOps::slurp($agent->output);
    return scalar @lines;
}

# each time what was stopped is started, and the other way round
sub next_round {
    my ($status, $action) = $running ? qw(running stop) : qw(stopped start);
    $running = !$running;
    $w->all_guests($status);
    $w->again;
    return $action;
}

# entries of the tenant's audit with that event
sub audited {
    my ($event) = @_;
    my $all = $s->redis('XRANGE', $w->key('events'), '-', '+');
    my @found = grep { /"event":"\Q$event\E"/ }
        map { my %e = @{ $_->[1] }; $e{entry} // () } @$all;
    return scalar @found;
}

sub tasks { return grep { $_->{event} eq 'request' } @{ $w->effects } }

sub rest { return $site->rest(GET => "/vm-ops/commands/$_[0]")->{json} }

# A session that was busy then begins anew: the agent says what was lost.
sub cut {
    my ($mark, %opt) = @_;
    my $sessions = sessions();
    $faults->cut_redis($mark, %opt);
    $w->store_was_cut;
    $opt{meanwhile}->() if $opt{meanwhile};
    $faults->mend;
    wait_for { sessions() > $sessions } 10, 'a new session' if $opt{busy} // 1;
}

sub raw { return $w->records->{ $_[0] } // {} }

sub next_task_takes {
    my ($action, $ms) = @_;
    $site->pve->control('POST', 'tasks/next', { type => "qm$action",
                                                duration => $ms });
}

# the tenant's first order ever is lost, and that it has orders at all: still
# what nobody ends is ended in time

my $action = next_round();
my $mark = $faults->mark;
my $id = $w->taken($action, 100);
$w->settle;
cut($mark);
next_task_takes($action, 4000);
my $left = $w->taken($action, 101, timeout_s => 2);
wait_for { grep { $_->{vmid} == 101 } tasks() } 10, 'its task';
$faults->pause($agent->pid);
wait_for { VMOps::Witness::final(raw($left)) } 7, 'its end';
is raw($left)->{status}, 'indeterminate', 'what nobody ends is ended';
$faults->go_on($agent->pid);
$w->settle;
$w->agree('the first order lost');

# a result that was confirmed, with all of its command, and with its end alone

is rest($id)->{status}, 'succeeded', 'the lost one is back';
ok rest($id)->{recovered}, 'it says so';
ok rest($id)->{receipt}{verified}, 'with a receipt that holds';

$action = next_round();
$mark = $faults->mark;
$id = $w->taken($action, 100);
wait_for { raw($id)->{status} eq 'succeeded' } 10, 'its end';
$w->settle;
$relay->hold;
cut($mark, before => 'succeeded', busy => 0);
is raw($id)->{status}, 'running', 'its end alone is lost';
$relay->go_on;
wait_for { VMOps::Witness::final(raw($id)) } 10, 'its end';
$w->settle;
is raw($id)->{status}, 'succeeded', 'its end is told once more';
ok !rest($id)->{recovered}, 'its record was there';
$w->agree('an end lost');

# an order that runs while the store forgets it, and a second one behind it

$action = next_round();
$mark = $faults->mark;
next_task_takes($action, 2000);
my @ids = map { $w->taken($action, $_) } 100, 101;
wait_for { tasks() == 2 } 10, 'their tasks';
cut($mark);
$w->settle;
is_deeply [map { raw($_)->{status} . ' ' . (raw($_)->{recovered} // '') } @ids],
    [('succeeded 1') x 2], 'orders that were lost on their way come back';
$w->agree('orders lost');

# that it was sent is lost: it is not called unsent, however late it is

$action = next_round();
$mark = $faults->mark;
next_task_takes($action, 1000);
$id = $w->taken($action, 100, timeout_s => 3);
wait_for { tasks() } 10, 'its task';
$relay->hold;
cut($mark, before => 'delivered', busy => 0, meanwhile => sub {
    my $until = now + 3.5;
    wait_for { now > $until } 5, 'its deadline';
});
wait_for { VMOps::Witness::final(raw($id)) } 9, 'its end';
is raw($id)->{status}, 'indeterminate', 'queued, as it seems: nobody knows';
$relay->go_on;
$w->settle;
is raw($id)->{status}, 'succeeded', 'its result says what became of it';
$w->agree('a delivery lost', away_ms => 4000);

# the same one, sent again: the agent knows it

$action = next_round();
$mark = $faults->mark;
next_task_takes($action, 2500);
$id = $w->taken($action, 100);
wait_for { tasks() } 10, 'its task';
cut($mark, before => 'delivered');
$w->settle;
is raw($id)->{status}, 'succeeded', 'sent twice, it is done once';
$w->agree('a delivery repeated');

# numbers go on: the next order is no replay to the agent

$action = next_round();
$mark = $faults->mark;
$w->taken($action, 100);
$w->settle;
my ($seen) = sort { $b <=> $a } map { $_->{seq} } values %{ $w->journal };
cut($mark);
$id = $w->taken($action, 101);
$w->settle;
is raw($id)->{status}, 'succeeded', 'the order after is taken';
cmp_ok raw($id)->{seq}, '>', $seen, 'by a number that was never used';
$w->agree('numbers go on');

# a retry by its key, when the store knows neither key nor command: refused by
# the agent, which knows both; the first one is there again

$action = next_round();
$mark = $faults->mark;
$id = $w->taken($action, 100, key => 'once');
$w->settle;
cut($mark);
my $retry = $w->taken($action, 100, key => 'once');
$w->settle;
isnt $retry, $id, 'a retry is another command to the store';
is join(' ', @{ raw($retry) }{qw(status error_code)}),
    'rejected command_invalid', 'which does not run again';
is raw($id)->{status}, 'succeeded', 'the first one did, and says so';
is scalar(tasks()), 1, 'one task';
$w->agree('a retry');

# epochs: the agent's is ahead of the store's, which is no clone

$mark = $faults->mark;
for (1 .. 2) {
    $agent->stop;
    $agent->start;
}
$agent->stop;
cut($mark, busy => 0);
my $sessions = sessions();
$agent->start;
wait_for { sessions() > $sessions } 10, 'a session';
$agent->wait_status('online');
is $agent->record->{status}, 'online', 'a higher epoch is accepted';
is audited('agent.epoch_ahead'), 1, 'and audited';
for my $more (1 .. 3) {
    $agent->crash;
    $agent->start;
    wait_for { sessions() == $sessions + 1 + $more } 10, 'a session';
}
is $agent->record->{status}, 'online', 'still, after more of them';
is audited('agent.locked'), 0, 'no lock';
$action = next_round();
$w->taken($action, 100);
$w->settle;
$w->agree('after the epochs');
$w->control;

# a token and an agent: deleted and revoked in the lost moment, and once more
# where the store was away when it was to be done again

for my $away_s (0, 4) {
    my $made = $site->rest(POST => '/tokens', { json => {
        name => "t$away_s", role => 'viewer' } })->{json};
    canary("token $away_s", $made->{token});
    my $other = $s->agent(tenant => $site->tenant, name => "other-$away_s");
    $other->pair;
    $other->start;
    my $asks = sub { $site->rest(GET => '/vms', { token => $made->{token} })
                         ->{status} };
    is $asks->(), 200, 'a token that works';
    $mark = $faults->mark;
    is $site->rest(DELETE => "/tokens/$made->{token_id}")->{status}, 204,
        'it is deleted';
    is $site->rest(POST => '/agents/' . $other->id . '/revoke')->{status}, 200,
        'an agent is revoked';
    my $start = now;
    cut($mark, busy => 0, meanwhile => sub {
        wait_for { now - $start >= $away_s } $away_s + 1, 'a long absence';
    });
    is $s->redis('HGET', $w->key('agents', $other->id), 'revoked'), 0,
        'the store has forgotten it' unless $away_s;
    wait_for { $asks->() == 401 } 8, 'the end of the token';
    pass sprintf 'deleted again after %.1f s', now - $start;
    wait_for { $other->record->{status} eq 'revoked' } 8, 'the revocation';
    pass sprintf 'revoked again after %.1f s', now - $start;
    $other->stop;
}

done_testing;
