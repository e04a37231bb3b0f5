# The way of a command over the socket, with an agent of other parts: order,
# acknowledgement, ciphertext, progress, log lines, signed result.
# tags: asan

use strict;
use warnings;

use Crypt::Digest::BLAKE2b_256 qw(blake2b_256);
use JSON::PP;
use MIME::Base64 qw(encode_base64url);

use VMOps;
use VMOps::Functions qw(hash uuid ref_of);
use VMOps::Gateway;

my $g = VMOps::Gateway->start;
my $a = $g->online;

my $welcome = $a->{welcome};
is $welcome->{status}, 'approved', 'welcome: approved';
is $welcome->{epoch}, 1, 'the first epoch';
is $welcome->{ping_s}, 25, 'the interval of pings';
is $welcome->{command_key_id},
    'c1' . (run_command(['b2sum', '-l', '128'], stdin => $g->{command_pk})
            ->{out} =~ /^(\w+)/)[0], 'the id of the command key';

# an order

my $id = $g->submit(params => '{"timeout":60}', timeout_s => 90);
my $order = $a->cmd;
my $record = $g->command($id);
is $record->{status}, 'delivered', 'delivered';
is_deeply { map { $_ => $order->{$_} } grep { !/^(?:frame|payload)$/ }
            keys %$order }, {
    v => 1, id => $id, seq => 1, iat => $record->{iat},
    exp => $record->{iat} + 90_000, service => 'proxmox', action => 'start',
    target => { vm_uuid => $g->vm, guest => 'qemu', node => 'pve1',
                vmid => 100 },
    params => { timeout => 60 },
    secrets => [{ ref => $g->secret, version => 1, family => 'proxmox' }],
    timeout_s => 90, by => { subject => 'user-op', role => 'operator' },
    idem => undef,
}, 'the order says what was submitted, and no more';
is $order->{frame}{k}, $welcome->{command_key_id}, 'by the command key';

# acknowledged: running, though not at once

$a->ack($order);
my $running = $g->wait_command($id, 'running');
ok $running->{accepted_at} >= $record->{delivered_at}, 'running, and since when';

# its ciphertext

$a->send({ t => 'secret.get', id => 'req-1', ref => $g->secret, version => 1 });
is_deeply $a->receive('secret'), {
    t => 'secret', id => 'req-1', ref => $g->secret, version => 1,
    kind => 'proxmox_token', alg => 'xc20p-blake2b-v1', key_id => $a->key_id,
    created_ms => hash($g->admin('HGETALL', $g->key('secrets_ciphertext',
                                 $g->secret, 1)))->{created_ms},
    nonce => encode_base64url('n' x 24),
    ciphertext => encode_base64url('c' x 272), aad_meta => '{}',
}, 'secret.get: the record';

my $stranger = $g->make_agent;
my $theirs = ref_of($g->functions->make_secret($stranger->id));
for my $case (['another version', $g->secret, 2], ['an unknown one',
              ref_of(uuid()), 1], ['another agent\'s', $theirs, 1]) {
    $a->send({ t => 'secret.get', id => $case->[0] =~ tr/a-z//cdr,
               ref => $case->[1], version => $case->[2] });
    my $m = $a->receive('secret');
    is $m->{error}, 'not_found', "secret.get: $case->[0] is not found";
    ok !exists $m->{ciphertext}, "$case->[0]: no ciphertext";
}

# progress and log lines

$a->send({ t => 'progress', id => $id, percent => 40, stage => 'task',
           message => 'half way' });
$a->send({ t => 'log', id => $id, line => "line $_" }) for 1 .. 3;
wait_for { $g->admin('LLEN', $g->key('agent_commands', $id, 'log')) == 3 } 5,
    'three log lines';
my $command = $g->command($id);
is_deeply [@$command{qw(percent stage message)}], [40, 'task', 'half way'],
    'progress is stored';
like $g->admin('LINDEX', $g->key('agent_commands', $id, 'log'), 0),
    qr/^\d+ line 1$/, 'the log, with times';

# the result

my $payload = $a->result($order, result => { upid => undef, note => "\x{e9}" });
is $a->receive('result.ok')->{id}, $id, 'result.ok';
$command = $g->wait_command($id, 'succeeded');
is $command->{result}, "{\"note\":\"\xc3\xa9\",\"upid\":null}",
    'the result\'s JSON';
is $command->{receipt_payload}, encode_base64url($payload), 'the receipt';
like $command->{receipt_signature}, qr/^[\w-]{86}$/, 'and its signature';
is_deeply decode_json($command->{secrets}),
    [{ ref => $g->secret, version => 1 }], 'the secrets it was run with';

# the same result again, as after a lost answer; and one that nobody knows

$a->result($order);
is $a->receive('result.ok')->{id}, $id, 'again: known, and answered';
my $unknown = { id => uuid(), payload => 'x', secrets => [] };
$a->result($unknown);
is $a->receive('result.ok')->{id}, $unknown->{id}, 'unknown: answered, too';
is $g->command($id)->{result}, $command->{result}, 'the first one stands';

# a fast one is never told as running

$id = $g->submit;
$a->serve;
my @seen = map { hash($_->[1]) } @{ $g->admin('XRANGE', $g->key('events'),
                                              '-', '+') };
is_deeply [map { $_->{status} } grep { ($_->{command_id} // '') eq $id } @seen],
    [qw(queued delivered succeeded)], 'a fast command: three events';
ok $g->command($id)->{accepted_at}, 'and it is known when it was accepted';

# a failed one, and rejections

$id = $g->submit;
$a->serve(status => 'failed', result => undef, error => {
    code => 'task_failed', stage => 'task', detail_code => undef });
$command = $g->command($id);
is_deeply [@$command{qw(status error_code error_stage)}],
    [qw(failed task_failed task)], 'a failure with its code and stage';

$id = $g->submit;
$a->ack($a->cmd, status => 'rejected', code => 'command_expired');
is $g->wait_command($id, 'rejected')->{error_code}, 'command_expired',
    'rejected by its ack';

$id = $g->submit;
$a->ack($a->cmd, status => 'rejected', code => 'no_such_code');
is $g->wait_command($id, 'rejected')->{error_code}, 'command_invalid',
    'a foreign code is none';

# an endpoint call takes the secret that it names

$id = $g->submit(action => 'list', scope => 'endpoint', target => $g->secret);
$order = $a->cmd;
is_deeply $order->{target}, {}, 'an endpoint call has no VM';
is $order->{secrets}[0]{ref}, $g->secret, 'and the secret it names';
$a->result($order);
$a->receive('result.ok');
$g->wait_command($id, 'succeeded');

# many at once arrive in order

my @ids = map { $g->submit } 1 .. 50;
my @orders = map { $a->cmd } @ids;
is_deeply [map { $_->{id} } @orders], \@ids, '50 commands in their order';
is_deeply [map { $_->{seq} } @orders],
    [$orders[0]{seq} .. $orders[0]{seq} + 49], 'with growing seq';
$a->result($_) for reverse @orders;
is_deeply [map { $a->receive('result.ok')->{id} } @orders], [reverse @ids],
    'their results in any';
$g->wait_command($_, 'succeeded') for @ids;
is $g->admin('ZCARD', $g->agent_key . '/queue'), 0, 'nothing stays queued';

# what is not known is ignored, what is malformed is not

$a->send({ t => 'news', x => 1 });
$a->send({ t => 'progress', id => uuid(), percent => 1, stage => 's',
           message => 'm' });
$a->send({ t => 'log', id => uuid(), line => 'l' });
$a->ack({ id => uuid() });
$id = $g->submit;
$a->serve;
$g->wait_command($id, 'succeeded');
pass 'unknown messages and ids are ignored';

# a status

my %status = (t => 'status', routes => [], keystore => 'ok', key_id => $a->key_id,
              capabilities => [], audit_head => undef);
$a->send({ %status, routes => [{ secret_ref => $g->secret, ok => \1,
    stage => 'http', code => undef, latency_ms => 12,
    checked_at => '2026-01-01T00:00:00.000Z' }], keystore => 'unreadable',
    key_id => undef, capabilities => ['proxmox'] });
wait_for { ($g->agent_record->{keystore} // '') eq 'unreadable' } 5, 'status';
my $agent = $g->agent_record;
is $agent->{capabilities}, '["proxmox"]', 'capabilities';
is decode_json($agent->{routes})->[0]{latency_ms}, 12, 'routes';
is $g->try_submit->[0], 'secret_reentry_required',
    'with an unreadable keystore no command comes';
$a->send(\%status);
wait_for { $g->agent_record->{keystore} eq 'ok' } 5, 'another status';

# payloads that do not fit their frame

for my $case (
    ['another id', sub { $a->result($order, id => uuid()) }],
    ['no final status', sub { $a->result($order, status => 'running') }],
    ['a foreign member', sub { $a->result($order, more => 1) }],
    ['a short signature', sub { $a->result($order, frame => {
        s => encode_base64url('s' x 63) }) }],
    ['an ack without a status', sub { $a->send({ t => 'ack', id => $id }) }],
    ['101 percent', sub { $a->send({ t => 'progress', id => $id,
        percent => 101, stage => '', message => '' }) }],
    ['a line of 513 bytes', sub { $a->send({ t => 'log', id => $id,
        line => 'l' x 513 }) }],
    ['a second ready', sub { $a->ready }],
    ['a gateway\'s message', sub { $a->send({ t => 'result.ok', id => $id }) }],
) {
    $case->[1]->();
    is $a->closed, 1008, "$case->[0]: closed 1008";
    $g->wait_offline;
    $g->online;
}

is $a->close(1000), 1000, 'the agent leaves';
$g->wait_offline;
my $reply = $g->try_submit;
is $reply->[0], 'agent_offline', 'then it is offline, at once';

done_testing;
