# docs/operations.md has every directive, with the blocks it may stand in, as
# many arguments as it takes, and its default; and no other directive.  It has
# every metric, too.

use strict;
use warnings;

use Test::More;

sub slurp {
    my ($path) = @_;
    open my $fh, '<', $path or die "$path: $!";
    local $/;
    return scalar <$fh>;
}

my $page = slurp('docs/operations.md');
my $limits = slurp('include/vmops_limits.h');

sub limit {
    my ($name) = @_;
    return $limits =~ /^#define $name\s+(\d+)/m ? $1 : die "no $name";
}

# what the modules' tables say
my %is;
for my $text (map { slurp($_) } glob 'ngx_*_module/*.c') {
    while ($text =~ /\{ ngx_string\("(\w+)"\),\s*(NGX_HTTP_[\w|\s]+),/g) {
        my ($name, $flags) = ($1, $2);
        $is{$name} = {
            context => [$flags =~ /MAIN_CONF/ ? 'http' : (),
                        $flags =~ /SRV_CONF/ ? 'server' : (),
                        $flags =~ /LOC_CONF/ ? 'location' : ()],
            args => $flags =~ /CONF_(NOARGS|FLAG|TAKE\d|1MORE)/,
        };
    }
}
cmp_ok scalar keys %is, '>', 12, 'the tables were read';

# what the page says
my %said;
my ($directives) = $page =~ /^## Directives\n(.*)/ms;
for my $section (split /^(?=### )/m, $directives) {
    my ($name) = $section =~ /^### (\w+)\n/ or next;
    my %cell = $section =~ /^\| (\w+) \| (.*) \|$/mg;
    $said{$name} = { %cell, text => $section };
}
is_deeply [sort keys %said], [sort keys %is], 'each directive has its section';

my %default = (
    vmops_request_rate => limit('VMOPS_RATE_REQUESTS_PER_MIN'),
    vmops_command_rate => limit('VMOPS_RATE_COMMANDS_PER_MIN'),
    vmops_open_commands => limit('VMOPS_COMMANDS_OPEN_MAX'),
    agents_ws_ping => limit('VMOPS_WS_PING_S') . 's',
    vmops_public_url => '$scheme://$http_host',
);
for my $name (sort keys %is) {
    my ($is, $said) = ($is{$name}, $said{$name} // next);
    is $said->{context}, join(', ', map { "`$_`" } @{ $is->{context} }),
        "$name: where it may stand";
    my ($words) = $said->{syntax} =~ /^`$name\b\s*(.*?);`$/;
    my @words = split ' ', $words // '?';
    my $args = $is->{args};
    ok $args eq 'NOARGS' ? !@words
        : $args eq 'FLAG' ? $words eq 'on \| off'
        : $args eq '1MORE' ? @words > 1
        : @words == substr($args, 4), "$name: its arguments";
    is $said->{default}, '`' . ($default{$name} // 'off') . '`',
        "$name: its default" if $default{$name} || $args eq 'FLAG';
    cmp_ok length $said->{text} =~ s/^.*\|$//mgr, '>', 40, "$name: what it is for";
}

# how much of JSON a body may hold
my ($json) = $page =~ /^\| its JSON \| (.*) \|$/m;
is_deeply [map { tr/,//dr } $json =~ /(\d[\d,]*) \w/g],
    [map { limit("VMOPS_JSON_${_}_MAX") } qw(DEPTH NODES MEMBERS NUMBER)],
    'the limits of JSON';

# metrics
my %metrics = map { $_ => 1 } slurp('ngx_vmops_module/ngx_vmops_metrics.c')
    =~ /metrics_head\(b, "(\w+)"/g;
my %shown = map { $_ => 1 } $page =~ /^\| `(vmops_\w+)` \| (?:counter|gauge|histogram)/mg;
cmp_ok scalar keys %metrics, '>', 5, 'the metrics were found';
is_deeply [sort keys %shown], [sort keys %metrics], 'each metric has its line';
my ($statuses) = slurp('common/vmops_proto.c')
    =~ /vmops_codec_statuses\[\] = \{(.*?)\}/s;
my @outcomes = $statuses =~ /"(\w+)"/g;
splice @outcomes, 0, 3;    # those that are not the end
like $page, qr/\| `outcome`: @{[ join ', ', map { "`$_`" } @outcomes ]} \|/,
    'and how commands can end';

# the access log
my ($format) = slurp('conf/nginx.conf.in') =~ /log_format\s+vmops(.*?);/s;
for my $member ($format =~ /"(\w+)":/g) {
    like $page, qr/^The access log.*`$member`/ms, "the log's $member";
}
unlike $format, qr/\$(?:request|args|query_string|request_uri|http_\w+|cookie_\w+)\b/,
    'the log holds no query string, header or cookie';

done_testing;
