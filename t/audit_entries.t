# Every call that changes something is in the audit once for each thing that it
# changed: what was done, by whom, to which one; what is refused changes nothing
# and is not there; and nothing that opens a door is in an entry.  The routes are
# those of the route table: a new one that changes something needs a case here.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Rest;
use VMOps::Routes;
use VMOps::WSAgent;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $s = VMOps->stack;
my $t = VMOps::Rest->new($s, tenant => 'acme');
my ($agent, $secret, $vm) = ($t->agent, $t->secret, $t->vm);
my $rest = sub { $s->rest(@_) };

my %seen;           # route => its cases
my @secrets;        # what no entry may have
my $read = 0;       # the last entry that was looked at

sub secret { push @secrets, @_; return $_[0] }

sub new_entries {
    my $list = $s->redis(XRANGE => 'tenants/{acme}/events', '-', '+');
    my @new = grep { ($_->{n} // 0) > $read } map { +{ @{ $_->[1] } } } @$list;
    $read = $new[-1]{n} if @new;
    return map { JSON::PP->new->utf8->decode($_->{entry}) } @new;
}

# who, as the audit has it
my %me = (
    owner => 'token:' . $t->made(GET => '/tokens')->{items}[0]{token_id},
    platform => qr/^platform:/, agent => 'agent:' . $agent->id,
);

# One call of a route; [event, who, id] of the entries that it makes, no more.
# id: a text, or what gets the answer.
sub case {
    my ($route, $call, @want) = @_;
    new_entries();
    my $r = $call->();
    like $r->{status}, qr/^2/, $route or diag $r->{body};
    my @got = new_entries();
    my @expected = map { ref $_->[2] ? [@$_[0, 1], $_->[2]->($r->{json})] : $_ }
        map { [$_->[0], ref $me{$_->[1]} ? $_->[1] : $me{$_->[1]} // $_->[1],
               $_->[2]] } @want;
    is_deeply [map { [$_->{event}, $_->{actor} =~ /^platform:/
                      ? 'platform' : $_->{actor}, $_->{id} // ''] } @got],
        \@expected, "$route: " . join ', ', map { $_->[0] } @want;
    $seen{$route}++;
    return $r->{json};
}

# as the owner, the platform, an agent
sub own { my ($m, $p, $json) = @_; sub { $t->rest($m => $p, $json ? { json => $json } : {}) } }
sub plat {
    my ($m, $p, $json) = @_;
    return sub { $s->rest($m => "/admin$p", { token => $s->platform_token,
                                              $json ? (json => $json) : () }) };
}
sub signed {
    my ($path, $body, %headers) = @_;
    return sub {
        return $agent->signed(sub {
            my ($method, $to, $opt) = @_;
            $opt->{headers} = { %{ $opt->{headers} }, %headers };
            return $s->rest($method, $to, $opt);
        }, $s->url, "/api/v1$path", $body);
    };
}

# the platform's, in the tenant's audit

my @by = qw(platform);
case('PATCH /admin/tenants/{tenant} PLATFORM',
     plat(PATCH => '/tenants/acme', { name => 'Acme' }),
     ['tenant.changed', @by, 'acme']);
my $made = case('POST /admin/tenants/{tenant}/owner-tokens PLATFORM',
     plat(POST => '/tenants/acme/owner-tokens', { name => 'again' }),
     ['token.created', @by, sub { $_[0]{token_id} }]);
canary('a second owner', secret($made->{token}));
case('PUT /settings/infra OWNER',
     own(PUT => '/settings/infra', { region => 'eu' }),
     ['settings.changed', 'owner', '']);
case('PUT /admin/tenants/{tenant}/license PLATFORM',
     plat(PUT => '/tenants/acme/license', { plan => 'test', max_agents => 100,
        max_vms => 100, grace_s => 60,
        expires_at => VMOps::time_of(time + 3600) }),
     ['license.set', @by, '']);
case('PUT /admin/tenants/{tenant}/flags PLATFORM',
     plat(PUT => '/tenants/acme/flags', { SECRETS_E2E_ENABLED => $true }),
     ['tenant.changed', @by, 'acme']);

# a new one has its own audit
my $r = plat(POST => '/tenants', { tenant => 'new', name => 'New',
                                   cohort => 'beta' })->();
canary('owner of new', secret($r->{json}{owner_token}));
my $of_new = $s->redis(XRANGE => 'tenants/{new}/events', '-', '+');
is_deeply [map { JSON::PP->new->decode({ @{ $_->[1] } }->{entry})->{event} }
           @$of_new], [qw(tenant.created token.created)], 'a new tenant';
$seen{'POST /admin/tenants PLATFORM'}++;

# and what is nobody's in the platform's
for my $path ('', '/{cohort}') {
    my $before = $s->redis(XLEN => 'platform/{p}/audit');
    plat(PUT => '/flags' . $path =~ s/\{cohort\}/beta/r,
         { SECRETS_E2E_ENABLED => $true })->();
    is $s->redis(XLEN => 'platform/{p}/audit'), $before + 1, "flags$path";
    $seen{"PUT /admin/flags$path PLATFORM"}++;
}

# the end of a tenant, too: its own audit goes with it
my $platform = sub {
    return grep { /"event":"tenant\.deleted".*"id":"new"/ }
        map { my %e = @{ $_->[1] }; $e{entry} }
        @{ $s->redis(XRANGE => 'platform/{p}/audit', '-', '+') };
};
like plat(DELETE => '/tenants/new')->()->{status}, qr/^2/, 'a tenant deleted';
wait_for { $platform->() } 15, 'its entry';
is scalar($platform->()), 1, 'is said once';
$seen{'DELETE /admin/tenants/{tenant} PLATFORM'}++;

# tokens

$made = case('POST /tokens OWNER',
     own(POST => '/tokens', { name => 'ci', role => 'viewer' }),
     ['token.created', 'owner', sub { $_[0]{token_id} }]);
canary('token ci', secret($made->{token}));
case('DELETE /tokens/{uuid} OWNER', own(DELETE => "/tokens/$made->{token_id}"),
     ['token.deleted', 'owner', $made->{token_id}]);

# console sessions

my $cookie;
my $owner = $me{owner} =~ s/^token://r;
my $in = case('POST /session ANYONE', sub {
    my $r = $s->rest(POST => '/session', { json => { token => $t->token } });
    ($cookie) = $r->{headers}{'set-cookie'} =~ /^([^;]+)/;
    return $r;
}, ['session.opened', 'owner', $owner]);
canary('a cookie', secret($cookie =~ s/.*\.//r));
secret($in->{csrf});
case('DELETE /session VIEWER', sub {
    $s->rest(DELETE => '/session', { headers => { Cookie => $cookie,
        'Sec-Fetch-Site' => 'same-origin', 'X-CSRF-Token' => $in->{csrf} } });
}, ['session.closed', 'owner', $owner]);

# pairing, agents

sub pairing {
    my (%body) = @_;
    my $pairing = case('POST /agents/pairings OWNER',
        own(POST => '/agents/pairings', \%body),
        ['pairing.created', 'owner', sub { $_[0]{pairing_id} }]);
    secret($pairing->{code});
    return $pairing;
}
my $pairing = pairing();
case('DELETE /agents/pairings/{uuid} OWNER',
     own(DELETE => "/agents/pairings/$pairing->{pairing_id}"),
     ['pairing.deleted', 'owner', $pairing->{pairing_id}]);

$pairing = pairing();
my $second = VMOps::WSAgent->new;
new_entries();
$second->pair($rest, $pairing->{code});
my $by = 'agent:' . $second->id;
is_deeply [map { [@$_{qw(event actor id)}] } new_entries()],
    [['pairing.used', $by, $pairing->{pairing_id}],
     ['agent.registered', $by, $second->id]], 'a pairing used, and an agent';
$seen{'POST /agents/register ANYONE'}++;

my $path = '/agents/' . $second->id;
case('PATCH /agents/{uuid} OWNER', own(PATCH => $path, { name => 'second' }),
     ['agent.renamed', 'owner', $second->id]);
my $fingerprint = $t->made(GET => $path)->{fingerprint};
case('POST /agents/{uuid}/approve OWNER',
     own(POST => "$path/approve", { fingerprint => $fingerprint }),
     ['agent.approved', 'owner', $second->id]);
case('POST /agents/{uuid}/revoke OWNER', own(POST => "$path/revoke"),
     ['agent.revoked', 'owner', $second->id]);
$s->redis(HSET => 'tenants/{acme}/agents/' . $agent->id, locked => 1);
case('POST /agents/{uuid}/unlock OWNER',
     own(POST => '/agents/' . $agent->id . '/unlock'),
     ['agent.unlocked', 'owner', $agent->id]);
case('POST /agents/heartbeat AGENT', signed('/agents/heartbeat', {
     version => '1.0', capabilities => ['ssh'], routes => [],
     keystore => 'ok', key_id => $agent->key_id }));    # says of itself

# VMs

$made = case('POST /vms OWNER', own(POST => '/vms', {
     name => 'db', agent_id => $agent->id, guest => 'lxc', node => 'pve1',
     vmid => 101 }), ['vm.added', 'owner', sub { $_[0]{vm_uuid} }]);
case('PATCH /vms/{uuid} OWNER', own(PATCH => "/vms/$made->{vm_uuid}",
     { name => 'db2' }), ['vm.changed', 'owner', $made->{vm_uuid}]);
case('DELETE /vms/{uuid} OWNER', own(DELETE => "/vms/$made->{vm_uuid}"),
     ['vm.deleted', 'owner', $made->{vm_uuid}]);

# what a change takes away is said, too

$made = $t->made(POST => '/vms', { name => 'tmp', agent_id => $agent->id,
    guest => 'qemu', node => 'pve1', vmid => 102, bot_id => 'b' });
for my $taken (
    [plat(PUT => '/tenants/acme/flags', { SECRETS_E2E_ENABLED => undef }),
     'flag:SECRETS_E2E_ENABLED'],
    [plat(PATCH => '/tenants/acme', { legacy_read_until => undef }),
     'legacy_read_until'],
    [own(PATCH => "/vms/$made->{vm_uuid}", { agent_id => undef,
         bot_id => undef }), qw(agent_id bot_id)])
{
    my ($call, @names) = @$taken;
    new_entries();
    $call->();
    is_deeply [map { my $e = $_; map { $e->{$_} } @names } new_entries()],
        [map { 'null' } @names], "@names: null";
}
plat(PUT => '/flags', { SECRETS_E2E_ENABLED => undef })->();
like $s->redis(XREVRANGE => 'platform/{p}/audit', '+', '-', COUNT => 1)
    ->[0][1][-1], qr/"SECRETS_E2E_ENABLED":"null"/, 'of all, too';

# secrets

my %sealed = (alg => 'xc20p-blake2b-v1', key_id => $agent->key_id,
              created_ms => 1760000000000, nonce => secret('N' x 32),
              ciphertext => secret('C' x 362 . 'A'), aad_meta => '{"a":"meta"}');
my $new = '01890000-0000-7000-8001-000000000001';
my $ref = 'sec_' . $new =~ tr/-//dr;
case('POST /secrets AGENT', signed('/secrets', {
     %sealed, secret_id => $new, kind => 'ssh_key', label => 'key',
     via => undef, version => 1 }), ['secret.added', 'agent', $ref]);
case('POST /secrets/{secret}/rotate OPERATOR',
     own(POST => "/secrets/$ref/rotate"),
     ['secret.rotation_requested', 'owner', $ref]);
case('POST /secrets/{secret}/rotate AGENT', signed("/secrets/$ref/rotate",
     { %sealed, version => 2 }, 'If-Match' => '"1"'),
     ['secret.rotated', 'agent', $ref]);
case('DELETE /secrets/{secret} OWNER', own(DELETE => "/secrets/$ref"),
     ['secret.deleted', 'owner', $ref]);
my $binding = '/secrets/bindings/bot/b1/proxmox';
my $any = '/secrets/bindings/{scope}/{scope_id}/{family} OWNER';
case("PUT $any", own(PUT => $binding, { secret_ref => $secret }),
     ['binding.set', 'owner', 'bot:b1:proxmox']);
case("DELETE $any", own(DELETE => $binding),
     ['binding.deleted', 'owner', 'bot:b1:proxmox']);

# commands: as they come, and as they end

my $command = case('POST /vm-ops/{service}/{action} OPERATOR',
     own(POST => '/vm-ops/proxmox/start', { vm_uuid => $vm }),
     ['command.submitted', 'owner', sub { $_[0]{command_id} }]);
my $order = $agent->cmd;
new_entries();
$agent->ack($order);
$agent->result($order);
my @end;
wait_for { push @end, new_entries(); @end } 10, 'its end';
is_deeply [map { [@$_{qw(event actor id status)}] } @end],
    [['command.finished', $me{agent}, $command->{command_id}, 'succeeded']],
    'a command that ends';

$command = $t->start;
$order = $agent->cmd;
$agent->ack($order);
wait_for { $t->made(GET => "/vm-ops/commands/$command->{command_id}")->{status}
           eq 'running' } 10, 'it to run';
case('POST /vm-ops/commands/{uuid}/cancel OPERATOR',
     own(POST => "/vm-ops/commands/$command->{command_id}/cancel"),
     ['command.cancel_requested', 'owner', $command->{command_id}]);

# control: what is refused is not there

new_entries();
for my $refused (own(POST => '/tokens', { name => 'x', role => 'god' }),
                 own(DELETE => '/tokens/01890000-0000-7000-8fff-000000000000'),
                 own(POST => "$path/approve", { fingerprint => '1' }),
                 own(POST => '/vm-ops/proxmox/start', { vm_uuid => $new }),
                 plat(PUT => '/tenants/nobody/license', {}))
{
    my $answer = $refused->();
    like $answer->{status}, qr/^4/, "refused: $answer->{status}";
}
is_deeply [new_entries()], [], 'what is refused is no entry';

my @left = grep { !$seen{$_} }
    map { s/" NGX_VMOPS_ACTION_PATH/{service}\/{action}/r }
    map { "$_->{method} $_->{path} $_->{who}" }
    grep { $_->{method} ne 'GET' } VMOps::Routes::all();
is "@left", '', 'every route that changes something has a case here';

# nothing that opens a door

my $list = $s->redis(XRANGE => 'tenants/{acme}/events', '-', '+');
my $text = join "\n", map { my %e = @{ $_->[1] }; $e{entry} // () }
    @$list, @$of_new;
my @found = grep { $text =~ /\Q$_\E/ } @secrets, $t->token,
    map { s/-//gr } grep { /^.{4}-.{4}-.{4}$/ } @secrets;
is scalar(@found), 0, 'of ' . @secrets . ' tokens, codes and ciphertexts none';
like $text, qr/\Q$vm\E/, 'control: what is no secret is there';

done_testing;
