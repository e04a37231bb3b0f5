# A command on its way: taken in order and once, given back, reported on, ended;
# a late signed result replaces "nobody knows", and only that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my @as = (agent_id => $w->{agent}, session => $w->{session});
my $queue = $f->key('agents', $w->{agent}, 'queue');

sub ids { map { hash($_->[0])->{command_id} } @{ $_[0][2] } }

# taking
my @ids = map { $f->submitted } 1 .. 5;
my $taken = $f->take(limit => 2);
is_deeply [ids($taken)], [@ids[0, 1]], 'in order, as many as asked for';
is $taken->[3], 1, 'and there is more';
is_deeply hash($taken->[1]), { agent_id => $w->{agent}, ed_pk => 'ed',
    x_pk => 'x', approved => 1, revoked => 0, mac => "mac-$w->{agent}" },
    "the agent's identity and its MAC";
$taken = $f->take;
is_deeply [ids($taken)], [@ids[2 .. 4]], 'the rest, once';
is $taken->[3], 0, 'no more';
is_deeply $f->take->[2], [], 'nothing twice';

my ($command, $vm, $own, $bot, $principal, $origin) =
    map { hash($_) } @{ $taken->[2][0] };
is $command->{status}, 'delivered', 'delivered';
like $command->{delivered_at}, qr/^\d{13}$/, 'at a time';
is $vm->{mac}, "mac-$w->{vm}", 'its VM';
is $own->{secret_ref}, ref_of($w->{secret}), "the VM's binding";
is_deeply $bot, {}, 'its bot has none';
is $principal->{role}, 'operator', 'the principal';
is_deeply $origin, {}, 'no task call, so no origin';
is $f->admin('ZCARD', $queue), 5, 'they stay in the queue until they end';
is $f->admin('ZSCORE', $f->key('deadlines'), $ids[0]),
    $f->command($ids[0])->{created_at} + 61_500,
    'overdue a moment after its deadline';

my $task = $f->submitted(scope => 'task', target => $ids[0]);
is hash($f->take->[2][0][5])->{command_id}, $ids[0],
    'a task call comes with the command it refers to';

my $gone = $f->make_token('op2');
$f->submitted(pkey => 'op2', subject => 'user-op2');
$f->ok_call(token_delete => { actor => 'token:1', token_id => $gone });
is_deeply $f->take->[2][0][4], [],
    'a principal that is gone: nothing vouches for the command';

# given back
my ($a, $b) = map { $f->submitted } 1 .. 2;
$f->take;
my $wake = $f->listen('wake');
is $f->untake([$a], session => uuid()), 0, 'another session gives nothing back';
is $f->untake([$a, uuid(), $task]), 2, 'the session that took them does';
is_deeply [$f->heard($wake)], ["cmd $w->{agent}"], 'and wakes who is next';
is $f->command($a)->{status}, 'queued', 'queued again';
is_deeply [ids($f->take)], [$task, $a], 'and taken again, in order';
is_deeply [ids($f->take)], [], 'what was not given back is not taken again';

my $waited = $f->submitted;
$f->take;
$f->age($waited, 10_500);
$f->untake([$waited]);
is $f->command($waited)->{error_code}, 'agent_disconnected',
    'given back after 10 s: it has ended';
my $old = $f->submitted;
my $young = $f->submitted;
$f->age($old, 10_500);
is_deeply [ids($f->take)], [$young], 'what waited longer than 10 s is not sent';
is_deeply [@{ $f->command($old) }{qw(status error_code)}],
    ['failed', 'agent_disconnected'], 'it surely did not run';

# progress and log
my $live = $f->listen('live');
$f->ok_call(progress => { @as, command_id => $a, accepted_at => 1234 });
$f->ok_call(progress => { @as, command_id => $a, percent => 40,
                          stage => 'start', message => "\"x\"\n\x07" });
is_deeply [@{ $f->command($a) }{qw(status accepted_at percent stage message)}],
    ['running', 1234, 40, 'start', "\"x\"\n\x07"], 'running, and how far';
is_deeply [map { (split)[2] } $f->heard($live)], ['running', 'running'],
    'both are told';
my ($events) = $f->ok_call(events_read => { limit => 200 });
my ($progress) = grep { ($_->{kind} // '') eq 'progress' }
    map { hash($_->[1]) } @$events;
is_deeply decode_json($progress->{data}),
    { percent => 40, stage => 'start', message => "\"x\"\n\x07" },
    "progress' data is JSON";
$f->ok_call(log => { @as, command_id => $a, line => ["line $_"] })
    for 1 .. 205;
my (undef, $log) = $f->ok_call(command_get => { command_id => $a });
is @$log, 200, 'the log is capped';
like $log->[-1], qr/^\d{13} line 205$/, 'the last lines are kept';
my $other = $f->make_agent;
my $session = $f->connect_agent($other);
is $f->call(progress => { agent_id => $other, session => $session,
                          command_id => $a, percent => 1 })->[0], 'not_found',
    "another agent's command";

# the end
is_deeply $f->finish($a, agent_id => $other), ['OK', 'unknown'],
    "another agent's result";
my $entries = $f->admin('HGET', $f->key, 'audit');
is_deeply $f->finish(uuid()), ['OK', 'unknown'], 'of an unknown command';
is $f->admin('HGET', $f->key, 'audit'), $entries + 1, 'is audited';
is_deeply $f->finish(uuid(), session => $w->{session}, status => 'rejected',
                     receipt_signature => '', receipt_payload => ''),
    ['OK', 'unknown'], 'an unsigned word of one';
is $f->admin('HGET', $f->key, 'audit'), $entries + 1, 'is not';
is $f->finish($a, status => 'running')->[0], 'bad_request', 'no final status';
my $open = $f->admin('HGET', $f->key, 'open');
is_deeply $f->finish($a, secrets => '[{"ref":"r","version":1}]'),
    ['OK', 'done'], 'ended';
my $done = $f->command($a);
is_deeply [@$done{qw(status result secrets receipt_payload receipt_signature
                     started accepted_at)}],
    ['succeeded', '{"upid":null}', '[{"ref":"r","version":1}]', 'p', 's', 1,
     1234], 'with its result and receipt';
is $f->admin('HGET', $f->key, 'open'), $open - 1, 'one less is open';
ok !defined $f->admin('ZSCORE', $queue, $a), 'out of the queue';
ok !defined $f->admin('ZSCORE', $f->key('deadlines'), $a), 'no deadline';
is_deeply [map { (split)[2] } grep { /^cmd $a / } $f->heard($live)],
    [('running') x 205, 'succeeded'], 'and told';
is_deeply $f->finish($a, status => 'failed'), ['OK', 'known'],
    'a final one stays as it is';
is $f->command($a)->{status}, 'succeeded', 'as it was';
is $f->call(progress => { @as, command_id => $a, percent => 99 })->[0], 'OK',
    'late progress is nothing';
is $f->command($a)->{percent}, 40, 'and changes nothing';
$f->ok_call(command_verdict => { command_id => $a, verdict => 1 });
is $f->command($a)->{receipt_verdict}, 1, 'the verdict on the receipt is kept';

# nobody knows, until a signed result says
sub overdue {
    my $id = $f->submitted;
    $f->take;
    $f->age($id, 62_000);
    is $f->command($id)->{status}, 'indeterminate', 'overdue: nobody knows';
    return $id;
}
my $late = overdue();
is $f->command($late)->{error_code}, 'timeout', 'the agent is there';
$open = $f->admin('HGET', $f->key, 'open');
is_deeply $f->finish($late, receipt_signature => '', receipt_payload => ''),
    ['OK', 'known'], 'an unsigned word changes nothing';
is_deeply $f->finish($late), ['OK', 'done'], 'a signed one does';
is_deeply [@{ $f->command($late) }{qw(status error_code)}],
    ['succeeded', undef], 'it succeeded';
is $f->admin('HGET', $f->key, 'open'), $open, 'counted once';
is_deeply $f->finish($late, status => 'failed'), ['OK', 'known'],
    'and only that is replaced';
$late = overdue();
is_deeply $f->finish($late, status => 'indeterminate',
                     error_code => 'agent_restarted'), ['OK', 'done'],
    'signed: the agent does not know, either';
is $f->command($late)->{error_code}, 'agent_restarted', 'why';
is_deeply $f->finish($late, status => 'indeterminate'), ['OK', 'known'],
    'said again';
is_deeply $f->finish($late, status => 'failed'), ['OK', 'done'],
    'until it does';

# what is told of progress is what the command has: null for what was not said
my $partly = $f->submitted;
$f->take;
$f->ok_call(progress => { @as, command_id => $partly });
for my $part ({ percent => 41 }, { stage => 'x' }, { message => 'x' }) {
    my (undef, undef, $before) = $f->ok_call(events_read => { limit => 1 });
    $f->ok_call(progress => { @as, command_id => $partly, %$part });
    my ($after) = $f->ok_call(events_read => { after => $before, limit => 1 });
    is_deeply decode_json(hash($after->[0][1])->{data}),
        { percent => undef, stage => undef, message => undef, %$part },
        "only @{[ %$part ]}: null for the rest";
}

# cancelling
my ($queued, $sent) = map { $f->submitted } 1 .. 2;
is hash(($f->ok_call(command_cancel => { actor => 'token:1',
                                         command_id => $queued }))[0])
    ->{status}, 'cancelled', 'a queued one ends at once';
$f->take;
$f->heard($wake);
is hash(($f->ok_call(command_cancel => { actor => 'token:1',
                                         command_id => $sent }))[0])->{status},
    'delivered', 'a sent one is asked to stop';
is_deeply [$f->heard($wake)], ["cancel $w->{agent} $sent"], 'by its gateway';
is $f->call(command_cancel => { command_id => $queued })->[0], 'conflict',
    'one that ended';
is $f->call(command_cancel => { command_id => uuid() })->[0], 'not_found',
    'one that is not there';
$f->finish($sent, status => 'cancelled', error_code => 'cancelled');
is $f->command($sent)->{status}, 'cancelled', 'it says it has';

done_testing;
