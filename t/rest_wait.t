# Prefer: wait: the answer comes with the command's end, on whatever worker it
# is heard; or when the time is over, or at once where nothing is to be waited
# for.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);

# a signed result, which the gateway takes
sub finish {
    my ($order, %over) = @_;
    $t->agent->result($order, %over);
    $t->agent->receive('result.ok');
}

my %start = (json => { vm_uuid => $t->vm });

for my $round (1 .. 8) {
    my $w = $t->begin(POST => '/vm-ops/proxmox/start', %start,
                      headers => { Prefer => 'respond-async, wait=30' });
    my $order = $t->agent->cmd;
    $t->agent->ack($order);
    ok $w->is_waiting, "round $round: it waits while the command runs";
    finish($order, result => { upid => 'UPID:pve1:1' });
    my $r = $w->answer(10);
    is $r->{status}, 200, 'and is answered at the end';
    is $r->{json}{status}, 'succeeded', 'with what came of it';
    is $r->{headers}{'preference-applied'}, 'wait=30', 'as was preferred';
    next if $round > 1;
    is_deeply $r->{json}{result}, { upid => 'UPID:pve1:1' }, 'its result';
    ok $r->{json}{receipt}{verified}, 'its receipt holds';
    like $r->{headers}{location}, qr{/api/v1/vm-ops/commands/\Q$order->{id}\E$},
        'and its address';
    is_deeply $t->rest(GET => "/vm-ops/commands/$order->{id}")->{json},
        $r->{json}, 'which answers the same';
}

# the time is over first
my $w = $t->begin(POST => '/vm-ops/proxmox/start', %start,
                  headers => { Prefer => 'wait=1' });
my $order = $t->agent->cmd;
my $r = $w->answer(5);
is $r->{status}, 202, 'the time is over: accepted';
is $r->{json}{status}, 'delivered', 'and where it stands';
cmp_ok $r->{ms}, '>=', 950, 'not before';
cmp_ok $r->{ms}, '<', 2500, 'nor much later';
$t->agent->ack($order);
finish($order);

# nothing preferred, or nothing understood
for my $prefer (undef, 'wait=0', 'wait=-1', 'wait=x', 'respond-async') {
    $r = $t->rest(POST => '/vm-ops/proxmox/start', {
        %start, headers => { defined $prefer ? (Prefer => $prefer) : () } });
    is $r->{status}, 202, ($prefer // 'no preference') . ': no waiting';
    ok !exists $r->{headers}{'preference-applied'}, 'and it does not say so';
    $t->agent->serve;
}

# many at once, ended in another order
my @waits = map { $t->begin(POST => '/vm-ops/proxmox/start', %start,
                            headers => { Prefer => 'wait=30' }) } 1 .. 20;
my @orders = map { $t->agent->cmd } @waits;
$t->agent->ack($_) for @orders;
finish($_) for reverse @orders;
my @ended = map { $_->answer(10) } @waits;
is_deeply [map { "$_->{status} $_->{json}{status}" } @ended],
    [('200 succeeded') x 20], 'twenty waits end';
is_deeply [sort map { $_->{json}{command_id} } @ended],
    [sort map { $_->{id} } @orders], 'each with its own';

# a replayed one is waited for as well
my %same = (%start, headers => { 'Idempotency-Key' => 'k1' });
my $first = $t->rest(POST => '/vm-ops/proxmox/start', { %same });
is $first->{status}, 202, 'a command with a key';
$same{headers}{Prefer} = 'wait=30';
$w = $t->begin(POST => '/vm-ops/proxmox/start', %same);
$order = $t->agent->cmd;
is $order->{id}, $first->{json}{command_id}, 'is sent once';
$t->agent->ack($order);
ok $w->is_waiting, 'the replay waits';
finish($order);
$r = $w->answer(10);
is $r->{status}, 200, 'until it ends';
is $r->{json}{command_id}, $order->{id}, 'the same command';
$r = $t->rest(POST => '/vm-ops/proxmox/start', { %same });
is $r->{status}, 200, 'and one that has ended is answered at once';

# a refusal is not waited for
$t->agent->close;
wait_for { $t->rest(GET => '/agents/' . $t->agent->id)->{json}{status}
           eq 'offline' } 5, 'the agent to be offline';
$r = $t->rest(POST => '/vm-ops/proxmox/start',
              { %start, headers => { Prefer => 'wait=30' } });
is $r->{status}, 409, 'nobody there';
is $r->{json}{code}, 'agent_offline', 'agent_offline';
cmp_ok $r->{ms}, '<', 1000, 'at once';

done_testing;
