# The store full, hung, and its functions replaced, while clients and an agent
# work: every answer is right or a 503, none comes after its deadline, what is
# told as accepted is carried out once, and all goes on by itself.

use strict;
use warnings;

use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep);

use VMOps;
use VMOps::Faults;
use VMOps::Rest;

use constant {
    CLIENTS  => 3,
    WORST_MS => 4_500,         # two calls of 2 s each: who asks, and what
    HANG_S   => 4,             # longer than a beat may fail
};

my $s = VMOps->stack(workers => 2);
my $faults = VMOps::Faults->new($s);
my $t = VMOps::Rest->new($s);
my $json = JSON::PP->new->utf8->canonical;
my @children;

# in a process of its own, until it is told to end
sub child {
    my ($name, $code) = @_;
    my $log = $s->dir . "/$name.out";
    open my $out, '>', $log or die "cannot write $log: $!\n";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        my $over = 0;
        local $SIG{TERM} = sub { $over = 1 };
        $out->autoflush;
        my $ok = eval { $code->(sub { print $out $json->encode($_[0]), "\n" },
                                sub { $over }); 1 };
        print $out $json->encode({ died => "$@" }), "\n" unless $ok;
        POSIX::_exit($ok ? 0 : 1);
    }
    push @children, $pid;
    return $log;
}

END { kill 'KILL', @children if @children }

sub lines { return map { $json->decode($_) } split /\n/, VMOps::slurp($_[0]) }

# The agent: takes what comes, and tells how it ended until it is told that this
# is known; comes again when it is closed.
my $served = child(agent => sub {
    my ($say, $over) = @_;
    my $agent = $t->agent;
    my ($away, %known, %outbox);
    while (!$over->()) {
        my $order = !$away && eval { $agent->cmd(0.5) };
        delete $outbox{ $_->{id} }
            for grep { $_->{t} eq 'result.ok' } splice @{ $agent->{skipped} };
        if ($order) {
            $say->({ order => $order->{id}, again => $known{ $order->{id} }++ });
            $outbox{ $order->{id} } = $order;
            eval { $agent->ack($order); $agent->result($order) };
            next;
        }
        next if !$away && !$agent->{eof} && !$agent->{closed};
        $away = !eval { $agent->drop; $agent->online; 1 };
        sleep(0.2), next if $away;
        for my $order (values %outbox) {
            my %cmd = map { $_ => $order->{frame}{$_} } qw(p k s);
            eval { $agent->result($order, frame => { cmd => \%cmd }) };
        }
    }
});

# What a client asks for, and what is a right answer to it.
my $vm = $t->vm;
my $secret = $t->secret;
my @asks = (
    [GET => "/vms/$vm", sub { $_[0]{status} == 200
        && $_[0]{json}{vm_uuid} eq $vm && $_[0]{json}{name} eq 'web' }],
    [GET => '/vms', sub { $_[0]{status} == 200
        && grep { $_->{vm_uuid} eq $vm } @{ $_[0]{json}{items} } }],
    [GET => "/secrets/$secret/meta", sub { $_[0]{status} == 200
        && $_[0]{json}{secret_ref} eq $secret }],
    [GET => '/vm-ops/commands?limit=5', sub { $_[0]{status} == 200 }],
    [GET => '/vm-ops/actions', sub { $_[0]{status} == 200 }],
    [PUT => "/secrets/bindings/vm/$vm/proxmox", sub { $_[0]{status} == 200 },
     { secret_ref => $secret }],
    [PATCH => "/vms/$vm", sub { $_[0]{status} == 200 }, { name => 'web' }],
);

# under a key; the same body is the same bytes
sub command {
    my ($key) = @_;
    return (body => $json->encode({ vm_uuid => $vm, timeout_s => 60 }),
            headers => { 'Content-Type' => 'application/json',
                         'Idempotency-Key' => $key });
}

sub client {
    my ($n, @tokens) = @_;
    return child("client$n" => sub {
        my ($say, $over) = @_;
        my $i = 0;
        while (!$over->()) {
            my $which = int($i++ / 400) % @tokens;
            my $token = $tokens[$which];
            if ($i % 4) {
                my ($method, $path, $right, $body) = @{ $asks[$i % @asks] };
                my $r = $s->rest($method, $path, { token => $token,
                    ($body ? (json => $body) : ()), timeout => 10 });
                $say->({ at => now, ms => $r->{ms}, status => $r->{status},
                         code => $r->{json}{code}, path => "$method $path",
                         right => $right->($r) ? 1 : 0 });
            } else {
                my $r = $s->rest(POST => '/vm-ops/proxmox/start', {
                    token => $token, command("$n-$i"), timeout => 10 });
                # away for longer than its gateway's beat: it is offline, which
                # is what the store says as long as nobody told it otherwise
                $say->({ at => now, ms => $r->{ms}, status => $r->{status},
                         code => $r->{json}{code}, path => 'a command',
                         key => "$n-$i", id => $r->{json}{command_id},
                         token => [$n, $which],
                         right => $r->{status} == 202
                             || ($r->{json}{code} // '') eq 'agent_offline' });
            }
            sleep 0.02;
        }
    });
}

my @tokens = map { $t->new_token('owner')->{token} } 1 .. 4 * CLIENTS;
my @logs = map { client($_, @tokens[4 * $_ - 4 .. 4 * $_ - 1]) } 1 .. CLIENTS;

# so many answers, of whatever kind, since now
sub answers { my $n = 0; $n += () = VMOps::slurp($_) =~ /"at"/g for @logs; $n }

sub more {
    my ($n, $what) = @_;
    my $had = answers();
    wait_for { $s->forget_rates; answers() >= $had + $n } 30, "answers $what";
}

my $library = VMOps::slurp(VMOps::built('redis/vmops.lua'));
my $deploy = $s->redis_client('vmops-deploy');
my $rounds = rounds(ci => 1, full => 15);
my @spans;
more(20, 'before anything happens');
for my $round (1 .. $rounds) {
    my $from = now;
    $s->redis(qw(CONFIG SET maxmemory 1));
    more(40, 'of a full store');
    push @spans, ['full', $from, now];
    $s->redis(qw(CONFIG SET maxmemory 0));
    more(40, 'after that');

    $from = now;
    $faults->stop_redis;
    wait_for { now - $from > HANG_S } HANG_S + 1, 'the hang';
    push @spans, ['hung', $from, now];
    $faults->go_on_redis;
    more(60, 'after that');

    $from = now;
    for (1 .. 20) {
        $deploy->call(FUNCTION => 'LOAD', 'REPLACE', $library);
        more(3, 'between two loads');
    }
    push @spans, ['functions replaced', $from, now];

    # a rollout that is none: gone, and there again
    $from = now;
    $s->redis(FUNCTION => 'DELETE', 'vmops_1');
    more(20, 'of a store without functions');
    $deploy->call(FUNCTION => 'LOAD', $library);
    push @spans, ['functions gone', $from, now];

    # it comes back by itself: every client is served, and commands run
    my $r;
    eval { wait_for {
        $s->forget_rates;
        $r = $t->rest(POST => '/vm-ops/proxmox/start', {
            json => { vm_uuid => $vm }, headers => { Prefer => 'wait=3' } });
        $r->{status} == 200 && $r->{json}{status} eq 'succeeded';
    } 20, 'commands to be carried out again'; 1 }
        or die "$@: $r->{status} $r->{body}\n" . VMOps::slurp($served);
}
more(20, 'after it all');
kill 'TERM', @children[1 .. CLIENTS];      # the agent goes on
waitpid $_, 0 for splice @children, 1;

# every answer
my (@answers, %refused, @wrong, %during);
for my $line (map { lines($_) } @logs) {
    push @wrong, "died: $line->{died}" if $line->{died};
    next if !$line->{at};
    push @answers, $line;
    next if $line->{right};
    if ($line->{status} == 503 && $line->{code} eq 'store_unavailable') {
        $refused{ $_->[0] }++ for grep { $line->{at} >= $_->[1]
                                         && $line->{at} <= $_->[2] + 5 } @spans;
        next;
    }
    push @wrong, sprintf '%s: %s %s', $line->{path}, $line->{status},
        $line->{code} // '';
}
my ($slowest) = sort { $b->{ms} <=> $a->{ms} } @answers;
is join("\n", @wrong), '', scalar(@answers) . ' answers: right, or 503';
cmp_ok $slowest->{ms}, '<', WORST_MS,
    "the slowest took $slowest->{ms} ms ($slowest->{path})";
for my $what ('full', 'hung', 'functions gone') {
    cmp_ok $refused{$what} // 0, '>', 0, "the control: $what, some are refused";
}
# how many of all depends on how fast a refusal is
cmp_ok scalar(grep { $_->{right} } @answers), '>', 60 * $rounds,
    'and many are served';

# every command: once, to its end, and by its key the same one
my @commands = grep { $_->{path} eq 'a command' } @answers;
my @accepted = grep { $_->{status} == 202 } @commands;
$s->forget_rates;
my $final = qr/^(?:succeeded|failed|indeterminate)$/;
my %status;
wait_for {
    my $open = 0;
    for my $command (@accepted) {
        next if ($status{ $command->{id} } // '') =~ $final;
        my $r = $t->rest(GET => "/vm-ops/commands/$command->{id}");
        $s->forget_rates if $r->{status} == 429;
        $status{ $command->{id} } = $r->{json}{status} // $r->{status};
        $open++ if $status{ $command->{id} } !~ $final;
    }
    !$open;
} 30, 'the end of every command';
my %ends;
$ends{$_}++ for values %status;
note join ', ', map { "$_: $ends{$_}" } sort keys %ends;
cmp_ok $ends{succeeded}, '>', @accepted / 2, 'accepted ones are carried out';

# What was told as unavailable has reached the store all the same, or it has not:
# its key says which, and makes no second one of it.
my @unsure = grep { $_->{status} == 503 } @commands;
splice @unsure, 40 if @unsure > 40;
my (%of_key, @twice);
for my $command (@unsure) {
    $s->forget_rates;
    for my $try (1, 2) {
        my ($n, $which) = @{ $command->{token} };
        my $r = $t->rest(POST => '/vm-ops/proxmox/start', {
            token => $tokens[4 * $n - 4 + $which],
            command($command->{key}) });
        my $id = $r->{json}{command_id} // "$r->{status} $r->{json}{code}";
        push @twice, "$command->{key} $id"
            if ($of_key{ $command->{key} } //= $id) ne $id;
    }
}
cmp_ok scalar(keys %of_key), '>', 0, 'some are tried again by their keys';
is "@twice", '', 'each is one command';

kill 'TERM', @children;
waitpid $_, 0 for splice @children;
my @orders = grep { $_->{order} } lines($served);
is join(' ', map { $_->{order} } grep { $_->{again} } @orders), '',
    'none of them twice';
is scalar(grep { $_->{died} } lines($served)), 0, 'the agent lives';

done_testing;
