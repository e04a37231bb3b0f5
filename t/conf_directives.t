# nginx -t explains every wrong directive of both modules: in a wrong block,
# with a wrong number of arguments, twice, or with a wrong value, each with the
# directive and the line.  The directives are those of the modules' tables.
# tags: asan

use strict;
use warnings;

use File::Temp qw(tempdir);

use VMOps;

my $s = VMOps->stack;
my $conf = VMOps::slurp($s->node->{conf});
my $dir = tempdir('vmops-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my $keys = $s->dir . '/keys';
my ($redis) = $conf =~ /^\s*vmops_redis\s+(.*?);$/m;

# a line that is right, by directive, and values that are not: [arguments, why]
my @redis = (
    ['unix:', qr/no path|invalid/], ['127.0.0.1:x', qr/invalid port/],
    ['127.0.0.1 user=vmops', qr/needs "password_file"/],
    ['127.0.0.1 name=x', qr/need "tls"/],
    ['127.0.0.1 colour=red', qr/invalid parameter "colour=red"/],
    ["127.0.0.1 user=vmops password_file=$dir/none", qr/none" failed/],
);
my @number = ((map { [$_, qr/invalid number/] } qw(-1 x 1.5)),
              map { [$_, qr/value must be between 1 and 1000000/] } 0, 1000001);
# nginx looks for variables when it has read all lines: which one it was is lost
my $UNKNOWN = qr/unknown "none" variable/;
my %of = (
    agents_ws => { right => '' },
    agents_ws_keys => { right => $keys, once => 1,
        wrong => [["$dir/none", qr/open\(\) "\Q$dir\E\/none\/command.key"/]] },
    agents_ws_ping => { right => '25s', once => 1,
        wrong => [map { [$_, qr/has to be 1s to 30s|invalid value/] }
                  qw(0 999ms 31s x)] },
    agents_ws_redis => { right => $redis, once => 1, wrong => \@redis },
    vmops_api => { right => '', repeats => 1 },
    vmops_command_rate => { right => 120, once => 1, wrong => \@number },
    vmops_keys => { right => $keys, once => 1,
        wrong => [["$dir/none", qr/open\(\) "\Q$dir\E\/none\/command.key"/]] },
    vmops_legacy => {
        right => 'deprecated=2026-01-01T00:00:00Z sunset=2027-01-01T00:00:00Z',
        beside => 'proxy_pass http://127.0.0.1:1;',
        wrong => [
            ['deprecated=now sunset=2027-01-01T00:00:00Z', qr/takes deprecated=/],
            ['deprecated=2027-01-01T00:00:00Z sunset=2026-01-01T00:00:00Z',
             qr/a sunset before/]] },
    vmops_open_commands => { right => 1000, once => 1, wrong => \@number },
    vmops_principal => { right => 'tenant=a subject=b role=viewer',
        more => ['tenant=$host subject=user:$host role=owner'],
        wrong => [
            ['tenant=a subject=b user=c', qr/takes tenant=, subject= and role=/],
            ['tenant=a tenant=b role=c', qr/names a parameter twice/],
            ['tenant=a subject=$none role=owner', $UNKNOWN],
            (map { ["tenant=$_ subject=b role=owner", qr/has a tenant= that no/] }
             '', 'Acme', 'a' x 33),
            (map { ["tenant=a subject=$_ role=owner", qr/has a subject= that/] }
             '', 'b' x 129),
            (map { ["tenant=a subject=b role=$_", qr/has a role= other than/] }
             '', 'king', 'platform_admin', 'Owner')] },
    vmops_problem => { right => 'on',
        wrong => [['maybe', qr/it must be "on" or "off"/]] },
    vmops_public_url => { right => 'https://$host', once => 1,
        more => ['$scheme://$http_host', '$host', '${scheme}://$host:$server_port',
                 'http://127.0.0.1:8080', 'https://[::1]:8443', 'https://[fd00::1]',
                 'https://vmops.example', 'https://vmops-1.example:8443'],
        wrong => [['https://$none', $UNKNOWN],
                  map { [$_, qr/takes a scheme, a host in lower case and perhaps a/] }
                  'https://$host/', 'https://vmops.example/api', 'vmops.example',
                  'ftp://vmops.example', 'https://', '$scheme://$host/', '$host?x',
                  (map { "https://vmops.example$_" } '?x', '#', '#x', ':', ':0',
                   ':99999', ':08443', ':443', ':x', ':8443/', ':$server_port/',
                   ':8443:1'),
                  'http://vmops.example:80', 'https://me@vmops.example',
                  'https://VMOps.example', '"https://vmops.example "',
                  '"https://vmops .example"', 'https://::1', 'https://[::1',
                  'https://[]x', 'https://[::1]x', 'https://[x]'] },
    vmops_redact => { right => 'on',
        wrong => [['maybe', qr/it must be "on" or "off"/]] },
    vmops_redis => { right => $redis, once => 1, wrong => \@redis },
    vmops_request_rate => { right => 600, once => 1, wrong => \@number },
);

my %table;
for my $text (map { VMOps::slurp($_) } glob VMOps::top() . '/ngx_*_module/*.c') {
    $table{$1} = $2 while $text
        =~ /\{ ngx_string\("(\w+)"\),\s*(NGX_HTTP_[\w|\s]+),/g;
}

# the configuration without the directive's own line, and with these in a block
sub with_lines {
    my ($name, $block, @lines) = @_;
    my $text = $conf =~ s/^\s*$name\s.*;$//mgr;
    @lines = map { "$_\n" } @lines;
    my $what = $block eq 'location' ? "location /a-test {\n@lines}\n" : "@lines";
    $block eq 'main' ? $text =~ s/^(?=events)/$what/m
        : $block eq 'http' ? $text =~ s/^(http \{\n)/$1$what/m
        : $text =~ s/^(\s*server \{\n)/$1$what/m
        or die "no place for $what";
    return $text;
}

# the line that it has to name
sub line_of {
    my ($text, $line, $nth) = @_;
    my @lines = split /\n/, $text, -1;
    my @at = grep { $lines[$_ - 1] =~ /^\s*\Q$line\E/ } 1 .. @lines;
    return $at[($nth // 1) - 1] // 0;
}

sub refused {
    my ($text, $line, $like, $what, $nth) = @_;
    my $said = $s->nginx_says($text);
    like $said, $like, $what;
    my $at = line_of($text, $line, $nth);
    like $said, qr/nginx\.conf:$at\b/, 'and where';
}

for my $name (sort keys %table) {
    my ($flags, $of) = ($table{$name}, $of{$name});
    ok $of, "$name is tested" or next;
    my $right = $of->{right} eq '' ? "$name;" : "$name $of->{right};";
    my @blocks = ($flags =~ /MAIN_CONF/ ? 'http' : (),
                  $flags =~ /SRV_CONF/ ? 'server' : (),
                  $flags =~ /LOC_CONF/ ? 'location' : ());
    is $s->nginx_says(with_lines($name, $blocks[0], $right, $of->{beside} // ())),
        'ok', "$name, as it should be";
    is $s->nginx_says(with_lines($name, $blocks[0], "$name $_;")), 'ok',
        "$name $_" for @{ $of->{more} // [] };

    for my $block (qw(main http server location)) {
        next if grep { $_ eq $block } @blocks;
        refused(with_lines($name, $block, $right), $right,
                qr/"$name" directive is not allowed here/, "$name in $block");
    }

    my $args = $flags =~ /TAKE(\d)/ ? $1 : $flags =~ /FLAG/ ? 1 : 0;
    my @counts = $flags =~ /1MORE/ ? ("$name;")
        : ("$name" . ' x' x ($args + 1) . ';', $args ? "$name;" : ());
    for my $line (@counts) {
        refused(with_lines($name, $blocks[0], $line), $line,
                qr/invalid number of arguments in "$name" directive/, $line);
    }

    if (!$of->{repeats}) {
        refused(with_lines($name, $blocks[0], $right, $right), $right,
                qr/"$name" directive is duplicate/, "$name twice", 2);
    }

    for my $wrong (@{ $of->{wrong} // [] }) {
        my ($value, $why) = @$wrong;
        if ($why eq $UNKNOWN) {
            like $s->nginx_says(with_lines($name, $blocks[0], "$name $value;")),
                $why,
                "$name $value";
            next;
        }
        refused(with_lines($name, $blocks[0], "$name $value;"),
                "$name $value;", $why, "$name $value");
    }
}

# what one needs of another
for my $case (
    ['vmops_redis', qr/"vmops_api" is used, but there is no "vmops_redis"/],
    ['vmops_keys', qr/"vmops_api" is used, but there is no "vmops_keys"/],
    ['agents_ws_redis', qr/"agents_ws" is used, but there is no "agents_ws_redis"/],
    ['agents_ws_keys', qr/"agents_ws" is used, but there is no "agents_ws_keys"/]) {
    my ($name, $like) = @$case;
    like $s->nginx_says($conf =~ s/^\s*$name\s.*;$//mr), $like, "without $name";
}
for my $line ('keepalive_timeout 0;', 'post_action /x;') {
    like $s->nginx_says(with_lines('nothing', 'location', 'agents_ws;', $line)),
        qr/"agents_ws" in location "\/a-test" works with neither/, $line;
}

# what would win over another one in a location, and nobody be told
my $proxy = 'proxy_pass http://127.0.0.1:1;';
for my $pair (['agents_ws;', 'vmops_api;'], ['vmops_api;', 'agents_ws;'],
              [$proxy, 'vmops_api;'], [$proxy, 'agents_ws;']) {
    refused(with_lines('nothing', 'location', @$pair), $pair->[1],
            qr/directive is beside another handler in this location/,
            "@$pair");
}
for my $name (qw(vmops_api agents_ws)) {
    like $s->nginx_says(with_lines('nothing', 'location', "$name;", $proxy)),
        qr/"$name" is beside another handler in location "\/a-test"/,
        "$name; $proxy";
}
my $legacy = "vmops_legacy $of{vmops_legacy}{right};";
for my $beside (undef, 'vmops_api;', 'return 404;') {
    like $s->nginx_says(with_lines('nothing', 'location', $legacy, $beside // ())),
        qr/"vmops_legacy" leads to no backend in location "\/a-test"/,
        'vmops_legacy ' . ($beside // 'alone');
}

done_testing;
