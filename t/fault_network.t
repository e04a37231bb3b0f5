# The network between an agent and the server is cut in mid-command, in network
# namespaces: the agent is in one, its hypervisor's LAN goes with it, and the
# wire that is cut is a pair of virtual devices.  A short cut does not even end
# the session; a long one loses nothing, and does nothing twice.

use strict;
use warnings;

use File::Temp qw(tempdir);

use VMOps;
use VMOps::Relay;
use VMOps::Witness;

my $net = "vmops-$$";
my @wire = ("vmw$$", "vmx$$");
my $base = join '.', 198, 18, ($$ >> 6) & 255, ($$ & 63) << 2;    # RFC 2544
my @address = map { $base =~ s/(\d+)$/$1 + $_/er } 1, 2;

# the whole of it, or a clear word that it was not tested

sub ip {
    my (@args) = @_;
    my $run = eval { run_command(['ip', @args], timeout => 10) };
    return !$run ? "there is no ip (iproute2): $@"
        : $run->{exit} ? "ip @args: $run->{err}" : '';
}

sub make_network {
    return 'it needs root' if $>;
    for my $step ([qw(netns add), $net],
                  [qw(link add), $wire[0], qw(type veth peer name), $wire[1]],
                  [qw(link set), $wire[1], 'netns', $net],
                  [qw(addr add), "$address[0]/30", 'dev', $wire[0]],
                  [qw(link set), $wire[0], 'up'],
                  ['-n', $net, qw(link set lo up)],
                  ['-n', $net, qw(addr add), "$address[1]/30", 'dev', $wire[1]],
                  ['-n', $net, qw(link set), $wire[1], 'up']) {
        my $why = ip(@$step);
        return $why if $why;
    }
    return '';
}

my $why = make_network();
if ($why) {
    diag "A CUT NETWORK IS NOT TESTED HERE: $why";
    plan(skip_all => "no network namespaces: $why");
}
my $owner = $$;
END { ip(qw(netns del), $net) if $owner && $owner == $$ }

my $s = VMOps->stack(workers => 2);
my $w = VMOps::Witness->with_site($s, guests => 3, durations => {
    qmstart => 500, qmstop => 500 });
my ($site, $agent, $pve) = ($w->site, $w->site->agent, $w->site->pve);
my $dir = tempdir('vmops-net-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

# the server is where it was, by the wire; the hypervisor is in the LAN

my $port = $s->port;
my @relays = (
    VMOps::Relay->start(listen => "$address[0]:$port", to => "127.0.0.1:$port"),
    VMOps::Relay->start(listen => "127.0.0.1:$port", in => $net,
                        to => "$address[0]:$port"),
    VMOps::Relay->start(listen => "$dir/lan", to => '127.0.0.1:' . $pve->port),
    VMOps::Relay->start(listen => '127.0.0.1:' . $pve->port, in => $net,
                        to => "$dir/lan"),
);

my $program = "$dir/agent";
open my $file, '>', $program or die "$program: $!";
print $file "#!/bin/sh\nexec ip netns exec $net ", VMOps::Agent::binary(),
    " \"\$@\"\n";
close $file;
chmod 0700, $program;
$agent->stop;
{
    local $ENV{VMOPS_AGENT} = $program;
    $agent->start;
}
isnt readlink "/proc/@{[ $agent->pid ]}/ns/net", readlink "/proc/$$/ns/net",
    'the agent is in a network of its own';

sub sessions {
    my @lines = grep { /"session_ready"/ } split /^/, VMOps::slurp($agent->output);
    return scalar @lines;
}

my $running = 0;
for my $cut_s (@{ rounds(ci => [1, 4], full => [1, 10, 70]) }) {
    my $action = $running ? 'stop' : 'start';
    $w->all_guests($running ? 'running' : 'stopped');
    $running = !$running;
    $w->again;
    my $sessions = sessions();

    # one that ends during the cut, one that goes on for longer

    $pve->control('POST', 'tasks/next', { type => "qm$action", vmid => 101,
                                          duration => ($cut_s + 2) * 1000 });
    $w->taken($action, $_, timeout_s => 30) for 100, 101;
    wait_for { @{ $w->effects } >= 2 } 10, 'their tasks';
    is ip(qw(link set), $wire[0], 'down'), '', "$cut_s s: the wire is cut";
    my $cut = now;
    my $r = $w->order($action, 102, timeout_s => 30);
    is $r->{status}, 202, 'an order goes out into nothing';
    wait_for { grep { $_->{event} eq 'effect' } @{ $w->effects } } 10,
        'the effect';
    wait_for { now - $cut > $cut_s } $cut_s + 1, 'the end of the cut';
    is ip(qw(link set), $wire[0], 'up'), '', 'the wire is mended';
    my $mended = now;
    wait_for { $w->quiet } 45, 'all of it';
    diag sprintf '%d s: all is final %.1f s later, %d new sessions: %s',
        $cut_s, now - $mended, sessions() - $sessions,
        join ' ', sort map { $_->{status} } values %{ $w->records };
    is sessions(), $sessions, 'the session outlived it' if $cut_s < 15;
    $w->agree("cut for $cut_s s");
    $agent->wait_status('online', 45);
}

$w->all_guests('stopped');
$w->again;
$w->taken('start', 100);
$w->settle;
$w->control;

done_testing;
