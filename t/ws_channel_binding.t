# Over TLS the agent's signature can be bound to the very connection (RFC 9266):
# it is worth nothing on another one.
# tags: asan

use strict;
use warnings;

use IO::Socket::SSL;

use VMOps;
use VMOps::Gateway;

my $g = VMOps::Gateway->start(tls => 1);
my $a = $g->agent;

for my $case (['TLS 1.3', 'TLSv1_3'], ['TLS 1.2', 'TLSv1_2']) {
    my ($name, $version) = @$case;
    for my $cb (qw(tls-exporter none)) {
        $a->{cb} = $cb;
        $a->{ssl} = { SSL_version => $version };
        $g->online;
        is $a->{sock}->get_sslversion, $version, "$name it is";
        my $id = $g->submit;
        $a->serve;
        is $g->wait_command($id, 'succeeded')->{status}, 'succeeded',
            "$name, $cb: a command comes through";
        is $a->close(1000), 1000, "$name, $cb: closed in order";
        $g->wait_offline;
    }
}

# what another connection gave, or nothing, does not do

$a->{cb} = 'tls-exporter';
$a->connect;
my $other = $a->exporter;
$a->drop;
for my $cb32 ($other, "\0" x 32) {
    $a->connect;
    $a->send($a->auth_message(cb32 => $cb32));
    is $a->closed, 4401, 'the binding of another connection: 4401';
}
$a->connect;
$a->send($a->auth_message(cb => 'none', cb32 => $a->exporter));
is $a->closed, 4401, 'a binding that is not declared: 4401';

# large messages, single bytes, many frames: through TLS, too

$a->{ssl} = {};
$g->online;
my $ping = VMOps::WSAgent::frame_bytes('p' x 100, type => 'ping');
$a->write($_) for split //, $ping;
$a->write($ping x 500);
wait_for { $a->next_frame(0.05, 1); @{ $a->{pongs} // [] } == 501 } 10, 'pongs';
pass '501 pongs';
my $order_id = $g->submit;
my $order = $a->cmd;
$a->result($order, result => { text => 'x' x 40_000 });
is $a->receive('result.ok')->{id}, $order_id, 'a large result';
for my $how ('fin', 'rst') {
    $g->online;
    $a->drop($how);
    $g->wait_offline($a, 2);
    pass uc($how) . ' is seen';
}

done_testing;
