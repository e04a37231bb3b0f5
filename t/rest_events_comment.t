# A stream that has been silent for 15 s says that it lives, for what is in
# between: 15 s after the last that was written, whatever came meanwhile, and
# though the store hung for a while.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s, offline => 1);
my $other = VMOps::Rest->new($s, tenant => 'globex', offline => 1);
my (%stream, %since, %took);

sub stream {
    my ($name, $of) = @_;
    $stream{$name} = VMOps::Stream->new($s, '/events', token => $of->token);
    $since{$name} = now;
}

stream('an event', $other);
stream('nothing happens', $t);

# what this one reads first fails, and is read again a while later; who asks is
# known from just before
kill 'STOP', $s->redis_pid;
stream('the store hangs', $t);
for my $name (sort keys %stream) {
    ok $stream{$name}->silent(0.1), "$name: at first";
    is $stream{$name}->comments, 1, "$name: it begins with a comment";
}
wait_for { $s->error_log =~ /no answer, connection given up/ } 5, 'the loss';
kill 'CONT', $s->redis_pid;
wait_for { $s->rest(GET => '/readyz')->{status} == 200 } 10, 'the store';

$other->made(POST => '/agents/pairings', {});
is $stream{'an event'}->next->{event}, 'pairing', 'the event';
$since{'an event'} = now;

wait_for {
    for my $name (grep { !$took{$_} } keys %stream) {
        ok 0, "$name: nothing else comes" if !$stream{$name}->silent(0.05);
        $took{$name} = now - $since{$name} if $stream{$name}->comments > 1;
    }
    keys %took == keys %stream;
} 25, 'comments';

for my $name (sort keys %took) {
    cmp_ok $took{$name}, '>=', 14.5, "$name: a comment, 15 s later";
    cmp_ok $took{$name}, '<', 16, "$name: not much later";
}

$t->made(POST => '/agents/pairings', {});
is $stream{$_}->next->{event}, 'pairing', "$_: and what happens is told"
    for 'nothing happens', 'the store hangs';

done_testing;
