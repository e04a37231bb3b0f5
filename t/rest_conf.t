# What is wrong in a configuration is said when it is read, with the directive
# and the reason.
# tags: asan

use strict;
use warnings;

use File::Temp qw(tempdir);

use VMOps;

my $s = VMOps->stack;
my $conf = VMOps::slurp($s->node->{conf});
my $dir = tempdir('vmops-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my $keys = $s->dir . '/keys';

sub changed {
    my ($from, $to) = @_;
    my $text = $conf;
    $text =~ s/$from/$to/ or die "no $from";
    return $text;
}

is $s->nginx_says($conf), 'ok', 'the configuration of the stack is right';

my $keys_line = qr/^\s*vmops_keys\s.*$/m;
my $redis_line = qr/^\s*vmops_redis\s.*$/m;
my $server = qr/(vmops_problem\s+on;)/;
my @wrong = (
    ['no keys', changed($keys_line, ''),
     qr/"vmops_api" is used, but there is no "vmops_keys"/],
    ['no redis', changed($redis_line, ''),
     qr/"vmops_api" is used, but there is no "vmops_redis"/],
    ['keys twice', changed(qr/($keys_line)/, "$keys_line" && do {
        my ($l) = $conf =~ /($keys_line)/; "$l\n$l" }),
     qr/"vmops_keys" directive is duplicate/],
    ['redis twice', changed(qr/$redis_line/, do {
        my ($l) = $conf =~ /($redis_line)/; "$l\n$l" }),
     qr/"vmops_redis" directive is duplicate/],
    ['no folder', changed($keys_line, "vmops_keys $dir/none;"),
     qr/open\(\) "\Q$dir\E\/none\/command.key" failed/],
    ['not on or off', changed($server, 'vmops_problem maybe;'),
     qr/invalid value "maybe" in "vmops_problem" directive/],
    ['vmops_api with an argument', changed($server,
        '$1 location /ws/x { vmops_api on; }' =~ s/\$1/vmops_problem on;/r),
     qr/invalid number of arguments in "vmops_api"/],
    ['a parameter twice', changed($server, 'location /ws/x { vmops_api; '
        . 'vmops_principal tenant=$a tenant=$b role=$c; }'),
     qr/"vmops_principal" directive names a parameter twice/],
    ['another parameter', changed($server, 'location /ws/x { vmops_api; '
        . 'vmops_principal tenant=x user=y role=z; }'),
     qr/"vmops_principal" directive takes tenant=, subject= and role=/],
    ['too few', changed($server, 'location /ws/x { vmops_api; '
        . 'vmops_principal tenant=x; }'),
     qr/invalid number of arguments in "vmops_principal"/],
    ['an unknown variable', changed($server,
        'vmops_public_url https://$no_such_host;'),
     qr/unknown "no_such_host" variable/],
    ['vmops_legacy alone', changed($server,
        'location /ws/x { vmops_legacy; }'),
     qr/invalid number of arguments in "vmops_legacy"/],
    ['no time', changed($server, 'location /ws/x { vmops_legacy '
        . 'deprecated=soon sunset=2027-01-01T00:00:00Z; }'),
     qr/"vmops_legacy" directive takes deprecated= and sunset=, each with a/],
    ['another order', changed($server, 'location /ws/x { vmops_legacy '
        . 'sunset=2027-01-01T00:00:00Z deprecated=2026-01-01T00:00:00Z; }'),
     qr/"vmops_legacy" directive takes deprecated= and sunset=, each with a/],
    ['sunset first', changed($server, 'location /ws/x { vmops_legacy '
        . 'deprecated=2027-01-01T00:00:00Z sunset=2026-01-01T00:00:00Z; }'),
     qr/"vmops_legacy" directive has a sunset before it is deprecated/],
    ['vmops_legacy twice', changed($server, 'location /ws/x { vmops_legacy '
        . 'deprecated=2026-01-01T00:00:00Z sunset=2027-01-01T00:00:00Z; '
        . 'vmops_legacy deprecated=2026-01-01T00:00:00Z '
        . 'sunset=2027-01-01T00:00:00Z; }'),
     qr/"vmops_legacy" directive is duplicate/],
    ['vmops_redact with a word', changed($server, 'vmops_redact maybe;'),
     qr/invalid value "maybe" in "vmops_redact" directive/],
    ['keys in a server', changed($server, "vmops_keys $keys;"),
     qr/"vmops_keys" directive is not allowed here/],
);
for my $case (@wrong) {
    my ($what, $text, $like) = @$case;
    my $said = $s->nginx_says($text);
    like $said, $like, $what;
    like $said, qr/\[emerg\]/, 'and nginx does not start with it';
}

# key files
for my $name (qw(command mac pepper)) {
    for my $case (['readable by others', sub { chmod 0604, $_[0] },
                   qr/can be reached by group or others/],
                  ['readable by its group', sub { chmod 0640, $_[0] },
                   qr/can be reached by group or others/],
                  ['too short', sub { truncate $_[0], 31 },
                   qr/has to be exactly 32 bytes/],
                  ['too long', sub { open my $fh, '>>', $_[0]; print $fh 'x' },
                   qr/has to be exactly 32 bytes/],
                  ['a folder', sub { unlink $_[0]; mkdir $_[0], 0700 },
                   qr/is no regular file/],
                  ['missing', sub { unlink $_[0] }, qr/open\(\) .* failed/]) {
        my ($what, $spoil, $like) = @$case;
        my $folder = tempdir('vmops-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
        for my $each (qw(command mac pepper)) {
            open my $fh, '>:raw', "$folder/$each.key" or die;
            print $fh $each eq $name ? 'k' x 32 : 'o' x 32;
            close $fh or die;
            chmod 0600, "$folder/$each.key";
        }
        my $text = changed($keys_line, "vmops_keys $folder;");
        is $s->nginx_says($text), 'ok', "$name.key as it should be";
        $spoil->("$folder/$name.key");
        my $said = $s->nginx_says($text);
        like $said, qr/\Q$folder\E\/$name\.key/, "$name.key, $what: named";
        like $said, $like, 'and why';
        unlike $said, qr/k{32}/, 'not what it holds';
    }
}

done_testing;
