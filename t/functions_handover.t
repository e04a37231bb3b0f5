# A command is handed over as it is submitted where the worker that holds its
# agent listens and nothing waits before it; what that worker did not hear it is
# given again; who waits for the end is told what it changed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my @as = (agent_id => $w->{agent}, session => $w->{session});
my $agent = $f->key('agents', $w->{agent});

sub ids { map { hash($_->[0])->{command_id} } @{ $_[0][2] } }
sub raw { hash($f->admin('HGETALL', $f->key('agent_commands', $_[0]))) }

# nobody listens
my $first = $f->submitted;
is raw($first)->{status}, 'queued', 'nobody listens: queued';

# somebody does, but one waits before it
my ($orders, $wake, $live) = map { $f->listen($_) } qw(wake/gw1 wake live);
my $second = $f->submitted;
is raw($second)->{status}, 'queued', 'behind another one: queued';
is_deeply [$f->heard($orders)], [], 'not handed over';
is_deeply [$f->heard($wake)], ["cmd $w->{agent}"], 'but woken';
is_deeply [ids($f->take)], [$first, $second], 'and taken in order';
$f->heard($live);

# handed over
my $id = $f->submitted(params => '{"a":1}');
my $record = raw($id);
is $record->{status}, 'delivered', 'delivered in the same moment';
is $record->{taken_by}, $w->{session}, "to the agent's session";
is $record->{delivered_at}, $record->{created_at}, 'at once';
is $f->admin('ZSCORE', $f->key('deadlines'), $id),
    $record->{created_at} + 61_500, 'its whole time is before it';
is $f->admin('HGET', $agent, 'drained'), $record->{seq}, 'and counts as taken';
my ($message) = $f->heard($orders);
for my $part ($id, $w->{session}, "mac-$w->{vm}", "mac-$w->{agent}", 'mac-b',
              'mac-op', 'mac-i', '{"a":1}', ref_of($w->{secret})) {
    ok index($message, $part) >= 0, "the message has $part";
}
is_deeply [$f->heard($wake)], [], 'nobody is woken beside';
is_deeply [map { (split)[2] } $f->heard($live)], ['delivered'],
    'who looks on is told once';
my ($events) = $f->ok_call(events_read => { limit => 200 });
is_deeply [map { $_->{status} } grep { ($_->{command_id} // '') eq $id }
           map { hash($_->[1]) } @$events], [qw(queued delivered)],
    'of both events';
is_deeply [ids($f->take)], [], 'it is not taken besides';

# what the worker did not hear
is_deeply [ids($f->take(seen => $record->{seq} - 1))], [$id],
    'the session that has not seen it is given it again';
is_deeply [ids($f->take(seen => $record->{seq}))], [],
    'the one that has is not';
is $f->untake([$id]), 1, 'what it cannot send it gives back';
is raw($id)->{status}, 'queued', 'queued';
$f->heard($wake);
my $later = $f->submitted;
is raw($later)->{status}, 'queued', 'and the next one waits behind it';
is_deeply [ids($f->take(seen => $record->{seq} - 1))], [$id, $later],
    'in order';

# another session's are none of this one's, as far as the agent has seen them
my $session = $f->connect_agent($w->{agent}, last_seq => raw($later)->{seq},
                                epoch => $f->{epoch}{$w->{agent}});
is_deeply [ids($f->take(session => $session, seen => 0))], [],
    'what another session had is not sent again';

# who waits is told what the end changed
my %wait = (waits => 1);
$id = $f->submitted(%wait);
$f->heard($live);
$f->finish($id, result => '{"x":1}');
my ($told) = $f->heard($live);
like $told, qr/^cmd $id succeeded \d+-\d+ ./s, 'the end, and more';
for my $part ('{"x":1}', 'receipt_payload', 'delivered_at') {
    ok index($told, $part) > 0, "it has $part";
}
$id = $f->submitted(%wait);
$f->ok_call(log => { agent_id => $w->{agent}, session => $session,
                     command_id => $id, line => ['one'] });
$f->heard($live);
$f->finish($id);
like +($f->heard($live))[0], qr/^cmd $id succeeded \d+-\d+$/,
    'with a log there is more to read: the end alone';
$id = $f->submitted;
$f->heard($live);
$f->finish($id);
like +($f->heard($live))[0], qr/^cmd $id succeeded \d+-\d+$/,
    'nobody waits: the end alone';

done_testing;
