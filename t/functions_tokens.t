# A tenant has at most a thousand tokens: those that have expired make room, and
# an administrator lets a locked-out owner in beside a thousand that have not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

use constant { MAX => 1000, EXPIRED => 30 };

my $f = VMOps::Functions->new;
$f->make_tenant('acme');
my $past = now_ms() - 1;

sub count { return $f->admin('ZCARD', $f->key('tokens')) }

sub add {
    my ($hmac, $actor) = @_;
    return $f->call(token_add => {
        actor => $actor, hmac => $hmac, token_id => uuid(), role => 'owner',
        name => $hmac, mac => "mac-$hmac" })->[0];
}

$f->make_token("t$_", $_ <= EXPIRED ? (expires_at => $past) : ())
    for 1 .. MAX - 1;
is count(), MAX, 'the first owner\'s and 999 more';
is add('more', 'token:1'), 'OK', 'expired ones make room';
is count(), MAX - EXPIRED + 1, 'all of them';
is_deeply [map { $f->admin('EXISTS', $f->key('tokens', $_)) }
           't1', 't' . EXPIRED, 't' . (EXPIRED + 1), 'owner-hmac', 'more'],
    [0, 0, 1, 1, 1], 'and no other';

$f->make_token("u$_") for 1 .. EXPIRED - 1;
is count(), MAX, 'a thousand that hold';
is add('again', 'token:1'), 'conflict', 'no room for one more';
is count(), MAX, 'none went for it';
is add('rescue', 'platform:1'), 'OK', 'but for an owner who is locked out';
is $f->admin('HGET', $f->key('tokens', 'rescue'), 'role'), 'owner', 'as one';

done_testing;
