# How large a body for the legacy backend may be: who may send one is told, the
# others hear 401 or 403; whatever the framing.
# tags: asan

use strict;
use warnings;

use File::Temp qw(tempdir);
use JSON::PP;

use VMOps;
use VMOps::Backend qw(plain);
use VMOps::Legacy;

# all of a body first, where its length is not known
sub last_chunk {
    my ($in) = @_;
    return sub {
        my ($sock) = @_;
        while ($in !~ /\r\n0\r\n\r\n$/) {
            sysread $sock, $in, 65536, length $in or return;
        }
    };
}

my $l = VMOps::Legacy->new(sub {
    my ($request) = @_;
    return [$request->{headers}{'transfer-encoding'}
            ? last_chunk($request->{body}) : (), plain('{"a":1}')];
}, tls => 1);
my ($s, $backend) = ($l->stack, $l->backend);
$s->speak_http2;
my $t = $s->tenant('acme');
my $dir = tempdir('vmops-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

sub file {
    my ($name, $text) = @_;
    open my $fh, '>', "$dir/$name" or die;
    print $fh $text;
    close $fh or die;
    return "\@$dir/$name";
}
my %token = (owner => $t->{token}, admin => $s->platform_token, nobody => 'x');
my %as = map { $_ => file($_, "Authorization: Bearer $token{$_}\n") } keys %token;

my $MAX = 1024 * 1024;
my @fits = ('--data-binary', file(fits => 'x' x $MAX));
my @large = ('--data-binary', file(large => 'x' x ($MAX + 1)));

# status, code and the whole answer
sub post {
    my ($who, @args) = @_;
    my $out = run_command(['curl', '-s', '-i', '-m', 20, '--cacert',
        $s->info->{ca_file}, '-X', 'POST', '-H', $as{$who}, @args,
        $s->url . '/api/v1/infra/a'])->{out};
    $out =~ s/^HTTP\/1.1 100 .*?\r\n\r\n//s;
    my ($status) = $out =~ /^HTTP\/\S+ (\d+)/;
    my ($code) = $out =~ /"code":"(\w+)"/;
    return (join(' ', $status // 'none', $code // ()), $out);
}

my $chunked = 'Transfer-Encoding: chunked';
my %framing = (
    'with a length' => ['--http1.1'],
    'with a length, sent at once' => ['--http1.1', '-H', 'Expect:'],
    'in chunks' => ['--http1.1', '-H', $chunked],
    'in chunks, sent at once' => ['--http1.1', '-H', $chunked, '-H', 'Expect:'],
    'over HTTP/2, with a length' => ['--http2'],
    'over HTTP/2, without a length' => ['--http2', '-H', $chunked],
);
for my $how (sort keys %framing) {
    my @how = @{ $framing{$how} };
    is +(post(nobody => @how, @large))[0], '401 unauthenticated', "nobody, $how";
    is +(post(owner => @how, @large))[0], '403 forbidden', "who may not, $how";
    is +(post(admin => @how, @fits))[0], '200', "a MiB, $how";
    $backend->requests;
    my ($what, $answer) = post(admin => @how, @large);
    is $what, '413 body_too_large', "one byte more, $how";
    like $answer, qr/^deprecation: /mi, 'an answer of the legacy path';
    is scalar($backend->requests), 0, 'the backend has seen nothing of it'
        if $how =~ /with a length/;
}

# a location's own, and none
my $conf = VMOps::slurp(VMOps::top() . '/conf/legacy.conf');
for (['2k', '413 body_too_large'], ['0', '200']) {
    my ($size, $what) = @$_;
    $s->add_server_conf($conf =~ s/(client_max_body_size) +1m/$1 $size/r);
    is +(post(admin => @large))[0], $what, "client_max_body_size $size";
}

done_testing;
