#!/usr/bin/perl

# An owner that goes away is not called, and takes nobody's reply with it.
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

like(scalar $t->get('/pipe', 'n=3000', 'detach=3', 'a=ECHO'),
     qr/ refused=0 ok=2000 none=0 disorder=0 twice=0 detached=1000 /,
     'every third detached');

# clients that close while their call is pending

$t->redis('CLIENT', 'PAUSE', 1000, 'ALL');

my @gone = map { $t->start('/call', 'a=ECHO', "a=$_") } 1 .. 10;
my @stay = map { $t->start('/call', 'a=ECHO', "a=stay$_") } 1 .. 10;
ok($t->wait_for(1, sub { $t->fields('/stat')->{pending} == 20 }), 'pending');

close $_ for @gone;
ok($t->wait_for(1, sub { $t->fields('/stat')->{pending} == 10 }), 'aborted');

my @got = map { scalar $t->finish($_) } @stay;
is("@got", join(' ', map { "200 \$stay$_\n\n" } 1 .. 10),
   'the others have their own');

# also when the connection is lost

$t->redis_signal('STOP');
@gone = map { $t->start('/call', 'a=ECHO', "a=$_") } 1 .. 10;
$t->wait_for(1, sub { $t->fields('/stat')->{pending} == 10 });
close $_ for @gone;
ok($t->wait_for(1, sub { $t->fields('/stat')->{pending} == 0 }), 'aborted');
is($t->fields('/stat')->{calls}, 10, 'calls still wait for their replies');
$t->redis_kill;
ok($t->wait_for(5, sub { !$t->fields('/stat')->{ready} }), 'lost');
is($t->fields('/stat')->{calls}, 0, 'freed');

$t->done;
