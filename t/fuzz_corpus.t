#!/usr/bin/perl

# Every fuzz target takes each input of its corpus: valid ones, what fuzzing
# found to be different, and what once was a finding.
# tags: asan

use strict;
use warnings;

use lib 't/lib';
use VMOps;

my @targets = map { m{^t/fuzz/(\w+)\.c$} && $1 ne 'replay' ? $1 : () }
    glob 't/fuzz/*.c';
cmp_ok(scalar @targets, '>=', 12, @targets . ' targets');

my $all = 0;
for my $target (@targets) {
    my @inputs = glob "t/fuzz/corpus/$target/*";
    my $run = run_command([VMOps::built("t/fuzz/$target"),
                           "t/fuzz/corpus/$target"], timeout => 120);
    is($run->{exit} . " $run->{out}", '0 ' . @inputs . "\n",
       "$target: " . @inputs . ' inputs') or diag($run->{err});
    cmp_ok(scalar @inputs, '>', 0, "$target has a corpus");
    $all += @inputs;
}
diag("$all inputs of " . @targets . ' targets');

done_testing;
