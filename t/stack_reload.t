#!/usr/bin/perl

# `reload`: new workers take over, the old ones end, no request fails in
# between; a configuration that nginx refuses is said, and the old one stays.
# tags: asan

use strict;
use warnings;

use lib 't/lib';
use VMOps;

my $s = VMOps->stack(workers => 2);
my $tenant = $s->tenant('acme');
my %old = map { $_ => 1 } $s->workers;

my $asker = fork // die "fork: $!";
if (!$asker) {
    # asks until it is told to stop: exit status 0 when every answer was good
    my ($stop, $bad) = (0, 0);
    local $SIG{TERM} = sub { $stop = 1 };
    until ($stop) {
        # 429: it asks more often than a token may.  Each on a connection of
        # its own: one that is kept may be closed just when it is asked.
        $bad = 1 if $s->rest(GET => '/agents', { %$tenant,
                headers => { Connection => 'close' } })->{status}
            !~ /^(?:200|429)$/;
    }
    require POSIX;
    POSIX::_exit($bad);
}

$s->reload;
my @now = $s->workers;
is(scalar @now, 2, 'two workers');
is(scalar(grep { $old{$_} } @now), 0, 'both new');
wait_for { !grep { -e "/proc/$_/exe" } keys %old } 15, 'end of the old workers';
is($s->rest(GET => '/readyz')->{status}, 200, 'it serves');

kill 'TERM', $asker;
waitpid $asker, 0;
is($?, 0, 'no request failed meanwhile');

my $dir = $s->dir;
$s->allow_log(qr/no_such_directive/);
open my $fh, '>', "$dir/node1/server.d/bad.conf" or die $!;
print $fh "no_such_directive;\n";
close $fh;
my $run = run_command(['conf/stack', 'reload', '--dir', $dir]);
is($run->{exit}, 1, 'a bad configuration is refused');
like($run->{err}, qr/unknown directive "no_such_directive"/, "in nginx's words");
is_deeply([sort $s->workers], [sort @now], 'the workers are the same');
unlink "$dir/node1/server.d/bad.conf";

done_testing;
