# What was sent to a session that is over, and that the agent says it has not
# seen, is given to its next session: in order, for as long as it might have
# waited, and never what it may have had.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my $agent = $f->key('agents', $w->{agent});
my $session = $w->{session};
my $orders = $f->listen('wake/gw1');

sub ids { map { hash($_->[0])->{command_id} } @{ $_[0][2] } }
sub raw { hash($f->admin('HGETALL', $f->key('agent_commands', $_[0]))) }
sub seq { raw($_[0])->{seq} }
sub take { $f->take(session => $session, seen => $_[0]) }

# handed over, or taken where one waited before it
sub sent {
    my $id = $f->submitted;
    take('') if raw($id)->{status} eq 'queued';
    return $id;
}

# the agent's next session: it has seen all up to this
sub next_session {
    my ($seen) = @_;
    $session = $f->connect_agent($w->{agent}, last_seq => $seen,
                                 epoch => $f->{epoch}{ $w->{agent} });
    return $seen;
}

# handed over, and lost with the worker

my ($seen, @lost) = map { $f->submitted } 1 .. 3;
is_deeply [map { raw($_)->{taken_by} } $seen, @lost], [($session) x 3],
    'three are handed over';
my $last = next_session(seq($seen));
is_deeply [map { raw($_)->{status} } $seen, @lost],
    ['delivered', 'queued', 'queued'],
    'what the agent has not seen waits again, what it has does not';
my $later = $f->submitted;
is raw($later)->{status}, 'queued', 'the next one waits behind them';
is_deeply [ids(take($last))], [@lost, $later], 'the new session has them all';
is_deeply [map { raw($_)->{taken_by} } @lost, $later], [($session) x 3],
    'by its name';
is raw($seen)->{taken_by}, $w->{session}, 'but what was seen';
is_deeply [map { seq($_) } @lost, $later], [$last + 1 .. $last + 3],
    'with the numbers they had';
is_deeply [ids(take($last + 3))], [], 'once';

# the same session, registered anew, has what it has
$f->ok_call(session_ready => {
    agent_id => $w->{agent}, session => $session, incarnation => 'gw1',
    epoch => $f->{epoch}{ $w->{agent} }, last_seq => $last, version => '1.0',
    platform => 'linux', live => 'gw1' });
is raw($_)->{status}, 'delivered', 'a session does not lose its own'
    for @lost, $later;
$f->finish($_) for $seen, @lost, $later;

# the old session's word comes late

my $id = sent();
my $old = $session;
$last = next_session(seq($id) - 1);
take($last);
is $f->untake([$id], session => $old), 0,
    'the old session gives nothing back';
is $f->call(progress => { agent_id => $w->{agent}, session => $old,
                          command_id => $id, accepted_at => 1 })->[0], 'stale',
    'nor says that it runs';
my @rejected = (status => 'rejected', error_code => 'agent_storage',
                receipt_signature => '');
is_deeply $f->finish($id, session => $old, @rejected), ['OK', 'known'],
    'nor that it was rejected';
is_deeply [@{ raw($id) }{qw(status taken_by)}], ['delivered', $session],
    'the new one has it';
is_deeply $f->finish($id, session => $session, @rejected), ['OK', 'done'],
    'whose word counts';

# as long as it might have waited; then nobody knows, and not that it did not run

my ($old_one, $young) = map { sent() } 1 .. 2;
$f->age($old_one, 10_500);
$last = next_session(seq($old_one) - 1);
is_deeply [ids(take($last))], [$young], 'after 10 s it is not sent any more';
is raw($old_one)->{status}, 'delivered', 'it stays as it was';
$f->age($old_one, 52_000);
is $f->command($old_one)->{status}, 'indeterminate', 'and nobody knows';
$f->finish($young);

for my $how ('not taken', 'given back') {
    $id = sent();
    $last = next_session(seq($id) - 1);
    if ($how eq 'given back') {
        take($last);
        $f->untake([$id], session => $session);
    }
    is raw($id)->{status}, 'queued', "$how: it waits";
    $f->age($id, 10_500);
    is_deeply [@{ $f->command($id) }{qw(status error_code)}],
        ['indeterminate', 'agent_disconnected'],
        "$how: that it did not arrive is the agent's word only";
}

# one whose cancellation was asked for

$id = sent();
$f->ok_call(command_cancel => { actor => 'token:1', command_id => $id });
$last = next_session(seq($id) - 1);
is_deeply [ids(take($last))], [], 'what was cancelled is not sent again';
$f->finish($id, status => 'cancelled');

# whose memory is not that of who accepted is believed nothing

my ($accepted, $sent) = map { sent() } 1 .. 2;
$f->ok_call(progress => { agent_id => $w->{agent}, session => $session,
                          command_id => $accepted, accepted_at => 1 });
$last = next_session(seq($accepted) - 1);
is_deeply [ids(take($last))], [],
    'it has not seen what it accepted: nothing is sent again';
is_deeply [map { raw($_)->{status} } $accepted, $sent],
    ['running', 'delivered'], 'both are as they were';
$last = next_session(seq($accepted));
is_deeply [ids(take($last))], [$sent], 'the one that accepted is given the rest';
$f->finish($_) for $accepted, $sent;

# what only the agent knows was never sent by this store

$id = uuid();
$f->ok_call(recover => { agent_id => $w->{agent}, command_id => $id,
    field_value => [service => 'proxmox', action => 'start', scope => 'vm',
                    seq => 1000, timeout_s => 60, iat => now_ms()] });
$last = next_session(999);
is_deeply [ids(take($last))], [], 'a record that was made again is not sent';

done_testing;
