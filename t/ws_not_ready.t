# Before an agent is ready: five seconds, two frames of at most 1 KiB, twenty
# such sockets of one address.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;
use VMOps::WSAgent;

my $g = VMOps::Gateway->start;
my $a = $g->agent;

# messages: their number, their size, their order

$a->connect;
$a->frame('{"t":"news"}') for 1, 2;
$a->frame('x', type => 'ping') for 1 .. 10;
$a->next_frame(0.1) while @{ $a->{pongs} // [] } < 10;
pass 'two unknown messages and any pings';
$a->frame('{"t":"news"}');
is $a->closed, 1008, 'a third message: 1008';

$a->connect;
$a->frame('{"t":"news","x":"' . 'x' x 1005 . '"}');
$a->frame('{"t":"news","x":"' . 'x' x 1006 . '"}');
is $a->closed, 1009, 'a message of 1 KiB is read, one byte more is not';

$a->connect;
$a->write(VMOps::WSAgent::raw_frame(length => "\x7e" . pack 'n', 1025));
is $a->closed, 1009, 'nor is its header enough';

$a->connect;
$a->write(VMOps::WSAgent::raw_frame(first => 0x01, payload => '{"t":'));
$a->write(VMOps::WSAgent::raw_frame(first => 0x80, payload => '"news"}'));
is $a->closed, 1008, 'a message in two frames: 1008';

$a->connect;
$a->send($a->auth_message) for 1, 2;
is $a->closed, 1008, 'auth twice: 1008';

$a->connect;
$a->ready;
is $a->closed, 1008, 'ready before auth: 1008';

# ready before the welcome came: it waits its turn

$a->connect;
$a->send($a->auth_message);
$a->ready;
@$a{qw(session epoch)} = @{ $a->receive('welcome') }{qw(session epoch)};
ok $g->wait_online($a), 'a ready that came early';
$a->close(1000);
$g->wait_offline;

# time: from the 101 on, whatever is sent meanwhile

my %slow = (silent => $g->make_agent, welcomed => $g->make_agent,
            pinging => $g->make_agent);
my $start = now;
$_->connect for values %slow;
$slow{welcomed}->auth;
for my $which (qw(silent welcomed pinging)) {
    my $x = $slow{$which};
    while ($which eq 'pinging' && !$x->{closed} && now - $start < 8) {
        $x->frame('x', type => 'ping');
        $x->next_frame(0.25);
    }
    is $x->closed(8), 4408, "$which: closed 4408";
    my $s = $x->{closed}{at} - $start;
    cmp_ok $s, '>', 4.5, sprintf "$which: after %.1f s", $s;
    cmp_ok $s, '<', 6, "$which: and no later";
}

# sockets of one address

my @waiting = map { my $x = $g->make_agent; $x->connect; $x } 1 .. 20;
my $r = $a->handshake;
is $r->{status}, 429, 'the 21st of an address: 429';
is $r->{json}{code}, 'rate_limited', 'rate_limited';
like $r->{headers}{'retry-after'}, qr/^\d+$/, 'with Retry-After';
$a->drop;

my $other = $a->twin(local => '127.0.0.2');
$other->online;
$g->wait_online($other);
pass 'another address comes in';

shift(@waiting)->drop;
my $first = $waiting[0];
$first->auth;
$first->ready;
$g->wait_online($first);
my $last;
wait_for { $last = $g->make_agent;
           $last->handshake->{status} == 101 } 5, 'a free place';
pass 'one that left, or is ready, makes room';

done_testing;
