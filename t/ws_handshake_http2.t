# HTTP/2 has no Upgrade: a request by it is refused, and the connection works on.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;
use VMOps::WSAgent;

my $g = VMOps::Gateway->start(tls => 1, listen => ' http2');

my $run = run_command(['curl', '-s', '--http2', '--cacert', $g->dir . '/tls.pem',
    '--noproxy', '*', '--resolve', 'localhost:' . $g->port . ':127.0.0.1',
    '-H', 'Sec-WebSocket-Version: 13',
    '-H', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    '-H', 'Sec-WebSocket-Protocol: vmops.agent.v1',
    '-w', '|%{http_code} %{http_version} %{num_connects}|',
    map { 'https://localhost:' . $g->port . VMOps::WSAgent::PATH } 1, 2]);
is $run->{exit}, 0, 'curl has an answer';
my @answers = $run->{out} =~ /\|(\d+ \d \d)\|/g;
is_deeply \@answers, ['400 2 1', '400 2 0'],
    'HTTP/2: 400, twice on one connection';
like $run->{out}, qr/"code":"bad_request"/, 'as a problem';

# the same port takes agents: they ask for HTTP/1.1

my $a = $g->online;
my $id = $g->submit;
$a->serve;
is $g->wait_command($id, 'succeeded')->{status}, 'succeeded',
    'an agent on the same port';

done_testing;
