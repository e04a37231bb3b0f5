# A crash of the agent leaves no core file, whatever the limits it was started
# with, and no other process of the same user can look into it.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();

use VMOps;
use VMOps::Process qw(spawn);

use constant { NOBODY => 65534, SECONDS => 15 };

if ($>) {
    diag 'THE AGENT IS NOT LOOKED INTO HERE: it needs root';
    plan(skip_all => 'needs root');
}

# all of it as a user who is nobody in particular, with leave to dump core

my $dir = tempdir('vmops-core-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/home", 0700;
run_command(['cp', VMOps::Agent::binary(), "$dir/vmops-agent"]);
chown NOBODY, NOBODY, $dir, "$dir/home", "$dir/vmops-agent";

sub as_nobody {
    my (@command) = @_;
    return ['setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups',
            'sh', '-c', 'cd "$0" && ulimit -c unlimited && exec "$@"', $dir,
            @command];
}

# another program, which reads a pipe for ever, and the agent, which waits for
# an answer that does not come

my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5)
    or die "listen: $!\n";
my %pid = (
    other => spawn(as_nobody('sleep', 60), "$dir/other.out"),
    agent => spawn(as_nobody("$dir/vmops-agent", '--home', "$dir/home", 'pair',
        '--server', 'http://127.0.0.1:' . $silent->sockport, '--code',
        'AAAA-AAAA-AAAA', '--yes'), "$dir/agent.out"),
);
$silent->timeout(SECONDS);
my $connection = $silent->accept or die VMOps::slurp("$dir/agent.out");
wait_for { VMOps::slurp_proc($pid{other}, 'cmdline') =~ /^sleep/ } SECONDS,
    'the other program';

my %looks = map { $_ => looked_into($pid{$_}) } keys %pid;
is $looks{other}, 'yes', 'control: its user can look into another program';
is $looks{agent}, 'no', 'but not into the agent';

my ($limit) = VMOps::slurp("/proc/$pid{agent}/limits")
    =~ /^Max core file size\s+(.*?)\s{2,}\S+\s+bytes/m;
is $limit, 0, 'its limit of core files is 0';

# forced to dump

my %end;
for my $who (sort keys %pid) {
    kill 'ABRT', $pid{$who};
    waitpid $pid{$who}, 0;
    is $? & 127, POSIX::SIGABRT, "$who: aborted";
    $end{$who} = $? & 128 ? 'core' : 'no core';
}
is $end{agent}, 'no core', 'the agent leaves no core file';
SKIP: {
    my $pattern = VMOps::slurp('/proc/sys/kernel/core_pattern');
    diag "HERE NO PROGRAM LEAVES A CORE FILE: $pattern"
        if $end{other} ne 'core';
    skip 'no core files here', 1 if $end{other} ne 'core';
    pass 'control: another program does';
}

done_testing;

# by another process of its user: what needs the right to trace it
sub looked_into {
    my ($pid) = @_;
    my $run = run_command(as_nobody('cat', "/proc/$pid/environ"));
    return $run->{exit} == 0 ? 'yes'
        : $run->{err} =~ /Permission denied/ ? 'no' : $run->{err};
}
