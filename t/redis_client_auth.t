#!/usr/bin/perl

# AUTH of an ACL user over TCP; wrong credentials are told clearly, without the
# password; a revoked user is noticed.
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
my ($good, $bad) = ('S3cret-of-the-test', 'Wr0ng-of-the-test');

sub secret {
    my ($name, $text) = @_;
    open my $f, '>', "$dir/$name" or die $!;
    chmod 0600, $f;
    print $f $text;
    close $f;
    return;
}

secret('good', "$good\n");
secret('bad', $bad);

$t->redis_start('redis', '--bind', '127.0.0.1', '--port', $port);
$t->redis('ACL', 'SETUSER', 'vm', 'on', ">$good", '~*', '&*', '+@all');
$t->redis('ACL', 'SETUSER', 'other', 'on', 'nopass', '~*', '&*', '+@all');

$t->nginx_start(server => "127.0.0.1:$port user=vm password_file=good");
ok($t->ready, 'ready');
is(scalar $t->get('/call', 'a=ACL', 'a=WHOAMI'), "200 \$vm\n\n",
   'as the user');

# the user goes: Redis ends its connections

$t->redis('ACL', 'SETUSER', 'vm', 'off');
$t->redis('CLIENT', 'KILL', 'USER', 'vm');
ok($t->wait_for(5, sub { $t->log =~ /authentication failed: WRONGPASS/ }),
   'a user that is off is told');
is(scalar $t->get('/call', 'a=PING'), "503 refused\n", 'refused');

$t->redis('ACL', 'SETUSER', 'vm', 'on');
ok($t->ready, 'and comes back by itself');

$t->reload("127.0.0.1:$port user=vm password_file=bad");
ok($t->wait_for(5, sub {
    my @all = $t->log =~ /authentication failed: WRONGPASS/g;
    return @all > 1;
}), 'a wrong password is told');
is(scalar $t->get('/call', 'a=PING'), "503 refused\n", 'and refused');

# the default user: the password alone, and none where one is wanted

$t->redis('CONFIG', 'SET', 'requirepass', $good);
$t->reload("127.0.0.1:$port password_file=good");
ok($t->ready, 'the default user');

$t->reload("127.0.0.1:$port");
ok($t->wait_for(5, sub { $t->log =~ /authentication failed: NOAUTH/ }),
   'a missing password is told');

unlike($t->log . $t->slurp('nginx.out'), qr/\Q$good\E|\Q$bad\E/,
       'no password in a log');

$t->done;
