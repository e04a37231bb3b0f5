# Hashes, MACs, signatures and tokens, made here with CryptX from the words of
# the documents: t/vectors/keys-v1.json is what t/unit/keys.c holds the C code
# against, so both implementations agree by that file.
#
# perl t/vectors_keys.t --print writes the file's text.

use strict;
use warnings;

use Crypt::Checksum::CRC32 qw(crc32_data_int);
use Crypt::Digest::BLAKE2b_256 qw(blake2b_256);
use Crypt::Digest::SHA1 qw(sha1_b64);
use Crypt::Digest::SHA256 qw(sha256_b64);
use Crypt::Mac::BLAKE2b qw(blake2b);
use Crypt::Mac::HMAC qw(hmac);
use Crypt::Misc qw(encode_b64 encode_b64u);
use Crypt::PK::Ed25519;
use File::Temp;
use JSON::PP;
use Test::More;

my $file = 't/vectors/keys-v1.json';

sub bytes_from { my ($first, $n) = @_; return pack 'C*', map { ($first + $_) & 255 } 0 .. $n - 1 }

sub key_pair {
    my $key = Crypt::PK::Ed25519->new->import_key_raw($_[0], 'private');
    return ($key, $key->export_key_raw('public'));
}

# CryptX has no unkeyed one of 128 bits; coreutils has
sub blake2b_128 {
    my $in = File::Temp->new;
    binmode $in;
    print $in $_[0];
    close $in or die "$in: $!\n";
    open my $fh, '-|', 'b2sum', '-l', '128', "$in" or die "b2sum: $!\n";
    my ($hex) = <$fh> =~ /^([0-9a-f]{32}) / or die "b2sum: no answer\n";
    return pack 'H*', $hex;
}

sub short { return pack('C', length $_[0]) . $_[0] }
sub long  { return pack('N', length $_[0]) . $_[0] }

sub base62 {
    my ($hex, $digits) = @_;
    my @n = map { hex } unpack '(A2)*', $hex;
    my @set = ('0' .. '9', 'A' .. 'Z', 'a' .. 'z');
    my $text = '';
    for (1 .. $digits) {
        my $rest = 0;
        for my $byte (@n) {
            my $v = $rest * 256 + $byte;
            $byte = int($v / 62);
            $rest = $v % 62;
        }
        $text = $set[$rest] . $text;
    }
    return $text;
}

# what everything is made from

my ($agent_key, $agent_pk) = key_pair(bytes_from(0x10, 32));
my ($command_key, $command_pk) = key_pair(bytes_from(0x40, 32));
my $x_pk = bytes_from(0x70, 32);
my $kid = bytes_from(0x90, 32);
my $agent = pack 'H*', '0190a2b3c4d57e6f8a9babcdef012345';
my $session = pack 'H*', '0190ffff00007000800000000000abcd';
my $tenant16 = blake2b_128('vmops/tenant/v1' . 'acme');
my $mac_key = bytes_from(0xa0, 32);
my $pepper = bytes_from(0xc0, 32);

sub signature { return unpack 'H*', $_[0]->sign_message($_[1]) }
sub keyed { return unpack 'H*', blake2b(32, $mac_key, @_) }

my %v = (tenant => 'acme', tenant16 => unpack('H*', $tenant16));

$v{$_->[0]} = unpack 'H*', $_->[1]
    for ['agent_seed', bytes_from(0x10, 32)], ['agent_pk', $agent_pk],
        ['command_seed', bytes_from(0x40, 32)], ['command_pk', $command_pk],
        ['x_pk', $x_pk], ['kid', $kid], ['agent', $agent],
        ['session', $session], ['mac_key', $mac_key], ['pepper', $pepper];

$v{key_id} = 'k1' . unpack 'H32', $kid;
$v{command_key_id} = 'c1' . unpack 'H*', blake2b_128($command_pk);
$v{mac_key_id} = 'm1' . unpack 'H*', blake2b(16, $mac_key, 'vmops/key-id/v1');
$v{pepper_key_id} = 'p1' . unpack 'H*', blake2b(16, $pepper, 'vmops/key-id/v1');

my $print = blake2b_256("vmops-fingerprint-v1\0$agent_pk$x_pk$command_pk");
$v{fingerprint} = join ' ', map { sprintf '%05d', $_ % 100000 } unpack 'N6', $print;

my $register = "vmops-register-v1\0" . blake2b_256('ABCD2345WXYZ') . $agent_pk . $x_pk . $kid
    . short('linux') . short('office pc') . short('pc1.lan');
$v{register_sig} = signature($agent_key, $register);

my $t = "vmops-ws-auth-v1\0" . bytes_from(1, 32) . bytes_from(0x21, 32) . $tenant16 . $agent
    . blake2b_256($agent_pk) . pack('Q>', 7) . pack('C', 1) . bytes_from(0xe0, 32)
    . short('vmops.example:8443');
my $auth = $agent_key->sign_message($t);
my $auth_hash = blake2b_256($t . $auth);
$v{auth_sig} = unpack 'H*', $auth;
$v{auth_hash} = unpack 'H*', $auth_hash;
$v{session_before} = unpack 'H32', $auth_hash;
$v{welcome_sig} = signature($command_key,
    "vmops-ws-welcome-v1\0$auth_hash$session" . pack('Q>', 8) . pack('Q>', 1767225600123));

my $payload = '{"v":1,"n":3,"do":"approved"}';
$v{payload} = $payload;
$v{payload_hash} = unpack 'H*', blake2b_256($payload);
$v{cmd_sig} = signature($command_key, "vmops-cmd-v1\0$tenant16$agent$payload");
$v{result_sig} = signature($agent_key, "vmops-result-v1\0$tenant16$agent$payload");
$v{ctl_sig} = signature($command_key, "vmops-ctl-v1\0$tenant16$agent$session$payload");

$v{idem} = unpack 'H*',
    blake2b_256("vmops-idem-v1\0$tenant16" . short('alice@example.org') . 'order-17');

for my $name ('acme', 'platform') {
    my $head = "vmo_${name}_" . base62(unpack('H*', bytes_from(0, 32)), 43);
    $v{"token_$name"} = $head . base62(sprintf('%08x', crc32_data_int($head)), 6);
}
$v{cookie} = 'acme.' . base62('ff' x 32, 43);
$v{lookup} = encode_b64u(hmac('SHA256', $pepper, $v{token_acme}));

# records: all fields as in include/vmops_records.def
my %records = (
    vm => [qw(agent_id guest node vmid bot_id state)],
    binding => [qw(scope_type scope_id family secret_ref)],
    agent => [qw(agent_id ed_pk x_pk approved revoked)],
    token => [qw(token_id role name expires_at subject)],
    session => [qw(subject role expires_at csrf)],
    platform_token => [qw(token_id role name)],
);
for my $type (sort keys %records) {
    my @fields = @{ $records{$type} };
    $v{records}{$type}{fields} = \@fields;
    $v{records}{$type}{mac} = encode_b64u(pack 'H*', keyed(
        "vmops-record-v1\0" . short($type) . long("tenants/{acme}/x/$type")
        . pack('C', scalar @fields) . join '', map { long("value of $_") } @fields));
}

$v{intent_mac} = encode_b64u(pack 'H*', keyed("vmops-intent-v1\0"
    . join('', map { long($_) } 'acme', 'command', 'proxmox', 'start', 'vm', '', '',
           blake2b_256('{"timeout":60}'), 'token', 'key', 'alice', 'operator')
    . pack('Q>Q>N', 1767225600000, 1767225720000, 120) . long(bytes_from(9, 32))));

my $h = "\0" x 32;
$h = blake2b_256("vmops-audit-v1\0$h" . pack('Q>Q>N', $_->[0], $_->[1], length $_->[2]) . $_->[2])
    for [1, 1767225600000, '{"a":1}'], [2, 1767225600999, ''];
$v{audit_head} = unpack 'H*', $h;
$v{seal_sig} = signature($command_key, "vmops-seal-v1\0$tenant16" . pack('Q>Q>', 1, 2) . $h
    . pack('Q>', 1767225601000));

# RFC 9421
my $digest = 'sha-256=:' . sha256_b64('{"version":"1"}') . ':';
my $params = '("@method" "@target-uri" "content-digest");created=1767225600;nonce="'
    . encode_b64u(bytes_from(0x30, 16)) . '";keyid="acme/0190a2b3-c4d5-7e6f-8a9b-abcdef012345"'
    . ';alg="ed25519"';
my $base = join "\n", '"@method": POST',
    '"@target-uri": https://vmops.example/api/v1/agents/heartbeat',
    qq("content-digest": $digest), qq("\@signature-params": $params);
$v{httpsig_digest} = $digest;
$v{httpsig_input} = "sig1=$params";
$v{httpsig_signature} = 'sig1=:' . encode_b64($agent_key->sign_message($base)) . ':';

$v{ws_accept} = sha1_b64('dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11');

my $text = JSON::PP->new->canonical->pretty->encode({ format => 'vmops keys v1', %v });

if (@ARGV && $ARGV[0] eq '--print') {
    print $text;
    exit;
}

open my $fh, '<', $file or die "$file: $!\n";
my $stored = JSON::PP->new->decode(do { local $/; <$fh> });
is_deeply $stored, JSON::PP->new->decode($text), "$file is what CryptX makes";

is $v{ws_accept}, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', "RFC 6455's own example of an accept key";
is crc32_data_int('123456789'), 0xcbf43926, "the CRC-32's check value";

# RFC 8032 section 7.1, test 2: that the library itself is right
my ($rfc_key) = key_pair(pack 'H*',
    '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb');
is signature($rfc_key, "\x72"),
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da'
    . '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    "RFC 8032's own example of a signature";

done_testing;
