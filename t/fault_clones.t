# An agent that is killed again and again, or whose line breaks at any moment,
# between two nodes whose workers are slow at times, is never taken for a copy;
# a copy of its profile is found out within one reconnect, both are shut out,
# and the owner lets one in again.  SEED=N repeats what is drawn.

use strict;
use warnings;

use VMOps;
use VMOps::Faults;
use VMOps::Relay;

use constant { LOCKED => 11, SLOW_MS => 150 };

my $s = VMOps->stack(workers => 2, nodes => 2);
my $relay = VMOps::Relay->start(to => '127.0.0.1:' . $s->port(1));
my $tenant = $s->tenant('acme');
my $agent = $s->agent(tenant => $tenant, name => 'pc',
                      server => 'http://' . $relay->address);
my $faults = VMOps::Faults->new($s);
my $dice = VMOps::Dice->new;
diag 'SEED=', $dice->seed;

sub after_ms { select undef, undef, undef, $dice->below($_[0]) / 1000 }

# how often it was welcomed
sub sessions {
    my $output = ($_[0] // $agent)->output;
    my @lines = grep { /"session_ready"/ }
        -e $output ? split /^/, VMOps::slurp($output) : ();
    return scalar @lines;
}

# entries of the tenant's audit with that event
sub audited {
    my ($event) = @_;
    my $all = $s->redis('XRANGE', "tenants/{acme}/events", '-', '+');
    return grep { /"event":"\Q$event\E"/ }
        map { my %e = @{ $_->[1] }; $e{entry} // () } @$all;
}

sub is_no_clone {
    my ($what) = @_;
    $agent->wait_status('online', 45);
    is scalar(audited('agent.locked')), 0, "$what: 0 false locks";
    is $s->redis('EXISTS', "tenants/{acme}/agents/@{[ $agent->id ]}/takeovers"),
        0, "$what: 0 take-overs that count";
}

# code, while one of the four workers does nothing
sub with_a_slow_worker {
    my ($code) = @_;
    my $worker = $dice->one_of($s->workers(1 + $dice->below(2)));
    $faults->pause($worker);
    $code->();
    $faults->go_on($worker);
}

# kill -9, in mid-handshake or when it is welcomed, and another start

$agent->pair;
my ($kills, $welcomed) = (rounds(ci => 12, full => 200), 0);
for my $n (1 .. $kills) {
    $relay->lead('127.0.0.1:' . $s->port(1 + $dice->below(2)));
    my $before = sessions();
    $agent->start(wait_status => 0);
    if ($n % 2) {
        wait_for { sessions() > $before } 20, 'a welcome';
        after_ms(20);
    } elsif ($n % 4) {
        after_ms(SLOW_MS);
    } else {
        with_a_slow_worker(sub { after_ms(SLOW_MS) });
    }
    $agent->crash;
    $welcomed += sessions() > $before;
}
cmp_ok $welcomed, '>=', $kills / 2, "$kills times killed, $welcomed of them "
    . 'welcomed';
$agent->start(wait_status => 0);
is_no_clone('kill -9');

# a line that flaps: ends, falls silent, leads to the other node

my ($breaks, $before) = (rounds(ci => 8, full => 200), sessions());
for my $n (1 .. $breaks) {
    my @ways = (sub { $relay->cut },
                sub { $relay->lead('127.0.0.1:'
                                   . $s->port(1 + $dice->below(2))) },
                sub { $relay->hold; after_ms(SLOW_MS); $relay->go_on });
    my $break = $dice->one_of(@ways);
    $n % 4 ? $break->() : with_a_slow_worker(sub { $break->();
                                                   after_ms(SLOW_MS) });
    after_ms(1000);
}
cmp_ok sessions() - $before, '>', $breaks / 8, "$breaks times broken, "
    . (sessions() - $before) . ' new sessions';
is_no_clone('a flapping line');

# The control: a copy of the profile, made while the agent is online.  It comes
# in, as it presents the newest epoch; the one it displaced does not any more.

my $copy = $s->agent(tenant => $tenant, name => 'copy');
run_command(['cp', '-a', $agent->home . '/.', $copy->home])->{exit} == 0
    or die 'no copy';
$copy->{id} = $agent->id;
unlink $copy->output;
$before = sessions();
$copy->start(wait_status => 0);
ends_locked($_) for $agent, $copy;
is sessions($copy), 1, 'the copy was welcomed once';
is sessions(), $before, 'the original was not welcomed again';
is $agent->record->{status}, 'locked', 'the agent is locked';
is scalar(audited('agent.locked')), 1, 'and that is audited';

is unlock()->{json}{status}, 'offline', 'unlocked by its owner';
$agent->start(wait_status => 0);
ends_locked($agent);
is unlock()->{status}, 200, 'unlocked once more';
$copy->start;
is $copy->record->{status}, 'online', 'the newer one comes in';
is scalar(audited('agent.unlocked')), 2, 'both are audited';

done_testing;

sub ends_locked {
    my ($who) = @_;
    wait_for { !VMOps::Faults::running($who->pid) } 45, "the end of $who->{name}";
    is $who->stop >> 8, LOCKED, "$who->{name} ends for good, and says why";
}

sub unlock {
    return $agent->rest(POST => '/agents/' . $agent->id . '/unlock');
}
