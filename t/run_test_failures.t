# What failed tests have said comes once more before prove's summary, and that
# of no other test.

use strict;
use warnings;

use File::Temp qw(tempdir);

use VMOps;
use VMOps::Process qw(run_command);

my $dir = tempdir('vmops-run-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

sub put {
    my ($name, $text) = @_;
    open my $file, '>', "$dir/$name" or die "$name: $!";
    print $file $text;
    close $file;
    return "$dir/$name";
}

my @files = (
    put('a_fails.t', 'print "1..1\nnot ok 1\n"; print STDERR "# why\n"; exit 1'),
    put('b_holds.t', 'print "1..1\nok 1\n"; print STDERR "# chatter\n"'),
    put('c_dies.t', 'die "oh dear\n"'),
    put('d_long.t', 'print "1..0\n"; print STDERR "x" x 99999, "last\n"; exit 2'),
);
# prove's exit status and output
sub prove {
    my $top = VMOps::top();
    my $run = run_command(['prove', '-e', "$top/t/run-test", '--formatter',
                           'VMOps::Failures', @_],
                          env => { PERL5LIB => "$top/t/lib" });
    return ($run->{exit}, $run->{out});
}

my ($exit, $out) = prove(@files);
isnt $exit, 0, 'three fail';
my ($before) = $out =~ /^(.*)^Test Summary Report/ms;
like $before, qr/^\Q$files[0]\E\n# why\n/m, 'why one failed';
like $before, qr/^\Q$files[2]\E\noh dear\n/m, 'why one died';
ok $before =~ /^\Q$files[3]\E\n\.\.\.\nx{4091}last\n/m, 'the end of what is long';
unlike $before, qr/chatter/, 'nothing of one that holds';

($exit, $out) = prove($files[1]);
is $exit, 0, 'one holds';
unlike $out, qr/chatter|^\Q$files[1]\E$/m, 'nothing of it';

done_testing;
