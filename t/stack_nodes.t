#!/usr/bin/perl

# --nodes 2: two nginx, each with its workers, on one Redis; what is made
# through one is there through the other.

use strict;
use warnings;

use lib 't/lib';
use VMOps;

my $s = VMOps->stack(nodes => 2, workers => 2);
is(scalar(my @nodes = $s->nodes), 2, 'two nodes');
isnt($s->port(1), $s->port(2), 'a port each');
isnt($s->master(1), $s->master(2), 'a master each');
is(scalar(my @workers = $s->workers($_)), 2, "node $_ has two workers") for 1, 2;

my $tenant = $s->tenant('acme');
for my $n (1, 2) {
    is($s->rest(GET => '/readyz', { node => $n })->{status}, 200,
       "node $n is ready");
    is($s->rest(GET => '/agents', { %$tenant, node => $n })->{status}, 200,
       "node $n knows the tenant");
    wait_for { $s->access_log($n) =~ m{"uri":"/api/v1/agents"} } 5,
        'its own log';
    pass("and wrote it into its own log");
}

done_testing;
