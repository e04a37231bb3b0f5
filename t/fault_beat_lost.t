# A gateway worker whose beat fails for 3 s sends no more commands, though the
# store would give it some; when its beat is back it is another incarnation,
# registers its agents under it, and goes on.

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;

my $g = VMOps::Gateway->start;
my $a = $g->online;
my ($before) = @{ $g->live };

# what nginx' user may do with a tenant's keys stays, the beat is refused

sub beat_fails { $g->admin(qw(ACL SETUSER vmops resetkeys ~tenants/*)) }
sub beat_works { $g->admin(qw(ACL SETUSER vmops allkeys)) }

my $start = now;
beat_fails();
my $id = $g->submit(live => $before);
is $a->cmd(2)->{id}, $id, 'a beat that fails for a moment changes nothing';

wait_for {
    $g->error_log =~ /no answer to the beat for 3000 ms: its agents count as offline/
} 6, 'the loss';
cmp_ok now - $start, '>', 1.9, 'it takes a while';
cmp_ok now - $start, '<', 4.2, 'but not long';
$id = $g->submit(live => $before);
is $a->next_message(1.5), undef, 'nothing is sent any more';
is $g->functions->admin('HGET', $g->key('agent_commands', $id), 'status'),
    'queued', 'the command waits';

beat_works();
is $a->cmd(5)->{id}, $id, 'with the beat it is sent';
my ($now) = @{ $g->live };
isnt $now, $before, 'by another incarnation';
is $g->agent_record->{gateway}, $now, 'which the agent is registered under';
is $g->agent_record->{session}, $a->session, 'with the session it had';

# at its new address it is handed what comes next, and woken for nothing

my $wake = $g->functions->listen('wake');
$id = $g->submit(live => $now);
is $a->cmd(5)->{id}, $id, 'the next command';
is_deeply [$g->functions->heard($wake)], [], 'is handed over';

done_testing;
