# A worker gives back what it took and could not send.  It may say so late, or
# twice: what it has taken again meanwhile, and sent, stays sent.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;

sub ids { map { hash($_->[0])->{command_id} } @{ $_[0][2] } }
sub turns { map { hash($_->[0])->{turn} } @{ $_[0][2] } }
sub raw { hash($f->admin('HGETALL', $f->key('agent_commands', $_[0]))) }
sub seq { raw($_[0])->{seq} }
sub untake { $f->untake([], command_turn => [@_]) }

# taken from the queue

my $id = $f->submitted;
is_deeply [turns($f->take)], [1], 'taken: its first turn';
is untake($id, 1), 1, 'given back';
is untake($id, 1), 0, 'what is queued is not given back';
is_deeply [turns($f->take)], [2], 'taken again: another turn';
is untake($id, 1), 0, 'the first word, late or repeated, is of the first turn';
is raw($id)->{status}, 'delivered', 'and changes nothing';
is_deeply [ids($f->take(seen => seq($id)))], [], 'it is not taken once more';
is untake($id, 2), 1, 'the word of the second turn gives it back';
$f->take;
is untake($id, $_), 0, 'no turn: "' . ($_ // '') . '"' for '', 'x', '-3', 4, '3.0';
is untake($id), 0, 'none at all';
$f->finish($id);

# handed over: no turn, which is 0

my $orders = $f->listen('wake/gw1');
$id = $f->submitted;
ok +(grep { index($_, $id) >= 0 } $f->heard($orders)), 'handed over';
is raw($id)->{turn}, undef, 'no turn';
is untake($id, 0), 1, 'given back';
is_deeply [turns($f->take)], [1], 'and taken';
is untake($id, 0), 0, 'the word of the handing over comes too late';
is raw($id)->{status}, 'delivered', 'and changes nothing';
$f->finish($id);

# given back, and, before that is known, asked for again by a session that has
# not seen it

$id = $f->submitted;
is raw($id)->{status}, 'delivered', 'handed over';
is_deeply [turns($f->take(seen => seq($id) - 1))], [1],
    'taken by the session that it was handed to: a turn';
is untake($id, 0), 0, 'the word of the handing over comes too late';
is_deeply [turns($f->take(seen => seq($id) - 1))], [2],
    'what is taken without an answer is taken again: another turn';
is untake($id, 1), 0, 'the word of the turn before, too';
is untake($id, 2), 1, 'that of the last one does not';

done_testing;
