# What an open event stream costs a worker: less than 16 kB each, also after
# events have gone through it; and nothing once it is closed.

use strict;
use warnings;

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

use constant { WARM => 20, LIMIT => 16 * 1024 };

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);
my ($worker) = $s->workers;
my $streams = rounds(ci => 200, full => 1000);

# private pages only: what is shared counts by who else runs just now
sub memory {
    my ($kb) = VMOps::slurp("/proc/$worker/smaps_rollup")
        =~ /^Private_Dirty:\s+(\d+) kB/m;
    return $kb * 1024;
}

sub connections {
    return scalar grep { (readlink($_) // '') =~ /^socket/ }
        glob "/proc/$worker/fd/*";
}

my $id = $t->start(timeout_s => 3600)->{command_id};
my $order = $t->agent->cmd;
$t->agent->ack($order);
my @paths = ('/events', "/vm-ops/commands/$id/events");

# a principal asks 600 times a minute: each has some of the streams
sub open_streams {
    my ($n) = @_;
    my ($token, @open);
    for my $i (1 .. $n) {
        $token = $t->new_token('viewer')->{token} if $i % 200 == 1;
        my $stream = VMOps::Stream->new($s, $paths[$i % 2], token => $token,
                                        raw => 1);
        $stream->status == 200 or die 'no stream: ' . $stream->status;
        push @open, $stream;
    }
    return @open;
}

my $line = 0;

# every stream has had the line, or the status, that comes last
sub hear {
    my (@open) = @_;
    $t->agent->send({ t => 'log', id => $id, line => 'line ' . ++$line });
    $t->agent->send({ t => 'progress', id => $id, percent => $line % 100,
                      stage => 'task', message => "message $line" });
    for my $stream (@open) {
        my $event;
        do { $event = $stream->next }
            until !$event || $event->{data} =~ /"message $line"/;
        $event or die 'the end of a stream';
    }
}

my @warm = open_streams(WARM);
hear(@warm) for 1 .. 3;
my ($before, $sockets) = (memory(), connections());
my @open = open_streams($streams);
my $each = (memory() - $before) / $streams;
cmp_ok $each, '<', LIMIT, sprintf '%d streams: %.0f bytes each', $streams, $each;
hear(@open) for 1 .. 3;
$each = (memory() - $before) / $streams;
cmp_ok $each, '<', LIMIT, sprintf 'after events: %.0f bytes each', $each;

# again as many: what the first left is used again
$_->close for splice @open;
wait_for { connections() <= $sockets } 10, 'the streams to be closed';
my @again = open_streams($streams);
hear(@again);
my $more = (memory() - $before) / $streams;
cmp_ok $more, '<', $each + 1024, sprintf 'and as many again: %.0f', $more;
hear(@warm, @again);
pass 'all of them hear';

done_testing;
