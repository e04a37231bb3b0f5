package PVE::Sim::Guests;

# The guests: where they are, how they change, and how the API shows them.
# A guest is a plain hash, see NEW below for what a test may set.

use Mojo::Base -base, -signatures;

use Digest::SHA qw(sha1_hex);
use Mojo::IOLoop;

use PVE::Sim::ConfigLock;
use PVE::Sim::Refusal qw(refuse);

has sim => undef, weak => 1;
has config_locks => sub { PVE::Sim::ConfigLock->new };

use constant MIB => 1024 * 1024;

# Members and what a new guest has.
#   shutdown  ms until the guest obeys a shutdown, or "ignore"
#   unknown   1: listed as the cluster does just after a node came up
my %NEW = (
    vmid     => undef,
    type     => 'qemu',
    node     => undef,
    status   => 'stopped',
    paused   => 0,
    lock     => '',
    template => 0,
    maxdisk  => 1024 * MIB,
    shutdown => 200,
    unknown  => 0,
    config   => undef,
);

# type => its names in paths and texts
my %FAMILY = (
    qemu => {
        label => 'VM',
        conf  => 'qemu-server',
        flock => '/var/lock/qemu-server/lock-%d.conf',
        name  => 'name',
        new   => {memory => '512', cores => 1, ostype => 'l26'},
    },
    lxc => {
        label => 'CT',
        conf  => 'lxc',
        flock => '/run/lock/lxc/pve-config-%d.lock',
        name  => 'hostname',
        new   => {
            memory => 512,
            swap   => 0,
            cores  => 1,
            ostype => 'debian',
            arch   => 'amd64',
        },
    },
);

sub family ($self, $type) { $FAMILY{$type} }

sub all ($self) {
    my $guests = $self->sim->data->{guests};
    return map { $guests->{$_} } sort { $a <=> $b } keys %$guests;
}

sub get ($self, $vmid) { $self->sim->data->{guests}{$vmid} }

sub _assign ($self, $g, $spec) {
    for my $name (keys %$spec) {
        refuse(400, "no such member of a guest: $name")
            if $name ne 'name' && !exists $NEW{$name};
        $g->{$name} = $spec->{$name} if $name ne 'name';
    }
    refuse(400, 'no such type of guest') if !$FAMILY{$g->{type}};
    refuse(400, 'no such node') if !$self->sim->data->{nodes}{$g->{node}};

    $g->{config}{$FAMILY{$g->{type}}{name}} = $spec->{name}
        if defined $spec->{name};
    if ($g->{status} eq 'running' && !$g->{started}) {
        $self->_boot($g);
    }
    if ($g->{status} eq 'stopped') {
        @$g{qw(paused started pid)} = (0, 0, 0);
    }
    return $g;
}

# From a scenario or a test: no effect is journalled.
sub create ($self, $spec) {
    my $vmid = $spec->{vmid} // refuse(400, 'a guest needs its vmid');
    refuse(400, "guest $vmid exists already") if $self->get($vmid);

    my $type = $spec->{type} // $NEW{type};
    my $base = ($FAMILY{$type} // {})->{new};
    my $g    = $self->_assign(
        {%NEW, started => 0, node => $self->sim->data->{local}},
        {%$spec, config => {%{$base // {}}, %{$spec->{config} // {}}}});
    $self->sim->data->{guests}{$vmid} = $g;
    return $g;
}

sub alter ($self, $vmid, $spec) {
    my $g = $self->get($vmid) // refuse(404, "no guest $vmid");
    refuse(400, 'a guest keeps its vmid and type')
        if exists $spec->{vmid} || exists $spec->{type};
    $spec = {%$spec, config => {%{$g->{config}}, %{$spec->{config}}}}
        if $spec->{config};
    return $self->_assign($g, $spec);
}

sub remove ($self, $vmid) {
    delete $self->sim->data->{guests}{$vmid} // refuse(404, "no guest $vmid");
}

# -- what a worker does with a guest --

# The guest with a configuration on this node, else undef.
sub on_node ($self, $node, $type, $vmid) {
    my $g = $self->get($vmid) or return;
    return $g->{node} eq $node && $g->{type} eq $type ? $g : undef;
}

# Dies as reading a missing configuration does.
sub load ($self, $node, $type, $vmid) {
    return $self->on_node($node, $type, $vmid)
        // die "Configuration file 'nodes/$node/$FAMILY{$type}{conf}/"
        . "$vmid.conf' does not exist\n";
}

# Dies as looking for the process of a missing guest does.
sub running ($self, $node, $type, $vmid) {
    my $g = $self->on_node($node, $type, $vmid)
        // die "unable to find configuration file for $FAMILY{$type}{label} "
        . "$vmid on node '$node'\n";
    return $g->{status} eq 'running';
}

sub check_lock ($self, $g) {
    die "$FAMILY{$g->{type}}{label} is locked ($g->{lock})\n" if $g->{lock};
}

sub with_config_lock ($self, $type, $vmid, $task, $step) {
    $self->config_locks->acquire(sprintf($FAMILY{$type}{flock}, $vmid),
        $task, $step);
}

sub journal ($self, $g, $op, $task) {
    $self->sim->effects->add({
        event => 'effect',
        vmid  => $g->{vmid} + 0,
        op    => $op,
        upid  => $task->upid,
        user  => $task->user,
    });
    $self->sim->save;
}

sub _boot ($self, $g) {
    @$g{qw(status paused started pid)} =
        ('running', 0, time, ++$self->sim->data->{last_pid});
}

sub up ($self, $g, $op, $task) {
    $self->_boot($g);
    $self->journal($g, $op, $task);
}

sub down ($self, $g, $op, $task) {
    @$g{qw(status paused started pid)} = ('stopped', 0, 0, 0);
    $self->journal($g, $op, $task);
    $_->() for @{delete $self->{on_down}{$g->{vmid}} // []};
}

# Calls back once, when the guest next goes down.
sub on_down ($self, $g, $cb) {
    push @{$self->{on_down}{$g->{vmid}}}, $cb;
}

# The guest was told to power down and does so in its own time, whatever
# becomes of the task that told it.
sub power_down ($self, $g, $op, $task) {
    return if $g->{shutdown} eq 'ignore';
    my $pid = $g->{pid};
    Mojo::IOLoop->timer(
        $g->{shutdown} / 1000 => sub {
            $self->down($g, $op, $task) if $g->{pid} == $pid;
        });
}

# -- how the API shows a guest --

sub name ($self, $g) {
    return $g->{config}{$FAMILY{$g->{type}}{name}}
        // ($g->{type} eq 'lxc' ? "CT$g->{vmid}" : "VM $g->{vmid}");
}

# A QEMU configuration holds its memory as a string, and must keep it so when
# it is shown: arithmetic on a copy.
sub _memory ($self, $g) {
    my $memory = "$g->{config}{memory}";
    return $memory * MIB;
}

# What every view has.
sub _figures ($self, $g) {
    my $on = $g->{status} eq 'running';
    return (
        vmid    => $g->{vmid} + 0,
        name    => $self->name($g),
        status  => $g->{status},
        cpu     => 0,
        uptime  => $on ? time - $g->{started} : 0,
        mem     => $on ? int($self->_memory($g) / 4) : 0,
        maxmem  => $self->_memory($g),
        disk    => $on && $g->{type} eq 'lxc' ? int($g->{maxdisk} / 8) : 0,
        maxdisk => $g->{maxdisk} + 0,
        netin   => 0,
        netout  => 0,
        $g->{lock} ? (lock => $g->{lock}) : (),
    );
}

sub _cpus ($self, $g) {
    return ($g->{config}{cores} // 1) * ($g->{config}{sockets} // 1);
}

sub resource ($self, $g) {
    my %entry = (
        id       => "$g->{type}/$g->{vmid}",
        type     => $g->{type},
        node     => $g->{node},
        template => $g->{template} + 0,
    );
    return {%entry, vmid => $g->{vmid} + 0, status => 'unknown'}
        if $g->{unknown};
    return {
        %entry,
        $self->_figures($g),
        maxcpu    => $self->_cpus($g),
        diskread  => 0,
        diskwrite => 0,
    };
}

sub list_entry ($self, $g) {
    my $on = $g->{status} eq 'running';
    return {
        $self->_figures($g),
        cpus => $self->_cpus($g),
        $on            ? (pid      => $g->{pid}) : (),
        $g->{template} ? (template => 1)         : (),
        $g->{type} eq 'lxc'
        ? (type => 'lxc', swap => 0, maxswap => $g->{config}{swap} * MIB)
        : (),
        $on || $g->{type} eq 'lxc' ? (diskread => 0, diskwrite => 0) : (),
        defined $g->{config}{serial0} ? (serial => 1) : (),
    };
}

sub current ($self, $g) {
    my %entry = (%{$self->list_entry($g)}, ha => {managed => 0});
    return \%entry if $g->{type} eq 'lxc';

    $entry{qmpstatus} = $g->{paused} ? 'paused' : $g->{status};
    if ($g->{status} eq 'running') {
        my $mem = $entry{maxmem};
        $entry{'running-qemu'}    = '7.2.0';
        $entry{'running-machine'} = 'pc-i440fx-7.2+pve0';
        $entry{balloon}           = $mem;
        $entry{ballooninfo}       = {actual => $mem, max_mem => $mem};
        $entry{nics} = {"tap$g->{vmid}i0" => {netin => 0, netout => 0}};
    }
    return \%entry;
}

sub config ($self, $g) {
    my %config = (
        %{$g->{config}},
        $g->{lock}     ? (lock     => $g->{lock}) : (),
        $g->{template} ? (template => 1)          : (),
    );
    my $text = join "\n", map {"$_: $config{$_}"} sort keys %config;
    return {%config, digest => sha1_hex($text)};
}

1;
