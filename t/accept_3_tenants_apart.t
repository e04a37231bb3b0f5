# A tenant can neither call nor read what is another's: every foreign id
# answers as an unknown id does, to the byte except the request id, and nothing
# of the other tenant changes.

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $acme = VMOps::Site->new($s, tenant => 'acme');
my $globex = VMOps::Site->new($s, tenant => 'globex', pve => $acme->pve,
                              vmid => 101);
my $command = $acme->command('status')->{json}{command_id};
my $unknown = '0192f0c1-2345-7000-8000-00000000beef';
my $pairing = $acme->rest(POST => '/agents/pairings', { json => {} })
    ->{json}{pairing_id};

(my $unknown_ref = "sec_$unknown") =~ s/-//g;
my %id = (
    agent   => [$acme->agent->id, $unknown],
    vm      => [$acme->vm_uuid, $unknown],
    command => [$command, $unknown],
    secret  => [$acme->secret_ref, $unknown_ref],
    pairing => [$pairing, $unknown],
);

my @calls = (
    [agent   => GET    => '/agents/ID'],
    [agent   => PATCH  => '/agents/ID', { name => 'mine' }],
    [agent   => POST   => '/agents/ID/approve',
     { fingerprint => join ' ', ('00000') x 6 }],
    [agent   => POST   => '/agents/ID/revoke'],
    [agent   => POST   => '/agents/ID/unlock'],
    [agent   => POST   => '/agents/pairings', { agent_id => 'ID' }],
    [agent   => POST   => '/vms', { name => 'x', agent_id => 'ID',
                                    guest => 'qemu', node => 'pve1',
                                    vmid => 100 }],
    [pairing => GET    => '/agents/pairings/ID'],
    [pairing => DELETE => '/agents/pairings/ID'],
    [vm      => GET    => '/vms/ID'],
    [vm      => PATCH  => '/vms/ID', { name => 'mine' }],
    [vm      => DELETE => '/vms/ID'],
    [vm      => POST   => '/vm-ops/proxmox/start', { vm_uuid => 'ID' }],
    [vm      => POST   => '/vm-ops/proxmox/status', { vm_uuid => 'ID' }],
    [vm      => PUT    => '/secrets/bindings/vm/ID/proxmox',
     { secret_ref => $globex->secret_ref }],
    [vm      => GET    => '/secrets/bindings/vm/ID/proxmox'],
    [vm      => DELETE => '/secrets/bindings/vm/ID/proxmox'],
    [secret  => GET    => '/secrets/ID/meta'],
    [secret  => POST   => '/secrets/ID/rotate'],
    [secret  => DELETE => '/secrets/ID'],
    [secret  => POST   => '/vm-ops/proxmox/list', { secret_ref => 'ID' }],
    [secret  => PUT    => '/secrets/bindings/vm/' . $globex->vm_uuid
                          . '/proxmox', { secret_ref => 'ID' }],
    [command => GET    => '/vm-ops/commands/ID'],
    [command => POST   => '/vm-ops/commands/ID/cancel'],
    [command => GET    => '/vm-ops/commands/ID/events'],
);

my $dump = dump_of('acme');
for my $call (@calls) {
    my ($kind, $method, $path, $body) = @$call;
    my ($foreign, $none) = map { ask($method, $path, $body, $_) }
        @{ $id{$kind} };
    is $foreign->{status}, 404, "$method $path: 404";
    is same($foreign), same($none), "$method $path: as an unknown id";
}
is_deeply dump_of('acme'), $dump, 'nothing of the other tenant has changed';

# the same calls are no 404 for the one whose ids they are
for my $call (grep { $_->[1] eq 'GET' } @calls) {
    my ($kind, $method, $path) = @$call;
    next if $path =~ /events/;
    (my $own = $path) =~ s/ID/$id{$kind}[0]/;
    is $acme->rest(GET => $own)->{status}, 200, "its owner reads $path";
}

# lists
for my $list (qw(/agents /vms /secrets /vm-ops/commands)) {
    my $body = $globex->rest(GET => $list)->{body};
    unlike $body, qr/\Q$_\E/, "$list shows nothing foreign"
        for $acme->agent->id, $acme->vm_uuid, $acme->secret_ref, $command;
}

done_testing;

sub ask {
    my ($method, $path, $body, $id) = @_;
    my %opt;
    s/ID/$id/ for $path;
    if ($body) {
        $opt{json} = { map {
            my $value = $body->{$_};
            $value = $id if $value eq 'ID';
            ($_ => $value);
        } keys %$body };
    }
    return $globex->rest($method, $path, \%opt);
}

# an answer without what differs by nature: the request id, and the date
sub same {
    my ($r) = @_;
    my %headers = %{ $r->{headers} };
    my $request = delete $headers{'x-request-id'};
    delete @headers{grep { /^(?:date|ratelimit)/ } keys %headers};
    (my $body = $r->{body}) =~ s/\Q$request\E/-/g;
    return join "\n", $r->{status}, (map { "$_: $headers{$_}" }
                                     sort keys %headers), '', $body;
}

sub dump_of {
    my ($tenant) = @_;
    my %dump;
    for my $key (@{ $s->redis('KEYS', "tenants/{$tenant}*") }) {
        # the audit is sealed meanwhile, whatever anybody asks
        next if $key =~ m{/(?:rate/|audit_seals\b)};
        my $type = $s->redis('TYPE', $key);
        $dump{$key} = $type eq 'hash'   ? { @{ $s->redis('HGETALL', $key) } }
                    : $type eq 'zset'   ? $s->redis('ZRANGE', $key, 0, -1)
                    : $type eq 'string' ? $s->redis('GET', $key)
                    : $type eq 'set'    ? [sort @{ $s->redis('SMEMBERS', $key) }]
                    : $type eq 'stream' ? $s->redis('XLEN', $key)
                    :                     $s->redis('LRANGE', $key, 0, -1);
        # and its agent says how it is, in its own time
        delete @{ $dump{$key} }{qw(last_seen routes)} if $key =~ m{/agents/[^/]+$};
        delete @{ $dump{$key} }{qw(sealed sealed_at)} if $key =~ m{^[^/]+/[^/]+$};
    }
    return \%dump;
}
