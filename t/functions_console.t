# Console sessions in the store: no longer than their token, a bounded number,
# their idle time prolonged by use and by nothing else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
$f->world;

my $n = 0;
sub open_session {
    my (%over) = @_;
    my %a = (actor => 'token:1', token => 'op', session => 's' . ++$n,
             subject => 'user-op', role => 'operator', csrf => 'c', mac => 'm',
             expires_at => now_ms() + 12 * 3_600_000, %over);
    return ($f->call(console_open => \%a)->[0], $a{session});
}

sub asked {
    my ($session, %over) = @_;
    return $f->call(principal => { pkind => 'session', pkey => $session,
                                   cost => 1, limit => 1000, %over })->[0];
}

my ($code, $s) = open_session();
is $code, 'OK', 'opened';
is asked($s), 'OK', 'it works';
is asked('x'), 'unauthenticated', 'another does not';
is((open_session(token => 'x'))[0], 'unauthenticated', 'no such token');
is((open_session(role => 'owner'))[0], 'unauthenticated', 'not its role');
is((open_session(expires_at => now_ms() - 1))[0], 'unauthenticated', 'over');

# the idle time
my $key = $f->key('sessions', $s);
for my $case ([1, 1, 'a request prolongs it'],
              [0, 0, 'a stream that only asks does not']) {
    $f->admin('PEXPIRE', $key, 60_000);
    asked($s, cost => $case->[0]);
    is $f->admin('PTTL', $key) > 1_700_000 ? 1 : 0, $case->[1], $case->[2];
}
my ($late, $short) = (now_ms() + 5000);
($code, $short) = open_session(expires_at => $late);
is $code, 'OK', 'one that is soon over';
asked($short);
cmp_ok $f->admin('PTTL', $f->key('sessions', $short)), '<=', 5000,
    'is not prolonged beyond';

# what nobody put there by this function
$f->admin('HSET', $f->key('sessions', 'bare'), 'role', 'owner');
asked('bare');
is $f->admin('EXISTS', $f->key('sessions', 'bare')), 0,
    'one without an end is ended';

# signing out
is $f->call(console_close => { actor => 'user-op', session => $s })->[0], 'OK',
    'closed';
is asked($s), 'unauthenticated', 'over';
is $f->call(console_close => { actor => 'user-op', session => $s })->[0],
    'not_found', 'once';
is $f->admin('ZSCORE', $f->key('tokens', 'op', 'sessions'), $s), undef,
    'its token knows it no more';

# a command of a session; the gateway gets the record it is to check
(undef, $s) = open_session();
my $id = $f->submitted(pkind => 'session', pkey => $s, subject => 'token:7');
my ($taken) = @{ $f->take->[2] };
is hash($taken->[4])->{role}, 'operator', 'the record goes along';
my ($events) = $f->ok_call(events_read => { limit => 200 });
ok((grep { (hash($_->[1])->{entry} // '') =~
    /"command.submitted","actor":"token:7"/ } @$events),
   'in the audit it is its token that asked');

# of many the oldest end
my @before = @{ $f->admin('ZRANGE', $f->key('tokens', 'op', 'sessions'), 0, -1) };
$f->admin('ZADD', $f->key('tokens', 'op', 'sessions'), 1, $_) for @before;
my @many = map { (open_session())[1] } 1 .. 100;
is_deeply [map { asked($_) } $s, @many], ['unauthenticated', ('OK') x 100],
    'a hundred of a token';
is $f->admin('ZCARD', $f->key('tokens', 'op', 'sessions')), 100, 'no more';

# the token goes, and all of them
my $token = $f->make_token('other', role => 'viewer');
my (undef, $kept) = open_session(token => 'other', role => 'viewer');
my $op = hash($f->admin('HGETALL', $f->key('tokens', 'op')))->{token_id};
$f->ok_call(token_delete => { actor => 'token:1', token_id => $op });
is_deeply [map { asked($_) } @many[0, 99]], [('unauthenticated') x 2],
    'a revoked token ends its sessions';
is_deeply [sort @{ $f->admin('KEYS', '*sessions*') }],
    [$f->key('sessions', $kept), $f->key('tokens', 'other', 'sessions')],
    'nothing of them is left';
is asked($kept), 'OK', "another token's stay";

# suspended
$f->ok_call(tenant_set => { actor => 'platform:1',
                            field_value => ['status', 'suspended'] });
is((open_session(token => 'other', role => 'viewer'))[0], 'tenant_suspended',
   'none of a suspended tenant');

done_testing;
