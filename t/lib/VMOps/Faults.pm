package VMOps::Faults;

# What breaks of a stack, and how it is mended: workers and masters of nginx,
# Redis, its connections, and its last second.
#
#   my $faults = VMOps::Faults->new($s);
#   $faults->kill_worker($faults->holder($agent->pid, 1));
#   my $mark = $faults->mark;  ...;  $faults->cut_redis($mark);
#   $faults->mend;                   # all that is dead runs again

use strict;
use warnings;

use Carp qw(croak);
use Time::HiRes qw(time);

use VMOps ();
use VMOps::Process qw(wait_for children);

use constant SECONDS => 10;

sub new {
    my ($class, $stack) = @_;
    $stack->allow_log(qr/process \d+ exited on signal 9/);
    return bless { stack => $stack }, $class;
}

# everything that is dead is started again
sub mend { $_[0]{stack}->up }

# Stops a process where it is, until it may go on; at the latest when the test
# ends, or nothing could end it.
my %paused;

sub pause {
    my ($self, $pid) = @_;
    kill 'STOP', $pid;
    $paused{$pid} = $$;
}

sub go_on {
    my ($self, $pid) = @_;
    kill 'CONT', $pid if delete $paused{$pid};
}

END {
    kill 'CONT', $_ for grep { $paused{$_} == $$ } keys %paused;
}


# nginx

# The worker of a node that holds the other end of a process' connection to it.
# port: of the client's end, where the process has several.
sub holder {
    my ($self, $pid, $node, $port) = @_;
    my $s = $self->{stack};
    my %own = map { $_ => 1 } sockets($pid);
    my @rows = connections();
    my ($client) = grep {
        $_->{to} == $s->port($node) && $own{ $_->{inode} }
            && (!$port || $_->{from} == $port)
    } @rows or return undef;
    my ($server) = grep { $_->{from} == $client->{to}
                          && $_->{to} == $client->{from} } @rows or return undef;
    for my $worker ($s->workers($node)) {
        return $worker if grep { $_ eq $server->{inode} } sockets($worker);
    }
    return undef;
}

# inodes of a process' sockets
sub sockets {
    my ($pid) = @_;
    return map { /^socket:\[(\d+)\]$/ ? $1 : () }
           map { readlink // '' } glob "/proc/$pid/fd/*";
}

# established TCP connections on this machine: {from, to, inode}, by ports
sub connections {
    my @rows;
    open my $tcp, '<', '/proc/net/tcp' or croak "/proc/net/tcp: $!";
    while (my $line = <$tcp>) {
        my @field = split ' ', $line;
        push @rows, { from => hex +(split /:/, $field[1])[1],
                      to => hex +(split /:/, $field[2])[1],
                      inode => $field[9] } if $field[3] eq '01';
    }
    return @rows;
}

# the master starts another one
sub kill_worker {
    my ($self, $pid) = @_;
    croak 'no such worker' unless $pid;
    kill 'KILL', $pid;
    wait_for { !kill 0, $pid } SECONDS, 'end of a worker';
}

# master and workers of a node at once, as by a loss of power; then mend
sub kill_nginx {
    my ($self, @nodes) = @_;
    my $s = $self->{stack};
    my @pids = map { my $master = $s->master($_); ($master, children($master)) }
        @nodes;
    kill 'KILL', @pids;
    wait_for { !grep { running($_) } @pids } SECONDS, 'end of nginx';
}

sub running {
    my ($pid) = @_;
    my $stat = VMOps::slurp_proc($pid, 'stat');
    return $stat ne '' && $stat !~ /\) Z /;
}


# Redis

sub stop_redis  { $_[0]->pause($_[0]{stack}->redis_pid) }
sub go_on_redis { $_[0]->go_on($_[0]{stack}->redis_pid) }

sub kill_redis {
    my ($self) = @_;
    my $pid = $self->{stack}->redis_pid;
    kill 'KILL', $pid;
    wait_for { !running($pid) } SECONDS, 'end of Redis';
}

# How long its file is now, for cut_redis.
sub mark { -s $_[0]->aof }

sub aof {
    my ($self) = @_;
    my ($file) = glob $self->{stack}->dir . '/redis/appendonlydir/*.incr.aof';
    return $file // croak 'no append-only file';
}

# Kills it; what it wrote since the mark is lost, as with the power's loss or a
# fail-over to a replica that lags behind.  before: a text, with whose write the
# loss begins.
sub cut_redis {
    my ($self, $mark, %opt) = @_;
    $self->kill_redis;
    $mark = $self->write_of($opt{before}, $mark) if defined $opt{before};
    truncate $self->aof, $mark or croak "truncate: $!";
}

# where the write begins that has the text first after the mark: what a function
# writes is one transaction
sub write_of {
    my ($self, $text, $mark) = @_;
    my $aof = VMOps::slurp($self->aof);
    my $at = index $aof, $text, $mark;
    my $begin = rindex $aof, "*1\r\n\$5\r\nMULTI\r\n", $at;
    croak "nothing was written that has $text" if $at < 0 || $begin < $mark;
    return $begin;
}

# connections of the workers: all of them, or TYPE pubsub
sub drop_clients {
    my ($self, $type) = @_;
    my $redis = $self->{stack}->redis_client;
    return $redis->call(qw(CLIENT KILL TYPE pubsub)) if ($type // '') eq 'pubsub';
    my $n = 0;
    for my $line (split /\n/, $redis->call(qw(CLIENT LIST))) {
        $n += $redis->call(qw(CLIENT KILL ID), $1)
            if $line =~ /^id=(\d+) .*\bname=vmops-/;
    }
    return $n;
}


# A source of numbers that a seed repeats, whatever else draws numbers.

package VMOps::Dice;

use Digest::MD5 qw(md5);

# seed: SEED of the environment, or one of its own; say it where a test fails
sub new {
    my ($class, $seed) = @_;
    $seed //= $ENV{SEED} // 1 + int(Time::HiRes::time() * 1000) % 1_000_000_000;
    return bless { seed => $seed, state => unpack('L', md5("dice $seed")) || 1 },
        $class;
}

sub seed { $_[0]{seed} }

# 0 .. n - 1: Marsaglia's xorshift
sub below {
    my ($self, $n) = @_;
    my $x = $self->{state};
    $x ^= $x << 13 & 0xffffffff;
    $x ^= $x >> 17;
    $x ^= $x << 5 & 0xffffffff;
    $self->{state} = $x;
    return $x % $n;
}

sub one_of {
    my ($self, @list) = @_;
    return $list[$self->below(scalar @list)];
}

1;
