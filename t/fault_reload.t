# nginx -s reload under load, with many live agents: no command is lost, the old
# workers go, the new ones have the agents within seconds, and nothing grows.

use strict;
use warnings;

use JSON::PP;
use POSIX ();

use VMOps;
use VMOps::Crowd;
use VMOps::Functions qw(uuid);
use VMOps::WSAgent;

# gone: worker_shutdown_timeout and a moment; each tenant may order twice a second
use constant { TENANTS => 5, CROWDS => 4, GONE_S => 11, UNSEEN_MS => 5000,
               WARM => 2, GROWTH => 1.05, BETWEEN_S => 1 };

my $s = VMOps->stack(workers => 2);
my $agents = rounds(ci => 60, full => 500);
my $reloads = rounds(ci => 4, full => 20);
my @tenants = map { $s->tenant("t$_", max_agents => 1000) } 1 .. TENANTS;
my @agents = map { make_agent($tenants[$_ % TENANTS], $_ < 50) }
    0 .. $agents - 1;
my $come = now;
my @crowds = map {
    my $n = $_;
    VMOps::Crowd->start(@agents[grep { $_ % CROWDS == $n } 0 .. $#agents]);
} 0 .. CROWDS - 1;
my $redis = $s->redis_client;
wait_for { present() == $agents } 60, 'all agents';
$come = now - $come;

my $client = start_client();
my $began = now;
my (@gone, @memory);
for my $n (1 .. $reloads) {
    my @old = $s->workers;
    my $start = now;
    $s->reload;
    wait_for { !grep { kill 0, $_ } @old } GONE_S + 5, 'the end of old workers';
    push @gone, now - $start;
    wait_for { present() == $agents } 60, 'all agents';
    my $until = now + BETWEEN_S;
    wait_for { now > $until } BETWEEN_S + 1, 'some load';
    push @memory, memory();
}
my ($slowest) = sort { $b <=> $a } @gone;
cmp_ok $slowest, '<', GONE_S, sprintf '%d reloads with %d agents: old workers '
    . 'are gone after at most %.1f s', $reloads, $agents, $slowest;
cmp_ok $memory[-1], '<', $memory[WARM - 1] * GROWTH,
    "memory is flat: $memory[WARM - 1] kB after reload " . WARM
    . ", $memory[-1] kB after the last";
diag "kB after each reload: @memory";

my $load = stop_client();
my @ids = keys %{ $load->{accepted} };
my $status = sub { $redis->call(HGET => $load->{accepted}{ $_[0] }, 'status') };
wait_for { !grep { $status->($_) =~ /^(?:queued|delivered|running)$/ } @ids } 30,
    'the ends of all commands';
my %ends;
$ends{ $status->($_) }++ for @ids;
is_deeply \%ends, { succeeded => scalar @ids }, @ids . ' commands in '
    . int(now - $began) . ' s, 0 lost';
cmp_ok scalar @ids, '>', $reloads * 5, 'enough of them; '
    . "$load->{refused} refused, $load->{again} times asked again";

my @told = map { $_->stop } @crowds;
my %done = map { %{ $_->{done} } } @told;
is_deeply [sort keys %done], [sort @ids], 'the agents carried out these, no others';
is +(grep { $_->{left} } @told), 0, 'every result was confirmed';

# The tenants' events say when which agent was not there.  A machine that has
# other work may not be able to serve as many within that time at all: then what
# they took when they first came is the measure.

my @unseen = sort { $a <=> $b } map { unseen($_) } @tenants;
cmp_ok scalar @unseen, '>=', $agents * $reloads * 0.9, @unseen . ' times an agent '
    . 'was not there for a moment';
my ($p50, $p99) = map { $unseen[$_ * $#unseen] } 0.5, 0.99;
my ($most) = sort { $b <=> $a } UNSEEN_MS, int(1500 * $come);
diag "A BUSY MACHINE: $p99 ms are compared with $most ms" if $most > UNSEEN_MS;
cmp_ok $p99, '<=', $most, "p50 $p50 ms, p99 $p99 ms, at most $unseen[-1] ms";

done_testing;

sub make_agent {
    my ($tenant, $works) = @_;
    my $rest = sub {
        my ($method, $path, $opt) = @_;
        my $r = $s->rest($method, $path, { token => $tenant->{token}, %$opt });
        die "$method $path: $r->{status} $r->{body}" if $r->{status} !~ /^20/;
        return $r;
    };
    my $code = $rest->(POST => '/agents/pairings', { json => {
        name => 'pc', auto_approve => \1 } })->{json}{code};
    my $a = VMOps::WSAgent->new(port => $s->port);
    $a->pair(sub { $s->rest(@_) }, $code);
    return $a unless $works;
    my $ref = $a->add_secret(sub { $s->rest(@_) }, $s->url, uuid());
    my $vm = $rest->(POST => '/vms', { json => {
        name => 'web', guest => 'qemu', node => 'pve1', vmid => 100,
        agent_id => $a->id } })->{json}{vm_uuid};
    $rest->(PUT => "/secrets/bindings/vm/$vm/proxmox",
            { json => { secret_ref => $ref } });
    push @{ $tenant->{vms} }, $vm;
    return $a;
}

# agents that have a session
sub present {
    my $sum = 0;
    for my $tenant (@tenants) {
        my $key = "tenants/{$tenant->{tenant}}/gateways";
        $sum += $redis->call(SCARD => "$key/$_")
            for @{ $redis->call(ZRANGE => $key, 0, -1) };
    }
    return $sum;
}

# of all of nginx: what is not shared
sub memory {
    my $kb = 0;
    for my $pid ($s->master, $s->workers) {
        $kb += $1 if VMOps::slurp_proc($pid, 'smaps_rollup')
            =~ /^Private_Dirty:\s+(\d+) kB/m;
    }
    return $kb;
}

# A client that orders all the time, and repeats with its key what has no answer.
sub start_client {
    my $stop = $s->dir . '/stop';
    pipe my $out, my $in or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ($pid) {
        close $in;
        return { pid => $pid, out => $out, stop => $stop };
    }
    my ($n, $parent) = (0, getppid);
    my %told = (accepted => {}, refused => 0, again => 0);
    until (-e $stop) {
        my $tenant = $tenants[$n++ % TENANTS];
        my @vms = @{ $tenant->{vms} };
        my %request = (
            token => $tenant->{token}, timeout => 5,
            headers => { 'Idempotency-Key' => "order-$n-$$" },
            json => { vm_uuid => $vms[rand @vms], params => {} });
        my $r;
        while (1) {
            $r = $s->rest(POST => '/vm-ops/proxmox/start', \%request);
            last if $r->{status} != 0 && $r->{status} < 500;
            POSIX::_exit(1) if getppid != $parent;
            $told{again}++;
        }
        if ($r->{status} == 202) {
            my $id = $r->{json}{command_id};
            $told{accepted}{$id} =
                "tenants/{$tenant->{tenant}}/agent_commands/$id";
        } else {
            $told{refused}++;
        }
        select undef, undef, undef, 0.11;    # 120 a minute and tenant
    }
    print $in encode_json(\%told);
    close $in;
    POSIX::_exit(0);
}

sub stop_client {
    open my $file, '>', $client->{stop} or die "$client->{stop}: $!";
    close $file;
    my $told = do { local $/; readline $client->{out} };
    waitpid $client->{pid}, 0;
    return decode_json($told);
}

# ms between each end of a tenant's agent's presence and its next begin
sub unseen {
    my ($tenant) = @_;
    my (%since, @gaps);
    for my $entry (@{ $redis->call(XRANGE => "tenants/{$tenant->{tenant}}/events",
                                   '-', '+') }) {
        my %e = @{ $entry->[1] };
        my ($what, $id) = ($e{entry} // '')
            =~ /"event":"agent\.(online|offline)","id":"([^"]+)"/ or next;
        if ($what eq 'offline') {
            $since{$id} //= $e{ms};
        } elsif (my $ms = delete $since{$id}) {
            push @gaps, $e{ms} - $ms;
        }
    }
    return @gaps;
}
