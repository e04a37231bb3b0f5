# What an owner decides reaches the agent at once, signed where it ends an agent
# for good: approval, revocation, lock, new pairing, suspension.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Functions qw(uuid);
use VMOps::Gateway;

my $g = VMOps::Gateway->start(workers => 2);
my $f = $g->functions;

sub ended {
    my ($a, $code, $what, $seconds) = @_;
    my $start = now;
    is $a->ctl->{code}, $code, "$what: a signed end, $code";
    is $a->closed, $code, "$what: and closed $code";
    cmp_ok now - $start, '<', $seconds // 2, "$what: in time";
}

# a pending agent may connect, has no command, and is told of its approval

my $a = $g->make_agent(approved => 0);
$a->online;
is $a->{welcome}{status}, 'pending_approval', 'pending';
$g->wait_online($a);
$g->decide(approve => $a);
is_deeply $a->ctl, { v => 1, n => 1, do => 'approved' },
    'approval: a signed message';
my $vm = $g->make_vm(agent_id => $a->id, bot_id => '');
my $secret = $f->make_secret($a->id, key_id => $a->key_id);
{
    local $g->{secret} = $secret;
    $g->bind_secret('vm', $vm);
}
my $id = $g->submit(target => $vm);
is $a->serve->{id}, $id, 'and then commands come';

# approved between its connection and the channel: it is told, too

my $b = $g->make_agent(approved => 0);
$b->connect;
$b->auth;
$g->decide(approve => $b);
$b->ready;
is $b->ctl->{do}, 'approved', 'approved while it came in';

# a secret that may not be had now is no answer: the session ends, and in the
# next one it is asked for again

$g->online;
my $agent = $g->agent;
sub asks {
    $agent->send({ t => 'secret.get', id => 'r1', ref => $g->secret,
                   version => 1 });
}
for my $case (['that the store lost', [HDEL => $g->agent_key, 'session'], 1013],
              ['held by another', [HSET => $g->agent_key, 'session', uuid()],
               4409],
              ['locked', [HSET => $g->agent_key, 'locked', 1], 4423],
              ['of a suspended tenant', [HSET => $g->key, 'status', 'suspended'],
               1013]) {
    my ($what, $change, $code) = @$case;
    $g->admin(@$change);
    asks();
    is $agent->closed, $code, "a session $what: closed $code";
    is_deeply [grep { $_->{t} eq 'secret' } @{ $agent->{skipped} }], [],
        "a session $what: and no answer";
    $g->admin('HSET', $g->agent_key, 'locked', 0);
    $g->admin('HSET', $g->key, 'status', 'active');
    $g->admin('HDEL', $g->agent_key, 'session');
    $g->online;
    asks();
    ok !$agent->receive('secret')->{error}, 'then it has it';
}

# rotation and cancellation are passed on, signed

$f->ok_call(secret_ask_rotate => { actor => 'token:1',
                                   secret_id => $g->secret });
is_deeply $agent->ctl, { v => 1, n => 1, do => 'rotate', ref => $g->secret },
    'rotate';
$id = $g->submit;
my $order = $agent->cmd;
$agent->ack($order);
$g->wait_command($id, 'running');
$f->ok_call(command_cancel => { actor => 'token:1', command_id => $id });
is_deeply $agent->ctl, { v => 1, n => 2, do => 'cancel', id => $id }, 'cancel';
$agent->result($order, status => 'cancelled', result => undef, error => {
    code => 'cancelled', stage => undef, detail_code => undef });
is $g->wait_command($id, 'cancelled')->{error_code}, 'cancelled', 'cancelled';

# revocation

$g->submit(target => $vm);
my $running = $a->cmd;
$a->ack($running);
$g->wait_command($running->{id}, 'running');
my $start = now;
$g->decide(revoke => $a);
is $a->ctl->{code}, 4403, 'revoked: a signed end, 4403';
$a->result($running, frame => { cmd => $running->{frame} });
is $a->closed, 4403, 'revoked: and closed 4403';
cmp_ok now - $start, '<', 2, 'within 2 s of the revocation';
is_deeply [grep { $_->{t} eq 'result.ok' } @{ $a->{skipped} }], [],
    'what it says after that is not answered';
is $g->command($running->{id})->{status}, 'running', 'nor believed';
like $g->error_log, qr/\[warn\].* code 4403: agent_revoked, agent @{[ $a->id ]} of/,
    'the log names it';
is_deeply $f->call(agent_get => { agent_id => $a->id })->[0], 'OK',
    'its record stays';

$a->connect;
delete $a->{session};
$a->{ctl} = 0;
$a->send($a->auth_message);
ended($a, 4403, 'a revoked one that comes again');

# who takes its place with the same id cannot know the key

my $thief = $g->make_agent;
$thief->{agent} = $a->id;
$thief->connect;
$thief->send($thief->auth_message);
is $thief->closed, 4401, 'without the key: 4401, and no signed word';

# lock: its epoch was presented twice

my $twin = $agent->twin(epoch => 0);
$twin->connect;
$twin->send($twin->auth_message);
ended($twin, 4423, 'an old profile');
ended($agent, 4423, 'the one it was copied from');
$agent->{ctl} = 0;
delete $agent->{session};
$agent->connect;
$agent->send($agent->auth_message);
ended($agent, 4423, 'locked out');
$f->ok_call(agent_unlock => { actor => 'token:1', agent_id => $agent->id,
                              live => '' });
$g->online;
pass 'unlocked, it comes in again';
is_deeply $agent->ctl, { v => 1, n => 1, do => 'rotate', ref => $g->secret },
    'and is asked again for what it has not rotated';

# paired again: the session of the old keys ends, without a signed word

my $again = $g->make_agent(again => $agent->id);
$agent->{skipped} = [];
is $agent->closed, 4401, 'paired again: closed 4401';
is_deeply $agent->{skipped}, [], 'and nothing signed';
$agent->connect;
$agent->send($agent->auth_message);
is $agent->closed, 4401, 'the old keys are no use';
$again->online;
$g->wait_online($again);
$g->{agent} = $again;

# suspension: a pause, and all of the tenant's agents

$b->{skipped} = [];
$f->ok_call(tenant_set => { actor => 'platform:1',
                            field_value => ['status', 'suspended'] });
for my $case (['one', $again], ['the other', $b]) {
    my ($which, $x) = @$case;
    is_deeply $x->receive('bye'), { t => 'bye', code => 'tenant_suspended',
                                    retry_after_ms => 300_000 },
        "suspended: $which gets a pause";
    is $x->closed, 1013, "suspended: $which is closed 1013";
    $x->connect;
    $x->send($x->auth_message);
    is $x->receive('bye')->{code}, 'tenant_suspended',
        "suspended: $which does not come in";
    is $x->closed, 1013, "suspended: $which is closed 1013 again";
}
$f->ok_call(tenant_set => { actor => 'platform:1',
                            field_value => ['status', 'active'] });
$again->online;
$g->wait_online($again);
pass 'active again';

done_testing;
