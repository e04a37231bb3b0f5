# A reload ends event streams at once, by a last chunk; who comes back with
# Last-Event-ID misses nothing, and no old worker stays.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);
my %old = map { $_ => 1 } $s->workers;

my $id = $t->start(timeout_s => 600)->{command_id};
my $order = $t->agent->cmd;
my $path = "/vm-ops/commands/$id/events";

sub stream { VMOps::Stream->new($s, shift, token => $t->token, @_) }

my @streams = map { stream($_) } ($path) x 4, ('/events') x 4;
$_->next for @streams[0 .. 3];
my @last = map { $_->next } @streams[0 .. 3];
is_deeply [map { $_->{data}{status} } @last], [('delivered') x 4],
    'streams are read';

my $start = now;
$s->reload;
for my $i (0 .. $#streams) {
    my ($stream, @events) = $streams[$i];
    while (my $event = $stream->next(3)) {
        # the tenant's may tell that the agent's socket is closed as well
        push @events, $event
            unless $i > 3 && $event->{data}{event} eq 'agent.offline';
    }
    is_deeply \@events, [], 'a stream ends';
    is $stream->end, 'clean', 'by a last chunk';
}
cmp_ok now - $start, '<', 3, 'soon';

# on with the new workers
$t->agent->drop;
$t->online;
$t->agent->ack($order);
wait_for { $t->rest(GET => "/vm-ops/commands/$id")->{json}{status}
           eq 'running' } 5, 'the command to run';
$t->agent->send({ t => 'log', id => $id, line => 'after the reload' });
$t->agent->result($order);
for my $stream (@streams[0 .. 3]) {
    my $last = shift @last;
    my @events = stream($path, after => $last->{id})->until('done');
    is_deeply [map { $_->{event} } @events], [qw(status log done)],
        'who comes back has what followed';
}

wait_for { !grep { kill 0, $_ } keys %old } 10, 'the old workers to be gone';

# one that begins while its worker is about to exit
my $open = stream('/events');
ok $open->silent(0.2), 'a stream of the new workers';

done_testing;
