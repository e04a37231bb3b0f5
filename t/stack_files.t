#!/usr/bin/perl

# What a stack leaves on the disk and shows of its processes: nothing that
# others may read, no secret in an argument list or an environment.

use strict;
use warnings;

use File::Find qw(find);

use lib 't/lib';
use VMOps;

my $s = VMOps->stack(tls => 1, workers => 2);
my $tenant = $s->tenant('acme');

my @open;
find({ no_chdir => 1, wanted => sub {
    my $mode = (lstat)[2];
    push @open, sprintf '%s %o', $_, $mode & 07777 if $mode & 07 && !-l _;
} }, $s->dir);
is_deeply(\@open, [], 'nothing is open to others');

for my $file (glob($s->dir . '/{keys,passwords}/* ' . $s->dir
                   . '/{platform.token,tls/server.key}')) {
    is((stat $file)[2] & 0777, 0600, "$file is 0600");
}

my @pids = ($s->redis_pid, $s->master, $s->workers);
my %secret = (token => $s->platform_token, owner => $tenant->{token});
for my $file (glob($s->dir . '/passwords/*')) {
    open my $fh, '<', $file or die "$file: $!";
    $secret{$file} = <$fh>;
}
is(scalar keys %secret, 6, 'two tokens and four passwords');
my @seen;
for my $pid (@pids) {
    for my $what (qw(cmdline environ)) {
        my $text = VMOps::slurp("/proc/$pid/$what");
        push @seen, grep { index($text, $secret{$_}) >= 0 } keys %secret;
    }
}
is_deeply(\@seen, [], 'no secret among arguments or in an environment');

SKIP: {
    skip 'only root can give workers another user', 2 if $>;
    my $www = getpwnam 'www-data';
    is((stat "/proc/$_")[4], $www, 'a worker runs as www-data') for $s->workers;
}

done_testing;
