# Every gate of vmops_submit refuses by its own code, in the order of the API's
# document, and leaves nothing behind but the count of requests.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my $agent = $f->key('agents', $w->{agent});
my $tenant = $f->key;
my $token = $f->key('tokens', 'op');
my $secret = $f->key('secrets_ciphertext', ref_of($w->{secret}));
my $vm = $f->key('vms', $w->{vm});

# idempotency: a key that was used with another body
$f->submitted(idem => 'used', body_hash => 'body');

# Each gate: what closes it (arguments of the call, or [hash, field, value]
# in the store), and the code.  In the document's order, so that of all the
# closed ones the first has to answer.
my @gates = (
    [401 => { pkey => 'unknown' }, 'unauthenticated'],
    ['429, requests' => { rate_limit => 0 }, 'rate_limited'],
    ['403, role' => { role => 'viewer' }, 'forbidden',
        [$token, 'role', 'viewer']],
    ['403, tenant' => {}, 'tenant_suspended', [$tenant, 'status', 'suspended']],
    ['422, replay' => { idem => 'used', body_hash => 'other' },
        'idempotency_mismatch'],
    [501 => { flags => '*=1,internal=0' }, 'feature_disabled'],
    [402 => {}, 'license_inactive', [$tenant, 'lic_expires_at', 1]],
    [404 => { target => uuid() }, 'not_found'],
    ['409, vm' => {}, 'vm_unassigned', [$vm, 'agent_id', '']],
    ['422, params' => { params_error => '/params/timeout range' },
        'invalid_params'],
    ['agent not approved' => {}, 'agent_unapproved', [$agent, 'approved', 0]],
    ['no binding' => {}, 'secret_missing',
        [$f->key('secret_bindings', "vm:$w->{vm}:proxmox"), 'secret_ref',
         'sec_gone']],
    ['offline' => {}, 'agent_offline', [$agent, 'session', '']],
    ['429, commands' => { command_limit => 0 }, 'rate_limited'],
);
# the same order, of what cannot be closed together with its neighbour
my %alone = (
    'expired token' => ['unauthenticated', {}, [$token, 'expires_at', 1]],
    'role of another' => ['unauthenticated', { role => 'owner' }],
    'no principal' => ['unauthenticated', { pkind => 'var', subject => '' }],
    'unknown kind' => ['unauthenticated', { pkind => 'magic' }],
    'tenant being deleted' => ['unauthenticated', {},
                               [$tenant, 'status', 'deleting']],
    'global flag off' => ['feature_disabled', { flags => '*=0' }],
    'own flag off' => ['feature_disabled', { flags => '*=1,internal=1' },
                       [$tenant, 'flag:AGENT_COMMAND_BUS_ENABLED', 0]],
    'no lease' => ['license_inactive', {}, [$tenant, 'lic_plan', '']],
    'VM being made' => ['vm_unassigned', {}, [$vm, 'vmid', '']],
    'revoked' => ['agent_revoked', {}, [$agent, 'revoked', 1]],
    'locked' => ['agent_locked', {}, [$agent, 'locked', 1]],
    'foreign secret' => ['secret_missing', {}, [$secret, 'agent_id', uuid()]],
    'other key' => ['secret_reentry_required', {},
                    [$agent, 'key_id', $f->key_id('b')]],
    'keystore unreadable' => ['secret_reentry_required', {},
                              [$agent, 'keystore', 'unreadable']],
    'gateway dead' => ['agent_offline', { live => 'gw2,gw10,xgw1' }],
    'no gateway' => ['agent_offline', { live => '' }],
    'too many open' => ['rate_limited', { open_limit => 1 }],
);

# presence is long established: the caller's list of gateways decides
$f->admin('HSET', $agent, 'since', now_ms() - 60_000);

sub with_store {
    my ($changes, $code) = @_;
    my @undo;
    for my $change (@$changes) {
        my ($key, $field, $value) = @$change;
        push @undo, [$key, $field, $f->admin('HGET', $key, $field)];
        $f->admin('HSET', $key, $field, $value);
    }
    my $result = $code->();
    for my $undo (reverse @undo) {
        my ($key, $field, $value) = @$undo;
        defined $value ? $f->admin('HSET', $key, $field, $value)
                       : $f->admin('HDEL', $key, $field);
    }
    return $result;
}

sub refused_cleanly {
    my ($name, $code, $arg, $changes) = @_;
    my ($reply, $same) = @{ with_store($changes, sub {
        my $before = $f->snapshot;
        my $reply = $f->submit(%$arg);
        return [$reply, eq_hash($f->snapshot, $before)];
    }) };
    is $reply->[0], $code, "$name: $code";
    ok $same, "$name: nothing is left behind";
    return $reply;
}

for my $gate (@gates) {
    my ($name, $arg, $code, @changes) = @$gate;
    my $reply = refused_cleanly($name, $code, $arg, \@changes);
    like $reply->[1], qr/^\d+$/, "$name: with the time to wait"
        if $code eq 'rate_limited';
    is $reply->[1], '/params/timeout range', "$name: with its detail"
        if $code eq 'invalid_params';
}
for my $name (sort keys %alone) {
    my ($code, $arg, @changes) = @{ $alone{$name} };
    refused_cleanly($name, $code, $arg, \@changes);
}

# From the last gate back to the first: with that one and all later ones
# closed, that one answers.
for my $first (reverse 0 .. $#gates) {
    my (%arg, @changes);
    for my $gate (reverse @gates[$first .. $#gates]) {
        my (undef, $more, undef, @more) = @$gate;
        %arg = (%arg, %$more);
        push @changes, @more;
    }
    my $reply = with_store(\@changes, sub { $f->submit(%arg) });
    is $reply->[0], $gates[$first][2], "$gates[$first][0] comes before the rest";
}

# grace is no refusal; and with every gate open it is accepted
is with_store([[$tenant, 'lic_expires_at', now_ms() - 1000]],
              sub { $f->submit->[0] }), 'OK', 'in grace it is accepted';
is $f->submit->[0], 'OK', 'accepted';
is $f->submit(flags => '*=0,internal=1')->[0], 'OK',
    "the cohort's flag beats the global one";
is with_store([[$tenant, 'flag:AGENT_COMMAND_BUS_ENABLED', 1]],
              sub { $f->submit(flags => '*=0,internal=0')->[0] }),
    'OK', "the tenant's own flag beats its cohort's";
is $f->submit(flags => '')->[0], 'OK', 'a flag nobody set is on';
is $f->submit(pkind => 'var', pkey => '', subject => 'sso')->[0], 'OK',
    'a principal named by nginx has no record';

# an agent that came a moment ago, to a gateway not on the caller's list yet
is with_store([[$agent, 'gateway', 'new'], [$agent, 'since', now_ms()]],
              sub { $f->submit->[0] }), 'OK',
    'a new gateway is not taken for a dead one';

done_testing;
