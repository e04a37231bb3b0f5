# A proxy that is not reached, or that is no proxy, is what the message names and
# not the server behind it; the user and password in its address stay unsaid.
# tags: asan

use strict;
use warnings;

use File::Temp qw(tempdir);

use VMOps;

my $home = tempdir('vmops-agent-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my $user = 'user:' . VMOps::canary('proxy password', 'swordfish-of-the-proxy');
my $down = "http://$user\@127.0.0.1:1";
my $unreached = qr/The proxy 127\.0\.0\.1:1 \(HTTPS_PROXY, or config\.json\) was /;

says(5, $unreached, HTTPS_PROXY => $down);
says(5, $unreached, HTTPS_PROXY => '127.0.0.1:1');
says(2, qr/ HTTPS_PROXY is no address of a proxy: http:..HOST:PORT\. /,
    HTTPS_PROXY => "htp://$user\@127.0.0.1:1");

config(qq({"proxy":"$down"}));
says(5, $unreached);
config(qq({"proxy":"htp://$user\@127.0.0.1:1"}));
says(2, qr/ proxy in config\.json is no address of a proxy: /);

done_testing;

sub says {
    my ($exit, $words, %env) = @_;
    my $got = run_command([VMOps::Agent::binary(), '--home', $home, 'pair',
                           '--server', 'https://vps.example', '--code',
                           'ABCD-EFGH-JKMN'], env => \%env);
    my $from = join ' ', %env ? sort keys %env : 'config.json';
    is $got->{exit}, $exit, "$from: exit $exit";
    like $got->{err}, $words, 'says what is wrong with the proxy';
    unlike $got->{err} . $got->{out}, qr/user|swordfish/, 'and no more of it';
}

sub config {
    open my $fh, '>', "$home/config.json" or die $!;
    print $fh $_[0];
    close $fh;
}
