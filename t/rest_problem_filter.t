# nginx's own errors as problem+json where vmops_problem says so; what others
# answer passes as it is.
# tags: asan

use strict;
use warnings;

use VMOps;

my $s = VMOps->stack;
my $t = $s->tenant('acme');
my $port = $s->port;
$s->add_server_conf(<<"EOT");
location = /ws/denied     { deny all; }
location = /ws/gone       { return 410; }
location = /ws/own        { return 404 "my own words"; }
location = /ws/plain      { vmops_problem off; return 404; }
location = /ws/page       { error_page 404 /ws/pages/404; return 404; }
location = /ws/pages/404  { internal; return 404 "a page of mine"; }
location = /ws/teapot     { return 418; }
location = /ws/ours       { proxy_pass http://127.0.0.1:1; }
location = /ws/upstream   { proxy_pass http://127.0.0.1:$port/ws/own; }
location = /ws/here       { return 302 /ws/there; }
EOT

sub problem {
    my ($what, $r, $status, $code) = @_;
    is $r->{status}, $status, "$what: $status";
    is $r->{headers}{'content-type'}, 'application/problem+json', 'a problem';
    is_deeply [@{ $r->{json} }{qw(status code)}], [$status, $code], $code;
    is $r->{headers}{'content-length'}, length $r->{body}, 'of that length';
    is $r->{json}{instance}, $r->{headers}{'x-request-id'}, 'with its id';
}

problem('no such file', $s->rest(GET => '/ws/nothing'), 404, 'not_found');
problem('denied', $s->rest(GET => '/ws/denied'), 403, 'forbidden');
problem('410', $s->rest(GET => '/ws/gone'), 410, 'bad_request');
problem('418', $s->rest(GET => '/ws/teapot'), 418, 'bad_request');
problem('no upstream', $s->rest(GET => '/ws/ours'), 502, 'bad_gateway');
problem('a NUL in the path', $s->rest(GET => '/ws/%00'), 400, 'bad_request');
problem('larger than nginx takes', $s->rest(POST => '/ws/nothing', {
    body => 'x' x 80000 }), 413, 'body_too_large');

# before there is a location
for my $line ("GET /ws/x HTTP/1.1\r\n\r\n", "GET\r\n\r\n",
              "GET /ws/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
              "GET /ws/x HTTP/1.1\r\nHost: x\r\nX: " . 'y' x 40000 . "\r\n\r\n")
{
    my $sock = $s->socket;
    print $sock $line;
    $sock->flush;
    my $in = do { local $/; <$sock> };
    like $in, qr{^HTTP/1.1 400 .*\r\nContent-Type: application/problem\+json}s,
        'a broken request: 400';
    like $in, qr/"code":"bad_request"/, 'as a problem';
}

my $r = $s->rest(HEAD => '/ws/nothing');
is $r->{status}, 404, 'HEAD';
is $r->{headers}{'content-type'}, 'application/problem+json', 'has its type';
is $r->{body}, '', 'and no body';

# not nginx's own
is $s->rest(GET => '/ws/own')->{body}, 'my own words', 'a text of return';
is $s->rest(GET => '/ws/page')->{body}, 'a page of mine', 'an error_page';
is $s->rest(GET => '/ws/upstream')->{body}, 'my own words', 'an upstream';
like $s->rest(GET => '/ws/plain')->{body}, qr/<html>/, 'where it is off';
is $s->rest(GET => '/ws/here')->{status}, 302, 'a redirection';

# several on one connection
my $sock = $s->socket;
for my $i (1 .. 3) {
    print $sock "GET /ws/nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    $sock->flush;
    my $in = '';
    sysread $sock, $in, 65536, length $in until $in =~ /\}$/;
    like $in, qr/^HTTP\/1.1 404 .*"code":"not_found"/s, "the connection, $i";
}

done_testing;
