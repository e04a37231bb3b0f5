# vmops_principal: who asks is what nginx' variables say, and nothing else; with
# auth_request, after it.
# tags: asan

use strict;
use warnings;

use VMOps;

my $s = VMOps->stack;
my ($acme, $globex) = map { $s->tenant($_) } qw(acme globex);
my $port = $s->port;

# a location of its own, by a rewrite: /ws/vars/... is /api/v1/... inside
$s->add_server_conf(<<"EOT");
location /ws/vars/ {
    rewrite ^/ws/vars/(.*)\$ /api/v1/\$1 break;
    vmops_api;
    vmops_principal tenant=\$http_x_tenant subject=\$http_x_subject
                    role=\$http_x_role;
    if (\$http_x_if) { set \$x 1; }
    limit_except GET HEAD POST { deny 192.0.2.1; }
}
location = /ws/who { internal; proxy_pass http://127.0.0.1:$port/ws/identity;
                     proxy_pass_request_body off; }
location = /ws/identity {
    add_header X-Tenant \$http_x_tenant;
    add_header X-Subject login:7;
    add_header X-Role viewer;
    if (\$http_x_tenant = "") { return 401; }
    return 200;
}
location /ws/login/ {
    auth_request     /ws/who;
    auth_request_set \$who_tenant  \$upstream_http_x_tenant;
    auth_request_set \$who_subject \$upstream_http_x_subject;
    auth_request_set \$who_role    \$upstream_http_x_role;
    rewrite ^/ws/login/(.*)\$ /api/v1/\$1 break;
    vmops_api;
    vmops_principal tenant=\$who_tenant subject=\$who_subject role=\$who_role;
}
EOT

sub ask {
    my ($method, $path, $tenant, $subject, $role, %opt) = @_;
    my %headers = (
        (defined $tenant ? ('X-Tenant' => $tenant) : ()),
        (defined $subject ? ('X-Subject' => $subject) : ()),
        (defined $role ? ('X-Role' => $role) : ()), %{ $opt{headers} // {} });
    return $s->rest($method, "/ws/vars$path",
                    { headers => \%headers,
                      $opt{json} ? (json => $opt{json}) : () });
}

is ask(GET => '/vms', 'acme', 'user:1', 'viewer')->{status}, 200, 'a viewer';
for my $method (qw(GET OPTIONS)) {
    for my $inside ({}, { 'X-If' => 1 }) {
        my $as = join ' ', $method, %$inside;
        isnt ask($method, '/vms', 'acme', 'user:1', 'viewer', headers => $inside)
            ->{status}, 401, "$as: as the location says, also inside of it";
        is ask($method, '/vms', undef, undef, undef, headers => { %$inside,
            Authorization => "Bearer $acme->{token}" })->{status}, 401,
            "$as: and in no other way";
    }
}
is ask(POST => '/vms', 'acme', 'user:1', 'viewer', json => {})->{status}, 403,
    'may not make a VM';
is ask(POST => '/vms', 'acme', 'user:1', 'owner', json => {})->{status}, 422,
    'an owner may';
my $r = ask(POST => '/agents/pairings', 'acme', 'user:1', 'owner', json => {});
is $r->{status}, 201, 'and pairs';
is +(grep { $_ eq 'user:1' } map { $s->redis('HGET',
    "tenants/{acme}/pairings/$r->{json}{pairing_id}", $_) } 'created_by')[0],
    'user:1', 'under that name';
is ask(GET => "/agents/pairings/$r->{json}{pairing_id}", 'globex', 'user:1',
       'owner')->{status}, 404, 'in that tenant only';

for my $bad ([undef, 'u', 'viewer'], ['acme', undef, 'viewer'],
             ['acme', 'u', undef], ['', 'u', 'viewer'], ['acme', 'u', 'root'],
             ['acme', 'u', 'platform_admin'], ['acme', 'u', 'Viewer'],
             ['nobody', 'u', 'viewer'], ['platform', 'u', 'owner'],
             ['ACME', 'u', 'viewer'], ['acme}', 'u', 'viewer'],
             ['acme', 'a b', 'viewer'], ['acme', 'x' x 129, 'viewer']) {
    $r = ask(GET => '/vms', @$bad);
    is "$r->{status} $r->{json}{code}", '401 unauthenticated',
        'nobody: ' . join ', ', map { $_ // 'undef' } @$bad;
}

# a token beside the variables is not looked at
$r = ask(GET => '/tokens', 'globex', 'user:2', 'viewer', headers => {
    Authorization => "Bearer $acme->{token}" });
is $r->{status}, 403, 'a token adds no right';
is ask(GET => '/vms', undef, undef, undef, headers => {
    Authorization => "Bearer $acme->{token}" })->{status}, 401,
    'nor is it enough';

# a subject's rate is its own
is ask(GET => '/license', 'acme', 'user:3', 'viewer')->{status}, 200,
    'another subject' for 1 .. 3;
is $s->redis('EXISTS', 'tenants/{acme}/rate/requests:var:user:3'), 1,
    'has its own count';

# suspension
$s->rest(PATCH => '/admin/tenants/globex', {
    token => $s->platform_token, json => { status => 'suspended' } });
wait_for { ask(GET => '/vms', 'globex', 'user:2', 'viewer')->{status} == 403 }
    2, 'suspension';
pass 'a suspended tenant is refused';

# behind auth_request
$r = $s->rest(GET => '/ws/login/vms', { headers => { 'X-Tenant' => 'acme' } });
is $r->{status}, 200, 'auth_request says who it is';
$r = $s->rest(POST => '/ws/login/agents/pairings', {
    headers => { 'X-Tenant' => 'acme' }, json => {} });
is "$r->{status} $r->{json}{code}", '403 forbidden', 'and as what';
$r = $s->rest(GET => '/ws/login/vms');
is "$r->{status} $r->{json}{code}", '401 unauthenticated', 'or that it is nobody';

done_testing;
