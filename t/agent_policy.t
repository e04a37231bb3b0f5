# What this PC's own policy, or the secret's own restrictions, do not allow is
# rejected before the secret is fetched, whatever the server says.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my ($agent, $pve) = ($site->agent, $site->pve);

is $site->command('status')->{json}{status}, 'succeeded', 'allowed: it runs';

$agent->cli_ok(['policy', 'preset', 'read-only']);
my $before = scalar $pve->access;
my $end = $site->command('start')->{json};
is error($end), 'rejected policy_denied', 'denied: rejected, policy_denied';
ok $end->{receipt}{verified}, 'with a signed receipt';
is scalar($pve->access), $before, 'no request was sent';
is $site->command('status')->{json}{status}, 'succeeded',
    'reading goes on, without a restart of the agent';

$agent->cli_ok(['policy', 'set', 'power=ask']);
is error($site->command('start')->{json}), 'rejected policy_denied',
    'to be asked, and nobody there: the policy says no';

$agent->cli_ok(['policy', 'set', 'power=allow']);
is $site->command('start')->{json}{status}, 'succeeded', 'allowed again';

open my $fh, '>', $agent->home . '/policy.json' or die $!;
print $fh '{"classes":{"read":"allow","power":"allow"},"vmids":[[200,299]]}';
close $fh;
is error($site->command('stop')->{json}), 'rejected policy_denied',
    'a guest outside the policy\'s ranges';
is $site->command('list')->{json}{status}, 'succeeded',
    'what is about no guest stays';

open $fh, '>', $agent->home . '/policy.json' or die $!;
print $fh '{';
close $fh;
is error($site->command('status')->{json}), 'rejected policy_denied',
    'a policy that cannot be read denies everything';
unlink $agent->home . '/policy.json';

# restrictions inside the secret

my $secret = VMOps::slurp($pve->token_secret_file) =~ s/\s+\z//r;
my %endpoint = (host => '127.0.0.1', port => $pve->port,
                user => $pve->token_id, secret => $secret);

$site->bind($site->vm_uuid, $agent->add_secret(%endpoint, classes => 'read'));
is $site->command('status')->{json}{status}, 'succeeded',
    'a secret for reading reads';
is error($site->command('stop')->{json}), 'failed secret_not_allowed',
    'and does nothing else';

my $ref = $agent->add_secret(%endpoint, vmids => '101-199');
$site->bind($site->vm_uuid, $ref);
is error($site->command('status')->{json}), 'failed secret_not_allowed',
    'a secret for other guests';
is_deeply [map { $_->{vmid} } @{ $site->command('list',
    json => { secret_ref => $ref })->{json}{result}{guests} }], [101],
    'lists its own ones only';

is_deeply [$site->effects], ['start'], 'one effect in all';

done_testing;

sub error {
    my ($command) = @_;
    return "$command->{status} " . ($command->{error}{code} // '');
}
