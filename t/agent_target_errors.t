# What a hypervisor answers, or does not, ends as the code that says what to
# do; a guest that has moved is found; a locked one is waited for.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my $pve = $site->pve;

# locks: retried inside the deadline

$pve->control('PUT', 'guests/100', { lock => 'backup' });
my $id = $site->command('start', wait => 0)->{json}{command_id};
wait_for {
    ($site->rest(GET => "/vm-ops/commands/$id")->{json}{progress}{stage} // '')
        eq 'locked'
} 10, 'the lock to be told';
$pve->control('PUT', 'guests/100', { lock => '' });
my $end = $site->rest(GET => "/vm-ops/commands/$id")->{json};
wait_for {
    $end = $site->rest(GET => "/vm-ops/commands/$id")->{json};
    $end->{finished_at};
} 20, 'its end';
is $end->{status}, 'succeeded', 'a lock that goes away is waited for';
is_deeply [$site->effects], ['start'], 'and it runs once';
is $site->command('stop')->{json}{status}, 'succeeded', 'stopped again';

$pve->control('PUT', 'guests/100', { lock => 'migrate' });
$end = $site->command('start', json => { timeout_s => 4 })->{json};
is_deeply error($end), 'failed vm_locked', 'one that stays: vm_locked';
is $site->command('status')->{json}{result}{lock}, 'migrate',
    'status names the lock';
$pve->control('PUT', 'guests/100', { lock => '' });

# the target's state and parameters

$end = $site->command('start', json => { vm_uuid => vm(vmid => 999) })->{json};
is error($end), 'failed vm_not_found', 'a guest that does not exist';
$end = $site->command('status', json => { vm_uuid => vm(vmid => 999) })
    ->{json};
is error($end), 'failed vm_not_found', 'the same for a look at it';

my $elsewhere = vm(node => 'pve9');
$end = $site->command('start', json => { vm_uuid => $elsewhere })->{json};
is $end->{status}, 'succeeded', 'a guest on another node is found';
is $end->{result}{node}, 'pve1', 'and told where';
$end = $site->command('status', json => { vm_uuid => $elsewhere })->{json};
is $end->{result}{node}, 'pve1', 'the same for a look at it';

$end = $site->command('start')->{json};
is error($end), 'failed task_failed', 'starting what runs';
like join(' ', map { $_->{line} } @{ $end->{log} }), qr/already running/,
    'the log has the reason';

# of a long log the last lines: all at once, and as it grows

for my $ms (0, 2500) {
    $pve->control('POST', 'tasks/next', { type => 'qmstart', vmid => 100,
        duration => $ms, log => [map { "line $_" } 1 .. 900],
        fail => 'the reason' });
    $end = $site->command('start')->{json};
    my @said = @{ $pve->control('GET', 'state')->{tasks}[0]{log} };
    is $said[-1], 'TASK ERROR: the reason', 'the reason is said at the end';
    is_deeply [map { $_->{line} } @{ $end->{log} }], [@said[-200 .. -1]],
        "of a log of 900 lines in $ms ms";
}

$pve->control('POST', 'tasks/next', { type => 'qmstop', vmid => 100,
                                      warnings => 2 });
$end = $site->command('stop')->{json};
is error($end), 'succeeded task_warnings', 'a task with warnings';
is $end->{result}{exitstatus}, 'WARNINGS: 2', 'says so';

for my $case (
    [{ fail => 'no space left on device: No space left' }, 'storage_full'],
    [{ fail => 'command failed: exit code 1' }, 'task_failed'],
) {
    $pve->control('POST', 'tasks/next', { type => 'qmstart', vmid => 100,
                                          %{ $case->[0] } });
    is error($site->command('start')->{json}), "failed $case->[1]",
        "a task that ends with \"$case->[0]{fail}\"";
}

for my $case ([403, 'Permission check failed (/vms/100, VM.Audit)',
               'permission_denied'],
              [400, 'Parameter verification failed.',
               'invalid_target_params'],
              [500, 'something else', 'target_error'],
              [500, 'can\'t lock file \'/x\' - got timeout', 'vm_locked'],
              [595, 'Connection refused', 'target_error'],
              [501, 'Method \'GET\' not implemented', 'target_error'],
              [401, 'Authentication failed!', 'auth_failed']) {
    my ($status, $reason, $code) = @$case;
    $pve->control('POST', 'faults', { method => 'GET',
        path => '/status/current', status => $status, reason => $reason });
    is error($site->command('status')->{json}), "failed $code",
        "$status $reason";
}

# answers that are none

$pve->control('POST', 'faults', { method => 'GET', path => '/status/current',
                                  status => 200, body => '<html>' });
is error($site->command('status')->{json}), 'failed target_error',
    'an answer that is not JSON';
$pve->control('POST', 'faults', { method => 'GET', path => '/status/current',
    status => 200, body => '{"data":"' . 'x' x 1_100_000 . '"}' });
is error($site->command('status')->{json}), 'failed target_error',
    'an answer of more than a mebibyte';
$pve->control('POST', 'faults', { method => 'GET', path => '/status/current',
                                  delay => 8000 });
$end = $site->command('status', json => { timeout_s => 2 })->{json};
is error($end), 'timed_out timeout', 'no answer within the deadline';
$pve->control('POST', 'faults', { method => 'POST', path => '/status/start',
                                  drop => 'before' });
is error($site->command('start')->{json}), 'indeterminate target_error',
    'a request without an answer may have had its effect';

# the account, the network

$pve->control('DELETE', 'acl', { who => $pve->token_id });
is error($site->command('start')->{json}), 'failed permission_denied',
    'an account without the privilege';
$pve->stop;
$end = $site->command('status')->{json};
is error($end), 'failed connection_refused', 'nothing listens';
is $end->{error}{stage}, 'tcp', 'at the stage tcp';

done_testing;

sub error {
    my ($command) = @_;
    return "$command->{status} " . ($command->{error}{code} // '');
}

# another registered guest
sub vm {
    my $uuid = $site->add_vm(@_);
    $site->bind($uuid, $site->secret_ref);
    return $uuid;
}
