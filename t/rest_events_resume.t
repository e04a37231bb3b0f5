# A stream that breaks off goes on with Last-Event-ID: on any worker, from any
# event, while the command runs and afterwards, without a gap or a duplicate.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

use constant LINES => 150;             # more than two pages of the store

my $s = VMOps->stack(workers => 2, nodes => 2);
my $t = VMOps::Rest->new($s);

sub stream {
    my ($id, %opt) = @_;
    return VMOps::Stream->new($s, "/vm-ops/commands/$id/events",
                              token => $t->token, %opt);
}

sub shown { return map { "$_->{id} $_->{event}" } @_ }

my $id = $t->start->{command_id};
my $order = $t->agent->cmd;
my $noise = $t->start(timeout_s => 600)->{command_id};
my $other = $t->agent->cmd;
$t->agent->ack($_) for $order, $other;

# read in pieces while it is written
my $whole = stream($id);
my (@pieces, $after);
for my $n (1 .. LINES) {
    $t->agent->send({ t => 'log', id => $id, line => "line $n" });
    $t->agent->send({ t => 'log', id => $noise, line => "noise $n" });
    next if $n % 15;
    my $piece = stream($id, after => $after, node => 1 + $n % 2);
    for (1 .. 11) {
        push @pieces, $piece->next;
        $after = $pieces[-1]{id};
    }
    $piece->close;
}
$t->agent->result($order);
$t->agent->receive('result.ok');
push @pieces, stream($id, after => $after)->until('done');
my @whole = $whole->until('done');

is_deeply [shown(@pieces)], [shown(@whole)], 'pieces make the whole';
is scalar(grep { $_->{event} eq 'log' } @whole), LINES, 'with every line';
is_deeply [map { $_->{data}{line} } grep { $_->{event} eq 'log' } @whole],
    [map { "line $_" } 1 .. LINES], 'in order';

# after its end: from every event on
for my $i (0 .. 5, $#whole - 2, $#whole - 1) {
    my @rest = stream($id, after => $whole[$i]{id}, node => 2)->until('done');
    is_deeply [shown(@rest)], [shown(@whole[$i + 1 .. $#whole])],
        "all after event $i";
}

# who has seen the end is told not to come again
my $seen = stream($id, after => $whole[-1]{id});
is $seen->status, 204, 'nothing after the end';

# a header that is no id, and one of a browser that has none yet
is stream($id, headers => { 'Last-Event-ID' => '' })->next->{event}, 'status',
    'an empty one: from the start';
for my $bad ('x', '1', '1-', '-1', '1-1-1', '1-1 ', "9" x 30 . '-0', '0x1-0') {
    my $r = $t->rest(GET => "/vm-ops/commands/$id/events", {
        headers => { 'Last-Event-ID' => $bad } });
    next if $bad =~ / $/ && $r->{status} != 400;    # spaces are HTTP's
    is $r->{status}, 400, "\"$bad\": 400";
    is $r->{json}{code}, 'invalid_header', 'invalid_header';
    is_deeply $r->{json}{errors},
        [{ pointer => '/last-event-id', code => 'pattern' }], 'and it is named';
}

done_testing;
