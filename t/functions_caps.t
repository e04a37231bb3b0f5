# What a tenant leaves in the store has an end: as many finished commands and
# events as are kept, however many commands it runs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use VMOps;
use VMOps::Functions;

my $N = rounds(ci => 600, full => 20_000);
my %cap = (COMMANDS_FINISHED_MAX => rounds(ci => 300, full => 10_000),
           EVENTS_MAX => rounds(ci => 3000, full => 100_000));

my $f = VMOps::Functions->new;
my $w = $f->world;

# the same library; in short rounds it keeps less
my $source = VMOps::slurp($f->server->dir . '/vmops.lua');
for my $limit (sort keys %cap) {
    $source =~ s/\b$limit = \d+\b/$limit = $cap{$limit}/ or die "no $limit";
}
$f->server->client('vmops-deploy')->call(qw(FUNCTION LOAD REPLACE), $source);

my @as = (agent_id => $w->{agent}, session => $w->{session});
my %sweep = (live => 'gw1', limit => 200);
my (%most, $memory);
sub bytes_used { ($f->admin('INFO', 'memory') =~ /^used_memory:(\d+)/m)[0] }

# what a worker does every moment: entries leave the store sealed only
sub seal {
    my $more = 1;
    while ($more) {
        (undef, my ($last, $entries), $more) = $f->ok_call('audit_next');
        last if !@$entries;
        my ($from, $to, $id) = ($entries->[0][0], @{ $entries->[-1] }[0, 3]);
        $f->ok_call(audit_seal => { last => $last, from => $from, to => $to,
                                    id => $id, seal => qq({"n":$to}) });
    }
}

for my $n (1 .. $N) {
    my $id = $f->submitted(command_limit => 1_000_000, rate_limit => 1_000_000);
    $f->take;
    $f->ok_call(progress => { @as, command_id => $id, percent => 50,
                              stage => 'run', message => 'half' });
    $f->ok_call(log => { @as, command_id => $id, line => ['one', 'two'] });
    $f->finish($id);
    if ($n % 50 == 0) {
        $f->ok_call(sweep => \%sweep);
        seal();
    }
    if ($n % 10 == 0) {
        my %have = (commands => $f->admin('ZCARD', $f->key('agent_commands')),
                    events => $f->admin('XLEN', $f->key('events')));
        for my $what (keys %have) {
            $most{$what} = $have{$what} if $have{$what} > ($most{$what} // 0);
        }
    }
    $memory = bytes_used() if $n == $N * 0.8;
}
my $grown = bytes_used() - $memory;

is $most{commands}, $cap{COMMANDS_FINISHED_MAX}, 'finished commands: up to the cap';
# They leave with the seal of theirs, and that after an entry which says so is
# sealed, too: two times what comes between two seals; and by whole nodes of a
# hundred.
cmp_ok $most{events}, '>=', $cap{EVENTS_MAX}, 'events: as many as are kept';
cmp_ok $most{events}, '<=', $cap{EVENTS_MAX} + 2 * 50 * 7 + 100,
    'and hardly more';
cmp_ok $grown, '<', 2 * 1024 * 1024,
    "the last fifth of $N commands took no more memory ($grown bytes)";
is scalar @{ $f->admin('KEYS', $f->key('agent_commands', '*')) },
    2 * $cap{COMMANDS_FINISHED_MAX}, 'a record and a log of each, and of no other';
is $f->admin('HGET', $f->key, 'open'), 0, 'none is open';
is $f->admin('ZCARD', $f->key('deadlines')), 0, 'none has a deadline';
my ($newest) = @{ $f->admin('ZRANGE', $f->key('agent_commands'), -1, -1) };
is $f->command($newest)->{status}, 'succeeded', 'the newest is there';

done_testing;
