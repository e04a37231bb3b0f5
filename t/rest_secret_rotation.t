# Rotation: of a hundred at once one wins per version; what was submitted before
# keeps its version, what comes later has the new one; a request reaches the
# agent, at once or when it comes, and is shown until it is done.

use strict;
use warnings;

use Crypt::PRNG qw(random_bytes);
use JSON::PP;
use MIME::Base64 qw(encode_base64url);

use VMOps;
use VMOps::Faults;
use VMOps::Pipeline;
use VMOps::Rest;
use VMOps::Stream;

use constant AT_ONCE => 100;

my $s = VMOps->stack(nodes => 2, workers => 2);
my $faults = VMOps::Faults->new($s);
my $t = VMOps::Rest->new($s, node => 2);
my $agent = $t->agent;
my $ref = $t->secret;
my $path = "/secrets/$ref/rotate";

sub sealed {
    my ($version) = @_;
    return { alg => 'xc20p-blake2b-v1', key_id => $agent->key_id,
             version => $version, created_ms => 1760000000000,
             nonce => encode_base64url(random_bytes(24)),
             ciphertext => encode_base64url(random_bytes(272)),
             aad_meta => '{}' };
}

# a signed rotation, as bytes for a node
sub rotation {
    my ($version, $body, $node) = @_;
    my $bytes;
    $agent->signed(sub {
        my (undef, undef, $opt) = @_;
        $bytes = VMOps::Pipeline::bytes(POST => $path, body => $opt->{body},
            headers => { %{ $opt->{headers} }, Host => '127.0.0.1:'
                . $s->port($node), 'If-Match' => '"' . ($version - 1) . '"',
                'Content-Length' => length $opt->{body} });
    }, $s->url($node), "/api/v1$path", $body);
    return $bytes;
}

sub rotate {
    my ($version) = @_;
    my $body = sealed($version);
    my $p = VMOps::Pipeline->new($s);
    $p->send(rotation($version, $body, 1));
    my $r = $p->answer;
    is $r->{status}, 200, "rotated to version $version";
    return $body;
}

sub meta { return $t->made(GET => "/secrets/$ref/meta") }

# what the agent gets to open
my $asked = 0;
sub secret_of {
    my ($version) = @_;
    my $id = 'r' . ++$asked;
    $agent->send({ t => 'secret.get', id => $id, ref => $ref,
                   version => $version });
    my $m = $agent->receive('secret');
    is $m->{id}, $id, 'an answer to the agent';
    return $m->{ciphertext};
}

my $first = secret_of(1);

# a hundred at once, on both nodes
my $last = 1 + rounds(ci => 3, full => 5);     # an agent has 600 nonces
for my $version (2 .. $last) {
    my @bodies = map { sealed($version) } 1 .. AT_ONCE;
    my @pipes = map { VMOps::Pipeline->new($s, 1 + $_ % 2) } 1 .. AT_ONCE;
    my @bytes = map { rotation($version, $bodies[$_ - 1], 1 + $_ % 2) }
        1 .. AT_ONCE;
    # all but the last byte of each first: they end together
    $pipes[$_]->send(substr $bytes[$_], 0, -1) for 0 .. AT_ONCE - 1;
    $pipes[$_]->send(substr $bytes[$_], -1) for 0 .. AT_ONCE - 1;
    my @answers = map { $_->answer } @pipes;
    my @won = grep { $answers[$_]{status} == 200 } 0 .. $#answers;
    my @lost = grep { VMOps::Pipeline::code($_) eq 'version_mismatch' }
        @answers;
    is @won, 1, "version $version: one wins";
    is @lost, AT_ONCE - 1, 'the others are told of another version';
    is meta()->{version}, $version, 'the version is shown';
    is secret_of($version), $bodies[ $won[0] // 0 ]{ciphertext},
        "what is stored is the winner's";
}
is secret_of(1), $first, 'the first version is kept for what was pinned to it';

# pinned: sent before, and accepted before but not sent yet
my $version = $last;
my $sent = $t->start(timeout_s => 60)->{command_id};
my $order = $agent->cmd;
my @gateways = $s->workers(2);
$faults->pause($_) for @gateways;
my $held = $t->start(timeout_s => 60)->{command_id};
my $old = rotate(++$version);
my $later = $t->start(timeout_s => 60)->{command_id};
$faults->go_on($_) for @gateways;
my %orders = map { $_->{id} => $_ } $order, $agent->cmd, $agent->cmd;
for my $case ([sent => $sent, $version - 1], [held => $held, $version - 1],
              [later => $later, $version]) {
    my ($what, $id, $want) = @$case;
    my $o = $orders{$id} // { secrets => [] };
    is_deeply $o->{secrets}, [{ ref => $ref, version => $want,
                                family => 'proxmox' }], "$what: its version";
    is_deeply $t->made(GET => "/vm-ops/commands/$id")->{secrets},
        [{ secret_ref => $ref, version => $want }], "$what: as it is shown";
    ok secret_of($want), "$what: and it can be read";
    $agent->ack($o);
    $agent->result($o);
    is $agent->receive('result.ok')->{id}, $id, "$what: it ends";
}
is secret_of($version), $old->{ciphertext}, 'the new one is the new one';

# asked for: told, shown, seen in the events, until it is done
my $events = VMOps::Stream->new($s, '/events', token => $t->token);
sub event {
    my ($what) = @_;
    my $e;
    do { $e = $events->next } while $e && ($e->{data}{event} // '') ne $what;
    is $e->{data}{id}, $ref, "an event: $what";
}
my $operator = $t->new_token('operator')->{token};
sub ask {
    my $r = $t->rest(POST => $path, { token => $operator });
    is "$r->{status} $r->{json}{status}", '202 rotation_requested', 'asked for';
}
ask();
my $ctl = $agent->ctl;
is_deeply [@$ctl{qw(do ref)}], ['rotate', $ref], 'its agent is told, signed';
event('secret.rotation_requested');
is meta()->{status}, 'rotation_requested', 'shown';
is $t->made(GET => '/secrets')->{items}[0]{status}, 'rotation_requested',
    'and in the list';
my %status = (t => 'status', routes => [], capabilities => ['proxmox'],
              keystore => 'ok', key_id => $agent->key_id, audit_head => undef);
$agent->send({ %status });
secret_of($version);
is meta()->{status}, 'rotation_requested', 'a status of its agent ends it not';
$t->start(timeout_s => 60);
is $agent->serve->{secrets}[0]{version}, $version,
    'and commands go on meanwhile';
rotate(++$version);
event('secret.rotated');
is meta()->{status}, 'ok', 'the rotation ends it';

# asked while it is away: told when it comes, and again until it is done
$agent->drop;
wait_for { $t->made(GET => '/agents/' . $agent->id)->{status} eq 'offline' }
    10, 'the agent to be away';
ask();
for my $time ('when it comes', 'and the next time') {
    $t->online;
    $ctl = $agent->ctl;
    is_deeply [@$ctl{qw(do ref)}], ['rotate', $ref], "told $time";
    $agent->drop;
}
rotate(++$version);
$t->online;
$t->start(timeout_s => 60);
$agent->serve;
is_deeply [grep { $_->{t} eq 'ctl' } @{ $agent->{skipped} }], [],
    'what is done is asked no more';

# another's, and none
is $t->rest(POST => '/secrets/sec_' . '0' x 32 . '/rotate')->{status}, 404,
    'there is none of that name';

done_testing;
