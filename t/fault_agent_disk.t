# The agent's disk is full, or its folder read-only: an order is refused before
# its effect and the server is told so; what was under way loses no result; when
# there is room again the agent goes on by itself.  Of what is entered meanwhile
# nothing is written or sent by half.  SEED=N repeats a run.

use strict;
use warnings;

use VMOps::Mounts;
use VMOps;
use VMOps::Faults;
use VMOps::Witness;

use constant { PAGE => 4096, TIMEOUT_S => 6, SECONDS => 15 };

my $dice = VMOps::Dice->new;
diag 'SEED=', $dice->seed;

my $s = VMOps->stack;
my $disk = VMOps::Mounts->small('8m');
my $w = VMOps::Witness->with_site($s, guests => 8,
                                  home => $disk->dir . '/home',
                                  output => $s->dir . '/agent.out',
                                  durations => { qmstart => 500 });
my ($site, $agent, $pve) = ($w->site, $w->site->agent, $w->site->pve);
my $secret = VMOps::slurp($pve->token_secret_file);
my @add = (qw(secret add --kind proxmox_token --label full --accept-shown
              --host 127.0.0.1 --port), $pve->port, '--user', $pve->token_id,
           '--stdin');

# full before the order comes

$disk->fill;
my $r = $w->order('start', 100, wait => 5);
is "$r->{json}{status} $r->{json}{error}{code}", 'rejected agent_storage',
    'on a full disk an order is refused';
like $r->{json}{error}{next_action}, qr/Free space/, 'with what to do'
    or diag $r->{body};
is scalar(my @begun = $pve->effects(vmid => 100)), 0, 'nothing is done';
is $agent->record->{status}, 'online', 'the agent stays online';

# what is entered meanwhile

my $before = files();
my $version = meta()->{version};
for my $entry (['secret add', \@add, stdin => $secret],
               ['secret rotate', ['secret', 'rotate', $site->secret_ref,
                                  '--stdin'], stdin => $secret]) {
    refused(@$entry);
}
is meta()->{version}, $version, 'the server has no new version';
is scalar @{ $site->rest(GET => '/secrets')->{json}{items} }, 1,
    'and no new secret';

$disk->free;
is $w->order('start', 100, wait => 10)->{json}{status}, 'succeeded',
    'there is room again: the next order succeeds';

# full in the middle of it: a few pages are left, for the first writes only

for my $round (1 .. rounds(ci => 1, full => 20)) {
    small_database();
    $w->all_guests('stopped');
    $w->again;
    for my $vmid (100 .. 107) {
        $disk->fill(PAGE * $dice->below(14));
        $w->order('start', $vmid, timeout_s => TIMEOUT_S);
        select undef, undef, undef, $dice->below(900) / 1000;
        $disk->free;
    }
    $w->settle;
    $w->agree("round $round: a disk that is full at any point")
        or diag 'SEED=', $dice->seed;
    my %ends;
    $ends{ join ' ', grep { length } @$_{qw(status error_code)} }++
        for values %{ $w->records };
    diag join ', ', map { "$ends{$_} $_" } sort keys %ends;
}

# full while a task goes on, until after its end

small_database();
$w->again;
$w->all_guests('stopped');
$w->order('start', 100, timeout_s => TIMEOUT_S);
wait_for { $pve->effects(vmid => 100, event => 'request')
           && grep { $_->{upid} } values %{ $w->journal } } SECONDS, 'the task';
my $mark = -s $agent->output;
$disk->fill;
wait_for { said(qr/result_not_written/, $mark) } SECONDS,
    'the end that cannot be written';
my ($id) = @{ $w->{accepted} };
is record($id)->{status}, 'running', 'what is not written is not told';
$disk->free;
wait_for { record($id)->{status} eq 'succeeded' } SECONDS,
    'the result when there is room';
$w->settle;
$w->agree('an end that had to wait');

# full when it starts

$agent->stop;
$disk->fill;
$agent->start(wait_status => 0);
wait_for { said(qr/storage_unwritable/) } SECONDS, 'its word';
is $agent->record->{status}, 'offline', 'it does not start on a full disk';
$disk->free;
$agent->wait_status('online');
pass 'and starts by itself when there is room';

# read-only

$w->again;
$w->all_guests('stopped');
$disk->cover;
is $w->order('start', 100, wait => 10)->{json}{status}, 'succeeded',
    'a folder in which nothing new can be made: the journal is open';
refused('secret rotate', ['secret', 'rotate', $site->secret_ref, '--stdin'],
        stdin => $secret);
$disk->uncover;
$agent->stop;
$disk->read_only;
my $run = $agent->cli(['run', '--foreground']);
is "$run->{exit} $run->{json}{error}{code}", '1 agent_storage',
    'in a read-only folder it does not start, and says so';
is $w->order('start', 101)->{json}{code}, 'agent_offline',
    'so nothing is sent to it';
refused('secret add', \@add, stdin => $secret);
my $pairing = $site->rest(POST => '/agents/pairings', { json => {
    name => 'again', auto_approve => JSON::PP::true } })->{json};
my @pair = ('pair', '--server', $s->url, '--yes', '--code', $pairing->{code});
refused('pair', \@pair);
$disk->writable;
$disk->fill;
refused('pair, on a full disk', \@pair);
$disk->free;
is files(), $before, 'no file was left or lost';
$agent->start;
is $w->order('start', 102, wait => 10)->{json}{status}, 'succeeded',
    'when it may write, all goes on as before';
$agent->stop;
my $paired = $agent->cli_ok(\@pair);
isnt $paired->{agent_id}, $agent->id, 'and the code was not used up';

done_testing;

# SQLite's write-ahead log has no room of its own from before in it
sub small_database {
    $agent->stop;
    $agent->start;
}

sub refused {
    my ($name, $args, %opt) = @_;
    my $run = $agent->cli($args, %opt);
    is "$run->{exit} " . ($run->{json}{error}{code} // $run->{err}),
        '1 agent_storage', "$name is refused";
}

sub meta {
    return $site->rest(GET => '/secrets/' . $site->secret_ref . '/meta')->{json};
}

sub record { $site->rest(GET => "/vm-ops/commands/$_[0]")->{json} }

# beside its log, which cannot be written
sub said {
    my ($what, $mark) = @_;
    return substr(VMOps::slurp($agent->output), $mark // 0) =~ $what;
}

# but those of SQLite, which come and go
sub files {
    my $home = $agent->home;
    return join ' ', sort grep { !/state\.db-/ } map { s{.*/}{}r }
        glob "$home/* $home/.[!.]*";
}
