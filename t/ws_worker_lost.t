# The worker that holds an agent's socket dies with orders that were handed over to
# it: the agent's next session has them, and nothing that had arrived before.

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;

my $g = VMOps::Gateway->start;
VMOps->allow_log(qr{worker process \d+ exited on signal 9});
my $a = $g->online;
my $arrived = $g->submit;
is $a->cmd->{id}, $arrived, 'one order arrives, and is not acknowledged';

my ($worker) = $g->workers;
kill 'STOP', $worker;
my @lost = map { $g->submit } 1 .. 3;
is_deeply [map { $g->command($_)->{status} } @lost], [('delivered') x 3],
    'three more are handed over';
kill 'KILL', $worker;
wait_for { !kill 0, $worker } 5, 'its end';
$a->drop;
wait_for { eval { $a->online; 1 } } 10, 'another worker';
$g->wait_online;

my $next = $g->submit;
is_deeply [map { $a->serve->{id} } @lost, $next], [@lost, $next],
    'the next session has them, in order, before what came after them';
is $g->wait_command($_, 'succeeded')->{taken_by}, $a->session,
    'and they are carried out' for @lost, $next;
is $g->command($arrived)->{status}, 'delivered', 'the one that arrived stays';
is_deeply $a->{skipped}, [], 'and nothing else is sent';

done_testing;
