# The access log is one JSON object a line, with the path and without the query,
# whatever a request brings along.

use strict;
use warnings;

use JSON::PP;

use VMOps;

my $s = VMOps->stack;
my $t = $s->tenant('acme');
my $canary = canary('in a request', 'seen-nowhere-' . 'q' x 16);

# written when the request has ended, which its client may know before
sub line_of {
    my ($answer) = @_;
    my $id = $answer->{headers}{'x-request-id'};
    my $line;
    wait_for { ($line) = $s->access_log =~ /^(.*\Q$id\E.*)\n/m } 5,
        "the line of $id";
    return decode_json($line);
}

my $answer = $s->rest(GET => "/vms?limit=1&token=$canary", {
    token => $t->{token},
    headers => { Cookie => "session=$canary", Referer => "https://x/?$canary",
                 'User-Agent' => $canary, 'X-Forwarded-For' => $canary } });
is $answer->{status}, 200, 'a request';
my $line = line_of($answer);
is_deeply [sort keys %$line], [sort qw(time request_id remote_addr method uri
    protocol status request_bytes bytes seconds connection)], 'its line';
is "$line->{method} $line->{uri} $line->{status}", 'GET /api/v1/vms 200',
    'says what was asked, without the query';
cmp_ok $line->{seconds}, '>=', 0, 'and how long it took';

# what a path can hold
$answer = $s->rest(GET => '/vms/%22%0a%5c%00x%ff', { token => $t->{token} });
line_of($answer) if $answer->{headers}{'x-request-id'};
line_of($s->rest(GET => "/nothing?a=$canary"));
my @broken = grep { !eval { decode_json($_); 1 } } split /\n/, $s->access_log;
is "@broken", '', 'every line is JSON';
unlike $s->access_log, qr/\?|Bearer|vmo_|session=/, 'no query, token or cookie';

done_testing;
