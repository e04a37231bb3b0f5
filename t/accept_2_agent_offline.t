# Agent offline: "Agent offline", at once, and nothing is queued.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my $agent = $site->agent;

is $site->command('status')->{json}{status}, 'succeeded',
    'while online it works';
my $before = $s->redis('ZCARD', 'tenants/{acme}/agent_commands');

$agent->stop;
$agent->wait_status('offline', 10);

my $r = $site->command('start');
is $r->{status}, 409, 'refused';
is $r->{json}{code}, 'agent_offline', 'as agent_offline';
is $r->{json}{title}, 'Agent offline', 'in the words agreed on';
like $r->{headers}{'content-type'}, qr{^application/problem\+json},
    'as a problem';

my $queue = 'tenants/{acme}/agents/' . $agent->id . '/queue';
is $s->redis('EXISTS', $queue), 0, 'nothing is queued';
is $s->redis('ZCARD', 'tenants/{acme}/agent_commands'), $before,
    'no record is made';

$agent->start;
is_deeply [$site->effects], [], 'nothing ran when the agent came back';
is $site->command('start')->{json}{status}, 'succeeded',
    'a new order then does';

# killed, it is noticed when TCP says so
$agent->crash;
$agent->wait_status('offline', 10);
is $site->command('stop')->{json}{code}, 'agent_offline',
    'the same for a killed agent';

done_testing;
