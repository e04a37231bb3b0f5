# Dependencies run one way: include <- common <- { ngx_vmops_module,
# ngx_agents_ws_module, agent }; read from the #include lines.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Spec;
use Test::More;

# what of libc and of libraries a layer may name beside its own headers
my $freestanding = qr{^(?:stdarg|stddef|stdint|stdbool|limits|string|inttypes)\.h$};
my $nginx = qr{^(?:ngx_|nginx\.h)};
my $hiredis = qr{^hiredis/};
my $only_platform = qr{^(?:windows|unistd)\.h$};

# folder => [own folders whose headers it may use, system headers allowed, forbidden]
my @layers = (
    ['include',              ['include'],                        $freestanding, undef],
    ['common/ngx',           ['include', 'common', 'common/ngx'], undef, $only_platform],
    ['common',               ['include', 'common'],
     qr/$freestanding|^sodium\.h$|^yajl\/.*\.h$/, undef],
    ['ngx_vmops_module',     ['include', 'common', 'common/ngx', 'ngx_vmops_module'],
     undef, qr/$only_platform|^(?:curl|libssh2|sqlite3)/],
    ['ngx_agents_ws_module', ['include', 'common', 'common/ngx', 'ngx_agents_ws_module'],
     undef, qr/$only_platform|^(?:curl|libssh2|sqlite3)/],
    ['agent/platform',       ['include', 'common', 'agent', 'agent/platform'],
     undef, qr/$nginx|$hiredis/],
    ['agent/actions',        ['include', 'common', 'agent', 'agent/actions', 'agent/platform'],
     undef, qr/$nginx|$hiredis|$only_platform/],
    ['agent',                ['include', 'common', 'agent', 'agent/actions', 'agent/platform'],
     undef, qr/$nginx|$hiredis|$only_platform/],
);

# [line, kind, name] of each #include, of any text
sub includes {
    my ($text) = @_;
    my ($n, @found) = 0;
    for (split /\n/, $text) {
        $n++;
        push @found, [$n, $1 eq '<' ? 'system' : 'own', $2]
            if /^\s*#\s*include\s*([<"])([^>"]+)[>"]/;
    }
    return @found;
}

# what is wrong with one file of a layer
sub faults {
    my ($layer, $file, $text) = @_;
    my ($folder, $own, $allowed, $forbidden) = @$layer;
    my @faults;
    for (includes($text)) {
        my ($line, $kind, $name) = @$_;
        if ($kind eq 'own') {
            # what the sources' own folders hold is ours; the rest is a library's
            my @at = grep { -e "$_/$name" } dirname($file), map { $_->[0] } @layers;
            if (@at) {
                my ($where) = map { dirname(File::Spec->canonpath("$_/$name")) } @at;
                push @faults, "$file:$line: $where/ is no layer below $folder/"
                    unless grep { $_ eq $where } @$own;
                next;
            }
        }
        push @faults, "$file:$line: <$name> is not for $folder/"
            if ($allowed && $name !~ $allowed) || ($forbidden && $name =~ $forbidden);
    }
    return @faults;
}

sub slurp {
    my ($file) = @_;
    open my $fh, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$fh>;
}

my $files = 0;
for my $layer (@layers) {
    my @of = glob "$layer->[0]/*.[ch] $layer->[0]/*.def";
    next unless @of = grep { -f } @of;
    $files += @of;
    my @faults = map { faults($layer, $_, slurp($_)) } @of;
    is_deeply \@faults, [], "$layer->[0]/ (" . @of . ' files) keeps to its layer'
        or diag join "\n", @faults;
}
cmp_ok $files, '>', 40, "$files files were read";

# the check itself finds what it is for
my %layer = map { $_->[0] => $_ } @layers;
for ([include => 'include/x.h', '#include <sodium.h>'],
     [include => 'include/x.h', '#include "vmops_keys_parts.h"'],
     [common => 'common/x.c', '#include <ngx_core.h>'],
     [common => 'common/x.c', '  #  include <unistd.h>'],
     [common => 'common/x.c', '#include <hiredis/hiredis.h>'],
     [common => 'common/x.c', '#include <curl/curl.h>'],
     [common => 'common/x.c', '#include <stdlib.h>'],
     ['agent/actions' => 'agent/actions/x.c', '#include <unistd.h>'],
     [agent => 'agent/x.c', '#include <windows.h>'],
     [agent => 'agent/x.c', '#include <ngx_http.h>'],
     ['common/ngx' => 'common/ngx/x.c', '#include <unistd.h>'],
     [ngx_vmops_module => 'ngx_vmops_module/x.c', '#include "ngx_agents_ws.h"'],
     [ngx_agents_ws_module => 'ngx_agents_ws_module/x.c', '#include "ngx_vmops.h"'],
     [common => 'common/x.c', '#include "ngx/vmops_redis.h"'],
     ['common/ngx' => 'common/ngx/x.c', '#include "agent.h"']) {
    my ($folder, $file, $text) = @$_;
    is scalar(faults($layer{$folder}, $file, $text)), 1, "$text is refused in $folder/";
}
is scalar(faults($layer{common}, 'common/x.c', qq(#include <string.h>\n#include "vmops_json.h"))),
    0, 'and what common/ may name is not';

done_testing;
