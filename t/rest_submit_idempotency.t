# Idempotency-Key: the same key and request make one command, however often and
# wherever it is sent; another request under it is refused.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2, nodes => 2);
my $t = VMOps::Rest->new($s);
my $n = 0;

sub key { return 'key-' . ++$n }

sub submit {
    my ($key, %opt) = @_;
    my $path = '/vm-ops/proxmox/' . (delete $opt{action} // 'start');
    return $t->rest(POST => $path, {
        headers => { 'Idempotency-Key' => $key },
        ($opt{body} ? () : (json => { vm_uuid => $t->vm })), %opt });
}

sub mismatch {
    my ($what, $r) = @_;
    is $r->{status}, 422, "$what: 422";
    is $r->{json}{code}, 'idempotency_mismatch', "$what: idempotency_mismatch";
}

# again, on another node, while it waits, runs, and has ended
my $key = key();
my $first = submit($key);
is $first->{status}, 202, 'a command';
my $id = $first->{json}{command_id};
my $order = $t->agent->cmd;
my $again = submit($key, node => 2);
is $again->{status}, 202, 'again: accepted';
is $again->{json}{command_id}, $id, 'the same command';
is $again->{json}{status}, 'delivered', 'as it is now';
is $again->{headers}{location}, $s->url(2) . "/api/v1/vm-ops/commands/$id",
    'with its address';
$t->agent->ack($order);
$t->agent->send({ t => 'log', id => $id, line => 'a line' });
$t->agent->result($order);
$t->agent->receive('result.ok');
$again = submit($key);
is $again->{status}, 200, 'ended: 200';
is_deeply $again->{json}, $t->rest(GET => "/vm-ops/commands/$id")->{json},
    'with its log, result and receipt';
is eval { $t->agent->cmd(0.5) }, undef, 'the agent got it once';

# the request that makes it the same: action and JSON, not its spelling
$key = key();
my $vm = $t->vm;
$id = submit($key, body => qq({"vm_uuid":"$vm","params":{"timeout":5}}),
    headers => { 'Idempotency-Key' => $key,
                 'Content-Type' => 'application/json' })->{json}{command_id};
$t->agent->serve;
is submit($key, headers => { 'Idempotency-Key' => $key,
                             'Content-Type' => 'application/json' },
          body => qq({ "vm_uuid" : "$vm" ,\n "p\\u0061rams":{"timeout":5 } }))
    ->{json}{command_id}, $id, 'another spelling is the same';
is submit($key, headers => { 'Idempotency-Key' => $key,
                             'Content-Type' => 'application/json' },
          body => qq({"params":{"timeout":5},"vm_uuid":"$vm"}))
    ->{json}{command_id}, $id, 'so is another order';
mismatch('another parameter', submit($key, json => {
    vm_uuid => $vm, params => { timeout => 6 } }));
mismatch('no parameter', submit($key));
mismatch('another action', submit($key, action => 'stop'));
mismatch('another timeout', submit($key, json => {
    vm_uuid => $vm, params => { timeout => 5 }, timeout_s => 60 }));

# keys are a principal's own
my $other = $t->new_token('operator')->{token};
$key = key();
$id = submit($key)->{json}{command_id};
my $theirs = submit($key, token => $other);
is $theirs->{status}, 202, 'the same key of another principal';
isnt $theirs->{json}{command_id}, $id, 'is another command';
$t->agent->serve for 1, 2;

# what was refused leaves nothing behind
$key = key();
my $r = submit($key, json => { vm_uuid => '01890000-0000-7000-8000-000000000000' });
is $r->{status}, 404, 'a refused request';
$r = submit($key);
is $r->{status}, 202, 'its key is free';
$t->agent->serve;

# the form of a request comes before the replay, its parameters after it
$r = submit($key, json => {});
is $r->{json}{code}, 'invalid_params', 'a broken form: not replayed';
mismatch('wrong parameters', submit($key, json => {
    vm_uuid => $vm, params => { timeout => 'x' } }));

# a replay needs no license, no flag
sub lease {
    my ($expires_s) = @_;
    $s->rest(PUT => '/admin/tenants/acme/license', {
        token => $s->platform_token, json => {
            plan => 'test', max_agents => 100, max_vms => 100, grace_s => 0,
            expires_at => VMOps::time_of(time + $expires_s) } });
}
sub bus {
    my ($value) = @_;
    $s->rest(PUT => '/admin/tenants/acme/flags', {
        token => $s->platform_token,
        json => { AGENT_COMMAND_BUS_ENABLED => $value } });
}
for my $case (['402 license_inactive', sub { lease(-60) }, sub { lease(86400) }],
              ['501 feature_disabled', sub { bus(JSON::PP::false) },
               sub { bus(undef) }])
{
    my ($code, $shut, $open) = @$case;
    $shut->();
    wait_for { $r = submit(key()); "$r->{status} " . ($r->{json}{code} // '')
               eq $code } 5, $code;
    is submit($key)->{status}, 200, "a replay where a new one is $code";
    $open->();
    wait_for { ($r = submit(key()))->{status} == 202 } 5, 'it to be over';
    $t->agent->serve;
}

# nor an agent
$t->agent->close;
wait_for { $t->rest(GET => '/agents/' . $t->agent->id)->{json}{status}
           eq 'offline' } 5, 'the agent to go';
is submit($key)->{status}, 200, 'a replay while the agent is offline';
$t->online;

# at once, from everywhere
$key = key();
my @all = map { $t->begin(POST => '/vm-ops/proxmox/start', node => 1 + $_ % 2,
    json => { vm_uuid => $vm }, headers => { 'Idempotency-Key' => $key }) }
    1 .. 20;
my %ids = map { ($_->answer(10)->{json}{command_id} // '') => 1 } @all;
is scalar keys %ids, 1, 'twenty at once are one command';
$t->agent->serve;
is eval { $t->agent->cmd(0.5) }, undef, 'sent once';

# forms of the key
for my $good ('x', '"8e03978e-40d5-43dd-bc93-6894a57f9324"', '~' x 128,
              '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}') {
    $r = submit($good);
    is $r->{status}, 202, "a key of " . length($good) . ' characters';
    $t->agent->serve;
}
for my $bad ('', 'x' x 129, 'a b', "caf\xe9", "\t") {
    $r = submit($bad);
    is $r->{status}, 400, 'a bad key: 400';
    is $r->{json}{code}, 'invalid_header', 'a bad key: invalid_header';
    is_deeply $r->{json}{errors},
        [{ pointer => '/idempotency-key', code => 'pattern' }], 'and it is named';
}
$r = $t->begin(POST => '/vm-ops/proxmox/start', json => { vm_uuid => $vm },
    headers => { 'Idempotency-Key' => 'a', 'idempotency-key' => 'b' })->answer;
is $r->{status}, 400, 'two keys: 400';

done_testing;
