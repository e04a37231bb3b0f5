# Logs hold no secret: neither where all goes well, nor where the hypervisor
# refuses, is not there, or shows the secret in its own answers.

use strict;
use warnings;

use VMOps;
use VMOps::Leaks;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my $secret = VMOps::slurp($site->pve->token_secret_file) =~ s/\s+\z//r;

is $site->command('start')->{json}{status}, 'succeeded', 'a start';
$site->pve->control('POST', 'tasks/next', { type => 'qmstop', vmid => 100,
                                            fail => "no such token $secret" });
my $failed = $site->command('stop');
is $failed->{json}{status}, 'failed', 'a task that names the secret fails';
is_deeply [leaks_in($failed->{body}, secret => $secret)], [],
    'and the answer does not name it';

$site->pve->stop;
my $gone = $site->command('status');
is $gone->{json}{error}{code}, 'connection_refused',
    'the hypervisor is gone';

# what was written at all
my @logs = grep { -f } glob($s->dir . '/logs/* ' . $site->agent->home . '/*.log '
                            . $site->agent->home . '/*.out '
                            . $site->agent->home . '/*/*.log');
my $text = join '', map { VMOps::slurp($_) } @logs;
cmp_ok length $text, '>', 1000, scalar(@logs) . ' logs have been written';
is_deeply [leaks_in($text, secret => $secret)], [], 'the secret is in none';
ok scalar leaks_in("$text $secret", secret => $secret),
    'what searches for it finds a planted one';

# what other users of the machine can see of the agent
my $pid = $site->agent->pid;
my $seen = join "\n", map { VMOps::slurp("/proc/$pid/$_") }
    qw(cmdline environ);
is_deeply [leaks_in($seen, secret => $secret)], [],
    'neither is it in arguments and environment';

done_testing;
