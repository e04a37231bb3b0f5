# The order of refusals: who it is, how much, whether one may, the form, and
# only then the call's own.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::WSAgent;

my $s = VMOps->stack;
my $t = $s->tenant('acme');
my @owner = (token => $t->{token});

sub token_of {
    my ($role) = @_;
    my $r = $s->rest(POST => '/tokens',
                     { @owner, json => { name => $role, role => $role } });
    return canary("token of a $role", $r->{json}{token});
}

sub refused {
    my ($what, $r, $status, $code, @field) = @_;
    is $r->{status}, $status, "$what: $status";
    is $r->{headers}{'content-type'}, 'application/problem+json',
        "$what: a problem";
    is_deeply [@{ $r->{json} }{qw(status code)}], [$status, $code],
        "$what: $code";
    is $r->{json}{instance}, $r->{headers}{'x-request-id'},
        "$what: with its request's id";
    is_deeply [map { @$_{qw(pointer code)} } @{ $r->{json}{errors} // [] }],
        \@field, "$what: the field at fault";
    return $r;
}

my ($viewer, $operator) = map { token_of($_) } qw(viewer operator);
my $bad = '{"name":';

# 401 comes before everything
my $r = refused('nobody, an unknown route', $s->rest(GET => '/nothing'), 401,
                'unauthenticated');
is $r->{headers}{'www-authenticate'}, 'Bearer', 'and how to say who one is';
refused('nobody, broken JSON', $s->rest(POST => '/vms', {
    body => $bad, headers => { 'Content-Type' => 'text/plain' } }), 401,
    'unauthenticated');
(my $other = $t->{token}) =~ s/(.)(?=.{6}$)/$1 eq 'x' ? 'y' : 'x'/e;
for my $wrong ($other, 'vmo_acme_short', "$t->{token}x", 'x' x 300) {
    refused('a wrong token', $s->rest(GET => '/vms', { token => $wrong }), 401,
            'unauthenticated');
}
refused('another scheme', $s->rest(GET => '/vms', {
    headers => { Authorization => "Basic $t->{token}" } }), 401,
    'unauthenticated');

# 403 before the form
refused('a viewer, broken JSON', $s->rest(POST => '/vms', {
    token => $viewer, body => $bad,
    headers => { 'Content-Type' => 'text/plain' } }), 403, 'forbidden');
refused('an operator, an owner\'s call', $s->rest(POST => '/tokens', {
    token => $operator, json => {} }), 403, 'forbidden');
refused('a viewer, an operator\'s call', $s->rest(
    POST => '/vm-ops/proxmox/start', { token => $viewer, json => {} }), 403,
    'forbidden');
refused('an owner, an administrator\'s call',
        $s->rest(GET => '/admin/tenants', { @owner }), 403, 'forbidden');
refused('an administrator, a tenant\'s call',
        $s->rest(GET => '/vms', { token => $s->platform_token }), 403,
        'forbidden');
refused('an owner, an agent\'s call', $s->rest(POST => '/secrets', {
    @owner, json => {} }), 403, 'forbidden');

# routes
refused('an unknown route', $s->rest(GET => '/nothing', { @owner }), 404,
        'not_found');
refused('an id that is none', $s->rest(GET => '/vms/1', { @owner }), 404,
        'not_found');
for my $id ('1', '01890000-0000-7000-8000-00000000000G', 'start') {
    refused("$_ of a command that is none", $s->rest($_ => "/vm-ops/commands/$id",
            { @owner }), 404, 'not_found') for qw(GET POST);
}
$r = refused('an action, by GET', $s->rest(GET => '/vm-ops/proxmox/start',
             { @owner }), 405, 'method_not_allowed');
is $r->{headers}{allow}, 'POST', 'is for POST';
$r = refused('another method', $s->rest(PUT => '/vms', { @owner, json => {} }),
             405, 'method_not_allowed');
is $r->{headers}{allow}, 'GET, HEAD, POST', 'and those that there are';


# what nginx refuses by itself, before there is a location
for (['/vms', 'GET, HEAD, POST'], ['/vm-ops/proxmox/start', 'POST'],
     ['/settings/infra', 'GET, HEAD, PUT'], ['/nothing', 'GET'],
     ['/healthz', 'GET, HEAD'], [VMOps::WSAgent::PATH, 'GET']) {
    my ($path, $allow) = @$_;
    $r = refused("TRACE $path", $s->rest(TRACE => $path, { @owner }), 405,
                 'method_not_allowed');
    is $r->{headers}{allow}, $allow, 'and says what is not';
}
for my $method (qw(OPTIONS PROPFIND FROBNICATE)) {
    $r = refused($method, $s->rest($method => '/vms', { @owner }), 405,
                 'method_not_allowed');
    is $r->{headers}{allow}, 'GET, HEAD, POST', 'and says what is not';
    is $s->rest($method => '/vms')->{status}, 401, 'once it knows who asks';
}

# the form
refused('no JSON type', $s->rest(POST => '/vms', {
    @owner, body => $bad, headers => { 'Content-Type' => 'text/plain' } }),
    415, 'unsupported_media_type');
refused('a content coding', $s->rest(POST => '/vms', {
    @owner, body => '{}', headers => { 'Content-Type' => 'application/json',
                                       'Content-Encoding' => 'gzip' } }), 415,
    'unsupported_media_type');
refused('too large', $s->rest(POST => '/vms', {
    @owner, body => '{"name":"' . 'x' x 65536 . '"}',
    headers => { 'Content-Type' => 'application/json' } }), 413,
    'body_too_large');
refused('broken JSON', $s->rest(POST => '/vms', {
    @owner, body => $bad, headers => { 'Content-Type' => 'application/json' }
    }), 400, 'invalid_json');
my %vm = (name => 'web', agent_id => undef, guest => 'qemu', node => 'pve1',
          vmid => 100);
refused('an unknown member', $s->rest(POST => '/vms', {
    @owner, json => { %vm, vmid => 1, 'a/b~' => 1 } }), 422, 'invalid_params',
    '/a~1b~0', 'unknown_field');
refused('a value out of range', $s->rest(POST => '/vms', {
    @owner, json => { %vm, vmid => 1 } }), 422, 'invalid_params', '/vmid',
    'range');
refused('a member that is missing', $s->rest(POST => '/vms', {
    @owner, json => { %vm{qw(name guest node vmid)} } }), 422,
    'invalid_params', '/agent_id', 'required');

# the call's own
refused('an agent that is not there', $s->rest(POST => '/vms', {
    @owner, json => { %vm, agent_id => '01890000-0000-7000-8000-000000000000' }
    }), 404, 'not_found', '/agent_id', 'unknown');
is $s->rest(POST => '/vms', { @owner, json => \%vm })->{status}, 201,
    'and what is right is done';

# suspension is a 403 like a role's
is $s->rest(PATCH => '/admin/tenants/acme', {
    token => $s->platform_token, json => { status => 'suspended' } })->{status},
    200, 'the tenant is suspended';
wait_for { $s->rest(GET => '/vms', { @owner })->{status} == 403 } 2,
    'suspension';
refused('suspended, an unknown route', $s->rest(GET => '/nothing', { @owner }),
        403, 'tenant_suspended');
refused('suspended, a wrong token', $s->rest(GET => '/vms', {
    token => $other }), 401, 'unauthenticated');

done_testing;
