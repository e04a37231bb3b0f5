#!/usr/bin/perl

# A server that reads nothing: calls wait up to a limit and are refused beyond
# it; memory stays where it is.

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

sub rss {
    my $pid = $t->fields('/stat')->{pid};
    open my $f, '<', "/proc/$pid/status" or die $!;
    return (join('', <$f>) =~ /VmRSS:\s+(\d+)/)[0];
}

like(scalar $t->get('/pipe', 'n=20000', 'a=ECHO'),
     qr/ refused=3616 ok=16384 none=0 disorder=0/, 'at most 16384 calls');

my $before = rss();
$t->redis_signal('STOP');

my @socks = map { $t->start('/pipe', 'n=1000', 'size=4000', 'deadline=2500',
                            'a=ECHO') } 1 .. 100;

ok($t->wait_for(10, sub { $t->fields('/stat')->{bytes} > 15e6 }), 'full');
my $s = $t->fields('/stat');
cmp_ok($s->{bytes}, '<=', 16 << 20, 'at most 16 MiB of commands');
my $most = rss();

my ($refused, $none) = (0, 0);
for (map { scalar $t->finish($_) } @socks) {
    my ($r, $n) = / refused=(\d+) ok=0 none=(\d+) disorder=0 twice=0 /;
    $refused += $r // 0;
    $none += $n // 0;
}

is($refused + $none, 100_000, '100000 calls have ended');
diag("$none waited, $refused were refused; "
     . sprintf 'memory %.1f MB, then %.1f MB', $before / 1024, $most / 1024);
cmp_ok($most - $before, '<', 40 * 1024, 'memory is bounded');

$t->redis_signal('CONT');
ok($t->ready, 'back');
is(scalar $t->get('/call', 'a=ECHO', 'a=x'), "200 \$x\n\n", 'serves');

my @lines = $t->log =~ /(too much is waiting)/g;
cmp_ok(scalar @lines, '<=', 3, 'said once a time');

$t->done;
