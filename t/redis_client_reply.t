#!/usr/bin/perl

# Replies beyond the limits end the connection, not the worker.
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

my $lua = 'local r = {} for i = 1, tonumber(ARGV[1]) do r[i] = i end return r';

sub reply { return scalar $t->get('/call', 'deadline=9000', @_) }

$t->redis('SETRANGE', 'big', 8e6, 'x');
like(reply('a=GET', 'a=big'), qr/^200 \$/, 'eight megabytes');
$t->redis('SETRANGE', 'big', 9e6, 'x');
is(reply('a=GET', 'a=big'), "504 none\n", 'more than the limit');
ok($t->ready, 'back');
like($t->log, qr/redis: reply too big, 1 calls failed/, 'told');

like(reply('a=EVAL', "a=$lua", 'a=0', 'a=65536'), qr/^200 \*65536\n:1\n:2\n/,
     'an array at the limit');
is(reply('a=EVAL', "a=$lua", 'a=0', 'a=65537'), "504 none\n",
   'beyond the limit');
ok($t->ready, 'back');
like($t->log, qr/redis: protocol error, 1 calls failed/, 'told');

# many values that are small each

$lua = 'local r = {} local s = string.rep("x", 1000)'
       . ' for i = 1, tonumber(ARGV[1]) do r[i] = s end return r';
like(reply('a=EVAL', "a=$lua", 'a=0', 'a=8000'), qr/^200 \*8000\n/,
     'eight megabytes of them');
is(reply('a=EVAL', "a=$lua", 'a=0', 'a=9000'), "504 none\n", 'nine');
ok($t->ready, 'back');

is(reply('a=ECHO', 'a=x'), "200 \$x\n\n", 'serves');

$t->done;
