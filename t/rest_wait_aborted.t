# Clients that go away while their request waits, at every point of its way:
# nothing of it stays in the workers, and the commands run on.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

# twice, and all within a minute's 600 requests of a token
use constant TIMES => VMOps::rounds(ci => 40, full => 240);

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);
my $id = $t->start(timeout_s => 600)->{command_id};
my $order = $t->agent->cmd;

sub begin {
    my ($wait) = @_;
    return $t->begin(POST => '/vm-ops/proxmox/status',
                     json => { vm_uuid => $t->vm, timeout_s => 600 },
                     headers => { $wait ? (Prefer => "wait=$wait") : () });
}

sub stream {
    my ($path) = @_;
    return $t->begin(GET => $path, headers => { Accept => 'text/event-stream' });
}

# open sockets of the workers
sub sockets {
    return scalar grep { (readlink($_) // '') =~ /^socket/ }
        map { glob "/proc/$_/fd/*" } $s->workers;
}

sub wait_gone {
    my ($what, $before) = @_;
    wait_for { sockets() <= $before } 10, "the sockets to be closed: $what";
    pass "$what: no socket stays";
}

# what was submitted nevertheless runs: the agent carries out all it gets
sub drain {
    my ($silence) = @_;
    1 while eval {
        $t->agent->ack(my $o = $t->agent->cmd($silence));
        $t->agent->result($o);
    };
}

# the rate of commands is beside the point
sub unlimited { $s->redis(DEL => 'tenants/{acme}/rate/commands') }

my @warm = map { begin(20) } 1 .. 8;
$t->agent->serve for @warm;
$_->answer for @warm;
my $before = sockets();

# at once: before the body is read, before the principal is known, before the
# command is submitted
for my $n (1 .. TIMES) {
    my $w = begin(20);
    $w->abort;
    next if $n % 40;
    unlimited();
    drain(0.1);
}
wait_gone('aborted at once', $before);
drain(1);

# while it waits for the end of the command
my @waits;
for my $n (1 .. 20) {
    unlimited() if $n % 50 == 1;
    push @waits, begin(60);
}
my @orders = map { $t->agent->cmd } @waits;
$_->abort for @waits;
wait_gone('aborted while it waits', $before);
for my $o (@orders) {
    $t->agent->ack($o);
    $t->agent->result($o);
    $t->agent->receive('result.ok');
}
is_deeply [map { $t->rest(GET => "/vm-ops/commands/$_->{id}")->{json}{status} }
           @orders], [('succeeded') x 20], 'the commands run on';

# half of them stay: those are answered
unlimited();
@waits = map { begin(60) } 1 .. 10;
@orders = map { $t->agent->cmd } @waits;
$waits[$_ * 2]->abort for 0 .. 4;
for my $o (@orders) { $t->agent->ack($o); $t->agent->result($o) }
is $waits[$_ * 2 + 1]->answer(10)->{status}, 200,
    'who stays among them is answered' for 0 .. 4;

# event streams
my @paths = ("/vm-ops/commands/$id/events", '/events');
stream($paths[$_ % 2])->abort for 1 .. TIMES;
wait_gone('streams, at once', $before);
my @streams = map { stream($paths[$_ % 2]) } 1 .. 20;
$_->until_like(qr/\r\n\r\n/) for @streams;
$_->abort for @streams;
wait_gone('streams, open', $before);

# a store that hangs: requests wait for its answers
kill 'STOP', $s->redis_pid;
unlimited_later(my @hung = ((map { begin(20) } 1 .. 10), (map { begin() } 1 .. 5),
                            (map { stream($paths[$_ % 2]) } 1 .. 10)));
sub unlimited_later { select undef, undef, undef, 0.2 }
$_->abort for @hung;
wait_gone('while the store hangs', $before);
kill 'CONT', $s->redis_pid;
wait_for { $s->rest(GET => '/readyz')->{status} == 200 } 10, 'the store';
wait_for { $t->agent->drop; eval { $t->online } } 20, 'the agent';

# and all is as before
unlimited();
1 while eval { $t->agent->cmd(0.3) };
my $w = begin(20);
$t->agent->serve;
is $w->answer(10)->{status}, 200, 'a wait that is waited for';

done_testing;
