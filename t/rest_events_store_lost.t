# A store that goes and comes back: event streams stay, and show all of it.  New
# ones are refused at once meanwhile.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);

# as an agent does it: until it is there again
sub come_back {
    wait_for { $t->agent->drop; eval { $t->online } } 20, 'the agent';
}

my $id = $t->start(timeout_s => 600)->{command_id};
my $order = $t->agent->cmd;
$t->agent->ack($order);
my $path = "/vm-ops/commands/$id/events";
my @streams = map { VMOps::Stream->new($s, $path, token => $t->token) } 1 .. 4;
my @tenants = map { VMOps::Stream->new($s, '/events', token => $t->token) }
    1 .. 4;
my @seen = map { my $stream = $_; [map { $stream->next } 1 .. 3] } @streams;
is $_->[2]{data}{status}, 'running', 'a stream of a running command'
    for @seen;

kill 'KILL', $s->redis_pid;
wait_for { $s->rest(GET => '/readyz')->{status} == 503 } 5, 'no store';
my $r = $t->rest(GET => $path);
is $r->{status}, 503, 'a new one is refused';
cmp_ok $r->{ms}, '<', 1000, 'at once';
$_->silent(0.1) for @tenants;
ok $_->silent(0.1), 'those there are stay' for @streams, @tenants;

$s->up;
come_back();
$t->agent->send({ t => 'log', id => $id, line => 'afterwards' });
$t->agent->result($order);
$t->agent->receive('result.ok', 20);

# by any worker: each has its own connection to the store
my $all;
wait_for {
    $all = VMOps::Stream->new($s, $path, token => $t->token);
    $all->status == 200;
} 10, 'a new stream';
my @whole = $all->until('done');
for my $i (0 .. 3) {
    my @events = (@{ $seen[$i] }, $streams[$i]->until('done', 20));
    is_deeply [map { "$_->{id} $_->{event}" } @events],
        [map { "$_->{id} $_->{event}" } @whole],
        'afterwards it has all, and nothing twice';
}
for my $stream (@tenants) {
    my @events = $stream->until('command', 20);
    push @events, $stream->until('command')
        while $events[-1]{data}{status} ne 'succeeded';
    is scalar(grep { $_->{event} eq 'reset' } @events), 0,
        "the tenant's, too, without a reset";
}

# a store that hangs
my $next = $t->start(timeout_s => 600)->{command_id};
$order = $t->agent->cmd;
my $stream = VMOps::Stream->new($s, "/vm-ops/commands/$next/events",
                                token => $t->token);
my @first = map { $stream->next } 1, 2;
kill 'STOP', $s->redis_pid;
ok $stream->silent(4), 'a store that hangs: silence';
kill 'CONT', $s->redis_pid;
come_back();
$t->agent->ack($order);
is $stream->next(20)->{data}{status}, 'running', 'and then it goes on';

done_testing;
