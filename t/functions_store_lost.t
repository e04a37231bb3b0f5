# A store that was restarted, and lost its last second: what may have been sent
# is not said to be unsent, numbers that an agent has seen are not used again,
# and a command that only its agent knows gets its record back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my @as = (agent_id => $w->{agent}, session => $w->{session});
my $agent = $f->key('agents', $w->{agent});

# the library begins anew, as in a new process
sub restart {
    my $dir = $f->server->dir;
    open my $file, '<:raw', "$dir/vmops.lua" or die "vmops.lua: $!";
    local $/;
    my $code = <$file>;
    select undef, undef, undef, 0.005;    # `born` is in milliseconds
    $f->server->client('vmops-deploy')->call(qw(FUNCTION LOAD REPLACE), $code);
}

sub ends_as {
    my ($id, $what) = @_;
    my $command = $f->command($id);
    return is join(' ', grep { defined } @$command{qw(status error_code)}),
        $what->[0], $what->[1];
}

sub ready {
    my (%over) = @_;
    return $f->ok_call(session_ready => { @as, incarnation => 'gw1',
        epoch => $f->{epoch}{ $w->{agent} }, last_seq => 0, version => '1.0',
        platform => 'linux', live => 'gw1', %over });
}

# queued by another process: nobody can say that it was not sent

my ($late, $cancelled) = map { $f->submitted } 1 .. 2;
restart();
my $wake = $f->listen('wake');
$f->age($late, 10_500);
ends_as $late, ['indeterminate agent_disconnected',
                'not sent in time, as far as is known'];
$f->ok_call(command_cancel => { actor => 'token:1', command_id => $cancelled });
ends_as $cancelled, ['indeterminate cancelled', 'cancelled, perhaps too late'];
is_deeply [$f->heard($wake)], ["cancel $w->{agent} $cancelled"],
    'so its agent is told';
is_deeply $f->take->[2], [], 'neither is sent any more';
$f->finish($late);
ends_as $late, ['succeeded', 'its result says what became of it'];

# given back by its gateway: it is known of what was queued since then

my $before = $f->submitted;
restart();
my $back = $f->submitted;
$f->take;
$f->untake([$before, $back]);
$f->age($_, 10_500) for $before, $back;
ends_as $back, ['failed agent_disconnected', 'given back: surely not sent'];
ends_as $before, ['indeterminate agent_disconnected',
                  'given back now, and perhaps taken before'];

# the gateway learns of the restart when it registers its agents again

restart();
is +(ready())[2], 1, 'the store began anew since the last ready';
is +(ready())[2], 0, 'told once';

# numbers go on where the agent is

my ($first, $second) = map { $f->submitted } 1 .. 2;
my $seq = $f->admin('HGET', $agent, 'last_seq');
ready(last_seq => $seq - 1);
is $f->admin('HGET', $f->key('agent_commands', $second), 'seq'), $seq,
    'a number that the agent has not seen stays';
my $new = $f->admin('HGET', $f->key('agent_commands', $first), 'seq');
is $new, $seq + 1, 'one that it has seen is replaced';
is $f->admin('ZSCORE', "$agent/queue", $first), $new, 'in the queue, too';
ready(last_seq => 40);
is_deeply [map { hash($_->[0])->{seq} } @{ $f->take->[2] }], [41, 42],
    'all are above what the agent has seen';
is $f->admin('HGET', $agent, 'last_seq'), 42, 'and so will be the next';
ready(last_seq => 42);
is $f->command($first)->{seq}, 42, 'what was sent keeps its number';

# a command that only its agent knows

my %payload = (service => 'proxmox', action => 'start', scope => 'vm',
               family => 'proxmox', target => $w->{vm}, vm_uuid => $w->{vm},
               guest => 'qemu', node => 'pve1', vmid => 101, params => '{}',
               seq => 43, timeout_s => 60, iat => now_ms() - 3000,
               exp => now_ms() + 57_000, subject => 'user-op',
               role => 'operator', idem => '', intent_mac => 'mac',
               secret_ref => ref_of($w->{secret}), secret_version => 1);
my $lost = uuid();
my $open = $f->admin('HGET', $f->key, 'open');
sub recover {
    my ($id, %over) = @_;
    return $f->call(recover => { agent_id => $w->{agent}, command_id => $id,
                                 field_value => [%payload, %over] });
}
is_deeply recover($lost), ['OK', 1], 'its record is made again';
my $record = $f->command($lost);
is_deeply { %$record, ev0 => undef }, { (map { $_ => $payload{$_} }
    grep { $payload{$_} ne '' } keys %payload), command_id => $lost,
    agent_id => $w->{agent}, status => 'delivered', recovered => 1,
    created_at => $payload{iat}, ev0 => undef }, 'as it was sent';
is $f->admin('HGET', $f->key, 'open'), $open + 1, 'it counts as open';
is_deeply $f->take->[2], [], 'and is not sent again';
my $next = $f->submitted;
is_deeply [map { hash($_->[0])->{command_id} } @{ $f->take->[2] }], [$next],
    'nor is its number given to another one, which would not be sent at all';
$f->finish($next);
is $f->admin('ZSCORE', $f->key('deadlines'), $lost), $payload{iat} + 61_500,
    'its deadline is the one it had';
my ($events) = $f->ok_call(events_read => { limit => 200 });
ok +(grep { (hash($_->[1])->{entry} // '') =~ /"command\.recovered".*\Q$lost/ }
     @$events), 'in the audit';
is_deeply $f->finish($lost), ['OK', 'done'], 'its result is taken';
is $f->command($lost)->{recovered}, 1, 'and it says where it is from';
is_deeply recover($lost, action => 'stop'), ['OK', 0], 'it is not made twice';
is $f->command($lost)->{action}, 'start', 'nor changed';
is recover(uuid(), status => 'succeeded')->[0], 'bad_request',
    'a payload tells no status';
my $whole = $f->snapshot;
for my $name (qw(iat seq timeout_s)) {
    is recover(uuid(), $name => $_)->[0], 'bad_request', qq($name "$_")
        for '', 'x', -1, '1e999', 'nan', '0x10', '1' x 16;
}
is_deeply $f->call(recover => { agent_id => uuid(), command_id => uuid(),
                                field_value => [%payload] }), ['OK', 0],
    'nor for an agent that is not known';
is_deeply $f->snapshot, $whole, 'and nothing of them is left behind';

done_testing;
