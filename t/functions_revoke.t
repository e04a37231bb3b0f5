# Approval, revocation, tokens: what an owner decides holds in every later call.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my @as = (agent_id => $w->{agent}, session => $w->{session});

# approval
my $new = $f->make_agent(approved => 0);
my $wake = $f->listen('wake');
my %approve = (actor => 'token:1', agent_id => $new, mac => 'm2',
               mac_before => "mac-$new", live => 'gw1');
is $f->call(agent_approve => { %approve, mac_before => 'x' })->[0], 'conflict',
    'not the record the worker has seen';
is hash(($f->ok_call(agent_approve => { %approve }))[0])->{status}, 'offline',
    'approved';
is_deeply [$f->heard($wake)], ["approved $new"], 'its gateway tells it';
is $f->admin('HGET', $f->key('agents', $new), 'mac'), 'm2', 'under a new MAC';
is $f->call(agent_approve => { %approve })->[0], 'OK', 'again is no error';
is $f->call(agent_approve => { agent_id => uuid() })->[0], 'not_found',
    'an unknown agent';

# revocation
my ($sent, $queued) = map { $f->submitted } 1 .. 2;
$f->take(limit => 1);
my %revoke = (actor => 'token:1', agent_id => $w->{agent}, mac => 'revoked-mac',
              mac_before => "mac-$w->{agent}", live => 'gw1');
is $f->call(agent_revoke => { %revoke, mac_before => 'x' })->[0], 'conflict',
    'not the record the worker has seen';
$f->heard($wake);
is hash(($f->ok_call(agent_revoke => { %revoke }))[0])->{status}, 'revoked',
    'revoked';
is_deeply [$f->heard($wake)], ["revoke $w->{agent}"], 'its gateway is woken';
is_deeply [@{ $f->command($queued) }{qw(status error_code)}],
    ['failed', 'agent_revoked'], 'what was queued has ended';
is $f->command($sent)->{status}, 'delivered', 'what was sent may still run';
is hash(($f->ok_call(secret_get => { secret_id => $w->{secret} }))[0])
    ->{status}, 'reentry_required', 'its secrets are of no use';
my @license = $f->ok_call(license_get => {});
is_deeply [@license[4 .. 7]], [100, 100, 1, 1],
    'a revoked agent is not counted';
my %bars = (
    take => { @as, limit => 1 }, session_status => { @as },
    progress => { @as, command_id => $sent },
    log => { @as, command_id => $sent, line => ['x'] },
    secret_read => { @as, ref => ref_of($w->{secret}), version => 1 },
    session_auth => { agent_id => $w->{agent}, epoch => 9, session => uuid() },
    session_ready => { @as, incarnation => 'gw1', epoch => 9, last_seq => 0 },
    agent_heartbeat => { agent_id => $w->{agent}, nonce => 'h' },
    secret_add => { agent_id => $w->{agent}, nonce => 's',
                    secret_id => uuid() },
    secret_rotate => { agent_id => $w->{agent}, nonce => 'r',
                       secret_id => $w->{secret} },
    finish => { agent_id => $w->{agent}, command_id => $sent,
                status => 'succeeded', receipt_signature => 's' },
    recover => { agent_id => $w->{agent}, command_id => uuid(),
                 field_value => [qw(iat 1 seq 9 timeout_s 60)] },
    audit_witness => { agent_id => $w->{agent}, n => 9, h => 'h' },
    agent_approve => { agent_id => $w->{agent} },
);
is_deeply { map { $_ => $f->call($_ => $bars{$_})->[0] } keys %bars },
    { map { $_ => 'agent_revoked' } keys %bars }, 'every call says so';
is $f->submit->[0], 'agent_revoked', 'no command for it';
$f->heard($wake);
is $f->call(agent_revoke => { %revoke })->[0], 'OK', 'repeated: no error';
is_deeply [$f->heard($wake)], ["revoke $w->{agent}"], 'it only wakes again';
is(($f->ok_call(license_get => {}))[6], 1, 'and is counted once');
$f->age($sent, 62_000);
is_deeply [@{ $f->command($sent) }{qw(status error_code)}],
    ['indeterminate', 'agent_revoked'],
    'what was sent: nobody knows, at its deadline';
is $f->finish($sent)->[0], 'agent_revoked', 'and no signed result says it';
is $f->command($sent)->{status}, 'indeterminate', 'so it stays';

# paired again it is counted again
$f->make_agent(again => $w->{agent});
is(($f->ok_call(license_get => {}))[6], 2, 'paired again, it counts');
is hash(($f->ok_call(agent_get => { agent_id => $w->{agent} }))[0])->{status},
    'offline', 'and is no longer revoked';

# tokens
my $id = $f->make_token('t1', role => 'viewer');
my %who = (pkind => 'token', pkey => 't1', cost => 1, limit => 100);
my ($record, $tenant) = $f->ok_call(principal => { %who });
is_deeply [@{ hash($record) }{qw(token_id role subject)},
           hash($tenant)->{tenant}],
    [$id, 'viewer', 'user-t1', 'acme'], 'a principal and its tenant';
$f->ok_call(token_delete => { actor => 'token:1', token_id => $id });
is $f->call(principal => { %who })->[0], 'unauthenticated', 'deleted: at once';
is $f->call(token_delete => { token_id => $id })->[0], 'not_found', 'repeated';
$f->make_token('t2', expires_at => now_ms() + 300);
is $f->call(principal => { %who, pkey => 't2' })->[0], 'OK', 'until it expires';
$f->admin('HSET', $f->key('tokens', 't2'), 'expires_at', now_ms() - 1);
is $f->call(principal => { %who, pkey => 't2' })->[0], 'unauthenticated',
    'expired';
$f->admin('HSET', $f->key('sessions', 's1'), 'role', 'owner', 'expires_at',
          now_ms() + 60_000);
is $f->call(principal => { %who, pkind => 'session', pkey => 's1' })->[0],
    'OK', 'a console session';
my $left = $f->admin('PTTL', $f->key('sessions', 's1'));
ok $left > 0 && $left <= 60_000, 'lives no longer than its absolute end';

# rates
$f->make_token('busy');
my @used = map { ($f->ok_call(principal => { %who, pkey => 'busy', cost => 4,
                                             limit => 10 }))[2] } 1 .. 2;
is_deeply \@used, [4, 8], 'requests are counted, several at once';
is(($f->ok_call(principal => { %who, pkey => 'busy', cost => 2,
                               limit => 10 }))[2], 10, 'up to the limit');
my $window = $f->admin('PTTL', $f->key('rate', 'requests:token:busy'));
ok $window > 0 && $window <= 60_000, 'for a minute';
my $limited = $f->call(principal => { %who, pkey => 'busy', cost => 4,
                                      limit => 10 });
is $limited->[0], 'rate_limited', 'too many';
ok $limited->[1] > 0 && $limited->[1] <= 60_000, 'until the minute is over';
is $f->call(principal => { %who, pkey => 'busy', cost => 0, limit => 100 })
    ->[3], 14, 'looking costs nothing';

done_testing;
