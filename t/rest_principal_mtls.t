# A client certificate as the login: who it names is the principal; one of
# another authority, or none, is nobody.
# tags: asan

use strict;
use warnings;

use IO::Socket::SSL;
use IO::Socket::SSL::Utils;
use JSON::PP;

use VMOps;

my $s = VMOps->stack(tls => 1);
$s->tenant($_) for qw(acme globex);
my $dir = $s->dir . '/tls';

# certificates: an authority for clients, and one that nobody trusts
my %issuer;
for my $ca (qw(ours theirs)) {
    my ($cert, $key) = CERT_create(CA => 1, subject => { CN => "$ca CA" });
    $issuer{$ca} = [$cert, $key];
    PEM_cert2file($cert, "$dir/clients-$ca.crt");
}
my $serial = 1;
sub certificate {
    my ($name, $ca, %over) = @_;
    my ($cert, $key) = CERT_create(
        issuer => $issuer{$ca}, serial => ++$serial,
        subject => { O => 'acme', OU => 'operator', CN => $name }, %over);
    PEM_cert2file($cert, "$dir/$name.crt");
    PEM_key2file($key, "$dir/$name.key");
    return $name;
}

# of the certificate's subject: O the tenant, OU the role, CN the person
my $http = $s->node->{conf} =~ s/nginx\.conf$/http.d\/people.conf/r;
open my $conf, '>', $http or die "$http: $!";
print $conf <<'EOT';
map "$ssl_client_verify $ssl_client_s_dn" $by_tenant {
    "~^SUCCESS (?:.*,)?O=(?<o>[^,]+)(?:,|$)"   $o;
}
map "$ssl_client_verify $ssl_client_s_dn" $by_role {
    "~^SUCCESS (?:.*,)?OU=(?<ou>[^,]+)(?:,|$)" $ou;
}
map "$ssl_client_verify $ssl_client_s_dn" $by_name {
    "~^SUCCESS (?:.*,)?CN=(?<cn>[^,]+)(?:,|$)" $cn;
}
EOT
close $conf or die "$http: $!";
$s->add_server_conf(<<"EOT");
ssl_client_certificate $dir/clients-ours.crt;
ssl_verify_client      optional;
location /ws/cert/ {
    rewrite ^/ws/cert/(.*)\$ /api/v1/\$1 break;
    vmops_api;
    vmops_principal tenant=\$by_tenant subject=\$by_name role=\$by_role;
}
EOT

sub as {
    my ($name, $method, $path, $body) = @_;
    my $sock = IO::Socket::SSL->new(
        PeerAddr => '127.0.0.1', PeerPort => $s->port, Timeout => 5,
        SSL_ca_file => $s->info->{ca_file}, SSL_verifycn_name => 'localhost',
        $name ? (SSL_cert_file => "$dir/$name.crt",
                 SSL_key_file => "$dir/$name.key") : ())
        or die "TLS: $SSL_ERROR";
    my $json = $body ? encode_json($body) : '';
    print $sock "$method /ws/cert$path HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        . "Connection: close\r\n" . ($body ? "Content-Type: application/json\r\n"
        . 'Content-Length: ' . length($json) . "\r\n" : '') . "\r\n$json";
    my $answer = do { local $/; <$sock> } // '';
    my ($status) = $answer =~ /^HTTP\/1.1 (\d+)/;
    my ($text) = $answer =~ /\r\n\r\n(.*)/s;
    my $got = eval { decode_json($text) } // {};
    return ("$status " . ($got->{code} // ''), $got);
}

certificate('dora', 'ours');
certificate('emil', 'ours', subject => { O => 'globex', OU => 'viewer',
                                         CN => 'emil' });
certificate('fritz', 'theirs');
certificate('greta', 'ours', subject => { O => 'acme', OU => 'root',
                                          CN => 'greta' });
certificate('hans', 'ours', not_after => time - 60, not_before => time - 3600);

my ($status, $who) = as('dora', GET => '/session');
is $status, '200 ', 'a certificate of ours';
is_deeply [@$who{qw(tenant subject role csrf)}],
    ['acme', 'dora', 'operator', undef], 'says who it is';
is((as('dora', GET => '/vms'))[0], '200 ', 'an operator reads');
is((as('dora', POST => '/vms', {}))[0], '403 forbidden', 'and registers no VM');
is((as('emil', GET => '/session'))[1]{tenant}, 'globex', 'another tenant\'s');
is((as(undef, GET => '/vms'))[0], '401 unauthenticated', 'without one: nobody');
is((as('greta', GET => '/vms'))[0], '401 unauthenticated', 'of no known role');
like((as($_, GET => '/vms'))[0], qr/^400 /, "nginx refuses $_ itself")
    for qw(fritz hans);

done_testing;
