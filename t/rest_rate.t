# 600 requests a minute of one principal, counted over all workers, whatever
# their cache; the 601st is 429 with when to come again.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::WSAgent;

my $s = VMOps->stack(workers => 2);
my $t = $s->tenant('acme');

sub get {
    my ($token) = @_;
    return $s->rest(GET => '/license', {
        token => $token, headers => { Connection => 'close' } });
}

my ($served, $refused) = (0, 0);
my $last;
for (1 .. 900) {
    $last = get($t->{token});
    $last->{status} == 200 ? $served++ : $refused++;
    last if $refused == 20;
}
# between two answers of the store a worker knows its own count only
cmp_ok $served, '>=', 598, 'so many are served';
cmp_ok $served, '<=', 620, 'and hardly more';
is "$last->{status} $last->{json}{code}", '429 rate_limited', 'then it is 429';
my %h = %{ $last->{headers} };
is_deeply [@h{qw(ratelimit-limit ratelimit-remaining)}], [600, 0], 'of 600';
like $h{'retry-after'}, qr/^(?:[1-9]|[1-5]\d|60)$/, 'and for how long';
is $h{'ratelimit-reset'}, $h{'retry-after'}, 'twice';
my $limited = qr/"$h{'x-request-id'}".*"code":"rate_limited","tenant":"acme"/;
wait_for { $s->access_log =~ $limited } 5, 'the line of the log';
pass 'the log says whose limit it was';

# another principal of the tenant, and nobody
my $r = $s->rest(GET => '/admin/tenants', { token => $s->platform_token });
is $r->{status}, 200, 'another principal is served';
is get($t->{token} =~ s/.$/./r)->{status}, 401, 'nobody stays nobody';

# 429 comes before 403 and 404
is $s->rest(GET => '/admin/tenants', { token => $t->{token} })->{status}, 429,
    '429 comes before 403';
is $s->rest(GET => '/nothing', { token => $t->{token} })->{status}, 429,
    'and before 404';

# the window ends
$s->redis('DEL', @{ $s->redis('KEYS', 'tenants/{acme}/rate/*') });
wait_for { get($t->{token})->{status} == 200 } 3, 'a new window';
pass 'in a new window it is served';

done_testing;
