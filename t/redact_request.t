# A request through vmops_redact asks the upstream plainly: no content coding,
# no range; answers without a body pass; nginx' own gzip works behind it.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Backend qw(plain);

my $long = '{"token":"x","a":[' . join(',', 1 .. 2000) . ']}';
my $masked = $long =~ s/"x"/"[redacted]"/r;

my $backend = VMOps::Backend->start(sub {
    my ($request) = @_;
    my ($name) = $request->{path} =~ m{/(\w+)$};
    return ["HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"]
        if $name eq 'none';
    return ["HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nConnection: close\r\n\r\n"]
        if $name eq 'same';
    my $answer = plain($long, 'ETag: "1"', 'Accept-Ranges: bytes');
    return [$request->{method} eq 'HEAD'
        ? $answer =~ s/\r\n\r\n.*/\r\n\r\n/sr : $answer];
});
my $to = $backend->address;

my $s = VMOps->stack;
my $dir = $s->dir;
open my $fh, '>', "$dir/file.json" or die;
print $fh $long;
close $fh or die;
$s->add_server_conf(<<"EOT");
location /ws/on/   { vmops_redact on; proxy_pass http://$to/; }
location /ws/gzip/ { vmops_redact on; proxy_pass http://$to/; gzip on;
                     gzip_types application/json; gzip_proxied any; }
location /ws/off/  { proxy_pass http://$to/; }
location /ws/file/ { vmops_redact on; alias $dir/; }
EOT

my %asked = (headers => { 'Accept-Encoding' => 'gzip, br', Range => 'bytes=0-9',
                          'If-Range' => '"1"', 'X-Own' => 'kept',
                          Accept => 'application/json' });
my $r = $s->rest(GET => '/ws/on/a', { %asked });
is "$r->{status} $r->{body}", "200 $masked", 'a range: all of it, masked';
ok !exists $r->{headers}{$_}, "no $_"
    for qw(etag accept-ranges content-range content-encoding);
my ($seen) = $backend->requests;
is_deeply [sort grep { !/^(?:host|connection|user-agent)$/ }
           keys %{ $seen->{headers} }], [qw(accept x-own)],
    'the upstream was not asked for such';
$s->rest(GET => '/ws/off/a', { %asked });
($seen) = $backend->requests;
is $seen->{headers}{range}, 'bytes=0-9', 'elsewhere it is';

my $run = run_command(['curl', '-s', '-i', '--compressed', '-m', 20,
                       $s->url . '/ws/gzip/a']);
like $run->{out}, qr/^Content-Encoding: gzip\r$/m, "nginx' own gzip";
is +(split /\r\n\r\n/, $run->{out}, 2)[1], $masked, 'packs what is masked';

$r = $s->rest(HEAD => '/ws/on/a');
is "$r->{status} $r->{body}", '200 ', 'HEAD';
ok !exists $r->{headers}{$_}, "no $_" for qw(content-length etag accept-ranges);
$r = $s->rest(GET => '/ws/on/none');
is "$r->{status} $r->{body}", '204 ', 'an answer without a body';
$r = $s->rest(GET => '/ws/on/same', { headers => { 'If-None-Match' => '"1"' } });
is "$r->{status} $r->{body}", '304 ', 'one that nothing changed';

# a file: the same, and no range of it
$r = $s->rest(GET => '/ws/file/file.json', { headers => {
    Range => 'bytes=0-20' } });
is "$r->{status} $r->{body}", "200 $masked", 'a file is masked, all of it';
ok !exists $r->{headers}{$_}, "no $_"
    for qw(etag accept-ranges content-range last-modified);
$r = $s->rest(HEAD => '/ws/file/file.json');
is "$r->{status} $r->{body}", '200 ', 'HEAD of a file';

# several on one connection, with and without bodies
my $sock = $s->socket;
for my $path (qw(on/none on/a on/same file/file.json)) {
    print $sock "HEAD /ws/$path HTTP/1.1\r\nHost: x\r\n\r\n";
    $sock->flush;
    my $in = '';
    while ($in !~ /\r\n\r\n$/) {
        sysread $sock, $in, 65536, length $in or last;
    }
    like $in, qr/^HTTP\/1.1 [23]0\d .*\r\n\r\n$/s, "the connection: $path";
}

done_testing;
