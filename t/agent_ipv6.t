# A server and a hypervisor that have no address but one of IPv6.
# tags: asan tsan

use strict;
use warnings;

use IO::Socket::IP;

use VMOps;
use VMOps::FakeServer;

my $probe = IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
if (!$probe) {
    diag 'IPv6 IS NOT TESTED HERE: there is no ::1';
    plan(skip_all => 'no IPv6');
}
close $probe;

my $server = VMOps::FakeServer->new(at => '[::1]');
my $agent = VMOps::FakeServer::Client->new($server);
VMOps->watch_log($agent->home);
is $agent->pair->{server}, $server->url, 'paired';
$agent->start;
pass 'and connected';

# nothing listens there: it is asked for all the same, and said so

$agent->stop;
my $r = run_command([VMOps::Agent::binary(), '--home', $agent->home, '--json',
    qw(secret add --kind proxmox_token --label x --host ::1 --port 9 --user),
    'a@pve!b', qw(--accept-shown --stdin)], stdin => "secret\n");
like $r->{out}, qr/"connection_refused"/, 'an endpoint with such an address';

done_testing;
