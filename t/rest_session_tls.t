# Over HTTPS the console's cookie is __Host-vmops, for this host and HTTPS only;
# also where TLS ends before nginx, as vmops_public_url says.
# tags: asan

use strict;
use warnings;

use VMOps;

sub sign_in {
    my ($s, $token, $path) = @_;
    my $r = $s->rest(POST => $path // '/session', { json => { token => $token } });
    ($r->{cookie}) = ($r->{headers}{'set-cookie'} // '') =~ /^([^;]+)/;
    canary("cookie of $s->{dir} " . ($path // ''), $r->{cookie} =~ s/.*\.//r);
    return $r;
}

my $tls = VMOps->stack(tls => 1);
my $acme = $tls->tenant('acme');
my $in = sign_in($tls, $acme->{token});
like $in->{headers}{'set-cookie'}, qr{^__Host-vmops=acme\.[0-9A-Za-z]{43};
    \ Path=/;\ Secure;\ HttpOnly;\ SameSite=Strict$}x, 'over TLS: bound to it';
is $tls->rest(GET => '/session', { headers => { Cookie => $in->{cookie} } })
    ->{status}, 200, 'it works';
is $tls->rest(GET => '/session', { headers => {
    Cookie => $in->{cookie} =~ s/^__Host-//r } })->{status}, 401,
    'not under the name that any page of this machine could set';
my %proof = (Cookie => $in->{cookie}, 'X-CSRF-Token' => $in->{json}{csrf});
is $tls->rest(POST => '/vms', { json => {}, headers => {
    %proof, Origin => $tls->url } })->{status}, 422, 'its own origin';
is $tls->rest(POST => '/vms', { json => {}, headers => {
    %proof, Origin => $tls->url =~ s/^https/http/r } })->{status}, 403,
    'is not that without TLS';

my $plain = VMOps->stack;
$acme = $plain->tenant('acme');
$plain->add_server_conf(<<'EOT');
location /ws/behind/ {
    rewrite ^/ws/behind/(.*)$ /api/v1/$1 break;
    vmops_api;
    vmops_public_url https://vmops.example;
}
EOT
$in = sign_in($plain, $acme->{token}, '/ws/behind/session');
like $in->{headers}{'set-cookie'}, qr/^__Host-vmops=.*; Secure;/,
    'behind a proxy that ends TLS';
is $in->{headers}{location}, 'https://vmops.example/api/v1/session',
    'where the world sees it';
%proof = (Cookie => $in->{cookie}, 'X-CSRF-Token' => $in->{json}{csrf});
is $plain->rest(POST => '/ws/behind/vms', { json => {}, headers => {
    %proof, Origin => 'https://vmops.example' } })->{status}, 422,
    'the origin is the public one';
is $plain->rest(POST => '/ws/behind/vms', { json => {}, headers => {
    %proof, Origin => $plain->url } })->{status}, 403, 'and no other';

done_testing;
