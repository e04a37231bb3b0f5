#!/usr/bin/perl

# Ten thousand calls of one event go out together and are answered in order.
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

sub reads {
    return $t->redis('INFO', 'stats') =~ /total_reads_processed:(\d+)/ && $1;
}

my $before = reads();
my $r = $t->fields('/pipe', 'n=10000', 'a=ECHO');
my $reads = reads() - $before;

is($r->{ok}, 10000, 'all answered');
is($r->{disorder}, 0, 'in order');
is($r->{twice}, 0, 'once');
cmp_ok($reads, '<', 200, 'in few sends');
diag("10000 calls: $r->{ms} ms, $reads reads at the server");

$r = $t->fields('/pipe', 'n=200', 'size=50000', 'a=ECHO');
is($r->{ok}, 200, 'commands longer than the buffer');
is($r->{disorder}, 0, 'in order');
diag("10 MB there and back: $r->{ms} ms");

my @socks = map { $t->start('/pipe', 'n=500', 'a=ECHO') } 1 .. 20;
my @bad = grep { !/ ok=500 none=0 disorder=0 / }
          map { scalar $t->finish($_) } @socks;
is("@bad", '', 'requests side by side');

is(scalar $t->get('/call', 'a=SET', 'a=k', "a=a\r\n\0b"), "200 +OK\n\n",
   'binary argument');
is($t->redis('GET', 'k'), "a\r\n\0b", 'arrives as it is');
is($t->fields('/stat')->{calls}, 0, 'nothing left');

$t->done;
