# An agent that vanished without a word is noticed within two intervals of the
# ping; one that answers stays.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;

my $g = VMOps::Gateway->start(directives => 'agents_ws_ping 1s;');
my $dumb = $g->make_agent->online;
my $good = $g->online;
$g->wait_online($dumb);
is $good->{welcome}{ping_s}, 1, 'the welcome tells the interval';

# reads, but never answers

my $start = now;
until ($dumb->{eof}) {
    $good->next_frame(0.05, 1);
    $dumb->next_frame(0.05, 0);
    last if now - $start > 5;
}
my $seconds = now - $start;
$g->wait_offline($dumb, 1);
cmp_ok $seconds, '>', 1, sprintf 'a silent one is dropped after %.1f s',
    $seconds;
# each interval ends with a turn of the wheel, up to a quarter of a second later
cmp_ok $seconds, '<', 3, 'within two intervals';
like $g->error_log, qr/agent was silent for \d+ ms/, 'and the log says why';

# any bytes are signs of life

$start = now;
while (now - $start < 3) {
    $good->frame('alive', type => 'pong');
    $good->next_frame(0.3, 0);
}
cmp_ok @{ $good->{pings} }, '>=', 4, 'the good one was asked several times';
my $id = $g->submit;
$good->serve;
is $g->wait_command($id, 'succeeded')->{status}, 'succeeded', 'and stays';

done_testing;
