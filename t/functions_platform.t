# The platform's own: beats, flags, tenants, administrators' tokens, the license
# lease; and that tenants do not see each other.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use VMOps::Functions;
use VMOps::Process qw(wait_for);

my $f = VMOps::Functions->new;

# beats
my ($live) = $f->ok_call(beat => { incarnation => 'a', ttl_ms => 60_000 });
is_deeply $live, ['a'], 'a worker sees itself';
($live) = $f->ok_call(beat => { incarnation => 'b', ttl_ms => 50 });
is_deeply [sort @$live], ['a', 'b'], 'and others';
wait_for {
    ($live) = $f->ok_call(beat => { incarnation => '', ttl_ms => 0 });
    "@$live" eq 'a';
} 5, 'end of b';
is_deeply $live, ['a'], 'one that beats no longer is gone; reading adds none';

# flags
$f->ok_call(flags_set => { cohort => '', actor => 'platform:1',
                           name_value => ['A', '1', 'B', '0'] });
my ($flags) = $f->ok_call(flags_set => { cohort => 'beta',
    actor => 'platform:1', name_value => ['A', '0', 'C', ''] });
is_deeply hash($flags), { A => 0 }, "a cohort's flags";
my (undef, $global, $cohorts) = $f->ok_call(beat => { incarnation => 'a',
                                                      ttl_ms => 60_000 });
is_deeply hash($global), { A => 1, B => 0 }, 'a beat brings the global ones';
is_deeply $cohorts, [['beta', ['A', '0']]], "and each cohort's";
($flags) = $f->ok_call(flags_set => { cohort => 'beta', actor => 'platform:1',
                                      name_value => ['A', ''] });
is_deeply $flags, [], 'inherited again';
is $f->call(flags_set => { cohort => '', name_value => ['A'] })->[0],
    'bad_request', 'a name without a value';

# the nodes' keys
my %keys = (command => 'c1', mac => 'm1', pepper => 'p1');
is_deeply $f->call(keys_match => { %keys, pepper => '' }), ['OK', ''],
    'the first keys are taken';
is_deeply $f->call(keys_match => \%keys), ['OK', ''], 'and match';
is_deeply $f->call(keys_match => { %keys, pepper => 'p2' }),
    ['conflict', 'p2', 'p1'], 'what was not told first is kept as it came';
is_deeply $f->call(keys_match => { %keys, command => 'c2', mac => 'm2' }),
    ['conflict', 'c2', 'c1'], 'others are refused, and say which';
is_deeply hash($f->admin('HGETALL', 'platform/{p}/keys')), \%keys,
    'and change nothing';
my $replaced = now_ms();
$f->ok_call(keys_replace => { %keys, command => 'c2' });
my ($since) = $f->ok_call(keys_match => { %keys, command => 'c2' });
cmp_ok abs($since - $replaced), '<', 5000, 'those that replace them, since when';
is $f->call(keys_match => \%keys)->[0], 'conflict', 'the old ones are others now';

# administrators
$f->ok_call(platform_token_add => { hmac => 'h', token_id => 't1',
                                    role => 'platform_admin', name => 'n',
                                    mac => 'm' });
my ($token, $used) = $f->ok_call(platform_principal => {
    hmac => 'h', cost => 2, limit => 3 });
is_deeply [hash($token)->{role}, $used], ['platform_admin', 2], 'a token';
is $f->call(platform_principal => { hmac => 'h', cost => 2, limit => 3 })->[0],
    'rate_limited', 'too many requests';
$f->ok_call(platform_token_add => { hmac => "h$_", token_id => "t$_",
    role => 'platform_admin', name => 'm', mac => 'm' }) for 3, 2;
my ($listed, $cursor) = $f->ok_call(platform_token_list => { limit => 2 });
is_deeply [$cursor, map { hash($_)->{name} } @$listed], ['t2', 'n', 'm'],
    'a page of them, in the order of their ids';
($listed) = $f->ok_call(platform_token_list => { cursor => 't2', limit => 2 });
is_deeply [map { hash($_)->{token_id} } @$listed], ['t3'], 'the next';
is(($f->ok_call(platform_token_delete => { name => 'm' }))[0], 2,
   'those of a name are deleted');
($listed) = $f->ok_call(platform_token_list => { limit => 9 });
is_deeply [map { hash($_)->{token_id} } @$listed], ['t1'], 'and listed no more';
is $f->call(platform_principal => { hmac => 'x', cost => 1, limit => 3 })->[0],
    'unauthenticated', 'an unknown one';

# tenants
is_deeply [map { ($f->ok_call(platform_tenant_add => {
    tenant => $_, actor => 'platform:1' }))[0] } qw(b a a-b a)], [1, 1, 1, 0],
    'each is listed once';
is_deeply $f->call(platform_tenants => { limit => 2 }),
    ['OK', ['a', 'a-b'], 'a-b'], 'in order';
is_deeply $f->call(platform_tenants => { limit => 2, cursor => 'a' }),
    ['OK', ['a-b', 'b'], ''], 'after a name that others begin with';

$f->make_tenant('a');
my $tenant = hash(($f->ok_call('tenant_get'))[0]);
is_deeply [@$tenant{qw(tenant name cohort status)}],
    ['a', 'A', 'internal', 'active'], 'a tenant';
is $f->call(tenant_create => { name => 'x', hmac => 'h2' })->[0], 'conflict',
    'a name is taken once';
is $f->admin('EXISTS', $f->key('tokens', 'h2')), 0, 'and its token is not made';
is hash($f->admin('HGETALL', $f->key('tokens', 'owner-hmac')))->{role}, 'owner',
    'the first token is an owner';
$tenant = hash(($f->ok_call(tenant_set => { actor => 'platform:1',
    field_value => ['cohort', 'beta', 'flag:A', '0'] }))[0]);
is_deeply [@$tenant{qw(cohort flag:A)}], ['beta', 0], 'changed';
is $f->call(tenant_set => { field_value => ['lic_plan', 'x'] })->[0],
    'bad_request', 'only what may be set so';

# the license lease
my $status = sub { ($f->ok_call('license_get'))[0] };
my $now = now_ms();
is $status->(), 'active', 'active';
$f->license(expires_at => $now - 1000, grace_ms => 60_000);
is_deeply [($f->ok_call('license_get'))[0, 3]], ['grace', $now + 59_000],
    'in grace, and until when';
$f->license(expires_at => $now - 1000, grace_ms => 500);
is $status->(), 'expired', 'expired';
$f->license(plan => '');
is $status->(), 'expired', 'no lease at all';

# the administrators' audit
my @audit = map { my %e = @{ $_->[1] }; decode_json($e{entry}) }
    @{ $f->admin('XRANGE', 'platform/{p}/audit', '-', '+') };
is_deeply [map { "$_->{event} $_->{id}" } grep {
    $_->{event} ne 'flags.changed' } @audit],
    ['keys.replaced c2', (map { "token.created $_" } qw(t1 t3 t2)),
     (map { "token.deleted $_" } qw(t2 t3)),
     (map { "tenant.created $_" } qw(b a a-b))], 'what administrators did';

done_testing;
