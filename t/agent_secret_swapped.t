# A server that gives back another ciphertext than the one that was stored:
# swapped, rolled back, altered or withheld, the agent says which, and the
# hypervisor hears nothing.
# tags: asan tsan

use strict;
use warnings;

use MIME::Base64 qw(encode_base64url decode_base64url);

use VMOps;
use VMOps::FakeServer;
use VMOps::PVESim;

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
my $pve = VMOps::PVESim->start;
VMOps->watch_log($agent->home);
$agent->pair;
my $ref = $agent->add_secret($pve);
my $other = $agent->add_secret($pve, 'not-the-token-of-pve1');
$agent->start;

my %stored = map { $_ => { %{ $server->{secrets}{$_} } } } $ref, $other;
is run(), 'succeeded', 'what was stored: it works';
my $before = scalar $pve->access;

for my $case (
    ['another secret\'s', 'failed secret_tampered',
     sub { %{ $stored{$other} } }],
    ['an altered ciphertext', 'failed secret_tampered',
     sub { ciphertext => altered($_[0]{ciphertext}) }],
    ['an altered nonce', 'failed secret_tampered',
     sub { nonce => altered($_[0]{nonce}) }],
    ['another time of making', 'failed secret_tampered',
     sub { created_ms => $_[0]{created_ms} + 1 }],
    ['another aad_meta', 'failed secret_tampered',
     sub { aad_meta => '{"label":"pve2"}' }],
    ['another algorithm', 'failed secret_tampered', sub { alg => 'none' }],
) {
    my ($what, $expected, $change) = @$case;
    my %good = %{ $stored{$ref} };
    $server->{secrets}{$ref} = { %good, $change->(\%good) };
    is run(), $expected, $what;
}

delete $server->{secrets}{$ref};
is run(), 'failed secret_unreadable', 'none at all';
$server->{secrets}{$ref} = $stored{$ref};
is run(version => 2), 'failed secret_tampered', 'a version never made';

is scalar($pve->access), $before, 'the hypervisor has heard nothing';
is run(), 'succeeded', 'what was stored works again';

done_testing;

sub altered {
    my ($text) = @_;
    my $bytes = decode_base64url($text);
    substr $bytes, 5, 1, substr($bytes, 5, 1) ^ "\1";
    return encode_base64url($bytes);
}

sub run {
    my %use = (ref => $ref, version => 1, family => 'proxmox', @_);
    my $order = $server->order(action => 'list', secrets => [\%use]);
    $server->send_order($order);
    my $result = $server->result($order->{id});
    return join ' ', $result->{status}, $result->{error}
        ? $result->{error}{code} : ();
}
