# The store comes back without its last second, and with it goes what was sealed
# and shown to an agent: the log says so and goes on, sealed in time; an agent
# that verifies it says that it is whole but for that, and no other change of
# it passes as such a loss.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Audit;
use VMOps::Faults;

my $s = VMOps->stack(workers => 2);
my $t = $s->tenant('acme');
my $audit = VMOps::Audit->new($s, tenant => $t);
my $agent = $s->agent(tenant => $t);
my $faults = VMOps::Faults->new($s);
my $made = 0;
$agent->pair;

sub change {
    my $r = $s->rest(POST => '/tokens', { token => $t->{token}, json => {
        name => 't' . ++$made, role => 'viewer' } });
    return 0 if $r->{status} != 201;
    canary("token $made", $r->{json}{token});
    return 1;
}

sub sealed_change {
    my ($why) = @_;
    wait_for { change() } 15, 'a change';
    cmp_ok $audit->wait_sealed(now), '<=', 2, "$why: sealed within 2 s";
}

sub verify {
    my ($by, @lines) = @_;
    return $by->cli(['audit', 'verify', '-'],
                    stdin => join '', map { "$_\n" } @lines);
}

sub events { grep { $_->{event} =~ /^audit\./ } $audit->entries }

# what is written after the mark is sealed, shown to the agent, and lost
sub shown_and_lost {
    $audit->wait_sealed;
    my $mark = $faults->mark;
    change() for 1 .. 3;
    $audit->wait_sealed;
    my ($shown) = $audit->numbers;
    $agent->start;
    $agent->stop;
    $faults->cut_redis($mark);
    $faults->mend;
    wait_for { $audit->rest('/audit/head')->{status} == 200 } 15, 'the store';
    my ($left) = $audit->numbers;
    cmp_ok $left, '<', $shown, "of $shown entries $left are left";
    return ($shown, $left);
}

sealed_change('before');
my @before = $audit->export;
is verify($agent, @before)->{exit}, 0, 'the log holds';

# the agent comes back first: numbers that it has seen are not given out again

my ($shown, $left) = shown_and_lost();
$agent->start;
wait_for { events() } 10, 'it is said';
$audit->wait_sealed;
my @said = events();
is $said[0]{event}, 'audit.forked', 'that the chain is not the one it has seen';
is "$said[0]{actor} $said[0]{n}", 'agent:' . $agent->id . " $shown",
    'who has seen it, and which one';
sealed_change('after');
my @log = $audit->export;
is audit_fault($audit->command_pk, 'acme', @log), '', 'the chain goes on';
my $run = verify($agent, @log);
is $run->{exit}, 13, 'the agent says that it lacks something'
    or diag $run->{out};
my $written = grep { $_->{event} eq 'agent.epoch_ahead' } $audit->entries;
is "$run->{json}{lost} $run->{json}{forked}",
    $shown - $left - $written . ' 1', 'how much';
$agent->stop;

# changes come first: the numbers are given out again, to others

($shown, $left) = shown_and_lost();
my $again = $shown - $left + 2;
sealed_change('changes first') for 1 .. $again;
cmp_ok +($audit->numbers)[0], '>', $shown, 'the same numbers, other entries';
is verify($agent, $audit->export)->{json}{error}{code}, 'audit_witness',
    'nobody has said so yet: another log than the one it was shown';
$agent->start;
wait_for { (grep { $_->{event} eq 'audit.forked' } events()) == 2 } 10,
    'it is said';
$audit->wait_sealed;
@log = $audit->export;
$run = verify($agent, @log);
is $run->{exit}, 13, 'the agent says that it lacks something'
    or diag $run->{out};
is $run->{json}{forked}, 2, 'twice by now';
$agent->stop;

# an agent that was there all the time, and a new one

$agent->start;
$agent->stop;
is scalar(grep { $_->{event} eq 'audit.forked' } events()), 2,
    'the same loss is not said again';

# what was edited does not pass as lost

my ($at) = grep { $log[$_] =~ /"entry".*token\.created/ } 0 .. $#log;
my @edited = @log;
$edited[$at] =~ s/token\.created/token.deleted/ or die;
is verify($agent, @edited)->{exit}, 12, 'an edited one is an edited one';

done_testing;
