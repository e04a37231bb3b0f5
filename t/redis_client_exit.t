#!/usr/bin/perl

# Reload and quit under load: requests in flight are answered, no worker stays,
# no socket is left open.
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
$t->nginx_start(workers => 2);
ok($t->ready, 'ready');

sub workers {
    my @names = $t->redis('CLIENT', 'LIST') =~ /name=redis-test\.\d+\.comm/g;
    return scalar @names;
}

$t->get('/subscribe', "id=$_", "a=c$_") for 0 .. 7;

# some calls are pending while the workers change

for my $round (1 .. 4) {
    # the round's workers first, calls may wait for the connection of the next

    ok($t->wait_for(5, sub {
        my @ready = $t->log =~ /redis: ready.*connection: commands/g;
        return @ready == 2 * $round;
    }), 'workers are ready');

    $t->redis('CLIENT', 'PAUSE', 300, 'ALL');

    my @socks = map { $t->start('/call', 'a=ECHO', "a=$round.$_") } 1 .. 40;
    push @socks, map { $t->start('/pipe', 'n=200', 'a=ECHO') } 1 .. 10;

    $t->wait_for(2, sub { $t->fields('/stat')->{pending} });
    $t->nginx_signal('HUP');

    my @bad = grep { !/^200 (?:\$$round\.|.* ok=200 none=0 disorder=0)/s }
              map { scalar $t->finish($_) } @socks;
    is("@bad", '', "reload $round: all answered");
}

# a new worker takes calls before its connection is made

my @refused;
for my $n (1 .. 400) {
    $t->nginx_signal('HUP') if $n % 100 == 0;
    my @socks = map { $t->start('/call', 'a=ECHO', 'a=x') } 1 .. 3;
    push @refused, grep { $_ ne "200 \$x\n\n" }
                   map { scalar $t->finish($_) } @socks;
}
is("@refused", '', 'a reload refuses nothing');

my $start = now;
ok($t->wait_for(10, sub { workers() == 2 }), 'old workers have gone');
diag(sprintf 'old workers gone after %.0f ms', (now - $start) * 1000);

# a fast shutdown and a graceful one with calls pending

$t->redis('CLIENT', 'PAUSE', 500, 'ALL');
my @socks = map { $t->start('/call', 'a=ECHO', "a=last$_") } 1 .. 20;
$t->wait_for(2, sub { $t->fields('/stat')->{pending} });

$start = now;
$t->nginx_signal('QUIT');
my @bad = grep { !/^200 \$last/ } map { scalar $t->finish($_) } @socks;
is("@bad", '', 'quit: all answered');
ok($t->nginx_ended(10), 'nginx ends');
diag(sprintf 'quit in %.0f ms with a pause of 500 ms', (now - $start) * 1000);

my @hooks = $t->log =~ /redis test: graceful exit begins/g;
my @exits = $t->log =~ /gracefully shutting down/g;
is(scalar @hooks, scalar @exits, 'each worker heard of its graceful exit');
unlike($t->log, qr/open socket .* left/, 'no open socket');

$t->nginx_start(workers => 2);
ok($t->ready, 'ready');
$t->redis('CLIENT', 'PAUSE', 500, 'ALL');
@socks = map { $t->start('/call', 'a=ECHO', 'a=x') } 1 .. 20;
$t->wait_for(2, sub { $t->fields('/stat')->{pending} });
$t->nginx_signal('TERM');
ok($t->nginx_ended(5), 'a fast shutdown ends, too');

# without a server: the backoff keeps no worker alive

$t->redis_kill;
$t->nginx_start(workers => 2);
$t->wait_for(5, sub { $t->log =~ /cannot connect/ });
$start = now;
$t->nginx_signal('QUIT');
ok($t->nginx_ended(5), 'quit without a server');
cmp_ok(now - $start, '<', 1.5, 'at once');

$t->done;
