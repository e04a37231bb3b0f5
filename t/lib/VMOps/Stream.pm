package VMOps::Stream;

# A reader of server-sent events on a socket of its own: it reads when it is
# told to, and sees how the answer ends.
#
#   my $e = VMOps::Stream->new($s, "/vm-ops/commands/$id/events",
#                              token => $token, headers => {..}, node => 1);
#   my $event = $e->next;          # {id, event, data}; undef: the end
#   is $e->end, 'clean', 'it ended by its last chunk';

use strict;
use warnings;

use Carp qw(croak);
use JSON::PP;

use VMOps::Process qw(now);

use constant SECONDS => 10;            # any wait

my $json = JSON::PP->new->utf8->allow_nonref;

# raw => 1: data is left as text
sub new {
    my ($class, $stack, $path, %opt) = @_;
    my %headers = (
        Host => '127.0.0.1:' . $stack->port($opt{node}),
        Accept => 'text/event-stream',
        ($opt{token} ? (Authorization => "Bearer $opt{token}") : ()),
        ($opt{after} ? ('Last-Event-ID' => $opt{after}) : ()),
        %{ $opt{headers} // {} });
    my $sock = $stack->socket($opt{node});
    print $sock join("\r\n", ($opt{method} // 'GET') . " /api/v1$path HTTP/1.1",
                     map { "$_: $headers{$_}" } sort keys %headers) . "\r\n\r\n";
    $sock->flush;
    my $self = bless { sock => $sock, in => '', text => '', comments => 0,
                       raw => $opt{raw} }, $class;
    $self->head;
    return $self;
}

sub status   { $_[0]{status} }
sub headers  { $_[0]{headers} }
sub comments { $_[0]{comments} }

# how it ended: clean (last chunk), cut (end of the connection); undef: not yet
sub end { $_[0]{end} }

sub head {
    my ($self) = @_;
    my $deadline = now + SECONDS;
    $self->fill($deadline) until $self->{in} =~ s/\A(.*?)\r\n\r\n//s;
    my ($line, @lines) = split /\r\n/, $1;
    ($self->{status}) = $line =~ m{^HTTP/1\.1 (\d+)} or croak "no answer: $line";
    $self->{headers} = { map { /^([^:]+): ?(.*)$/ ? (lc $1, $2) : () } @lines };
}

sub fill {
    my ($self, $deadline) = @_;
    vec(my $bits = '', fileno $self->{sock}, 1) = 1;
    my $left = $deadline - now;
    croak 'nothing comes from the stream'
        if $left <= 0 || !select $bits, undef, undef, $left;
    my $n = sysread $self->{sock}, $self->{in}, 65536, length $self->{in};
    $self->{end} //= 'cut' if !$n;
}

# what came of the body, out of its chunks (RFC 9112, 7.1)
sub dechunk {
    my ($self) = @_;
    while ($self->{in} =~ /\A([0-9a-f]+)\r\n/) {
        my ($head, $size) = (length $&, hex $1);
        return if length $self->{in} < $head + $size + 2;
        $self->{text} .= substr $self->{in}, $head, $size;
        substr $self->{in}, 0, $head + $size + 2, '';
        $self->{end} = 'clean' if !$size;
    }
}

# The next event.  undef when there is none any more; croaks when none comes.
sub next {
    my ($self, $seconds) = @_;
    my $deadline = now + ($seconds // SECONDS);
    while (1) {
        $self->dechunk;
        while ($self->{text} =~ s/\A(.*?)\n\n//s) {
            my $event = $self->parse($1);
            return $event if $event;
        }
        return undef if $self->{end};
        $self->fill($deadline);
    }
}

sub parse {
    my ($self, $block) = @_;
    my (%event, @data);
    for my $line (split /\n/, $block) {
        if ($line =~ /^:/) {
            $self->{comments}++;
        } elsif ($line =~ /^data: (.*)$/) {
            push @data, $1;
        } elsif ($line =~ /^(id|event): (.*)$/) {
            $event{$1} = $2;
        } else {
            croak "not a line of an event: $line";
        }
    }
    return unless @data;
    my $data = join "\n", @data;
    return { %event, data => $self->{raw} ? $data : $json->decode($data) };
}

# all events until one of that name, or until the end
sub until {
    my ($self, $name, $seconds) = @_;
    my @events;
    while (my $event = $self->next($seconds)) {
        push @events, $event;
        last if $event->{event} eq $name;
    }
    return @events;
}

# Is there nothing new?  A moment is waited for it.
sub silent {
    my ($self, $seconds) = @_;
    my $event = eval { $self->next($seconds // 0.5) };
    return !$event && !$self->{end};
}

# the events until the end, and how long that took
sub rest_of {
    my ($self, $seconds) = @_;
    my ($start, @events) = now;
    while (my $event = $self->next($seconds)) { push @events, $event }
    return (now - $start, @events);
}

sub close { close $_[0]{sock} }

1;
