# An accepted submission: its record, its place in the queue, the wake-up, the
# event and the audit entry; the scopes of targets; the pinned secrets.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my $ref = ref_of($w->{secret});

my ($wake, $live) = map { $f->listen($_) } qw(wake live);
my $arg = $f->good(idem => 'idem-1', params => '{"timeout":60,"x":[]}');
my $before = now_ms();
my $reply = $f->call(submit => $arg);
is_deeply [@$reply[0, 1]], ['OK', '1'], 'accepted, new';

my $record = whole($reply->[2]);
my $created = delete $record->{created_at};
my ($event, $born) = @{ $f->admin('HMGET', $f->key(
    'agent_commands', $arg->{command_id}), 'ev0', 'born') };
cmp_ok abs($created - $before), '<', 2000, "created by Redis' clock";
like $event, qr/^\d+-\d+$/, 'its first event is known';
cmp_ok $born, '<=', $before, 'and which process of the store queued it';
is_deeply $record, {
    command_id => $arg->{command_id}, service => 'proxmox', action => 'start',
    scope => 'vm', family => 'proxmox', target => $w->{vm},
    vm_uuid => $w->{vm}, agent_id => $w->{agent}, guest => 'qemu',
    node => 'pve1', vmid => '101', params => '{"timeout":60,"x":[]}',
    status => 'queued', seq => '1', timeout_s => '60', iat => $arg->{iat},
    exp => $arg->{exp}, subject => 'user-op', role => 'operator',
    pkind => 'token', pkey => 'op', idem => 'idem-1', intent_mac => 'mac-i',
    secret_ref => $ref, secret_version => '1',
}, 'the record, whole; params byte for byte';

my $stored = whole($f->admin('HGETALL', $f->key('agent_commands',
                                                $arg->{command_id})));
is_deeply $stored, { %$record, created_at => $created, ev0 => $event,
                       born => $born },
    'the store holds what was answered';
is_deeply $f->admin('ZRANGE', $f->key('agents', $w->{agent}, 'queue'), 0, -1,
                    'WITHSCORES'), [$arg->{command_id}, 1], 'queued, by seq';
is $f->admin('ZSCORE', $f->key('deadlines'), $arg->{command_id}),
    $created + 10_000, 'overdue when not sent within 10 s';
cmp_ok $f->admin('PTTL', $f->key('idempotency', 'idem-1')), '>', 86_390_000,
    'its key is remembered for 24 h';
is $f->admin('HGET', $f->key, 'open'), 1, 'counted as open';

is_deeply [$f->heard($wake)], ["cmd $w->{agent}"], 'the gateways are woken';
is_deeply [$f->heard($live)], ["cmd $arg->{command_id} queued $event"],
    'who listens is told';

my ($events) = $f->ok_call(events_read => { limit => 200 });
my ($entry) = grep { $_->[0] eq $event } @$events;
my $fields = hash($entry->[1]);
my $audit = decode_json($fields->{entry});
is_deeply [@$fields{qw(type command_id kind status)}],
    ['command', $arg->{command_id}, 'status', 'queued'], 'its event';
is_deeply { map { $_ => $audit->{$_} } qw(event actor id subject action) },
    { event => 'command.submitted', actor => 'token:' . $f->admin(
          'HGET', $f->key('tokens', 'op'), 'token_id'),
      id => $arg->{command_id}, subject => 'user-op', action => 'start' },
    'its audit entry says who';

is hash($f->submit->[2])->{seq}, 2, 'seq grows by one';
is $f->submit(command_id => $arg->{command_id})->[0], 'conflict',
    'the same id twice is no second command';

# a short deadline bounds the wait, too
my $short = whole($f->submit(timeout_s => 3)->[2]);
is $f->admin('ZSCORE', $f->key('deadlines'), $short->{command_id}),
    $short->{created_at} + 3000, 'nothing waits longer than its own time';

# endpoint: the secret is the target, the agent is the one that made it
my $endpoint = whole($f->submit(scope => 'endpoint', action => 'list',
                               target => $ref)->[2]);
is_deeply [@$endpoint{qw(agent_id secret_ref secret_version)}],
    [$w->{agent}, $ref, 1], 'endpoint: agent and version by the secret';
ok !exists $endpoint->{vm_uuid}, 'endpoint: no VM';
is_deeply $f->submit(scope => 'endpoint', target => ref_of(uuid())),
    ['not_found', '/secret_ref unknown'], 'endpoint: an unknown secret';
is_deeply $f->submit(scope => 'endpoint', target => $ref, family => 'ssh'),
    ['invalid_params', '/secret_ref family'], 'endpoint: of another family';

# task: the target and the secret of one of the tenant's own commands
my $task = whole($f->submit(scope => 'task', action => 'task-status',
                           target => $arg->{command_id})->[2]);
is_deeply [@$task{qw(agent_id vm_uuid guest node vmid secret_ref target)}],
    [$w->{agent}, $w->{vm}, 'qemu', 'pve1', 101, $ref, $arg->{command_id}],
    "task: that command's target and secret";
is_deeply $f->submit(scope => 'task', target => uuid()),
    ['not_found', '/command_id unknown'], 'task: an unknown command';
is_deeply $f->submit(scope => 'task', target => $arg->{command_id},
                     family => 'ssh'),
    ['invalid_params', '/command_id family'], 'task: of another family';
is $f->submit(scope => 'magic')->[0], 'not_found', 'no such scope';

# a secret that goes through another one pins both
my $ssh = $f->make_secret($w->{agent}, kind => 'ssh_key');
my $tunnelled = $f->make_secret($w->{agent}, via => ref_of($ssh));
is $f->bind_secret('vm', $w->{vm}, $tunnelled)->[0], 'OK', 'bound';
my $through = whole($f->submit->[2]);
is_deeply [@$through{qw(secret_ref via_ref via_version)}],
    [ref_of($tunnelled), ref_of($ssh), 1], 'via: pinned with its version';
$f->ok_call(secret_delete => { secret_id => $ssh, force => 1 });
is $f->submit->[0], 'secret_missing', 'via: gone, so the secret is of no use';

# another tenant's ids do not exist here
my %acme = %$w;
$f->world('other');
is $f->submit(target => $acme{vm})->[0], 'not_found', 'a foreign VM';
is $f->submit(scope => 'endpoint', target => $ref)->[0], 'not_found',
    'a foreign secret';
is $f->submit(scope => 'task', target => $arg->{command_id})->[0],
    'not_found', 'a foreign command';

done_testing;
