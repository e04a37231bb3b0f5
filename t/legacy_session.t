# The console's session on the legacy path: a change needs its proof there, too,
# and neither cookie nor proof reaches the backend.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Backend qw(plain);
use VMOps::Legacy;

my $l = VMOps::Legacy->new(sub { [plain('{"a":1}')] });
my ($s, $backend) = ($l->stack, $l->backend);
my $t = $s->tenant('acme');
$s->rest(PUT => '/admin/tenants/acme/flags', { token => $s->platform_token,
    json => { INFRA_LEGACY_ADMIN_ONLY => JSON::PP::false } });

my $in = $s->rest(POST => '/session', { json => { token => $t->{token} } });
is $in->{status}, 201, 'signed in';
my ($cookie) = $in->{headers}{'set-cookie'} =~ /^([^;]+)/;
canary('the cookie', $cookie =~ s/.*\.//r);
my %proof = ('Sec-Fetch-Site' => 'same-origin',
             'X-CSRF-Token' => $in->{json}{csrf});

sub ask {
    my ($method, %headers) = @_;
    my $r = $s->rest($method, '/infra/a', {
        headers => { Cookie => "old=1; $cookie", %headers },
        $method eq 'POST' ? (json => { a => 1 }) : () });
    return "$r->{status} " . ($r->{json}{code} // '');
}

is ask('GET'), '200 ', 'a session reads';
is ask('POST'), '403 csrf', 'a change without its proof';
is ask('POST', %proof, 'X-CSRF-Token' => 'x'), '403 csrf', 'with a wrong one';
is ask('POST', %proof), '200 ', 'with it';
my @seen = $backend->requests;
is_deeply [map { $_->{method} } @seen], [qw(GET POST)], 'what came through';
for my $seen (@seen) {
    is $seen->{headers}{cookie}, 'old=1', 'without the session';
    ok !exists $seen->{headers}{'x-csrf-token'}, 'and its proof';
    is $seen->{headers}{'x-vmops-tenant'}, 'acme', 'but with its tenant';
}

done_testing;
