# When Redis is full: nothing new comes in, whole or not at all; what ends,
# revokes, cancels and deletes still works.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my %id = map { $_ => $f->submitted(idem => $_) } qw(ends runs queued cancelled);
$f->take(limit => 2);
$f->ok_call(beat => { incarnation => 'gw1', ttl_ms => 4000 });

$f->admin('CONFIG', 'SET', 'maxmemory', 1);

sub error_of {
    my ($name, $arg) = @_;
    my $reply = eval { $f->call($name, $arg) };
    return defined $reply ? "answered @$reply" : $@;
}

my $before = $f->snapshot;
my $arg = $f->good(idem => 'new');
like error_of(submit => $arg), qr/^redis: OOM /, 'no new command';
like error_of(secret_add => { agent_id => $w->{agent}, nonce => 'n',
                              secret_id => uuid() }), qr/^redis: OOM /,
    'no new secret';
like error_of(pairing_create => { pairing_id => uuid() }), qr/^redis: OOM /,
    'no new pairing';
is_deeply $f->snapshot, $before, 'and nothing of them is left behind';

my @as = (agent_id => $w->{agent}, session => $w->{session});
is_deeply $f->finish($id{ends}), ['OK', 'done'], 'a result is taken';
is $f->command($id{ends})->{status}, 'succeeded', 'and read';
is $f->take->[0], 'OK', 'what is queued is taken';
is $f->call(beat => { incarnation => 'gw1', ttl_ms => 4000 })->[0], 'OK',
    'the beat goes on';
is $f->call(principal => { pkind => 'token', pkey => 'op', cost => 1,
                           limit => 100 })->[0], 'OK', 'who asks is known';
is $f->call(command_cancel => { actor => 'token:1',
                                command_id => $id{cancelled} })->[0], 'OK',
    'cancel';
is $f->call(sweep => { live => 'gw1', limit => 10 })->[0], 'OK', 'sweep';
is $f->call(session_gone => { @as })->[1], 1, 'a session ends';
my ($epoch) = $f->ok_call(session_auth => {
    agent_id => $w->{agent}, epoch => $f->{epoch}{ $w->{agent} },
    session => 's2' });
is $f->call(session_ready => { agent_id => $w->{agent}, session => 's2',
                               incarnation => 'gw1', epoch => $epoch,
                               last_seq => 0, live => 'gw1' })->[0], 'OK',
    'an agent comes back';
is $f->call(agent_revoke => { actor => 'token:1', agent_id => $w->{agent},
                              mac_before => "mac-$w->{agent}", mac => 'r' })
    ->[0], 'OK', 'revoke';
is $f->call(vm_delete => { actor => 'token:1', vm_uuid => $w->{vm} })->[0],
    'OK', 'delete';
is $f->call(secret_delete => { actor => 'token:1', secret_id => $w->{secret},
                               force => 1 })->[0], 'OK', 'delete a secret';

$f->admin('CONFIG', 'SET', 'maxmemory', 0);
is $f->submit(%$arg)->[0], 'not_found', 'with room again, calls are answered';

done_testing;
