# kill -9 of the worker that took a request, of the one that holds the agent's
# socket, and of all of nginx, at every stage of a command: nothing happens
# twice, nothing is lost, nothing stays open.

use strict;
use warnings;

use IO::Socket::INET;
use JSON::PP;

use VMOps;
use VMOps::Faults;
use VMOps::Witness;

my $s = VMOps->stack(workers => 2);
my $w = VMOps::Witness->with_site($s, guests => 3, durations => {
    qmstart => 400, qmstop => 400 });
my ($site, $agent) = ($w->site, $w->site->agent);
my $faults = VMOps::Faults->new($s);

# A request by a connection whose worker is known: it is sent in two parts, and
# the worker is killed when the code says so.

my $keys = 0;

sub post {
    my (%opt) = @_;
    my $body = encode_json({ vm_uuid => $w->uuid_of($opt{vmid}), params => {},
                             timeout_s => 10 });
    my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                     PeerPort => $s->port) or die $@;
    syswrite $sock, join "\r\n",
        "POST /api/v1/vm-ops/proxmox/$opt{action} HTTP/1.1", 'Host: localhost',
        'Authorization: Bearer ' . $site->token, "Idempotency-Key: $opt{key}",
        ($opt{wait} ? "Prefer: wait=$opt{wait}" : ()),
        'Content-Type: application/json',
        'Content-Length: ' . length $body, '', '';
    my $worker;
    wait_for { $worker = $faults->holder($$, 1, $sock->sockport) } 5,
        'its worker';
    return ($sock, $worker, $body);
}

# what the client sees: an answer, or the end of the connection
sub answer {
    my ($sock) = @_;
    $sock->timeout(10);
    my $text = '';
    while ($text !~ /\r\n\r\n/) {
        vec(my $bits = '', fileno $sock, 1) = 1;
        select $bits, undef, undef, 10 or return 'silence';
        sysread $sock, $text, 4096, length $text or last;
    }
    return $text =~ m{^HTTP/1.1 (\d+)} ? $1 : 'cut';
}

# the worker that took the POST: before it has it all, at once, and while the
# command runs and the client waits for its end

for my $round (1 .. rounds(ci => 2, full => 30)) {
    my $action = $round % 2 ? 'start' : 'stop';
    $w->all_guests($round % 2 ? 'stopped' : 'running');
    $w->again;
    $s->forget_rates;

    my ($sock, $worker, $body) = post(action => $action, vmid => 100,
                                      key => 'a' . $keys++);
    syswrite $sock, substr $body, 0, 10;
    $faults->kill_worker($worker);
    is answer($sock), 'cut', "$action: killed before it has the body";
    $w->taken($action, 100, key => 'a' . ($keys - 1));

    ($sock, $worker, $body) = post(action => $action, vmid => 101,
                                   key => 'b' . $keys++);
    syswrite $sock, $body;
    $faults->kill_worker($worker);
    like answer($sock), qr/^(?:cut|202)$/, 'killed as it has it';
    $w->taken($action, 101, key => 'b' . ($keys - 1));

    ($sock, $worker, $body) = post(action => $action, vmid => 102, wait => 10,
                                   key => 'c' . $keys++);
    syswrite $sock, $body;
    wait_for { grep { $_->{vmid} == 102 } @{ $w->effects } } 20, 'the task';
    $faults->kill_worker($worker);
    is answer($sock), 'cut', 'killed while the client waits for the end';
    $w->taken($action, 102, key => 'c' . ($keys - 1));

    $w->settle;
    is scalar(keys %{ $w->records }), 3, 'three commands, whatever was retried';
    is join(' ', map { $_->{status} } values %{ $w->records }),
        'succeeded succeeded succeeded', 'all succeeded';
    $w->agree("round $round: the worker of the request");
}

# the one that holds the socket: with the order on its way, while it runs, and
# with its result on its way; an offline agent is said at once, so a client
# tries again until it is not

my @kills = (
    ['the order on its way', sub { 1 }],
    ['the task under way', sub {
        my ($vmid, $action) = @_;
        grep { $_->{vmid} == $vmid && $_->{op} eq $action } @{ $w->effects };
    }],
    ['the end on its way', sub {
        my ($vmid, $action) = @_;
        grep { $_->{vmid} == $vmid && $_->{event} eq 'effect' }
            @{ $w->effects };
    }],
);
for my $round (1 .. rounds(ci => 2, full => 30)) {
    my $action = $round % 2 ? 'stop' : 'start';
    $w->all_guests($round % 2 ? 'running' : 'stopped');
    $w->again;
    $s->forget_rates;
    for my $i (0 .. 2) {
        my ($name, $condition) = @{ $kills[$i] };
        my $vmid = 100 + $i;
        my $worker = $faults->holder($agent->pid, 1);
        my $id = $w->order($action, $vmid)->{json}{command_id};
        ok $id, "$action: accepted";
        wait_for { $condition->($vmid, $action) } 10, $name;
        $faults->kill_worker($worker);
        my $next;
        wait_for { ($next = $faults->holder($agent->pid, 1))
                   && $next != $worker } 15, 'the agent';
        pass "killed with $name: another one has the agent";
        $agent->wait_status('online');
    }
    $w->settle;
    $w->agree("round $round: the worker of the socket");
}

# all of nginx, as by a loss of power

for my $round (1 .. rounds(ci => 1, full => 10)) {
    my $action = $round % 2 ? 'start' : 'stop';
    $w->all_guests($round % 2 ? 'stopped' : 'running');
    $w->again;
    $s->forget_rates;
    $w->order($action, 100);
    $w->order($action, 101);
    wait_for { grep { $_->{event} eq 'request' } @{ $w->effects } } 10,
        'a task';
    $faults->kill_nginx(1);
    $faults->mend;
    $agent->wait_status('online');
    $w->order($action, 102);
    $w->settle;
    is join(' ', sort map { $_->{status} } values %{ $w->records }),
        'succeeded succeeded succeeded', 'all have their results';
    $w->agree("round $round: all of nginx");
}

$w->control;

done_testing;
