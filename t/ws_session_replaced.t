# Sessions that end: replaced, dropped, closed; and what is in the air then.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;

my $g = VMOps::Gateway->start(workers => 2);
my $a = $g->online;
my $agent = $g->agent;

# the newest session wins, wherever the older one is; that it is alive still
# would be held against the agent after a while (ws_clones.t)

sub forgive { $g->admin('DEL', $g->agent_key . '/takeovers') }

for my $round (1 .. 4) {
    forgive();
    my $old = $g->{agent};
    my $new = $old->twin;
    $new->online;
    is $old->closed, 4409, "round $round: the older session is closed 4409";
    $g->wait_online($new);
    $g->{agent} = $new;
    my $id = $g->submit;
    $new->serve;
    is $g->wait_command($id, 'succeeded')->{taken_by}, $new->session,
        "round $round: the new one has the command";
}
$a = $g->{agent};

# an end of the connection is seen at once

for my $how ('fin', 'rst') {
    my $start = now;
    $a->drop($how);
    $g->wait_offline;
    my $ms = 1000 * (now - $start);
    cmp_ok $ms, '<', 1500, sprintf "%s: offline after %.0f ms", uc $how, $ms;
    is $g->try_submit->[0], 'agent_offline', uc($how) . ': nothing is queued';
    $g->online;
}

# what was sent and not acknowledged stays delivered: it may have run

my $id = $g->submit;
my $order = $a->cmd;
$a->drop('rst');
$g->wait_offline;
is $g->command($id)->{status}, 'delivered', 'a sent command stays delivered';

# in its next session the agent first sends what it has

$a->connect;
$a->auth;
$a->ready;
my $payload = $a->result($order, frame => { cmd => {
    map { $_ => $order->{frame}{$_} } qw(p k s) } });
is $a->receive('result.ok')->{id}, $id, 'the outbox, right after ready';
is $g->wait_command($id, 'succeeded')->{receipt_payload},
    MIME::Base64::encode_base64url($payload), 'is stored';

# an accepted command of a session that is gone

$id = $g->submit;
$order = $a->cmd;
$a->ack($order);
$a->drop;
$g->wait_offline;
is $g->command($id)->{status}, 'running',
    'an acknowledgement just before the end is not lost';

# a session of an older epoch does not come in

forgive();
$g->online;
my $epoch = $a->epoch;
my $new = $a->twin;
$new->online;
$g->wait_online($new);
is $a->closed, 4409, 'replaced again';
cmp_ok $new->epoch, '>', $epoch, 'each welcome has a newer epoch';

# every code a peer may send is answered alike

$new->drop;
for my $code (1000, 1001, 3000, 4999, undef) {
    $agent = $g->{agent}->twin(epoch => $g->agent_record->{epoch});
    $agent->online;
    $g->wait_online($agent);
    is $agent->close($code), $code // 1005,
        'Close ' . ($code // 'without a code') . ' is answered';
}

done_testing;
