# Whoever can publish to Redis can wake a gateway, and no more: no signed end of
# an agent comes of it, no approval, no order.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Functions qw(uuid);
use VMOps::Gateway;

my $g = VMOps::Gateway->start;
my $a = $g->online;
my $id = $a->id;
my $pending = $g->make_agent(approved => 0);
$pending->online;
$g->wait_online($pending);

sub publish { $g->admin('SPUBLISH', $g->key('wake'), $_[0]) }

# by messages alone

publish($_) for "revoke $id", "approved $id", "locked $id", "cmd $id",
    'revoke ' . $pending->id, 'approved ' . $pending->id,
    "replaced $id " . uuid(), "cancel $id x", "rotate $id x", 'suspended',
    "revoke", "revoke  $id", "revoke x", "$id revoke", '', ' ', "\0\xff" x 500,
    "cmd $id " . 'x' x 60_000;
my $command = $g->submit;
is $a->serve->{id}, $command, 'the agent is still at work';
is_deeply $a->{skipped}, [], 'and has heard nothing';
is $pending->next_message(0.3), undef, 'nor has the pending one';

# by messages and records

my $key = $g->agent_key;
$g->admin('HSET', $key, 'revoked', 1);
publish("revoke $id");
is $a->closed, 4401, 'a record marked as revoked: closed 4401';
is_deeply $a->{skipped}, [], 'without a signed end';
$a->connect;
$a->send($a->auth_message);
is $a->closed, 4401, 'and the agent does not come in';
$g->admin('HSET', $key, 'revoked', 0);
$g->online;
pass 'the record as it was: it does again';

$g->admin('HSET', $g->agent_key($pending), 'approved', 1);
publish('approved ' . $pending->id);
is $pending->closed, 4401, 'a record marked as approved: closed 4401';
is_deeply $pending->{skipped}, [], 'and no approval is said';

# the worker has taken no harm

$command = $g->submit;
$a->serve;
is $g->wait_command($command, 'succeeded')->{status}, 'succeeded',
    'and commands go on';

done_testing;
