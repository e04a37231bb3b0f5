# A sign-in page that answers 200 to everything is no server: nothing is taken
# for paired or stored, and whoever asked is told what to look for.
# tags: asan tsan

use strict;
use warnings;

use JSON::PP;
use POSIX qw(WNOHANG);

use VMOps;
use VMOps::FakeServer;
use VMOps::PVESim;
use VMOps::Process qw(spawn);

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
my $pve = VMOps::PVESim->start;
VMOps->watch_log($agent->home);
my @pair = ('pair', '--server', $server->url, '--code', 'ABCD-EFGH-JKMN',
            '--yes');
my @add = (qw(secret add --kind proxmox_token --label pve1 --accept-shown
              --stdin --host 127.0.0.1 --port), $pve->port,
           '--user', $pve->token_id);

$server->{portal} = 1;
my $got = cli(@pair);
is $got->{code}, '6 bad_answer', 'pair';
like $got->{message}, qr/sign-in page or a proxy.* try again/,
    'says what it may be, and what to do';
is cli('status')->{code}, '3 not_paired', 'is not paired';
$server->{portal} = 0;
is cli(@pair)->{code}, 0, 'the control: the server itself';

$server->{portal} = 1;
$got = cli(@add);
is $got->{code}, '5 target_error', 'secret add';
like $got->{message}, qr/proxy, or a sign-in page/, 'says what it may be';
is_deeply [map { $_->{status} } @{ cli('secret', 'list')->{json}{items} }],
    ['not_confirmed'], 'it does not count as stored';
$server->{portal} = 0;
is cli(@add)->{code}, 0, 'the control: the server itself';

done_testing;

sub cli {
    my (@args) = @_;
    my $out = $agent->home . '/out';
    unlink $out;
    my $pid = spawn([VMOps::Agent::binary(), '--home', $agent->home, '--json',
                     @args], $out, stdin => $pve->token_secret_file);
    my $status;
    $server->until(sub {
        return 0 if waitpid($pid, WNOHANG) != $pid;
        $status = $? >> 8;
        return 1;
    }, $args[0]);
    my $json = JSON::PP->new->utf8->decode(VMOps::slurp($out));
    return { json => $json, message => $json->{error}{message},
             code => join ' ', $status, $json->{error}{code} // () };
}
