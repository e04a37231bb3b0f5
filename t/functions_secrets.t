# Secrets: only their agent uploads, reads and rotates them; what people see has
# nothing of the envelope; deletion; bindings and which one counts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my $ref = ref_of($w->{secret});
my $other = $f->make_agent;

sub rotate {
    my (%over) = @_;
    return $f->call(secret_rotate => {
        agent_id => $w->{agent}, nonce => uuid(), secret_id => $w->{secret},
        if_match => 1, version => 2, alg => 'xc20p-blake2b-v1',
        key_id => $f->key_id, created_ms => now_ms(), secret_nonce => 'nonce-2',
        ciphertext => 'ciphertext-2', aad_meta => '{}', size => 272, %over });
}

sub meta {
    my ($id) = @_;
    my ($secret, $bindings) = $f->ok_call(secret_get => { secret_id => $id });
    return { %{ hash($secret) }, bindings => $bindings };
}

my $meta = meta($ref);
is_deeply [sort keys %$meta], [sort qw(secret_id secret_ref kind label alg key_id
    version size agent_id status created_at bindings)],
    'what is known of a secret: no ciphertext, no nonce';
is_deeply [@$meta{qw(secret_id secret_ref status version)}],
    [$w->{secret}, $ref, 'ok', 1], 'under either form of its id';
is_deeply $meta->{bindings}, ["vm:$w->{vm}:proxmox"], 'and where it is bound';

# reading: of its agent's session, that version
my @as = (agent_id => $w->{agent}, session => $w->{session});
my ($record) = $f->ok_call(secret_read => { @as, ref => $ref, version => 1 });
is_deeply [@{ hash($record) }{qw(kind nonce ciphertext alg aad_meta)}],
    ['proxmox_token', 'nonce-1', 'ciphertext-1', 'xc20p-blake2b-v1', '{}'],
    'its agent reads the record';
is $f->call(secret_read => { @as, ref => $ref, version => 2 })->[0],
    'not_found', 'no such version';
my $foreign = $f->make_secret($other);
is $f->call(secret_read => { @as, ref => ref_of($foreign), version => 1 })->[0],
    'not_found', "another agent's secret";

# who may upload
my %upload = (secret_id => uuid(), kind => 'opaque', nonce => 'n1',
              ciphertext => 'c', key_id => $f->key_id);
is $f->call(secret_add => { %upload, agent_id => uuid() })->[0],
    'unauthenticated', 'an unknown agent';
my $pending = $f->make_agent(approved => 0);
is $f->call(secret_add => { %upload, agent_id => $pending })->[0],
    'agent_unapproved', 'a pending agent';
is $f->call(secret_add => { %upload, agent_id => $pending })->[0],
    'unauthenticated', 'a nonce is refused twice';
is $f->call(secret_add => { %upload, agent_id => $other,
                            secret_id => $w->{secret} })->[0], 'conflict',
    'an id that is taken';
is $f->call(agent_heartbeat => { agent_id => $other, nonce => 'n1' })->[0],
    'unauthenticated', 'one nonce for all signed calls of an agent';
is_deeply $f->call(agent_heartbeat => { agent_id => $other, nonce => 'n2',
                                        version => '2.0' }),
    ['OK', 'offline', ''], 'a heartbeat does not make an agent online';

# rotation
is rotate(agent_id => $other)->[0], 'not_found', "another agent's secret";
is rotate(secret_id => uuid())->[0], 'not_found', 'an unknown one';
is rotate(if_match => 2, version => 3)->[0], 'version_mismatch', 'not current';
is rotate(if_match => 1, version => 3)->[0], 'version_mismatch', 'a gap';
is rotate(if_match => 2, version => 2)->[0], 'version_mismatch',
    'the next version, but another one was read';
my $pinned = $f->submitted;
is_deeply rotate(), ['OK', '2'], 'rotated';
is_deeply [@{ meta($ref) }{qw(version status)}], [2, 'ok'], 'version 2';
like meta($ref)->{rotated_at}, qr/^\d{13}$/, 'with the time';
my $old = $f->admin('PTTL', $f->key('secrets_ciphertext', $ref, 1));
ok $old > 86_390_000 && $old <= 86_400_000, 'the old one goes after 24 h';
is $f->admin('PTTL', $f->key('secrets_ciphertext', $ref, 2)), -1,
    'the new one stays';
is $f->command($pinned)->{secret_version}, 1, 'a command keeps its version';
is $f->command($f->submitted)->{secret_version}, 2, 'a new one has the new';
is $f->call(secret_read => { @as, ref => $ref, version => 1 })->[0], 'OK',
    'and the pinned one can be read still';

my $wake = $f->listen('wake');
my ($asked) = $f->ok_call(secret_ask_rotate => { actor => 'token:1',
                                                 secret_id => $ref });
is hash($asked)->{status}, 'rotation_requested', 'asked to be rotated';
is_deeply [$f->heard($wake)], ["rotate $w->{agent} $ref"], 'the agent is asked';
rotate(if_match => 2, version => 3);
is meta($ref)->{status}, 'ok', 'done with the rotation';

# what its agent cannot open now
my $agent = $f->key('agents', $w->{agent});
for my $case ([keystore => 'unreadable'], [key_id => $f->key_id('b')],
              [revoked => 1])
{
    my ($field, $value) = @$case;
    my $was = $f->admin('HGET', $agent, $field);
    $f->admin('HSET', $agent, $field, $value);
    is meta($ref)->{status}, 'reentry_required', "$field $value: enter again";
    $f->admin('HSET', $agent, $field, $was);
}
$f->ok_call(session_status => { @as, keystore => 'unreadable' });
is $f->submit->[0], 'secret_reentry_required', 'the agent says unreadable';
my $fresh = $f->make_secret($w->{agent}, key_id => $f->key_id('b'));
is meta($fresh)->{status}, 'ok', 'the first one entered again makes a new key';
is meta($ref)->{status}, 'reentry_required', 'which opens no older one';
$f->ok_call(session_status => { @as, keystore => 'ok',
                                key_id => $f->key_id });

# bindings: the VM's own wins over its bot's
sub used { hash($f->submit->[2] // [])->{secret_ref} // $f->submit->[0] }
my $bots = $f->make_secret($w->{agent});
is $f->bind_secret('bot', 'bot1', $bots)->[0], 'OK', 'bound to the bot';
is used(), $ref, "the VM's own wins";
$f->ok_call(binding_delete => { actor => 'token:1', scope_type => 'vm',
                                scope_id => $w->{vm}, family => 'proxmox' });
is used(), ref_of($bots), "then its bot's counts";
is_deeply meta($ref)->{bindings}, [], 'the other one is bound nowhere now';
is $f->bind_secret('bot', 'bot1', $foreign)->[0], 'OK',
    "a bot may have another agent's secret";
is used(), 'secret_missing', 'which is of no use to this VM';
is $f->bind_secret('vm', $w->{vm}, $foreign)->[0], 'conflict',
    'a VM may not be bound to it';
is $f->bind_secret('vm', uuid(), $bots)->[0], 'not_found', 'an unknown VM';
is $f->bind_secret('vm', $w->{vm}, uuid())->[0], 'not_found',
    'an unknown secret';
is_deeply $f->bind_secret('vm', $w->{vm}, $bots, family => 'ssh'),
    ['invalid_params', '/secret_ref family'], 'of another family';
my ($binding) = $f->ok_call(binding_get => {
    scope_type => 'bot', scope_id => 'bot1', family => 'proxmox' });
is_deeply hash($binding), { scope_type => 'bot', scope_id => 'bot1',
    family => 'proxmox', secret_ref => ref_of($foreign), mac => 'mac-b' },
    'a binding';

# deletion
$f->bind_secret('vm', $w->{vm}, $ref);
my %delete = (actor => 'token:1', secret_id => $w->{secret});
is $f->call(secret_delete => { %delete })->[0], 'conflict', 'bound: not deleted';
is $f->call(secret_delete => { %delete, force => 1 })->[0], 'OK', 'by force';
is_deeply [grep { /$ref/ } @{ $f->admin('KEYS', '*') }], [],
    'no version of it is left';
is used(), 'secret_missing', 'its binding is gone with it';
is $f->call(secret_get => { secret_id => $ref })->[0], 'not_found', 'gone';
$f->ok_call(vm_delete => { actor => 'token:1', vm_uuid => $w->{vm} });
is $f->admin('EXISTS', $f->key('secret_bindings', "vm:$w->{vm}:proxmox")), 0,
    'a VM takes its bindings with it';

done_testing;
