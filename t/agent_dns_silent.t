# Name servers that do not answer: what waits for a name gives it up after the
# time that is given to a connection, and not after all that a resolver tries.

use strict;
use warnings;

use VMOps::Mounts;

use File::Temp qw(tempdir);
use IO::Socket::INET;

use VMOps;

use constant { CONNECT_S => 10, SLACK_S => 8 };

my @at = map { "127.0.0.$_" } 2 .. 4;
my @silent = map { IO::Socket::INET->new(Proto => 'udp', LocalAddr => $_,
                                         LocalPort => 53) } @at;
if (grep { !$_ } @silent[0 .. $#at]) {
    diag 'SILENT NAME SERVERS ARE NOT TESTED HERE: port 53 cannot be had';
    plan(skip_all => 'no port 53');
}

# three of them, each asked twice for five seconds

my $dir = tempdir('vmops-dns-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
open my $fh, '>', "$dir/resolv.conf" or die $!;
print $fh map { "nameserver $_\n" } @at;
close $fh or die $!;
system('mount', '--bind', "$dir/resolv.conf", '/etc/resolv.conf') == 0
    or die "mount: $?";

my $began = now;
my $run = run_command([VMOps::Agent::binary(), '--home', "$dir/home", '--json',
    qw(pair --server https://vps.example --code ABCD-EFGH-JKMN)]);
my $took = now - $began;
is $run->{exit}, 5, 'a name that is not answered: exit 5';
like $run->{out}, qr/"dns_failed"/, 'and says at which stage';
cmp_ok $took, '>=', CONNECT_S - 1, 'it was waited for';
cmp_ok $took, '<', CONNECT_S + SLACK_S, 'and no longer';

system('umount', '/etc/resolv.conf');

done_testing;
