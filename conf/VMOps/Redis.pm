package VMOps::Redis;

# A small blocking Redis client (RESP2 over a unix socket), for conf/stack and
# the tests: core modules only, a deadline on every call.

use strict;
use warnings;

use IO::Socket::UNIX;
use Time::HiRes qw(time);

use constant MAX_BULK => 64 * 1024 * 1024;

# VMOps::Redis->new(socket => PATH, user => U, password => P, timeout => S);
# dies when there is no server or it refuses the user
sub new {
    my ($class, %opt) = @_;
    my $sock = IO::Socket::UNIX->new(Peer => $opt{socket})
        or die "redis: cannot connect to $opt{socket}: $!\n";
    my $self = bless {
        sock => $sock, in => '', timeout => $opt{timeout} // 10,
    }, $class;
    $self->call('AUTH', $opt{user}, $opt{password}) if defined $opt{user};
    return $self;
}

# one command; the reply as a string, a number, undef or an array reference;
# dies with the server's text on an error reply
sub call {
    my ($self, @args) = @_;
    $self->send(@args);
    return $self->receive;
}

# the two halves of it, for several connections at once
sub send {
    my ($self, @args) = @_;
    $self->{deadline} = time + $self->{timeout};
    my $out = '*' . @args . "\r\n";
    for my $arg (@args) {
        my $bytes = $arg;
        utf8::encode($bytes) if utf8::is_utf8($bytes);
        $out .= '$' . length($bytes) . "\r\n$bytes\r\n";
    }
    local $SIG{PIPE} = 'IGNORE';
    while (length $out) {
        my $n = syswrite $self->{sock}, $out;
        die "redis: connection lost: $!\n" unless defined $n;
        substr $out, 0, $n, '';
    }
}

sub receive {
    my ($self) = @_;
    my ($reply, $error) = $self->_reply;
    die "redis: $error\n" if defined $error;
    return $reply;
}

# the next message of a subscribed or monitoring connection, undef when none
# begins within $seconds
sub next_message {
    my ($self, $seconds) = @_;
    if (!length $self->{in}) {
        vec(my $bits = '', fileno $self->{sock}, 1) = 1;
        return undef unless select $bits, undef, undef, $seconds;
    }
    $self->{deadline} = time + $self->{timeout};
    my ($reply, $error) = $self->_reply;
    die "redis: $error\n" if defined $error;
    return $reply;
}

# (value, undef) or (undef, error text)
sub _reply {
    my ($self) = @_;
    my $line = $self->_line;
    my $type = substr $line, 0, 1, '';

    return ($line, undef) if $type eq '+' || $type eq ':';
    return (undef, $line) if $type eq '-';

    if ($type eq '$') {
        return (undef, undef) if $line < 0;
        die "redis: a reply of $line bytes\n" if $line > MAX_BULK;
        $self->_fill($line + 2);
        my $bulk = substr $self->{in}, 0, $line + 2, '';
        return (substr($bulk, 0, $line), undef);
    }

    die "redis: not RESP: $type\n" unless $type eq '*';
    return (undef, undef) if $line < 0;
    my @items;
    for (1 .. $line) {
        my ($item, $error) = $self->_reply;
        push @items, defined $error ? \$error : $item;
    }
    return (\@items, undef);
}

sub _line {
    my ($self) = @_;
    my $end;
    $self->_fill(length($self->{in}) + 1)
        while ($end = index $self->{in}, "\r\n") < 0;
    my $line = substr $self->{in}, 0, $end + 2, '';
    return substr $line, 0, $end;
}

sub _fill {
    my ($self, $want) = @_;
    while (length $self->{in} < $want) {
        my $left = $self->{deadline} - time;
        vec(my $bits = '', fileno $self->{sock}, 1) = 1;
        die "redis: no answer in $self->{timeout} s\n"
            if $left <= 0 || !select $bits, undef, undef, $left;
        my $n = sysread $self->{sock}, $self->{in}, 65536, length $self->{in};
        die "redis: connection closed\n" unless $n;
    }
}

1;
