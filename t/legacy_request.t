# What the legacy backend sees of a request: who it is from, in lines that no
# client can send, and no credential of ours; and what its answer gets.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Backend qw(plain);
use VMOps::Legacy;

my $l = VMOps::Legacy->new(sub {
    my ($request) = @_;
    return [plain('{"path":"' . $request->{path} . '"}', 'X-Request-Id: theirs',
                  'Cache-Control: max-age=60', 'Deprecation: @1',
                  'Sunset: never', 'Set-Cookie: old=1', 'X-Old: kept')];
});
my ($s, $backend) = ($l->stack, $l->backend);
my $t = $s->tenant('acme');
$s->rest(PUT => '/admin/tenants/acme/flags', { token => $s->platform_token,
    json => { INFRA_LEGACY_ADMIN_ONLY => JSON::PP::false } });

my $session = canary('a session', 'acme.' . 'S' x 43);

# the request as the backend saw it
sub seen {
    my ($token, $method, $path, %opt) = @_;
    my $r = $s->rest($method, "/infra$path", { token => $token, %opt });
    is $r->{status}, 200, "$method $path";
    my ($seen) = $backend->requests;
    return ($seen, $r);
}

my ($seen, $r) = seen($t->{token}, GET => '/a%20b/./c/../d?password=x&y=1',
    headers => {
        Cookie => "other=1; __Host-vmops=$session;vmops=$session; last=2",
        'X-VMOps-Role' => 'platform_admin', 'X-VMOps-Tenant' => 'globex',
        'x-vmops-subject' => 'root', 'X-CSRF-Token' => 'c', Signature => 'sig1=:x:',
        'Proxy-Authorization' => 'Basic x', 'X-Own' => 'kept' });
is $seen->{path}, '/api/v1/infra/a%20b/d?password=x&y=1',
    'the path as nginx understands it';
my %h = %{ $seen->{headers} };
is_deeply { map { ($_ => $h{$_}) } grep { /vmops/ } keys %h },
    { 'x-vmops-tenant' => 'acme', 'x-vmops-role' => 'owner',
      'x-vmops-subject' => $h{'x-vmops-subject'} }, 'who it is';
like $h{'x-vmops-subject'}, qr/^token:[0-9a-f-]{36}$/, 'by its id';
is scalar(grep { $_->[0] =~ /^x-vmops-/i } @{ $seen->{lines} }), 3, 'once each';
is $h{cookie}, 'other=1; last=2', 'cookies of others';
is_deeply [grep { exists $h{$_} } qw(authorization proxy-authorization signature
                                      signature-input x-csrf-token)], [], 'no credential';
is $h{'x-own'}, 'kept', 'other lines';
is $h{'x-request-id'}, $r->{headers}{'x-request-id'}, 'the id of the request';
unlike join("\n", map { @$_ } @{ $seen->{lines} }), qr/\Q$t->{token}\E|\Q$session/,
    'nothing of ours in any of it';

# its answer
is $r->{headers}{deprecation}, '@1767225600', 'deprecated since (RFC 9745)';
is $r->{headers}{sunset}, 'Fri, 01 Jan 2027 00:00:00 GMT', 'until (RFC 8594)';
is $r->{headers}{'cache-control'}, 'no-store', 'is kept nowhere';
is $r->{headers}{'x-old'}, 'kept', 'its own lines';
ok !exists $r->{headers}{'set-cookie'}, 'but no cookie';

($seen) = seen($t->{token}, GET => '/a', headers => { Cookie => "vmops=$session" });
ok !exists $seen->{headers}{cookie}, 'a cookie of ours alone: none';
($seen) = seen($t->{token}, GET => '/a', headers =>
               { Cookie => ";a=1;b=2;vmops=$session;" . join(';', ('c') x 300),
                 'X-Own' => 'kept' });
is_deeply [split /; ?/, $seen->{headers}{cookie}], ['a=1', 'b=2', ('c') x 300],
    'cookies without a space between them';
is $seen->{headers}{'x-own'}, 'kept', 'and what comes after them';
($seen) = seen($t->{token}, POST => '/a', json => { a => 1 });
is $seen->{body}, '{"a":1}', 'a body';
($seen) = seen($s->platform_token, GET => '/a',
               headers => { 'X-VMOps-Tenant' => 'acme' });
is_deeply { map { ($_ => $seen->{headers}{$_}) }
            grep { /^x-vmops-(?!subject)/ } keys %{ $seen->{headers} } },
    { 'x-vmops-role' => 'platform_admin' }, 'an administrator has no tenant';

# many lines, the same name twice, underscores
my $sock = $s->socket;
print $sock "GET /api/v1/infra/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    . "Authorization: Bearer $t->{token}\r\n"
    . join('', map { "X-N$_: $_\r\nX-VMOps-Role: r$_\r\nX_VMOps_Role: r$_\r\n" }
           1 .. 60)
    . "Cookie: vmops=$session\r\nCookie: a=1\r\nX-VMOps-: x\r\nX-VMOp: ok\r\n\r\n";
$sock->flush;
like do { local $/; <$sock> }, qr/^HTTP\/1.1 200 /, 'many lines';
($seen) = $backend->requests;
is scalar(grep { $_->[0] =~ /^x-n\d/i } @{ $seen->{lines} }), 60, 'all of them';
is_deeply [map { $_->[1] } grep { $_->[0] =~ /^x.vmops.role/i }
           @{ $seen->{lines} }], ['owner'], 'one of ours';
is_deeply [map { $_->[1] } grep { $_->[0] =~ /^cookie/i } @{ $seen->{lines} }],
    ['a=1'], 'a cookie of another';
ok exists $seen->{headers}{'x-vmop'}, 'and what only looks a little like it';

# and it is counted
my $answered = qr/^vmops_requests_total\{method="any",route="\/infra\/\*",status="200"\} (\d+)$/m;
my ($had) = $s->rest(GET => '/metrics')->{body} =~ $answered;
seen($t->{token}, GET => '/a') for 1 .. 3;
wait_for { ($s->rest(GET => '/metrics')->{body} =~ $answered)[0] == $had + 3 } 5,
    'three more to be counted';
pass 'each request is counted';

done_testing;
