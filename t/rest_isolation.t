# Tenants apart: what another tenant's id answers is, byte for byte but the
# request's id, what an unknown one answers; and nothing of it changes.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::WSAgent;

my $s = VMOps->stack;
my ($acme, $globex) = map { $s->tenant($_) } qw(acme globex);

sub as {
    my ($tenant, $method, $path, $opt) = @_;
    return $s->rest($method, $path, { token => $tenant->{token},
                                      %{ $opt // {} } });
}

# one of everything that acme can have without a hypervisor
my $pairing = as($acme, POST => '/agents/pairings',
                 { json => { auto_approve => JSON::PP::true } })->{json};
my $peer = VMOps::WSAgent->new;
$peer->pair(sub { $s->rest(@_) }, $pairing->{code});
my $vm = as($acme, POST => '/vms', { json => {
    name => 'web', agent_id => $peer->id, guest => 'qemu', node => 'pve1',
    vmid => 100 } })->{json}{vm_uuid};
my $token = as($acme, POST => '/tokens', { json => {
    name => 'ci', role => 'viewer' } });
canary('a second token', $token->{json}{token});
my $secret = $peer->signed(sub { $s->rest(@_) }, $s->url, '/api/v1/secrets', {
    secret_id => '01890000-0000-7000-8000-00000000abcd',
    kind => 'proxmox_token', label => 'pve', via => undef,
    alg => 'xc20p-blake2b-v1', key_id => $peer->key_id, version => 1,
    created_ms => time * 1000, nonce => 'A' x 32, ciphertext => 'A' x 363,
    aad_meta => '{}' });
is $secret->{status}, 201, 'acme has a secret';
my $ref = $secret->{json}{secret_ref};

my $unknown = '01890000-0000-7000-8000-000000000000';
(my $unknown_ref = "sec_$unknown") =~ tr/-//d;

# method, path with the id in it, its id, an unknown one, body
my @calls = (
    [GET => '/agents/%s', $peer->id],
    [PATCH => '/agents/%s', $peer->id, undef, { name => 'mine' }],
    [POST => '/agents/%s/approve', $peer->id, undef, { fingerprint => '1' }],
    [POST => '/agents/%s/revoke', $peer->id],
    [POST => '/agents/%s/unlock', $peer->id],
    [GET => '/agents/pairings/%s', $pairing->{pairing_id}],
    [DELETE => '/agents/pairings/%s', $pairing->{pairing_id}],
    [POST => '/agents/pairings', $peer->id, undef, { agent_id => '%s' }],
    [GET => '/vms/%s', $vm],
    [PATCH => '/vms/%s', $vm, undef, { name => 'mine' }],
    [DELETE => '/vms/%s', $vm],
    [GET => '/secrets/%s/meta', $ref, $unknown_ref],
    [POST => '/secrets/%s/rotate', $ref, $unknown_ref],
    [DELETE => '/secrets/%s?force=true', $ref, $unknown_ref],
    [GET => '/secrets/bindings/vm/%s/proxmox', $vm],
    [DELETE => '/secrets/bindings/vm/%s/proxmox', $vm],
    [PUT => '/secrets/bindings/vm/%s/proxmox', $vm, undef,
     { secret_ref => $ref }],
    [PUT => '/secrets/bindings/bot/b1/proxmox', $ref, $unknown_ref,
     { secret_ref => '%s' }],
    [DELETE => '/tokens/%s', $token->{json}{token_id}],
    [POST => '/vm-ops/proxmox/start', $vm, undef, { vm_uuid => '%s' }],
    [POST => '/vm-ops/proxmox/list', $ref, $unknown_ref,
     { secret_ref => '%s' }],
    [GET => '/vm-ops/commands/%s', $vm],
    [GET => '/vm-ops/commands/%s/events', $vm],
    [POST => '/vm-ops/commands/%s/cancel', $vm],
);

# status, headers and body without what differs by nature
sub shape {
    my ($call, $id) = @_;
    my ($method, $path, undef, undef, $body) = @$call;
    my %body = map { my $v = $body->{$_}; $v =~ s/%s/$id/; $_ => $v }
        keys %{ $body // {} };
    my $r = as($globex, $method, sprintf($path =~ /%s/ ? $path : "$path%s",
                                         $path =~ /%s/ ? $id : ''),
               $body ? { json => \%body } : {});
    my %headers = %{ $r->{headers} };
    my $request = delete $headers{'x-request-id'};
    delete $headers{date};
    my $text = $r->{body};
    $text =~ s/\Q$request\E/ID/;
    return [$r->{status}, \%headers, $text];
}

sub dump_of {
    my ($tenant) = @_;
    my %dump;
    for my $key (@{ $s->redis('KEYS', "tenants/{$tenant}*") }) {
        next if $key =~ m{/(?:rate|events)\b};
        $dump{$key} = $s->redis('DUMP', $key);
    }
    return \%dump;
}

my $before = dump_of('acme');
for my $call (@calls) {
    my $foreign = shape($call, $call->[2]);
    is_deeply $foreign, shape($call, $call->[3] // $unknown),
        "$call->[0] $call->[1]: a foreign id is an unknown one";
    is $foreign->[0], 404, 'which is not found'
        unless $call->[1] eq '/vm-ops/proxmox/start'
            || $call->[1] eq '/vm-ops/proxmox/list';
}
is_deeply dump_of('acme'), $before, 'and nothing of acme has changed';

for my $list (qw(/agents /vms /secrets /tokens /vm-ops/commands)) {
    my $items = as($globex, GET => $list)->{json}{items};
    is scalar(@$items), $list eq '/tokens' ? 1 : 0, "$list: its own only";
}

# the control: the same ids answer their owner
is as($acme, GET => "/vms/$vm")->{status}, 200, 'acme reads its VM';
is as($acme, GET => "/secrets/$ref/meta")->{status}, 200, 'and its secret';

done_testing;
