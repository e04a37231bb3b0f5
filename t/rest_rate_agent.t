# An agent's requests are counted over all workers of all nodes; what only says
# that it is from an agent costs that agent nothing.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2, nodes => 2);
my $limit = 64;
my $t = VMOps::Rest->new($s, offline => 1);
my $agent = $t->agent;
$s->add_http_conf("vmops_request_rate $limit;\n");

my $n = 0;
sub beat {
    my ($signer) = @_;
    my $node = 1 + $n++ % 2;
    return $signer->signed(sub {
        my ($method, $path, $opt) = @_;
        return $s->rest($method, $path, { %$opt, node => $node,
            headers => { %{ $opt->{headers} }, Connection => 'close' } });
    }, $s->url($node), '/api/v1/agents/heartbeat', {
        version => '1', capabilities => [], routes => [], keystore => 'ok',
        key_id => $agent->key_id });
}

# another's signature under this one's name
my $liar = $agent->twin(keys => VMOps::WSAgent->new_keys);
is_deeply [grep { $_ != 401 } map { beat($liar)->{status} } 1 .. 2 * $limit], [],
    'whose signature is wrong is nobody, however often';

my ($served, $last) = (0);
for (1 .. 4 * $limit) {
    $last = beat($agent);
    last if $last->{status} != 200;
    $served++;
}
cmp_ok $served, '>=', $limit - 2, "all that it may ($served)";
# between two answers of the store a worker knows its own count only
cmp_ok $served, '<=', $limit + 20, 'and hardly more, of four workers';
is "$last->{status} $last->{json}{code}", '429 rate_limited', 'then it is 429';
is_deeply [@{ $last->{headers} }{qw(ratelimit-limit ratelimit-remaining)}],
    [$limit, 0], 'of so many';
is beat($liar)->{status}, 401, 'which is not for those who lie';

my ($counter) = @{ $s->redis(KEYS => 'tenants/{acme}/rate/requests:agent:*') };
$s->redis(DEL => $counter);
wait_for { beat($agent)->{status} == 200 } 3, 'a new window';
pass 'in a new window it is served';

done_testing;
