# One key and one body make one command: replays answer it as it is now, another
# body is a mismatch, and one that is no longer kept does not run again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;

my $id = $f->submitted(idem => 'k', body_hash => 'one');
my $replay = $f->submit(idem => 'k', body_hash => 'one');
is_deeply [@$replay[0, 1]], ['OK', '0'], 'a replay is not new';
is hash($replay->[2])->{command_id}, $id, 'it is the first command';
is $f->admin('ZCARD', $f->key('agents', $w->{agent}, 'queue')), 1,
    'and the only one';
is $f->submit(idem => 'k', body_hash => 'two')->[0], 'idempotency_mismatch',
    'another body';
is $f->submit(idem => 'K', body_hash => 'one')->[1], '1', 'another key is new';

$f->take;
$f->finish($id);
is hash($f->submit(idem => 'k', body_hash => 'one')->[2])->{status},
    'succeeded', 'the replay shows how it is now';

# before the gates that follow it, but not before those that precede it
my $agent = $f->key('agents', $w->{agent});
$f->admin('HSET', $agent, 'session', '');
is $f->submit(idem => 'k', body_hash => 'one')->[1], '0',
    'an agent that is offline now is no matter';
is $f->submit(idem => 'k', body_hash => 'one', target => uuid())->[1], '0',
    'nor is the target';
is $f->submit(idem => 'k', body_hash => 'one', pkey => 'x')->[0],
    'unauthenticated', 'the principal is';
$f->admin('HSET', $agent, 'session', $w->{session});

my $late = $f->submitted(idem => 'late', body_hash => 'b');
$f->age($late, 11_000);
my $ended = hash($f->submit(idem => 'late', body_hash => 'b')->[2]);
is_deeply [@$ended{qw(status error_code)}], ['failed', 'agent_disconnected'],
    'a replay, too, ends what is overdue';

$f->admin('DEL', $f->key('agent_commands', $id));
is $f->submit(idem => 'k', body_hash => 'one')->[0], 'conflict',
    'one whose record is gone does not run again';

done_testing;
