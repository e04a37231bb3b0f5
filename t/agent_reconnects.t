# Sessions that come and go cost nothing: after very many of them the agent has
# the descriptors and the memory of before, but for what is passing, and what an
# allocator keeps.
# tags: tsan

use strict;
use warnings;

use VMOps;
use VMOps::FakeServer;

use constant { FIRST => 20, GROWTH_KIB => 2048, PASSING => 4 };

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
VMOps->watch_log($agent->home);
$agent->pair;
$agent->start;

reconnect(FIRST);
my ($fds, $kib) = (fds(), kib());
cmp_ok $fds, '>', 0, "$fds descriptors, $kib KiB after " . FIRST;
my $n = rounds(ci => 100, full => 1000);
reconnect($n);
cmp_ok fds(), '<=', $fds + PASSING, "no more after $n more";
cmp_ok kib() - $kib, '<', GROWTH_KIB, 'and the same memory';

done_testing;

# at once, as the server asks for it; each other one without a Close
sub reconnect {
    my ($times) = @_;
    for my $i (1 .. $times) {
        my $connections = $server->{connections};
        $server->say({ t => 'bye', code => 'store_unavailable',
                       retry_after_ms => 1 });
        if ($i % 2) {
            $server->cut(1001);
        } else {
            $server->drop;
        }
        $server->until(sub { $server->{connections} > $connections
                             && $server->{online} }, 'it to come back');
    }
}

sub fds { return scalar(my @fds = glob "/proc/$agent->{pid}/fd/*") }

sub kib {
    my ($kib) = VMOps::slurp("/proc/$agent->{pid}/status")
        =~ /^RssAnon:\s+(\d+) kB/m;
    return $kib;
}
