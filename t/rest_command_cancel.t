# Cancelling: a running command's agent is asked to stop, and it ends as the
# agent says; one that has ended stays as it is.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);

sub cancel {
    my ($id, %opt) = @_;
    return $t->rest(POST => "/vm-ops/commands/$id/cancel", \%opt);
}

my $id = $t->start(timeout_s => 600)->{command_id};
my $order = $t->agent->cmd;
$t->agent->ack($order);
wait_for { $t->rest(GET => "/vm-ops/commands/$id")->{json}{status}
           eq 'running' } 5, 'the command to run';
$t->agent->send({ t => 'log', id => $id, line => 'half way' });
wait_for { @{ $t->rest(GET => "/vm-ops/commands/$id")->{json}{log} } } 5,
    'its log';

is cancel($id, token => $t->new_token('viewer')->{token})->{status}, 403,
    'a viewer may not';
is cancel($id, json => { now => 1 })->{status}, 422, 'it has no body';
my $r = cancel($id);
is $r->{status}, 202, 'a running one: accepted';
is $r->{json}{status}, 'running', 'it runs still';
is_deeply $r->{json}, $t->rest(GET => "/vm-ops/commands/$id")->{json},
    'the command as it is, with its log';
my $ctl = $t->agent->ctl;
is_deeply [@$ctl{qw(do id)}], ['cancel', $id], 'its agent is asked to stop';
is cancel($id)->{status}, 202, 'asked again';

$t->agent->result($order, status => 'cancelled', result => undef, error => {
    code => 'cancelled', stage => undef, detail_code => undef });
$t->agent->receive('result.ok');
$r = $t->rest(GET => "/vm-ops/commands/$id");
is $r->{json}{status}, 'cancelled', 'it ends as the agent says';
is $r->{json}{error}{code}, 'cancelled', 'with its code';
ok $r->{json}{receipt}{verified}, 'and its receipt';

$r = cancel($id);
is $r->{status}, 409, 'one that has ended: 409';
is $r->{json}{code}, 'conflict', 'conflict';
is cancel('01890000-0000-7000-8000-000000000000')->{status}, 404,
    'an unknown one: 404';

# one that is queued ends at once: its agent went as it was submitted
my $redis = $s->redis_client;
$id = $t->start(timeout_s => 600)->{command_id};
$order = $t->agent->cmd;
my $key = "tenants/{acme}/agent_commands/$id";
my $born = $redis->call(HGET => 'tenants/{acme}/agents/' . $t->agent->id,
                        'born');
$redis->call(HSET => $key, status => 'queued', born => $born);
my $waiting = VMOps::Stream->new($s, "/vm-ops/commands/$id/events",
                                 token => $t->token);
$r = cancel($id);
is $r->{status}, 202, 'a queued one: accepted';
is $r->{json}{status}, 'cancelled', 'and has ended';
my @events = $waiting->until('done');
is $events[-1]{data}{status}, 'cancelled', 'its stream says so';

done_testing;
