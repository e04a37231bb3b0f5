# A Proxmox action goes through the agent: the server's own processes never
# connect to the hypervisor, which knows the pinned agent only.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my $pve_port = $site->pve->port;

$site->pve->control('POST', 'tasks/next', { type => 'qmstart', vmid => 100,
                                            duration => 1500 });
my $id = $site->command('start', wait => 0)->{json}{command_id};

# while it runs: who has a connection to the hypervisor
my (%seen, $status);
wait_for {
    $seen{$_}++ for clients_of($pve_port);
    $status = $site->rest(GET => "/vm-ops/commands/$id")->{json}{status};
    $status eq 'succeeded';
} 30, 'the start to end';

my $agent = $site->agent->pid;
ok $seen{$agent}, 'the agent has been connected to it';
my @server = grep { $seen{$_} } $s->master, $s->workers, $s->redis_pid;
is_deeply \@server, [], 'no process of the server has';
is_deeply [$site->effects], ['start'], 'and the guest was started';

done_testing;

# pids of this machine's processes that have a connection to a TCP port
sub clients_of {
    my ($port) = @_;
    my %inode;
    open my $tcp, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!";
    while (<$tcp>) {
        my @field = split;
        my (undef, $remote) = split /:/, $field[2];
        next unless ($remote // '') =~ /^[0-9A-F]{4}$/ && hex $remote == $port;
        $inode{ $field[9] } = 1;
    }
    my @pids;
    for my $pid ($s->master, $s->workers, $s->redis_pid, $site->agent->pid) {
        my @sockets = grep { defined } map { readlink } glob "/proc/$pid/fd/*";
        push @pids, $pid
            if grep { /^socket:\[(\d+)\]$/ && $inode{$1} } @sockets;
    }
    return @pids;
}
