# A frame that is there before nginx has come back to a handshake that had to
# wait: with accept_mutex nginx notes a connection's bytes first, and handles
# them when what it noted before is done.  They are the agent's, not a request.
# tags: asan

use strict;
use warnings;

use IO::Socket::INET;

use VMOps;
use VMOps::Gateway;
use VMOps::WSAgent;

my $auth = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
    or die "no port: $@";
my $g = VMOps::Gateway->start(workers => 2, events => 'accept_mutex on;',
    directives => 'auth_request /auth;', server => <<"EOT");
location = /auth {
    internal;
    proxy_pass http://127.0.0.1:@{[ $auth->sockport ]};
}
location = /pid { return 200 \$pid; }
EOT
my $a = $g->agent;
my @workers = sort $g->workers;

sub read_until {
    my ($sock, $end) = @_;
    my $in = '';
    while ($in !~ $end) {
        sysread $sock, $in, 4096, length $in or die "the end after: $in";
    }
    return $in;
}

for my $n (1 .. 5) {
    $a->open_socket;
    $a->write("GET /pid HTTP/1.1\r\nHost: localhost\r\n\r\n");
    my ($pid) = read_until($a->{sock}, qr/\r\n\r\n\d+$/) =~ /(\d+)$/;

    $a->write($a->request);
    my $asked = $auth->accept;
    read_until($asked, qr/\r\n\r\n$/);

    # both are there when the worker goes on, first the answer, then the frame
    kill STOP => $pid;
    syswrite $asked, "HTTP/1.1 204 No Content\r\n\r\n";
    $a->write(VMOps::WSAgent::frame_bytes("early $n", type => 'ping'));
    kill CONT => $pid;

    is $a->response->{status}, 101, 'the handshake';
    $a->receive('hello');
    $a->{pongs} = [];
    wait_for { $a->next_frame(0.05); @{ $a->{pongs} } } 5, 'the pong';
    is $a->{pongs}[0], "early $n", 'the frame is answered as one';
    is $a->close(1000), 1000, 'and the connection works';
}

is_deeply [sort $g->workers], \@workers, 'the workers are the same';

done_testing;
