# The store gone, hung and back: 503 at once or within the deadline, never a
# hang, red at /readyz, and well again by itself.
# tags: asan

use strict;
use warnings;

use VMOps;

my $s = VMOps->stack(workers => 2);
my $t = $s->tenant('acme');
my @workers = $s->workers;

sub get {
    my ($path) = @_;
    return $s->rest(GET => $path, {
        token => $t->{token}, headers => { Connection => 'close' } });
}

sub unavailable {
    my ($what, $r, $ms) = @_;
    is "$r->{status} $r->{json}{code}", '503 store_unavailable', $what;
    like $r->{headers}{'retry-after'}, qr/^\d+$/, 'with when to come again';
    cmp_ok $r->{ms}, '<', $ms, "within $ms ms";
}

is get('/readyz')->{status}, 200, 'ready';
is get('/vms')->{status}, 200, 'and serving';

# hung: nobody answers
kill STOP => $s->redis_pid;
unavailable('a call that hangs', get('/vms'), 4000);
unavailable('register hangs as well', $s->rest(POST => '/agents/register', {
    json => { code => 'x', ed25519_pk => 'A' x 43, x25519_pk => 'A' x 43,
              kid => 'A' x 43, platform => 'linux', name => 'x',
              hostname => 'x', version => '1', signature => 'A' x 86 } }),
    4000);
is get('/healthz')->{status}, 200, 'the worker is alive';
wait_for { get('/readyz')->{status} == 503 } 8, '/readyz to be red';
pass 'but not ready';
kill CONT => $s->redis_pid;
wait_for { get('/vms')->{status} == 200 } 8, 'recovery';
pass 'it goes on when the store does';

# gone
my $pid = $s->redis_pid;
kill KILL => $pid;
wait_for { !kill 0 => $pid } 5, 'the store to be gone';
wait_for { get('/vms')->{status} == 503 } 5, 'the loss to be noticed';
for my $path ('/vms', '/agents', '/readyz', '/vm-ops/commands') {
    unavailable("GET $path without a store", get($path), 1000);
}
wait_for { get('/vm-ops/actions')->{status} == 503 } 3,
    'a principal that is remembered to be forgotten';
pass 'nobody can be known';
is get('/healthz')->{status}, 200, 'the worker is alive';

$s->up;
wait_for { get('/readyz')->{status} == 200 } 10, 'the store to be back';
my $well = 0;
wait_for { $well = get('/vms')->{status} == 200 ? $well + 1 : 0;
           $well == 10 } 10, 'every worker';
pass 'well again';
is_deeply [sort $s->workers], [sort @workers], 'the same workers';

done_testing;
