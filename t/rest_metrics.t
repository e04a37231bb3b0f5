# GET /metrics counts what was done, over all workers, and keeps counting when
# workers are replaced; read by the parser of Prometheus' own client.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Rest;
use VMOps::WSAgent;

my $s = VMOps->stack(workers => 2);
$s->add_server_conf('location = /api/v1/license { vmops_api; '
                    . 'if ($http_x_if) { set $x 1; } }');
my $t = VMOps::Rest->new($s);

my $text;

# the families by name
sub metrics {
    $text = $s->rest(GET => '/metrics')->{body};
    my $run = run_command([VMOps::top() . '/t/metrics/parse'], stdin => $text);
    die "not Prometheus' text: $run->{err}\n$text" if $run->{exit};
    return map { $_->{name} => $_ } @{ decode_json($run->{out}) };
}

# the sum of the samples of now that have these labels
sub sum {
    my ($name, $labels) = @_;
    my %families = metrics();
    my $n = 0;
    for my $family (values %families) {
        for my $sample (@{ $family->{samples} }) {
            my ($of, $has, $value) = @$sample;
            $n += $value if $of eq $name
                && !grep { ($has->{$_} // '') ne $labels->{$_} } keys %$labels;
        }
    }
    return $n;
}

# a request is counted when it has ended, which its client may know before
sub becomes {
    my ($name, $labels, $value, $what) = @_;
    my $got;
    eval { wait_for { ($got = sum($name, $labels)) == $value } 10, $what };
    is $got, $value, $what;
}

# requests, by route and status, on whatever worker
my %vms = (method => 'GET', route => '/vms/{uuid}');
my $before = sum(vmops_requests_total => { %vms, status => 200 });
$t->rest(GET => '/vms/' . $t->vm, { headers => { Connection => 'close' } })
    for 1 .. 20;
becomes(vmops_requests_total => { %vms, status => 200 }, $before + 20,
        'each request is counted once');
$s->rest(GET => '/vms/' . $t->vm) for 1 .. 3;
becomes(vmops_requests_total => { %vms, status => 401 }, 3,
        'those of nobody, too, for the route they asked');
$t->rest(PUT => '/vms/' . $t->vm);
$t->rest(GET => "/nothing/$_") for 1 .. 5;
becomes(vmops_requests_total => { route => 'none', status => 404 }, 5,
        'what is no route has no label of its own');
becomes(vmops_requests_total => { route => 'none', status => 405 }, 1,
        'nor what is no method of one');
$t->rest(GET => '/license', { headers => { 'X-If' => 1 } });
becomes(vmops_requests_total => { route => '/license', status => 200 }, 1,
        'one inside of an "if" is counted like any');
$t->begin(GET => '/vms?x=' . 'y' x 40_000)->answer(10);
is sum(vmops_requests_total => { status => 'other' }), 0,
    'every status has a name';

# latencies
my %families = metrics();
my $duration = $families{vmops_request_duration_seconds};
is $duration->{type}, 'histogram', 'latencies are a histogram';
my (%buckets, %count);
for my $sample (@{ $duration->{samples} }) {
    my ($name, $labels, $value) = @$sample;
    my $row = "$labels->{method} $labels->{route}";
    push @{ $buckets{$row} }, [$labels->{le}, $value] if $name =~ /_bucket$/;
    $count{$row} = $value if $name =~ /_count$/;
}
my ($rising, $whole, $like_requests) = (1, 1, 1);
for my $row (keys %count) {
    my @values = map { $_->[1] } @{ $buckets{$row} };
    $rising &&= !grep { $values[$_] < $values[$_ - 1] } 1 .. $#values;
    $whole &&= $buckets{$row}[-1][0] eq '+Inf' && $values[-1] == $count{$row};
    my ($method, $route) = split / /, $row, 2;
    next if $route eq '/metrics';    # those before this one may be ending yet
    my $requests = 0;
    for my $sample (@{ $families{vmops_requests}{samples} }) {
        $requests += $sample->[2] if $sample->[1]{method} eq $method
            && $sample->[1]{route} eq $route;
    }
    $like_requests &&= $requests == $count{$row};
}
ok $rising, 'a bucket holds those before it';
ok $whole, 'the last one holds all';
ok $like_requests, 'of each route as many as there were requests';

# commands, by how they ended
my $submitted = sum(vmops_commands_submitted_total => {});
$t->start, $t->agent->serve for 1 .. 3;
$t->start;
$t->agent->serve(status => 'failed', error => {
    code => 'target_error', stage => 'http', detail_code => undef });
$t->start;
my $order = $t->agent->cmd;
$t->agent->send({ t => 'ack', id => $order->{id}, status => 'rejected',
                  code => 'policy_denied' });
my %want = (succeeded => 3, failed => 1, rejected => 1);
becomes(vmops_commands_ended_total => { outcome => $_ }, $want{$_},
        "$want{$_} $_") for sort keys %want;
is sum(vmops_commands_submitted_total => {}) - $submitted, 5,
    'five were submitted';
my $key = { 'Idempotency-Key' => 'once' };
my %start = (json => { vm_uuid => $t->vm }, headers => $key);
$t->rest(POST => '/vm-ops/proxmox/start', \%start) for 1 .. 4;
is sum(vmops_commands_submitted_total => {}) - $submitted, 6,
    'a replay is none';
$t->agent->serve;

# one whose time is over, found by the sweep
$t->start(timeout_s => 1);
$t->agent->cmd;
becomes(vmops_commands_ended_total => { outcome => 'indeterminate' }, 1,
        'what the sweep ends is counted');

# agents, streams, Redis
becomes(vmops_agents => { state => 'connected' }, 1, 'one agent is connected');
my @streams = map { $t->begin(GET => '/events') } 1 .. 4;
$_->until_like(qr/200 OK/) for @streams;
becomes(vmops_streams => {}, 4, 'four streams are open');
$_->abort for @streams;
becomes(vmops_streams => {}, 0, 'and closed again');
for my $client (qw(rest gateway)) {
    becomes(vmops_redis_connections => { client => $client, state => 'ready' },
            2, "the $client\'s connections to Redis are there");
    becomes(vmops_queue_length => { queue => "redis_$client" }, 0,
            'and nothing waits for them: a beat is no work');
}

# how agents' sockets began, and why they ended
my ($shakes, $ended) = qw(vmops_agent_handshakes_total
                          vmops_agent_sessions_ended_total);
my $begun = sum($shakes => { status => 101 });
my $agent = $t->agent;
my $thief = $agent->twin;
$thief->connect;
$thief->send($thief->auth_message(s_nonce => 'x' x 32));
is $thief->closed, 4401, 'one that cannot prove its key';
becomes($ended => { code => 4401 }, 1, 'is counted by the code of its end');
$agent->drop;
becomes($ended => { code => 1006 }, 1, 'so is a line that was cut');
$agent->online;
becomes(vmops_agents => { state => 'connected' }, 1, 'it is there again');
becomes($shakes => { status => 101 }, $begun + 2, 'each handshake is counted');
my $path = VMOps::WSAgent::PATH;
is $s->rest(GET => $path)->{status}, 400, 'one that is none';
is $s->rest(POST => $path)->{status}, 405, 'and a method that is none';
becomes($shakes => { status => 400 }, 1, 'is counted by its status');
becomes($shakes => { status => 405 }, 1, 'of each');
is sum($_ => { $_ eq $shakes ? 'status' : 'code', 'other' }), 0, "$_: none other"
    for $shakes, $ended;

# no tenant, no VM, no agent
unlike $text, qr/acme|[0-9a-f]{8}-[0-9a-f]{4}|sec_/,
    'nothing says whose requests they were';

# workers come and go
my %kept = (method => 'GET', route => '/vms/{uuid}', status => 401);
$s->reload;
wait_for { $s->rest(GET => '/readyz')->{status} == 200 } 10, 'the reload';
is sum(vmops_requests_total => \%kept), 3, 'a reload keeps what was counted';
becomes(vmops_workers => {}, 2, 'old workers are counted until they end');
becomes(vmops_agents => { state => 'connected' }, 0,
        'and their agents with them');
becomes($ended => { code => 1001 }, 1, 'which were sent away');
my ($worker) = $s->workers;
$s->allow_log(qr/worker process $worker exited on signal 9/);
kill KILL => $worker;
wait_for { !kill 0 => $worker } 5, 'a worker to be gone';
is sum(vmops_requests_total => \%kept), 3, 'so does one that is killed';
becomes(vmops_workers => {}, 2, 'its successor takes its place');

# without a store
my $redis = $s->redis_pid;
kill KILL => $redis;
wait_for { !kill 0 => $redis } 5, 'the store to be gone';
becomes(vmops_redis_connections => { client => 'rest', state => 'down' }, 2,
        'the state of Redis is seen');
becomes(vmops_redis_connections => { client => 'gateway', state => 'ready' },
        0, 'by both');

done_testing;
