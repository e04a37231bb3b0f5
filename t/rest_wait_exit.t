# A reload answers waiting requests at once: accepted, and where it stands.
# None of them is lost, and the old workers go.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);
my %old = map { $_ => 1 } $s->workers;

sub begin {
    return $t->begin(POST => '/vm-ops/proxmox/start',
                     json => { vm_uuid => $t->vm, timeout_s => 600 },
                     headers => { Prefer => 'wait=60' });
}

my @waits = map { begin() } 1 .. 6;
my @orders = map { $t->agent->cmd } @waits;
$t->agent->ack($_) for @orders;
wait_for {
    my $list = $t->rest(GET => '/vm-ops/commands?status=running')->{json};
    6 == @{ $list->{items} };
} 5, 'the commands to run';

$s->reload;
for my $wait (@waits) {
    my $r = $wait->answer(3);
    is $r->{status}, 202, 'accepted';
    is $r->{json}{status}, 'running', 'and where it stands';
    ok !exists $r->{headers}{'preference-applied'}, 'not waited for';
    cmp_ok $r->{ms}, '<', 10_000, 'soon';
}
wait_for { !grep { kill 0, $_ } keys %old } 10, 'the old workers to be gone';

# requests that come while workers change
wait_for { $t->agent->drop; eval { $t->online } } 20, 'the agent';
for my $round (1 .. 3) {
    my @all;
    for my $n (1 .. 15) {
        push @all, $t->begin(POST => '/vm-ops/proxmox/status',
            json => { vm_uuid => $t->vm }, headers => { Prefer => 'wait=2' });
        $s->reload if $n == 5;
    }
    my %status;
    $status{ $_->answer(20)->{status} }++ for @all;
    delete $status{$_} for 200, 202, 409;      # the agent has to reconnect
    is_deeply \%status, {}, "round $round: each request has an answer";
    $s->redis(DEL => 'tenants/{acme}/rate/commands');
    wait_for { $t->agent->drop; eval { $t->online } } 20, 'the agent';
}

done_testing;
