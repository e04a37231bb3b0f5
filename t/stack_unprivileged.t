#!/usr/bin/perl

# A user without privileges starts and stops a stack as root does.

use strict;
use warnings;

use File::Temp qw(tempdir);
use JSON::PP;

use lib 't/lib';
use VMOps;

my $dir = tempdir(TMPDIR => 1, CLEANUP => 1);
my @as;
if ($> == 0) {
    my $nobody = getpwnam 'nobody';
    chown $nobody, -1, $dir or die "chown: $!";
    @as = ('setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups');
    plan skip_all => 'user nobody cannot read this tree'
        if run_command([@as, 'test', '-x', 'conf/stack'])->{exit};
}

my $up = run_command([@as, 'conf/stack', 'up', '--dir', $dir], timeout => 60);
is($up->{exit}, 0, 'up') or diag($up->{err});
my $info = eval { decode_json($up->{out}) } // { pids => { nginx => [] } };
my $me = $> || getpwnam 'nobody';
is((stat "/proc/$_")[4], $me, "pid $_ is the user's")
    for grep { defined } $info->{pids}{redis}, @{ $info->{pids}{nginx} };
like(VMOps::slurp("$dir/node1/error.log"), qr/start worker process \d/, 'started');
unlike(VMOps::slurp("$dir/node1/error.log"), qr/\[(?:warn|alert|emerg)\]/,
       'without a complaint');
is(run_command([@as, 'conf/stack', 'down', '--dir', $dir])->{exit}, 0, 'down');

done_testing;
