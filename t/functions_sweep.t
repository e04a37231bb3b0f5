# The sweep ends what nobody ended, clears the sessions of dead gateways and
# leaves all else alone; tenants with open work are leased for it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;

sub sweep { $f->ok_call(sweep => { live => 'gw1,gw2', limit => 100, @_ }) }

# overdue commands
my ($queued, $delivered, $running, $fresh) = map { $f->submitted } 1 .. 4;
my $taken = $f->take(limit => 3);
$f->untake([$queued]);
$f->ok_call(progress => { agent_id => $w->{agent}, session => $w->{session},
                          command_id => $running, accepted_at => 1 });
$f->age($queued, 10_001);
$f->age($delivered, 61_501);
$f->age($running, 61_501);
my ($open, $idle) = sweep();
is $open, 1, 'one is open still';
ok $idle >= 0 && $idle < 5000, 'the tenant was busy a moment ago';
my $status = sub {
    my $key = $f->key('agent_commands', $_[0]);
    return [@{ $f->admin('HMGET', $key, 'status', 'error_code') }];
};
is_deeply $status->($queued), ['failed', 'agent_disconnected'],
    'queued for more than 10 s: it did not run';
is_deeply $status->($delivered), ['indeterminate', 'timeout'],
    'delivered and overdue: nobody knows';
is_deeply $status->($running), ['indeterminate', 'timeout'],
    'running and overdue: nobody knows';
is_deeply $status->($fresh), ['queued', undef], 'the fresh one is left alone';

my $almost = $f->submitted;
$f->take;
$f->age($almost, 60_500);
sweep();
is_deeply $status->($almost), ['delivered', undef],
    'a result may come a moment after the deadline';
$f->age($almost, 4500);
sweep();
is_deeply $status->($almost), ['indeterminate', 'timeout'],
    'and is not waited for until 5 s after it';
$f->age($fresh, 100_000);
sweep();

# sessions of dead gateways
my $agent = $f->key('agents', $w->{agent});
my $second = $f->make_agent;
$f->connect_agent($second, gateway => 'gw2');
my $online = sub {
    return [map { $f->admin('HEXISTS', $f->key('agents', $_), 'session') }
            $w->{agent}, $second];
};
sweep(live => 'gw2');
is_deeply $online->(), [1, 1], 'a gateway that took an agent just now is spared';
my $long_ago = sub {
    $f->admin('ZADD', $f->key('gateways'), now_ms() - 60_000, $_)
        for qw(gw1 gw2);
};
$long_ago->();
sweep(live => '');
is_deeply $online->(), [1, 1], 'who knows no gateway at all clears nothing';
sweep();
is_deeply $online->(), [1, 1], 'live ones are left alone';
my $live = $f->listen('live');
sweep(live => 'gw2');
is_deeply $online->(), [0, 1], 'the dead one has lost its agent';
like +($f->heard($live))[0], qr/^ev agent \d+-\d+$/, 'which is told';
is_deeply $f->admin('ZRANGE', $f->key('gateways'), 0, -1), ['gw2'],
    'and it is forgotten';
is $f->admin('EXISTS', $f->key('gateways', 'gw1')), 0, 'with all it held';

my $orphan = $f->submit(live => 'gw1');
is $orphan->[0], 'agent_offline', 'no command for the lost agent';

# an agent that moved on is not cleared with the gateway it left
my $session = $f->connect_agent($w->{agent}, gateway => 'gw1',
                                epoch => $f->{epoch}{ $w->{agent} });
$f->admin('SADD', $f->key('gateways', 'gw9'), $w->{agent});
$f->admin('ZADD', $f->key('gateways'), 1, 'gw9');
sweep();
is $f->admin('HGET', $agent, 'session'), $session, 'it keeps its session';

# a bounded number at a time
my @many = map { $f->make_agent } 1 .. 5;
$f->connect_agent($_, gateway => 'gw3', live => 'gw3') for @many;
$f->admin('ZADD', $f->key('gateways'), 1, 'gw3');
sweep(limit => 2);
is $f->admin('SCARD', $f->key('gateways', 'gw3')), 3, 'two at a time';
sweep(limit => 3);
is $f->admin('EXISTS', $f->key('gateways', 'gw3')), 0, 'then the rest';

# the end of a delivered command whose agent went away says so
$w->{session} = $session;
my $lost = $f->submitted;
$f->take;
$f->ok_call(session_gone => { agent_id => $w->{agent}, session => $session });
$f->age($lost, 62_000);
sweep();
is_deeply $status->($lost), ['indeterminate', 'agent_disconnected'],
    'its agent was gone';
is_deeply [(sweep())[0]], [0], 'nothing is open any more';
is $f->admin('ZCARD', $f->key('deadlines')), 0, 'and nothing is due';

# leases
$f->ok_call(active_add => { tenant => $_ }) for qw(acme beta);
my $lease = sub {
    return [sort @{ ($f->ok_call(active_lease => {
        lease_ms => 60_000, limit => 10 }))[0] }];
};
is_deeply $lease->(), ['acme', 'beta'], 'due tenants are leased';
is_deeply $lease->(), [], 'to one worker at a time';
$f->admin('ZADD', 'platform/{p}/active', 1, 'beta');
$f->ok_call(active_add => { tenant => 'acme' });
is_deeply $lease->(), ['beta'], 'adding does not break a lease';
my $drop = sub {
    return $f->call(active_drop => { tenant => 'acme', again => $_[0] })->[0];
};
my $added_before = sub {
    $f->admin('HSET', 'platform/{p}/active/added', 'acme', now_ms() - 121_000);
};
$drop->('');
is $f->admin('ZCARD', 'platform/{p}/active'), 2,
    'one that was just added may be about to submit: it stays';
$added_before->();
$drop->('');
is_deeply $f->admin('ZRANGE', 'platform/{p}/active', 0, -1), ['beta'],
    'later it is dropped';

# until a finished command is old
my $due = sub { $f->admin('ZSCORE', 'platform/{p}/active', 'acme') };
$f->ok_call(active_add => { tenant => 'acme' });
$added_before->();
is $drop->('soon'), 'bad_request', 'a time is a number';
is $drop->(now_ms() + 1_000_000), 'OK', 'it is due when a command is old';
is_deeply $lease->(), [], 'not before';
$f->ok_call(active_add => { tenant => 'acme' });
cmp_ok $due->(), '<=', now_ms() + 2000, 'or when there is work again';
my $old_at = (sweep())[3];
is $old_at, 1 + 30 * 86_400_000
    + $f->admin('ZRANGE', $f->key('agent_commands'), 0, 0, 'WITHSCORES')->[1],
    'a sweep says when the oldest command is old';
$f->admin('DEL', $f->key('agent_commands'));
is +(sweep())[3], '', 'and that there is none';

done_testing;
