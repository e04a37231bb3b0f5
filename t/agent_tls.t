# The control plane over TLS: by the CA that pairing named and no other, and,
# where the configuration says so, bound to this very TLS connection.
# tags: asan tsan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::PVESim;

my $s = VMOps->stack(tls => 1);
my $t = $s->tenant('acme');
my $agent = $s->agent(tenant => $t);

# without its CA

my $code = $agent->rest(POST => '/agents/pairings', { json => {} })
    ->{json}{code};
my $run = $agent->cli(['pair', '--server', $s->url, '--code', $code, '--yes']);
is "$run->{exit} $run->{json}{error}{code}", '5 tls_failed',
    'a certificate of an unknown CA: no';
my $untrusted = qr/certificate of \S+ is not trusted here \(.*--ca-file PEM/;
like $run->{json}{error}{message}, $untrusted, 'and why, and what to do';

my $pve = VMOps::PVESim->start;
like pair_message($s->url, $pve->ca_file), $untrusted, 'nor by another CA';
like pair_message('https://a.localhost:' . $pve->port, $pve->ca_file),
    qr/not trusted here \(hostname mismatch\)/, 'nor for another name';
my $file = 'README.md';
$run = pair_by($s->url, $file);
is "$run->{exit} $run->{json}{error}{code}", '2 usage', 'a CA file of no PEM';
like $run->{json}{error}{message}, qr/^\Q$file\E has no certificate in PEM: /,
    'is told at once';

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

# where there is no TLS

config('{}');
my $plain = VMOps->stack;
my $no_tls = qr/ does not speak TLS on that port/;
my ($port) = $plain->url =~ /:(\d+)$/;
like pair_message("https://127.0.0.1:$port"), $no_tls, 'a server without it';
$run = $agent->cli([qw(secret add --kind proxmox_token --label x --user a@b!c),
                    qw(--host 127.0.0.1 --port), $port, '--accept-shown',
                    '--stdin'], stdin => "x\n");
like $run->{json}{error}{message}, $no_tls, 'and an endpoint';

# and so nothing to be bound to

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

sub pair_by {
    my ($url, $ca) = @_;
    return $agent->cli(['pair', '--server', $url, '--code', 'ABCD-EFGH-JKMN',
                        '--yes', defined $ca ? ('--ca-file', $ca) : ()]);
}

sub pair_message { return pair_by(@_)->{json}{error}{message} }

sub config {
    open my $fh, '>', $agent->home . '/config.json' or die $!;
    print $fh $_[0];
    close $fh;
}
