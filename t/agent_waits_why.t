# An agent that is not connected: `status` has the reason in words, and what to
# do about it.
# tags: asan

use strict;
use warnings;

use Fcntl qw(LOCK_EX);
use JSON::PP;

use VMOps;

my $s = VMOps->stack;
my $agent = $s->agent(tenant => $s->tenant('acme'));
my $home = $agent->home;
$agent->pair;

# a real one

$agent->start;
is $s->rest(PATCH => '/admin/tenants/acme', { token => $s->platform_token,
    json => { status => 'suspended' } })->{status}, 200, 'suspended';
wait_for {
    line() =~ /: waiting \(tenant_suspended\): The tenant is suspended\. /
} 20, 'status to say why it waits';
$agent->stop;

# and the others, as the running one writes them

open my $lock, '>', "$home/lock" or die $!;
flock $lock, LOCK_EX or die $!;
my %said = (
    connection_refused => qr/nothing listens on that port: is the service up/,
    no_route => qr/VPN seems to be off/,
    timeout => qr/took the connection, but did not answer in time/,
    tls_failed => qr/does not speak TLS/,
    certificate_untrusted => qr/certificate of 127\.0\.0\.1 .*--ca-file PEM/,
    proxy_unreachable => qr/proxy \(HTTPS_PROXY, or config\.json\)/,
    http_status => qr/not as this service does/,
    bad_handshake => qr/not answer as this service does/,
    no_channel_binding => qr/config\.json asks for channel_binding/,
    authentication_failed => qr/paired again elsewhere.*pair it again/,
    server_not_verified => qr/command key.*Ask the operator/,
    replaced => qr/Another session of this agent/,
    disconnected => qr/broke off; the agent makes it again/,
    store_unavailable => qr/store cannot be reached/,
    malformed_message => qr/agent\.log in \Q$home\E says more/,
);
for my $code (sort keys %said) {
    open my $fh, '>', "$home/run.json" or die $!;
    print $fh JSON::PP->new->encode({ state => 'waiting', code => $code,
                                      since => undef, pid => $$ });
    close $fh;
    like line(), qr/: waiting \($code\): .*$said{$code}/, $code;
}

done_testing;

sub line { (split /\n/, run_command($agent->command('status'))->{out})[0] }
