# A terminal that is closed ends the agent in it as a stop does, and not in the
# middle of what it does; one that was told to stay (nohup) stays.
# tags: asan tsan

use strict;
use warnings;

use VMOps;
use VMOps::FakeServer;

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
VMOps->watch_log($agent->home);
$agent->pair;
$agent->start;
kill 'HUP', $agent->{pid};
is $agent->wait_exit, 0, 'it ends as when it is stopped';
$server->until(sub { $server->closes }, 'its Close');
is_deeply [$server->closes], [1000], 'its server is told';

{
    local $SIG{HUP} = 'IGNORE';
    $agent->start;
}
kill 'HUP', $agent->{pid};
my $connections = $server->{connections};
$server->cut(1001);
$server->until(sub { $server->{connections} > $connections
                     && $server->{online} }, 'it to come back');
pass 'nohup: it goes on';
$agent->stop;

done_testing;
