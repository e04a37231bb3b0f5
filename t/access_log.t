# The access log is one JSON object a line, with the path and without the query,
# whatever a request brings along; and why its answer is what it is, and whose it
# was, as far as that has been proven.

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::WSAgent;

my $s = VMOps->stack;
$s->add_server_conf(<<'EOT');
location = /ws/gone  { return 410; }
location = /ws/plain { vmops_problem off; return 404; }
add_header X-Actor "$vmops_tenant $vmops_actor" always;
EOT
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
    protocol status code tenant request_bytes bytes seconds connection)],
    'its line';
is "$line->{method} $line->{uri} $line->{status}", 'GET /api/v1/vms 200',
    'says what was asked, without the query';
cmp_ok $line->{seconds}, '>=', 0, 'and how long it took';
is "$line->{code}|$line->{tenant}", '|acme', 'and whose it was';
like $answer->{headers}{'x-actor'}, qr/^acme token:[0-9a-f-]{36}$/,
    'there is a variable that says who';

# what went wrong, whoever answers it
sub why {
    my ($want, $what, @call) = @_;
    my $line = line_of($s->rest(@call));
    is "$line->{status} $line->{code}|$line->{tenant}", $want, $what;
}
my @owner = (token => $t->{token});
why('404 not_found|acme', 'an id that is not there', GET => "/vms/$_", { @owner })
    for '018f0000-0000-7000-8000-000000000000';
why('422 invalid_params|acme', 'a bad body', POST => '/vms', { @owner, json => {} });
why('401 unauthenticated|', 'nobody', GET => '/vms');
why('401 unauthenticated|', 'whoever only says so', GET => '/vms', {
    token => 'vmo_acme_' . 'A' x 43 });
why('403 forbidden|acme', 'not for an owner', GET => '/admin/tenants', { @owner });
why('200 |', 'an administrator has no tenant', GET => '/admin/tenants/acme', {
    token => $s->platform_token });
why('404 not_found|', 'no such page', GET => '/ws/nothing');
why('410 bad_request|', 'an answer of nginx', GET => '/ws/gone');
why('400 invalid_header|', 'no agent\'s handshake', GET => VMOps::WSAgent::PATH);
$s->rest(PATCH => '/admin/tenants/acme', {
    token => $s->platform_token, json => { status => 'suspended' } });
wait_for { $s->rest(GET => '/vms', { @owner })->{status} == 403 } 5, 'the end';
why('403 tenant_suspended|acme', 'suspended', GET => '/vms', { @owner });
$s->rest(GET => '/ws/plain');
wait_for { $s->access_log =~ m{"/ws/plain".*"status":404,"code":"",} } 5,
    'the line of what is no problem';

# what a path can hold
$answer = $s->rest(GET => '/vms/%22%0a%5c%00x%ff', { token => $t->{token} });
line_of($answer) if $answer->{headers}{'x-request-id'};
line_of($s->rest(GET => "/nothing?a=$canary"));
my @broken = grep { !eval { decode_json($_); 1 } } split /\n/, $s->access_log;
is "@broken", '', 'every line is JSON';
unlike $s->access_log, qr/\?|Bearer|vmo_|session=/, 'no query, token or cookie';

done_testing;
