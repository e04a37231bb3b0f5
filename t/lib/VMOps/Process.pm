package VMOps::Process;

# Child processes with deadlines, and the only way in which tests wait.

use strict;
use warnings;

use Carp qw(croak);
use Exporter 'import';
use POSIX qw(:sys_wait_h setsid);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT_OK = qw(now wait_for run_command spawn stop children);

# Seconds of a clock that nobody sets: what took how long is measured by it.
sub now() { return clock_gettime(CLOCK_MONOTONIC) }

# wait_for { condition } $seconds, 'what';  the condition's value; dies when it
# does not come true in time
sub wait_for(&$$) {
    my ($condition, $seconds, $what) = @_;
    my $deadline = now + $seconds;
    while (1) {
        my $value = $condition->();
        return $value if $value;
        croak "no $what in $seconds s" if now > $deadline;
        select undef, undef, undef, 0.02;
    }
}

# Runs a program to its end: {exit, signal, out, err, ms}; the input is stdin's
# text, the program is killed and we die when it takes longer than timeout.
sub run_command {
    my ($command, %opt) = @_;
    my $timeout = $opt{timeout} // 30;
    my $start = now;

    pipe my $in_r, my $in_w or croak "pipe: $!";
    pipe my $out_r, my $out_w or croak "pipe: $!";
    pipe my $err_r, my $err_w or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        exec_with($command, $opt{env}, $in_r, $out_w, $err_w);
    }
    close $_ for $in_r, $out_w, $err_w;

    my %buffer = (out => '', err => '');
    my %from = (out => $out_r, err => $err_r);
    my $input = $opt{stdin} // '';
    local $SIG{PIPE} = 'IGNORE';
    if ($input eq '') {
        close $in_w;
        undef $in_w;
    }
    while (%from) {
        my ($r, $w) = ('', '');
        vec($r, fileno $_, 1) = 1 for values %from;
        vec($w, fileno $in_w, 1) = 1 if $in_w;
        my $left = $start + $timeout - now;
        if ($left <= 0) {
            kill 'KILL', -$pid;
            waitpid $pid, 0;
            croak "@$command[0 .. 1] ran for more than $timeout s:"
                . " $buffer{out}$buffer{err}";
        }
        next if select($r, $w, undef, $left) <= 0;
        for my $name (keys %from) {
            next unless vec $r, fileno $from{$name}, 1;
            my $n = sysread $from{$name}, $buffer{$name}, 65536,
                length $buffer{$name};
            delete $from{$name} unless $n;
        }
        if ($in_w && vec $w, fileno $in_w, 1) {
            my $n = syswrite $in_w, $input;
            substr $input, 0, $n // length $input, '';
            if ($input eq '') {
                close $in_w;
                undef $in_w;
            }
        }
    }
    waitpid $pid, 0;
    return { exit => $? >> 8, signal => $? & 127, out => $buffer{out},
             err => $buffer{err}, ms => (now - $start) * 1000 };
}

sub exec_with {
    my ($command, $env, $in, $out, $err) = @_;
    setsid();
    $SIG{$_} = 'DEFAULT' for qw(INT TERM PIPE);
    open STDIN, '<&', $in;
    open STDOUT, '>&', $out;
    open STDERR, '>&', $err;
    local %ENV = (%ENV, %{ $env // {} });
    exec { $command->[0] } @$command
        or do { print STDERR "cannot run $command->[0]: $!\n"; POSIX::_exit(127) };
}

# Starts a program in the background, its output in a file: its pid.
# stdin: a file it reads.
sub spawn {
    my ($command, $log, %opt) = @_;
    # there is a log from the start, whoever reads it
    open my $out, '>>', $log or croak "cannot write $log: $!";
    my $pid = fork // croak "fork: $!";
    return $pid if $pid;
    open my $in, '<', $opt{stdin} // '/dev/null' or POSIX::_exit(126);
    exec_with($command, $opt{env}, $in, $out, $out);
}

# Ends a child of ours: by the signal, by KILL when that does not help; its
# wait status, or undef when it had to be killed.
sub stop {
    my ($pid, $signal, $seconds) = @_;
    kill $signal // 'TERM', $pid;
    my $status;
    my $ended = eval {
        wait_for { waitpid($pid, WNOHANG) == $pid && defined($status = $?) }
            $seconds // 10, "end of $pid";
    };
    return $status if $ended;
    kill 'KILL', $pid;
    waitpid $pid, 0;
    return undef;
}

# pids of the children of a process
sub children {
    my ($parent) = @_;
    my @found;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $file or next;
        my $line = <$fh> // next;
        my ($pid, $ppid) = $line =~ /^(\d+) \(.*\) \S (\d+)/ or next;
        push @found, $pid if $ppid == $parent;
    }
    return @found;
}

1;
