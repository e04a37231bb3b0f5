# Clients that go away: while a body is read, while the store is waited for,
# while an answer is written.  Nothing of them stays in a worker.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s, offline => 1);
my ($worker) = $s->workers;

# kilobytes that are a worker's own: what is shared counts by who else runs
sub memory {
    my ($kb) = VMOps::slurp("/proc/$worker/smaps_rollup")
        =~ /^Private_Dirty:\s+(\d+)/m;
    return $kb;
}

sub descriptors { scalar(() = glob "/proc/$worker/fd/*") }

# none of the test's connections is left
sub settled {
    my ($want) = @_;
    wait_for { descriptors() <= $want } 10, 'connections to be closed';
}

my $head;

# below the rate of requests: a refused body is another path
sub new_principal {
    $head = "Host: x\r\nAuthorization: Bearer "
        . $t->new_token('owner')->{token} . "\r\n";
}

new_principal();
my %aborts = (
    'after half a header' => sub {
        my $sock = $s->socket;
        print $sock "POST /api/v1/vms HTTP/1.1\r\n$head";
        return $sock;
    },
    'in a body' => sub {
        my $sock = $s->socket;
        print $sock "POST /api/v1/vms HTTP/1.1\r\n$head"
            . "Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
            . '{"name":"' . 'x' x 20000;
        return $sock;
    },
    'in a chunk' => sub {
        my $sock = $s->socket;
        print $sock "POST /api/v1/vms HTTP/1.1\r\n$head"
            . "Content-Type: application/json\r\n"
            . "Transfer-Encoding: chunked\r\n\r\n8000\r\n" . 'x' x 20000;
        return $sock;
    },
    'before the answer' => sub {
        my $sock = $s->socket;
        print $sock "GET /api/v1/agents?limit=200 HTTP/1.1\r\n$head\r\n";
        return $sock;
    },
    'after a whole body' => sub {
        my $sock = $s->socket;
        print $sock "POST /api/v1/agents/pairings HTTP/1.1\r\n$head"
            . "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        return $sock;
    },
);

my $rounds = rounds(ci => 400, full => 5000);

sub abort_all {
    my ($how, $n) = @_;
    my @open;
    for my $i (1 .. $n) {
        new_principal() if $i % 400 == 1;
        my $sock = $aborts{$how}->();
        $sock->flush;
        push @open, $sock;
        close shift @open if @open > 20;
    }
    close $_ for @open;
}

# What a batch of aborts adds.  What stays of each request adds up in every batch;
# what a worker keeps for later grows in some, at first in most.
my $idle = descriptors();
for my $how (sort keys %aborts) {
    my $least;
    for my $batch (1 .. 4) {
        my $before = memory();
        abort_all($how, $rounds);
        settled($idle + 2);
        my $growth = memory() - $before;
        $least = $growth if $batch > 1 && $growth < ($least // 1e9);
        last if defined $least && $least < 256;
    }
    cmp_ok $least, '<', 256, "$how: $rounds times, no growth"
        unless VMOps::keeps_freed();
}

# while the store does not answer: aborted, then it answers
for my $how ('before the answer', 'after a whole body') {
    for my $round (1 .. 3) {
        kill STOP => $s->redis_pid;
        my @open = map { my $sock = $aborts{$how}->(); $sock->flush; $sock }
            1 .. 50;
        is $s->rest(GET => '/healthz')->{status}, 200, 'the worker has them';
        close $_ for @open;
        is $s->rest(GET => '/healthz')->{status}, 200, 'and lets them go';
        kill CONT => $s->redis_pid;
        wait_for { $t->rest(GET => '/vms')->{status} == 200 } 8, 'the store';
        pass "$how, store hung: round $round";
    }
}
settled($idle + 2);

is_deeply [$s->workers], [$worker], 'the worker is the same';
my $r = $t->rest(GET => '/license');
is $r->{status}, 200, 'and serves';

done_testing;
