# What a principal may ask and a tenant may have open is set by directives.

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);

# the next reload: each limit where the other two do not stand in its way
sub limits {
    my ($requests, $commands, $open) = @_;
    $s->add_http_conf("vmops_request_rate $requests;\n"
                      . "vmops_command_rate $commands;\n"
                      . "vmops_open_commands $open;\n");
    wait_for { $s->rest(GET => '/readyz')->{status} == 200 } 10, 'the reload';
    $t->online;
    $s->redis(DEL => $_) for @{ $s->redis(KEYS => 'tenants/{acme}/rate/*') };
}

sub submit { $t->rest(POST => '/vm-ops/proxmox/start',
                      { json => { vm_uuid => $t->vm } }) }

sub refused {
    my ($r, $limit, $what) = @_;
    is "$r->{status} $r->{json}{code}", '429 rate_limited', $what;
    is $r->{headers}{'ratelimit-limit'}, $limit, "of $limit";
    like $r->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'and when to come again';
}

# three commands a minute, although none stays open
limits(100000, 3, 1000);
for (1 .. 3) {
    is submit()->{status}, 202, 'within the rate of commands';
    $t->agent->serve;
}
refused(submit(), 3, 'beyond the rate of commands');

# two open at a time
limits(100000, 1000, 2);
is submit()->{status}, 202, 'within those that may be open' for 1, 2;
refused(submit(), 2, 'one more than may be open');
$t->agent->serve;
is submit()->{status}, 202, 'one has ended: there is room for another';
$t->agent->serve for 1, 2;

# twenty requests a minute
limits(20, 1000, 1000);
my $viewer = $t->new_token('viewer');
my @answers = map { $s->rest(GET => '/license', { token => $viewer->{token} }) }
    1 .. 40;
my $served = grep { $_->{status} == 200 } @answers;
cmp_ok $served, '>=', 20, 'twenty requests are served';
cmp_ok $served, '<', 40, 'and not all that come';
refused($answers[-1], 20, 'beyond the rate of requests');

done_testing;
