# A user's password: the agent signs in, uses the ticket with its CSRF token,
# and shows none of the three to anybody.

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

# the password is changed there

$pve->control('PUT', "users/$user", { password => 'another one' });
my $end = $site->command('stop')->{json};
is "$end->{status} $end->{error}{code}", 'failed auth_failed',
    'a wrong password: auth_failed';
is $end->{error}{stage}, 'auth', 'at the stage auth';
is_deeply [$site->effects], ['start'], 'and nothing happened';

wait_for {
    grep { !$_->{ok} && $_->{stage} eq 'auth' } @{ $agent->record->{routes} };
} 10, 'the route to say so';
pass 'the agent\'s record says where it stands';

done_testing;
