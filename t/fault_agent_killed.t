# kill -9 of the agent, and of the command line beside it, at random points of a
# command: nothing happens twice, no result is lost, nothing stays open, and a
# secret that was being entered is either there and usable, or is not there.
# SEED=N repeats a run.

use strict;
use warnings;

use VMOps;
use VMOps::Faults;
use VMOps::Process qw(spawn);
use VMOps::Witness;

use constant { TIMEOUT_S => 4, SHUTDOWN_MS => 1200, TRY => 104 };

my @WHAT = qw(start shutdown rotate add);

my $s = VMOps->stack;
my $w = VMOps::Witness->with_site($s, guests => 5,
                                  durations => { qmstart => 200 });
my ($site, $pve, $agent) = ($w->site, $w->site->pve, $w->site->agent);
$pve->control('PUT', "guests/$_", { shutdown => SHUTDOWN_MS }) for 100 .. 103;
my $dice = VMOps::Dice->new;
diag 'SEED=', $dice->seed;

my $token = "$s->{dir}/passwords/token-of-the-test";
write_file($token, VMOps::slurp($pve->token_secret_file));

my %length = map { $_ => unharmed($_) } @WHAT;
diag 'in ms: ', join ', ', map { sprintf '%s %d', $_, $length{$_} } @WHAT;

# the promise

my ($points, %ends) = (0);
my $began = now;
for my $round (1 .. rounds(ci => 2, full => 50)) {
    my @killed = round();
    $points += @killed;
    my $name = join ', ', map { sprintf '%s after %d ms', @$_ } @killed;
    $w->agree("round $round ($name)")
        & secrets_are_usable()
        or diag 'SEED=', $dice->{seed}, ' repeats it';
    $ends{$_->{status}}++ for values %{ $w->records };
}
diag sprintf '%d points in %.1f minutes; ends: %s', $points,
    (now - $began) / 60, join ', ', map { "$ends{$_} $_" } sort keys %ends;
cmp_ok $ends{succeeded} // 0, '>', 0, 'some succeeded';
isnt $agent->record->{status}, 'locked', 'no false lock';

# The control: the same by an agent that does not look at its journal's states.
# Not every point shows that; one in the middle of a long task does.

my @found;
for my $round (1 .. 10) {
    $agent->stop;
    $agent->hooked(FORGET => 1);
    $agent->start;
    round(shutdown => int $length{shutdown} / 2);
    push @found, grep { /^twice/ } $w->check;
    last if @found;
}
diag scalar @found, ' doubles: ', $found[0] // '';
cmp_ok scalar @found, '>', 0,
    'control: what is not kept in mind is done twice, and that is found';

done_testing;

# One of each, on a guest of its own, killed at some point of its length; the
# next one begins while what is left of it goes on.  ([what, ms], ...); at: points
# that are not drawn
sub round {
    my (%at) = @_;
    my @what = sort { $a->[0] <=> $b->[0] }
        map { [$dice->below(1000), $_] } @WHAT;
    my @vmids = (100 .. 103);
    my @killed;
    guests_ready();
    for my $what (map { $_->[1] } @what) {
        my $ms = $at{$what} // $dice->below(int $length{$what});
        killed_after($ms, $what, shift @vmids);
        push @killed, [$what, $ms];
    }
    $w->settle;
    return @killed;
}

sub guests_ready {
    $s->redis('DEL', @{ $s->redis('KEYS', 'tenants/{acme}/rate/*') });
    $w->all_guests('running');
    $w->again;
}

# the command line of it, if it has one: its pid
sub begin {
    my ($what) = @_;
    my @args = $what eq 'rotate' ? ('rotate', $site->secret_ref)
        : $what eq 'add' ? (qw(add --kind proxmox_token --label killed
                               --host 127.0.0.1 --accept-shown --port),
                            $pve->port, '--user', $pve->token_id)
        : return undef;
    return spawn($agent->command('--json', 'secret', @args, '--stdin'),
                 $agent->output, stdin => $token);
}

# begins it, and an order; of rotate and add, one that uses the secret: the
# command line's pid
sub begin_all {
    my ($what, $vmid) = @_;
    my $action = $what eq 'shutdown' ? 'shutdown' : 'start';
    $pve->control('PUT', "guests/$vmid", { status => 'stopped' })
        if $action eq 'start';
    my $cli = begin($what);
    my $r = $w->order($action, $vmid, timeout_s => TIMEOUT_S);
    is $r->{status}, 202, "$what: the order is taken" if $r->{status} != 202;
    return $cli;
}

sub killed_after {
    my ($ms, $what, $vmid) = @_;
    my $start = now;
    my $cli = begin_all($what, $vmid);
    my $left = $ms / 1000 - (now - $start);
    select undef, undef, undef, $left if $left > 0;
    kill 'KILL', grep { defined } $agent->pid, $cli;
    waitpid $cli, 0 if $cli;
    $agent->crash;
    $agent->wait_status('offline');
    $agent->start;
}

# how long it takes when nobody is killed
sub unharmed {
    my ($what) = @_;
    guests_ready();
    my $start = now;
    my $cli = begin_all($what, 100);
    waitpid $cli, 0 if $cli;
    is $?, 0, "$what by itself" if $cli;
    $w->settle;
    my $length = (now - $start) * 1000;
    is_deeply [map { $_->{status} } values %{ $w->records }], ['succeeded'],
        "$what: an order succeeds";
    return $length;
}

# whatever the server has of them can be opened; each can be entered again
sub secrets_are_usable {
    my @wrong;
    my @refs = map { $_->{secret_ref} }
        @{ $site->rest(GET => '/secrets')->{json}{items} };
    for my $ref (@refs) {
        my $end = used($ref);
        push @wrong, "$ref: $end" if $end ne 'succeeded';
    }
    my $again = $agent->cli(['secret', 'rotate', $site->secret_ref, '--stdin'],
                            stdin => VMOps::slurp($token));
    push @wrong, "rotate: $again->{out}$again->{err}" if $again->{exit};
    my $end = used($site->secret_ref);
    push @wrong, "rotated: $end" if $end ne 'succeeded';

    # those that were added are in the way of the next round
    for my $ref (grep { $_ ne $site->secret_ref } @refs) {
        $site->rest(DELETE => "/secrets/$ref");
        $agent->cli(['secret', 'remove', $ref]);
    }
    return is "@wrong", '', 'every secret can be used: ' . scalar @refs;
}

sub used {
    my ($ref) = @_;
    my $vm = $w->uuid_of(TRY);
    $site->bind($vm, $ref);
    my $end = $site->command('status', json => { vm_uuid => $vm })->{json};
    $site->bind($vm, $site->secret_ref);
    return $end->{error} ? "$end->{status} $end->{error}{code}"
                         : $end->{status};
}

sub write_file {
    my ($path, $text) = @_;
    open my $fh, '>', $path or die "$path: $!\n";
    print $fh $text;
    close $fh or die "$path: $!\n";
}
