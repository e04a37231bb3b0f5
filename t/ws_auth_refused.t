# Who cannot prove its key gets 4401 and no signed word; and nothing is written
# to the store before a signature held.
# tags: asan

use strict;
use warnings;

use Crypt::PRNG qw(random_bytes);
use MIME::Base64 qw(encode_base64url);

use VMOps;
use VMOps::Gateway;
use VMOps::WSAgent;

my $g = VMOps::Gateway->start;
my $a = $g->agent;
my $f = $g->functions;

# all but what the gateway's beat writes every second
sub stored {
    my %stored = %{ $f->snapshot };
    delete $stored{'platform/{p}/gateways'};
    return \%stored;
}
my $before = stored();

my %refused;
sub refused {
    my ($what, $agent, %over) = @_;
    my $code = delete $over{code} // 4401;
    $refused{$code}++;
    $agent->connect;
    $agent->{skipped} = [];
    $agent->send($agent->auth_message(%over));
    is $agent->closed, $code, "$what: closed $code";
    is_deeply [map { $_->{t} } @{ $agent->{skipped} }], [],
        "$what: and nothing else was said";
}

sub stranger {
    my (%opt) = @_;
    return VMOps::WSAgent->new(port => $g->port, tenant => 'acme',
                               command_pk => $g->{command_pk}, %opt);
}

# unknown ones

refused('an unknown agent', stranger(agent => VMOps::Functions::uuid()));
refused('an unknown tenant', stranger(agent => $a->id, tenant => 'nobody'));
refused('its id, another key', stranger(agent => $a->id));

# each part of what is signed

refused('another nonce of the server', $a, s_nonce => random_bytes(32));
refused('another Host', $a, host => 'example.com');
refused('a Host in another case', $a, host => uc 'localhost:' . $g->port);
refused('another epoch than signed', $a, members => { epoch => 7 });
refused('another nonce of the agent', $a,
        members => { nonce => encode_base64url(random_bytes(32)) });
refused('another key than its record', $a, ed_pk => random_bytes(32));
refused('bytes in an unused binding', $a, cb32 => random_bytes(32));
refused('a binding without TLS', $a, cb => 'tls-exporter',
        cb32 => random_bytes(32));
refused('a signature of zeros', $a,
        members => { sig => encode_base64url("\0" x 64) });

# what has no form

refused('a signature of 63 bytes', $a, code => 1008,
        members => { sig => encode_base64url('s' x 63) });
refused('no tenant\'s name', $a, code => 1008,
        members => { tenant => 'Acme' });
refused('no agent\'s id', $a, code => 1008, members => { agent => 'x' });
refused('a foreign type', $a, code => 1008, members => { t => 'result' });
refused('an epoch below zero', $a, code => 1008, members => { epoch => -1 });
refused('another binding', $a, code => 1008, members => { cb => 'tls-unique' });

for my $case (['no JSON', 'hello'], ['an array', '[]'],
              ['two documents', '{"t":"auth"}{}'],
              ['the same name twice', '{"t":"auth","t":"ready"}'],
              ['a zero byte', '{"t":"au\u0000th"}']) {
    $a->connect;
    $a->frame($case->[1]);
    is $a->closed, 1008, "$case->[0]: closed 1008";
}

$a->connect;
$a->frame('x', type => 'binary');
is $a->closed, 1003, 'a binary message: closed 1003';

is_deeply stored(), $before, 'the store is as it was';

# records that were touched

my $key = $g->agent_key;
for my $case ([ed_pk => encode_base64url(random_bytes(32))],
              [approved => 0], [revoked => 1], [mac => ''],
              [mac => encode_base64url(random_bytes(32))]) {
    my ($field, $value) = @$case;
    my $was = $g->admin('HGET', $key, $field);
    $g->admin('HSET', $key, $field, $value);
    refused("a record with another $field", $a);
    $g->admin('HSET', $key, $field, $was);
}

# another agent's whole record, in its place

my $other = $g->make_agent;
my %theirs = @{ $g->admin('HGETALL', $g->agent_key($other)) };
my %ours = @{ $g->admin('HGETALL', $key) };
$g->admin('HSET', $key, map { $_ => $theirs{$_} } qw(ed_pk x_pk mac));
refused('another agent\'s record', $a->twin(keys => $other->{keys}));
$g->admin('HSET', $key, map { $_ => $ours{$_} } qw(ed_pk x_pk mac));

like $g->error_log, qr/\[error\].*the MAC of the record of agent/,
    'the log names it as an error';
my @lines = $g->error_log =~ /(\[\w+\].* session is closed, .*)/g;
my @wrong = grep { !/code 1008|code 1003/
    && !/^\[warn\].* code 4401: .*, agent [0-9a-f-]{36} of tenant "(?:acme|nobody)"/ }
    @lines;
is "@wrong", '', 'who is refused for its key is in the log at warn, and named';
is scalar(grep { /4401/ } @lines), $refused{4401}, 'in one line each';

# the good one

$g->online;
is $g->agent_record->{epoch}, 1, 'and then the agent comes in';

# its profile, copied: the older epoch gives it away

my $twin = $a->twin(epoch => 0);
$twin->connect;
$twin->send($twin->auth_message);
my $bye = $twin->ctl;
is_deeply { %$bye, n => 0 }, { v => 1, n => 0, do => 'bye', code => 4423 },
    'an old epoch: a signed end';
is $twin->closed, 4423, 'and closed 4423';
is $a->ctl->{code}, 4423, 'the other one, too, is told';
is $a->closed, 4423, 'and closed';
is $g->agent_record->{locked}, 1, 'the agent is locked';

done_testing;
