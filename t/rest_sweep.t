# What workers do by themselves: they end what is overdue though nobody asks,
# leave tenants alone that have nothing open, and apply revocations and
# deletions of tokens a second time.
# tags: asan

use strict;
use warnings;

use Time::HiRes qw(time);

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);
my $redis = $s->redis_client;

sub status {
    my ($id) = @_;
    return $redis->call(HGET => "tenants/{acme}/agent_commands/$id", 'status');
}

sub due    { return $redis->call(ZSCORE => 'platform/{p}/active', 'acme') }
sub active { return defined due() }

# overdue
my @ids = map { $t->start(timeout_s => 1)->{command_id} } 1 .. 3;
my $start = now;
ok active(), 'a tenant with open commands is looked after';
my $order = $t->agent->cmd;
$t->agent->ack($order);
wait_for { !grep { status($_) ne 'indeterminate' } @ids } 8,
    'the commands to end by themselves';
cmp_ok now - $start, '<=', 6, 'within 5 s of their deadline';
cmp_ok now - $start, '>=', 1, 'and not before it';

# nothing open: kept for a while, because workers remember that it is listed
ok active(), 'the tenant is kept at first';
my $past = int((time - 121) * 1000);
$redis->call(HSET => 'tenants/{acme}', 'active_at', $past);
$redis->call(HSET => 'platform/{p}/active/added', 'acme', $past);
my $days = sub { ($_[0] - time * 1000) / 86_400_000 };
wait_for { $days->(due()) > 1 } 6, 'the tenant to be let alone';
cmp_ok $days->(due()), '>', 29.9,
    'nothing open for two minutes: looked after when its commands are old';
cmp_ok $days->(due()), '<=', 30, 'and not later';
my $index = 'tenants/{acme}/agent_commands';
$redis->call(ZADD => $index, 1, $ids[0]);
$redis->call(ZADD => 'platform/{p}/active', 1, 'acme');
wait_for { !$redis->call(EXISTS => "$index/$ids[0]") } 6, 'the old one to go';
is $redis->call(ZCARD => $index), 2, 'the others stay';
$redis->call(DEL => $index);
$redis->call(ZADD => 'platform/{p}/active', 1, 'acme');
wait_for { !active() } 6, 'the tenant to be dropped';
pass 'one without commands is not looked after';

# a tenant that is gone
$redis->call(ZADD => 'platform/{p}/active', 0, 'nobody');
wait_for { !defined $redis->call(ZSCORE => 'platform/{p}/active', 'nobody') } 6,
    'the unknown tenant to be dropped';
pass 'neither is one that is no more';

# the store forgot the last second: what was deleted is there again
my $token = $t->new_token('viewer');
my ($key) = grep { $redis->call(HGET => $_, 'token_id') eq $token->{token_id} }
    grep { m{^tenants/\{acme\}/tokens/.} } @{ $redis->call(KEYS => '*') };
my @record = @{ $redis->call(HGETALL => $key) };
my ($hmac) = $key =~ m{([^/]+)$};
$start = now;
is $t->rest(DELETE => "/tokens/$token->{token_id}")->{status}, 204, 'deleted';
$redis->call(HSET => $key, @record);
$redis->call(ZADD => 'tenants/{acme}/tokens', 0, "$token->{token_id}:$hmac");
wait_for { !$redis->call(EXISTS => $key) } 6, 'the token to be deleted again';
my $took = now - $start;
cmp_ok $took, '>=', 2.5, 'deleted again, 3 s later';
cmp_ok $took, '<', 5, 'not much later';
wait_for { $t->rest(GET => '/vms', { token => $token->{token} })->{status}
           == 401 } 3, 'the token to be refused';

my $agent = 'tenants/{acme}/agents/' . $t->agent->id;
@record = @{ $redis->call(HGETALL => $agent) };
is $t->rest(POST => '/agents/' . $t->agent->id . '/revoke')->{json}{status},
    'revoked', 'revoked';
$redis->call(HSET => $agent, @record);
wait_for { $redis->call(HGET => $agent, 'revoked') eq '1' } 6,
    'the agent to be revoked again';
pass 'revoked again';

done_testing;
