# nginx -s reload with live sockets: agents are sent away, commands are not lost,
# the old worker goes.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;

my $g = VMOps::Gateway->start;
my @agents = map { $g->make_agent->online } 1 .. 10;
$g->wait_online($_) for @agents;
my $a = $g->online;

# one that never answers, and one in the middle of its handshake

my $rude = $g->make_agent->online;
$g->wait_online($rude);
my $early = $g->make_agent;
$early->connect;

my $running = $g->submit;
my $order = $a->cmd;
$a->ack($order);
$g->wait_command($running, 'running');

my ($old) = $g->workers;
my $start = now;
$g->reload;

my %retry;
for my $x (@agents, $a, $early) {
    my $bye = $x->receive('bye');
    is_deeply { %$bye, retry_after_ms => 0 },
        { t => 'bye', code => 'going_away', retry_after_ms => 0 },
        'a pause, unsigned';
    cmp_ok $bye->{retry_after_ms}, '<=', 3000, 'a short one';
    $retry{ $bye->{retry_after_ms} } = 1;
    is $x->closed, 1001, 'and closed 1001';
}
cmp_ok scalar keys %retry, '>', 3, 'spread';
wait_for { !$g->agent_record($agents[0])->{session} } 2, 'end of presence';

# the command that was running: its result comes by the new worker

$a->online;
$a->result($order);
is $a->receive('result.ok')->{id}, $running, 'the result, in the next session';
is $g->wait_command($running, 'succeeded')->{status}, 'succeeded',
    'is not lost';
my $id = $g->submit;
$a->serve;
$g->wait_command($id, 'succeeded');
pass 'and commands go on';

wait_for { !kill 0, $old } 8, 'the old worker\'s end';
cmp_ok now - $start, '<', 8, sprintf 'the old worker is gone after %.1f s',
    now - $start;
$g->wait_offline($rude, 2);
pass 'the one that did not answer is offline, too';
unlike $g->error_log, qr/open socket/, 'no socket was left';

# commands submitted in the very moment of a reload

my @ids;
my $served = 0;
for (1 .. 3) {
    push @ids, map { $g->submit } 1 .. 20;
    $g->reload;
    my $deadline = now + 10;
    until ($a->{closed} || $a->{eof} || now > $deadline) {
        my $m = $a->next_message(1) or next;
        if ($m->{t} eq 'cmd') {
            $a->{in_hand}{ $m->{p} } = 1;
            $served++;
        }
    }
    $a->drop;
    $a->online;
    $g->wait_online($a);
}
my %left = map { $_ => 1 } @ids;
for my $p (keys %{ $a->{in_hand} }) {
    my $payload = MIME::Base64::decode_base64url($p);
    my ($id) = $payload =~ /"id":"([\w-]{36})"/;
    $a->result({ id => $id, payload => $payload, secrets => [] },
               secrets => []);
    $a->receive('result.ok');
    delete $left{$id};
}
while (%left) {
    my $order = eval { $a->cmd(2) } or last;
    $a->result($order);
    $a->receive('result.ok');
    delete $left{ $order->{id} };
}
is_deeply [keys %left], [], "60 commands around three reloads, $served before";
my %status = map { $g->command($_)->{status} => 1 } @ids;
is_deeply \%status, { succeeded => 1 }, 'each ran, and once';

is $g->stop('QUIT'), 0, 'a graceful end of all';
is $a->closed, 1001, 'is a 1001 as well';

done_testing;
