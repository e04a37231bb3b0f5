# Finished commands are kept up to a number and an age; the oldest go first, a
# few at a time, with their logs; open ones stay.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;

# the same library, which keeps fewer
my $source = do {
    open my $file, '<', $f->server->dir . '/vmops.lua' or die $!;
    local $/;
    <$file>;
};
$source =~ s/COMMANDS_FINISHED_MAX = 10000\b/COMMANDS_FINISHED_MAX = 5/ or die;
$f->server->client('vmops-deploy')->call(qw(FUNCTION LOAD REPLACE), $source);

sub kept { $f->admin('ZCARD', $f->key('agent_commands')) }

my $open = $f->submitted;
$f->age($open, 1000);
my @ids;
for my $n (1 .. 12) {
    push @ids, $f->submitted;
    $f->age($ids[-1], 100 - $n);
    $f->take;
    $f->ok_call(log => { agent_id => $w->{agent}, session => $w->{session},
                         command_id => $ids[-1], line => ['x'] });
    $f->finish($ids[-1]);
    cmp_ok kept(), '<=', 6, "after $n: five finished ones and the open one";
}
is_deeply $f->admin('ZRANGE', $f->key('agent_commands'), 0, -1),
    [$open, @ids[7 .. 11]], 'the newest, and the open one though it is older';
is_deeply [map { $f->admin('EXISTS', $f->key('agent_commands', $_),
                           $f->key('agent_commands', $_, 'log')) } @ids],
    [(0) x 7, (2) x 5], 'the others went with their logs';

# age
$f->age($_, 31 * 86_400_000) for @ids[7, 8];
$f->ok_call(sweep => { live => 'gw1', limit => 10 });
is_deeply $f->admin('ZRANGE', $f->key('agent_commands'), 0, -1),
    [$open, @ids[9 .. 11]], 'what is older than 30 days is swept away';

done_testing;
