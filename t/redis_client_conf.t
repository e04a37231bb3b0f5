#!/usr/bin/perl

# The directive: what it refuses, and what it says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use VMOps::RedisClient;

my $t = VMOps::RedisClient->new;
my $dir = $t->dir;

sub file {
    my ($name, $mode, $text) = @_;
    open my $f, '>', "$dir/$name" or die $!;
    print $f $text;
    close $f;
    chmod $mode, "$dir/$name";
    return;
}

file('open', 0640, "x\n");
file('empty', 0600, "\n");
file('long', 0600, 'x' x 513);
file('fits', 0600, 'x' x 512);

my @cases = (
    ['unix:/tmp/x bogus', qr/invalid parameter "bogus"/],
    ['unix:/tmp/x user=', qr/invalid parameter "user="/],
    ['unix:/tmp/x user=a', qr/"user" in .* needs "password_file"/],
    ['unix:/tmp/x user=a user=b', qr/duplicate parameter "user=b"/],
    ['unix:/tmp/x ca_file=/x', qr/"ca_file" and "name" .* need "tls"/],
    ['unix:/tmp/x name=x', qr/"ca_file" and "name" .* need "tls"/],
    ['unix:/tmp/x tls', qr/does not speak TLS on a unix socket/],
    ['127.0.0.1:99999', qr/invalid port in address "127.0.0.1:99999"/],
    ['127.0.0.1/path', qr/invalid host in address/],
    ['127.0.0.1:1 tls ca_file=/none', qr/\/none.* failed|failed.*\/none/],
    ['127.0.0.1:1 password_file=none', qr/open\(\) ".*\/none" failed/],
    ['127.0.0.1:1 password_file=open', qr/must not be accessible by group/],
    ['127.0.0.1:1 password_file=empty', qr/empty" is empty/],
    ['127.0.0.1:1 password_file=long', qr/is longer than 512 bytes/],
    ['127.0.0.1:1 password_file=/', qr/is not a regular file/],
);

for my $case (@cases) {
    $t->nginx_conf(server => $case->[0]);
    like($t->nginx_check, $case->[1], $case->[0]);
}

$t->nginx_conf(http => 'redis_test_server 127.0.0.1;');
like($t->nginx_check, qr/"redis_test_server" directive is duplicate/,
     'duplicate');

for my $good ('127.0.0.1', '[::1]:6380', 'unix:/tmp/x',
              '127.0.0.1 user=a password_file=fits',
              '[::1] tls name=a.test')
{
    $t->nginx_conf(server => $good);
    like($t->nginx_check, qr/test is successful/, $good);
}

done_testing();
