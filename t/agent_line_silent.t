# A line that falls silent while a task is followed: the answer that does not
# come is asked for again, and only the order's own deadline ends the wait.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::FakeServer;
use VMOps::PVESim;

# what the agent's clock goes on by while there is no answer: more than it waits
# for one of a task, and more than a minute
use constant { SILENCE => 30_000, MINUTE => 70_000, NEVER => 600_000,
               TIMEOUT_S => 300 };

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
my $pve = VMOps::PVESim->start;
VMOps->watch_log($agent->home);
my $file = $ENV{VMOPS_TEST_CLOCKS} = $agent->home . '/clocks';
my $slept = 0;
$agent->pair;
my $token = $agent->add_secret($pve);
my $password = add_password();
$ENV{VMOPS_AGENT} = VMOps::built('t/agent/vmops-agent-hooked');
$agent->start;

# the task is asked about on the connection of the request, or on a new one

for my $fresh (0, 1) {
    $pve->control('PUT', 'guests/100', { status => 'stopped' });
    fault('/tasks/.*/status', status => 500) if $fresh;
    fault('/tasks/.*/status', delay => NEVER);
    my $order = send_order('start', $token);
    sleeps(SILENCE);
    is outcome($order), 'succeeded', 'a task is asked about again, on a '
        . ($fresh ? 'new' : 'kept') . ' connection';
}
is scalar $pve->effects(op => 'start', event => 'request'), 2,
    'each was begun once';

# after a restart the first thing is to sign in

$pve->control('POST', 'tasks/next', { type => 'qmstop', duration => 5000 });
my $order = send_order('stop', $password);
$server->until(sub { $pve->effects(op => 'stop', event => 'request') },
               'its task');
$server->until(sub { grep { $_->{command_id} eq $order->{id} && $_->{upid} }
                     @{ $agent->cli(['journal'])->{items} } }, 'its name');
$agent->stop('KILL');
fault('/access/ticket', delay => NEVER);
$agent->start;
sleeps(SILENCE);
is outcome($order), 'succeeded', 'and so is the way to it, after a restart';

# a look has all of its order's time

fault('/status/current', delay => 3000);
$order = send_order('status', $token);
sleeps(MINUTE);
is outcome($order), 'succeeded', 'a look is waited for';

fault('/status/current', delay => NEVER);
$order = send_order('status', $password);
sleeps(1000 * TIMEOUT_S);
is outcome($order), 'timed_out timeout', 'until the deadline';

# a host that takes connections, and does not begin with TLS

kill 'STOP', $pve->pid;
$order = send_order('status', $token);
is outcome($order), 'failed connect_timeout', 'no TLS is no deadline';
$pve->kill9;

done_testing;

sub add_password {
    my $user = 'agent@pve';
    my $secret = canary('password of Proxmox VE');
    $pve->control('PUT', "users/$user", { password => $secret });
    $pve->control('POST', 'acl', { who => $user, path => '/',
                                   role => 'Administrator' });
    return $agent->cli(['secret', 'add', '--kind', 'proxmox_password',
                        '--label', 'pve1', '--host', '127.0.0.1', '--port',
                        $pve->port, '--user', $user, '--accept-shown',
                        '--stdin'], "$secret\n")->{secret_ref};
}

sub fault {
    my ($path, %fault) = @_;
    $pve->control('POST', 'faults', { path => $path, %fault });
}

sub send_order {
    my ($action, $ref) = @_;
    my $order = $server->order(action => $action, timeout_s => TIMEOUT_S,
        target => { vm_uuid => VMOps::FakeServer::new_id(), guest => 'qemu',
                    node => 'pve1', vmid => 100 },
        secrets => [{ ref => $ref, version => 1,
                      family => 'proxmox' }]);
    $server->send_order($order);
    return $order;
}

# once all faults have taken a request
sub sleeps {
    my ($ms) = @_;
    $server->until(sub { !@{ $pve->control('GET', 'state')->{faults} } },
                   'a request without an answer');
    $slept += $ms;
    open my $fh, '>', "$file.new" or die "$file.new: $!";
    print $fh "0 $slept";
    close $fh;
    rename "$file.new", $file or die "$file: $!";
}

sub outcome {
    my ($order) = @_;
    my $result = $server->result($order->{id});
    return join ' ', $result->{status}, $result->{error}{code} // ();
}
