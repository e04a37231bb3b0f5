#!/usr/bin/perl

# The beat: an incarnation in the store, who else lives, the flags; three
# seconds without it end the incarnation, and the next beat begins another one.
# tags: asan

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);
use VMOps::Process qw(now);
use VMOps::RedisClient;

my $t = VMOps::RedisClient->new;
$t->redis_start('redis', '--appendonly', 'yes', '--appendfsync', 'always');
my $options = $t->redis_acl;
$t->redis('FUNCTION', 'LOAD', $t->library);

sub flags_set {
    my ($cohort, @values) = @_;
    return $t->redis('FCALL', 'vmops_flags_set', 1, 'platform/{p}', $cohort,
                     'platform:test', @values)->[0];
}

is(flags_set('', AGENT_COMMAND_BUS_ENABLED => 1, SECRETS_E2E_ENABLED => 0),
   'OK', 'global flags');
is(flags_set('internal', AGENT_COMMAND_BUS_ENABLED => 0), 'OK', 'a cohort\'s');

$t->nginx_start(server => $options, http => 'redis_test_library 1.0;'
                                            . ' redis_test_beat own;');
sub beat { return $t->fields('/beat', @_) }

ok($t->wait_for(5, sub { beat()->{born} }), 'born');
my $b = beat();
like($b->{incarnation}, qr/^[0-9a-f]{32}$/, 'an incarnation');
is($b->{live}, $b->{incarnation}, 'it lives');
is($b->{fresh}, 1, 'fresh');
is("$b->{bus} $b->{e2e} $b->{legacy}", '*=1,internal=0 *=0 ', 'flags');
is($b->{cohort}, '2,1,0', 'of no cohort');
is(beat('cohort=internal')->{cohort}, '1,1,0', 'its own, else global');
is(beat('cohort=beta')->{cohort}, '2,1,0', 'one without flags');

my $ttl = $t->redis('ZSCORE', 'platform/{p}/gateways', $b->{incarnation})
          - time * 1000;
ok($ttl > 2900 && $ttl <= 4010, 'for four seconds');

flags_set('internal', AGENT_COMMAND_BUS_ENABLED => '');
my $other = 'f' x 32;
$t->redis('ZADD', 'platform/{p}/gateways', time * 1000 + 1500, $other);
ok($t->wait_for(3, sub { beat()->{live} =~ /,/ }), 'another one lives');
is(join(',', sort split /,/, beat()->{live}),
   join(',', sort $other, $b->{incarnation}), 'both');
is(beat()->{bus}, '*=1', 'a changed flag within a second');
ok($t->wait_for(4, sub { beat()->{live} !~ /,/ }), 'and dies');

# a second away is nothing

$t->redis_signal('STOP');
$t->wait_for(1.5, sub { 0 });
$t->redis_signal('CONT');
ok($t->wait_for(4, sub { beat()->{beats} > $b->{beats} + 3 }), 'goes on');
is(beat()->{incarnation}, $b->{incarnation}, 'the same incarnation');
is(beat()->{lost}, 0, 'not lost');

# the store is gone

my $beats = beat()->{beats};
$t->wait_for(3, sub { beat()->{beats} > $beats });
my $start = now;
$t->redis_kill;
ok($t->wait_for(6, sub { beat()->{lost} }), 'lost');
my $took = now - $start;
diag(sprintf 'lost %.0f ms after the kill', $took * 1000);
ok($took > 1.9 && $took < 3.7, 'three seconds after the last beat');
is(beat()->{fresh}, 0, 'not fresh');

$t->redis_restart;
$t->redis_acl;
$start = now;
ok($t->wait_for(5, sub { beat()->{born} == 2 }), 'born again');
diag(sprintf 'born %.0f ms after the store', (now - $start) * 1000);
isnt(beat()->{incarnation}, $b->{incarnation}, 'another incarnation');
like(beat()->{live}, qr/^[0-9a-f,]*\Q@{[beat()->{incarnation}]}/, 'lives');
is(beat()->{lost}, 1, 'lost once');

# a worker that only reads

$t->reload($options, 'redis_test_library 1.0; redis_test_beat read;');
ok($t->wait_for(5, sub { beat()->{born} }), 'reads');
is($t->redis('ZSCORE', 'platform/{p}/gateways', beat()->{incarnation}),
   undef, 'and has no incarnation in the store');
is(beat()->{bus}, '*=1', 'flags');
ok($t->wait_for(6, sub { beat()->{live} eq '' }), 'nobody lives any more');
is(beat()->{fresh}, 1, 'fresh');

$t->done;
