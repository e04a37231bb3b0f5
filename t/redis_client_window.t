#!/usr/bin/perl

# A server is given no more than a batch of calls while it is at work on
# another; the rest waits here, and ends here if its deadline comes first.
# tags: asan

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select;
use IO::Socket::UNIX;
use Test::More;
use VMOps::Process qw(now);
use VMOps::RedisClient;

use constant { WINDOW => 8192, BATCH => 4096 };     # include/vmops_limits.h

my $t = VMOps::RedisClient->new;
my $path = $t->dir . '/fake.sock';
my $listen = IO::Socket::UNIX->new(Local => $path, Listen => 1)
    or die "listen: $!";
my ($peer, $in) = (undef, '');

# the next command: its bytes and its last word; nothing if none comes
sub command {
    my ($s) = @_;
    my $end = now + $s;
    for (;;) {
        my ($left, $at, $word) = $in =~ /^\*(\d+)\r\n/ ? ($1, $+[0]) : (-1, 0);
        while ($left > 0 && substr($in, $at) =~ /^\$(\d+)\r\n/
               && length($in) >= $at + $+[0] + $1 + 2)
        {
            $word = substr $in, $at + $+[0], $1;
            $at += $+[0] + $1 + 2;
            $left--;
        }
        if ($left == 0) {
            substr $in, 0, $at, '';
            return [$at, $word];
        }
        my $wait = $end - now;
        return if $wait <= 0 || !IO::Select->new($peer)->can_read($wait);
        sysread $peer, $in, 65536, length $in or die 'the client is gone';
    }
}

# all that come without an answer
sub commands {
    my @all;
    while (my $command = command(@all ? 0.2 : 5)) {
        push @all, $command;
    }
    return @all;
}

sub bytes {
    my $sum = 0;
    $sum += $_->[0] for @_;
    return $sum;
}

sub answer {
    syswrite $peer, join '', map { "\$" . length($_->[1]) . "\r\n$_->[1]\r\n" }
                             @_;
    return;
}

$t->nginx_start(server => "unix:$path");
$peer = $listen->accept or die "accept: $!";
for (1 .. 2) {
    my $command = command(5) or die 'no command';
    syswrite $peer, $command->[1] eq 'PING' ? "+PONG\r\n" : "+OK\r\n";
}
ok($t->ready, 'ready');

# a hundred calls of half a kilobyte

my @size = ('size=500', 'a=ECHO', 'deadline=60000');
my $pipe = $t->start('/pipe', 'n=100', @size);
my @under_way = commands();
cmp_ok(bytes(@under_way), '<=', WINDOW, 'no more than a window is sent');
cmp_ok(bytes(@under_way), '>', BATCH, 'and no less than a batch');
is($t->fields('/stat')->{calls}, 100, 'the others wait');

answer(shift @under_way);
is(command(0.2), undef, 'nothing more while the server has enough to do');

my ($arrived, $most) = (1 + @under_way, 0);
while (@under_way) {
    answer(shift @under_way);
    next if bytes(@under_way) > BATCH || $arrived == 100;
    my @more = commands();
    push @under_way, @more;
    $arrived += @more;
    $most = bytes(@under_way) if bytes(@under_way) > $most;
}
is($arrived, 100, 'the others are sent as answers come');
cmp_ok($most, '<=', WINDOW, 'never more than a window');
like(scalar $t->finish($pipe), qr/ ok=100 none=0 disorder=0 twice=0/,
     'all are answered, in order');

# longer than a window

$pipe = $t->start('/pipe', 'n=2', 'size=20000', @size[1, 2]);
my @long = commands();
is(scalar @long, 1, 'a long call goes alone');
answer(@long);
answer(commands());
like(scalar $t->finish($pipe), qr/ ok=2 none=0 disorder=0/, 'and the next');

# a deadline

$pipe = $t->start('/pipe', 'n=100', @size[0, 1], 'deadline=400');
@under_way = commands();
like(scalar $t->finish($pipe), qr/ ok=0 none=100 disorder=0 twice=0/,
     'all end at their deadline');
answer(@under_way);

my $call = $t->start('/call', 'deadline=60000', 'a=ECHO', 'a=next');
my $next = command(5);
is($next && $next->[1], 'next', 'what was not sent never is');
answer($next);
is(scalar $t->finish($call), "200 \$next\n\n", 'and the next has its answer');

$t->done;
