# An identity that cannot be read is kept, never written over; paired again as
# the same agent, its secrets and its place in line are as they were.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my $agent = $site->agent;
my $id = $agent->id;
is $site->command('start')->{json}{status}, 'succeeded', 'it works';
my $before = $agent->cli_ok(['status']);
$agent->stop;

my $file = $agent->home . '/identity.bin';
open my $fh, '+<:raw', $file or die "$file: $!";
seek $fh, -1, 2;
print $fh "\0";
close $fh;
my $bytes = VMOps::slurp($file);

my $run = $agent->cli(['run', '--foreground']);
is "$run->{exit} $run->{json}{error}{code}", '8 identity_unreadable',
    'it does not run: exit 8';
is VMOps::slurp("$file.unreadable"), $bytes, 'the file is kept as it was';
is $agent->cli(['status'])->{exit}, 3, 'after that it is not paired';

$agent->pair(agent_id => $id);
is $agent->id, $id, 'paired again it is the same agent';
$agent->start;
my $after = $agent->cli_ok(['status']);
isnt $after->{fingerprint}, $before->{fingerprint}, 'with new keys';
is $after->{key_id}, $before->{key_id}, 'and the vault as it was';
cmp_ok $after->{last_seq}, '>=', $before->{last_seq},
    'orders of before are still old ones';
is $site->command('stop')->{json}{status}, 'succeeded', 'its secrets work';

# a pairing that fails leaves the identity alone

$agent->stop;
$run = $agent->cli(['pair', '--server', $s->url, '--code', 'ABCD-EFGH-JKMN',
                    '--yes']);
is "$run->{exit} $run->{json}{error}{code}", '6 pairing_invalid',
    'a wrong code: exit 6';
$run = $agent->cli(['pair', '--server', $s->url, '--code', 'ABCD-EFGH-JKMN']);
is "$run->{exit} $run->{json}{error}{code}", '7 not_confirmed',
    'replacing an identity has to be confirmed: exit 7';
$agent->start;
pass 'the identity of before is still good';

# unpaired

$agent->stop;
is $agent->cli(['unpair'])->{exit}, 7, 'unpairing, too: exit 7';
$agent->cli_ok(['unpair', '--yes']);
is $agent->cli(['status'])->{exit}, 3, 'unpaired';
ok !-e $agent->home . "/$_", "$_ is gone" for qw(identity.bin keystore.bin);

done_testing;
