#!/usr/bin/perl

# Two stacks run side by side and share nothing: what one stores the other does
# not know, and stopping one leaves the other at work.

use strict;
use warnings;

use lib 't/lib';
use VMOps;

my $one = VMOps->stack;
my $two = VMOps->stack;

isnt($one->port, $two->port, 'a port each');
isnt($one->platform_token, $two->platform_token, 'a platform token each');

my $tenant = $one->tenant('acme');
is($one->rest(GET => '/agents', $tenant)->{status}, 200,
   "the first knows its tenant's token");
is($two->rest(GET => '/agents', $tenant)->{status}, 401, 'the second does not');
is($two->rest(GET => '/admin/tenants', { token => $one->platform_token })
   ->{status}, 401, "nor the first one's platform token");
is($two->redis('EXISTS', 'tenants/{acme}'), 0, 'nothing of it in its Redis');

$one->down;
is($two->rest(GET => '/readyz')->{status}, 200, 'the second is still ready');
is($one->rest(GET => '/readyz')->{status}, 0, 'the first does not answer');

done_testing;
