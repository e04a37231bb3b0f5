# A secret asks to be entered again the moment that nobody can open it: its agent
# says that its keystore is unreadable, is revoked, or comes with another key.
# Commands are refused from then on, and go on when it is readable again.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Rest;
use VMOps::WSAgent;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);
my $agent = $t->agent;
my $ref = $t->secret;
my $rest = sub { $s->rest(@_) };

sub shown {
    my ($want, $what) = @_;
    is $t->made(GET => "/secrets/$ref/meta")->{status}, $want, $what;
    my ($item) = grep { $_->{secret_ref} eq $ref }
        @{ $t->made(GET => '/secrets')->{items} };
    is $item->{status}, $want, "$what: in the list, too";
}

sub submit {
    my $r = $t->rest(POST => '/vm-ops/proxmox/start', {
        json => { vm_uuid => $t->vm } });
    return "$r->{status} " . ($r->{json}{code} // '');
}

my $told = 0;
sub says {
    my (%status) = @_;
    $agent->send({ t => 'status', routes => [], capabilities => ['proxmox'],
                   keystore => 'ok', key_id => $agent->key_id,
                   audit_head => undef, %status });
    # its next message is answered after this one
    $agent->send({ t => 'secret.get', id => 'r' . ++$told, ref => $ref,
                   version => 1 });
    is $agent->receive('secret')->{id}, "r$told", 'it says so';
}

sub beats {
    my (%beat) = @_;
    my $r = $agent->signed($rest, $s->url, '/api/v1/agents/heartbeat', {
        version => '1.0', capabilities => [], routes => [], keystore => 'ok',
        key_id => $agent->key_id, %beat });
    is $r->{status}, 200, 'a heartbeat says so';
}

shown('ok', 'readable');
is submit(), '202 ', 'and used';
$agent->serve;

for my $how ([socket => \&says], [heartbeat => \&beats]) {
    my ($name, $say) = @$how;
    $say->(keystore => 'unreadable', key_id => undef);
    shown('reentry_required', "$name: unreadable");
    is submit(), '409 secret_reentry_required', "$name: no command";
    $say->(keystore => 'ok');
    shown('ok', "$name: readable again");
    $say->(key_id => 'k1' . '0' x 32);
    shown('reentry_required', "$name: another key");
    is submit(), '409 secret_reentry_required', "$name: no command";
    $say->();
    shown('ok', "$name: the right key");
    is submit(), '202 ', "$name: and commands";
    $agent->serve;
}

# asked for a rotation, and then unreadable: the graver one is shown
$t->made(POST => "/secrets/$ref/rotate");
shown('rotation_requested', 'asked for');
says(keystore => 'unreadable');
shown('reentry_required', 'unreadable beats asked for');
says();
shown('rotation_requested', 'and is asked for still');

# entered again under a new key
my $key = $agent->{keys}{kid};
$agent->{keys}{kid} = 'k' x 32;
says(key_id => $agent->key_id);
shown('reentry_required', 'a new key');
my $r = $agent->signed(sub {
    my ($method, $path, $opt) = @_;
    $opt->{headers}{'If-Match'} = '"1"';
    return $s->rest($method, $path, $opt);
}, $s->url, "/api/v1/secrets/$ref/rotate", {
    alg => 'xc20p-blake2b-v1', key_id => $agent->key_id, version => 2,
    created_ms => 1760000000000, nonce => 'A' x 32, ciphertext => 'A' x 363,
    aad_meta => '{}' });
is $r->{status}, 200, 'entered again';
shown('ok', 'entered again: readable');
is submit(), '202 ', 'and commands';
$agent->serve;

# paired again with other keys: the same agent, another vault
my $code = $t->made(POST => '/agents/pairings', {
    agent_id => $agent->id, auto_approve => JSON::PP::true })->{code};
shown('ok', 'a code alone changes nothing');
my $again = VMOps::WSAgent->new(port => $s->port);
$again->pair($rest, $code);
is $again->id, $agent->id, 'paired again';
shown('reentry_required', 'paired again: at once');
is submit(), '409 secret_reentry_required', 'no command';
$again->online;
wait_for { $t->made(GET => '/agents/' . $again->id)->{status} eq 'online' } 5,
    'the agent under its new keys';
is submit(), '409 secret_reentry_required', 'online, and still none';

# revoked
# a worker remembers who an agent is for a second: the old keys until then
wait_for { $ref = eval { $again->add_secret($rest, $s->url,
    '01890000-0000-7000-8004-000000000001') } } 5, 'a secret of the new keys';
shown('ok', 'one of the new keys');
$t->made(POST => '/agents/' . $again->id . '/revoke');
shown('reentry_required', 'revoked: at once');
is submit(), '403 agent_revoked', 'a command is told of the agent first';

done_testing;
