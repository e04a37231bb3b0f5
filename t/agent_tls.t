# The control plane over TLS: by the CA that pairing named and no other, and,
# where the configuration says so, bound to this very TLS connection.
# tags: asan tsan

use strict;
use warnings;

use JSON::PP;

use VMOps;

my $s = VMOps->stack(tls => 1);
my $t = $s->tenant('acme');
my $agent = $s->agent(tenant => $t);

# without its CA

my $code = $agent->rest(POST => '/agents/pairings', { json => {} })
    ->{json}{code};
my $run = $agent->cli(['pair', '--server', $s->url, '--code', $code, '--yes']);
is "$run->{exit} $run->{json}{error}{code}", '5 tls_failed',
    'a certificate of an unknown CA: no';

$agent->pair;
$agent->start;
pass 'with its CA: online';
$agent->stop;

# bound to the TLS connection

config('{"channel_binding":"tls-exporter"}');
$agent->wait_status('offline', 10);
$agent->start;
pass 'bound to the TLS connection: online';
$agent->stop;

# a configuration that cannot be read

config('{"channel_binding":"perhaps"}');
$run = $agent->cli(['run', '--foreground']);
is "$run->{exit} $run->{json}{error}{code}", '2 bad_config',
    'a configuration that cannot be read: exit 2';
like $run->{json}{error}{message}, qr{/channel_binding},
    'and the member at fault';

# where there is no TLS to be bound to

my $plain = VMOps->stack;
my $other = $plain->agent(tenant => $plain->tenant('acme'));
$other->pair;
open my $fh, '>', $other->home . '/config.json' or die $!;
print $fh '{"channel_binding":"tls-exporter"}';
close $fh;
$other->start(wait_status => 0);
wait_for {
    ($other->cli_ok(['status'])->{code} // '') eq 'no_channel_binding'
} 10, 'it to say why';
is $other->record->{status}, 'offline', 'without TLS it does not go on';

done_testing;

sub config {
    open my $fh, '>', $agent->home . '/config.json' or die $!;
    print $fh $_[0];
    close $fh;
}
