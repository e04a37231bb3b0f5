#!/usr/bin/perl

# A call ends at its deadline, once; a late reply goes to nobody else.
# tags: asan

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use VMOps::Process qw(now);
use VMOps::RedisClient;

my $t = VMOps::RedisClient->new;
$t->redis_start('redis');
$t->nginx_start;
ok($t->ready, 'ready');

# a pause: the connection stays

$t->redis('CLIENT', 'PAUSE', 800, 'ALL');

my $late = $t->start('/call', 'deadline=5000', 'a=ECHO', 'a=slow');
my $start = now;
is(scalar $t->get('/call', 'deadline=200', 'a=ECHO', 'a=late'),
   "504 none\n", 'no reply in time');
my $took = now - $start;
cmp_ok($took, '>', 0.19, 'not before its deadline');
cmp_ok($took, '<', 0.75, 'not long after');
diag(sprintf 'a deadline of 200 ms: %.0f ms', $took * 1000);

my $pipe = $t->start('/pipe', 'n=100', 'deadline=100', 'a=ECHO');
like(scalar $t->finish($pipe), qr/ ok=0 none=100 disorder=0 twice=0/,
     'many at once');

is(scalar $t->finish($late), "200 \$slow\n\n",
   'the first one has its reply after the pause');
is(scalar $t->get('/call', 'a=ECHO', 'a=next'), "200 \$next\n\n",
   'late replies are not mixed up');
is($t->fields('/stat')->{downs}, 0, 'the connection was kept');

# a stopped server: given up after a second of silence

$t->redis_signal('STOP');
$start = now;

my @socks = map { $t->start('/call', 'deadline=300', 'a=ECHO', "a=$_") }
            1 .. 5;
my @bad = grep { $_ ne "504 none\n" } map { scalar $t->finish($_) } @socks;
is("@bad", '', 'all told');

ok($t->wait_for(5, sub { !$t->fields('/stat')->{ready} }), 'hung');
diag(sprintf 'a hung server is noticed in %.0f ms', (now - $start) * 1000);

$start = now;
is(scalar $t->get('/call', 'a=ECHO', 'a=x'), "503 refused\n",
   'refused at once');
cmp_ok(now - $start, '<', 1, 'without waiting');

$t->redis_signal('CONT');
ok($t->ready, 'back by itself');
is(scalar $t->get('/call', 'a=ECHO', 'a=again'), "200 \$again\n\n",
   'right reply');
is($t->fields('/stat')->{pending}, 0, 'nothing waits');
like($t->log, qr/redis: no answer, connection given up, 5 calls failed/,
     'logged');

$t->done;
