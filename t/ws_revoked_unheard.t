# A revocation that no gateway hears of, as its subscriptions are gone and cannot
# be made again, ends the session all the same: with the next look at the agent,
# at the latest 10 s after a ping is due.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Functions qw(uuid);
use VMOps::Gateway;

use constant LATE_S => 10;

# by default a ping is due every 25 s, so that is 35 s
my $ping_s = rounds(ci => 5, full => 25);
my $g = VMOps::Gateway->start(directives => "agents_ws_ping ${ping_s}s;");
my ($teller, @agents) = map { $g->make_agent->online } 1 .. 4;
$g->wait_online($_) for $teller, @agents;
my $a = $g->online;

# a ping is answered while nobody reads here
sub pongs { $a->next_message(0.01) }

# nginx' user may not hear a tenant's channels any more: Redis drops its
# subscriptions, and refuses new ones

$g->admin(qw(ACL SETUSER vmops resetchannels));
is $g->admin(qw(PUBSUB SHARDNUMSUB), $g->key('wake'))->[1], 0,
    'nobody hears the channel';

# by somebody who may say it, though nobody hears
sub function {
    my ($name, $args) = @_;
    return ('FCALL', "vmops_$name", 1, $g->key,
            $g->functions->arguments($name => $args));
}

my $start = now;
$g->at_once(map { [function(agent_revoke => $g->decision(revoke => $_))] }
            $teller, @agents);
$teller->result({ id => uuid(), payload => '{}', secrets => [] });
is $teller->ctl(2)->{code}, 4403, 'one that says something: a signed end at once';
is $teller->closed, 4403, 'closed 4403';
for my $n (0 .. $#agents) {
    pongs();
    my $left = $start + $ping_s + LATE_S - now;
    is $agents[$n]->ctl($left)->{code}, 4403, "agent $n: a signed end";
    is $agents[$n]->closed, 4403, "agent $n: closed 4403";
}
my $took = now - $start;
cmp_ok $took, '<', $ping_s + LATE_S, sprintf 'all of them after %.1f s', $took;

# the other one is as it was

pongs();
is $g->agent_record->{session}, $a->session, 'another agent is still online';
is $g->admin(qw(PUBSUB SHARDNUMSUB), $g->key('wake'))->[1], 0,
    'still nobody hears the channel';

# and with the channel all goes at once again

$g->admin(qw(ACL SETUSER vmops), '&tenants/*');
wait_for { $g->admin(qw(PUBSUB SHARDNUMSUB), $g->key('wake'))->[1] } 10,
    'the subscription';
$g->decide(revoke => $a);
is $a->ctl(2)->{code}, 4403, 'heard: a signed end within 2 s';
is $a->closed, 4403, 'closed 4403';

done_testing;
