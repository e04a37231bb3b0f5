#!/usr/bin/perl

# TLS: by name and by address; another CA and another name are refused.
# tags: asan

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use VMOps::RedisClient;

my $t = VMOps::RedisClient->new;
my $dir = $t->dir;
my $port = VMOps::RedisClient::free_port();

sub openssl {
    system("openssl @_ >>'$dir/openssl.log' 2>&1") == 0
        or die $t->slurp('openssl.log');
    return;
}

for my $ca (qw(ca other)) {
    openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
            "-days 2 -subj /CN=$ca -keyout $dir/$ca.key -out $dir/$ca.crt");
}

open my $f, '>', "$dir/ext" or die $!;
print $f "subjectAltName=DNS:redis.test,IP:127.0.0.1\n";
close $f;

openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x",
        "-keyout $dir/redis.key -out $dir/redis.csr");
openssl("x509 -req -in $dir/redis.csr -CA $dir/ca.crt -CAkey $dir/ca.key",
        "-CAcreateserial -days 2 -extfile $dir/ext -out $dir/redis.crt");

$t->redis_start('redis', '--tls-port', $port, '--bind', '127.0.0.1',
                '--tls-cert-file', "$dir/redis.crt",
                '--tls-key-file', "$dir/redis.key",
                '--tls-ca-cert-file', "$dir/ca.crt",
                '--tls-auth-clients', 'no');

$t->nginx_start(server => "127.0.0.1:$port tls ca_file=$dir/ca.crt"
                          . " name=redis.test");
ok($t->ready, 'by name');

my $r = $t->fields('/pipe', 'n=10000', 'a=ECHO');
is("$r->{ok} $r->{disorder}", '10000 0', 'pipeline');
diag("10000 calls by TLS: $r->{ms} ms");

$r = $t->fields('/pipe', 'n=200', 'size=50000', 'a=ECHO');
is("$r->{ok} $r->{disorder}", '200 0', 'long commands');

is(scalar $t->get('/subscribe', 'id=0', 'a=c'), "200 \n", 'subscriber');
ok($t->wait_for(5, sub { $t->get('/events', 'id=0') =~ /state 1/ }),
   'by TLS, too');


$t->reload("127.0.0.1:$port tls ca_file=$dir/ca.crt");
ok($t->ready, 'by address');

# another CA

$t->reload("127.0.0.1:$port tls ca_file=$dir/other.crt");
ok($t->wait_for(5, sub { $t->log =~ /TLS handshake failed: [a-z]/ }),
   'is refused');
ok(!$t->fields('/stat')->{ready}, 'not ready');
like($t->log, qr/TLS handshake failed: self-signed certificate/,
     'and told why');

# another name

$t->reload("127.0.0.1:$port tls ca_file=$dir/ca.crt name=evil.test");
ok($t->wait_for(5, sub { $t->log =~ /handshake failed: hostname mismatch/ }),
   'is refused');
ok(!$t->fields('/stat')->{ready}, 'not ready');

# the system's CAs

$t->reload("127.0.0.1:$port tls");
ok($t->wait_for(5, sub {
    my @all = $t->log =~ /handshake failed: self-signed certificate/g;
    return @all > 1;
}), 'do not know it');
ok(!$t->fields('/stat')->{ready}, 'not ready');

# no TLS where it is spoken

$t->reload("127.0.0.1:$port");
ok($t->wait_for(5, sub { $t->log =~ /redis: connection closed/ }),
   'is refused by the server');

$t->done;
