# A command's receipt: the agent's own words under its signature.  It is
# verified on the first read, against the key in a record that nginx made; a
# record in the store that says something else is found.
# tags: asan

use strict;
use warnings;

use Crypt::PK::Ed25519;
use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64url);

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);
$s->allow_log(qr/the MAC of a record does not hold/);

sub key_of { return "tenants/{acme}/agent_commands/$_[0]" }

# a finished command that nobody has read yet
sub finished {
    my (%over) = @_;
    my $id = $t->start->{command_id};
    my $order = $t->agent->cmd;
    $t->agent->ack($order);
    my $payload = $t->agent->result($order, %over);
    $t->agent->receive('result.ok');
    return wantarray ? ($id, $payload) : $id;
}

sub command { return $t->rest(GET => "/vm-ops/commands/$_[0]")->{json} }

sub verdict { return $s->redis(HGET => key_of($_[0]), 'receipt_verdict') }

my ($id, $payload) = finished(result => { upid => 'UPID:a', list => [1, {}, []] });
is verdict($id), undef, 'nobody has looked yet';
my $receipt = command($id)->{receipt};
is decode_base64url($receipt->{payload}), $payload, 'the payload is what was sent';
ok $receipt->{verified}, 'verified';
my $key = Crypt::PK::Ed25519->new
    ->import_key_raw(decode_base64url($receipt->{key}), 'public');
ok $key->verify_message(decode_base64url($receipt->{signature}),
    "vmops-result-v1\0" . $t->agent->tenant16 . $t->agent->agent16 . $payload),
    'anybody can verify it';
is_deeply command($id)->{result}, { upid => 'UPID:a', list => [1, {}, []] },
    'the result is in it';
wait_for { (verdict($id) // '') eq '1' } 5, 'the verdict to be kept';
ok command($id)->{receipt}{verified}, 'and it is read from then on';

# a failure
$id = finished(status => 'failed', result => undef, error => {
    code => 'tls_pin_mismatch', stage => 'pin', detail_code => undef });
my $command = command($id);
ok $command->{receipt}{verified}, 'a failure is signed as well';
is_deeply [sort keys %{ $command->{error} }], [qw(code next_action stage title)],
    'an error has all it needs';
is_deeply [@{ $command->{error} }{qw(code stage)}],
    ['tls_pin_mismatch', 'pin'], 'what, and where';
like $command->{error}{next_action}, qr/fingerprint/, 'and what to do now';
is $command->{result}, undef, 'and no result';

# what somebody changed in the store before it was read
for my $case (
    ['another result', result => '{"upid":"UPID:forged"}'],
    ['another status', status => 'failed'],
    ['an error', error_code => 'timeout'],
    ['another payload', receipt_payload => encode_base64url('{}')],
    ['no base64url', receipt_payload => '***'],
    ['another signature', receipt_signature => encode_base64url('s' x 64)],
    ['a short signature', receipt_signature => 'AAAA'],
) {
    my ($what, @change) = @$case;
    $id = finished(result => { upid => 'UPID:b' });
    $s->redis(HSET => key_of($id), @change);
    my $r = $t->rest(GET => "/vm-ops/commands/$id");
    is $r->{status}, 200, "$what: it is shown";
    ok !$r->{json}{receipt}{verified}, "$what: not verified";
    wait_for { (verdict($id) // '') eq '0' } 5, 'the verdict to be kept';
}

# another command's receipt
my $good = finished(result => { upid => 'UPID:good' });
my $outcome = $s->redis(HGET => key_of($good), 'outcome');
$id = finished(result => { upid => 'UPID:good' });
$s->redis(HSET => key_of($id), 'outcome', $outcome);
ok !command($id)->{receipt}{verified}, 'the receipt of another command';

# another key in the agent's record: nobody knows whose it is
$id = finished(result => {});
my $agent = 'tenants/{acme}/agents/' . $t->agent->id;
my $pk = $s->redis(HGET => $agent, 'ed_pk');
$s->redis(HSET => $agent, 'ed_pk', encode_base64url('k' x 32));
$receipt = command($id)->{receipt};
ok !$receipt->{verified}, 'a planted key';
is $receipt->{key}, undef, 'is not shown';
is verdict($id), undef, 'and nothing is concluded';
$s->redis(HSET => $agent, 'ed_pk', $pk);
ok command($id)->{receipt}{verified}, 'the right one again: verified';

# nothing signed: no receipt
$id = $t->start->{command_id};
$t->agent->cmd;
is command($id)->{receipt}, undef, 'an open command has none';

done_testing;
