#!/usr/bin/perl

# No server at the start: calls are refused at once, one line is logged, and
# the client comes up with the server; one that goes away is said with why it
# cannot be had again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use VMOps::Process qw(now);
use VMOps::RedisClient;

my $t = VMOps::RedisClient->new;
$t->nginx_start;

my $start = now;
is(scalar $t->get('/call', 'a=PING'), "503 refused\n", 'refused');
like(scalar $t->get('/pipe', 'n=50', 'a=ECHO'), qr/ refused=50 ok=0 none=0/,
     'no callback runs');
cmp_ok(now - $start, '<', 1, 'at once');

# some tries later

ok($t->wait_for(5, sub { now > $start + 1 }), 'a second');
my @lines = $t->log =~ /(redis: cannot connect)/g;
is(scalar @lines, 1, 'said once');
@lines = $t->log =~ /(connect\(\) to unix)/g;
is(scalar @lines, 1, 'by nginx, too');

$t->redis_start('redis');
ok($t->ready, 'comes up');
like($t->redis('CLIENT', 'LIST'), qr/ name=redis-test\.\d+\.commands /,
     'named');

$t->redis_kill;
ok($t->wait_for(5, sub { (() = $t->log =~ /redis: cannot connect/g) > 1 }),
   'it goes away');
@lines = $t->log =~ /(redis: cannot connect \(111: .*?\)), redis: .*, (client.*)/g;
is($lines[-1], 'client: redis-test, connection: commands', 'whose it was');
is($lines[-2], 'redis: cannot connect (111: Connection refused)', 'and why');

$t->done;
