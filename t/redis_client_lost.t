#!/usr/bin/perl

# Redis dies in mid-pipeline: every callback runs once, with nothing; calls are
# refused at once; the client comes back by itself.
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

for my $round (1 .. 3) {
    my $stopped = $round < 3;

    $t->redis_signal('STOP') if $stopped;

    my @socks = map { $t->start('/pipe', 'n=3000', 'size=100',
                                'deadline=20000', 'a=ECHO') } 1 .. 5;

    ok($t->wait_for(5, sub { $t->fields('/stat')->{calls} == 15000 }),
       'calls wait') if $stopped;

    $t->redis_kill;
    my $killed = now;

    my ($ok, $none) = (0, 0);
    for my $r (map { scalar $t->finish($_) } @socks) {
        my ($refused, $o, $n, $twice) =
            $r =~ /refused=(\d+) ok=(\d+) none=(\d+) disorder=0 twice=(\d+)/;
        is(($refused // -1) + ($o // 0) + ($n // 0), 3000, 'each call ended');
        is($twice, 0, 'once');
        $ok += $o;
        $none += $n;
    }

    diag(sprintf 'round %d: %d answered, %d failed %.0f ms after the kill',
         $round, $ok, $none, (now - $killed) * 1000);
    is($none, 15000, 'with nothing') if $stopped;

    ok($t->wait_for(5, sub { !$t->fields('/stat')->{ready} }), 'not ready');

    my $start = now;
    is(scalar $t->get('/call', 'a=PING'), "503 refused\n", 'refused');
    cmp_ok(now - $start, '<', 1, 'at once');

    $start = now;
    $t->redis_restart;
    ok($t->ready, 'back');
    diag(sprintf 'back %.0f ms after the start', (now - $start) * 1000);
    is(scalar $t->get('/call', 'a=ECHO', 'a=x'), "200 \$x\n\n", 'serves');
}

my $s = $t->fields('/stat');
is("$s->{pending} $s->{calls} $s->{ups} $s->{downs}", '0 0 4 3', 'counters');

my @told = $t->log =~ /redis: connection closed/g;
is(scalar @told, 3, 'one line a loss');

$t->done;
