# vmops_redact masks a proxied body whatever pieces it comes in, buffered by
# nginx or not, to HTTP/1.1 and HTTP/1.0.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Backend qw(chunked plain);

my $MASK = '[redacted]';
my $json = JSON::PP->new->canonical;

my @secrets = map { canary("secret-$_") =~ s/["\\]//gr } 1 .. 9;

my $before = { name => 'web', vms => [{ id => 1, password => $secrets[0],
    ports => [80, 443], deep => { a => [{ ApiKey => [$secrets[1], {}] }] } }],
    token => { value => $secrets[2] }, secret_ref => 'sec_1', key_id => 'k1',
    header => "PVEAPIToken=root\@pam!x=$secrets[3]",
    dsn => "postgres://u:$secrets[4]\@db/x",
    note => "text \x{e9}\x{1f600} and \"quotes\"", zero => 0,
    pem => "-----BEGIN OPENSSH PRIVATE KEY-----\n$secrets[5]\n" };
my $after = { %$before, vms => [{ %{ $before->{vms}[0] }, password => $MASK,
    deep => { a => [{ ApiKey => $MASK }] } }], token => $MASK, header => $MASK,
    dsn => $MASK, pem => $MASK };

my $body = JSON::PP->new->utf8->canonical->encode($before);
my $escaped = join '', map { /[A-Za-z]/ ? sprintf '\u%04x', ord : $_ }
    split //, "\"password\":\"$secrets[6]\"";
$escaped = "{$escaped,\"plain\":true}";

my %answers = (
    whole    => [plain($body)],
    bytes    => [chunked(split //, $body)],
    threes   => [chunked($body =~ /(.{1,3})/gs)],
    slow     => [(chunked($body =~ /(.{1,40})/gs))[0 .. 3], \0.05,
                 (chunked($body =~ /(.{1,40})/gs))[4 .. 1000]],
    escaped  => [chunked($escaped =~ /(.{1,2})/gs)],
    closed   => ["HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n",
                 split(/(?<=,)/, $body)],
    empty    => [plain('')],
    number   => [plain('12')],
    refused  => [plain($body) =~ s/200 OK/404 Not Found/r],
    moved    => [plain('{}', "Location: http://u:$secrets[7]\@h/",
                       "Set-Cookie: s=$secrets[8]", 'X-Kept: yes',
                       'X-Auth-Token: abc', 'ETag: "1"',
                       'Last-Modified: Sat, 01 Jan 2022 00:00:00 GMT',
                       'Accept-Ranges: bytes', 'Content-MD5: abc',
                       'Digest: sha-256=abc') =~ s/200 OK/302 Found/r],
);
$_ = [grep { defined } @$_] for values %answers;

my $backend = VMOps::Backend->start(sub {
    my ($name) = $_[0]{path} =~ /(\w+)$/;
    return $answers{$name};
});
my $to = $backend->address;

my $s = VMOps->stack;
$s->add_server_conf(<<"EOT");
vmops_redact on;
location /ws/buffered/ { proxy_pass http://$to/; }
location /ws/direct/   { proxy_pass http://$to/; proxy_buffering off; }
location /ws/small/    { proxy_pass http://$to/; proxy_buffer_size 1k;
                         proxy_buffers 2 1k; proxy_busy_buffers_size 1k; }
location /ws/new/      { proxy_pass http://$to/; proxy_http_version 1.1; }
location /ws/off/      { proxy_pass http://$to/; vmops_redact off; }
EOT

for my $way (qw(buffered direct small new)) {
    for my $name (qw(whole bytes threes slow closed)) {
        my $r = $s->rest(GET => "/ws/$way/$name");
        is $r->{status}, 200, "$way, $name";
        is_deeply $r->{json}, $after, 'is masked, and only that';
    }
    my $r = $s->rest(GET => "/ws/$way/escaped");
    is_deeply $r->{json}, { password => $MASK, plain => JSON::PP::true },
        "$way: a name and a value in escapes";
    is $s->rest(GET => "/ws/$way/number")->{body}, '12', 'a number';
    $r = $s->rest(GET => "/ws/$way/empty");
    is "$r->{status} $r->{body}", '200 ', 'no body at all';
    $r = $s->rest(GET => "/ws/$way/refused");
    is $r->{status}, 404, 'another status';
    is_deeply $r->{json}, $after, 'is masked, too';
}
is_deeply $s->rest(GET => '/ws/off/whole')->{json}, $before, 'off: as it is';

# header lines that are secrets, or untrue now
my $r = $s->rest(GET => '/ws/buffered/moved');
is $r->{status}, 302, 'a redirection';
is_deeply [sort grep { !/^(?:connection|content-type|date|server|x-request-id
                             |content-length|transfer-encoding)$/x }
           keys %{ $r->{headers} }], ['x-kept'], 'has no such line';
is $s->rest(GET => '/ws/off/moved')->{headers}{'set-cookie'},
    "s=$secrets[8]", 'it had them';

# HTTP/1.0: the end of the connection is the end of the body
my $sock = $s->socket;
print $sock "GET /ws/buffered/threes HTTP/1.0\r\n\r\n";
$sock->flush;
my $in = do { local $/; <$sock> };
unlike $in, qr/^(?:Content-Length|Transfer-Encoding)/mi, 'HTTP/1.0: no length';
is_deeply $json->decode((split /\r\n\r\n/, $in, 2)[1] // ''),
    JSON::PP->new->decode(JSON::PP->new->utf8->encode($after)), 'is masked'
    or diag $in;

# keepalive goes on
$sock = $s->socket;
for my $i (1 .. 3) {
    print $sock "GET /ws/buffered/bytes HTTP/1.1\r\nHost: x\r\n\r\n";
    $sock->flush;
    $in = '';
    while ($in !~ /\r\n0\r\n\r\n$/) {
        sysread $sock, $in, 65536, length $in or last;
    }
    like $in, qr/^HTTP\/1.1 200 .*redacted/s, "the connection, $i";
    unlike $in, qr/^Content-Length/mi, 'no length';
}

done_testing;
