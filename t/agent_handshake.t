# Answers to the agent's opening handshake that are none, or break a rule: it
# gets no further with them, sends nothing that is its own, and tries again.
# tags: asan tsan

use strict;
use warnings;

use Digest::SHA qw(sha1_base64);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use Time::HiRes qw(time);

use VMOps;
use VMOps::FakeServer;

use constant GUID => '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';    # RFC 6455

# paired by a server whose port then belongs to this test

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
VMOps->watch_log($agent->home);
$agent->pair;
my $port = $server->{port};
$server->{daemon}->stop;
undef $server->{daemon};
my $listen = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1',
                                   LocalPort => $port, ReuseAddr => 1)
    // die "port $port: $!";

my @good = ('Upgrade: websocket', 'Connection: Upgrade', 'ACCEPT',
            'Sec-WebSocket-Protocol: vmops.agent.v1');
my $hello = frame(1, encode_json({ t => 'hello', time => int time * 1000,
                                   nonce => encode_base64url('n' x 32) }));

# the control: a right answer gets auth as the next thing

for my $case (['a right answer', sub { answer(@_, @good) . $hello }],
              ['tokens in lists, other case and spaces', sub {
                  answer(@_, 'upgrade:  WebSocket ',
                         'connection: keep-alive, UPGRADE', @good[2, 3])
                      . $hello;
              }]) {
    is talk($case->[1])->{then}, 'auth', "$case->[0]: it goes on";
}
is talk(sub { answer(@_, @good) . $hello }, slowly => 1)->{then}, 'auth',
    'one byte at a time: it goes on';

# no WebSocket

for my $case (
    ['status 200', 'http_status', "HTTP/1.1 200 OK\r\n\r\n"],
    ['status 301, which is not followed', 'http_status',
     "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:$port/x\r\n\r\n"],
    ['status 401', 'http_status', "HTTP/1.1 401 Unauthorized\r\n\r\n"],
    ['status 503', 'http_status', "HTTP/1.1 503 Service Unavailable\r\n\r\n"],
    ['HTTP/1.0', 'bad_handshake', "HTTP/1.0 101 Switching\r\n\r\n"],
    ['not HTTP', 'bad_handshake', "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
    ['TLS', 'bad_handshake', "\x15\x03\x01\x00\x02\x02\x28\r\n\r\n"],
    ['a bare line feed', 'bad_handshake', "HTTP/1.1 101 S\nX: y\r\n\r\n"],
    ['a folded header', 'bad_handshake', "HTTP/1.1 101 S\r\nX: y\r\n z\r\n\r\n"],
    ['a megabyte of header', 'bad_handshake',
     "HTTP/1.1 101 S\r\nX: " . 'y' x 1_000_000],
    ['20,000 headers', 'bad_handshake',
     "HTTP/1.1 101 S\r\n" . "X: y\r\n" x 20_000 . "\r\n"],
    ['the end in mid-header', 'bad_handshake', "HTTP/1.1 101 S\r\nX"],
    ['the end at once', 'bad_handshake', ''],
) {
    my ($what, $why, $bytes) = @$case;
    my $got = talk(sub { $bytes }, close => $why ne 'http_status');
    is "$got->{then} $got->{why}", "closed $why", $what;
}

# a WebSocket that breaks a rule

for my $case (
    ['a wrong accept', sub { 'Sec-WebSocket-Accept: ' . 'A' x 27 . '=' }],
    ['an accept in another case', sub { lc $_[0] }],
    ['no accept', sub { () }],
    ['the accept twice', sub { ($_[0], $_[0]) }],
) {
    my ($what, $change) = @$case;
    my $got = talk(sub { answer(@_, map { $_ eq 'ACCEPT' ? $change->(accept_of(@_))
                                                          : $_ } @good) });
    is "$got->{then} $got->{why}", 'closed bad_handshake', $what;
}
for my $case (
    ['an extension nobody offered',
     [@good, 'Sec-WebSocket-Extensions: permessage-deflate']],
    ['another protocol', [@good[0 .. 2], 'Sec-WebSocket-Protocol: chat']],
    ['no protocol', [@good[0 .. 2]]],
    ['no Upgrade', [@good[1 .. 3]]],
    ['no Connection', [@good[0, 2, 3]]],
) {
    my ($what, $headers) = @$case;
    my $got = talk(sub { answer(@_, @$headers) . $hello });
    is "$got->{then} $got->{why}", 'closed bad_handshake', $what;
}

# frames that no server may send

for my $case (
    ['a masked frame', frame(1, 'x', mask => 1), 1002],
    ['a reserved bit', "\xc1\x01x", 1002],
    ['an unknown opcode', "\x83\x00", 1002],
    ['a length that is not minimal', "\x81\x7e\x00\x01x", 1002],
    ['a length of 2^63', "\x81\x7f\x80" . "\0" x 7, 1002],
    ['a frame above 64 KiB, by its header', "\x81\x7f" . pack('Q>', 65537),
     1009],
    ['a fragmented ping', "\x09\x00", 1002],
    ['a long ping', "\x89\x7e" . pack('n', 126) . 'x' x 126, 1002],
    ['text that is not UTF-8', "\x81\x02\xc3\x28", 1007],
    ['binary', "\x82\x01x", 1003],
    ['a continuation of nothing', "\x80\x01x", 1002],
    ['text that is not JSON', frame(1, 'x'), 1008],
    ['a Close with one byte', "\x88\x01x", 1002],
) {
    my ($what, $bytes, $code) = @$case;
    my $got = talk(sub { answer(@_, @good) . $bytes });
    is $got->{then}, "close $code", $what;
}

# how long it waits for the next try

my $began = now;
my $pid = start();
for my $try (1, 2) {
    my $sock = $listen->accept;
    request($sock);
    print $sock "HTTP/1.1 503 Wait\r\nRetry-After: 3\r\n\r\n";
    close $sock;
}
cmp_ok now - $began, '>=', 3, 'Retry-After is obeyed';
end($pid);

done_testing;

sub start {
    # the one before may have tried again until it ended
    close $listen->accept while IO::Select->new($listen)->can_read(0);
    unlink $agent->output;
    return VMOps::Process::spawn([VMOps::Agent::binary(), '--home',
                                  $agent->home, 'run', '--foreground'],
                                 $agent->output);
}

sub end { VMOps::Process::stop($_[0], 'TERM', 15) }

# reads a request; its key
sub request {
    my ($sock) = @_;
    my $text = '';
    until ($text =~ /\r\n\r\n\z/) {
        sysread $sock, $text, 4096, length $text or die "no request: $text";
    }
    return $text =~ /^Sec-WebSocket-Key: (\S+)\r$/m ? $1 : die "no key: $text";
}

sub accept_of {
    my ($key) = @_;
    return 'Sec-WebSocket-Accept: ' . sha1_base64($key . GUID) . '=';
}

sub answer {
    my ($key, @headers) = @_;
    return join "\r\n", 'HTTP/1.1 101 Switching Protocols',
        (map { $_ eq 'ACCEPT' ? accept_of($key) : $_ } @headers), '', '';
}

sub frame {
    my ($opcode, $text, %opt) = @_;
    my $n = length $text;
    my $mask = $opt{mask} ? 'mask' : '';
    return pack('C', 0x80 | $opcode)
        . ($n < 126 ? pack('C', $n | ($mask ? 0x80 : 0))
                    : pack('Cn', 126, $n)) . $mask
        . ($mask ? $text ^ substr($mask x $n, 0, $n) : $text);
}

# One connection: what the agent does after the answer (auth, "close CODE" or
# closed), and why it then says it is not connected.
sub talk {
    my ($make, %opt) = @_;
    my $pid = start();
    my $sock = $listen->accept;
    $sock->autoflush;
    my $bytes = $make->(request($sock));
    local $SIG{PIPE} = 'IGNORE';
    for my $part ($opt{slowly} ? split(//, $bytes) : $bytes) {
        last if !defined syswrite $sock, $part;
    }
    shutdown $sock, 1 if $opt{close};

    my %got = (then => 'closed', why => '');
    my $data = '';
    my $until = now + 10;
    while (now < $until) {
        next if !IO::Select->new($sock)->can_read(0.05);
        last if !sysread $sock, $data, 65536, length $data;
        my ($opcode, $text) = unmasked($data);
        next if !defined $opcode;
        $got{then} = $opcode == 8 ? 'close ' . unpack('n', $text)
                   : decode_json($text)->{t};
        last;
    }
    close $sock;
    if ($got{then} eq 'closed') {
        wait_for { VMOps::slurp($agent->output) =~ /"connect_failed"/ } 10,
            'the agent to say why';
        ($got{why}) = VMOps::slurp($agent->output)
            =~ /"event":"connect_failed","why":"(\w+)"/;
    }
    end($pid);
    return \%got;
}

# a whole frame of the agent's: opcode and text
sub unmasked {
    my ($data) = @_;
    return if length $data < 6;
    my ($first, $n) = unpack 'CC', $data;
    my $at = 2;
    die 'the agent sends an unmasked frame' if !($n & 0x80);
    $n &= 0x7f;
    if ($n == 126) {
        $n = unpack 'n', substr $data, 2, 2;
        $at = 4;
    }
    return if length $data < $at + 4 + $n;
    my $mask = substr $data, $at, 4;
    my $text = substr $data, $at + 4, $n;
    return ($first & 0x0f, $text ^ substr($mask x ($n + 1), 0, $n));
}
