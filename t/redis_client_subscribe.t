#!/usr/bin/perl

# Shard channels: subscribers share a channel, are told when it is lost and
# when it is back, and may leave while they are told.
# tags: asan

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use VMOps::RedisClient;

my $t = VMOps::RedisClient->new;
$t->redis_start('redis');
$t->nginx_start;
ok($t->ready, 'ready');

my $c = 'tenants/{a}/wake';

sub events { return ($t->get('/events', "id=$_[0]"))[1] =~ s/\n\n\z/\n/r }

sub sees {
    my ($id, $want, $name) = @_;
    $t->wait_for(8, sub { events($id) eq $want });
    return is(events($id), $want, $name);
}

sub channels { return scalar @{ $t->redis('PUBSUB', 'SHARDCHANNELS') } }

is(scalar $t->get('/subscribe', 'id=0', "a=$c"), "200 \n",
   'nothing is told inside the call');
sees(0, "state 1\n", 'confirmed');

is(scalar $t->get('/subscribe', 'id=1', "a=$c"), "200 \n", 'a second');
sees(1, "state 1\n", 'confirmed, too');
$t->get('/subscribe', 'id=2', 'a=x');
sees(2, "state 1\n", 'another channel');

is($t->redis('PUBSUB', 'SHARDNUMSUB', $c)->[1], 1, 'one SSUBSCRIBE for both');

$t->redis('SPUBLISH', $c, 'one');
sees(0, "state 1\nmessage one\n", 'message');
sees(1, "state 1\nmessage one\n", 'for both');
is(events(2), "state 1\n", 'not for others');

# the connection goes

$t->redis('CLIENT', 'KILL', 'TYPE', 'pubsub');
sees(0, "state 1\nmessage one\nstate 0\nstate 1\n", 'lost and back');
sees(1, "state 1\nmessage one\nstate 0\nstate 1\n", 'for both');
sees(2, "state 1\nstate 0\nstate 1\n", 'and for the others');
is($t->fields('/stat')->{downs}, 0, 'commands have their own connection');

$t->redis('SPUBLISH', $c, 'two');
sees(0, "state 1\nmessage one\nstate 0\nstate 1\nmessage two\n",
     'messages after it');

# the server goes

$t->redis_kill;
ok($t->wait_for(5, sub { events(0) =~ /two\nstate 0\n\z/ }), 'server gone');
$t->redis_restart;
sees(2, "state 1\nstate 0\nstate 1\nstate 0\nstate 1\n", 'server back');

# unsubscribe, and again at once

$t->get('/unsubscribe', 'id=2');
ok($t->wait_for(5, sub { channels() == 1 }), 'the last one leaves');
$t->get('/subscribe', 'id=2', 'a=x');
$t->get('/unsubscribe', 'id=2');
$t->get('/subscribe', 'id=2', 'a=x');
sees(2, "state 1\n", 'in and out and in');
$t->redis('SPUBLISH', 'x', 'once');
sees(2, "state 1\nmessage once\n", 'one message');

$t->get('/unsubscribe', 'id=0');
$t->redis('SPUBLISH', $c, 'three');
sees(1, "state 1\nmessage one\nstate 0\nstate 1\nmessage two\n"
        . "state 0\nstate 1\nmessage three\n", 'one of two left');
unlike(events(0), qr/three/, 'the other one has left');

# leaving while told: 1 and 2 go with the message, 3 stays

$t->get('/unsubscribe', 'id=2');
$t->get('/subscribe', 'id=2', "a=$c");
$t->get('/subscribe', 'id=3', "a=$c");
sees(3, "state 1\n", 'third');
$t->redis('SPUBLISH', $c, 'leave');
sees(3, "state 1\nmessage leave\n", 'told after two have left');
ok($t->wait_for(5, sub { channels() == 0 }), 'and left itself');
is($t->fields('/stat')->{channels}, 0, 'no channel kept');

# a refused channel is tried again

$t->redis('ACL', 'SETUSER', 'default', 'resetchannels', '&allowed*');
$t->get('/subscribe', 'id=5', 'a=refused');
ok($t->wait_for(5, sub { $t->log =~ /subscription is refused: NOPERM/ }),
   'a refusal is told');
is(events(5), "\n", 'not confirmed');
$t->redis('ACL', 'SETUSER', 'default', '&refused');
sees(5, "state 1\n", 'tried again');

my @lines = $t->log =~ /(subscription is refused)/g;
is(scalar @lines, 1, 'told once');

$t->done;
