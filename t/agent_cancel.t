# A cancelled order: a running task is stopped at the hypervisor, one that
# waits does not begin, and orders for other guests go on.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::PVESim;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my $pve = $site->pve;

$pve->control('POST', 'tasks/next', { type => 'qmstart', vmid => 100,
                                      duration => 20_000 });
my $running = $site->command('start', wait => 0)->{json}{command_id};
wait_for { requests(100, 'start') } 10, 'the task';
my @waiting = $site->command('stop', wait => 0)->{json}{command_id};

# nor by another secret, or name, of the guest

$site->bind($site->vm_uuid, $site->add_secret);
push @waiting, $site->command('stop', wait => 0)->{json}{command_id};
my $again = $site->add_vm;
$site->bind($again, $site->secret_ref);
push @waiting, $site->command('stop', wait => 0, json => { vm_uuid => $again })
    ->{json}{command_id};

# another guest is not held up, nor one of that number elsewhere

my $other = $site->add_vm(vmid => 200, guest => 'lxc');
$site->bind($other, $site->secret_ref);
my $began = now;
is $site->command('start', json => { vm_uuid => $other })->{json}{status},
    'succeeded', 'another guest\'s order runs beside it';
my $far = VMOps::PVESim->start;
my $elsewhere = $site->add_vm;
$site->bind($elsewhere, $site->agent->add_secret(host => '127.0.0.1',
    port => $far->port, user => $far->token_id,
    secret => canary('Proxmox token elsewhere',
                     VMOps::slurp($far->token_secret_file) =~ s/\s+\z//r)));
is $site->command('start', json => { vm_uuid => $elsewhere })->{json}{status},
    'succeeded', 'and that of another hypervisor';
is get($running)->{status}, 'running', 'while this one goes on';
is requests(100, 'stop'), 0, 'the next ones for the same guest wait';

for my $waiting (@waiting) {
    cancel($waiting);
    is final($waiting)->{status}, 'cancelled', 'one that waits is cancelled';
}
is requests(100, 'stop'), 0, 'and has never begun';

cancel($running);
my $end = final($running);
is "$end->{status} $end->{error}{code}", 'cancelled cancelled',
    'the running one is cancelled';
cmp_ok now - $began, '<', 15, 'long before its task\'s end';
is $pve->guest(100)->{status}, 'stopped', 'its task was stopped';

is $site->command('start')->{json}{status}, 'succeeded',
    'the guest takes orders again';

# a reboot has taken place when its guest is down, and is on its way up

$pve->control('PUT', 'settings', { restart_ms => 120_000 });
my $reboot = $site->command('reboot', wait => 0)->{json}{command_id};
wait_for { (get($reboot)->{progress}{stage} // '') eq 'restarting' } 10,
    'the guest to be down';
cancel($reboot);
is final($reboot)->{status}, 'succeeded', 'it is too late to cancel it';

$pve->control('PUT', 'guests/100', { status => 'running' });
is $site->command('reboot', json => { timeout_s => 5 })->{json}{status},
    'succeeded', 'or for its deadline';

done_testing;

sub cancel {
    my ($id) = @_;
    is $site->rest(POST => "/vm-ops/commands/$id/cancel")->{status}, 202,
        'cancel is taken';
}

sub requests {
    my ($vmid, $op) = @_;
    return scalar $pve->effects(vmid => $vmid, op => $op, event => 'request');
}

sub get { return $site->rest(GET => "/vm-ops/commands/$_[0]")->{json} }

sub final {
    my ($id) = @_;
    wait_for { get($id)->{finished_at} } 20, "the end of $id";
    return get($id);
}
