#!/usr/bin/perl

# `down` leaves no process, socket, pid file or port; the data stays and the
# next `up` has it; `reset` drops it.

use strict;
use warnings;

use IO::Socket::INET;

use lib 't/lib';
use VMOps;

my $s = VMOps->stack(workers => 2);
my $tenant = $s->tenant('acme');
my $token = $s->platform_token;
my $port = $s->port;
my @pids = ($s->redis_pid, $s->master, $s->workers);
is(scalar @pids, 4, 'Redis, a master and two workers run');

sub is_running { (slurp_stat($_[0]) // 'Z') ne 'Z' }

sub slurp_stat {
    open my $fh, '<', "/proc/$_[0]/stat" or return;
    return (<$fh> // '') =~ /\) (\S)/ ? $1 : undef;
}

$s->down;
is(scalar(grep { is_running($_) } @pids), 0, 'none of them after down');
ok(!-e $s->info->{redis_socket}, 'no socket');
is_deeply([glob($s->dir . '/*/*.pid')], [], 'no pid file');
my $free = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1,
                                 LocalPort => $port, ReuseAddr => 1);
ok($free, 'the port is free');
close $free;

my $status = run_command(['conf/stack', 'status', '--dir', $s->dir]);
is($status->{exit}, 3, 'status says so');
is(run_command(['conf/stack', 'down', '--dir', $s->dir])->{exit}, 0,
   'a second down does no harm');
is(run_command(['conf/stack', 'reload', '--dir', $s->dir])->{exit}, 1,
   'a reload of what does not run fails');

$s->up;
is($s->platform_token, $token, 'up again: the same platform token');
is($s->rest(GET => '/agents', $tenant)->{status}, 200, "and the tenant's, too");
is(run_command(['conf/stack', 'status', '--dir', $s->dir])->{exit}, 0,
   'status says that all of it runs');

$s->reset;
isnt($s->platform_token, $token, 'reset: a new platform token');
is($s->rest(GET => '/agents', $tenant)->{status}, 401, 'the tenant is gone');
is($s->rest(GET => '/admin/tenants', { token => $token })->{status}, 401,
   'so is the old platform token');
is($s->rest(GET => '/admin/tenants', { token => $s->platform_token })->{status},
   200, 'the new one works');

done_testing;
