#!/usr/bin/perl

# The demo removes only a folder that it made: any other, and what runs, is as
# it was after bad use.  It ends with the command that stops it.

use strict;
use warnings;

use File::Temp qw(tempdir);

use lib 't/lib';
use VMOps;

my $tmp = tempdir('vmops-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0711, $tmp;
mkdir "$tmp/$_" for qw(full empty);
VMOps::write_conf("$tmp/full/mine", "precious\n");
VMOps::write_conf("$tmp/file", "precious\n");

sub demo { run_command(['conf/demo', @_], timeout => 90) }

for my $what (qw(up down)) {
    my $run = demo($what, '--dir', "$tmp/full");
    is $run->{exit}, 2, "$what, a folder of others: exit status 2";
    is $run->{err}, "demo: $tmp/full is not empty, and holds no demo: choose"
        . " another\n", 'said why';
    is $run->{out}, '', 'nothing on standard output';
    is_deeply [glob "$tmp/full/*"], ["$tmp/full/mine"], 'it is as it was';

    is demo($what, '--dir', "$tmp/file")->{exit}, 2, "$what, a file";
    ok -s "$tmp/file", 'it is there';
    is demo($what, '--dir', '')->{exit}, 2, "$what, no name";
}
for my $dir ('empty', 'none') {
    is demo('down', '--dir', "$tmp/$dir")->{exit}, 0, "down, $dir: no mistake";
}
ok -d "$tmp/empty", 'an empty folder stays, it is no demo';

my $dir = "$tmp/demo";
my $run = demo('up', '--dir', $dir);
END {
    local $?;
    demo('down', '--dir', $dir) if defined $dir && -d $dir;
}
is $run->{exit}, 0, 'up' or diag $run->{out}, $run->{err};
my ($stop) = $run->{out} =~ /^  stop +(.+)\n\z/m;
is $stop, VMOps::top() . "/conf/demo down --dir $dir",
    'the last line stops this one';

my %pve = (PVE_URL => 'https://pve1.lan:8006', PVE_USER => 'a@pve!t');
for my $case ([PVE_URL => 'pve1.lan', qr/PVE_URL must look like/],
              [PVE_USER => 'root', qr/set PVE_USER/],
              [PVE_VMID => 'web', qr/PVE_VMID must be a number/],
              [PVE_GUEST => 'vm', qr/PVE_GUEST must be qemu or lxc/],
              [PVE_NODE => 'pve1', qr/use a terminal/]) {
    my ($name, $value, $like) = @$case;
    $run = run_command(['conf/demo', 'up', '--dir', $dir],
                       env => { %pve, $name => $value });
    is $run->{exit}, 2, "up with $name=$value: exit status 2";
    like $run->{err}, $like, 'said why';
    is $run->{out}, '', 'before the first step';
}
is run_command(['conf/stack', 'status', '--dir', "$dir/stack"])->{exit}, 0,
    'the one that runs still does';

is run_command(['sh', '-c', $stop])->{exit}, 0, 'that command stops it';
ok !-e $dir, 'and removes its folder';

done_testing;
