# An endpoint's key is confirmed before it is pinned, and from then on no
# other key gets a request, let alone the secret.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my ($agent, $pve) = ($site->agent, $site->pve);

# adding

my $shown = $agent->cli_ok(['secret', 'list'])->{items}[0]{pins}[0];
is $shown, $pve->pin, 'what was shown is pinned';

my $wrong = 'sha256//' . 'A' x 43 . '=';
my $r = add('--pin', $wrong);
is "$r->{exit} $r->{json}{error}{code}", '7 tls_pin_mismatch',
    'another pin than the endpoint\'s: exit 7';
$r = add();
is "$r->{exit} $r->{json}{error}{code}", '7 not_confirmed',
    'nobody to confirm it: exit 7';
is add('--pin', 'sha256//x')->{exit}, 2, 'a pin that is none: exit 2';
is scalar @{ $agent->cli_ok(['secret', 'list'])->{items} }, 1,
    'none of them was stored';
$r = add('--pin', $pve->pin);
is $r->{exit}, 0, 'the right pin needs no confirmation';
is $r->{json}{certificate_sha256}, $pve->fingerprint,
    'its certificate is told as Proxmox VE shows it';

# using

is $site->command('status')->{json}{status}, 'succeeded', 'it works';
my $before = requests();
$pve->control('POST', 'certificate');
my $end = $site->command('start')->{json};
is $end->{status}, 'failed', 'another key at the endpoint: failed';
is $end->{error}{code}, 'tls_pin_mismatch', 'as tls_pin_mismatch';
is $end->{error}{stage}, 'pin', 'at the stage pin';
is requests(), $before, 'no request was sent';
is_deeply [$site->effects], [], 'and nothing happened';

wait_for {
    my ($route) = grep { $_->{secret_ref} eq $site->secret_ref }
        @{ $agent->record->{routes} };
    $route && !$route->{ok} && $route->{code} eq 'tls_pin_mismatch';
} 10, 'the route to be told as broken';
pass 'the record of the agent says what is wrong';

# the certificate was changed on purpose: its user confirms the new key

my $secret = VMOps::slurp($pve->token_secret_file) =~ s/\s+\z//r;
$r = $agent->cli(['secret', 'rotate', $site->secret_ref, '--stdin'],
                 stdin => "$secret\n");
is "$r->{exit} $r->{json}{error}{code}", '7 not_confirmed',
    'entered again with nobody to confirm the new key: exit 7';
like $r->{json}{error}{message}, qr/--accept-shown or --pin/,
    'which says what to do';
is $agent->cli_ok(['secret', 'list'])->{items}[0]{version}, 1,
    'and stores nothing';
$agent->cli_ok(['secret', 'rotate', $site->secret_ref, '--accept-shown',
                '--stdin'], stdin => "$secret\n");
is $site->command('start')->{json}{status}, 'succeeded',
    'confirmed again, it works again';

# entered again, with the key that is confirmed or out of sight

for my $seen (1, 0) {
    $pve->stop if !$seen;
    is $agent->cli(['secret', 'rotate', $site->secret_ref, '--stdin'],
                   stdin => "$secret\n")->{exit}, 0,
        'nothing is asked where the key ' . ($seen ? 'is' : 'may be')
        . ' the same';
}

done_testing;

sub add {
    return $agent->cli(['secret', 'add', '--kind', 'proxmox_token', '--label',
                        'again', '--host', '127.0.0.1', '--port', $pve->port,
                        '--user', $pve->token_id, @_, '--stdin'],
                       stdin => "11111111-2222-3333-4444-555555555555\n");
}

# of others than the test itself
sub requests {
    return scalar grep { $_->{path} !~ m{^/sim/} } $pve->access;
}
