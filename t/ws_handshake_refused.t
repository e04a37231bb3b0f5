# A request that is no agent's opening handshake (RFC 6455 section 4.2.1) is
# refused by a problem that says which, and nothing is left of it.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;
use VMOps::WSAgent;

my $g = VMOps::Gateway->start;
my $a = $g->agent;
my $path = VMOps::WSAgent::PATH;

sub refused {
    my ($status, $code, $what, %opt) = @_;
    my $r = $a->handshake(%opt);
    is $r->{status}, $status, "$what: status $status";
    is $r->{json}{code}, $code, "$what: code $code" if $code;
    is $r->{json}{errors}[0]{pointer}, $opt{named}, "$what: what is at fault"
        if $opt{named};
    is $r->{headers}{'content-type'}, 'application/problem+json',
        "$what: a problem" if $code;
    ok !defined $r->{headers}{'sec-websocket-accept'}, "$what: no accept";
    $a->drop;
    return $r;
}

sub without { (headers => [$_[0] => undef]) }
sub with    { (headers => [@_]) }

# the method, the version of HTTP, a body

my $r = refused(405, 'method_not_allowed', 'POST', method => 'POST');
is $r->{headers}{allow}, 'GET', 'Allow names GET';
refused(405, undef, 'HEAD', method => 'HEAD');
refused(400, 'bad_request', 'HTTP/1.0', http => 'HTTP/1.0');
refused(400, 'bad_request', 'a body', more => "Content-Length: 2\r\n\r\nhi");
refused(400, 'bad_request', 'a chunked body',
        more => "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n");

# the key

my $bad = 'invalid_header';
refused(400, $bad, 'no key', without('Sec-WebSocket-Key'),
        named => '/sec-websocket-key');
for my $key ('', 'dGhlIHNhbXBsZSBub25jZQ=', 'dGhlIHNhbXBsZSBub25j',
             'dGhlIHNhbXBsZSBub25jZQ', 'not base64 not base64 !!',
             'dGhlIHNhbXBsZSBub25jZR==', 'dGhlIHNhbXBsZSBub25jZTEyMw==') {
    refused(400, $bad, "key \"$key\"", with('Sec-WebSocket-Key' => $key));
}
refused(400, $bad, 'two keys',
        more => "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");

# the version

for my $version (undef, '', '8', '12', '14', '013', '13, 8', '1 3') {
    my $what = 'version ' . ($version // 'missing');
    my $r = refused(426, $bad, $what,
                    headers => ['Sec-WebSocket-Version' => $version],
                    named => '/sec-websocket-version');
    is $r->{headers}{'sec-websocket-version'}, '13', "$what: 13 is named";
    like $r->{line}, qr/^HTTP\/1\.1 426 Upgrade Required/, "$what: the line";
}
refused(426, $bad, 'two versions', more => "Sec-WebSocket-Version: 13\r\n");

# Upgrade and Connection

refused(400, $bad, 'no Upgrade', without('Upgrade'), named => '/upgrade');
refused(400, $bad, 'Upgrade: h2c', with(Upgrade => 'h2c'));
refused(400, $bad, 'Upgrade: websockets', with(Upgrade => 'websockets'));
refused(400, $bad, 'no Connection', without('Connection'));
refused(400, $bad, 'Connection: keep-alive', with(Connection => 'keep-alive'));
refused(400, $bad, 'Connection: upgraded', with(Connection => 'upgraded'));

# the subprotocol

refused(400, $bad, 'no subprotocol', without('Sec-WebSocket-Protocol'),
        named => '/sec-websocket-protocol');
refused(400, $bad, 'another one', with('Sec-WebSocket-Protocol' => 'mqtt'));
refused(400, $bad, 'another case of it',
        with('Sec-WebSocket-Protocol' => 'VMOPS.agent.v1'));

# browsers

refused(403, 'forbidden', 'Origin', with(Origin => 'https://example.com'));
refused(403, 'forbidden', 'Origin: null', with(Origin => 'null'));
refused(403, 'forbidden', 'an empty Origin', with(Origin => ''));
refused(403, 'forbidden', 'a cookie', with(Cookie => 'a=b'));

# what nginx itself refuses

refused(400, undef, 'no Host', without('Host'));
refused(400, undef, 'two Hosts', more => "Host: other\r\n");
refused(400, undef, 'a zero byte', more => "X-A: a\0b\r\n");
refused(400, undef, 'a header of 100 KB',
        more => 'X-A: ' . 'a' x 100_000 . "\r\n");
refused(400, undef, 'a Host of 300 bytes', with(Host => 'a' x 300));

# after all of them a good one goes well, and 500 headers are no obstacle

$a->connect(more => join '', map { "X-H$_: v\r\n" } 1 .. 500);
$a->auth;
$a->ready;
ok $g->wait_online($a), 'a good one';

done_testing;
