# A journal that is damaged or not this agent's: nothing is taken in or sent, by
# no command, and every one of them says what to do; what it finds while it runs
# ends it.  An agent that is paired again keeps the file and begins anew.
# tags: asan

use strict;
use warnings;

use File::Copy qw(copy);
use JSON::PP;

use VMOps;
use VMOps::FakeServer;
use VMOps::PVESim;

use constant { PAGE => 4096 };

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
my $pve = VMOps::PVESim->start;
VMOps->watch_log($agent->home);
my $db = $agent->home . '/state.db';
$agent->pair;
my $ref = secret();
$agent->start;
is carried_out(), 'succeeded', 'a journal with a past';
$agent->stop;
copy($db, "$db.good") or die $!;

# before it runs

my %damage = (
    'no database'  => sub { write_db('x' x (4 * PAGE)) },
    'empty'        => sub { write_db('') },
    'cut off'      => sub { write_db(substr good(), 0, 2 * PAGE + 100) },
    'its head'     => sub { write_db('x' x 100 . substr good(), 100) },
    'one page'     => sub { write_db(substr(good(), 0, 3 * PAGE)
        . "\xff" x PAGE . substr(good(), 4 * PAGE)) },
    'missing'      => sub { unlink $db or die $! },
);
my %lost = map { $_ => 1 } qw(empty missing);

my $connections = $server->{connections};
for my $name (sort keys %damage) {
    my $code = $lost{$name} ? 'journal_lost' : 'journal_damaged';
    $damage{$name}->();
    for my $run (['run', '--foreground'], ['run']) {
        my $got = agent(@$run);
        is "$got->{exit} $got->{json}{error}{code}", "8 $code",
            "$name: @$run";
        like $got->{json}{error}{message}, qr/\Q$agent->{home}\E.*pair the/,
            'and says what it is and what to do';
    }
    is state(), 'damaged', 'also for whoever asks later';
    copy("$db.good", $db) or die $!;
}
is $server->{connections}, $connections, 'no server was spoken to';

$damage{'no database'}->();
for my $command (['status'], ['journal'], ['secret', 'list'], ['unpair', '--yes'])
{
    my $got = agent(@$command);
    is "$got->{exit} $got->{json}{error}{code}", '8 journal_damaged', "@$command";
}
copy("$db.good", $db) or die $!;
$agent->start;
is carried_out(), 'succeeded', 'the control: the good one is taken';

# while it runs

$agent->stop;
{
    local $ENV{VMOPS_AGENT} = VMOps::built('t/agent/vmops-agent-hooked');
    local $ENV{VMOPS_TEST_CORRUPT} = $agent->home . '/corrupt';
    $agent->start;
}
my $done = done();
my $order = { %{ order() }, seq => 1 };     # which is no new one
write_to($agent->home . '/corrupt', '');
$server->send_order($order);
is $agent->wait_exit, 8, 'found while it runs: it ends';
is done(), $done, 'and nothing is done';
is_deeply [grep { $_->{t} eq 'ack' && $_->{id} eq $order->{id}
                  && $_->{status} eq 'accepted' } @{ $server->{messages} }],
    [], 'nor is it taken in';
is state(), 'damaged', 'it says why';
unlink $agent->home . '/corrupt';

# again from the beginning

for my $name ('no database', 'one page') {
    $damage{$name}->();
    $server->{agent} = VMOps::FakeServer::new_id();
    $agent->pair;
}
ok -s "$db.damaged" && -s "$db.damaged.1", 'paired again: the files are kept';
$ref = secret();
$agent->start;
is carried_out(), 'succeeded', 'and it works';

done_testing;

sub good { VMOps::slurp("$db.good") }

sub write_to {
    my ($path, $bytes) = @_;
    open my $fh, '>:raw', $path or die "$path: $!";
    print $fh $bytes;
    close $fh or die "$path: $!";
}

sub write_db { write_to($db, @_) }

sub secret {
    return $agent->add_secret($pve);
}

sub order {
    return $server->order(
        target => { vm_uuid => VMOps::FakeServer::new_id(), guest => 'qemu',
                    node => 'pve1', vmid => 100 },
        secrets => [{ ref => $ref, version => 1, family => 'proxmox' }]);
}

sub carried_out {
    $pve->control('PUT', 'guests/100', { status => 'stopped' });
    my $order = order();
    $server->send_order($order);
    return $server->result($order->{id})->{status};
}

sub done {
    return scalar(my @begun = $pve->effects(vmid => 100, event => 'request'));
}

sub agent {
    my $got = run_command([VMOps::Agent::binary(), '--home', $agent->home,
                           '--json', @_]);
    $got->{json} = JSON::PP->new->utf8->decode($got->{out});
    return $got;
}

sub state {
    return JSON::PP->new->utf8->decode(
        VMOps::slurp($agent->home . '/run.json'))->{state};
}
