# t/run-test runs a test once more when it failed and the machine stood still, or
# its clock was set, meanwhile; in no other case.

use strict;
use warnings;

use File::Temp qw(tempdir);

use VMOps;
use VMOps::Process qw(spawn children);

use constant { SECONDS => 20, STILL_S => 0.8 };

my $dir = tempdir('vmops-run-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

sub put {
    my ($name, $text) = @_;
    open my $file, '>', "$dir/$name" or die "$name: $!";
    print $file $text;
    close $file;
}

# it ends by what the file "ends" says of its first, and of its second run
put('case.t', <<"TEST");
    open my \$runs, '>>', '$dir/runs' or die; print \$runs "run\\n"; close \$runs;
    open \$runs, '<', '$dir/runs' or die; my \$n = () = <\$runs>;
    \$| = 1; print "out \$n\\n";
    print STDERR "err \$n\\n";
    select undef, undef, undef, 0.01 until -e '$dir/go';
    open my \$ends, '<', '$dir/ends' or die;
    exit +(split / /, <\$ends>)[\$n - 1];
TEST

# the runner's clock is ten seconds ahead from when there is a file "set"
put('Clock.pm', <<"CLOCK");
    package Clock;
    use Time::HiRes;
    my \$true = \\&Time::HiRes::clock_gettime;
    no warnings;
    *Time::HiRes::clock_gettime = sub {
        return \$true->(\$_[0])
            + 10 * (\$_[0] == Time::HiRes::CLOCK_REALTIME && -e '$dir/set');
    };
    1;
CLOCK

# ends => how both runs would; what happens during the first; the outcome
sub run {
    my (%o) = @_;
    unlink map { "$dir/$_" } qw(runs go set out err);
    put('ends', $o{ends});
    my $pid = spawn(['sh', '-c', 'exec "$@" 2>"$0"', "$dir/err",
                     VMOps::top() . '/t/run-test', "$dir/case.t"], "$dir/out",
                    env => $o{clock} ? { PERL5OPT => "-I$dir -MClock" } : {});
    wait_for { -s "$dir/runs" } SECONDS, 'its first run';
    $o{meanwhile}->($pid) if $o{meanwhile};
    put('go', '');
    my $ended;
    wait_for { $ended = waitpid($pid, POSIX::WNOHANG()) } SECONDS, 'its end';
    return join '|', $? >> 8, map { VMOps::slurp("$dir/$_") =~ s/\s+/ /gr =~ s/ $//r }
        qw(runs out err);
}

sub stands_still {
    my ($pid) = @_;
    kill 'STOP', $pid;
    select undef, undef, undef, STILL_S;
    kill 'CONT', $pid;
}

my $said = qr{\Q$dir\E/case\.t: the machine stood still for (?:0\.[89]|\d\.\d) s: once more};

like run(ends => '3 0', meanwhile => \&stands_still),
    qr/^0\|run run\|out 2\|$said err 1 err 2$/,
    'it failed and the machine stood still: its second run counts';
like run(ends => '3 4', meanwhile => \&stands_still),
    qr/^4\|run run\|out 2\|$said err 1 err 2$/, 'it fails again: it has failed';
is run(ends => '0 3', meanwhile => \&stands_still), '0|run|out 1|err 1',
    'it succeeded: once';
is run(ends => '3 0'), '3|run|out 1|err 1', 'it failed, and that is all: once';
is run(ends => '3 0', meanwhile => sub { stands_still(children($_[0])) }),
    '3|run|out 1|err 1', 'the test stood still, not the machine: once';
like run(ends => '3 0', meanwhile => sub { stands_still($_[0]);
                                           kill 'TERM', $_[0] }),
    qr/^[03]\|run\|out 1\|err 1$/, 'it is to end: once';

like run(ends => '3 0', clock => 1, meanwhile => sub { put('set', '') }),
    qr{^0\|run run\|out 2\|\S+/case\.t: the clock was set by \+10\.0 s: once more },
    'it failed and the clock was set: its second run counts';
is run(ends => '3 0', clock => 1), '3|run|out 1|err 1', 'control: a clock that goes';

done_testing;
