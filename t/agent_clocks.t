# Somebody sets the PC's clock, or the PC is suspended, while a command runs: the
# first means nothing to deadlines, the second counts in all of them, and after
# it the agent looks at once at what has become of its connections.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::FakeServer;
use VMOps::PVESim;

use constant { HOUR => 3_600_000, TIMEOUT_S => 60, SOON => 20 };

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
my $pve = VMOps::PVESim->start;
VMOps->watch_log($agent->home);
my $file = $ENV{VMOPS_TEST_CLOCKS} = $agent->home . '/clocks';
$agent->pair;
my $ref = $agent->add_secret($pve);
$ENV{VMOPS_AGENT} = VMOps::built('t/agent/vmops-agent-hooked');
$agent->start;

# Unix time

for my $set (-HOUR, HOUR, 0) {
    my $result = during(1000, sub { clocks($set, 0) });
    is $result->{status}, 'succeeded', "the clock is set to $set ms";
    cmp_ok $result->{finished}, '>=', $result->{started},
        'and it ends after its beginning';
    is during(0, sub { })->{status}, 'succeeded', 'so does one that begins then';
}

# suspend: less than a deadline, and more

is during(2000, sub { clocks(0, 30_000) })->{status}, 'succeeded',
    'half a minute of suspend';
my $began = now;
$pve->control('POST', 'faults', { path => '/status/start', method => 'POST',
                                  delay => 600_000 });
my $order = order();
$server->send_order($order);
$server->until(sub { grep { $_->{command_id} eq $order->{id}
                            && $_->{state} eq 'started' }
                     @{ $agent->cli(['journal'])->{items} } }, 'a request');
my $connections = $server->{connections};
clocks(0, HOUR);
my $result = $server->result($order->{id});
like join(' ', $result->{status}, $result->{error}{code}),
    qr/^(?:indeterminate timeout|failed connect_timeout)$/,
    'an hour, in the middle of a request';
cmp_ok now - $began, '<', SOON, 'is not waited for once more';
$server->until(sub { $server->{connections} > $connections
                     && $server->{online} }, 'it to come back');
$pve->control('DELETE', 'faults');

# what was looked at every few minutes is looked at again

$server->{messages} = [];
$pve->stop;
clocks(0, 2 * HOUR);
$server->until(sub {
    grep { $_->{t} eq 'status'
           && grep { ($_->{code} // '') eq 'connection_refused' }
              @{ $_->{routes} } } @{ $server->{messages} };
}, 'the route', SOON);
pass 'the routes, too';

# between two tries to connect: a pause goes on in suspend, and is of five minutes
# at most, whatever an unsigned bye says

for my $round (1 .. 3) {
    $server->say({ t => 'bye', code => 'store_unavailable',
                   retry_after_ms => 10 * HOUR });
    $server->cut(1001);
    $server->until(sub { $agent->cli(['status'])->{state} eq 'waiting' },
                   'a pause');
    clocks(0, 2 * HOUR + $round * 300_000);
    $server->until(sub { $server->{online} }, 'it to come back', SOON / 2);
    pass 'it comes back after five minutes';
}

done_testing;

sub order {
    return $server->order(timeout_s => TIMEOUT_S,
        target => { vm_uuid => VMOps::FakeServer::new_id(), guest => 'qemu',
                    node => 'pve1', vmid => 100 },
        secrets => [{ ref => $ref, version => 1, family => 'proxmox' }]);
}

sub clocks {
    my ($wall, $asleep) = @_;
    open my $fh, '>', "$file.new" or die "$file.new: $!";
    print $fh "$wall $asleep";
    close $fh;
    rename "$file.new", $file or die "$file: $!";
}

# a start whose task takes so long, and what happens in it
sub during {
    my ($ms, $what) = @_;
    $pve->control('PUT', 'guests/100', { status => 'stopped' });
    $pve->control('POST', 'tasks/next', { type => 'qmstart', vmid => 100,
                                          duration => $ms });
    my $before = my @begun = $pve->effects(vmid => 100, event => 'request');
    my $order = order();
    $server->send_order($order);
    $server->until(sub { (my @now = $pve->effects(vmid => 100,
                              event => 'request')) > $before }, 'its task');
    $what->();
    return $server->result($order->{id});
}
