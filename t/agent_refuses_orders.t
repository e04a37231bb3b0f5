# Orders that were replayed, reordered, expired, altered, not signed, or signed
# by or for somebody else: none of them is carried out.  The good ones before,
# between and after them are, once each.
# tags: asan tsan

use strict;
use warnings;

use Crypt::PK::Ed25519;
use MIME::Base64 qw(encode_base64url);

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

my $guest = VMOps::FakeServer::new_id();

# a good one

my $good = order(idem => encode_base64url('i' x 32));
my $frame = $server->send_order($good);
is $server->message('ack', $good->{id})->{status}, 'accepted', 'a good order';
is $server->result($good->{id})->{status}, 'succeeded', 'is carried out';
is starts(), 1, 'once';

# what is acknowledged, but not run

$server->send_frame($frame);
is $server->message('ack', $good->{id})->{status}, 'accepted',
    'replayed: it is known';
is $server->result($good->{id})->{status}, 'succeeded', 'with its result';

rejected('reordered: an older number', 'command_invalid',
         order(seq => $good->{seq}));
rejected('number 0', 'command_invalid', order(seq => 0));
rejected('the same idempotency hash', 'command_invalid',
         order(idem => $good->{idem}));
my $past = int(Time::HiRes::time() * 1000) - 600_000;
rejected('expired', 'command_expired', order(iat => $past,
                                             exp => $past + 60_000));

# what ends the connection

my $stranger = Crypt::PK::Ed25519->new->generate_key;
my %bad = (
    'not signed' => sub { { %{ $_[0] }, s => encode_base64url("\0" x 64) } },
    'altered'    => sub {
        my %f = %{ $_[0] };
        substr $f{p}, 40, 1, substr($f{p}, 40, 1) eq 'A' ? 'B' : 'A';
        return \%f;
    },
    'under an unknown key id' => sub { { %{ $_[0] }, k => 'c1' . '0' x 32 } },
    'by a stranger'  => sub { $server->frame($_[1], key => $stranger) },
    'for another agent' => sub {
        $server->frame($_[1], agent => VMOps::FakeServer::new_id());
    },
    'for another tenant' => sub {
        $server->frame($_[1], tenant16 => 't' x 16);
    },
);
for my $what (sort keys %bad) {
    my $order = order();
    my $before = () = $server->closes;
    $server->send_frame($bad{$what}->($server->frame($order), $order));
    $server->until(sub { $server->closes > $before }, 'a close');
    is(($server->closes)[-1], 1008, "$what: the agent closes with 1008");
    $server->wait_online;
}

# actions and parameters that are not in the agent's own catalogue

for my $bad ([{ action => 'format' }, 'an unknown action'],
             [{ params => { skiplock => \1 } }, 'an unknown parameter'],
             [{ params => { timeout => 'long' } }, 'a wrong type']) {
    my $order = order(%{ $bad->[0] });
    $server->send_order($order);
    my $end = $server->until(sub {
        my ($m) = grep { ($_->{id} // '') eq $order->{id}
                         && ($_->{t} eq 'result'
                             || ($_->{status} // '') eq 'rejected') }
            @{ $server->{messages} };
        return $m;
    }, 'an end of it');
    ok $end, "$bad->[1] is answered by a $end->{t}";
}

is starts(), 1, 'none of them was carried out';

# and again a good one

$pve->control('PUT', 'guests/100', { status => 'stopped' });
my $last = order();
$server->send_order($last);
is $server->result($last->{id})->{status}, 'succeeded', 'the next good one is';
is starts(), 2, 'once';

$agent->stop;
done_testing;

sub order {
    return $server->order(
        target => { vm_uuid => $guest, guest => 'qemu', node => 'pve1',
                    vmid => 100 },
        secrets => [{ ref => $ref, version => 1, family => 'proxmox' }], @_);
}

sub rejected {
    my ($what, $code, $order) = @_;
    $server->send_order($order);
    my $ack = $server->message('ack', $order->{id});
    is "$ack->{status} $ack->{code}", "rejected $code", $what;
}

sub starts {
    return scalar $pve->effects(vmid => 100, op => 'start', event => 'effect');
}
