# docs/operations.md, "Behind a balancer": its configuration, as it stands there
# but for the addresses, lets nginx see clients' own, and others ask for health.

use strict;
use warnings;

use IO::Socket::INET;
use JSON::PP;

use VMOps;
use VMOps::Gateway;

my $s = VMOps->stack;
my ($port, $tcp_port) = map { VMOps::Gateway::free_port() } 1, 2;
my %here = ('10.0.0.5' => '127.0.0.1', '10.0.0.20' => '127.0.0.2',
            '10.0.0.10:9180' => "127.0.0.1:$port");

my ($section) = VMOps::slurp(VMOps::top() . '/docs/operations.md')
    =~ /^## Behind a balancer\n(.*?)^## /ms or die 'no such section';
my ($tcp, $http, $health) = map {
    my $text = $_;
    $text =~ s/\Q$_\E(?=;)/$here{$_}/g for keys %here;
    $text;
} $section =~ /^```nginx\n(.*?)^```/msg;

# one request by itself, from there: what came back
sub ask {
    my ($to, $line, %opt) = @_;
    my $sock = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $to, Timeout => 5,
        LocalAddr => $opt{from} // '127.0.0.1') or die "connect: $@";
    my $body = $opt{body} // '';
    print $sock $opt{first} // '', "$line HTTP/1.1\r\nHost: vps.example\r\n",
        $opt{more} // '', "Connection: close\r\nContent-Length: ",
        length $body, "\r\n\r\n$body";
    return do { local $/; <$sock> } // '';
}

# pairing with a wrong code, as from each of two clients of a network
sub counts_clients {
    my ($how, $net, $to, $as) = @_;
    my $body = encode_json({ code => 'AAAA-AAAA-AAAA',
        ed25519_pk => 'A' x 43, x25519_pk => 'A' x 43, kid => 'A' x 43,
        platform => 'linux', name => 'pc', hostname => 'pc', version => '1',
        signature => 'A' x 86 });
    my $status = sub {
        my $in = ask($to, 'POST /api/v1/agents/register', body => $body,
            $as->($_[0], "Content-Type: application/json\r\n"));
        return $in =~ m{^HTTP/1.1 (\d+)} ? $1 : "none: $in";
    };
    is join(' ', map { $status->("$net.1") } 1 .. 11),
        join(' ', (403) x 10, 429), "$how: a client has ten wrong codes";
    is $status->("$net.2"), 403, "$how: another one has its own";
    wait_for { $s->access_log =~ /"remote_addr":"\Q$net\E\.2"/ } 5, 'the log';
    pass "$how: the log has its address";
}

# one where TLS ends
$s->add_http_conf($http . $health);
counts_clients('X-Forwarded-For', '192.0.2', $s->port, sub {
    return (more => "X-Forwarded-For: $_[0]\r\n$_[1]") });
my $t = $s->tenant('acme');
like $s->rest(POST => '/agents/pairings', { token => $t->{token}, json => {} })
    ->{headers}{location}, qr{^https://vps\.example/api/v1/agents/pairings/},
    'links begin with the public URL';

# health, from elsewhere
like ask($port, 'GET /readyz'), qr{^HTTP/1.1 200 .*"status":"ok"}s,
    'the balancer sees whether it is ready';
like ask($port, 'GET /metrics', from => '127.0.0.2'),
    qr{^HTTP/1.1 200 .*vmops_workers 1}s, 'Prometheus sees the metrics';
like ask($port, 'GET /metrics'), qr{^HTTP/1.1 403 }, 'and nobody else';
like ask($port, 'GET /readyz', from => '127.0.0.2'), qr{^HTTP/1.1 403 },
    'each has its own';
like ask($port, 'GET /api/v1/session'), qr{^HTTP/1.1 404 }, 'no more is there';

# one that passes TCP on
$s->add_http_conf($tcp . $health);
$s->add_server_conf("listen 127.0.0.1:$tcp_port proxy_protocol;\n");
counts_clients('PROXY', '198.51.100', $tcp_port, sub {
    return (first => "PROXY TCP4 $_[0] 127.0.0.1 1025 443\r\n", more => $_[1]) });
is ask($tcp_port, 'GET /readyz'), '', 'without that header nobody gets in';
like ask($port, 'GET /readyz'), qr{^HTTP/1.1 200 }, 'but for health';

done_testing;
