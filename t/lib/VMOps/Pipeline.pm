package VMOps::Pipeline;

# Requests as bytes on one connection that is kept: many sent, then as many
# answers read.  For tests that send more than a client would.
#
#   my $p = VMOps::Pipeline->new($s);
#   $p->send(VMOps::Pipeline::bytes(POST => '/vms', token => $token,
#                                   body => '{'));
#   my $r = $p->answer;            # {status, headers, body, json}

use strict;
use warnings;

use Carp qw(croak);
use JSON::PP;

use VMOps::Process qw(now);

use constant SECONDS => 20;            # any wait

my $json = JSON::PP->new->utf8->allow_nonref;

sub new {
    my ($class, $stack, $node) = @_;
    return bless { sock => $stack->socket($node), in => '' }, $class;
}

# a request's text; headers: {name => value}, undef: not that one
sub bytes {
    my ($method, $path, %o) = @_;
    my $body = $o{json} ? $json->encode($o{json}) : $o{body};
    my %headers = (
        Host => 'localhost',
        ($o{token} ? (Authorization => "Bearer $o{token}") : ()),
        (defined $body ? ('Content-Type' => 'application/json',
                          'Content-Length' => length $body) : ()),
        %{ $o{headers} // {} });
    return join("\r\n", "$method /api/v1$path HTTP/1.1",
                map { "$_: $headers{$_}" } grep { defined $headers{$_} }
                sort keys %headers) . "\r\n\r\n" . ($body // '');
}

# false: the peer has closed
sub send {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $deadline = now + SECONDS;
    while (length $bytes) {
        # an answer that comes early must not stop both sides
        vec(my $bits = '', fileno $self->{sock}, 1) = 1;
        my ($in, $out) = ($bits, $bits);
        select $in, $out, undef, $deadline - now or croak 'cannot send';
        if (vec $in, fileno $self->{sock}, 1) {
            sysread $self->{sock}, $self->{in}, 65536, length $self->{in}
                or return $self->{eof} = 1, 0;
        }
        next if !vec $out, fileno $self->{sock}, 1;
        $self->{sock}->blocking(0);
        my $n = syswrite $self->{sock}, $bytes;
        my $again = $!{EAGAIN};
        $self->{sock}->blocking(1);
        return 0 if !defined $n && !$again;
        substr $bytes, 0, $n // 0, '';
    }
    return 1;
}

# the next answer; undef: the connection ended before it
sub answer {
    my ($self, $seconds) = @_;
    my $deadline = now + ($seconds // SECONDS);
    while (1) {
        if ($self->{in} =~ /\A(.*?)\r\n\r\n/s) {
            my ($head, $from) = ($1, $+[0]);
            my ($body, $to) = $self->_body($head, $from);
            if (defined $body) {
                substr $self->{in}, 0, $to, '';
                my ($status, @lines) = split /\r\n/, $head;
                return { status => $status =~ m{^HTTP/1\.1 (\d+)} ? $1 : 0,
                         headers => { map { /^([^:]+): ?(.*)$/ ? (lc $1, $2)
                                                               : () } @lines },
                         body => $body };
            }
        }
        return undef if $self->{eof};
        my $left = $deadline - now;
        vec(my $bits = '', fileno $self->{sock}, 1) = 1;
        croak 'no answer in time'
            if $left <= 0 || !select $bits, undef, undef, $left;
        sysread $self->{sock}, $self->{in}, 65536, length $self->{in}
            or $self->{eof} = 1;
    }
}

# an answer's body and where it ends; nothing: not all of it is there
sub _body {
    my ($self, $head, $at) = @_;
    if ($head !~ /^transfer-encoding: chunked/mi) {
        my $length = $head =~ /^content-length: (\d+)/mi ? $1 : 0;
        return if length $self->{in} < $at + $length;
        return (substr($self->{in}, $at, $length), $at + $length);
    }
    my $body = '';
    while (substr($self->{in}, $at) =~ /\A([0-9a-f]+)\r\n/i) {
        my ($length, $from) = (hex $1, $at + $+[0]);
        $at = $from + $length + 2;
        return if length $self->{in} < $at;
        return ($body, $at) if !$length;
        $body .= substr $self->{in}, $from, $length;
    }
    return;
}

# the code of an answer's problem, '' of any other answer
sub code {
    my ($r) = @_;
    return $r->{body} =~ /"code":"(\w+)"/
        && $r->{headers}{'content-type'} eq 'application/problem+json'
        ? $1 : '';
}

sub close { close $_[0]{sock} }

1;
