# The agent is killed before and after each of its writes, and of the request
# that changes something: an order that it never took in is sent again, what had
# no effect is failed, what may have had one is indeterminate, a task whose UPID is
# known is followed to its end.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Witness;

# more than any restart takes, or until an order is sent again
use constant { TIMEOUT_S => 30, SECONDS => 15 };

# the point, what the command comes to, how many tasks it began; the first one
# while there is nothing yet that is told again after a reconnect
my @POINTS = (
    ['before journal_confirmed' => 'succeeded',                     1],
    ['before journal_intake'    => 'succeeded',                     1],
    ['after journal_intake'     => 'failed agent_restarted',        0],
    ['before journal_started'   => 'failed agent_restarted',        0],
    ['after journal_started'    => 'indeterminate agent_restarted', 0],
    ['before http_do'           => 'indeterminate agent_restarted', 0],
    ['after http_do'            => 'indeterminate agent_restarted', 1],
    ['before journal_followed'  => 'indeterminate agent_restarted', 1],
    ['after journal_followed'   => 'succeeded',                     1],
    ['before journal_ended'     => 'succeeded',                     1],
    ['after journal_ended'      => 'succeeded',                     1],
);

my $s = VMOps->stack;
my $w = VMOps::Witness->with_site($s, guests => scalar @POINTS,
                                  durations => { qmstart => 100 });
my ($site, $agent, $pve) = ($w->site, $w->site->agent, $w->site->pve);

my %id;
my $vmid = 100;
$agent->stop;
for my $point (map { $_->[0] } @POINTS) {
    $agent->hooked(DIE => $point);
    $agent->start;
    $id{$point} = $w->taken('start', $vmid++, timeout_s => TIMEOUT_S);
    is $agent->ended, 9, "killed $point";
    $agent->as_released;
    $agent->wait_status('offline');
    $agent->start;
    wait_for { ($w->journal->{ $id{$point} } // {})->{state} } SECONDS,
        'the journal to have it';
    wait_for { !grep { !$_->{confirmed} } values %{ $w->journal } } SECONDS,
        'what was left to be told';
    $agent->stop;
    $agent->wait_status('offline');
}
$agent->start;
$w->settle;

$vmid = 100;
my $records = $w->records;
for my $expected (@POINTS) {
    my ($point, $end, $tasks) = @$expected;
    my $record = $records->{ $id{$point} };
    is join(' ', grep { length } @$record{qw(status error_code)}), $end,
        "$point: $end";
    is scalar(my @begun = $pve->effects(vmid => $vmid++, event => 'request')),
        $tasks, "$point: $tasks tasks";
}
$w->agree('each write');

done_testing;
