# Rotation: the secret_ref stays, its version grows, new commands use the new
# material, and the old one is of no more use.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my $ref = $site->secret_ref;

is $site->command('status')->{json}{secrets}[0]{version}, 1,
    'a command runs with version 1';

# the hypervisor gets a new token, so the old one no longer works
my $new = canary('new token', sprintf '%08x-%04x-%04x-%04x-%012x',
                 map { int rand 0xffff } 1 .. 5);
$site->pve->control('PUT', 'tokens/' . $site->pve->token_id,
                    { secret => $new });
my $refused = $site->command('status')->{json};
is $refused->{status}, 'failed', 'the old material is refused';
is $refused->{error}{code}, 'auth_failed', 'as auth_failed';

my $asked = $site->rest(POST => "/secrets/$ref/rotate");
is $asked->{status}, 202, 'an operator asks for a rotation';
is $site->rest(GET => "/secrets/$ref/meta")->{json}{status},
    'rotation_requested', 'which is shown';

my $rotated = $site->agent->cli_ok(['secret', 'rotate', $ref, '--stdin'],
                                   stdin => "$new\n");
is $rotated->{secret_ref}, $ref, 'the secret_ref stays';
is $rotated->{version}, 2, 'the version grows';

my $meta = $site->rest(GET => "/secrets/$ref/meta");
is $meta->{json}{version}, 2, 'the server says the same';
is $meta->{json}{status}, 'ok', 'nothing is asked for any more';
is $meta->{headers}{etag}, '"2"', 'with its tag';
like $meta->{json}{rotated_at}, qr/^\d{4}-/, 'and when';

my $after = $site->command('start')->{json};
is $after->{status}, 'succeeded', 'a new command succeeds';
is_deeply $after->{secrets}, [{ secret_ref => $ref, version => 2 }],
    'with the new version';

done_testing;
