# A legacy backend that is not there, is late, or breaks: 502 as a problem, with
# the lines that every answer of the legacy path has.

use strict;
use warnings;

use VMOps;
use VMOps::Backend qw(plain);
use VMOps::Legacy;

my $l = VMOps::Legacy->new(sub {
    my ($request) = @_;
    return $request->{path} =~ /late/ ? [\5]
        : $request->{path} =~ /closed/ ? []
        : $request->{path} =~ /nonsense/ ? ["\x16\x03\x01 nonsense\r\n\r\n"]
        : $request->{path} =~ /html/ ? [plain('<html>')]
        : $request->{path} =~ /500/ ? [plain('{"e":1}') =~ s/200 OK/500 No/r]
        : [plain('{}')];
});
my $s = $l->stack;
my @admin = (token => $s->platform_token);
my $conf = VMOps::slurp(VMOps::top() . '/conf/legacy.conf');
$conf =~ s/(proxy_read_timeout) +60s/$1 1s/ or die;
$s->add_server_conf($conf);

sub bad {
    my ($path, $what) = @_;
    my $r = $s->rest(GET => "/infra/$path", { @admin });
    is "$r->{status} $r->{json}{code} $r->{json}{status}", '502 bad_gateway 502',
        $what;
    is $r->{headers}{'content-type'}, 'application/problem+json', 'a problem';
    is $r->{json}{instance}, $r->{headers}{'x-request-id'}, 'with its id, once';
    ok $r->{headers}{$_} && $r->{headers}{$_} !~ /,.*,/, "and one $_"
        for qw(deprecation sunset);
}

is $s->rest(GET => '/infra/there', { @admin })->{status}, 200, 'it is there';
my $r = $s->rest(GET => '/infra/500', { @admin });
is "$r->{status} $r->{body}", '500 {"e":1}', 'its own errors are its own';
bad(late => 'too late');
bad(closed => 'no answer');
bad(nonsense => 'no HTTP');
bad(html => 'no JSON');
$l->backend->stop;
bad(gone => 'gone');
is $s->rest(GET => '/infra/gone', { token => 'x' })->{status}, 401,
    'who nobody is learns nothing of it';

done_testing;
