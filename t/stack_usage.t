#!/usr/bin/perl

# Bad use of conf/stack: exit status 2, one sentence that says what is wrong,
# nothing printed on standard output, nothing made, nothing touched.

use strict;
use warnings;

use File::Temp qw(tempdir);

use lib 't/lib';
use VMOps;

my $tmp = tempdir(TMPDIR => 1, CLEANUP => 1);
chmod 0711, $tmp;
my $new = "$tmp/new";
mkdir "$tmp/full";
open my $fh, '>', "$tmp/full/mine" or die $!;
close $fh;
open $fh, '>', "$tmp/file" or die $!;
close $fh;

my @cases = (
    ['no command'        => [], qr/which command/],
    ['unknown command'   => ['start', '--dir', $new], qr/unknown command start/],
    ['no DIR'            => ['up'], qr/--dir DIR is missing/],
    ['DIR without value' => ['up', '--dir'], qr/--dir needs a value/],
    ['DIR is a file'     => ['up', '--dir', "$tmp/file"], qr/is no folder/],
    ['DIR of others'     => ['up', '--dir', "$tmp/full"], qr/is not empty/],
    ['DIR too long'      => ['up', '--dir', "$tmp/" . 'd' x 100],
     qr/characters too long for the unix socket/],
    ['DIR with a space'  => ['up', '--dir', "$tmp/a b"], qr/letters, digits/],
    ['DIR with a brace'  => ['up', '--dir', "$tmp/a{b"], qr/letters, digits/],
    ['no stack there'    => ['down', '--dir', "$tmp/full"], qr/holds no stack/],
    ['no folder there'   => ['status', '--dir', $new], qr/does not exist/],
    ['port 0'            => ['up', '--dir', $new, '--port', 0], qr/--port is between/],
    ['port not a number' => ['up', '--dir', $new, '--port', 'x'], qr/needs a number/],
    ['ports too high'    => ['up', '--dir', $new, '--port=65535', '--nodes=2'],
     qr/beyond 65535/],
    ['no workers'        => ['up', '--dir', $new, '--workers', 0], qr/--workers is between/],
    ['too many nodes'    => ['up', '--dir', $new, '--nodes', 17], qr/--nodes is between/],
    ['foreign option'    => ['down', '--dir', $new, '--port', 1], qr/down has no option --port/],
    ['value for a flag'  => ['up', '--dir', $new, '--tls=1'], qr/--tls takes no value/],
    ['stray argument'    => ['up', '--dir', $new, 'x'], qr/unexpected argument x/],
);

for my $case (@cases) {
    my ($name, $args, $message) = @$case;
    my $run = run_command(['conf/stack', @$args]);
    is($run->{exit}, 2, "$name: exit status 2");
    like($run->{err}, $message, "$name: the message says it");
    is($run->{out}, '', "$name: nothing on standard output");
}

ok(!-e $new, 'no folder was made');
is_deeply([sort map { s{.*/}{}r } glob "$tmp/full/*"], ['mine'],
          "somebody else's folder is as it was");

SKIP: {
    skip 'only root has workers that cannot enter', 3 if $>;
    mkdir "$tmp/own", 0700;
    my $run = run_command(['conf/stack', 'up', '--dir', "$tmp/own/a/b"]);
    is($run->{exit}, 1, 'where the workers cannot enter: refused');
    like($run->{err}, qr/cannot enter \Q$tmp\E\/own;/, 'with the folder');
    is_deeply([glob "$tmp/own/*"], [], 'nothing is left there');
}

my $help = run_command(['conf/stack', '--help']);
is($help->{exit}, 0, '--help: exit status 0');
like($help->{out}, qr/^  \Q$_\E /m, "--help tells of $_")
    for qw(up down status reload reset);

done_testing;
