# Frames that break RFC 6455 or our limits: a Close with the right code, before
# and after an agent is ready, and never more than that one connection.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;
use VMOps::WSAgent;

my $g = VMOps::Gateway->start;
my $witness = $g->online;    # another agent, untouched by all of it
my $a = $g->make_agent;

sub raw { VMOps::WSAgent::raw_frame(@_) }

# what is sent, and how it ends; a frame's header alone may be enough
my @wrong = (
    ['an unmasked text', 1002, raw(mask => '', payload => '{"t":"x"}')],
    ['an unmasked ping', 1002, raw(first => 0x89, mask => '')],
    ['an unmasked close', 1002, raw(first => 0x88, mask => '',
                                    payload => pack 'n', 1000)],
    ['a length of 2^63', 1002,
     raw(length => "\x7f" . pack 'Q>', 1 << 63)],
    ['a length of 2^64 - 1', 1002,
     raw(length => "\x7f" . pack 'Q>', ~0)],
    ['a length of 2^62', 1009, raw(length => "\x7f" . pack 'Q>', 1 << 62)],
    ['a byte beyond the limit, by its header alone', 1009,
     raw(length => "\x7f" . pack 'Q>', 65537)],
    ['5 bytes in 16 bits', 1002,
     raw(length => "\x7e" . pack('n', 5), payload => 'hello')],
    ['5 bytes in 64 bits', 1002,
     raw(length => "\x7f" . pack('Q>', 5), payload => 'hello')],
    ['200 bytes in 64 bits', 1002,
     raw(length => "\x7f" . pack('Q>', 200), payload => 'x' x 200)],
    ['RSV1', 1002, raw(first => 0xc1, payload => 'x')],
    ['RSV2', 1002, raw(first => 0xa1, payload => 'x')],
    ['RSV3', 1002, raw(first => 0x91, payload => 'x')],
    (map { [sprintf('opcode %d', $_), 1002, raw(first => 0x80 | $_)] }
         3 .. 7, 11 .. 15),
    ['a ping of 126 bytes', 1002, raw(first => 0x89, payload => 'x' x 126)],
    ['a fragmented ping', 1002, raw(first => 0x09, payload => 'x')],
    ['a fragmented close', 1002, raw(first => 0x08, payload => pack 'n', 1000)],
    ['a continuation of nothing', 1002, raw(first => 0x80, payload => 'x')],
    ['a text in a text', 1002, raw(first => 0x01, payload => 'x')
                               . raw(first => 0x01, payload => 'x')],
    ['a close of one byte', 1002, raw(first => 0x88, payload => 'x')],
    (map { ["close code $_", 1002, raw(first => 0x88, payload => pack 'n', $_)] }
         0, 999, 1004, 1005, 1006, 1015, 2999, 5000),
    ['a close reason that is no UTF-8', 1007,
     raw(first => 0x88, payload => pack('n', 1000) . "\xff")],
    ['no UTF-8', 1007, raw(payload => "\xff")],
    ['no UTF-8, at its first byte', 1007,
     raw(length => pack('C', 100), payload => "\xc3x")],
    ['an overlong form', 1007, raw(payload => "\xc0\xaf")],
    ['a surrogate', 1007, raw(payload => "\xed\xa0\x80")],
    ['a cut character', 1007, raw(payload => "\xe2\x82")],
    ['a binary message', 1003, raw(first => 0x82, payload => '{}')],
);

for my $ready (0, 1) {
    my $when = $ready ? 'ready' : 'not ready';
    for my $case (@wrong) {
        my ($what, $code, $bytes) = @$case;
        $ready ? $a->online : $a->connect;
        $g->wait_online($a) if $ready;
        $a->write($bytes);
        is $a->closed, $code, "$when, $what: $code";
    }
}

# one byte at a time: the same, at the same byte

for my $case (@wrong[0, 3, 6, 7, 10], grep { $_->[0] =~ /UTF-8|cut/ } @wrong) {
    my ($what, $code, $bytes) = @$case;
    $a->connect;
    local $SIG{PIPE} = 'IGNORE';
    for (split //, $bytes) { eval { $a->write($_); 1 } or last }
    is $a->closed, $code, "in single bytes, $what: $code";
}

# right ones, in pieces

$a->online;
$g->wait_online($a);
sub pong_of {
    my ($payload) = @_;
    $a->{pongs} = [];
    $a->write(raw(first => 0x89, payload => $payload));
    wait_for { $a->next_frame(0.02, 1); @{ $a->{pongs} } } 5, 'a pong';
    return $a->{pongs}[0];
}
is pong_of(''), '', 'an empty ping';
is pong_of('x' x 125), 'x' x 125, 'a ping of 125 bytes';
$a->write($_) for split //, raw(payload => '{"t":"unknown"}');
is pong_of('a'), 'a', 'a message in single bytes';
my $text = '{"t":"news","x":"' . "\xe2\x82\xac" x 100 . '"}';
my @piece = split //, $text;
$a->write(raw(first => 0x01, payload => $piece[0]));
for my $i (1 .. 98) {
    $a->write(raw(first => 0x00, payload => $piece[$i]));
    $a->write(raw(first => 0x89, payload => "$i")) if $i % 10 == 0;
}
$a->write(raw(first => 0x80, payload => join '', @piece[99 .. $#piece]));
is pong_of('b'), '10', 'pings between fragments are answered';
wait_for { $a->next_frame(0.02, 1); @{ $a->{pongs} } == 10 } 5, '10 pongs';
is $a->{pongs}[-1], 'b', '100 fragments, characters cut anywhere';

# the largest ones

my $big = '{"t":"news","x":"' . 'x' x (65536 - 19) . '"}';
$a->write(raw(payload => $big));
is pong_of('c'), 'c', 'a frame of 64 KiB';
my $part = 'x' x 65536;
$a->write(raw(first => 0x01, payload => substr '{"t":"news","x":"' . $part, 0, 65536));
$a->write(raw(first => 0x00, payload => $part)) for 1, 2;
$a->write(raw(first => 0x80, payload => substr($part, 2) . '"}'));
is pong_of('d'), 'd', 'a message of 256 KiB';

# and beyond

sub ends {
    my ($what, $code, @bytes) = @_;
    eval { $a->write($_) for @bytes; 1 };
    is $a->closed, $code, "$what: $code";
    $a->online;
    $g->wait_online($a);
}
ends('a message of 256 KiB and a byte, by its last header', 1009,
     raw(first => 0x01, payload => $part),
     (raw(first => 0x00, payload => $part)) x 3,
     raw(first => 0x80, length => "\x01"));
ends('no UTF-8 across two fragments', 1007,
     raw(first => 0x01, payload => "\xc3"), raw(first => 0x00, payload => 'x'));
ends('101 fragments', 1008, raw(first => 0x01, payload => '{'),
     (raw(first => 0x00, payload => ' ')) x 100);
ends('endless empty continuations', 1008, raw(first => 0x01),
     (raw(first => 0x00)) x 1000);

# pings without an end, by a peer that reads, and by one that does not

$a->write(raw(first => 0x89, payload => 'flood') x 2000);
$a->{pongs} = [];
wait_for { $a->next_frame(0.02, 1); @{ $a->{pongs} } == 2000 } 10, 'pongs';
pass '2000 pings at once are answered';

# half of it all: what follows a Close, a cut frame, a silent end

$a->write(raw(first => 0x88, payload => pack 'n', 1000)
          . raw(payload => '{"t":"x"}') . "\xff" x 1000);
is $a->closed, 1000, 'what follows a Close is not read';
for my $how ('fin', 'rst') {
    $a->online;
    $g->wait_online($a);
    $a->write(substr raw(payload => 'x' x 1000), 0, 500);
    $a->drop($how);
    $g->wait_offline($a, 2);
    pass uc($how) . ' in the middle of a frame';
}
$a->online;
$g->wait_online($a);
$a->{sock}->shutdown(1);
$g->wait_offline($a, 2);
pass 'a shut-down direction is an end';

# a frame that stalls is no message; the rest of the world goes on

my $staller = $g->make_agent->online;
$g->wait_online($staller);
$staller->write(substr raw(payload => 'x' x 1000), 0, 10);
my $id = $g->submit;
$witness->serve;
is $g->wait_command($id, 'succeeded')->{status}, 'succeeded',
    'the other agent has not noticed any of this';

done_testing;
