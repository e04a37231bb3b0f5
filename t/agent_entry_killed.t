# The command line is killed before and after each of its writes, and of what it
# sends: after a pairing the home is the old agent's or the new one's, whole; a
# secret that was being entered can be entered again, and what the server has
# of it can be used.

use strict;
use warnings;

use VMOps;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my ($agent, $pve) = ($site->agent, $site->pve);
my $secret = VMOps::slurp($pve->token_secret_file);
my @add = (qw(secret add --kind proxmox_token --label again --accept-shown
              --host 127.0.0.1 --port), $pve->port, '--user', $pve->token_id,
           '--stdin');
my @rotate = (qw(secret rotate), $site->secret_ref, '--stdin');

# entering a secret

my @POINTS = map { ("before $_", "after $_") }
    qw(vault_seal rest_post vault_stored);
for my $point (@POINTS) {
    killed($point, \@rotate, stdin => $secret);
    is used($site->secret_ref), 'succeeded', "rotate, $point: it can be used";
    my $version = meta()->{version};
    my $again = $agent->cli(\@rotate, stdin => $secret);
    is $again->{json}{version}, $version + 1, 'and entered again';
    is used($site->secret_ref), 'succeeded', 'which can be used, too';
}

my %known = map { $_ => 1 } refs();
for my $point (@POINTS) {
    killed($point, \@add, stdin => $secret);
    my ($new) = grep { !$known{$_}++ } refs();
    my $sent = $point =~ /^(?:before vault_seal|after vault_seal|before rest)/
        ? 'no' : 'yes';
    is defined $new ? 'yes' : 'no', $sent, "add, $point: at the server: $sent";
    is used($new), 'succeeded', 'it can be used' if $new;
    my $again = $agent->cli_ok(\@add, stdin => $secret);
    is used($again->{secret_ref}), 'succeeded', 'entered again it can be used';
    $known{ $again->{secret_ref} } = 1;
}

# pairing

my $before = $agent->id;
$agent->stop;
for my $point (map { ("before $_", "after $_") }
               qw(rest_post identity_save journal_paired)) {
    my $pairing = $site->rest(POST => '/agents/pairings', { json => {
        name => 'again', auto_approve => JSON::PP::true } });
    killed($point, ['pair', '--server', $s->url, '--yes', '--code',
                    $pairing->{json}{code}]);
    my $now = $agent->cli_ok(['status'])->{agent_id};
    my $kept = $point !~ /^(?:after identity_save|.* journal_paired)/;
    is $now eq $before, $kept, "pair, $point: " . ($kept ? 'the old one'
                                                         : 'the new one');
    $agent->{id} = $before = $now;
    $agent->start;
    is $agent->record->{status}, 'online', 'which is online';
    my $ref = $agent->cli_ok(\@add, stdin => $secret)->{secret_ref};
    my $vm = $site->add_vm(name => "vm-$point", vmid => 100,
                           agent_id => $now);
    $site->bind($vm, $ref);
    is $site->command('status', json => { vm_uuid => $vm })->{json}{status},
        'succeeded', 'and takes orders';
    $agent->stop;
}

done_testing;

sub killed {
    my ($point, $args, %opt) = @_;
    $agent->hooked(DIE => $point);
    my $run = $agent->cli($args, %opt);
    $agent->as_released;
    is $run->{signal}, 9, "$args->[0], $point: killed" or diag $run->{err};
}

sub meta {
    return $site->rest(GET => '/secrets/' . $site->secret_ref . '/meta')->{json};
}

sub refs {
    return map { $_->{secret_ref} }
        @{ $site->rest(GET => '/secrets')->{json}{items} };
}

sub used {
    my ($ref) = @_;
    $site->bind($site->vm_uuid, $ref);
    my $end = $site->command('status')->{json};
    return $end->{error} ? "$end->{status} $end->{error}{code}"
                         : $end->{status};
}
