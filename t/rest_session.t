# The console's session: signed in with a token, held by a cookie that no script
# reads, never more and never longer than the token.
# tags: asan

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use JSON::PP;
use MIME::Base64 qw(encode_base64url);

use VMOps;

my $s = VMOps->stack(workers => 2);
my ($acme, $globex) = map { $s->tenant($_) } qw(acme globex);
my $pepper = VMOps::slurp($s->dir . '/keys/pepper.key');
my $seen = 0;

sub sign_in {
    my ($token, %headers) = @_;
    my $r = $s->rest(POST => '/session', {
        headers => \%headers, json => { token => $token } });
    ($r->{cookie}) = ($r->{headers}{'set-cookie'} // '') =~ /^([^;]+)/;
    canary('cookie ' . ++$seen, $r->{cookie} =~ s/.*\.//r) if $r->{cookie};
    return $r;
}

sub with {
    my ($in, $method, $path, %o) = @_;
    return $s->rest($method, $path, {
        headers => { Cookie => $in->{cookie}, Connection => 'close',
                     %{ $o{headers} // {} } },
        $o{json} ? (json => $o{json}) : () });
}

# what the console sends with a change
sub proof {
    my ($in) = @_;
    return ('Sec-Fetch-Site' => 'same-origin', 'X-CSRF-Token' => $in->{json}{csrf});
}

sub key { "tenants/{acme}/sessions/"
    . encode_base64url(hmac_sha256($_[0]{cookie} =~ s/^[^=]+=//r, $pepper)) }

sub refused_everywhere {
    my ($in, $what) = @_;
    holds_within(2, $what, sub { with($in, GET => '/session')->{status} == 401 });
}

# in
my $in = sign_in($acme->{token});
is $in->{status}, 201, 'signed in';
like $in->{headers}{'set-cookie'},
    qr{^vmops=acme\.[0-9A-Za-z]{43}; Path=/; HttpOnly; SameSite=Strict$},
    'without TLS, on loopback: a cookie of the plain name';
my ($token_id) = map { $_->{token_id} }
    @{ $s->rest(GET => '/tokens', { token => $acme->{token} })->{json}{items} };
my %flags = map { $_ => JSON::PP::true } qw(AGENT_COMMAND_BUS_ENABLED
    SECRETS_E2E_ENABLED INFRA_LEGACY_ADMIN_ONLY);
my %who = (tenant => 'acme', subject => "token:$token_id", role => 'owner',
           csrf => $in->{json}{csrf}, flags => \%flags);
is_deeply $in->{json}, \%who, 'and told who one is';
is_deeply with($in, GET => '/session')->{json}, \%who, 'as ever after';
like $in->{json}{csrf}, qr/^[\w-]{43}$/, 'the proof to be sent with changes';
is with($in, GET => '/tokens')->{status}, 200, 'an owner reads as one';
my %record = @{ $s->redis('HGETALL', key($in)) };
is_deeply [sort keys %record],
    [qw(created_at csrf expires_at mac role subject token)],
    'stored under its HMAC, with a MAC';
my $ends = $record{expires_at} / 1000 - time;
ok $ends > 43_100 && $ends <= 43_201, 'for twelve hours';
my $idle = $s->redis('PTTL', key($in));
ok $idle > 1_790_000 && $idle <= 1_800_000, 'and half an hour unused';

# the idle time begins anew with every use
$s->redis('PEXPIRE', key($in), 60_000);
wait_for { with($in, GET => '/session');
           $s->redis('PTTL', key($in)) > 1_790_000 } 3, 'the idle time';
pass 'a use of it prolongs it';

# a change needs the proof
for my $case (
    ['nothing', 403], ['the header alone', 403, 'X-CSRF-Token' => 1],
    ['the site alone', 403, 'Sec-Fetch-Site' => 'same-origin'],
    ['another proof', 403, 'Sec-Fetch-Site' => 'same-origin',
     'X-CSRF-Token' => 'A' x 43],
    ['half of it', 403, 'Sec-Fetch-Site' => 'same-origin',
     'X-CSRF-Token' => substr $in->{json}{csrf}, 0, 20],
    ['a page of another site', 403, 'Sec-Fetch-Site' => 'cross-site',
     'X-CSRF-Token' => 1],
    ['one of the same site', 403, 'Sec-Fetch-Site' => 'same-site',
     'X-CSRF-Token' => 1],
    ['another origin', 403, Origin => 'http://127.0.0.1', 'X-CSRF-Token' => 1],
    ['origin null', 403, Origin => 'null', 'X-CSRF-Token' => 1],
    ['two that differ', 403, Origin => 'http://evil.example',
     'Sec-Fetch-Site' => 'same-origin', 'X-CSRF-Token' => 1],
    ['both', 422, 'Sec-Fetch-Site' => 'same-origin', 'X-CSRF-Token' => 1],
    ['the origin', 422, Origin => $s->url, 'X-CSRF-Token' => 1],
) {
    my ($what, $status, %headers) = @$case;
    $headers{'X-CSRF-Token'} = $in->{json}{csrf}
        if ($headers{'X-CSRF-Token'} // '') eq 1;
    for my $call ([POST => '/vms', { }], [PATCH => "/vms/$token_id", { x => 1 }]) {
        my $r = with($in, @$call[0, 1], json => $call->[2],
                     headers => \%headers);
        is "$r->{status} $r->{json}{code}",
            $status == 403 ? '403 csrf' : '422 invalid_params',
            "$call->[0] with $what";
    }
}
is with($in, DELETE => "/tokens/$token_id")->{json}{code}, 'csrf',
    'nor is anything deleted without';

# a viewer's session is a viewer's
my $made = $s->rest(POST => '/tokens', { token => $acme->{token},
    json => { name => 'eye', role => 'viewer' } })->{json};
canary('a viewer', $made->{token});
my $viewer = sign_in($made->{token});
is $viewer->{json}{role}, 'viewer', 'a viewer';
is with($viewer, GET => '/vms')->{status}, 200, 'reads';
is with($viewer, POST => '/vms', json => {}, headers => { proof($viewer) })
    ->{json}{code}, 'forbidden', 'and makes nothing';
is with($viewer, POST => '/vms', json => {}, headers => { proof($in) })
    ->{json}{code}, 'csrf', "nor with another session's proof";

# what is beside it
is $s->rest(POST => '/vms', { token => $acme->{token}, json => {},
    headers => { Cookie => $viewer->{cookie} } })->{status}, 422,
    'a token beside it is what counts: no proof is asked for';
is with($in, GET => '/session', headers => { Authorization => 'Bearer x' })
    ->{status}, 401, 'also one that is of no use';
my ($value) = $in->{cookie} =~ /=(.*)/;
for my $cookie ("__Host-vmops=$value", "VMOPS=$value", "xvmops=$value",
                "vmops=$value; vmops=$value", "vmops=", 'vmops',
                "vmops=" . $value =~ s/^acme/globex/r,
                "vmops=" . $value =~ s/.$//r, "vmops=\"$value\"") {
    my $r = $s->rest(GET => '/session', { headers => { Cookie => $cookie } });
    is "$r->{status} $r->{json}{code}", '401 unauthenticated',
        'no session: ' . $cookie =~ s/\..*//r;
}
is $s->rest(GET => '/session', { headers => {
    Cookie => "a=b; theme=dark ;vmops=$value; vmopsx=1" } })->{status}, 200,
    'among others it is found';

# who may not come in
for my $case ([401, 'unauthenticated', 'vmo_acme_x'],
              [401, 'unauthenticated', $acme->{token} =~ s/.$/./r],
              [403, 'forbidden', $s->platform_token]) {
    my $r = sign_in($case->[2]);
    is "$r->{status} $r->{json}{code}", "$case->[0] $case->[1]",
        "refused: $case->[1]";
    ok !$r->{cookie}, 'no cookie';
}
is sign_in($acme->{token}, 'Sec-Fetch-Site' => 'cross-site')->{json}{code},
    'csrf', 'another site signs nobody in';
is sign_in($acme->{token}, Origin => 'http://evil.example')->{json}{code},
    'csrf', 'another origin neither';
is sign_in($acme->{token}, Origin => $s->url, 'Sec-Fetch-Site' => 'same-origin')
    ->{status}, 201, 'the console does';
is $s->rest(POST => '/session', { json => {} })->{json}{errors}[0]{pointer},
    '/token', 'a token is asked for';
is $s->rest(PUT => '/session', { token => $acme->{token} })->{headers}{allow},
    'GET, HEAD, POST, DELETE', 'what else there is';
my $plain = $s->rest(GET => '/session', { token => $acme->{token} });
is_deeply $plain->{json}, { %who, csrf => undef },
    'a token can ask who it is, and needs no proof';
is $s->rest(DELETE => '/session', { token => $acme->{token} })->{status}, 404,
    'but has no session to end';

# out
is with($viewer, DELETE => '/session')->{status}, 403, 'nobody signs one out';
my %kept = (Connection => 'keep-alive');
is with($viewer, GET => '/vms', headers => \%kept)->{status}, 200, 'signed in';
my $out = with($viewer, DELETE => '/session',
               headers => { proof($viewer), %kept });
is $out->{status}, 204, 'but oneself';
is $out->{headers}{'set-cookie'},
    'vmops=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0', 'the cookie goes';
is with($viewer, GET => '/vms', headers => \%kept)->{status}, 401,
    'the worker that was told knows at once';
refused_everywhere($viewer, 'a session that was left is over');

# a session is over when its token is
$viewer = sign_in($made->{token});
is with($viewer, GET => '/vms')->{status}, 200, 'again';
$s->rest(DELETE => "/tokens/$made->{token_id}", { token => $acme->{token} });
refused_everywhere($viewer, 'a revoked token ends its sessions');
is with($in, GET => '/vms')->{status}, 200, 'another one stays';

my $short = $s->rest(POST => '/tokens', { token => $acme->{token}, json => {
    name => 'short', role => 'viewer',
    expires_at => VMOps::time_of(Time::HiRes::time() + 2) } })->{json};
canary('a short one', $short->{token});
my $brief = sign_in($short->{token});
is $brief->{status}, 201, 'one that expires soon';
wait_for { with($brief, GET => '/vms')->{status} == 401 } 4, 'its end';
pass 'ends its session, too';

# many: of each token the newest stay
my $most = rounds(ci => 12, full => 101);
$s->redis('DEL', "tenants/{acme}/rate/requests:token:" . $record{token});
my @first = map { sign_in($acme->{token}) } 1 .. 2;
my $index = "tenants/{acme}/tokens/$record{token}/sessions";
$s->redis('ZADD', $index, 10 * time * 1000, "full$_") for 1 .. 100;
$s->redis('ZREM', $index, map { "full$_" } 1 .. $most);
sign_in($acme->{token}) for 1 .. $most;
cmp_ok $s->redis('ZCARD', $index), '<=', 100, 'no more than a hundred';
is with($_, GET => '/session')->{status}, 401, 'the first ones are over'
    for @first;

# suspension
$s->rest(PATCH => '/admin/tenants/acme', { token => $s->platform_token,
    json => { status => 'suspended' } });
wait_for { sign_in($acme->{token})->{status} == 403 } 3, 'suspension';
is sign_in($acme->{token})->{json}{code}, 'tenant_suspended',
    'nobody comes in to a suspended tenant';

# the store has the proof, which is of no use without the cookie; logs have none
is index($s->access_log . $s->error_log, $in->{json}{csrf}), -1,
    'no log has what proves a change';

done_testing;
