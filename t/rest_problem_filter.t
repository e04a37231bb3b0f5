# nginx's own errors as problem+json where vmops_problem says so; what others
# answer passes as it is.
# tags: asan

use strict;
use warnings;

use VMOps;

my $s = VMOps->stack;
my $t = $s->tenant('acme');
my $port = $s->port;
$s->add_http_conf('limit_req_zone one zone=one:64k rate=1r/m;');
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
location = /ws/refuses    { internal; return 401; }
location = /ws/basic      { auth_basic vmops; auth_basic_user_file /dev/null; }
location = /api/v1/agents { auth_request /ws/refuses; vmops_api; }
location = /ws/asks       { internal; proxy_pass http://127.0.0.1:$port/ws/basic; }
location = /api/v1/vms    { auth_request /ws/asks; vmops_api; }
location = /api/v1/tokens { limit_req zone=one; limit_req_status 429; vmops_api; }
location = /api/v1/audit  { limit_req zone=one; vmops_api; }
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

# a 401 says what is missing: a token, if who refuses does not say it himself
my $r = $s->rest(GET => '/agents', { token => $t->{token} });
problem('auth_request', $r, 401, 'unauthenticated');
is $r->{headers}{'www-authenticate'}, 'Bearer', 'a token is';
for my $path (qw(/ws/basic /vms)) {
    $r = $s->rest(GET => $path, { token => $t->{token} });
    problem("a password, $path", $r, 401, 'unauthenticated');
    is $r->{headers}{'www-authenticate'}, 'Basic realm="vmops"', 'is';
}

# limits of nginx's own
is $s->rest(GET => '/tokens', { token => $t->{token} })->{status}, 200, 'the first';
for (['/tokens', 429, 'rate_limited'], ['/audit', 503, 'internal_error']) {
    my ($path, @as) = @$_;
    $r = $s->rest(GET => $path, { token => $t->{token} });
    problem("limit_req, $path", $r, @as);
    is $r->{headers}{'retry-after'}, 1, 'and when to come again';
}

# what nginx does not have
sub refused_early {
    my ($request, $status) = @_;
    my $sock = $s->socket;
    print $sock $request;
    $sock->flush;
    my $in = do { local $/; <$sock> };
    like $in, qr{^HTTP/1.1 $status .*\r\nContent-Type: application/problem\+json}s,
        "a broken request: $status";
    like $in, qr/"status":$status,"code":"bad_request"/, 'as a problem';
}
refused_early("POST /api/v1/vms HTTP/1.1\r\nHost: x\r\n"
              . "Transfer-Encoding: gzip\r\n\r\n", 501);
refused_early("GET /api/v1/vms HTTP/3.0\r\nHost: x\r\n\r\n", 505);

# before there is a location
refused_early($_, 400) for
    "GET /ws/x HTTP/1.1\r\n\r\n", "GET\r\n\r\n",
    "GET /ws/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /ws/x HTTP/1.1\r\nHost: x\r\nX: " . 'y' x 40000 . "\r\n\r\n";

$r = $s->rest(HEAD => '/ws/nothing');
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
