# Acceptance 10: the legacy path is closed to an ordinary user of a tenant, open
# to the platform's administrator; nothing of a refused request reaches it.

use strict;
use warnings;

use VMOps;
use VMOps::Backend qw(plain);
use VMOps::Legacy;

my $l = VMOps::Legacy->new(sub {
    [plain('{"host":"pve1","password":"hunter22","tinyFmPassword":"hunter22"}')];
}, workers => 2);
my ($s, $backend) = ($l->stack, $l->backend);

my $t = $s->tenant('acme');
my %user = (owner => $t->{token});
for my $role (qw(viewer operator)) {
    my $made = $s->rest(POST => '/tokens', { token => $t->{token},
        json => { name => $role, role => $role } });
    $user{$role} = canary("a $role", $made->{json}{token});
}

# closed, whoever in the tenant asks, however
for my $role (sort keys %user) {
    for my $method (qw(GET HEAD POST PUT PATCH DELETE OPTIONS)) {
        my $r = $s->rest($method, '/infra/settings', {
            token => $user{$role}, $method =~ /^P/ ? (json => {}) : () });
        is $r->{status}, 403, "$role: $method";
        is $r->{json}{code}, 'forbidden', 'is forbidden' if $method ne 'HEAD';
        like $r->{headers}{deprecation}, qr/^\@\d+$/, 'and is told why';
    }
}
for my $nobody (undef, 'x', "vmo_acme_" . 'a' x 49) {
    my $r = $s->rest(GET => '/infra/settings', {
        defined $nobody ? (token => $nobody) : () });
    is "$r->{status} $r->{json}{code}", '401 unauthenticated', 'nobody';
}
for my $path ('/infra/../infra/x', '/infra/%2e%2e/infra/x', '//infra/x',
              '/%69nfra/x', '/infra/') {
    is $s->rest(GET => $path, { token => $t->{token} })->{status}, 403,
        "however it is written: $path";
}
is scalar($backend->requests), 0, 'the backend has seen nothing of it';

# and open to the administrator, masked
my $r = $s->rest(GET => '/infra/settings', { token => $s->platform_token });
is $r->{status}, 200, 'the administrator';
is_deeply $r->{json}, { host => 'pve1', password => '[redacted]',
                        tinyFmPassword => '[redacted]' }, 'sees no secret';
is_deeply [map { "$_->{method} $_->{path}" } $backend->requests],
    ['GET /api/v1/infra/settings'], 'the backend was asked once';

done_testing;
