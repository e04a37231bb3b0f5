# A body that a call does not want is read away, whole, before the next request
# of the connection is looked for: also behind an answer that is written page by
# page, and when it comes late.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);
my $id = $t->start->{command_id};
$t->agent->serve;
wait_for { $t->made(GET => "/vm-ops/commands/$id")->{status} eq 'succeeded' } 5,
    'a command that has ended';

sub request {
    my ($path, @lines) = @_;
    return join("\r\n", "GET /api/v1$path HTTP/1.1", 'Host: localhost',
                'Authorization: Bearer ' . $t->token, @lines) . "\r\n\r\n";
}

# what looks like a request is none inside of a body
my $hidden = request('/hidden');
my $length = 'Content-Length: ' . length $hidden;
my %body = (
    'of a length' => [$length, $hidden],
    'in chunks' => ['Transfer-Encoding: chunked',
                    sprintf "%x\r\n%s\r\n0\r\n\r\n", length $hidden, $hidden],
);
for my $path ('/vms', '/nothing', '/audit/export',
              "/vm-ops/commands/$id/events") {
    for my $how (sort keys %body) {
        my ($line, $bytes) = @{ $body{$how} };
        for my $late (0, 1) {
            my $sock = $s->socket;
            my ($in, $rest) = ('', request('/license', 'Connection: close'));
            if ($late) {
                # the answer begins without it
                print $sock request($path, $line);
                $sock->flush;
                sysread $sock, $in, 1 or die 'no answer';
                print $sock $bytes, $rest;
            } else {
                print $sock request($path, $line), $bytes, $rest;
            }
            $sock->flush;
            $in .= do { local $/; <$sock> // '' };
            my @answers = $in =~ m{HTTP/1\.1 (\d+) }g;
            my ($code) = $in =~ /"code":"(\w+)"/;
            is_deeply [scalar @answers, $answers[-1]], [2, 200],
                "$path, a body $how" . ($late ? ', late' : '');
            like $in, qr/"plan":/, 'the second answer is that of the second one';
        }
    }
}

done_testing;
