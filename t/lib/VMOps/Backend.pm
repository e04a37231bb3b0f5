package VMOps::Backend;

# An old HTTP server, as a legacy backend is one, in a process of its own: what
# it answers is said in advance, piece by piece, and what it was asked is kept.
#
#   my $backend = VMOps::Backend->start(sub {
#       my ($request) = @_;         # {line, method, path, headers, body, raw}
#       return [VMOps::Backend::chunked('{"a"', ':1}')];
#   });
#   $backend->address; $backend->requests;

use strict;
use warnings;

use Carp qw(croak);
use Exporter 'import';
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes ();

our @EXPORT_OK = qw(chunked plain);

my $json = JSON::PP->new->utf8->canonical;

# answer: code that returns the pieces to be written, in order: bytes, or a
# reference to a number of seconds to wait, or code which is called with the
# socket
sub start {
    my ($class, $answer) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64,
                                       ReuseAddr => 1)
        // croak "cannot listen: $@";
    my $self = bless { address => '127.0.0.1:' . $listen->sockport,
                       owner => $$,
                       dir => tempdir('vmops-XXXXXXXX', TMPDIR => 1,
                                      CLEANUP => 1) }, $class;
    $self->{pid} = fork // croak "fork: $!";
    if (!$self->{pid}) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM);
        $SIG{PIPE} = $SIG{CHLD} = 'IGNORE';
        while (my $sock = $listen->accept) {
            my $child = fork // next;
            next if $child;
            close $listen;
            eval { $self->_serve($sock, $answer) };
            POSIX::_exit(0);
        }
        POSIX::_exit(0);
    }
    return $self;
}

sub address { $_[0]{address} }

sub stop {
    my ($self) = @_;
    return if !$self->{pid} || $self->{owner} != $$;
    kill 'TERM', $self->{pid};
    waitpid delete $self->{pid}, 0;
}

sub DESTROY { local ($?, $!, $@); $_[0]->stop }

# all requests until now, and forgets them
sub requests {
    my ($self) = @_;
    my @files = sort glob "$self->{dir}/*.json";
    my @requests = map {
        open my $fh, '<:raw', $_ or croak "$_: $!";
        local $/;
        $json->decode(scalar <$fh>);
    } @files;
    unlink @files;
    return @requests;
}

sub _serve {
    my ($self, $sock, $answer) = @_;
    setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, 1;
    my $in = '';
    while ($in !~ /\r\n\r\n/) {
        sysread $sock, $in, 65536, length $in or return;
    }
    my ($head, $body) = split /\r\n\r\n/, $in, 2;
    my ($line, @lines) = split /\r\n/, $head;
    my ($method, $path) = split / /, $line;
    my @headers = map { /^([^:]+): ?(.*)$/ ? [$1, $2] : () } @lines;
    my %headers = map { (lc $_->[0], $_->[1]) } @headers;
    while (length $body < ($headers{'content-length'} // 0)) {
        sysread $sock, $body, 65536, length $body or return;
    }
    my $request = { line => $line, method => $method, path => $path,
                    headers => \%headers, lines => \@headers, body => $body };
    my $name = sprintf '%s/%.6f-%d', $self->{dir}, Time::HiRes::time, $$;
    open my $fh, '>:raw', "$name.new" or return;
    print $fh $json->encode($request);
    close $fh;
    rename "$name.new", "$name.json";

    for my $piece (@{ $answer->($request) }) {
        if (ref $piece eq 'SCALAR') {
            select undef, undef, undef, $$piece;
        } elsif (ref $piece) {
            $piece->($sock);
        } else {
            write_all($sock, $piece);
        }
    }
}

sub write_all {
    my ($sock, $bytes) = @_;
    my $at = 0;
    while ($at < length $bytes) {
        $at += syswrite($sock, $bytes, length($bytes) - $at, $at) // die;
    }
}

# header lines, and a body whose length is known
sub plain {
    my ($body, @lines) = @_;
    return join("\r\n", 'HTTP/1.1 200 OK', 'Content-Type: application/json',
                'Content-Length: ' . length $body, 'Connection: close',
                @lines) . "\r\n\r\n$body";
}

# a body in these chunks, each a write of its own; the last one included
sub chunked {
    my (@chunks) = @_;
    return ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            . "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
            map({ sprintf "%x\r\n%s\r\n", length, $_ } @chunks), "0\r\n\r\n");
}

1;
