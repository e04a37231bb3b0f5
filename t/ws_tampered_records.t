# Somebody can write to Redis, and nothing else: whatever is edited between the
# submission of a command and its delivery, nothing of it reaches the agent, and
# an untouched command in between does.  A command that is not handed over at
# once has such a moment: these look as if others waited before them.
# tags: asan

use strict;
use warnings;

use Crypt::PRNG qw(random_bytes);
use MIME::Base64 qw(encode_base64url);

use VMOps;
use VMOps::Functions qw(uuid ref_of now_ms);
use VMOps::Gateway;

my $g = VMOps::Gateway->start;
my $a = $g->online;
my $f = $g->functions;
my $ran = 0;

# what an attacker could want to put in place

my $other_vm = $g->make_vm(vmid => 200);
my $other_secret = $f->make_secret($a->id, key_id => $a->key_id);
my $other_agent = $g->make_agent;
$g->token('viewer', role => 'viewer');
$g->token('owner', role => 'owner');
my $bot_vm = $g->make_vm(vmid => 300, bot_id => 'bot7');
$g->bind_secret('bot', 'bot7');

# A command is submitted and changed at one moment.  edit: what else is done
# then, given the command's key.  It must fail, unsent.
sub tampered {
    my ($what, $edit, %over) = @_;
    my $intent = $g->intent(%over);
    my $id = $intent->{command_id};
    my $key = $g->key('agent_commands', $id);
    my $stored = $f->snapshot;
    my @edits = $edit->($key);
    $g->at_once(['HSET', $g->agent_key, drained => -1], $intent, @edits);
    my $command = $g->wait_command($id, 'failed');
    is $command->{error_code}, 'command_invalid', "$what: not sent";
    like $g->error_log, qr/\[error\].*command \Q$id\E of tenant "acme" is not/,
        "$what: an error in the log";
    restore($stored, map { $_->[1] } @edits);
    untouched($what);
}

# the records, as they were; the command's own stays edited
sub restore {
    my ($stored, @keys) = @_;
    for my $key (grep { defined $stored->{$_} } @keys) {
        $g->admin('RESTORE', $key, 0, pack('H*', $stored->{$key}), 'REPLACE');
    }
    my @new = grep { !defined $stored->{$_} && !m{/agent_commands/} } @keys;
    $g->admin('DEL', @new) if @new;
}

# the next command the agent sees is a good one
sub untouched {
    my ($what) = @_;
    my $id = $g->submit;
    my $order = $a->serve;
    is $order->{id}, $id, "$what: a good one does run";
    $ran++;
}

sub set { my @pair = @_; sub { ['HSET', $_[0], @pair] } }

untouched('before');

# the command itself

tampered('action', set(action => 'stop'));
tampered('action, in its service', set(action => 'reset'));
tampered('service', set(service => 'ssh'));
tampered('parameters', set(params => '{"force_stop":true}'),
         action => 'shutdown');
tampered('parameters, respelled', set(params => '{ }'));
tampered('target', set(target => $other_vm));
tampered('target and VM', set(target => $other_vm, vm_uuid => $other_vm));
tampered('the VM it was submitted for', set(vm_uuid => $other_vm));
tampered('subject', set(subject => 'user-boss'));
tampered('role', set(role => 'owner'));
tampered('principal', set(pkind => 'token', pkey => 'owner', role => 'owner',
                          subject => 'user-owner'));
tampered('kind of principal', set(pkind => 'var', pkey => ''));
tampered('unknown kind of principal', set(pkind => 'root'));
tampered('time of issue', set(iat => now_ms() + 60_000));
tampered('expiry', set(exp => now_ms() + 3_600_000));
tampered('timeout', set(timeout_s => 3600));
tampered('idempotency', set(idem => encode_base64url(random_bytes(32))));
tampered('MAC', set(intent_mac => encode_base64url(random_bytes(32))));
tampered('MAC, removed', set(intent_mac => ''));
tampered('secret', set(secret_ref => ref_of($other_secret)));
tampered('no secret', set(secret_ref => ''));
tampered('numbers', set(seq => '-1'));
tampered('a number with a tail', set(exp => '1x'));

# the VM's record

my $vm = $g->key('vms', $g->vm);
tampered("VM: $_->[0]", sub { ['HSET', $vm, @$_] })
    for [vmid => 200], [node => 'pve2'], [guest => 'lxc'],
        [bot_id => 'bot7'], [state => 'provisioning'], [mac => ''],
        [agent_id => $other_agent->id];
my %other = @{ $g->admin('HGETALL', $g->key('vms', $other_vm)) };
tampered('VM: another one\'s record', sub { ['HSET', $vm, %other] });
tampered('VM: gone', sub { ['DEL', $vm] });

# the binding

my $binding = $g->binding_key('vm', $g->vm);
tampered('binding: another secret', sub {
    ['HSET', $binding, secret_ref => ref_of($other_secret)],
    ['HSET', $_[0], secret_ref => ref_of($other_secret)] });
tampered('binding: MAC', sub {
    ['HSET', $binding, mac => encode_base64url(random_bytes(32))] });
my %bot = @{ $g->admin('HGETALL', $g->binding_key('bot', 'bot7')) };
tampered('binding: another one\'s record', sub { ['HSET', $binding, %bot] });
tampered('binding: gone', sub { ['DEL', $binding] });
tampered('binding: of the bot', sub {
    ['HSET', $g->binding_key('bot', 'bot7'),
     secret_ref => ref_of($other_secret)],
    ['HSET', $_[0], secret_ref => ref_of($other_secret)] },
    target => $bot_vm);

# the token

my $token = $g->key('tokens', 'op');
my %owner = @{ $g->admin('HGETALL', $g->key('tokens', 'owner')) };
tampered("token: $_->[0]", sub { ['HSET', $token, @$_] })
    for [role => 'owner'], [expires_at => now_ms() + 1e9], [subject => 'x'],
        [token_id => uuid()], [name => 'x'], [mac => ''];
tampered('token: another one\'s record', sub { ['HSET', $token, %owner] });
tampered('token: deleted', sub { ['DEL', $token] });

# a token that a Redis writer made up, and one that may not do this

my %planted = (token_id => uuid(), role => 'owner', name => 'planted',
               subject => 'user-planted', expires_at => '');
$f->ok_call(token_add => { actor => 'token:1', hmac => 'planted', %planted,
                           mac => encode_base64url(random_bytes(32)) });
tampered('a planted token', sub { () }, pkey => 'planted', role => 'owner',
         subject => 'user-planted');
tampered('a viewer\'s token', set(pkey => 'viewer', role => 'viewer'));

# the agent

my $agent = $g->agent_key;
my %stranger = @{ $g->admin('HGETALL', $g->agent_key($other_agent)) };
tampered("agent: $_", sub { ['HSET', $agent, $_ => $stranger{$_}] })
    for qw(ed_pk x_pk mac);
tampered('agent: another one\'s keys', sub {
    ['HSET', $agent, map { $_ => $stranger{$_} } qw(ed_pk x_pk mac)] });

# a record that is not edited but made: a command without a submission

my $forged = uuid();
my %record = @{ $g->admin('HGETALL', $g->key('agent_commands', $g->submit)) };
$a->serve;
$g->admin('HSET', $g->key('agent_commands', $forged), %record,
          command_id => $forged, status => 'queued', seq => 99_999,
          created_at => now_ms(), iat => now_ms(), exp => now_ms() + 60_000);
$g->admin('ZADD', "$agent/queue", 99_999, $forged);
$g->admin('SPUBLISH', $g->key('wake'), 'cmd ' . $a->id);
is $g->wait_command($forged, 'failed')->{error_code}, 'command_invalid',
    'a command from nowhere is not sent';

# an old command, put in the queue once more: the agent would refuse its seq, but
# its time is over anyway

my $old = $g->intent(iat => now_ms() - 120_000, timeout_s => 60);
$g->at_once($old);
my $order = eval { $a->cmd(1) };
ok !$order || $order->{exp} < now_ms(), 'an expired one stays expired';

is $a->next_message(0.3), undef, 'nothing else was ever sent';
cmp_ok $ran, '>', 40, "$ran good commands ran in between";

done_testing;
