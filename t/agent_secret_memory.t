# After each action no copy of the secret is left in the agent, nor of the ticket
# that it got for a password: all of its memory is searched, in every form, also
# for parts.  Neither is the secret in arguments and environment.

use strict;
use warnings;

use VMOps;
use VMOps::Memory;
use VMOps::Process qw(spawn);
use VMOps::Site;

use constant SECONDS => 15;

if ($>) {
    diag 'THE MEMORY OF THE AGENT IS NOT SEARCHED HERE: it needs root';
    plan(skip_all => 'needs root');
}

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme',
                            settings => { auth_delay_ms => 0 });
my ($agent, $pve) = ($site->agent, $site->pve);
my $user = 'agent@pve';
my %secret = (token => VMOps::slurp($pve->token_secret_file) =~ s/\s+\z//r,
              password => canary('password of Proxmox VE'));
$pve->control('PUT', "users/$user", { password => $secret{password} });
$pve->control('POST', 'acl', { who => $user, path => '/',
                               role => 'Administrator' });
my %ref = (token => $site->secret_ref,
           password => $agent->add_secret(kind => 'proxmox_password',
               label => 'root', host => '127.0.0.1', port => $pve->port,
               user => $user, secret => $secret{password}));

for my $kind (sort keys %ref) {
    $site->bind($site->vm_uuid, $ref{$kind});

    # the control: while a request waits for its answer, it is there

    $pve->control('POST', 'faults', { path => '/status/current',
                                      delay => 60_000 });
    my $id = $site->command('status', wait => 0)->{json}{command_id};
    my %found;
    wait_for { (%found = found($agent->pid))
               && ($kind eq 'token' || tickets()) } SECONDS, "a $kind in use";
    pass "control: a $kind in use is found: " . join ', ', sort keys %found;
    $pve->control('DELETE', 'faults');
    $site->rest(POST => "/vm-ops/commands/$id/cancel");
    wait_for { $site->rest(GET => "/vm-ops/commands/$id")->{json}{finished_at} }
        SECONDS, 'its end';
    clean("$kind, a request that was given up");

    for my $action (qw(status start reboot stop)) {
        is $site->command($action)->{json}{status}, 'succeeded',
            "$kind, $action";
        clean("$kind, $action");
    }
    $site->rest(POST => "/secrets/$ref{$kind}/probe");
    clean("$kind, probe");

    # its task is followed by another process

    $pve->control('POST', 'tasks/next', { type => 'qmstart', vmid => 100,
                                          duration => 2000 });
    $id = $site->command('start', wait => 0)->{json}{command_id};
    wait_for { grep { $_->{upid} && $_->{command_id} eq $id }
               @{ $agent->cli_ok(['journal'])->{items} } } SECONDS, 'its task';
    $agent->crash;
    $agent->start;
    wait_for { $site->rest(GET => "/vm-ops/commands/$id")->{json}{finished_at} }
        SECONDS, 'its end';
    clean("$kind, a task that was followed");
    $pve->control('PUT', 'guests/100', { status => 'stopped' });
}

# refused by the hypervisor

$site->bind($site->vm_uuid, $ref{password});
$pve->control('PUT', "users/$user", { password => 'another one' });
is $site->command('status')->{json}{error}{code}, 'auth_failed', 'no entry';
clean('password, no entry');
$pve->control('PUT', "users/$user", { password => $secret{password} });

# the control: an agent that leaves one copy somewhere

$agent->stop;
$agent->hooked(KEEP => 1);
$agent->start;
is $site->command('status')->{json}{status}, 'succeeded', 'a look';
my %kept = found($agent->pid);
ok $kept{'password (raw)'}, 'control: a copy that was left is found'
    or diag join ', ', sort keys %kept;
$agent->stop;
$agent->as_released;
$agent->start;

# what else can be seen of it

my $seen = join "\n", map { VMOps::slurp('/proc/' . $agent->pid . "/$_") }
    qw(cmdline environ);
is_deeply [VMOps::leaks_in($seen, %secret)], [], 'arguments and environment';

# entered: the program is stopped where it holds it, and where it is done

for my $command ([qw(secret add --kind proxmox_token --label memory
                     --accept-shown --host 127.0.0.1 --port), $pve->port,
                  '--user', $pve->token_id],
                 ['secret', 'rotate', $ref{token}]) {
    my $name = "@$command[0, 1]";
    like join(' ', keys %{ { entered('before vault_seal', @$command) } }),
        qr/token \(raw\)/, "control: $name has it";
    is_deeply { entered('after cli_agent_close', @$command) }, {},
        "$name, done: no copy";
}

done_testing;

sub found { return secrets_in_memory($_[0], %secret) }

sub clean {
    my ($name) = @_;
    my %found = found($agent->pid);
    is_deeply \%found, {}, "$name: no copy";
    is_deeply [tickets()], [], "$name: and no ticket";
}

# what a hypervisor gave for the password
sub tickets {
    return found_in_memory($agent->pid, qr/PVE:\Q$user\E:[0-9A-F]{8}::\S{16}/);
}

# runs it with the token until the point, and then to its end; what was found
sub entered {
    my ($point, @command) = @_;
    $agent->hooked(STOP => $point);
    my $input = $s->dir . '/passwords/token';
    open my $fh, '>', $input or die "$input: $!\n";
    print $fh "$secret{token}\n";
    close $fh or die "$input: $!\n";
    my $pid = spawn($agent->command('--json', @command, '--stdin'),
                    $agent->output, stdin => $input, env => $agent->env);
    wait_for { VMOps::slurp_proc($pid, 'stat') =~ /\) T / } SECONDS, $point;
    my %found = found($pid);
    my $seen = join "\n", map { VMOps::slurp("/proc/$pid/$_") }
        qw(cmdline environ);
    $found{$_} = 'arguments or environment'
        for VMOps::leaks_in($seen, %secret);
    kill 'CONT', $pid;
    waitpid $pid, 0;
    is $?, 0, "$command[1] succeeds";
    $agent->as_released;
    return %found;
}
