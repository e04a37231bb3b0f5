# The gates of a command, each closed alone and each together with the next: a
# refusal is the earlier one's, and nothing is left of what was refused.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);
my @platform = (token => $s->platform_token);
my $acme = 'tenants/{acme}';
my $agent = "$acme/agents/" . $t->agent->id;
my $binding = "$acme/secret_bindings/vm:" . $t->vm . ':proxmox';

my $operator = $t->new_token('operator');
my $viewer = $t->new_token('viewer');
my $gone = $t->new_token('operator');
is $t->rest(DELETE => "/tokens/$gone->{token_id}")->{status}, 204,
    'a token of nobody';

# another key of that name was used with another body
my $used = $t->rest(POST => '/vm-ops/proxmox/start', {
    token => $operator->{token}, headers => { 'Idempotency-Key' => 'used' },
    json => { vm_uuid => $t->vm, timeout_s => 599 } });
is $used->{status}, 202, 'a command under a key';
my $first = $t->agent->cmd;

# VMs that nothing is wrong with but one thing
my $unassigned = $t->made(POST => '/vms', {
    name => 'no agent', agent_id => undef, guest => 'qemu', node => 'pve1',
    vmid => 101 })->{vm_uuid};
my $unknown = '01890000-0000-7000-8000-000000000000';

# what is planted into the store, and what it takes back
sub hash_field {
    my ($key, $field, $value) = @_;
    my $old;
    return (sub { $old = $s->redis(HGET => $key, $field);
                  $s->redis(HSET => $key, $field, $value) },
            sub { defined $old ? $s->redis(HSET => $key, $field, $old)
                               : $s->redis(HDEL => $key, $field) });
}

sub counters {
    my (@names) = @_;
    return (sub { $s->redis(SET => "$acme/rate/$_", 100_000, PX => 60_000)
                      for @names },
            sub { $s->redis(DEL => "$acme/rate/$_") for @names });
}

sub platform {
    my ($path, $method, $shut, $open) = @_;
    my $put = sub {
        my $r = $s->rest($method, "/admin$path", { @platform, json => $_[0] });
        $r->{status} == 200 or die "$path: $r->{status} $r->{body}";
    };
    return (sub { $put->($shut) }, sub { $put->($open) });
}

sub lease {
    my ($expires_s, $grace_s) = @_;
    return { plan => 'test', max_agents => 100, max_vms => 1000,
             expires_at => VMOps::time_of(time + $expires_s),
             grace_s => $grace_s };
}

my @rates = map { 'requests:token:' . s{.*/}{}r }
    @{ $s->redis('KEYS', "$acme/tokens/*") };

# In the document's order.  Each: name, status and code, what of the request is
# changed, and what is closed elsewhere: [close, open].  beside => 1: it is the
# same member of the request as the next one's, and cannot stand beside it.
my @gates = (
    { name => 'no principal', code => '401 unauthenticated',
      request => { token => $gone->{token} } },
    { name => 'rate of requests', code => '429 rate_limited',
      state => [counters(@rates)] },
    { name => 'suspended', code => '403 tenant_suspended',
      state => [hash_field($acme, status => 'suspended')] },
    { name => 'role', code => '403 forbidden',
      request => { token => $viewer->{token} } },
    { name => 'another body under a key', code => '422 idempotency_mismatch',
      request => { headers => { 'Idempotency-Key' => 'used' } } },
    { name => 'flag', code => '501 feature_disabled',
      state => [platform('/tenants/acme/flags', PUT =>
          { AGENT_COMMAND_BUS_ENABLED => JSON::PP::false },
          { AGENT_COMMAND_BUS_ENABLED => undef })] },
    { name => 'license', code => '402 license_inactive',
      state => [platform('/tenants/acme/license', PUT =>
          lease(-7200, 60), lease(86400, 60))] },
    { name => 'unknown VM', code => '404 not_found',
      request => { vm => $unknown }, beside => 1 },
    { name => 'no agent of the VM', code => '409 vm_unassigned',
      request => { vm => $unassigned } },
    { name => 'parameters', code => '422 invalid_params',
      request => { params => { nonsense => 1 } } },
    { name => 'agent not approved', code => '409 agent_unapproved',
      state => [hash_field($agent, approved => 0)] },
    { name => 'no secret', code => '409 secret_missing',
      state => [hash_field($binding, secret_ref => 'sec_' . '0' x 32)] },
    { name => 'secret not readable', code => '409 secret_reentry_required',
      state => [hash_field($agent, keystore => 'unreadable')] },
    { name => 'offline', code => '409 agent_offline',
      state => [hash_field($agent, session => '')] },
    { name => 'rate of commands', code => '429 rate_limited',
      state => [counters('commands')] },
);

sub submit {
    my (%o) = @_;
    return $s->rest(POST => '/vm-ops/proxmox/start', {
        token => $o{token} // $operator->{token}, headers => $o{headers} // {},
        json => { vm_uuid => $o{vm} // $t->vm, timeout_s => 600,
                  ($o{params} ? (params => $o{params}) : ()) } });
}

# A principal and the flags are remembered for a second: until then an answer
# is that of before.
sub with {
    my ($gates, $want, $what) = @_;
    my %request = map { %{ $_->{request} // {} } } @$gates;
    my @state = map { $_->{state} // () } @$gates;
    $s->redis(DEL => map { "$acme/rate/$_" } @rates);
    $_->[0]->() for @state;
    my $r;
    wait_for { $r = submit(%request);
               "$r->{status} " . ($r->{json}{code} // '') eq $want } 5, $what;
    is "$r->{status} $r->{json}{code}", $want, $what;
    $_->[1]->() for @state;
    return $r;
}

sub commands { return $s->redis(ZCARD => "$acme/agent_commands") }

my $had = commands();
for my $gate (@gates) {
    my $r = with([$gate], $gate->{code}, "$gate->{name}: $gate->{code}");
    is $r->{headers}{'content-type'}, 'application/problem+json', 'a problem';
    next if $r->{status} != 429;
    like $r->{headers}{'retry-after'}, qr/^(?:[1-9]|[1-5]\d|60)$/,
        'and when to come again';
}
for my $i (0 .. $#gates - 1) {
    next if $gates[$i]{beside};
    with([@gates[$i, $i + 1]], $gates[$i]{code},
         "$gates[$i]{name} before $gates[$i + 1]{name}");
}
is commands(), $had, 'none of the refused is kept';

# all of them closed from one on: that one answers
for my $i (0 .. $#gates) {
    my @shut = grep { !$_->{beside} || $_ == $gates[$i] } @gates[$i .. $#gates];
    my %seen;
    @shut = grep { !grep { $seen{$_}++ } keys %{ $_->{request} // {} } } @shut;
    with(\@shut, $gates[$i]{code}, "$gates[$i]{name} before all the rest");
}
is commands(), $had, 'and still none is kept';

# with every gate open
my $r;
wait_for { $r = submit(); $r->{status} == 202 } 5, 'the gates to be open';
pass 'with every gate open it is accepted';
is commands(), $had + 1, 'and kept';
is $t->agent->cmd->{id}, $r->{json}{command_id}, 'and sent';

done_testing;
