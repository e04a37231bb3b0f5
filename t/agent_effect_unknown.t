# Where nobody can know whether something was begun, the end says so: an answer
# that names no task, a proxy that lost the answer on the way, a task that was
# begun before a restart and cannot be asked for any more.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

use constant SECONDS => 20;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme',
                            settings => { auth_delay_ms => 0 });
my ($agent, $pve) = ($site->agent, $site->pve);

for my $case ([200, '<html>', 'indeterminate'],
              [200, '{"data":null}', 'indeterminate'],
              [200, '{"data":17}', 'indeterminate'],
              [200, '{"data":"begun"}', 'indeterminate'],
              [200, '{"data":"UPID:pve1/../x:"}', 'indeterminate'],
              [200, '{"data":"UPID:' . 'x' x 300 . '"}', 'indeterminate'],
              [596, '', 'indeterminate'],
              [597, '', 'indeterminate'],
              [502, '', 'indeterminate'],
              [504, '', 'indeterminate'],
              [595, '', 'failed'],
              [500, '', 'failed'],
              [503, '', 'failed']) {
    my ($status, $body, $end) = @$case;
    $pve->control('POST', 'faults', { method => 'POST',
        path => '/status/start', status => $status, body => $body,
        reason => 'as the test says' });
    is ended($site->command('start')->{json}), "$end target_error",
        "$status " . substr($body, 0, 30) . ": $end";
}

# a task that was begun, and then the password was changed there

my $user = 'agent@pve';
my $password = canary('password of Proxmox VE');
$pve->control('POST', 'acl', { who => $user, path => '/',
                               role => 'Administrator' });
$pve->control('PUT', "users/$user", { password => $password });
$site->bind($site->vm_uuid,
            $agent->add_secret(kind => 'proxmox_password', label => 'root',
                               host => '127.0.0.1', port => $pve->port,
                               user => $user, secret => $password));

my $id = begun();
$agent->crash;
$pve->control('PUT', "users/$user", { password => 'another one' });
$agent->start;
is ended(finished($id)), 'indeterminate auth_failed',
    'a task that cannot be asked for any more';
wait_for { $pve->effects(vmid => 100, op => 'start', event => 'effect') }
    SECONDS, 'what it came to';
$pve->control('PUT', "users/$user", { password => $password });
$pve->control('PUT', 'guests/100', { status => 'stopped' });

# the way to the hypervisor comes later than the agent, as after a boot

$id = begun();
$agent->crash;
$pve->control('POST', 'faults', { method => 'POST', path => '/access/ticket',
                                  status => 595, body => '', count => 2 });
$agent->start;
is ended(finished($id)), 'succeeded ',
    'one that cannot be asked for yet is followed, later';

done_testing;

sub ended {
    my ($command) = @_;
    return "$command->{status} " . ($command->{error}{code} // '');
}

sub begun {
    $pve->control('POST', 'tasks/next', { type => 'qmstart', vmid => 100,
                                          duration => 2000 });
    my $id = $site->command('start', wait => 0)->{json}{command_id};
    wait_for { grep { $_->{command_id} eq $id && $_->{upid} }
               @{ $agent->cli_ok(['journal'])->{items} } } SECONDS, 'its task';
    return $id;
}

sub finished {
    my ($id) = @_;
    my $command;
    wait_for {
        $command = $site->rest(GET => "/vm-ops/commands/$id")->{json};
        $command->{finished_at};
    } SECONDS, 'its end';
    return $command;
}
