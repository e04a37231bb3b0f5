# vmops_redact: bodies of 50 MB in constant memory of the worker, to quick and to
# slow clients, buffered by nginx or not; every secret in them masked.
# tags: asan

use strict;
use warnings;

use Digest::SHA;
use Socket ();

use VMOps;
use VMOps::Backend;

my $MB = rounds(ci => 8, full => 50);
my $GROWTH_KB = 1024;       # beside a small answer's

my $canary = canary('in the body', 'not-to-be-seen-0123456789');

# one record, as it comes and as it goes
my $record = '{"id":"%08d","password":"' . $canary . '","tags":["a","b",{"c":[1.5,'
    . 'true,null]}],"dsn":"http:\/\/u:' . $canary . '@h","text":"' . 'y' x 300
    . ' \u00e9 \"q\"","token":{"a":["' . $canary . '",{"b":[]}]},"end":""}';
(my $masked = $record) =~ s/"$canary","tags"/"[redacted]","tags"/;
$masked =~ s/"http:[^"]*"/"[redacted]"/;
$masked =~ s/\{"a":\["$canary",\{"b":\[\]\}\]\}/"[redacted]"/;
my $records = int $MB * 1048576 / length sprintf $record, 0;

# chunks of changing sizes, cut anywhere
my $backend = VMOps::Backend->start(sub {
    my ($count) = $_[0]{path} =~ m{/(\d+)$};
    return [sub {
        my ($sock) = @_;
        VMOps::Backend::write_all($sock, "HTTP/1.1 200 OK\r\n"
            . "Content-Type: application/json\r\nConnection: close\r\n"
            . "Transfer-Encoding: chunked\r\n\r\n");
        my ($out, $n) = ('[', 0);
        for my $i (1 .. $count) {
            $out .= ($i > 1 ? ',' : '') . sprintf $record, $i;
            $out .= ']' if $i == $count;
            while (length $out > 40_000 || ($i == $count && length $out)) {
                my $size = 1 + ($n++ * 7919) % 30_011;
                my $part = substr $out, 0, $size, '';
                VMOps::Backend::write_all($sock,
                    sprintf "%x\r\n%s\r\n", length $part, $part);
            }
        }
        VMOps::Backend::write_all($sock, "0\r\n\r\n");
    }];
});
my $to = $backend->address;

my $s = VMOps->stack(workers => 1);
$s->add_server_conf(<<"EOT");
vmops_redact on;
proxy_max_temp_file_size 0;
location /ws/buffered/ { proxy_pass http://$to/; }
location /ws/direct/   { proxy_pass http://$to/; proxy_buffering off; }
location /ws/hoard/    { proxy_pass http://$to/; vmops_redact off;
                         proxy_buffers 1024 64k; }
EOT

my $wanted = do {
    my $sha = Digest::SHA->new(256);
    $sha->add('[');
    $sha->add(($_ > 1 ? ',' : '') . sprintf $masked, $_) for 1 .. $records;
    $sha->add(']');
    $sha->hexdigest;
};

# a body's hash, read by HTTP/1.0; slow: a pause now and then, for a while
sub fetch {
    my ($path, $slow) = @_;
    my $sock = $s->socket;
    setsockopt $sock, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), 262144 if $slow;
    print $sock "GET /ws/$path HTTP/1.0\r\n\r\n";
    $sock->flush;
    my ($in, $sha, $n) = ('', undef, 0);
    while (sysread $sock, my $part, 65536) {
        if (!$sha) {
            $in .= $part;
            next if $in !~ s/^(.*?)\r\n\r\n//s;
            $sha = Digest::SHA->new(256);
            $part = $in;
        }
        $sha->add($part);
        # pauses that make nginx' buffers fill up; not to wait for anything
        select undef, undef, undef, 0.02 if $slow && $n++ < 50;
    }
    return $sha ? $sha->hexdigest : $in;
}

my ($worker) = $s->workers;

# the most that the worker ever had, in KB; reset before
sub forget_peak {
    open my $fh, '>', "/proc/$worker/clear_refs" or die "clear_refs: $!";
    print $fh 5;
    close $fh or die "clear_refs: $!";
}
sub peak {
    return VMOps::slurp("/proc/$worker/status") =~ /^VmHWM:\s+(\d+) kB/m
        ? $1 : die 'no VmHWM';
}

for my $way (qw(buffered direct)) {
    fetch("$way/100");
    forget_peak();
    fetch("$way/100");
    my $small = peak();
    for my $slow (0, 1) {
        forget_peak();
        my $how = $slow ? 'slow' : 'quick';
        is fetch("$way/$records", $slow), $wanted,
            "$way, to a $how client: $MB MB, masked";
        next if VMOps::keeps_freed();
        my $growth = peak() - $small;
        cmp_ok $growth, '<', $GROWTH_KB, "in $growth KB more than a small one";
    }
}

# a worker that hoards what a slow client does not take yet is seen
forget_peak();
my $small = peak();
fetch("hoard/$records", 1);
cmp_ok peak() - $small, '>', $GROWTH_KB, 'hoarding would be seen'
    unless VMOps::keeps_freed();

is_deeply [$s->workers], [$worker], 'the worker is the same';

done_testing;
