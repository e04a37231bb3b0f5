# A result of a command that the store has lost makes the command's record
# again, if it comes with an order that this server signed for this agent, and
# is that order's result; otherwise it is answered and audited, no more.
# tags: asan

use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64url);

use VMOps;
use VMOps::Functions qw(hash uuid);
use VMOps::Gateway;

my $g = VMOps::Gateway->start;
my $a = $g->online;

sub audited {
    my ($what, $id) = @_;
    return scalar grep { /"event":"\Q$what\E".*\Q$id\E/ }
        map { hash($_->[1])->{entry} // '' }
        @{ $g->admin('XRANGE', $g->key('events'), '-', '+') };
}

# what a store forgets that goes back by a moment
sub forget {
    my ($id) = @_;
    $g->admin('DEL', $g->key('agent_commands', $id));
    $g->admin('ZREM', $_, $id) for $g->key('agent_commands'),
        $g->key('deadlines'), $g->agent_key . '/queue';
    $g->admin('HINCRBY', $g->key, 'open', -1);
}

# an order that the agent got, and the store does not know; with its record
sub lost {
    my (%over) = @_;
    my $id = $g->submit(%over);
    my $order = $a->cmd;
    my $record = $g->command($id);
    forget($id);
    return ($order, $record);
}

sub comes_back {
    $a->drop;
    $g->wait_offline;
    $g->online;
}

my %kept = map { $_ => 1 } qw(command_id agent_id service action scope family
    target vm_uuid guest node vmid params seq timeout_s iat exp subject role
    secret_ref secret_version);

for my $case (
    [{ params => '{"timeout":60}', timeout_s => 90 }, 'of a VM'],
    [{ action => 'list', scope => 'endpoint', target => $g->secret },
     'of an endpoint'],
) {
    my ($order, $before) = lost(%{ $case->[0] });
    comes_back();
    my $payload = $a->result($order, result => { x => 1 },
                             frame => { cmd => $order->{frame} });
    is $a->receive('result.ok')->{id}, $order->{id}, "$case->[1]: answered";
    my $record = $g->command($order->{id});
    is $record->{status}, 'succeeded', 'ended';
    is $record->{recovered}, 1, 'recovered';
    is_deeply { map { $_ => $record->{$_} } grep { $kept{$_} } keys %$record },
        { map { $_ => $before->{$_} } grep { $kept{$_} } keys %$before },
        'all that its order says';
    is $record->{created_at}, $order->{iat}, 'its time is that of its order';
    is $record->{intent_mac}, $g->intent_mac({ %$record, pkind => '',
        pkey => '' }), 'the MAC of an intent that is nobody\'s';
    is $record->{result}, '{"x":1}', 'the result';
    is $record->{receipt_payload}, encode_base64url($payload), 'the receipt';
    is audited('command.recovered', $order->{id}), 1, 'audited';
    is $g->admin('ZCARD', $g->agent_key . '/queue'), 0, 'nothing is queued';
    is $g->admin('HGET', $g->key, 'open'), 0, 'nor open';

    $a->result($order, result => { x => 2 }, frame => { cmd => $order->{frame} });
    $a->receive('result.ok');
    is $g->command($order->{id})->{result}, '{"x":1}', 'the first one stands';
}

# orders that prove nothing

my $other = $g->make_agent;
my $another = (lost())[0];
for my $case (
    ['an altered order', sub {
        my $p = decode_base64url($_[0]{p}) =~ s/start/reset/r;
        ({ %{ $_[0] }, p => encode_base64url($p) },
         cmd_hash => encode_base64url(
             Crypt::Digest::BLAKE2b_256::blake2b_256($p)));
    }],
    ['a signature of nobody',
     sub { ({ %{ $_[0] }, s => encode_base64url('s' x 64) }) }],
    ['another key', sub { ({ %{ $_[0] }, k => 'c1' . '0' x 32 }) }],
    ['another command\'s order', sub { ($another->{frame}) }],
    ['another command\'s order and its hash', sub {
        ($another->{frame}, cmd_hash => encode_base64url(
            Crypt::Digest::BLAKE2b_256::blake2b_256($another->{payload})));
    }],
    ['the hash of another order', sub {
        ($_[0], cmd_hash => encode_base64url('h' x 32));
    }],
    ['an order of another form', sub {
        ({ %{ $_[0] }, p => encode_base64url('{}') });
    }],
) {
    my ($name, $make) = @$case;
    my ($order) = lost();
    my ($cmd, %over) = $make->($order->{frame});
    $a->result($order, %over, frame => { cmd => $cmd });
    is $a->receive('result.ok')->{id}, $order->{id}, "$name: answered";
    is $g->admin('EXISTS', $g->key('agent_commands', $order->{id})), 0,
        'no record is made';
    is audited('command.unknown_result', $order->{id}), 1, 'audited';
}

# an order that was another agent's

$g->wait_online($other->online);
my ($theirs) = lost();
$other->result($theirs, frame => { cmd => $theirs->{frame} });
is $other->receive('result.ok')->{id}, $theirs->{id}, 'another agent\'s order';
is $g->admin('EXISTS', $g->key('agent_commands', $theirs->{id})), 0,
    'is not its own';

unlike $g->error_log, qr/\[(?:warn|error)\]/, 'an agent cannot fill the log';

done_testing;
