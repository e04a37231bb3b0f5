# t/run-test passes on what a test writes and how it ends, whatever that is, and
# the signals that are to end it.

use strict;
use warnings;

use File::Temp qw(tempdir);
use POSIX ();

use VMOps;
use VMOps::Process qw(spawn);

use constant SECONDS => 20;

my $runner = VMOps::top() . '/t/run-test';
my $dir = tempdir('vmops-run-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

sub test_file {
    my ($text) = @_;
    open my $file, '>', "$dir/case.t" or die "case.t: $!";
    print $file $text;
    close $file;
    return "$dir/case.t";
}

sub outcome {
    my (@command) = @_;
    my $run = run_command([$runner, @command]);
    return "$run->{exit} $run->{signal} $run->{out}|$run->{err}";
}

# files and programs

is outcome(test_file('use VMOps::Process; print "1..0\n"; exit 7')), "7 0 1..0\n|",
    'a Perl file has the library of tests';
is outcome('sh', '-c', 'echo out; echo err >&2; exit 9', 'x'), "9 0 out\n|err\n",
    'a program has its arguments';
like outcome("$dir/nothing"), qr/^127 0 \|Can't exec /, 'nothing to run: 127';

# ends

is outcome(test_file("exit $_")), "$_ 0 |", "exit $_" for 0, 1, 255;
is outcome('sh', '-c', "kill -$_ \$\$"), '0 ' . POSIX->can("SIG$_")->() . ' |',
    "SIG$_" for qw(KILL TERM INT SEGV);
is outcome('sh', '-c', 'sleep 60 >/dev/null & echo $!') =~ /^0 0 (\d+)\n\|$/
   && kill('KILL', $1), 1, 'who has only its stderr is not waited for';

# output: of any size and content, stdout's line before what comes to stderr then

my $bytes = join '', map { chr } 0 .. 255;
for my $kb (64, 6000) {
    my $file = test_file("binmode STDOUT; my \$x = join '', map { chr } 0 .. 255;"
                         . "print \$x x 4 for 1 .. $kb; print STDERR \$x; exit 5");
    my $run = run_command([$runner, $file]);
    ok $run->{out} eq $bytes x 4 x $kb, "$kb KB on stdout";
    ok $run->{err} eq $bytes, 'and what is on stderr';
    is $run->{exit}, 5, 'and how it ended';
}
is run_command(['sh', '-c', '"$0" "$1" 2>&1', $runner,
                test_file('$| = 1; print "not ok\n"; print STDERR "# why\n"')])
   ->{out}, "not ok\n# why\n", 'what failed comes before why';

# signals: the test is told, and has its time to end

for my $signal (qw(INT TERM HUP QUIT)) {
    my $file = test_file("\$SIG{$signal} = sub { \$told++ }; \$| = 1;"
        . "open my \$f, '>', '$dir/up' or die; print \$f \$\$; close \$f;"
        . 'select undef, undef, undef, 0.01 until $told;'
        . 'print "told $told"; exit 4');
    unlink "$dir/up", "$dir/out";
    my $pid = spawn([$runner, $file], "$dir/out");
    wait_for { -s "$dir/up" } SECONDS, 'its begin';
    my $test = VMOps::slurp("$dir/up");
    isnt getpgrp $test, getpgrp $pid, "$signal: a group of its own";
    kill $signal, $pid;
    wait_for { waitpid($pid, POSIX::WNOHANG()) } SECONDS, 'its end';
    is $? >> 8, 4, "$signal: it ended as it wished";
    is VMOps::slurp("$dir/out"), 'told 1', "$signal: told once";
    ok !kill(0, $test), "$signal: nothing is left";
}

done_testing;
