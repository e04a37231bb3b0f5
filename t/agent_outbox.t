# A result is told again until the server confirms it, after a reconnect with
# the order it belongs to; and it survives the agent's own end.
# tags: asan tsan

use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(decode_base64url);

use VMOps;
use VMOps::FakeServer;
use VMOps::PVESim;

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
my $pve = VMOps::PVESim->start;
VMOps->watch_log($agent->home);
$agent->pair;
my $ref = $agent->add_secret($pve);
$agent->start;

# not confirmed: in the same session it is told once

$server->{deaf} = 1;
my $order = order();
my $frame = $server->send_order($order);
my $first = $server->message('result', $order->{id});
ok !exists $first->{cmd}, 'in the order\'s own session without the order';
is journal()->{confirmed}, JSON::PP::false, 'the journal knows it is open';

# after a reconnect, with the order's own frame

$server->cut;
my $second = $server->message('result', $order->{id});
is $second->{p}, $first->{p}, 'after a reconnect the same result';
is $second->{s}, $first->{s}, 'with the same signature';
is_deeply $second->{cmd}, { map { $_ => $frame->{$_} } qw(p k s) },
    'and the order it belongs to';

# after its own end

$agent->stop('KILL');
$server->{deaf} = 0;
$agent->start;
my $third = $server->message('result', $order->{id});
is $third->{p}, $first->{p}, 'after a kill the same result';
$server->until(sub { journal()->{confirmed} }, 'the confirmation');
pass 'confirmed, it is closed';

my $connections = $server->{connections};
$server->cut;
$server->until(sub { $server->{connections} > $connections
                     && $server->{online} }, 'it to come back');
my $fourth = $server->message('result', $order->{id});
is_deeply [@$fourth{qw(p cmd)}], [$first->{p}, $second->{cmd}],
    'told once more: a store may lose what it was told last';
my $next = order();
$server->send_order($next);
$server->result($next->{id});
is scalar(grep { $_->{t} eq 'result' } @{ $server->{messages} }), 0,
    'once, in each session';
is scalar($pve->effects(vmid => 100, op => 'start', event => 'effect')), 1,
    'all that for one start';

done_testing;

sub order {
    return $server->order(
        target => { vm_uuid => VMOps::FakeServer::new_id(), guest => 'qemu',
                    node => 'pve1', vmid => 100 },
        secrets => [{ ref => $ref, version => 1, family => 'proxmox' }]);
}

sub journal {
    my ($entry) = grep { $_->{command_id} eq $order->{id} }
        @{ $agent->cli(['journal'])->{items} };
    return $entry;
}
