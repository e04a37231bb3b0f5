# Two profiles on one identity, as the gateway sees them: an old epoch, or
# sessions that displace each other and answer still.  Both sides are closed,
# by a signed word; and an agent that only reconnects is never taken for two.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;

my $g = VMOps::Gateway->start(workers => 2);
my $a = $g->online;
my $takeovers = $g->agent_key . '/takeovers';

sub locked { return $g->agent_record->{locked} }

sub unlock {
    $g->functions->ok_call(agent_unlock => {
        actor => 'token:1', agent_id => $a->id, live => '' });
}

# entries of the tenant's audit
sub audited {
    my ($event) = @_;
    return grep { /"event":"\Q$event\E"/ }
        map { my %e = @{ $_->[1] }; $e{entry} // () }
        @{ $g->admin('XRANGE', $g->key('events'), '-', '+') };
}

sub ended {
    my ($who, $what) = @_;
    is $who->ctl->{code}, 4423, "$what: a signed end";
    is $who->closed, 4423, "$what: closed 4423";
}

# what it said before its newer epoch was in use, but came late, is no copy's:
# its worker was busy, or its line slow, and it has left that socket since

my $epoch = $a->epoch;
$a->drop;
$g->wait_offline;
my @late = map { $a->twin } 1 .. 4;
$_->connect for @late;
$a->online;
$g->wait_online;
cmp_ok $a->epoch, '>', $epoch, 'a newer epoch is in use';
for my $late (@late) {
    $late->send($late->auth_message);
    is $late->closed, 4409, 'an older one, asked for before that: 4409';
}
is locked(), 0, 'no lock';

# the same one, asked for after that

my $copy = $a->twin(epoch => $epoch);
$copy->connect;
$copy->send($copy->auth_message);
ended($copy, 'the copy');
ended($a, 'the agent');
is locked(), 1, 'locked';
like $g->error_log,
    qr/\[warn\].* code 4423: agent_locked, agent @{[ $a->id ]} of tenant "acme"/,
    'the log names it';
is scalar(audited('agent.locked')), 1, 'audited';
unlock();

# with the same epochs: each is as new as the other

my $old = $g->online;
for my $n (1 .. 2) {
    my $new = $old->twin;
    $new->online;
    is $old->closed, 4409, "take-over $n: the displaced one is closed 4409";
    $g->wait_online($new);
    $old = $new;
}
is locked(), 0, 'two of them are no lock';
my $third = $old->twin;
$third->online;
ended($old, 'take-over 3, the displaced one');
ended($third, 'take-over 3, the newest one');
is locked(), 1, 'locked';
is scalar(audited('agent.locked')), 2, 'audited';
$third->connect;
@$third{qw(session ctl)} = (undef, 0);
$third->send($third->auth_message);
ended($third, 'who comes again');
unlock();
$g->{agent} = $a = $third;
$g->online;

# displaced ones that do not answer, one after the other: nobody is there

my @silent = ($a);
for (1 .. 5) {
    push @silent, $silent[-1]->twin;
    $silent[-1]->online;
    $g->wait_online($silent[-1]);
}
$g->{agent} = $a = pop @silent;
my $start = now;
wait_for { !grep { !closing($_) } @silent } 10, 'their ends';
is $_->closed, 4409, 'a silent one is closed 4409' for @silent;
is $g->admin('EXISTS', $takeovers), 0, 'none of them counts';

# its bytes are read without an answer to any ping
sub closing {
    my ($silent) = @_;
    $silent->next_frame(0.05, 0);
    return $silent->{closed};
}

# a ping's answer that comes too late does not count, nor do others

my $next = $a->twin;
$next->online;
$g->wait_online($next);
$a->frame($_, type => 'pong') for '', 'x' x 16;
wait_for { closing($a) } 10, 'its end';
$a->frame($_, type => 'pong') for @{ $a->{pings} };
is $a->closed, 4409, 'a late answer';
is $g->admin('EXISTS', $takeovers), 0, 'does not count';
$g->{agent} = $a = $next;

# reconnects

for my $n (1 .. 20) {
    $a->drop($n % 2 ? 'rst' : 'fin');
    $a->online;
    $g->wait_online;
}
is $g->admin('EXISTS', $takeovers), 0, 'twenty reconnects: none counts';
is locked(), 0, 'no lock';
my $id = $g->submit;
is $a->serve->{id}, $id, 'and the agent is at work';

done_testing;
