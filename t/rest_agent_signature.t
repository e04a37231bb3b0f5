# An agent's signed requests (RFC 9421): the one form, the request as it came,
# a nonce once; and its heartbeat.
# tags: asan

use strict;
use warnings;

use Digest::SHA qw(sha256);
use JSON::PP;
use MIME::Base64 qw(encode_base64 encode_base64url);

use VMOps;
use VMOps::WSAgent;

my $s = VMOps->stack(nodes => 2, workers => 2);
my $t = $s->tenant('acme');
my $rest = sub { $s->rest(@_) };
my $json = JSON::PP->new->utf8->canonical;

sub as_owner {
    my ($method, $path, $opt) = @_;
    return $s->rest($method, $path, { token => $t->{token}, %{ $opt // {} } });
}

my $code = as_owner(POST => '/agents/pairings', {
    json => { auto_approve => JSON::PP::true } })->{json}{code};
my $agent = VMOps::WSAgent->new;
$agent->pair($rest, $code);
my %beat = (version => '1.2.3', capabilities => ['proxmox', 'ssh'],
            routes => [], keystore => 'ok', key_id => $agent->key_id);

my $n = 0;
sub send_signed {
    my (%o) = @_;
    my %v = (method => 'POST', url => $s->url, path => '/api/v1/agents/heartbeat',
             created => time, nonce => encode_base64url(pack 'N4', 7, 7, 7, ++$n),
             tenant => 'acme', agent => $agent->id, body => $json->encode(\%beat),
             parts => '("@method" "@target-uri" "content-digest")', label => 'sig1',
             alg => 'ed25519', %o);
    my $digest = $v{digest} // 'sha-256=:'
        . encode_base64(sha256($v{signed_body} // $v{body}), '') . ':';
    my $params = $v{params} // qq($v{parts};created=$v{created};nonce="$v{nonce}")
        . qq(;keyid="$v{tenant}/$v{agent}";alg="$v{alg}");
    my $base = join "\n", '"@method": ' . ($v{signed_method} // $v{method}),
        '"@target-uri": ' . ($v{target} // "$v{url}$v{path}"),
        "\"content-digest\": $digest", "\"\@signature-params\": $params";
    my %headers = (
        'Content-Type' => 'application/json', 'Content-Digest' => $digest,
        'Signature-Input' => "$v{label}=$params",
        Signature => "$v{label}=:" . encode_base64(
            $agent->{keys}{ed}->sign_message($base), '') . ':',
        %{ $v{headers} // {} });
    delete $headers{$_} for @{ $v{without} // [] };
    return $s->rest($v{method}, $v{path}, {
        node => $v{node} // 1, body => $v{body},
        headers => { Connection => 'close', %headers } });
}

my $r = send_signed();
is $r->{status}, 200, 'a signed heartbeat';
is_deeply [sort keys %{ $r->{json} }], [qw(audit_head server_time status)],
    'is answered';
is $r->{json}{status}, 'offline', 'and does not make it online';
my $record = as_owner(GET => '/agents/' . $agent->id)->{json};
is $record->{version}, '1.2.3', 'its version';
is_deeply $record->{capabilities}, ['proxmox', 'ssh'], 'its capabilities';
is $record->{keystore}, 'ok', 'its key store';

# a query is part of the target
is send_signed(path => '/api/v1/agents/heartbeat?a=b%20c')->{status}, 200,
    'the raw request target is what is signed';

my $nonce = encode_base64url('once once once..');
is send_signed(nonce => $nonce)->{status}, 200, 'a nonce';
is send_signed(nonce => $nonce)->{status}, 401, 'is of use once';

# the same request, to the byte, at any node: its target is the public URL
my %taken;
for my $round (1 .. rounds(ci => 20, full => 250)) {
    my %same = (nonce => encode_base64url(pack 'N4', 8, 8, 8, $round),
                created => time, url => $s->url(2));
    my ($first, @others) = map { 1 + ($round + $_) % 2 } 0 .. 3;
    # the nodes differ by their port here: behind one name they would not
    $same{headers} = { Host => $s->url(2) =~ s{^http://}{}r };
    $taken{ join ' ', map { send_signed(%same, node => $_)->{status} }
            $first, @others }++;
    # how many nonces an agent has, and how often it asks, are other matters
    next if $round % 100;
    $s->redis('DEL', 'tenants/{acme}/agents/' . $agent->id . '/nonces');
    $s->forget_rates;
}
$s->forget_rates;
is_deeply \%taken, { '200 401 401 401' => rounds(ci => 20, full => 250) },
    'each is taken once, and then at no node';

my %wrong = (
    'too old'           => { created => time - 310 },
    'of the future'     => { created => time + 310 },
    'another method'    => { signed_method => 'PUT' },
    'another path'      => { target => $s->url . '/api/v1/secrets' },
    'another host'      => { url => 'http://elsewhere' },
    'another scheme'    => { url => $s->url =~ s/^http:/https:/r },
    'another body'      => { signed_body => '{}' },
    'no digest'         => { without => ['Content-Digest'] },
    'no signature'      => { without => ['Signature'] },
    'another algorithm' => { alg => 'hmac-sha256' },
    'another label'     => { label => 'sig2' },
    'other parts'       => { parts => '("@method" "content-digest" "@target-uri")' },
    'fewer parts'       => { parts => '("@method" "@target-uri")' },
    'another tenant'    => { tenant => 'globex' },
    'another agent'     => { agent => '01890000-0000-7000-8000-000000000000' },
    'a bad nonce'       => { nonce => 'short' },
    'no number'         => { created => 'now' },
    'a bad signature'   => { headers => { Signature => 'sig1=:AAAA:' } },
    'another signature' => { headers => {
        Signature => 'sig1=:' . 'A' x 86 . '==:' } },
    'nothing known'     => { params => 'x' },
);
for my $what (sort keys %wrong) {
    $r = send_signed(%{ $wrong{$what} });
    is "$r->{status} $r->{json}{code}", '401 unauthenticated', $what;
}

# a token beside it changes nothing
is send_signed(agent => '01890000-0000-7000-8000-000000000000', headers => {
    Authorization => "Bearer $t->{token}" })->{status}, 401,
    'a bad signature is not mended by a token';
is send_signed(method => 'GET', path => '/api/v1/agents', body => '')->{status},
    403, 'an agent reads no lists';

# the form of a heartbeat, and the order: who it is comes first
for my $case (['/capabilities/1', capabilities => ['ssh', 'telnet']],
              ['/keystore', keystore => 'lost'], ['/key_id', key_id => 'k1'],
              ['/version', version => 'a b'],
              ['/routes/0/stage', routes => [{
                  secret_ref => 'sec_' . '0' x 32, ok => JSON::PP::true,
                  stage => 'smtp', code => undef, latency_ms => 1,
                  checked_at => '2026-01-01T00:00:00.000Z' }]],
              ['/more', more => 1]) {
    my ($pointer, $field, $value) = @$case;
    my $body = $json->encode({ %beat, $field => $value });
    $r = send_signed(body => $body);
    is "$r->{status} $r->{json}{errors}[0]{pointer}", "422 $pointer", $pointer;
    is send_signed(body => $body, created => 1)->{status}, 401,
        'unsigned it is 401';
}
is send_signed(body => '{')->{status}, 400, 'signed, but no JSON';
is send_signed(headers => { 'Content-Type' => 'text/plain' })->{status}, 415,
    'signed, of no JSON type';

my $route = { secret_ref => 'sec_' . '0' x 32, ok => JSON::PP::false,
              stage => 'tcp', code => 'connection_refused', latency_ms => 12,
              checked_at => '2026-01-01T00:00:00.000Z' };
is send_signed(body => $json->encode({ %beat, routes => [$route] }))->{status},
    200, 'routes';
is_deeply as_owner(GET => '/agents/' . $agent->id)->{json}{routes}, [$route],
    'are shown';

# revoked
is as_owner(POST => '/agents/' . $agent->id . '/revoke')->{status}, 200,
    'revoked';
wait_for { send_signed()->{status} == 403 } 2, 'the revocation';
is send_signed()->{json}{code}, 'agent_revoked', 'it is told why';

done_testing;
