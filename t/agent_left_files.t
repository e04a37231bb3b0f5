# Temporary files that a killed agent left are removed by a later start: those
# that nobody can be writing any more, and nothing else.

use strict;
use warnings;

use VMOps;
use VMOps::FakeServer;

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
VMOps->watch_log($agent->home);
$agent->pair;

# one that is killed between writing a file and putting it into its place

my $killed = run_command([VMOps::built('t/agent/vmops-agent-hooked'), '--home',
    $agent->home, qw(secret add --kind opaque --label x --stdin)],
    stdin => "a secret\n", env => { VMOPS_TEST_DIE => 'before rename' });
is $killed->{signal}, 9, 'killed in the middle of a write';
my @left = map { s{.*/}{}r } glob $agent->home . '/*.tmp-*';
is scalar @left, 1, 'a file is left';

my %file = (                                   # age in seconds, is kept
    $left[0]                    => [7200, 0],
    'identity.bin.tmp-aB3xYz'   => [7200, 0],
    'run.json.tmp-zzzzzz'       => [60, 1],
    'state.backup'              => [7200, 1],
    'identity.bin.tmp-aB3xYz.x' => [7200, 1],
    '.tmp-aB3xYz'               => [7200, 1],
);
for my $name (keys %file) {
    my $path = $agent->home . "/$name";
    open my $fh, '>', $path or die "$path: $!\n";
    close $fh;
    utime +(time - $file{$name}[0]) x 2, $path or die "utime: $!\n";
}
$agent->start;
for my $name (sort keys %file) {
    my $kept = $file{$name}[1];
    is -e $agent->home . "/$name" ? 1 : 0, $kept,
        "$name, $file{$name}[0] s old: " . ($kept ? 'kept' : 'removed');
}

done_testing;
