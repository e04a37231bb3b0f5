# A server that cannot prove itself gets no further: no readiness, no order
# taken in, and what it says without a signature ends nothing for good.
# tags: asan tsan

use strict;
use warnings;

use Crypt::PK::Ed25519;

use VMOps;
use VMOps::FakeServer;

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
VMOps->watch_log($agent->home);
$agent->pair;
$agent->start;
is $server->{last_seq}, 0, 'a server with the pinned key: ready';
my $connections = $server->{connections};

# a welcome by another key

$server->{welcome_key} = Crypt::PK::Ed25519->new->generate_key;
$server->cut;
$server->until(sub { $server->{connections} >= $connections + 3 },
               'it to try again');
ok !$server->{online}, 'a welcome by another key: never ready';
is((grep { $_ != 1008 } ($server->closes)[1 .. 2]), 0, 'closed with 1008');
is status()->{code}, 'server_not_verified', 'and says why';

# back to the right one

delete $server->{welcome_key};
$server->wait_online;
pass 'the right key: ready again';

# an unsigned bye is a pause, of five minutes at most

my $began = now;
$connections = $server->{connections};
$server->say({ t => 'bye', code => 'agent_revoked', retry_after_ms => 1500 });
$server->cut(4403);
$server->until(sub { $server->{connections} > $connections },
               'it to come back');
cmp_ok now - $began, '>=', 1.4, 'an unsigned bye is waited for';
$server->wait_online;
pass 'and is not the end';

# replaced by a newer session: at least five seconds

$began = now;
$server->cut(4409);
$server->wait_online;
cmp_ok now - $began, '>=', 5, 'after a 4409 it waits five seconds';

# signed control: only of this session, and only once

my $frame = $server->ctl('approved');
$server->say($frame);
$server->until(sub { ($server->closes)[-1] == 1008 }, 'a close');
pass 'a repeated ctl: closed with 1008';
$server->wait_online;
$server->say($frame);
$server->until(sub { !$server->{online} }, 'a close');
is(($server->closes)[-1], 1008, 'one of an older session: closed with 1008');
$server->wait_online;

# a signed bye is the end

$server->ctl('bye', code => 4423);
$server->cut(4423);
is $agent->wait_exit, 11, 'a signed bye 4423: it ends with exit code 11';
is status()->{state}, 'locked', 'and says that it is locked';
$agent->start;
pass 'its user can start it again';
$server->ctl('bye', code => 4403);
$server->cut(4403);
is $agent->wait_exit, 10, 'a signed bye 4403: exit code 10';
is status()->{state}, 'revoked', 'and says that it is revoked';

done_testing;

sub status { return $agent->cli(['status']) }
