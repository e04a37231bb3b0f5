# A stream on which nothing happens says so every 15 s: what is in between knows
# that it lives.
# tags: asan

use strict;
use warnings;

use Time::HiRes qw(time);

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s, offline => 1);
my $stream = VMOps::Stream->new($s, '/events', token => $t->token);
my $start = time;
ok $stream->silent(0.5), 'nothing happens';
my $first = $stream->comments;
is $first, 1, 'the stream begins with a comment';

until ($stream->comments > $first) {
    $stream->silent(0.2);
    die "no comment\n" if time - $start > 20;
}
my $took = time - $start;
cmp_ok $took, '>=', 14.5, 'a comment, 15 s later';
cmp_ok $took, '<', 16.5, 'not much later';

$t->made(POST => '/agents/pairings', {});
is $stream->next->{event}, 'pairing', 'and what happens is told';

done_testing;
