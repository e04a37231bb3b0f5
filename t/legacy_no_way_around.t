# No way around vmops_legacy: conditions and locations inside of its location,
# subrequests, an agent's signature, a store that is away; and a login of one's
# own in front of it.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Backend qw(plain);
use VMOps::Legacy;
use VMOps::WSAgent;

my $l = VMOps::Legacy->new(sub { [plain('{"a":1}')] });
my ($s, $backend) = ($l->stack, $l->backend);
my $t = $s->tenant('acme');
my $top = VMOps::top();
my $dates = 'deprecated=2026-01-01T00:00:00Z sunset=2027-01-01T00:00:00Z';

open my $fh, '>', $s->dir . '/page.html' or die;
print $fh 'begin <!--# include virtual="/api/v1/infra/a" --> end';
close $fh or die;
$s->add_server_conf(<<"EOT");
include $top/conf/legacy.conf;
location /ws/legacy/ {
    vmops_legacy $dates;
    if (\$arg_if) { set \$y 1; }
    proxy_pass http://vmops_legacy;
    location /ws/legacy/inner/ { proxy_pass http://vmops_legacy; }
    location ~ \\.php\$ { proxy_pass http://vmops_legacy; }
    limit_except GET { allow all; }
}
location /ws/pages/ { ssi on; alias ${\$s->dir}/; }
location = /ws/who  { internal; return 200; }
location /ws/login/ {
    auth_request /ws/who;
    vmops_legacy $dates;
    vmops_principal tenant=\$http_x_tenant subject=user:1 role=\$http_x_role;
    proxy_pass http://vmops_legacy;
}
EOT

my @as = (token => $t->{token});
for my $path (qw(/ws/legacy/a /ws/legacy/a?if=1 /ws/legacy/inner/a
                 /ws/legacy/a.php)) {
    is $s->rest(GET => $path, { @as })->{status}, 403, "closed: $path";
    is $s->rest(GET => $path)->{status}, 401, "nobody: $path";
    is $s->rest(POST => $path, { @as, json => {} })->{status}, 403, "POST $path";
}
is $s->rest(GET => '/infra')->{json}{code}, 'unauthenticated', 'without its slash';
is $s->rest(GET => '/infra', { @as })->{json}{code}, 'not_found',
    'it is nothing, and leads nowhere';
my $page = $s->rest(GET => '/ws/pages/page.html', { token => $s->platform_token });
like $page->{body}, qr/^begin .* end$/s, 'a page';
unlike $page->{body}, qr/"a":1/, 'cannot include any of it';
is $s->rest(GET => '/ws/login/a', { headers => {
    'X-Tenant' => 'acme', 'X-Role' => 'owner' } })->{status}, 403,
    'behind a login of one\'s own: closed';
is $s->rest(GET => '/ws/login/a', { headers => {
    'X-Tenant' => 'acme', 'X-Role' => 'platform_admin' } })->{status}, 401,
    'nobody is an administrator that way';

# an agent: its signature is right, and it has no business here
my $pairing = $s->rest(POST => '/agents/pairings', { @as,
    json => { auto_approve => JSON::PP::true } })->{json};
my $agent = VMOps::WSAgent->new;
$agent->pair(sub { $s->rest(@_) }, $pairing->{code});
my $r = $agent->signed(sub { $s->rest(@_) }, $s->url, '/api/v1/infra/a', {});
is "$r->{status} $r->{json}{code}", '403 forbidden', 'an agent: closed';
$r = $agent->signed(sub { $s->rest(@_) }, 'http://other', '/api/v1/infra/a', {});
is $r->{status}, 401, 'one whose signature is wrong';

is scalar($backend->requests), 0, 'the backend has seen nothing of all that';

# the control: the same ways are open to who may
$s->rest(PUT => '/admin/tenants/acme/flags', { token => $s->platform_token,
    json => { INFRA_LEGACY_ADMIN_ONLY => JSON::PP::false } });
is $s->rest(GET => $_, { @as })->{status}, 200, "open: $_"
    for qw(/ws/legacy/a?if=1 /ws/legacy/inner/a /ws/legacy/a.php);
is $s->rest(GET => '/ws/login/a', { headers => {
    'X-Tenant' => 'acme', 'X-Role' => 'viewer' } })->{status}, 200, 'and a login';
my @seen = $backend->requests;
is scalar @seen, 4, 'now it has';
is $seen[3]{headers}{'x-vmops-subject'}, 'user:1', 'by that name';

# nobody can be asked
kill KILL => $s->redis_pid;
wait_for { $s->rest(GET => '/vms', { @as })->{status} == 503 } 10, 'no store';
$r = $s->rest(GET => '/infra/a', { @as });
is "$r->{status} $r->{json}{code}", '503 store_unavailable', 'without a store';
is scalar($backend->requests), 0, 'it is closed';

done_testing;
