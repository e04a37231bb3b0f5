# A request with two Authorization headers is refused, and what they say is in
# no log: nginx itself would write it at a level of detail that we do not use.
# tags: asan

use strict;
use warnings;

use VMOps;

my $s = VMOps->stack;
my $t = $s->tenant('acme');
my $other = canary('another credential');

for my $pair ([$t->{token}, $other], [$other, $t->{token}],
              [$t->{token}, $t->{token}]) {
    my $sock = $s->socket;
    print $sock "GET /api/v1/vms HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
        (map { "Authorization: Bearer $_\r\n" } @$pair), "\r\n";
    my $answer = do { local $/; <$sock> };
    like $answer, qr{^HTTP/1\.1 40[01] }, 'two of them: refused';
    unlike $answer, qr/\Q$_\E/, 'and not echoed' for @$pair;
}
is $s->rest(GET => '/vms', { token => $t->{token} })->{status}, 200,
    'one of them is taken';

# the canaries' final check reads the logs
done_testing;
