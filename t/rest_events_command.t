# A command's event stream: everything from its first event on, in order, and
# the command itself at the end.  Streams of either worker show the same.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);
my $viewer = $t->new_token('viewer')->{token};

sub stream {
    my ($id, %opt) = @_;
    return VMOps::Stream->new($s, "/vm-ops/commands/$id/events",
                              token => $viewer, %opt);
}

my $id = $t->start->{command_id};
my $order = $t->agent->cmd;
my @streams = map { stream($id) } 1 .. 6;
my $first = $streams[0];

is $first->status, 200, 'a stream begins';
is $first->headers->{'content-type'}, 'text/event-stream', 'its type';
is $first->headers->{'cache-control'}, 'no-store', 'nobody keeps it';
is $first->headers->{'x-accel-buffering'}, 'no', 'and no proxy holds it back';
ok $first->headers->{'x-request-id'}, 'it has a request id';

# what programs write: it is shown as it is, and ends no event
my $message = "half \x{fc}ber\r\n\ttwo";
my $written = "first \"line\"\t1\r\n\ndata: {}\n\n\e[31m\x{7f}\x{85}\x{2028}";
$t->agent->ack($order);
$t->agent->send({ t => 'progress', id => $id, percent => 40,
                  stage => 'task', message => $message });
$t->agent->send({ t => 'log', id => $id, line => $written });
$t->agent->send({ t => 'log', id => $id, line => 'second' });
for my $stream (@streams) {
    my $line;
    do { $line = $stream->next } until $line->{event} eq 'log'
        && $line->{data}{line} eq 'second';
    ok $stream->silent(0.1), 'then nothing, while it runs';
}
$t->agent->result($order, result => { upid => 'UPID:x' });
$t->agent->receive('result.ok');
my $command = $t->rest(GET => "/vm-ops/commands/$id")->{json};

for my $stream (@streams) {
    my @done = $stream->until('done');
    is scalar @done, 1, 'its end';
    is_deeply $done[0]{data}, $command, 'carries the command';
    is $stream->next, undef, 'and ends the stream';
    is $stream->end, 'clean', 'by a last chunk';
}

my @events = stream($id)->until('done');
is_deeply [map { $_->{event} } @events],
    [qw(status status status progress log log done)],
    'after its end a stream has all of it';
is_deeply [map { $_->{data}{status} } @events[0 .. 2]],
    [qw(queued delivered running)], 'each status';
for my $event (@events) {
    is $event->{data}{command_id}, $id, "$event->{event}: of this command";
    like $event->{id}, qr/^\d+-\d+$/, 'has an id of the store';
}
for my $event (@events[0 .. 5]) {
    like $event->{data}{at}, qr/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/,
        "$event->{event}: has its time";
}
is_deeply [sort keys %{ $events[0]{data} }], [qw(at command_id status)],
    'a status has no more';
is_deeply [@{ $events[3]{data} }{qw(percent stage message)}],
    [40, 'task', $message], 'progress';
is_deeply [map { $_->{data}{line} } @events[4, 5]],
    [$written, 'second'], 'lines';
is_deeply [$command->{progress}{message}, map { $_->{line} } @{ $command->{log} }],
    [$message, $written, 'second'], 'the command says the same';
my @order = map { [split /-/, $_->{id}] } @events;
ok !(grep { $order[$_][0] < $order[$_ - 1][0]
            || $order[$_][0] == $order[$_ - 1][0]
               && $order[$_][1] <= $order[$_ - 1][1] } 1 .. $#order),
    'ids only grow';

# beside others' events it has its own only
my @ids = map { $t->start->{command_id} } 1 .. 3;
my @others = map { stream($_) } @ids;
$t->agent->serve for @ids;
for my $i (0 .. 2) {
    my @mine = $others[$i]->until('done');
    is_deeply [grep { $_->{data}{command_id} ne $ids[$i] } @mine], [],
        'no event of another command';
    is $mine[-1]{data}{status}, 'succeeded', 'and its own end';
}

# who may, and what of
is stream($id, token => undef)->status, 401, 'nobody: 401';
is stream('01890000-0000-7000-8000-000000000000')->status, 404,
    'an unknown command: 404';
my $head = stream($id, method => 'HEAD');
is $head->status, 200, 'HEAD';
is $head->headers->{'content-type'}, 'text/event-stream', 'has the type';

done_testing;
