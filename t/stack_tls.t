#!/usr/bin/perl

# --tls: a certificate for 127.0.0.1 and localhost by a private CA, whose key
# is not kept; nothing older than TLS 1.2; plain HTTP is no way in.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::SSL qw(SSL_VERIFY_PEER);

use lib 't/lib';
use VMOps;

my $s = VMOps->stack(tls => 1);
my $ca = $s->info->{ca_file};
like($s->url, qr{^https://127\.0\.0\.1:\d+$}, 'the URL is https');
like($s->ws_url, qr{^wss://}, "the agents' is wss");
is($s->rest(GET => '/readyz')->{status}, 200, 'ready, by the CA file');

sub tls {
    my (%opt) = @_;
    return IO::Socket::SSL->new(
        PeerAddr => '127.0.0.1', PeerPort => $s->port, Timeout => 5,
        SSL_verify_mode => SSL_VERIFY_PEER, SSL_ca_file => $ca,
        SSL_verifycn_scheme => 'http', SSL_verifycn_name => 'localhost', %opt);
}

ok(tls(), 'localhost is verified');
ok(tls(SSL_verifycn_name => '127.0.0.1'), '127.0.0.1 is verified');
ok(!tls(SSL_verifycn_name => 'example.org'), 'another name is not');
ok(!tls(SSL_ca_file => undef, SSL_ca_path => tempdir(CLEANUP => 1)),
   'without the CA file it is not trusted');
for my $version ('TLSv1_2', 'TLSv1_3') {
    my $sock = tls(SSL_version => $version);
    is($sock && $sock->get_sslversion, $version, "$version");
}
ok(!tls(SSL_version => 'TLSv1_1', SSL_cipher_list => 'ALL:@SECLEVEL=0'),
   'no TLS 1.1');

is_deeply([grep { /ca\.key/ } glob($s->dir . '/tls/*')], [],
          "the CA's key is not kept");
is($s->rest(GET => '/../', { })->{status}, 404, 'TLS: 404 for a page of nobody');

my $plain = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                  PeerPort => $s->port, Timeout => 5);
print $plain "GET /readyz HTTP/1.0\r\n\r\n";
my $in = do { local $/; <$plain> };
like($in, qr{^HTTP/1\.1 400 }, 'plain HTTP: 400');
like($in, qr{"code":"https_required"}, 'which says why');
my $mute = tls();
print $mute "GET\r\n\r\n";
like(do { local $/; <$mute> }, qr{"code":"bad_request"},
     'a broken request by TLS is none of these');

done_testing;
