# However a body comes: in chunks, byte by byte, with a lie about its length.
# 64 KiB hold whatever the framing, and nothing is written to a disk.
# tags: asan

use strict;
use warnings;

use VMOps;

my $s = VMOps->stack;
my $t = $s->tenant('acme');

sub head {
    my ($method, $path, @lines) = @_;
    return join("\r\n", "$method /api/v1$path HTTP/1.1", 'Host: localhost',
                "Authorization: Bearer $t->{token}",
                'Content-Type: application/json', @lines) . "\r\n\r\n";
}

sub chunk { sprintf "%x\r\n%s\r\n", length $_[0], $_[0] }

# what came until the end of the connection, or until it matches
sub answer {
    my ($sock, $like) = @_;
    my ($in, $deadline) = ('', now + 15);
    while (now < $deadline) {
        vec(my $bits = '', fileno $sock, 1) = 1;
        next unless select $bits, undef, undef, 1;
        last unless sysread $sock, $in, 65536, length $in;
        last if $like && $in =~ $like;
    }
    return $in;
}

sub talk {
    my (@parts) = @_;
    my $sock = $s->socket;
    local $SIG{PIPE} = 'IGNORE';
    for my $part (@parts) {
        my $at = 0;
        while ($at < length $part) {
            my $n = syswrite $sock, $part, length($part) - $at, $at;
            last unless $n;
            $at += $n;
        }
    }
    return answer($sock);
}

my $small = '{"name":"ci","role":"viewer"}';
my $close = 'Connection: close';

sub is_status {
    my ($in, $status, $code, $what) = @_;
    my ($got) = $in =~ /^HTTP\/1.1 (\d+)/;
    my ($problem) = $in =~ /"code":"(\w+)"/;
    is +($got // 'none') . ' ' . ($problem // ''), "$status $code", $what;
    while ($in =~ /"token":"(vmo_\w+)"/g) { canary("made by $what", $1) }
}

# in chunks
is_status talk(head(POST => '/tokens', $close, 'Transfer-Encoding: chunked'),
               map({ chunk($_) } split //, $small), "0\r\n\r\n"),
    201, '', 'a chunk per byte';
is_status talk(head(POST => '/tokens', $close, 'Transfer-Encoding: chunked')
               . chunk($small) . "0\r\n\r\n"),
    201, '', 'all in one packet';

# exactly 64 KiB, and one more
my $long = '{"name":"' . 'x' x (65536 - 11) . '"}';
is length $long, 65536, 'a body of 64 KiB';
is_status talk(head(POST => '/tokens', $close, 'Content-Length: 65536'),
               $long), 422, 'invalid_params', 'is read';
is_status talk(head(POST => '/tokens', $close, 'Transfer-Encoding: chunked'),
               map({ chunk($_) } unpack '(a1000)*', $long), "0\r\n\r\n"),
    422, 'invalid_params', 'in chunks, too';
is_status talk(head(POST => '/tokens', $close, 'Content-Length: 65537'),
               "$long "), 413, 'body_too_large', 'one byte more';
is_status talk(head(POST => '/tokens', $close, 'Transfer-Encoding: chunked'),
               map({ chunk($_) } unpack '(a1000)*', "$long "), "0\r\n\r\n"),
    413, 'body_too_large', 'in chunks, too';
is_status talk(head(POST => '/tokens', $close, 'Content-Length: 99999999')),
    413, 'body_too_large', 'refused before it comes';
is_status talk(head(POST => '/tokens', $close, 'Transfer-Encoding: chunked'),
               (chunk('x' x 8192)) x 64),
    413, 'body_too_large', 'a body without end';

# who is nobody is told so before a body is asked for
my $in = talk("POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\n$close\r\n"
              . "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n");
unlike $in, qr/100 Continue/, 'nobody is not asked for a body';
is_status $in, 401, 'unauthenticated', 'but refused';
my $sock = $s->socket;
print $sock head(POST => '/tokens', $close, 'Expect: 100-continue',
                 'Content-Length: ' . length $small);
$sock->flush;
like answer($sock, qr/\r\n\r\n/), qr/^HTTP\/1.1 100 /, 'who may is asked';
print $sock $small;
$sock->flush;
is_status answer($sock), 201, '', 'and served';

# broken framing
is_status talk(head(POST => '/tokens', $close, 'Transfer-Encoding: chunked')
               . "zz\r\n"), 400, 'bad_request', 'no chunk';

# what nobody reads need not be right, but nothing follows it
$in = talk("POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\n"
           . "Transfer-Encoding: chunked\r\n\r\nzz\r\n" . head(GET => '/tokens'));
is_status $in, 401, 'unauthenticated', 'no chunk, of nobody';
is scalar(() = $in =~ /HTTP\/1.1 /g), 1, 'is the end of the connection';

# several requests on one connection, a refused one among them
$sock = $s->socket;
$in = '';
for my $part (
    [422, head(POST => '/tokens', 'Content-Length: 2') . '{}'],
    [400, head(POST => '/tokens', 'Content-Length: 1') . '{'],
    [401, "POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
          . "\r\n{\"a\":"],
    [200, head(GET => '/tokens')],
    [405, head(PUT => '/tokens', 'Content-Length: 2') . '{}'],
    [201, head(POST => '/tokens', 'Content-Length: ' . length $small) . $small],
) {
    print $sock $part->[1];
    $sock->flush;
    my $got = answer($sock, qr/\}$/);
    is +($got =~ /^HTTP\/1.1 (\d+)/)[0], $part->[0],
        "on the same connection: $part->[0]";
    canary('one more', $1) if $got =~ /"token":"(vmo_\w+)"/;
}

# two in one packet
$in = talk(head(GET => '/license') . head(POST => '/tokens', $close,
           'Content-Length: ' . length $small) . $small);
is_deeply [$in =~ /HTTP\/1.1 (\d+)/g], [200, 201], 'two in one packet';
canary('the last', $1) if $in =~ /"token":"(vmo_\w+)"/;

is_deeply [glob $s->dir . '/node1/tmp/body/*/*'], [], 'no body on the disk';

done_testing;
