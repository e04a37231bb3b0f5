# The checker of the fault tests is itself checked: where nothing is wrong it
# finds nothing, and each kind of violation it finds, planted in what it was
# told, and really done to the hypervisor, to the store and to the journal.

use strict;
use warnings;

use VMOps;
use VMOps::Site;
use VMOps::Witness;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my ($pve, $agent) = ($site->pve, $site->agent);
my $w = VMOps::Witness->new($site);
$w->add_guest(101);
$w->again;

# nothing wrong: successes, a failure, a refusal by policy, a cancelled one

is $w->order('start', 100)->{status}, 202, 'a start';
$pve->control('POST', 'tasks/next', { type => 'qmstop', vmid => 101,
                                      fail => 'no' });
is $w->order('stop', 101)->{status}, 202, 'a stop that will fail';
$w->settle;
$agent->cli_ok(['policy', 'set', 'power=deny']);
is $w->order('shutdown', 100)->{status}, 202, 'a shutdown against the policy';
$w->settle;
$agent->cli_ok(['policy', 'set', 'power=allow']);
$pve->control('POST', 'tasks/next', { type => 'qmstop', vmid => 100,
                                      duration => 5000 });
my $id = $w->order('stop', 100)->{json}{command_id};
wait_for { $pve->effects(vmid => 100, op => 'stop') } 10, 'the task';
$site->rest(POST => "/vm-ops/commands/$id/cancel");
$w->settle;
is_deeply [sort map { join ' ', grep { defined } @$_{qw(status error_code)} }
           values %{ $w->records }],
    ['cancelled cancelled', 'failed task_failed', 'rejected policy_denied',
     'succeeded'], 'they ended as they had to';
$w->agree('nothing wrong');
$w->control;

# really done: what was found, by the first words of the violations

sub found { return join ' ', sort map { /^(\w+):/ } $w->check }

my ($started) = grep { $_->{action} eq 'start' } values %{ $w->records };
my $key = $w->key('agent_commands', $started->{command_id});

sub with_record {
    my ($change, $code) = @_;
    my %before = @{ $s->redis('HGETALL', $key) };
    $s->redis('HSET', $key, %$change);
    $code->();
    $s->redis('DEL', $key);
    $s->redis('HSET', $key, %before);
}

with_record({ status => 'indeterminate' }, sub {
    is found(), 'lost', 'a record says less than the agent knows';
});
with_record({ status => 'failed', error_code => 'agent_disconnected' }, sub {
    is found(), 'lost ran', 'a record says that it did not run';
});
with_record({ status => 'running',
              created_at => $started->{created_at} - 60_000 }, sub {
    is found(), 'lost open', 'a record stays open';
});
my ($shut) = grep { $_->{action} eq 'shutdown' } values %{ $w->records };
my $other = $w->key('agent_commands', $shut->{command_id});
$s->redis('HSET', $other, status => 'succeeded');
is found(), 'lost nothing', 'a record says that something happened';
$s->redis('HSET', $other, status => 'rejected');
$w->agree('all is as it was');

# somebody orders behind everybody's back

$pve->control('PUT', 'guests/100', { status => 'stopped' });
my $r = $pve->api('POST', '/nodes/pve1/qemu/100/status/start');
$pve->wait_task($r->{json}{data});
is found(), 'twice', 'a second start';
$w->again;
is found(), '', 'which is not of the next round';

# the agent forgets a result before it is told

is $w->order('stop', 100)->{status}, 202, 'a stop';
$w->settle;
$w->agree('the next round');
$s->redis('DEL', $w->key('agent_commands', $w->{accepted}[0]));
is found(), 'lost', 'a record that is gone';

done_testing;
