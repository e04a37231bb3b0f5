# The agent's key is lost: nobody can decrypt, everybody is told to re-enter
# the secret, and after that it works again.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my $agent = $site->agent;
my $ref = $site->secret_ref;

is $site->command('status')->{json}{status}, 'succeeded', 'it works';
my $key_before = $agent->record->{key_id};

$agent->stop;
my ($keystore) = grep { -f } map { "$_/keystore.bin" }
    $agent->home, glob $agent->home . '/*';
ok $keystore, 'the keystore is a file';
open my $fh, '+<:raw', $keystore or die "$keystore: $!";
seek $fh, -8, 2;
print $fh "\0" x 8;
close $fh;

$agent->start;
wait_for { $agent->record->{keystore} eq 'unreadable' } 10,
    'the agent to say so';
ok -f "$keystore.unreadable", 'what cannot be read is kept';

my $meta = $site->rest(GET => "/secrets/$ref/meta")->{json};
is $meta->{status}, 'reentry_required', 'the secret asks to be re-entered';
my $r = $site->command('start');
is $r->{status}, 409, 'a command is refused';
is $r->{json}{code}, 'secret_reentry_required', 'with the reason';
is_deeply [$site->effects], [], 'and nothing happened';

# re-entered: the same reference, a new key
my $secret = VMOps::slurp($site->pve->token_secret_file) =~ s/\s+\z//r;
my $entered = $agent->cli_ok(['secret', 'rotate', $ref, '--stdin'],
                             stdin => "$secret\n");
is $entered->{version}, 2, 're-entering makes a new version';
wait_for { $agent->record->{keystore} eq 'ok' } 10, 'the keystore is well';
isnt $agent->record->{key_id}, $key_before, 'under a new key';
is $site->rest(GET => "/secrets/$ref/meta")->{json}{status}, 'ok',
    'the secret is well';
is $site->command('start')->{json}{status}, 'succeeded', 'and works';

done_testing;
