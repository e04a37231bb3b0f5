#!/usr/bin/perl

# A start that fails says why, with the words of who failed, and leaves nothing
# running; a pid that now belongs to somebody else is never signalled.

use strict;
use warnings;

use JSON::PP;

use lib 't/lib';
use VMOps;

my $s = VMOps->stack;
my $dir = $s->dir;
$s->down;

open my $fh, '>', "$dir/node1/http.d/bad.conf" or die $!;
print $fh "no_such_directive;\n";
close $fh;
my $run = run_command(['conf/stack', 'up', '--dir', $dir], timeout => 60);
is($run->{exit}, 1, 'nginx refuses its configuration: exit status 1');
like($run->{err}, qr/nginx does not start:\n.*unknown directive/s,
     'the message has the reason');
is($run->{out}, '', 'no JSON');
ok(!eval { $s->redis('PING') }, 'Redis was stopped again');
unlink "$dir/node1/http.d/bad.conf";

# the state file of a machine that went down hard: its pids are others' now
my $foreign = fork // die "fork: $!";
if (!$foreign) {
    exec 'sleep', '300' or die;
}
open $fh, '>', "$dir/stack.json" or die $!;
my %process = (pid => $foreign, start => 1, exe => '/usr/sbin/nginx');
print $fh encode_json({ nodes => 1, workers => 1, tls => 0, ports => [],
                        processes => { redis => \%process,
                                       node1 => \%process } });
close $fh;
is(run_command(['conf/stack', 'down', '--dir', $dir])->{exit}, 0, 'down');
ok(kill(0, $foreign) && waitpid($foreign, 1) == 0,
   'the process that has the pid now lives');
kill 'KILL', $foreign;
waitpid $foreign, 0;

$s->up;
is($s->rest(GET => '/readyz')->{status}, 200, 'and it starts again');

done_testing;
