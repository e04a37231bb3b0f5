# The server confirms a result while the agent's disk is full: it is not sent
# again and again, and is closed when there is room.

use strict;
use warnings;

use JSON::PP;

use VMOps::Mounts;
use VMOps;
use VMOps::FakeServer;
use VMOps::PVESim;

my $disk = VMOps::Mounts->small('4m');
my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
$agent->{home} = $disk->dir . '/home';
mkdir $agent->home, 0700 or die $agent->home . ": $!";
my $pve = VMOps::PVESim->start;
VMOps->watch_log($agent->home);
$agent->pair;
my $ref = $agent->add_secret($pve);
$agent->start;

$server->{deaf} = 1;
my $order = $server->order(
    target => { vm_uuid => VMOps::FakeServer::new_id(), guest => 'qemu',
                node => 'pve1', vmid => 100 },
    secrets => [{ ref => $ref, version => 1, family => 'proxmox' }]);
$server->send_order($order);
$server->message('result', $order->{id});

$disk->fill;
$server->send_frame({ t => 'result.ok', id => $order->{id} });
is_deeply [results_of(1.5)], [], 'what was confirmed is not sent again';
ok !journal()->{confirmed}, 'though it cannot be written down';
$disk->free;
$server->until(sub { journal()->{confirmed} }, 'the confirmation');
pass 'when there is room it is';

# the control: what was not confirmed comes again

$server->send_order(my $next = { %$order, id => VMOps::FakeServer::new_id(),
                                 seq => $order->{seq} + 1 });
$server->message('result', $next->{id});
$server->cut;
$server->message('result', $next->{id});
pass 'control: what was not confirmed comes again after a reconnect';

done_testing;

# that come in so many seconds
sub results_of {
    my ($seconds) = @_;
    my $end = now + $seconds;
    $server->until(sub { now > $end }, 'the time');
    return grep { $_->{t} eq 'result' } @{ $server->{messages} };
}

sub journal {
    my $run = run_command([VMOps::Agent::binary(), '--home', $agent->home,
                           '--json', 'journal']);
    my ($entry) = grep { $_->{command_id} eq $order->{id} }
        @{ decode_json($run->{out})->{items} };
    return $entry;
}
