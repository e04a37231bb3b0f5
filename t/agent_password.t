# A user's password: the agent signs in, uses the ticket with its CSRF token,
# and shows none of the three to anybody.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my ($agent, $pve) = ($site->agent, $site->pve);

my $user = 'agent@pve';
my $password = canary('password of Proxmox VE');
$pve->control('PUT', "users/$user", { password => $password });
$pve->control('POST', 'acl', { who => $user, path => '/',
                               role => 'Administrator' });

$site->bind($site->vm_uuid,
            $agent->add_secret(kind => 'proxmox_password', label => 'root',
                               host => '127.0.0.1', port => $pve->port,
                               user => $user, secret => $password));

is $site->command('status')->{json}{result}{status}, 'stopped', 'it looks';
is $site->command('start')->{json}{status}, 'succeeded',
    'and changes: the CSRF token is right';
is_deeply [$site->effects], ['start'], 'once';
my @signed_in = grep { $_->{path} =~ m{/access/ticket$} } $pve->access;
is scalar @signed_in, 2, 'each order signs in for itself';

# its ticket ends while a task goes on

$pve->control('POST', 'tasks/next', { type => 'qmstop', vmid => 100,
                                      duration => 2500 });
my $id = $site->command('stop', wait => 0)->{json}{command_id};
wait_for { $pve->effects(vmid => 100, op => 'stop', event => 'request') } 10,
    'the task';
$pve->control('POST', 'tickets/age', { seconds => 8000 });
my $end;
wait_for {
    $end = $site->rest(GET => "/vm-ops/commands/$id")->{json};
    $end->{finished_at};
} 20, 'its end';
is $end->{status}, 'succeeded', 'a ticket that ends is renewed on the way';
is_deeply [$site->effects], ['start', 'stop'], 'and nothing is done twice';

# the password is changed there

$pve->control('PUT', "users/$user", { password => 'another one' });
$end = $site->command('start')->{json};
is "$end->{status} $end->{error}{code}", 'failed auth_failed',
    'a wrong password: auth_failed';
is $end->{error}{stage}, 'auth', 'at the stage auth';
is_deeply [$site->effects], ['start', 'stop'], 'and nothing happened';

wait_for {
    grep { !$_->{ok} && $_->{stage} eq 'auth' } @{ $agent->record->{routes} };
} 10, 'the route to say so';
pass 'the agent\'s record says where it stands';

done_testing;
