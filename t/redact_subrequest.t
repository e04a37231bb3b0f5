# vmops_redact in subrequests: what a page includes is masked there, what
# cannot be looked at ends the page; and behind auth_request.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Backend qw(chunked plain);

my $canary = canary('included', 'not-to-be-seen-0123456789');
my %answers = (
    one    => [plain("{\"password\":\"$canary\",\"n\":1}")],
    pieces => [chunked(split //, "[\"PVEAPIToken=$canary\",2]")],
    none   => [plain('')],
    html   => [plain("<html>$canary")],
    gzip   => [plain($canary, 'Content-Encoding: gzip')],
    page   => [plain(join ' ', 'begin',
        map({ "<!--# include virtual=\"/ws/part/$_\" -->" } qw(one pieces none)),
        'end') =~ s{application/json}{text/html}r],
    bad    => [plain('begin <!--# include virtual="/ws/part/html" --> end')
        =~ s{application/json}{text/html}r],
    coded  => [plain('begin <!--# include virtual="/ws/part/gzip" --> end')
        =~ s{application/json}{text/html}r],
);
my $backend = VMOps::Backend->start(sub {
    my ($name) = $_[0]{path} =~ m{/(\w+)$};
    return ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"]
        if $name eq 'yes';
    return ["HTTP/1.1 403 No\r\nConnection: close\r\n\r\n"] if $name eq 'no';
    return $answers{$name};
});
my $to = $backend->address;

my $s = VMOps->stack;
$s->add_server_conf(<<"EOT");
location /ws/pages/  { ssi on; proxy_pass http://$to/; }
location /ws/part/   { vmops_redact on; proxy_pass http://$to/; }
location = /ws/who   { internal; proxy_pass http://$to/\$http_x_who;
                       vmops_redact on; }
location /ws/auth/   { auth_request /ws/who; vmops_redact on;
                       proxy_pass http://$to/; }
EOT

my $r = $s->rest(GET => '/ws/pages/page');
is $r->{body}, 'begin {"password":"[redacted]","n":1} ["[redacted]",2]  end',
    'what a page includes is masked';

for my $page (qw(bad coded)) {
    $r = $s->rest(GET => "/ws/pages/$page");
    unlike $r->{body} // '', qr/$canary/, "$page: nothing of it is seen";
    unlike $r->{body} // '', qr/ end$/, 'and the page is not as if it were whole'
        if $page eq 'bad';
}

$r = $s->rest(GET => '/ws/auth/pieces', { headers => { 'X-Who' => 'yes' } });
is "$r->{status} $r->{body}", '200 ["[redacted]",2]', 'behind auth_request';
$r = $s->rest(GET => '/ws/auth/pieces', { headers => { 'X-Who' => 'no' } });
is $r->{status}, 403, 'which can refuse';
$r = $s->rest(GET => '/ws/auth/html', { headers => { 'X-Who' => 'yes' } });
is "$r->{status} $r->{json}{code}", '502 bad_gateway', 'or nothing is shown';
is $r->{headers}{connection}, 'close', 'on a connection that ends with it';

is $s->rest(GET => '/ws/part/one')->{status}, 200, 'it goes on';

done_testing;
