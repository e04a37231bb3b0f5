# A killed agent: a task is followed again and not begun again; what may have
# had an effect is indeterminate; what surely had none is failed.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my ($agent, $pve) = ($site->agent, $site->pve);

# while its task runs; another order for the same guest waits behind it

$pve->control('POST', 'tasks/next', { type => 'qmstart', vmid => 100,
                                      duration => 3000 });
my $start = $site->command('start', wait => 0)->{json}{command_id};
wait_for { begun('start') } 10, 'the task';
my $behind = $site->command('stop', wait => 0)->{json}{command_id};
wait_for { grep { $_->{command_id} eq $behind } journal() } 10,
    'the order behind it';
wait_for { grep { $_->{upid} } journal() } 10, 'the UPID in the journal';
$agent->crash;
$agent->start;

my $end = final($start);
is $end->{status}, 'succeeded', 'the task is followed to its end';
is begun('start'), 1, 'it was begun once';
is $pve->guest(100)->{status}, 'running', 'and its effect is there';
ok $end->{receipt}{verified}, 'with a receipt';
$end = final($behind);
is "$end->{status} $end->{error}{code}", 'failed agent_restarted',
    'what had not begun is failed';
is begun('stop'), 0, 'and does not run';

# between the request and its answer

$pve->control('POST', 'faults', { method => 'POST', path => '/status/stop',
                                  drop => 'after', delay => 4000 });
my $stop = $site->command('stop', wait => 0)->{json}{command_id};
wait_for { begun('stop') || started($stop) } 10, 'the request';
$agent->crash;
$agent->start;
$end = final($stop);
is "$end->{status} $end->{error}{code}", 'indeterminate agent_restarted',
    'an effect that may have taken place is indeterminate';
$pve->control('DELETE', 'faults');
cmp_ok begun('stop'), '<=', 1, 'it is not done a second time';

# asked to stop, it lets go of a task, and takes it up again

wait_for { $pve->guest(100)->{status} eq 'stopped' } 10, 'the guest to stop'
    if begun('stop');
$pve->control('PUT', 'guests/100', { status => 'stopped' });
$pve->control('POST', 'tasks/next', { type => 'qmstart', vmid => 100,
                                      duration => 3000 });
my $again = $site->command('start', wait => 0)->{json}{command_id};
wait_for { begun('start') == 2 } 10, 'the task';
wait_for { grep { $_->{command_id} eq $again && $_->{upid} } journal() } 10,
    'the UPID in the journal';
is $agent->stop, 0, 'it stops in good order';
is_deeply [map { $_->{state} } grep { $_->{command_id} eq $again } journal()],
    ['followed'], 'the journal keeps the task';
$agent->start;
is final($again)->{status}, 'succeeded', 'which is followed to its end';
is begun('start'), 2, 'without another one';

done_testing;

# tasks of that kind
sub begun {
    my ($op) = @_;
    return scalar $pve->effects(vmid => 100, op => $op, event => 'request');
}

sub started {
    my ($id) = @_;
    return grep { $_->{command_id} eq $id && $_->{state} eq 'started' }
        journal();
}

sub journal { @{ $agent->cli_ok(['journal'])->{items} } }

sub final {
    my ($id) = @_;
    my $command;
    wait_for {
        $command = $site->rest(GET => "/vm-ops/commands/$id")->{json};
        $command->{finished_at};
    } 30, "the end of $id";
    return $command;
}
