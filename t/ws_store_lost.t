# Redis gone, and back: agents stay connected, handshakes are refused at once,
# results are not lost, and presence comes back by itself, under a new
# incarnation.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;

my $g = VMOps::Gateway->start;
my $a = $g->online;
my $other = $g->make_agent->online;
$g->wait_online($other);
my $id = $g->submit;
my $order = $a->cmd;
my ($before) = @{ $g->live };

# the subscriptions alone: what was published meanwhile is not lost

$g->admin(qw(CLIENT KILL TYPE pubsub));
my $missed = $g->submit;
is $a->cmd->{id}, $missed, 'a command while the channel was lost';

# nor is the revocation of an agent, whose wake-up nobody heard

my $revoked = $g->make_agent->online;
$g->wait_online($revoked);
my $decision = $g->decision(revoke => $revoked);
$g->at_once([qw(CLIENT KILL TYPE pubsub)],
            ['FCALL', 'vmops_agent_revoke', 1, $g->key,
             $g->functions->arguments(agent_revoke => $decision)]);
is $revoked->ctl(2)->{code}, 4403, 'a revocation while the channel was lost';
is $revoked->closed, 4403, 'ends the session all the same';

# presence that somebody took away comes back with the agent's next word

$g->functions->ok_call(session_gone => { agent_id => $a->id,
                                         session => $a->session });
is $g->agent_record->{session}, undef, 'presence is gone';
$a->send({ t => 'log', id => $missed, line => 'still here' });
$g->wait_online($a);
pass 'and back';

# every connection

for my $line (split /\n/, $g->admin(qw(CLIENT LIST TYPE normal))) {
    $g->admin(qw(CLIENT KILL ID), $1)
        if $line =~ /^id=(\d+) .*\bname=vmops-agents-ws\b/;
}
$missed = $g->submit;
is $a->cmd->{id}, $missed, 'and while all connections were';

# the store stands still for longer than the beat may

kill 'STOP', $g->server->{pid};
my $start = now;
my $early = $g->make_stranger;
wait_for {
    my $r = $early->handshake;
    $early->drop;
    $r->{status} == 503 && ($r->{json}{code} eq 'store_unavailable')
        && $r->{headers}{'retry-after'};
} 8, 'a refusal';
pass 'no beat: handshakes get 503 store_unavailable, with Retry-After';
my $refusal = now;
is $early->handshake->{status}, 503, 'the next one too';
cmp_ok now - $refusal, '<', 1, 'and at once';

# a result that cannot be stored: the agent keeps it, and brings it again

$a->result($order);
is $a->receive('bye', 8)->{code}, 'store_unavailable',
    'a result meets no store: a pause';
is $a->closed(8), 1013, 'and closed 1013';
is $other->{closed}, undef, 'an idle agent stays connected';

wait_for { now - $start > 4.5 } 6, 'more than the beat\'s 3 s';
kill 'CONT', $g->server->{pid};
wait_for { my ($now) = @{ $g->live }; $now && $now ne $before } 10,
    'a new incarnation';
pass 'the store is back: a new incarnation';
wait_for { $g->agent_record($other)->{gateway}
           eq ($g->live->[0] // '') } 10, 'its registration';
is $g->agent_record($other)->{session}, $other->session,
    'the idle agent is registered anew, with its old session';

wait_for { eval { $a->online; 1 } } 10, 'the agent\'s return';
$a->result($order);
is $a->receive('result.ok')->{id}, $id, 'it brings its result';
is $g->wait_command($id, 'succeeded')->{status}, 'succeeded', 'and it is stored';
$g->wait_online($a);
$id = $g->submit;
is $a->cmd->{id}, $id, 'commands go on';

done_testing;
