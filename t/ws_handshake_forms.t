# The forms a right handshake may have, and frames that come with it in one
# segment.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;
use VMOps::WSAgent;

my $g = VMOps::Gateway->start;
my $a = $g->agent;

sub accepted {
    my ($what, %opt) = @_;
    my $r = $a->handshake(%opt);
    is $r->{status}, 101, $what;
    is $r->{headers}{'sec-websocket-accept'},
        VMOps::WSAgent::accept_of($a->{ws_key}), "$what: accept"
        unless $opt{text};
    return $r;
}

# RFC 6455 section 1.3 has the example

my $r = accepted('the key of the RFC',
    headers => ['Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ=='],
    text => $a->request(headers => [
        'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==']));
is $r->{headers}{'sec-websocket-accept'}, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
    'and its accept';
is $r->{headers}{'sec-websocket-protocol'}, 'vmops.agent.v1',
    'the subprotocol is ours';
like $r->{headers}{connection}, qr/^upgrade$/i, 'Connection: upgrade';
is lc $r->{headers}{upgrade}, 'websocket', 'Upgrade: websocket';
for my $name (qw(content-length transfer-encoding sec-websocket-extensions
                 content-type)) {
    ok !exists $r->{headers}{$name}, "no $name on a 101";
}
$a->drop;

for my $case (
    ['mixed case', headers => [Upgrade => 'WebSocket', Connection => 'UPGRADE']],
    ['lists', headers => [Upgrade => 'h2c, websocket',
                          Connection => 'keep-alive,  Upgrade ,x']],
    ['lists over two lines', headers => [Connection => 'keep-alive'],
     more => "Connection: upgrade\r\nUpgrade: other\r\n"],
    ['several subprotocols',
     headers => ['Sec-WebSocket-Protocol' => 'mqtt, vmops.agent.v1']],
    ['subprotocols over two lines',
     headers => ['Sec-WebSocket-Protocol' => 'mqtt'],
     more => "Sec-WebSocket-Protocol: vmops.agent.v1\r\n"],
    ['extensions are not taken',
     more => "Sec-WebSocket-Extensions: permessage-deflate\r\n"],
    ['a query', path => VMOps::WSAgent::PATH . '?a=b'],
    ['an empty body', more => "Content-Length: 0\r\n"],
) {
    my ($what, @opt) = @$case;
    my $r = accepted($what, @opt);
    ok !exists $r->{headers}{'sec-websocket-extensions'},
        "$what: no extension";
    $a->receive('hello');
    is $a->close(1000), 1000, "$what: and a clean end";
}

# one byte at a time

$a->open_socket;
$a->write($_) for split //, $a->request;
is $a->response->{status}, 101, 'a request in single bytes';
$a->drop;

# frames in the segment of the request

sub with_frames { return $a->request . join '', @_ }

my $ping = VMOps::WSAgent::frame_bytes('early', type => 'ping');

accepted('a ping with the request', text => with_frames($ping));
$a->receive('hello');
$a->next_frame(0.2) until @{ $a->{pongs} // [] };
is_deeply $a->{pongs}, ['early'], 'is answered';
is $a->close(1000), 1000, 'and the connection works';

$a->{pongs} = [];
accepted('100 pings with the request', text => with_frames(($ping) x 100));
$a->receive('hello');
wait_for { $a->next_frame(0.05); @{ $a->{pongs} } == 100 } 5, '100 pongs';
is $a->close(1000), 1000, 'all are answered, and the connection works';

$a->{pongs} = [];
accepted('half a frame', text => with_frames(substr $ping, 0, 4));
$a->receive('hello');
is $a->next_frame(0.1), undef, 'nothing is answered yet';
$a->write(substr $ping, 4);
wait_for { $a->next_frame(0.05); @{ $a->{pongs} } } 5, 'the pong';
is $a->close(1000), 1000, 'the other half completes it';

accepted('a broken frame', text => with_frames("\xff\xff\xff"));
is $a->closed, 1002, 'is refused by a Close';

# large header buffers, and a frame behind them

accepted('headers beyond the first buffer',
         text => $a->request(more => join '', map {
             "X-H$_: " . 'v' x 500 . "\r\n" } 1 .. 40) . $ping);
$a->{pongs} = [];
wait_for { $a->next_frame(0.05); @{ $a->{pongs} } } 5, 'the pong';
is $a->close(1000), 1000, 'the frame behind them is not lost';

# an HTTP request behind the handshake is no frame, and no request either

accepted('a second request', text => with_frames(
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
is $a->closed, 1002, 'is a broken frame';

done_testing;
