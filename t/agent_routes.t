# A secret that is removed while the agent runs is no route of its any more.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::FakeServer;
use VMOps::PVESim;

# more than there is between two looks at all routes
use constant LATER => 400_000;

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
my $pve = VMOps::PVESim->start;
VMOps->watch_log($agent->home);
my $file = $ENV{VMOPS_TEST_CLOCKS} = $agent->home . '/clocks';
$agent->pair;
my ($kept, $removed) = map { $agent->add_secret($pve) } 1, 2;
$ENV{VMOPS_AGENT} = VMOps::built('t/agent/vmops-agent-hooked');
$agent->start;
told($kept, $removed);
pass 'the routes of both secrets are told';

$agent->cli(['secret', 'remove', $removed]);
open my $fh, '>', $file or die "$file: $!";
print $fh '0 ' . LATER;
close $fh;
told($kept);
pass 'and then that of the one that is left';

done_testing;

# the last status names these, and no other
sub told {
    my $refs = join ' ', sort @_;
    $server->until(sub {
        my ($last) = reverse grep { $_->{t} eq 'status' }
            @{ $server->{messages} };
        return $last && $refs eq join ' ',
            sort map { $_->{secret_ref} } @{ $last->{routes} };
    }, "routes of $refs");
}
