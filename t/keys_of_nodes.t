# All nodes of a store have the same keys: one with another command.key, mac.key
# or pepper.key, of either module, is not ready and says so, does nothing, and
# spoils nothing; until vmops-keys says that the keys were replaced.
# tags: asan

use strict;
use warnings;

use Crypt::PK::Ed25519;
use Crypt::PRNG qw(random_bytes);
use File::Temp qw(tempdir);

use VMOps;
use VMOps::Audit;
use VMOps::Rest;

my $s = VMOps->stack(nodes => 2);
my $w = VMOps::Rest->new($s);
my $audit = VMOps::Audit->new($s, tenant => { tenant => 'acme',
                                              token => $w->token });
my @names = qw(command mac pepper);

# a folder with the store's keys, but for those named
sub keys_but {
    my %other = map { $_ => 1 } @_;
    my $dir = tempdir('keys-XXXXXXXX', DIR => $s->dir);
    for my $name (@names) {
        VMOps::write_conf("$dir/$name.key", $other{$name} ? random_bytes(32)
            : VMOps::slurp($s->dir . "/keys/$name.key"));
        chmod 0600, "$dir/$name.key";
    }
    return $dir;
}

sub pk {
    my $seed = VMOps::slurp("$_[0]/command.key");
    return Crypt::PK::Ed25519->new->import_key_raw($seed, 'private')
        ->export_key_raw('public');
}

# new workers of a node, with these folders
sub run_with {
    my ($n, %folder) = @_;
    my $conf = VMOps::slurp($s->node($n)->{conf});
    $conf =~ s/^(\s+$_\s+).*;/$1$folder{$_};/m or die "no $_" for keys %folder;
    VMOps::write_conf($s->node($n)->{conf}, $conf);
    my %old = map { $_ => 1 } $s->workers($n);
    kill HUP => $s->master($n);
    wait_for { my @now = $s->workers($n); @now && !grep { $old{$_} } @now } 15,
        'new workers';
}

sub ready { $s->rest(GET => '/readyz', { node => $_[0] })->{status} }

# what node 2 has said of it
sub differ {
    my @lines = $s->error_log(2)
        =~ /(\[error\] .*keys are not those of the store.*)/g;
    return @lines;
}

sub sealed_change {
    my $made = $w->new_token('viewer');
    return $audit->wait_sealed;
}

sub live { $s->redis('ZCARD', 'platform/{p}/gateways') }

my $own = $s->dir . '/keys';
my %kept = @{ $s->redis('HGETALL', 'platform/{p}/keys') };
is_deeply [map { "$_ " . $kept{$_} =~ s/[0-9a-f]{32}$/.../r } sort keys %kept],
    ['command c1...', 'mac m1...', 'pepper p1...'], 'the store knows its keys';
is live(), 2, 'two workers beat';

for my $case ([agents_ws_keys => 'command'], [agents_ws_keys => 'mac'],
              map { [vmops_keys => $_] } @names) {
    my ($directive, $name) = @$case;
    my $what = "$directive: another $name.key";
    my $dir = keys_but($name);
    my $before = differ();
    run_with(2, $directive => $dir);
    wait_for { differ() > $before } 5, $what;
    my $client = $directive eq 'vmops_keys' ? 'vmops-rest' : 'vmops-agents-ws';
    my $here = substr($kept{$name}, 0, 2) . '[0-9a-f]{32}';
    like +(differ())[-1], qr/ redis:\ this\ node's\ keys\ are\ not\ those\ of
        \ the\ store\ \(here\ (?!$kept{$name})$here,\ there\ $kept{$name}\):
        \ copy\ the\ keys\ of\ the\ other\ nodes,
        \ redis:\ .*,\ client:\ $client,\ connection:\ commands/x,
        "$what: is said";
    is ready(2), 503, "$what: not ready";
    is ready(1), 200, "$what: others are";
    my $api = $w->rest(GET => '/vms', { node => 2 });
    is $api->{json}{code} // $api->{status},
        $directive eq 'vmops_keys' ? 'store_unavailable' : 200,
        "$what: no token is refused for it";
    is +VMOps::WSAgent->new(port => $s->port(2))->handshake->{status},
        $directive eq 'vmops_keys' ? 101 : 503, "$what: nor an agent";
    wait_for { live() == ($directive eq 'vmops_keys' ? 2 : 1) } 10,
        "$what: who beats";
    sealed_change() for 1 .. 3;
    is audit_fault(pk($own), 'acme', $audit->export), '',
        "$what: what is sealed holds";
    is differ(), $before + 1, "$what: it is said once";
    is_deeply { @{ $s->redis('HGETALL', 'platform/{p}/keys') } }, \%kept,
        "$what: the store's are what they were";
    run_with(2, $directive => $own);
    wait_for { ready(2) == 200 } 10, "$what: mended";
}

# a new command.key, on purpose: the chain goes on under it

my $new = keys_but('command');
my @tool = (VMOps::top() . '/build/conf/vmops-keys', 'replace', '--keys', $new,
            '--redis', $s->info->{redis_socket}, '--user', 'vmops',
            '--password-file', $s->dir . '/passwords/vmops');
my ($sealed) = $audit->numbers;
$w->agent->close(1000);
run_with(2, vmops_keys => $new, agents_ws_keys => $new);
wait_for { ready(2) == 503 } 5, 'nobody has said so yet';
is run_command(\@tool)->{exit}, 0, 'the keys are replaced';
wait_for { ready(2) == 200 } 10, 'a node with the new ones is ready by itself';
run_with(1, vmops_keys => $new, agents_ws_keys => $new);
wait_for { ready(1) == 200 } 10, 'and the other one';
sealed_change();
my $seal = $audit->rest('/audit/head')->{json};
is $seal->{from}, $sealed + 1, 'its seal follows the last one of before';
ok VMOps::Audit::signed(pk($new), 'acme', $seal), 'by the new key';
run_with(2, vmops_keys => $own, agents_ws_keys => $own);
wait_for { ready(2) == 503 } 5, 'and one with the old ones is not';
is scalar(grep { my %e = @{ $_->[1] }; $e{entry} =~ /"keys.replaced"/ }
          @{ $s->redis(XRANGE => 'platform/{p}/audit', '-', '+') }), 1,
    'it is in the administrators\' audit';

done_testing;
