#!/usr/bin/perl

# What `up` was told is so at the next `up`, too, unless that says otherwise:
# agents find it where it was.

use strict;
use warnings;

use lib 't/lib';
use VMOps;

my $s = VMOps->stack(tls => 1, workers => 2, nodes => 2);
my @urls = map { $_->{url} } $s->nodes;
my $tenant = $s->tenant('acme');

$s->down;
$s->{opt} = {};
$s->up;
is_deeply([map { $_->{url} } $s->nodes], \@urls,
          'up without options: TLS, both nodes, the same ports');
is(scalar(my @workers = $s->workers($_)), 2, "node $_ has two workers") for 1, 2;
is($s->rest(GET => '/agents', { %$tenant, node => $_ })->{status}, 200,
   "node $_ is there") for 1, 2;

$s->down;
$s->{opt} = { nodes => 1 };
$s->up;
is_deeply([map { $_->{url} } $s->nodes], [$urls[0]],
          'one node: the first, where it was');
is(scalar(@workers = $s->workers), 2, 'with its two workers');

done_testing;
