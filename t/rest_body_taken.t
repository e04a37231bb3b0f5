# A body that another module has read, or thrown away, before it comes to
# vmops_api: it is used where it is all there, and theirs, too.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Backend qw(plain);

my $backend = VMOps::Backend->start(sub { [plain('{}')] });
my $s = VMOps->stack;
my $t = $s->tenant('acme');
my $address = $backend->address;
$s->add_server_conf(<<"EOT");
location = /api/v1/tokens {
    client_body_buffer_size 4k;
    mirror /ws/mirror;
    vmops_api;
}
location = /ws/mirror { internal; proxy_pass http://$address; }
location = /ws/thrown { return 200 "over"; post_action /api/v1/agents/register; }
EOT

my $body = '{"name":"of both","role":"viewer"}';
sub post { $s->rest(POST => '/tokens', { token => $t->{token}, body => $_[0],
    headers => { 'Content-Type' => 'application/json' } }) }

my $r = post($body);
is $r->{status}, 201, 'one that is read by two';
canary('the token', $r->{json}{token});
my @seen;
wait_for { @seen = (@seen, $backend->requests) } 5, 'the mirror';
is $seen[0]{body}, $body, 'is there for both';

$r = post('{"name":"' . 'x' x 20_000 . '"}');
is "$r->{status} $r->{json}{code}", '500 internal_error',
    'one that was put into a file is not there';
like $s->error_log, qr/client_body_buffer_size is too small/, 'it is said why';
wait_for { @seen = (@seen, $backend->requests); @seen > 1 } 5, 'the mirror';
is length $seen[1]{body}, 20_011, 'the other one has it';

# thrown away, while the rest of it is still on its way
my @workers = $s->workers;
my $sock = $s->socket;
print $sock "POST /ws/thrown HTTP/1.1\r\nHost: localhost\r\n",
    "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
$sock->flush;
my $in = '';
sysread $sock, $in, 4096, length $in or last until $in =~ /over$/;
like $in, qr/^HTTP\/1.1 200 /, 'an answer that is followed by an action';
$r = $s->rest(POST => '/agents/register', { json => {} });
is $r->{status}, 422, 'the worker serves the next';
is_deeply [$s->workers], \@workers, 'and is the same';

done_testing;
