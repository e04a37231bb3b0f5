#!/usr/bin/perl

# What a cluster answers: MOVED and ASK are understood, TRYAGAIN is repeated
# within the deadline, a channel whose slot has moved is asked for again.
# tags: asan

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use VMOps::Process qw(now);
use VMOps::RedisClient;

my $t = VMOps::RedisClient->new;
my (%port, %id);

for my $name (qw(redis b)) {
    $port{$name} = VMOps::RedisClient::free_port();
    $t->redis_start($name, '--bind', '127.0.0.1', '--port', $port{$name},
                    '--cluster-enabled', 'yes',
                    '--cluster-port', VMOps::RedisClient::free_port(),
                    '--cluster-config-file', "$name.nodes");
    $id{$name} = $t->redis_at($name, 'CLUSTER', 'MYID');
}

my ($moved, $asked, $channel) =
    map { $t->redis('CLUSTER', 'KEYSLOT', $_) } qw(moved asked channel);

my $bus = ($t->redis_at('b', 'CLUSTER', 'NODES') =~ /@(\d+)/)[0];
$t->redis('CLUSTER', 'ADDSLOTSRANGE', 0, $moved - 1, $moved + 1, 16383);
$t->redis_at('b', 'CLUSTER', 'ADDSLOTS', $moved);
is($t->redis('CLUSTER', 'MEET', '127.0.0.1', $port{b}, $bus), 'OK', 'meet');
ok($t->wait_for(20, sub {
    $t->redis('CLUSTER', 'INFO') =~ /state:ok.*slots_assigned:16384/s
}), 'a cluster of two');

$t->nginx_start;
ok($t->ready, 'ready');

is(scalar $t->get('/call', 'a=GET', 'a=moved'),
   "200 -MOVED $moved 127.0.0.1:$port{b}\n"
   . "redirect 4 $moved 127.0.0.1:$port{b}\n\n", 'MOVED');

$t->redis('SET', '{asked}1', 'one');
$t->redis('CLUSTER', 'SETSLOT', $asked, 'MIGRATING', $id{b});
is(scalar $t->get('/call', 'a=GET', 'a=asked'),
   "200 -ASK $asked 127.0.0.1:$port{b}\n"
   . "redirect 5 $asked 127.0.0.1:$port{b}\n\n", 'ASK');

# a key here, a key there

like($t->redis('MGET', '{asked}1', '{asked}2'), qr/^-TRYAGAIN/, 'in between');

my $begun = now;
is(scalar $t->get('/call', 'deadline=300', 'a=MGET', 'a={asked}1',
                  'a={asked}2'), "504 none\n", 'TRYAGAIN until the deadline');
my $took = now - $begun;
ok($took > 0.29 && $took < 1, 'and no longer');

my $s = $t->start('/call', 'deadline=5000', 'a=MGET', 'a={asked}1',
                  'a={asked}2');
$t->wait_for(0.2, sub { 0 });
is(scalar $t->get('/call', 'a=GET', 'a={asked}1'), "200 \$one\n\n",
   'others do not wait for it');
$t->redis('CLUSTER', 'SETSLOT', $asked, 'STABLE');
is(scalar $t->finish($s), "200 *2\n\$one\nnil\n\n", 'repeated');

my $tries = ($t->redis('INFO', 'commandstats')
             =~ /mget:calls=\d+,.*rejected_calls=(\d+)/)[0];
cmp_ok($tries, '<', 5 + (now - $begun) / 0.025, 'with pauses in between');

# a slot moves away from a subscriber, and back

$t->get('/subscribe', 'id=0', 'a=channel');
sub events { return ($t->get('/events', 'id=0'))[1] }
ok($t->wait_for(5, sub { events() =~ /state 1/ }), 'subscribed');

$t->redis('CLUSTER', 'SETSLOT', $channel, 'NODE', $id{b});
ok($t->wait_for(5, sub { events() =~ /state 1\nstate 0/ }), 'slot has moved');
ok($t->wait_for(5, sub { $t->log =~ /subscription is refused: MOVED/ }),
   'asked for again');
$t->redis('CLUSTER', 'SETSLOT', $channel, 'NODE', $id{redis});
ok($t->wait_for(5, sub { events() =~ /state 1\nstate 0\nstate 1/ }),
   'slot is back');
$t->redis('SPUBLISH', 'channel', 'hello');
ok($t->wait_for(5, sub { events() =~ /message hello/ }), 'messages come');

$t->done;
