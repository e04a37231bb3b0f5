# Sessions of agents: the newest wins, a stale one changes nothing, epochs find
# a clone, and what bars an agent bars it in every call.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my ($id, $first) = @$w{qw(agent session)};
my $key = $f->key('agents', $id);

sub agent {
    my (%over) = @_;
    return hash(($f->ok_call(agent_get => {
        agent_id => $id, live => 'gw1,gw2', %over }))[0]);
}

# everything a session may call, as that session
sub answers {
    my ($session) = @_;
    my @as = (agent_id => $id, session => $session);
    return {
        take => $f->call(take => { @as, limit => 1 })->[0],
        progress => $f->call(progress => { @as, command_id => uuid() })->[0],
        log => $f->call(log => { @as, command_id => uuid(),
                                 line => ['x'] })->[0],
        status => $f->call(session_status => { @as })->[0],
        read => $f->call(secret_read => { @as, ref => ref_of($w->{secret}),
                                          version => 1 })->[0],
    };
}
my %current = (take => 'OK', progress => 'not_found', log => 'not_found',
               status => 'OK', read => 'OK');
my %stale = (take => 'stale', progress => 'stale', log => 'stale',
             status => 'stale', read => 'stale');

# presence
is agent()->{status}, 'online', 'online';
cmp_ok abs(agent()->{last_seen} - now_ms()), '<', 2000, 'seen now';
is_deeply answers($first), \%current, 'the session works';
is_deeply answers(uuid()), \%stale, 'another session does not';
is_deeply answers(''), \%stale, 'nor does none';
$f->admin('HSET', $key, 'since', now_ms() - 60_000);
is agent(live => 'gw2')->{status}, 'offline', 'its gateway is dead: offline';
ok !exists agent(live => 'gw2')->{connected_since}, 'and not connected';

# a newer session: the gateway that holds the old one is told
my $wake = $f->listen('wake');
my ($epoch) = $f->ok_call(session_auth => {
    agent_id => $id, epoch => $f->{epoch}{$id}, session => uuid() });
is $epoch, $f->{epoch}{$id} + 1, 'each welcome has a new epoch';
my ($next) = $f->ok_call(session_auth => {
    agent_id => $id, epoch => $f->{epoch}{$id}, session => uuid() });
is $next, $epoch + 1, 'also one whose predecessor was never made ready';
$epoch = $next;
my $second = uuid();
my %ready = (agent_id => $id, session => $second, incarnation => 'gw2',
             epoch => $epoch, last_seq => 7, version => '1.1',
             platform => 'linux', live => 'gw1,gw2');
is_deeply [($f->ok_call(session_ready => { %ready }))[0, 1]], [$first, 'gw1'],
    'the displaced session and its gateway';
is_deeply [$f->heard($wake)], ["replaced $id $first"], 'which is woken';
is_deeply answers($first), \%stale, 'the old session is fenced off';
is_deeply answers($second), \%current, 'the new one works';
is_deeply [$f->ok_call(session_gone => { agent_id => $id,
                                         session => $first })], [0],
    'the old gateway clears nothing';
is agent()->{status}, 'online', 'still online';
is agent()->{last_seq}, 7, 'last_seq is the greater of both';
is $f->admin('EXISTS', $f->key('gateways', 'gw1')), 0,
    'its first gateway holds nobody any more';

# the same session under a new incarnation (the store was away)
is_deeply [$f->ok_call(session_ready => { %ready, incarnation => 'gw3',
                                          last_seq => 3 })], ['', '', 0, []],
    'again under another incarnation: nobody is displaced';
is agent()->{gateway}, 'gw3', 'the new incarnation';
is agent()->{last_seq}, 7, 'last_seq never falls';
is $f->call(session_ready => { %ready, last_seq => '9' x 15 })->[0], 'stale',
    'a number that nobody gave out is no agent that can be believed';
is agent()->{last_seq}, 7, 'and none follows it';
is $f->call(session_ready => { %ready, session => $first })->[0], 'stale',
    'another session with the same epoch is stale';
is $f->call(session_ready => { %ready, session => $first,
                               epoch => $epoch - 1 })->[0], 'stale',
    'an epoch that was passed is stale';
is_deeply [$f->ok_call(session_gone => { agent_id => $id,
                                         session => $second })], [1], 'gone';
is agent()->{status}, 'offline', 'offline at once';
is $f->admin('ZCARD', $f->key('gateways')), 0, 'no gateway holds anybody';
is_deeply [($f->ok_call(session_ready => { %ready }))[0, 1]], ['', ''],
    'cleared meanwhile, it comes back';

# the server lost a second: a higher epoch is taken, and audited
my ($ahead) = $f->ok_call(session_auth => { agent_id => $id, epoch => 50,
                                            session => uuid() });
is $ahead, 51, 'a higher epoch is taken over';
my ($events) = $f->ok_call(events_read => { limit => 200 });
ok((grep { hash($_->[1])->{entry} =~ /agent\.epoch_ahead/ } @$events),
   'and audited');
is $f->call(session_auth => { agent_id => $id, epoch => $_,
                              session => uuid() })->[0], 'unauthenticated',
    "nobody gave out $_" for '9' x 30, '9' x 15, 1_000_000_052;
is_deeply [@{ agent() }{qw(epoch epoch_pending)}], [50, 51],
    'and none follows it';

# two on one identity: the one with an old epoch shows it
$f->heard($wake);
my %old = (agent_id => $id, epoch => 49, session => uuid());
is $f->call(session_auth => { %old, passed => 0 })->[0], 'stale',
    'a lower epoch, said before the higher one was in use: stale';
is agent()->{status}, 'online', 'and no lock';
cmp_ok agent()->{epoch_age}, '<', 60_000, 'since when it is in use is known';
is $f->call(session_auth => { %old, passed => 1 })->[0], 'agent_locked',
    'a lower epoch, said after that, locks the agent';
is agent()->{status}, 'locked', 'locked';
is_deeply [$f->heard($wake)], ["locked $id"], 'both sides are closed';
is $f->call(session_auth => { agent_id => $id, epoch => 51,
                              session => uuid() })->[0], 'agent_locked',
    'the other one, too';
is_deeply answers($second), { map { $_ => 'agent_locked' } keys %current },
    'a locked agent gets nothing done';
is $f->call(session_ready => { %ready, epoch => 51 })->[0], 'agent_locked',
    'nor does it become ready';
$f->ok_call(agent_unlock => { actor => 'token:1', agent_id => $id });
is_deeply [@{ agent() }{qw(status epoch epoch_pending)}], ['online', 50, 51],
    'unlocked: the epochs are as they were';

# two that share their epochs displace each other: the third time within ten
# minutes that a displaced one answers still, the agent is locked
my $takeovers = "$key/takeovers";
sub displaced {
    my ($session) = @_;
    return $f->call(session_displaced => { agent_id => $id,
                                           session => $session })->[0];
}
$f->heard($wake);
is displaced($second), 'stale', 'the session that is there is not displaced';
is $f->admin('EXISTS', $takeovers), 0, 'and does not count';
my @answered = map { uuid() } 1 .. 4;
is displaced($_), 'OK', 'a displaced one answers' for @answered[0, 0, 1, 1];
is $f->admin('ZCARD', $takeovers), 2, 'each counts once';
cmp_ok $f->admin('TTL', $takeovers), '>', 590, 'for ten minutes';
$f->admin('ZADD', $takeovers, now_ms() - 601_000, $answered[0]);
is displaced($answered[2]), 'OK', 'one of eleven minutes ago does not count';
is agent()->{status}, 'online', 'no lock yet';
is displaced($answered[3]), 'agent_locked', 'the third one does';
is agent()->{status}, 'locked', 'locked';
is_deeply [$f->heard($wake)], ["locked $id"], 'both sides are closed';
is displaced(uuid()), 'agent_locked', 'a further one says so, too';
($events) = $f->ok_call(events_read => { limit => 200 });
is scalar(grep { hash($_->[1])->{entry} =~ /agent\.locked.*"takeovers":"3"/ }
          @$events), 1, 'audited, once';
$f->ok_call(agent_unlock => { actor => 'token:1', agent_id => $id });
is $f->admin('EXISTS', $takeovers), 0, 'unlocked: counted anew';
is displaced(uuid()), 'OK', 'and one more is no lock';

# suspension
$f->ok_call(tenant_set => { actor => 'platform:1',
                            field_value => ['status', 'suspended'] });
is_deeply [grep { $_ eq 'suspend' } $f->heard($wake)], ['suspend'],
    'suspension wakes the gateways';
is $f->call(session_auth => { agent_id => $id, epoch => 51,
                              session => uuid() })->[0], 'tenant_suspended',
    'no new session';
is_deeply answers($second), { map { $_ => 'tenant_suspended' } keys %current },
    'and nothing in one that is there';
is $f->call(session_auth => { agent_id => uuid(), epoch => 0,
                              session => uuid() })->[0], 'unauthenticated',
    'an unknown agent';

done_testing;
