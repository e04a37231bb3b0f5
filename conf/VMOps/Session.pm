package VMOps::Session;

# Processes that outlive who started them.  Each is the leader of a session of
# its own, so what it started is found even when it is dead; with the start
# time of the leader and the program's file a recycled pid is never taken for
# ours.  A process is {pid, start, exe}, which may be kept in a file.

use strict;
use warnings;

use Exporter 'import';
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(time);

our @EXPORT = qw(session_of leader_alive members end_session wait_for);

use constant STEP_S => 0.02;

sub proc_stat {
    my ($pid) = @_;
    open my $fh, '<', "/proc/$pid/stat" or return;
    my $line = <$fh> // return;
    $line =~ s/^.*\) // or return;
    my @field = split ' ', $line;
    return { pid => $pid, state => $field[0], session => $field[3],
             start => $field[19], exe => readlink "/proc/$pid/exe" };
}

# the process that a live leader is to be known by later, or undef
sub session_of {
    my ($pid) = @_;
    my $proc = proc_stat($pid) // return undef;
    return { pid => $pid + 0, start => $proc->{start} + 0,
             exe => $proc->{exe} };
}

sub leader_alive {
    my ($process) = @_;
    my $proc = $process && proc_stat($process->{pid}) or return 0;
    return $proc->{start} == $process->{start} && $proc->{state} ne 'Z';
}

# pids of all live members of the session
sub members {
    my ($process) = @_;
    my $sure = leader_alive($process);
    opendir my $dh, '/proc' or die "cannot read /proc: $!\n";
    my @found;
    for my $pid (grep { /^\d+$/ } readdir $dh) {
        my $proc = proc_stat($pid) // next;
        next if $proc->{session} != $process->{pid}
             || $proc->{start} < $process->{start} || $proc->{state} eq 'Z';
        next unless $sure || ($proc->{exe} // '') eq $process->{exe};
        push @found, $pid;
    }
    return @found;
}

# TERM to the leader (to what is left, when that is dead), KILL to all after
# so many seconds: whether all are gone
sub end_session {
    my ($process, $seconds) = @_;
    my $gone = sub { waitpid $process->{pid}, WNOHANG; !members($process) };

    kill 'TERM', leader_alive($process) ? $process->{pid} : members($process);
    return 1 if wait_for($seconds, $gone);
    kill 'KILL', members($process);
    return wait_for($seconds, $gone);
}

# polls: the condition's value as soon as it is true, or when time is over
sub wait_for {
    my ($seconds, $condition) = @_;
    my $deadline = time + $seconds;
    while (1) {
        my $value = $condition->();
        return $value if $value || time > $deadline;
        select undef, undef, undef, STEP_S;
    }
}

1;
