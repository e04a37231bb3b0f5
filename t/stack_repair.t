#!/usr/bin/perl

# `up` on a stack of which something died starts that and nothing else: Redis
# killed hard comes back with all its data, a killed nginx on its old port.

use strict;
use warnings;

use lib 't/lib';
use VMOps;

my $s = VMOps->stack;
my $tenant = $s->tenant('acme');
my ($redis, $master, $url) = ($s->redis_pid, $s->master, $s->url);

kill 'KILL', $redis;
wait_for { !eval { $s->redis('PING') } } 5, 'end of Redis';
$s->up;
isnt($s->redis_pid, $redis, 'another Redis');
is($s->master, $master, 'the same nginx');
is($s->rest(GET => '/agents', $tenant)->{status}, 200, 'nothing is lost');

# a master that is killed leaves its workers behind; up ends them, too
my ($worker) = $s->workers;
kill 'KILL', $master;
wait_for { !-e "/proc/$master/exe" } 5, 'end of the master';
$s->up;
is($s->url, $url, 'nginx is back on its port');
isnt($s->master, $master, 'by another master');
ok(!-e "/proc/$worker/exe", 'the orphaned worker is gone');

my $run = run_command(['conf/stack', 'up', '--dir', $s->dir, '--workers', 3]);
is($run->{exit}, 1, 'up with other options than it runs with: refused');
like($run->{err}, qr/runs already, with --workers 1/, 'and said why');
$run = run_command(['conf/stack', 'up', '--dir', $s->dir, '--tls']);
is($run->{exit}, 1, 'so is --tls');
like($run->{err}, qr/runs already, without --tls;/, 'and said why');

done_testing;
