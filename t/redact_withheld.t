# What vmops_redact cannot look at is withheld: a 502 as long as nothing of it
# was shown, a broken-off answer after that; over HTTP/1.1 and HTTP/2.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Backend qw(chunked plain);

my $canary = canary('not to be seen', 'not-to-be-seen-0123456789');
my $long = '{"a":[' . join(',', map { "\"item $_\"" } 1 .. 5000);
my $valid = '{"a":[' . join(',', map { "\"item $_\"" } 1 .. 10000)
    . "],\"password\":\"$canary\"}";

my %early = (
    html      => [plain("<html>$canary</html>")],
    text      => [plain($canary)],
    broken    => [chunked('{"a":1,', "$canary}")],
    two       => [plain("{\"a\":1}{\"b\":\"$canary\"}")],
    latin1    => [plain("{\"a\":\"\xe9 $canary\"}")],
    utf16     => [plain("{\0\"\0a\0\"\0:\0001\0}\0")],
    bom       => [plain("\xef\xbb\xbf{\"a\":\"$canary\"}")],
    deep      => [plain('[' x 65 . ']' x 65)],
    ends      => [chunked('{"a":"', $canary)],
    cut       => [plain("{\"a\":\"$canary\"}", 'X: y')
                      =~ s/Content-Length: \d+/Content-Length: 1000/r],
    cut_chunk => [(chunked("{\"a\":\"$canary\"", '}'))[0, 1]],
    nonsense  => ["\x16\x03\x01 $canary\r\n\r\n"],
    bare      => ["{\"a\":\"$canary\"}"],
    gzip      => [plain("\x1f\x8b$canary", 'Content-Encoding: gzip')],
    br        => [plain("{\"a\":\"$canary\"}", 'Content-Encoding: br')],
    partial   => [plain('12', 'Content-Range: bytes 0-1/100')
                      =~ s/200 OK/206 Partial/r],
);
my %late = (
    broken => [chunked($long, ",$canary]}")],
    latin1 => [chunked($long, ",\"\xe9\"]}")],
    ends   => [chunked($long)],
    deep   => [chunked($long . ',' . '[' x 63)],
    cut    => [(chunked($long, ',"' . $canary))[0 .. 2]],
);
my $backend = VMOps::Backend->start(sub {
    my ($when, $name) = $_[0]{path} =~ m{/(\w+)/(\w+)$};
    return $when eq 'early' ? $early{$name} : $when eq 'late' ? $late{$name}
        : [plain($name eq 'valid' ? $valid : '{}')];
});
my $to = $backend->address;

my $s = VMOps->stack(tls => 1);
$s->speak_http2;
$s->add_server_conf(<<"EOT");
vmops_redact on;
location /ws/buffered/ { proxy_pass http://$to/; }
location /ws/direct/   { proxy_pass http://$to/; proxy_buffering off; }
location /ws/page/     { proxy_pass http://$to/; error_page 502 = \@page; }
location \@page        { return 200 "{\\"password\\":\\"hunter2\\"}"; }
location /ws/html/     { proxy_pass http://$to/; vmops_problem off; }
EOT

# {exit, status, headers, body} as curl sees it
sub get {
    my ($http, $path, @args) = @_;
    my $run = run_command(['curl', '-s', '-i', "--http$http", '-m', 20,
                           '--cacert', $s->info->{ca_file}, @args,
                           $s->url . "/ws/$path"]);
    my ($head, $body) = split /\r\n\r\n/, $run->{out}, 2;
    return { exit => $run->{exit}, head => $head // '', body => $body // '',
             status => ($head // '') =~ m{^HTTP/\S+ (\d+)} ? $1 : 0 };
}

for my $http ('1.1', '2') {
    for my $way (qw(buffered direct)) {
        for my $name (sort keys %early) {
            my $r = get($http, "$way/early/$name");
            if ($way eq 'direct' && $name =~ /^(?:broken|cut|ends)/) {
                # what is right so far goes on as soon as it comes
                like "$r->{status} $r->{exit}", qr/^(?:200 (?:92|18)|502 0)$/,
                    "HTTP/$http, $way, $name";
                next;
            }
            is "$r->{status} $r->{exit}", '502 0', "HTTP/$http, $way, $name";
            like $r->{body}, qr/^\{.*"code":"bad_gateway".*\}$/, 'a problem';
            unlike $r->{head} . $r->{body}, qr/$canary|content-(?:enc|range)/i,
                'and nothing of it';
        }
        for my $name (sort keys %late) {
            my $r = get($http, "$way/late/$name");
            is $r->{status}, 200, "HTTP/$http, $way, $name: late";
            like $r->{body}, qr/^\{"a":\["item 1",/, 'it had begun';
            like $r->{exit}, $http eq '2' ? qr/^(?:92|18)$/ : qr/^18$/,
                'and breaks off';
            unlike $r->{body}, qr/$canary|\[\[/, 'before what is wrong';
        }
        my $r = get($http, "$way/x/valid");
        is "$r->{status} $r->{exit}", '200 0', "HTTP/$http, $way: what is right";
        is $r->{body}, $valid =~ s/$canary/[redacted]/r, 'comes whole, masked';
    }
}

# other pages for it
my $r = get('1.1', 'page/early/html');
is "$r->{status} $r->{body}", '200 {"password":"[redacted]"}',
    'error_page: its page is looked at, too';
$r = get('1.1', 'html/early/html');
is $r->{status}, 502, 'without vmops_problem';
like $r->{body}, qr{<h1>502 Bad Gateway</h1>}, "nginx's own page";

like $s->error_log, qr/\Qvmops_redact withholds an answer: it is no JSON\E/,
    'the log says why';
like $s->error_log, qr/withholds an answer from here on: it is too deep/,
    'and how far it came';

done_testing;
