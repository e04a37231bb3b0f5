#!/usr/bin/perl

# A taken port is a clear error at once; nothing is started, nothing of what
# has the port is touched.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP;

use lib 't/lib';
use VMOps;

my $holder = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5)
    or die "no port: $!";
my $port = $holder->sockport;
my $dir = tempdir(TMPDIR => 1, CLEANUP => 1);
END {
    local $?;
    run_command(['conf/stack', 'down', '--dir', $dir]) if defined $dir;
}

my $run = run_command(['conf/stack', 'up', '--dir', $dir, '--port', $port]);
is($run->{exit}, 1, 'exit status 1');
like($run->{err}, qr/port $port on 127\.0\.0\.1 cannot be had: .*in use/i,
     'the message names the port and the reason');
is($run->{out}, '', 'nothing on standard output');
cmp_ok($run->{ms}, '<', 2000, 'at once');
ok(!-e "$dir/redis/redis.sock", 'Redis was not started');

ok(IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port),
   'who has the port still listens');

# the control: the same call when the port is free
close $holder;
$run = run_command(['conf/stack', 'up', '--dir', $dir, '--port', $port],
                   timeout => 60);
is($run->{exit}, 0, 'with the port free it starts') or diag($run->{err});
is(decode_json($run->{out})->{url}, "http://127.0.0.1:$port", 'and is there')
    if $run->{exit} == 0;
is(run_command(['conf/stack', 'down', '--dir', $dir])->{exit}, 0, 'down');

# it is to be found where it was: no other port is taken for it
$holder = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port,
                                Listen => 5, ReuseAddr => 1) or die "port: $!";
$run = run_command(['conf/stack', 'up', '--dir', $dir]);
is($run->{exit}, 1, 'its port taken while it was down: exit status 1');
like($run->{err}, qr/port $port on 127\.0\.0\.1 cannot be had/, 'and said why');

# a folder that was made for what then is refused
$run = run_command(['conf/stack', 'up', '--dir', "$dir-new", '--port', $port]);
is($run->{exit}, 1, 'a port that is taken, and a new folder');
ok(!-e "$dir-new", 'the folder is gone');

done_testing;
