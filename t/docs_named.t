# A page, or a part of one, that the code, the tests or another page names is
# there.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Find qw(find);
use Test::More;

my @files = ('README.md', 'Makefile', 'configure.sh');
find({ no_chdir => 1, wanted => sub {
    $File::Find::prune = 1, return if m{^t/(?:fuzz/corpus|vectors|openapi/node_modules)$};
    push @files, $_ if -f && -T _;
} }, qw(agent common conf docs include ngx_agents_ws_module ngx_vmops_module redis t));
cmp_ok scalar @files, '>', 300, 'the files';

sub text {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/;
    return <$in>;
}

# a heading's anchor, as it is linked to
sub anchors {
    my ($page) = @_;
    return map { lc($_) =~ s/[^\w\- ]//gr =~ tr/ /-/r } text($page) =~ /^#+ (.+)$/mg;
}

my ($named, @missing) = 0;
for my $file (@files) {
    my $text = text($file);
    my @pages = map { [m{/} ? $_ : "docs/$_"] }
        grep { !m{^(?:spec|README)\.md$} } $file =~ /\.(?:[ch]|def|lua)$/
        ? $text =~ m{\b((?:[a-z]+/)*[A-Za-z-]+\.md)\b}g
        : $text =~ m{\bdocs/([a-z-]+\.md)\b}g;
    if ($file =~ /\.md$/) {
        my $base = dirname($file) eq '.' ? '' : dirname($file) . '/';
        push @pages, map { m{^([^#]*)(?:#(.+))?$} && [$1 eq '' ? $file : "$base$1", $2] }
            $text =~ /\]\((?!\w+:)([^)\s]+)\)/g;
    }
    for my $page (@pages) {
        my ($to, $anchor) = @$page;
        $named++;
        push @missing, "$file: $to" if !-e $to;
        push @missing, "$file: $to#$anchor"
            if -e $to && defined $anchor && !grep { $_ eq $anchor } anchors($to);
    }
}
cmp_ok $named, '>', 50, 'pages that are named';
is "@missing", '', 'all of them are there';

ok !grep({ $_ eq 'no-such-part' } anchors('docs/protocol.md')), 'a part that is not';

done_testing;
