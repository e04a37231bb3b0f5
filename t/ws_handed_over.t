# A command is handed over to the worker that holds its agent, and nobody has to
# take it; and whoever can publish to Redis can neither change what is
# handed over nor have it sent twice.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Functions qw(uuid);
use VMOps::Gateway;

my $g = VMOps::Gateway->start;
my $a = $g->online;
$g->submit;
$a->serve;

my ($incarnation) = @{ $g->live };
my $channel = $g->key('wake', $incarnation);

sub messages {
    return $g->admin('INFO', 'commandstats') =~ /^cmdstat_spublish:calls=(\d+)/m
        ? $1 : 0;
}

my $wake = $g->functions->listen('wake');
my $before = messages();
for (1 .. 5) {
    my $id = $g->submit;
    is $a->serve->{id}, $id, 'handed over, and carried out';
}
is messages() - $before, 3 * 5,
    'three messages each: the order, its beginning, its end';
is_deeply [$g->functions->heard($wake)], [], 'nobody was woken to take it';

# what was heard

my $ear = $g->server->client('vmops');
$ear->call('SSUBSCRIBE', $channel);
my $id = $g->submit(action => 'start');
my $message = $ear->receive->[2];
my $order = $a->serve;
is $order->{id}, $id, 'an order, overheard';
$ear->call('SUNSUBSCRIBE', $channel);

sub publish { $g->admin('SPUBLISH', $channel, $_[0]) }

sub good {
    my ($what) = @_;
    my $good = $g->submit;
    my $got = $a->serve;
    is $got->{id}, $good, "$what: the next order is the good one";
}

publish($message);
good('said again');

my $seq = $order->{seq} + 1000;
(my $newer = $message) =~ s/\xa3seq(?:\xa1|\xa2)$order->{seq}/\xa3seq\xa4$seq/
    or BAIL_OUT('no seq in the message');
my %change = (
    'another action' => [start => 'reset'],
    'another subject' => ['user-op' => 'user-xx'],
    'another role' => [operator => 'ownerown'],
    'another node' => [pve1 => 'pve2'],
    'another session' => [$a->session => uuid()],
    'another agent' => [$a->id => uuid()],
    'another command' => [$id => uuid()],
);
for my $what (sort keys %change) {
    my ($from, $to) = @{ $change{$what} };
    (my $forged = $newer) =~ s/\Q$from\E/$to/g or BAIL_OUT("no $from");
    publish($forged);
    good($what);
}

# what is no message

publish($_) for '', "\x93", "\xdd\xff\xff\xff\xff", "\xdc\xff\xff",
    "\xdb\xff\xff\xff\xff", "\x91" x 20, "\x93\xa0\x90\x90", 'x' x 70_000,
    "\x93\xa0\x92\xa8agent_id\xa0\x96" . "\x90" x 6;
publish(substr $message, 0, $_) for map { $_ * 37 } 1 .. length($message) / 37;
good('malformed');
is_deeply $a->{skipped}, [], 'the agent has heard nothing else';

done_testing;
