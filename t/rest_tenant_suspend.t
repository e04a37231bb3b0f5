# A suspended tenant: every call of it is refused, its agents are sent away on
# every node, and all of it is there again when it is resumed.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2, nodes => 2);
my @admin = (token => $s->platform_token);
my $t = VMOps::Rest->new($s, node => 1);
my $other = VMOps::Rest->new($s, tenant => 'globex', node => 2);
my $second = VMOps::WSAgent->new(port => $s->port(2));
$second->pair(sub { $s->rest(@_) }, $t->made(POST => '/agents/pairings',
    { auto_approve => JSON::PP::true })->{code});
$second->online;

my %beat = (version => '1.0', capabilities => [], routes => [],
            keystore => 'ok', key_id => $t->agent->key_id);
sub beat {
    my ($node) = @_;
    return $t->agent->signed(sub { my ($m, $p, $o) = @_;
                                   $s->rest($m, $p, { %$o, node => $node }) },
                             $s->url($node), '/api/v1/agents/heartbeat', \%beat);
}

# the calls of each kind of principal, from every worker of both nodes
sub statuses {
    my ($status) = @_;
    holds_within(2, "it is $status", sub {
        $t->rest(GET => '/vms', { node => 1 + $_[0] % 2, headers => {
            Connection => 'close' } })->{status} == $status;
    });
}

is beat(1)->{status}, 200, 'an agent is heard';
my $waiting = $t->begin(POST => '/vm-ops/proxmox/start', headers => {
    Prefer => 'wait=30' }, json => { vm_uuid => $t->vm });
my $order = $t->agent->cmd;
ok $order, 'a command is under way';

my $r = $s->rest(PATCH => '/admin/tenants/acme', {
    @admin, json => { status => 'suspended' } });
is $r->{json}{status}, 'suspended', 'suspended';
statuses(403);
my %refused = (GET => '/tokens', POST => '/vms', DELETE => '/vms/' . $t->vm);
for my $method (sort keys %refused) {
    $r = $t->rest($method => $refused{$method},
                  $method eq 'POST' ? { json => {} } : {});
    is "$r->{status} $r->{json}{code}", '403 tenant_suspended',
        "$method $refused{$method}";
}
$r = $t->rest(POST => '/vm-ops/proxmox/start', { json => { vm_uuid => $t->vm } });
is $r->{json}{code}, 'tenant_suspended', 'no command';
$r = beat(2);
is "$r->{status} $r->{json}{code}", '403 tenant_suspended', 'no heartbeat';

# unsigned: it ends a session, not an agent
for my $agent ([1, $t->agent], [2, $second]) {
    my ($node, $a) = @$agent;
    is_deeply $a->receive('bye'), { t => 'bye', code => 'tenant_suspended',
                                    retry_after_ms => 300_000 },
        "the agent on node $node is told to pause";
    is $a->closed, 1013, 'and closed: try later';
}
$r = $waiting->answer;
is "$r->{status} $r->{json}{code}", '403 tenant_suspended',
    'who waited for a command is told why';
my $again = $t->agent->twin;
$again->connect;
$again->send($again->auth_message);
is $again->receive('bye')->{code}, 'tenant_suspended', 'it does not come in';
is $again->closed, 1013, 'for now';
is $other->rest(GET => '/vms')->{status}, 200, 'another tenant is not touched';
$other->start;
is $other->agent->serve->{action}, 'start', 'nor are its agents';

# resumed
$s->rest(PATCH => '/admin/tenants/acme', {
    @admin, json => { status => 'active' } });
statuses(200);
my $back = $t->agent->twin;
$back->online;
wait_for { $t->made(GET => '/agents/' . $back->id)->{status} eq 'online' } 5,
    'the agent to be known';
my $id = $t->start->{command_id};
is $back->serve->{id}, $id, 'its agent works again';
wait_for { $t->made(GET => "/vm-ops/commands/$id")->{status} eq 'succeeded' } 5,
    'the command';
pass 'commands too';
is scalar(grep { ($_->{name} // '') eq 'web' }
          @{ $t->made(GET => '/vms')->{items} }), 1, 'everything is there';

done_testing;
