package VMOps::Site;

# A customer's site, ready for commands: a simulated Proxmox VE, an agent that
# is paired and online, a secret made on it, a guest that is registered and
# bound.
#
#   my $site = VMOps::Site->new($s, tenant => 'acme');
#   my $r = $site->command('start', json => { ... });   # waits for the end
#   $site->pve->effects(vmid => 100, op => 'start', event => 'effect');

use strict;
use warnings;

use Carp qw(croak);

use VMOps ();
use VMOps::PVESim;

use constant WAIT_S => 30;

my %CHANGES = map { $_ => 1 } qw(start shutdown stop reboot reset suspend
                                 resume);

# tenant: a slug, or what VMOps->tenant answered; pve: a simulator to share;
# vmid, guest, node; scenario and settings of a simulator of its own; server:
# the URL by which the agent comes, unless it is that of node_of_agent; home,
# output: the agent's folder, and the file it writes to
sub new {
    my ($class, $stack, %opt) = @_;
    my $tenant = ref $opt{tenant} ? $opt{tenant}
                                  : $stack->tenant($opt{tenant} // 'acme');
    my $pve = $opt{pve} // VMOps::PVESim->start(
        map { $opt{$_} ? ($_ => $opt{$_}) : () } qw(scenario settings));
    my $self = bless { stack => $stack, tenant => $tenant, pve => $pve,
                       opt => \%opt }, $class;

    $self->{agent} = $stack->agent(tenant => $tenant,
                                   name => $opt{name} // 'site-pc',
                                   node => $opt{node_of_agent} // 1,
                                   server => $opt{server},
                                   home => $opt{home},
                                   output => $opt{output});
    $self->{agent}->pair;
    $self->{agent}->start;
    $self->{secret_ref} = $self->add_secret;
    $self->{vm_uuid} = $self->add_vm;
    $self->bind($self->{vm_uuid}, $self->{secret_ref});
    return $self;
}

sub stack      { $_[0]{stack} }
sub pve        { $_[0]{pve} }
sub agent      { $_[0]{agent} }
sub tenant     { $_[0]{tenant} }
sub token      { $_[0]{tenant}{token} }
sub secret_ref { $_[0]{secret_ref} }
sub vm_uuid    { $_[0]{vm_uuid} }

# The token of the simulator, as a secret that no log may hold.
sub add_secret {
    my ($self) = @_;
    my $secret = VMOps::slurp($self->pve->token_secret_file) =~ s/\s+\z//r;
    VMOps::canary('Proxmox token ' . $self->pve->port, $secret);
    return $self->agent->add_secret(host => '127.0.0.1',
        port => $self->pve->port, user => $self->pve->token_id,
        secret => $secret, label => 'pve1');
}

sub add_vm {
    my ($self, %opt) = @_;
    my %vm = (name => 'web', guest => 'qemu', node => 'pve1', vmid => 100,
              agent_id => $self->agent->id,
              (map { defined $self->{opt}{$_} ? ($_ => $self->{opt}{$_}) : () }
                   qw(vmid guest node)), %opt);
    my $made = $self->rest(POST => '/vms', { json => \%vm });
    croak "no VM: $made->{status} $made->{body}" if $made->{status} != 201;
    return $made->{json}{vm_uuid};
}

sub bind {
    my ($self, $vm_uuid, $ref) = @_;
    my $bound = $self->rest(PUT => "/secrets/bindings/vm/$vm_uuid/proxmox",
                            { json => { secret_ref => $ref } });
    croak "not bound: $bound->{status} $bound->{body}"
        if $bound->{status} !~ /^20[01]$/;
}

# REST as the tenant's owner, unless it says otherwise
sub rest {
    my ($self, $method, $path, $opt) = @_;
    return $self->stack->rest($method, $path,
                              { token => $self->token, %{ $opt // {} } });
}

# POST /vm-ops/proxmox/ACTION; waits unless wait => 0.  More of the body in
# json (params, timeout_s, vm_uuid), of the request in headers and token.
sub command {
    my ($self, $action, %opt) = @_;
    my $wait = delete $opt{wait} // WAIT_S;
    my %body = (params => {},
                ($action eq 'list' ? (secret_ref => $self->secret_ref)
                                   : (vm_uuid => $self->vm_uuid)),
                %{ delete $opt{json} // {} });
    my %headers = (($wait ? (Prefer => "wait=$wait") : ()),
                   %{ delete $opt{headers} // {} });
    return $self->rest(POST => "/vm-ops/proxmox/$action",
                       { json => \%body, headers => \%headers,
                         timeout => $wait + 10, %opt });
}

# what really happened to the guest, in order: ('start', 'shutdown')
sub effects {
    my ($self, $vmid) = @_;
    return map { $_->{op} } grep { $CHANGES{ $_->{op} } }
        $self->pve->effects(vmid => $vmid // 100, event => 'effect');
}

1;
