# Agents on some workers and hosts, requests on others: they meet in Redis.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Functions qw(uuid);
use VMOps::WSAgent;

my $s = VMOps->stack(workers => 2, nodes => 2);
$s->log_details;
my $t = $s->tenant('acme');
my @owner = (token => $t->{token});

# an agent of other parts, paired through the API of one node; its VM and secret
sub make_agent {
    my ($node) = @_;
    my $rest = sub {
        my ($method, $path, $opt) = @_;
        return $s->rest($method, $path, { node => $node, %$opt });
    };
    my $code = $rest->(POST => '/agents/pairings', { @owner, json => {
        name => 'peer', auto_approve => \1 } })->{json}{code};
    my $a = VMOps::WSAgent->new(port => $s->port($node));
    $a->pair($rest, $code);
    my $ref = $a->add_secret($rest, $s->url($node), uuid());
    $a->{vm} = $rest->(POST => '/vms', { @owner, json => {
        name => 'web', guest => 'qemu', node => 'pve1', vmid => 100,
        agent_id => $a->id } })->{json}{vm_uuid};
    $rest->(PUT => "/secrets/bindings/vm/$a->{vm}/proxmox", { @owner,
        json => { secret_ref => $ref } });
    $a->online;
    wait_for {
        $rest->(GET => '/agents/' . $a->id, { @owner })->{json}{status}
            eq 'online';
    } 5, 'an agent online';
    return $a;
}

my %agents = map { my $node = $_; $node => [map { make_agent($node) } 1 .. 4] }
    1, 2;

# every agent from either node, each request by a connection of its own

for my $on (1, 2) {
    for my $from (1, 2) {
        my @ended;
        for my $a (@{ $agents{$on} }) {
            my $r = $s->rest(POST => '/vm-ops/proxmox/start', { @owner,
                node => $from, headers => { Connection => 'close' },
                json => { vm_uuid => $a->{vm} } });
            is $r->{status}, 202, "agent on node $on, POST on $from: accepted";
            my $order = $a->serve(result => { upid => undef });
            is $order->{id}, $r->{json}{command_id}, 'the order reached it';
            my $got = $s->rest(GET => "/vm-ops/commands/$order->{id}",
                               { @owner, node => 3 - $from });
            push @ended, join ' ', @{ $got->{json} }{'status'},
                $got->{json}{receipt}{verified} ? 'verified' : 'not verified';
        }
        is_deeply \@ended, [('succeeded verified') x 4],
            "agents on node $on, POST on $from: all succeeded";
    }
}

# the workers each have some of the sockets

for my $node (1, 2) {
    my $text = $s->error_log($node);
    my %workers = map { $_ => 1 }
        $text =~ /(\d+)#\d+: \*\d+ agent is online/g;
    ok keys(%workers) >= 1, "node $node: " . keys(%workers)
        . ' workers have agents';
}

# a revocation at one node closes the socket at the other

my $a = $agents{1}[0];
$a->{skipped} = [];
is $s->rest(POST => '/agents/' . $a->id . '/revoke',
            { @owner, node => 2 })->{status}, 200, 'revoked';
is $a->ctl(2)->{code}, 4403, 'a signed end, at the other node';
is $a->closed(2), 4403, 'closed';

# an agent that moves from one node to the other takes its orders along

my $b = $agents{1}[1];
my $moved = $b->twin(port => $s->port(2));
$moved->online;
is $b->closed, 4409, 'a newer session at the other node: 4409';
$moved->{vm} = $b->{vm};
my $r = $s->rest(POST => '/vm-ops/proxmox/start', { @owner,
    node => 1, json => { vm_uuid => $b->{vm} } });
is $moved->serve->{id}, $r->{json}{command_id}, 'has the next order';

done_testing;
