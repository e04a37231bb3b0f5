#!/usr/bin/perl

# The function library is checked before the client is ready: a missing or
# older one is told once and waited for.  With the rights of users.acl only.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use VMOps::RedisClient;

my $t = VMOps::RedisClient->new;
$t->redis_start('redis');
my $options = $t->redis_acl;

$t->nginx_start(server => $options, http => 'redis_test_library 1.0;');
ok($t->wait_for(5, sub {
    $t->log =~ /the function library is missing or too old: ERR/
}), 'no library');
is(scalar $t->get('/call', 'a=PING'), "503 refused\n", 'not ready');

is($t->redis('FUNCTION', 'LOAD', $t->library), 'vmops_1', 'loaded');
ok($t->ready, 'ready by itself');
is($t->fields('/stat')->{downs}, 0, 'it never was before');

my @lines = $t->log =~ /(function library is missing)/g;
is(scalar @lines, 1, 'told once');

# a user who may not call it

$t->redis('ACL', 'SETUSER', 'vmops', '-fcall_ro');
$t->reload($options, 'redis_test_library 1.0;');
ok($t->wait_for(5, sub {
    $t->log =~ /this Redis user may not call the function library: NOPERM/
}), 'no rights');
ok(!$t->fields('/stat')->{ready}, 'not ready');
@lines = $t->log =~ /(function library is missing)/g;
is(scalar @lines, 1, 'the library is not what is missing');
$t->redis('ACL', 'SETUSER', 'vmops', '+fcall_ro');
ok($t->ready, 'and comes back by itself');

# another version is wanted

for my $want ('1.999', '2.0') {
    my $before = () = $t->log =~ /too old: 1\.\d+/g;
    $t->reload($options, "redis_test_library $want;");
    ok($t->wait_for(5, sub {
        my $now = () = $t->log =~ /too old: 1\.\d+/g;
        return $now > $before;
    }), "$want is wanted");
    ok(!$t->fields('/stat')->{ready}, 'not ready');
}

# whoever can load a library can have it say what it likes, not in the log

is($t->redis('FUNCTION', 'LOAD', 'REPLACE', <<'EOT'), 'vmops_1', 'another one');
#!lua name=vmops_1
redis.register_function{function_name='vmops_version', flags={'no-writes'},
    callback=function() return {'OK', '1.0\n2026/01/01 [emerg] x'} end}
EOT
$t->reload($options, 'redis_test_library 1.0;');
ok($t->wait_for(5, sub { $t->log =~ /too old: unknown version/ }),
   'what is no version is not told');
unlike($t->log, qr/\[emerg\]/, 'nor written as a line');

$t->done;
