# Old and new sessions of agents race over two nodes of two workers: sockets
# connect, prove themselves, become ready and are dropped in any order.  When all
# is quiet, presence names the newest session that lives, or none.  SEED=N
# repeats a batch and goes on from it.

use strict;
use warnings;

use VMOps;
use VMOps::Faults;
use VMOps::Functions qw(uuid now_ms);
use VMOps::WSAgent;

# races at one moment, of one agent each
use constant { TOGETHER => 10, QUIET_S => 15 };

my $s = VMOps->stack(workers => 2, nodes => 2);
my $t = $s->tenant('acme');
my $redis = $s->redis_client;
my $seed = VMOps::Dice->new->seed;
my $dice;
diag "SEED=$seed";

my @agents = map { make_agent($_) } 1 .. TOGETHER;
my ($races, $newer, %left) = (rounds(ci => 30, full => 1000), 0);
for my $batch (1 .. $races / TOGETHER) {
    $dice = VMOps::Dice->new($seed + $batch - 1);
    my @plans = map { draw($_) } @agents;
    while (my @open = grep { @$_ } @plans) {
        (shift @{ $dice->one_of(@open) })->();
    }
    my @wrong = @agents;
    eval { wait_for { !(@wrong = grep { wrong($_) } @wrong) } QUIET_S, 'it' };
    is_deeply [map { wrong($_) } @wrong], [], "batch $batch: 0 wrong presences"
        or diag "SEED=$dice->{seed} repeats it";
    seen_alike($batch);
    for my $agent (@agents) {
        my ($alive) = grep { alive($_) } @{ $agent->{sockets} };
        $left{$alive ? 'a session' : 'none'}++;
        $newer++ if $alive && $alive != $agent->{sockets}[0];
        $agent->{sockets} = [grep { $_ } $alive];

        # each that answered when it was displaced counts as a copy
        $redis->call(DEL => "$agent->{key}/takeovers");
    }
}
diag "$races races; left: ", join ', ', map { "$left{$_} $_" } sort keys %left;
cmp_ok $newer, '>', $races / 5, "$newer times a newer session won";

# the control: what was planted is found

my ($agent) = grep { @{ $_->{sockets} } } @agents;
my $old = $agent->{sockets}[0]{ws}->session;
my $x = new_socket($agent);
$_->($agent, $x) for \&connect_it, \&auth, \&welcome, \&ready;
wait_for { !wrong($agent) } QUIET_S, 'the newer one';
for my $case (['the older session', session => $old],
              ['an unknown session', session => uuid()],
              ['no session', session => ''],
              ['a gateway that is dead', gateway => 'f' x 32]) {
    my ($what, $field, $planted) = @$case;
    my $before = $redis->call(HGET => $agent->{key}, $field);
    $redis->call(HSET => $agent->{key}, $field, $planted);
    ok wrong($agent), "planted: $what is found";
    $redis->call(HSET => $agent->{key}, $field, $before);
}
is wrong($agent), undef, 'as it was, it is right';

done_testing;

sub make_agent {
    my ($n) = @_;
    my $code = $s->rest(POST => '/agents/pairings', { token => $t->{token},
        json => { name => "pc-$n", auto_approve => \1 } })->{json}{code};
    my $peer = VMOps::WSAgent->new(port => $s->port(1));
    $peer->pair(sub { $s->rest(@_) }, $code);
    return { peer => $peer, epoch => 0, sockets => [],
             key => 'tenants/{acme}/agents/' . $peer->id };
}

# What an agent's sockets do, each in its order, one socket amid the others.
# What the agent has of its epochs is on its disk, for all of them.
sub draw {
    my ($agent) = @_;
    my @steps = (\&connect_it, \&auth, \&welcome, \&ready);
    my @lists;
    if (my ($old) = @{ $agent->{sockets} }) {
        push @lists, [map { step($agent, $old, $_) } \&drop] if $dice->below(2);
    } else {
        my $first = new_socket($agent);
        push @lists, [map { step($agent, $first, $_) } @steps];
    }
    for (0 .. $dice->below(2)) {
        my $x = new_socket($agent);
        push @lists, [map { step($agent, $x, $_) } @steps,
                      $dice->below(4) ? () : \&drop];
    }
    my @plan;
    while (my @open = grep { @$_ } @lists) {
        push @plan, shift @{ $dice->one_of(@open) };
    }
    return \@plan;
}

sub step {
    my ($agent, $x, $code) = @_;
    return sub { $code->($agent, $x) if $x->{ws} && !$x->{over} };
}

# over: dropped by us, closed, or refused; answers: to pings
sub new_socket {
    my ($agent) = @_;
    my $x = { ws => $agent->{peer}->twin(port => $s->port(1 + $dice->below(2))),
              answers => $dice->below(2), how => $dice->one_of(qw(fin rst)) };
    push @{ $agent->{sockets} }, $x;
    return $x;
}

sub connect_it {
    my ($agent, $x) = @_;
    $x->{ws}->connect;
}

sub auth {
    my ($agent, $x) = @_;
    $x->{ws}{epoch} = $agent->{epoch};
    $x->{ws}->send($x->{ws}->auth_message);
}

sub welcome {
    my ($agent, $x) = @_;
    if (!eval { $x->{ws}->welcomed }) {
        $x->{over} = 1;
        return;
    }
    $x->{epoch} = $x->{ws}->epoch;
    $agent->{epoch} = $x->{epoch} if $x->{epoch} > $agent->{epoch};
}

sub ready {
    my ($agent, $x) = @_;
    $x->{ws}->ready;
    $x->{ready} = 1;
}

sub drop {
    my ($agent, $x) = @_;
    $x->{ws}->drop($x->{how});
    $x->{over} = $x->{dropped} = 1;
}

# is it there still?  Also reads what came.
sub alive {
    my ($x) = @_;
    return 0 if $x->{over};
    1 while defined $x->{ws}->next_frame(0.001, $x->{answers});
    if ($x->{ws}{closed} || $x->{ws}{eof}) {
        $x->{ws}->drop;
        $x->{over} = 1;
    }
    return !$x->{over};
}

# what is wrong about an agent's presence, in words
sub wrong {
    my ($agent) = @_;
    my @alive = grep { alive($_) } @{ $agent->{sockets} };
    my $id = $agent->{peer}->id;
    return "$id: " . @alive . ' sessions live' if @alive > 1;
    my ($session, $gateway, $locked) = map { $_ // '' } @{ $redis->call(
        HMGET => $agent->{key}, qw(session gateway locked)) };
    return "$id: locked" if $locked;
    my $lives = @alive ? $alive[0]{ws}->session : '';
    return "$id: presence names '$session', '$lives' lives"
        if $session ne $lives;
    return "$id: its gateway does not live"
        if $lives && !grep { $_ eq $gateway } @{ $redis->call(
            ZRANGEBYSCORE => 'platform/{p}/gateways', now_ms(), '+inf') };
    my ($newest) = sort { $b->{epoch} <=> $a->{epoch} }
        grep { $_->{epoch} } @{ $agent->{sockets} };
    return "$id: the newest session was closed"
        if $newest && $newest->{ready} && !$newest->{dropped}
            && !grep { $_ == $newest } @alive;
    return undef;
}

# both nodes say of every agent what is so
sub seen_alike {
    my ($batch) = @_;
    my %is = map { $_->{peer}->id => (grep { alive($_) } @{ $_->{sockets} })
                       ? 'online' : 'offline' } @agents;
    for my $node (1, 2) {
        my $r = $s->rest(GET => '/agents', { node => $node,
                                             token => $t->{token} });
        is_deeply { map { $_->{agent_id} => $_->{status} }
                    @{ $r->{json}{items} } }, \%is,
            "batch $batch: node $node says so";
    }
}
