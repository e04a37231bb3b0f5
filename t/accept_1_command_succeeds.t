# Agent online, license active, VM bound: the command succeeds, with a receipt
# that an independent Ed25519 verifies.
# tags: asan tsan

use strict;
use warnings;

use Crypt::PK::Ed25519;
use MIME::Base64 qw(decode_base64url);

use VMOps;
use VMOps::Site;

my $s = VMOps->stack(workers => 2);
my $site = VMOps::Site->new($s, tenant => 'acme');

is $site->command('status')->{json}{result}{status}, 'stopped',
    'the guest is stopped';

my $r = $site->command('start');
my $command = $r->{json};
is $r->{status}, 200, 'finished within the wait';
is $command->{status}, 'succeeded', 'the command succeeded';
is $command->{error}, undef, 'no error';
is_deeply [$site->effects], ['start'], 'one start at the hypervisor';
is $site->pve->guest(100)->{status}, 'running', 'the guest runs';
is $site->command('status')->{json}{result}{status}, 'running',
    'and the agent says so';
is_deeply $command->{secrets},
    [{ secret_ref => $site->secret_ref, version => 1 }],
    'the secret and version it ran with';
like $command->{$_}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, "has $_"
    for qw(created_at delivered_at accepted_at finished_at);

# the receipt

ok $command->{receipt}{verified}, 'the server verified the receipt';
my $payload = decode_base64url($command->{receipt}{payload});
(my $agent16 = $command->{agent_id}) =~ s/-//g;
my $key = Crypt::PK::Ed25519->new->import_key_raw(
    decode_base64url($command->{receipt}{key}), 'public');
my ($tenant16) = run_command(['b2sum', '-l', '128'],
                             stdin => 'vmops/tenant/v1acme')->{out} =~ /^(\w+)/;
my $signed = "vmops-result-v1\0" . pack('H*', $tenant16 . $agent16) . $payload;
my $signature = decode_base64url($command->{receipt}{signature});
ok $key->verify_message($signature, $signed), 'so did another program';
ok !$key->verify_message($signature, "$signed "),
    'which finds a changed one';
like $payload, qr/"id":"\Q$command->{command_id}\E"/,
    'it is this command\'s';

my $again = $site->rest(GET => "/vm-ops/commands/$command->{command_id}");
is_deeply $again->{json}, $command, 'GET answers the same';

# every action of the catalogue that this far goes to a VM

is $site->command('reboot')->{json}{status}, 'succeeded', 'reboot';
is $site->command('shutdown', json => { params => { timeout => 30 } })
    ->{json}{status}, 'succeeded', 'shutdown';
is $site->command('start')->{json}{status}, 'succeeded', 'start again';
is $site->command('stop')->{json}{status}, 'succeeded', 'stop';
is $site->pve->guest(100)->{status}, 'stopped', 'the guest is stopped';
is_deeply [map { "$_->{vmid} $_->{name}" }
           grep { $_->{vmid} == 100 }
           @{ $site->command('list')->{json}{result}{guests} }],
    ['100 web'], 'list names it';

done_testing;
