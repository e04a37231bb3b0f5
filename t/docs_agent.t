# agent/README.md has every command and every option that the agent's own help
# names, and no other.

use strict;
use warnings;

use VMOps;
use VMOps::Agent;
use VMOps::Process qw(run_command);

my $page = VMOps::slurp(VMOps::top() . '/agent/README.md');

sub help {
    my ($args) = @_;
    return run_command([VMOps::Agent::binary(), @$args, '--help'])->{out};
}

# "vmops-agent ... secret add --kind ...": what follows the options of all
my $all = help([]);
my @groups = qw(secret policy audit);
my %command = map { $_ => 1 } $all =~ /\[--json\] (\w+)/g;
my ($commands, %option) = ('');
for my $name (keys %command) {
    my $group = grep { $_ eq $name } @groups;
    my $help = help($group ? [$name] : [$name]);
    delete $command{$name} if $group;
    $command{"$name $_"} = 1 for $group ? $help =~ /vmops-agent $name (\w+)/g : ();
    $option{$_} = 1 for $help =~ /(--\w[\w-]*)/g;
}
delete @option{qw(--home --json)};
cmp_ok scalar(keys %command), '>', 12, 'commands';
cmp_ok scalar(keys %option), '>', 14, 'options';

my ($rows) = $page =~ /^## Commands\n(.*?)^## /ms;
my %told = map { $_ => 1 } $rows =~ /(--\w[\w-]*)/g;
for my $row ($rows =~ /^\| (`.*?) \|/mg) {
    next if $row =~ /^`--/;
    # `policy show`, `set`: the second is of the same group
    my @names = $row =~ /`([a-z]+(?: [a-z]+)?)/g;
    my ($group) = $names[0] =~ /^(\w+) \w/;
    $told{ /^\w+ / || !$group ? $_ : "$group $_" } = 1 for @names;
}
my %helps = (%command, %option);
is join(' ', sort grep { !$told{$_} } keys %helps), '',
    'each of them is on the page';
is join(' ', sort grep { !$helps{$_} } keys %told), '', 'and no other';

done_testing;
