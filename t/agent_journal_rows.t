# Rows of the journal that are not what was written: each is set aside, kept as
# it is and said once; its order, if that can still be read, ends as nobody
# knows how, and nothing is done a second time.  What is behind it goes on.
# tags: asan tsan

use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(decode_base64url);

use VMOps;
use VMOps::FakeServer;
use VMOps::PVESim;

# its damage, and what is told of the order then
my @ENDED = (
    ['result = x\'7b7d\'',                     'indeterminate journal_damaged'],
    ['result = substr(result, 1, 40)',         'indeterminate journal_damaged'],
    ['result = NULL',                          'indeterminate journal_damaged'],
    ['result_sig = x\'00\'',                   'indeterminate journal_damaged'],
    ['result_sig = zeroblob(64)',              'indeterminate journal_damaged'],
    ['id = \'none\'',                          'indeterminate journal_damaged'],
    ['state = 7',                              'indeterminate journal_damaged'],
    ['outbox = 9',                             'indeterminate journal_damaged'],
    ['seq = \'two\'',                          'indeterminate journal_damaged'],
    ['payload = x\'7b7d\'',                    'succeeded'],
    ['payload = x\'7b7d\', result = x\'7b7d\'', undef],
    ['payload = 5, sig = x\'\', id = 1', undef],
);
my @OPEN = (
    ['upid = NULL',                            'indeterminate journal_damaged'],
    ['upid = \'\'',                            'indeterminate journal_damaged'],
    ['state = 0',                              'indeterminate journal_damaged'],
    ['state = \'x\'',                          'indeterminate journal_damaged'],
    ['seq = seq + 1',                          'indeterminate journal_damaged'],
    ['payload = x\'7b7d\'',                    undef],
    ['started = started',                      'succeeded'],     # the control
);

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
my $pve = VMOps::PVESim->start;
VMOps->watch_log($agent->home);
$agent->pair;
my $ref = $agent->add_secret($pve);
$agent->start;

# in the outbox, each one between two that are not damaged

$server->{deaf} = 1;
my @orders = map { my $order = order('status'); $server->send_order($order);
                   $server->result($order->{id}); $order } 0 .. 2 * @ENDED;
$agent->stop;
my @damaged = @orders[map { 2 * $_ + 1 } 0 .. $#ENDED];
damage($damaged[$_], $ENDED[$_][0]) for 0 .. $#ENDED;
$server->{messages} = [];
$server->{deaf} = 0;
$agent->start;

for my $i (0 .. @ENDED) {
    is ended($server->result($orders[2 * $i]{id})), 'succeeded',
        'one that is whole is told';
}
for my $i (0 .. $#ENDED) {
    my ($damage, $end) = @{ $ENDED[$i] };
    next unless $end;
    is ended($server->result($damaged[$i]{id})), $end, "$damage: $end";
}
$server->until(sub { !sql('SELECT count(*) FROM commands WHERE outbox = 1') },
               'an empty outbox');
my $aside = grep { ($_->[1] // '') ne 'succeeded' } @ENDED;
is sql('SELECT count(*) FROM damaged'), $aside, 'the others are kept';
is sql('SELECT count(*) FROM damaged WHERE result = x\'7b7d\''), 2,
    'as they are';
is said(), $aside, 'each is said once';
is_deeply [grep { my $id = $_->{id}; $id eq $damaged[-1]{id}
                  || $id eq $damaged[-2]{id} } results()], [],
    'of an order that cannot be read nothing is signed';

# the server gives it again: it is not done again

$server->send_order($damaged[0]);
is $server->message('ack', $damaged[0]{id})->{status}, 'accepted', 'known';
$server->send_order($damaged[-1]);
is $server->message('ack', $damaged[-1]{id})->{code}, 'command_invalid',
    'no longer known, and not taken in either';

# under way when the agent was killed

$pve->control('PUT', 'settings', { durations => { qmstart => 1000 } });
for my $open (@OPEN) {
    my ($damage, $end) = @$open;
    $server->until(sub { !@{ $pve->control('GET', 'state')->{running} } },
                   'no task');
    $pve->control('PUT', 'guests/100', { status => 'stopped' });
    my $done = done();
    my $order = order('start');
    $server->send_order($order);
    $server->until(sub { sql("SELECT state FROM commands WHERE id ="
                             . " '$order->{id}'") eq '2' }, 'its task');
    $agent->stop('KILL');
    damage($order, $damage);
    $server->{messages} = [];
    $agent->start;
    if ($end) {
        is ended($server->result($order->{id})), $end, "$damage: $end";
    } else {
        $server->until(sub { !sql('SELECT count(*) FROM commands'
                                  . ' WHERE state IS NOT 3') }, 'no open one');
        is scalar(grep { $_->{id} eq $order->{id} } results()), 0,
            "$damage: nothing is signed";
    }
    is done() - $done, 1, 'and it was begun once';
}

$server->until(sub { !@{ $pve->control('GET', 'state')->{running} } },
               'no task');
$pve->control('PUT', 'guests/100', { status => 'stopped' });
my $last = order('start');
$server->send_order($last);
is ended($server->result($last->{id})), 'succeeded', 'the next order';
my $items = $agent->cli(['journal'])->{items};
is scalar(grep { ($_->{error} // '') eq 'journal_damaged' } @$items),
    scalar(grep { ($_->[1] // '') =~ /journal_damaged/ } @ENDED, @OPEN),
    'and the journal shows how each ended';

done_testing;

sub order {
    my ($action) = @_;
    return $server->order(action => $action,
        target => { vm_uuid => VMOps::FakeServer::new_id(), guest => 'qemu',
                    node => 'pve1', vmid => 100 },
        secrets => [{ ref => $ref, version => 1, family => 'proxmox' }]);
}

sub ended {
    my ($result) = @_;
    return join ' ', $result->{status}, $result->{error}{code} // ();
}

sub results { return grep { $_->{t} eq 'result' } @{ $server->{messages} } }

sub done {
    return scalar(my @begun = $pve->effects(vmid => 100, event => 'request'));
}

sub said {
    my @said = VMOps::slurp($agent->home . '/agent.log')
        =~ /"event":"journal_row_damaged"/g;
    return scalar @said;
}

sub damage {
    my ($order, $set) = @_;
    sql("UPDATE commands SET $set WHERE id = '$order->{id}'");
}

# by a program that the agent has no part in
sub sql {
    my $run = run_command(['python3', '-c', <<'PY', $agent->home . '/state.db', @_]);
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=10)
row = db.execute(sys.argv[2]).fetchone()
db.commit()
print(row[0] if row and row[0] is not None else '')
PY
    die "$_[0]: $run->{err}" if $run->{exit};
    return $run->{out} =~ s/\s+\z//r;
}
