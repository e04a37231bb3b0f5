# Event streams over changes of workers: reloads, killed workers, another node,
# a client that leaves in the middle.  With Last-Event-ID nothing is missing,
# nothing comes twice, all is in order.

use strict;
use warnings;

use VMOps;
use VMOps::Faults;
use VMOps::Rest;
use VMOps::Stream;

my $s = VMOps->stack(nodes => 2, workers => 2);
my $faults = VMOps::Faults->new($s);
my $dice = VMOps::Dice->new;
note 'SEED=' . $dice->seed;
my $t = VMOps::Rest->new($s, node => 2);
my $agent = $t->agent;
my $rounds = rounds(ci => 12, full => 200);

# A reader that comes again wherever it is sent, as a browser does.
package Reader {
    sub new {
        my ($class, %o) = @_;
        return bless { node => 1, seen => [], %o }, $class;
    }

    sub connect {
        my ($self) = @_;
        VMOps::wait_for(sub {
            # a worker that has just begun has no store yet
            my $stream = eval { VMOps::Stream->new($s, $self->{path},
                token => $t->token, node => $self->{node},
                after => $self->{after}) };
            $self->{why}{ $stream ? $stream->status : 'cut' }++;
            return $self->{stream} = $stream && $stream->status == 200
                ? $stream : undef;
        }, 15, 'a stream');
        $self->{times}++;
    }

    # one more event, if it comes within so many seconds
    sub read {
        my ($self, $seconds) = @_;
        my $until = VMOps::now + $seconds;
        while (1) {
            $self->connect if !$self->{stream};
            my $left = $until - VMOps::now;
            return if $left <= 0;
            my $event = eval { $self->{stream}->next($left) };
            return if !$event && !$self->{stream}->end;
            if ($event) {
                push @{ $self->{seen} }, "$event->{id} $event->{event}";
                $self->{after} = $event->{id};
                return $event;
            }
            $self->leave;
        }
    }

    sub leave {
        my ($self) = @_;
        $self->{stream}->close if $self->{stream};
        undef $self->{stream};
    }
}

my ($mark) = @{ $s->redis(XREVRANGE => 'tenants/{acme}/events', '+', '-',
                          COUNT => 1)->[0] };
my $id = $t->start(timeout_s => 3600)->{command_id};
my $order = $agent->cmd;
$agent->ack($order);
my $path = "/vm-ops/commands/$id/events";
my @readers = map { (Reader->new(path => $path),
                     Reader->new(path => '/events', after => $mark)) } 1 .. 3;
$_->read(5) for @readers;

# all but the one that holds the agent's socket
sub workers {
    my $holder = $faults->holder($$, 2, $agent->{sock}->sockport);
    return grep { $_ != $holder } map { $s->workers($_) } 1, 2;
}

my %deeds = (
    reload => sub {
        my @old = $s->workers(1);
        kill 'HUP', $s->master(1);
        wait_for { my @now = $s->workers(1);
                   @now == 2 && !grep { my $pid = $_; grep { $_ == $pid } @old }
                                @now } 15, 'new workers';
    },
    kill => sub { $faults->kill_worker($dice->one_of(workers())) },
    'other node' => sub {
        for my $reader (@readers) {
            $reader->{node} = 1 + $dice->below(2);
            $reader->leave if $dice->below(2);
        }
    },
    'readers leave' => sub { $_->leave for @readers },
);

my ($line, %done) = 0;
for my $round (1 .. $rounds) {
    my $deed = (sort keys %deeds)[$round % 4];
    for my $half (1, 2) {
        for (1 .. 12) {
            $agent->send({ t => 'log', id => $id, line => 'line ' . ++$line });
        }
        $agent->send({ t => 'progress', id => $id, percent => $round % 100,
                       stage => 'task', message => "round $round" });
        $deeds{$deed}->() if $half == 1;
        for my $reader (@readers) {
            for (1 .. $dice->below(25)) { $reader->read(0.05) or last }
        }
    }
    $done{$deed}++;
}
$agent->result($order);
$agent->receive('result.ok');
for my $reader (@readers) {
    my $deadline = now + 30;
    while (now < $deadline) {
        my $event = $reader->read(5) or next;
        last if $event->{event} eq 'done'
             || $event->{event} eq 'command'
                && $event->{data}{status} eq 'succeeded'
                && $event->{data}{command_id} eq $id;
    }
}

sub whole {
    my ($reader) = @_;
    my $stream = VMOps::Stream->new($s, $reader->{path}, token => $t->token,
        ($reader->{path} eq '/events' ? (after => $mark) : ()));
    my @events;
    while (my $event = $stream->next) {
        push @events, "$event->{id} $event->{event}";
        last if $event->{id} eq $reader->{after};
    }
    return \@events;
}
for my $i (0 .. $#readers) {
    my $reader = $readers[$i];
    is_deeply $reader->{seen}, whole($reader),
        "reader $i, $reader->{path}: all of it, once, in order";
    cmp_ok $reader->{times}, '>', $rounds / 6,
        "which came $reader->{times} times";
}
my @logs = grep { / log$/ } @{ $readers[0]{seen} };
is scalar(@logs), $line, "$line lines";
is join(' ', sort keys %done), join(' ', sort keys %deeds), 'of every deed some';

done_testing;
