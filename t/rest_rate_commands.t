# 120 commands a minute and 1,000 open ones of one tenant, whoever sends them;
# refused ones cost none.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

use constant { PER_MINUTE => 120, OPEN => 1000 };

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);
my @tokens = map { $t->new_token('operator')->{token} } 1, 2;
my $n = 0;

sub submit {
    return $t->rest(POST => '/vm-ops/proxmox/start', {
        token => $tokens[$n++ % 2],
        json => { vm_uuid => $_[0] // $t->vm, timeout_s => 3600 } });
}

# so many accepted ones; each gets to its agent
sub accepted {
    my ($count) = @_;
    my $taken = 0;
    for (1 .. $count) {
        my $r = submit();
        $r->{status} == 202 or diag("$r->{status} $r->{body}"), last;
        $t->agent->cmd;
        $taken++;
    }
    return $taken;
}

# what is refused for another reason is not counted
is submit('01890000-0000-7000-8000-000000000000')->{status}, 404,
    'a refused one' for 1 .. 10;
$s->forget_rates;
is accepted(PER_MINUTE), PER_MINUTE, PER_MINUTE . ' commands are accepted';
for my $token (1, 2) {
    my $r = submit();
    is "$r->{status} $r->{json}{code}", '429 rate_limited', 'one more is not';
    my %h = %{ $r->{headers} };
    is_deeply [@h{qw(ratelimit-limit ratelimit-remaining)}], [PER_MINUTE, 0],
        'of how many';
    like $h{'retry-after'}, qr/^(?:[1-9]|[1-5]\d|60)$/, 'and when again';
}
is $t->rest(GET => '/vms')->{status}, 200, 'requests go on';
my $other = VMOps::Rest->new($s, tenant => 'globex');
is $other->rest(POST => '/vm-ops/proxmox/start', {
    json => { vm_uuid => $other->vm } })->{status}, 202,
    'and commands of another tenant';
$s->forget_rates;
is accepted(1), 1, 'a minute later it is accepted';

# open ones: those the tenant has, and for a short test some it has not
my $real = rounds(ci => 200, full => OPEN);
$s->redis(HINCRBY => 'tenants/{acme}', 'open', OPEN - $real);
my $have = PER_MINUTE + 1;
while ($have < $real) {
    $s->forget_rates;
    my $more = $real - $have < 100 ? $real - $have : 100;
    is accepted($more), $more, "$more more are open";
    $have += $more;
}
$s->forget_rates;
my $r = submit();
is "$r->{status} $r->{json}{code}", '429 rate_limited',
    OPEN . ' open: one more is refused';
is $r->{headers}{'ratelimit-limit'}, OPEN, 'of how many';
is $r->{headers}{'retry-after'}, 1, 'and to come again soon';
my ($first) = @{ $t->made(GET => '/vm-ops/commands?limit=1')->{items} };
$t->made(POST => "/vm-ops/commands/$first->{command_id}/cancel");
is $t->agent->ctl->{do}, 'cancel', 'one of them is cancelled';
is submit()->{status}, 429, 'asked to stop, it is still open';
$s->redis(HINCRBY => 'tenants/{acme}', 'open', -1);
is submit()->{status}, 202, 'with room for one it is accepted';
is submit()->{status}, 429, 'and no other';

done_testing;
