# Pairing: one use, five wrong tries, ten minutes; what an agent is after it;
# pairing an agent again under new keys.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my $kid = 'YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE';
my $kid_b = 'YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI';

sub pairing {
    my (%over) = @_;
    my $id = uuid();
    $f->ok_call(pairing_create => {
        actor => 'token:1', pairing_id => $id, code_hmac => 'right',
        selector => 'ABCD', name => 'pc', auto_approve => 0,
        subject => 'owner', ttl_ms => 600_000, %over });
    return $id;
}

sub register {
    my ($pairing, %over) = @_;
    return $f->call(register => {
        pairing_id => $pairing, code_hmac => 'right', signature_ok => 1,
        agent_id => uuid(), approved => 0, ed_pk => 'ed2', x_pk => 'x2',
        kid => $kid, platform => 'linux', name => 'pc', hostname => 'host',
        version => '1.0', mac => 'mac-new', %over });
}

sub status { hash(($f->ok_call(pairing_get => { pairing_id => $_[0] }))[0]) }

# one use
my $one = pairing();
is status($one)->{status}, 'pending', 'pending';
ok !exists status($one)->{code_hmac}, "the code's HMAC is not shown";
my $agent = uuid();
is_deeply register($one, agent_id => $agent),
    ['OK', 'pending_approval', 'owner'], 'registered; it says by whom';
is_deeply [@{ status($one) }{qw(status agent_id)}], ['used', $agent], 'used';
is_deeply register($one), ['pairing_invalid'], 'it is used up';
my $record = hash(($f->ok_call(agent_get => { agent_id => $agent }))[0]);
is_deeply [@$record{qw(status key_id epoch last_seq keystore mac)}],
    ['pending_approval', 'k1' . '61' x 16, 0, 0, 'ok', 'mac-new'],
    'the agent: not approved, key_id by its kid, epoch 0';

# the owner's name for it, or its own
sub name_of {
    my ($pairing) = @_;
    my $id = uuid();
    register($pairing, agent_id => $id, name => 'my-pc');
    return hash(($f->ok_call(agent_get => { agent_id => $id }))[0])->{name};
}
is name_of(pairing(name => 'office')), 'office', "the pairing's name";
is name_of(pairing(name => '')), 'my-pc', "without one, the agent's";

# wrong tries
my $burned = pairing();
for my $try (1 .. 4) {
    is_deeply register($burned, code_hmac => 'wrong'), ['pairing_invalid'],
        "wrong code, try $try";
}
is status($burned)->{status}, 'pending', 'four do not burn it';
is_deeply register($burned, signature_ok => 0),
    ['invalid_params', '/signature invalid'],
    'the right code with a wrong signature says so, and is the fifth try';
is status($burned)->{status}, 'burned', 'burned';
is_deeply register($burned), ['pairing_invalid'],
    'the right code is of no use any more';
my $four = pairing();
register($four, code_hmac => 'wrong') for 1 .. 4;
is register($four)->[0], 'OK', 'after four wrong ones the right one works';
is_deeply register(pairing(), kid => 'short'), ['invalid_params',
                                                '/kid invalid'], 'a bad kid';

# all the others answer the same
my $expired = pairing();
$f->admin('HSET', $f->key('pairings', $expired), 'expires_at', 1);
is status($expired)->{status}, 'expired', 'expired';
is_deeply register($expired), ['pairing_invalid'], 'expired';
is_deeply register(uuid()), ['pairing_invalid'], 'unknown';
my $deleted = pairing();
is_deeply [$f->ok_call(pairing_delete => { actor => 'token:1',
                                           pairing_id => $deleted })],
    ['ABCD'], 'deleted: its selector is to be freed';
is_deeply register($deleted), ['pairing_invalid'], 'deleted';
cmp_ok $f->admin('PTTL', $f->key('pairings', $one)), '<=', 4_200_000,
    'the record goes by itself';

# what the record says must be what the worker put its MAC on
is register(pairing(), approved => 1)->[0], 'conflict',
    'approved only where the pairing says so';
is_deeply register(pairing(auto_approve => 1), approved => 1),
    ['OK', 'offline', 'owner'], 'auto_approve';
is register(pairing(), agent_id => $agent)->[0], 'conflict',
    'a pairing for a new agent replaces none';

# license
my $kept = pairing();
$f->license(max_agents => 3);
is register($kept)->[0], 'license_limit', 'no agent beyond the license';
is $f->call(pairing_create => { pairing_id => uuid(), ttl_ms => 1000 })->[0],
    'license_limit', 'nor a code for one';
$f->license(expires_at => 1, grace_ms => 0);
is register($kept)->[0], 'license_inactive', 'none without one';
is $f->call(pairing_create => { pairing_id => uuid(), ttl_ms => 1000 })->[0],
    'license_inactive', 'nor a code';
is status($kept)->{status}, 'pending', 'such a refusal does not use it up';
$f->license;

# the same agent under new keys
is $f->call(pairing_create => { pairing_id => uuid(), agent_id => uuid(),
                                ttl_ms => 1 })->[0], 'not_found',
    'no code for an agent that does not exist';
my $queued = $f->submitted;
my $wake = $f->listen('wake');
$f->admin('HSET', $f->key('agents', $w->{agent}), 'last_seq', 41);
$f->license(max_agents => 1);
my $takeovers = $f->key('agents', $w->{agent}, 'takeovers');
$f->admin('ZADD', $takeovers, now_ms(), uuid());
my $again = pairing(agent_id => $w->{agent});
is register($again)->[0], 'conflict', 'it is for that agent only';
is_deeply register($again, agent_id => $w->{agent}, kid => $kid_b),
    ['OK', 'pending_approval', 'owner'],
    'paired again, whatever the license says of further ones';
$record = hash(($f->ok_call(agent_get => { agent_id => $w->{agent},
                                           live => 'gw1' }))[0]);
is_deeply [@$record{qw(status epoch last_seq ed_pk)}, $record->{session}],
    ['pending_approval', 0, 41, 'ed2', undef],
    'new keys, epoch 0, last_seq kept, no session';
is $f->admin('EXISTS', $takeovers), 0, 'and no take-overs';
is_deeply [grep { /repaired/ } $f->heard($wake)], ["repaired $w->{agent}"],
    'its live session is to be closed';
my $ended = $f->command($queued);
is_deeply [@$ended{qw(status error_code)}], ['failed', 'agent_disconnected'],
    'what was queued under the old keys has ended';
is hash(($f->ok_call(secret_get => { secret_id => $w->{secret} }))[0])
    ->{status}, 'reentry_required', 'its secrets must be entered again';

# selectors are in slots of their own
is_deeply $f->call(selector_set => { tenant => 'acme', pairing_id => $one,
                                     ttl_ms => 1000 }), ['OK'], 'reserved';
is $f->call(selector_set => { tenant => 'b', pairing_id => $one,
                              ttl_ms => 1000 })->[0], 'conflict', 'taken';
is_deeply $f->call('selector_get'), ['OK', 'acme', $one], 'whose it is';
$f->ok_call(selector_drop => { tenant => 'acme', pairing_id => uuid() });
is $f->call('selector_get')->[0], 'OK', 'not by another pairing';
$f->ok_call(selector_drop => { tenant => 'acme', pairing_id => $one });
is $f->call('selector_get')->[0], 'not_found', 'freed';

# ten failed tries of an address, counted before they are made
my %address = (address => '192.0.2.1', limit => 10);
my $rate = 'platform/{p}/rate/pairing:192.0.2.1';
my $tried = sub { $f->call(pairing_allow => { %address, tries => $_[0] }) };
$tried->($_) for 1, -1;
is $f->admin('EXISTS', $rate), 0, 'one that did not fail has never been';
$f->ok_call(pairing_allow => { %address, tries => 1 }) for 1 .. 10;
my $limited = $tried->(1);
is $limited->[0], 'rate_limited', 'ten failed ones are enough';
is $limited->[2], 10, 'which is the limit';
ok $limited->[1] > 0 && $limited->[1] <= 60_000, 'for a minute';
is $f->admin('GET', $rate), 10, 'what was not made is not counted';
$f->ok_call(pairing_allow => { %address, tries => -1 });
is_deeply [map { $tried->(1)->[0] } 1, 2], [qw(OK rate_limited)],
    'one that did not fail leaves room for one';
ok $f->admin('PTTL', $rate) > 0, 'in the same minute';
is $f->call(pairing_allow => { %address, address => '192.0.2.2',
                               tries => 1 })->[0], 'OK', 'another address';

done_testing;
