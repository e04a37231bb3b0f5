# What an idle agent costs the server: docs/architecture.md promises 2.0 kB,
# also after it has carried commands.

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;

use constant { WARM => 50, AGENTS => 500, LIMIT => 2048 };

my $g = VMOps::Gateway->start;

my ($first, @warm, @agents);

# a slow machine takes longer for all of them than a silent one is kept
sub answer_pings { $_->next_frame(0, 1) for $first, @warm, @agents }

# private pages only: what is shared counts by who else runs just now
sub memory {
    my $kb = 0;
    for my $pid ($g->workers) {
        my ($dirty) = VMOps::slurp("/proc/$pid/smaps_rollup")
            =~ /^Private_Dirty:\s+(\d+) kB/m;
        $kb += $dirty;
    }
    return $kb * 1024;
}

$first = $g->online;
$g->submit && $first->serve for 1 .. 10;
@warm = map { $g->make_agent->online } 1 .. WARM;
$g->wait_online($warm[-1]);
my $before = memory();
while (@agents < AGENTS) {
    push @agents, $g->make_agent->online;
    answer_pings() if @agents % WARM == 0;
}
$g->wait_online($_) for @agents;
answer_pings();
my $each = (memory() - $before) / AGENTS;
cmp_ok $each, '<', LIMIT, sprintf '%d idle agents: %.0f bytes each', AGENTS,
    $each;

# large messages leave nothing behind

my $big = '{"t":"news","x":"' . 'x' x 60_000 . '"}';
for my $a (@agents[0 .. 29]) {
    $a->frame(substr($big, 0, 30_000), fin => 0);
    $a->frame(substr($big, 30_000), type => 'continuation');
    $a->frame('last', type => 'ping');
    wait_for { $a->next_frame(0.02); @{ $a->{pongs} // [] } } 5, 'a pong';
}
my $after = (memory() - $before) / AGENTS;
cmp_ok $after, '<', LIMIT, sprintf 'after 30 messages of 60 KB: %.0f', $after;

answer_pings();
is scalar(grep { $_->{eof} || $_->{closed} } $first, @warm, @agents), 0,
    'and all are still there';
my $command = $g->submit;
$first->serve;
is $g->wait_command($command, 'succeeded')->{status}, 'succeeded',
    'and are sent commands';

done_testing;
