# docs/errors.md is what its tables make it, and the API's problems say the
# same; a line that was changed by hand, or a table without its page, is found.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

use lib 't/lib';
use VMOps::Process qw(run_command);

is run_command(['docs/generate', '--check'])->{exit}, 0,
    'the page is as its tables are';

# each code has a line with both of its texts
open my $page, '<', 'docs/errors.md' or die "docs/errors.md: $!";
my %line = map { /^\| (?:\d+ \| )?`(\w+)` \|(.*)\|$/ ? ($1 => $2) : () } <$page>;
for my $table (qw(vmops_problems vmops_command_errors)) {
    open my $def, '<', "include/$table.def" or die "$table: $!";
    my @codes = do { local $/; <$def> =~ s{/\*.*?\*/}{}gsr
                     =~ /^VMOPS_\w+\((\w+),/gm };
    cmp_ok scalar @codes, '>', 20, "$table.def was read";
    my @without = grep {
        my @cells = map { s/^ | $//gr } split /\|/, $line{$_} // '';
        @cells != 2 || grep { !/^\S.*\S$/ } @cells;
    } @codes;
    is "@without", '', 'each code with what happened and what to do';
}

# a changed line, in a copy
my $copy = tempdir(CLEANUP => 1);
make_path("$copy/docs", "$copy/include");
copy($_, "$copy/$_") or die "copy: $!"
    for qw(docs/generate docs/errors.md include/vmops_problems.def
           include/vmops_command_errors.def);
chmod 0755, "$copy/docs/generate";
is run_command(["$copy/docs/generate", '--check'])->{exit}, 0, 'a copy';
my $text = do { local (@ARGV, $/) = "$copy/include/vmops_problems.def"; <> };
$text =~ s/The VM has no agent\./The VM has none./ or die;
open my $out, '>', "$copy/include/vmops_problems.def" or die $!;
print {$out} $text;
close $out;
is run_command(["$copy/docs/generate", '--check'])->{exit}, 1,
    'a table that was changed is found';
run_command(["$copy/docs/generate"]);
is run_command(["$copy/docs/generate", '--check'])->{exit}, 0,
    'and made right again';

done_testing;
