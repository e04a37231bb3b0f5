package PVE::Sim::Cluster;

# The cluster and its nodes: version, lists, node status, storage.

use Mojo::Base -strict, -signatures;

use PVE::Sim::Params  qw(BOOLEAN NODE STRING VMID);
use PVE::Sim::Refusal qw(refuse_parameters);
use PVE::Sim::Tasks;

use constant {
    VERSION => '8.4.21',
    RELEASE => '8.4',
    REPOID  => '2606ac850d46da29',
    GIB     => 1024 * 1024 * 1024,
};

use constant MACHINE => (
    maxcpu  => 2,
    maxmem  => 24 * GIB,
    maxdisk => 256 * GIB,
    mem     => 1 * GIB,
    disk    => 24 * GIB,
);

sub _version ($req) {
    return {version => VERSION, release => RELEASE, repoid => REPOID};
}

sub _uptime ($req) {
    return PVE::Sim::Tasks->UPTIME + time - int $req->sim->data->{born};
}

sub _nodes ($req) {
    my $nodes = $req->sim->data->{nodes};
    return map { {name => $_, %{$nodes->{$_}}} } sort keys %$nodes;
}

# A caller without Sys.Audit sees that a node is there, and no more.
sub _node_entry ($req, $node) {
    my %entry = (
        id     => "node/$node->{name}",
        node   => $node->{name},
        type   => 'node',
        status => $node->{status},
        level  => '',
    );
    return \%entry
        if !$req->sim->access->may($req->user, "/nodes/$node->{name}",
        'Sys.Audit')
        || $node->{status} ne 'online';
    return {%entry, MACHINE, cpu => 0.02, uptime => _uptime($req)};
}

sub _node_list ($req) {
    my $fingerprint = $req->sim->certificate->fingerprint;
    return [
        map { {%{_node_entry($req, $_)}, ssl_fingerprint => $fingerprint} }
            _nodes($req)
    ];
}

sub _node_status ($req) {
    my %m = MACHINE;
    return {
        uptime     => _uptime($req),
        pveversion => 'pve-manager/' . VERSION . '/' . REPOID,
        kversion   => 'Linux 6.8.12-4-pve',
        loadavg    => ['0.15', '0.07', '0.09'],
        cpu        => 0,
        idle       => 0,
        wait       => 0,
        ksm        => {shared => 0},
        swap       => {total => 0, used => 0, free => 0},
        'boot-info'      => {mode => 'legacy-bios'},
        'current-kernel' => {
            sysname => 'Linux',
            release => '6.8.12-4-pve',
            version => '#1 SMP PREEMPT_DYNAMIC',
            machine => 'x86_64',
        },
        cpuinfo => {
            model   => 'Simulated',
            cpus    => $m{maxcpu},
            cores   => $m{maxcpu},
            sockets => 1,
            hvm     => '',
            flags   => 'fpu',
            mhz     => '2445.428',
            user_hz => 100,
        },
        memory => {
            total => $m{maxmem},
            used  => $m{mem},
            free  => $m{maxmem} - $m{mem},
        },
        rootfs => {
            total => $m{maxdisk},
            used  => $m{disk},
            free  => $m{maxdisk} - $m{disk},
            avail => $m{maxdisk} - $m{disk},
        },
    };
}

sub _cluster_status ($req) {
    my $local = $req->sim->data->{local};
    my @nodes = _nodes($req);
    my $id    = @nodes > 1;
    my @rows  = map { {
        id     => "node/$_->{name}",
        name   => $_->{name},
        type   => 'node',
        nodeid => $id ? $id++ : 0,
        online => $_->{status} eq 'online' ? 1 : 0,
        local  => $_->{name} eq $local     ? 1 : 0,
        level  => '',
        ip     => '127.0.0.1',
    } } @nodes;
    unshift @rows,
        {
        id      => 'cluster',
        name    => 'sim',
        type    => 'cluster',
        nodes   => scalar @nodes,
        quorate => 1,
        version => 2,
        }
        if @nodes > 1;
    return \@rows;
}

# Proxmox VE counts from 100 and answers a string.
sub _nextid ($req) {
    my $guests = $req->sim->guests;
    my $wanted = $req->p->{vmid};
    if (defined $wanted) {
        refuse_parameters({vmid => "VM $wanted already exists"})
            if $guests->get($wanted);
        return "$wanted";
    }
    my $vmid = 100;
    $vmid++ while $guests->get($vmid);
    return "$vmid";
}

# Only what the caller may see: a list can be empty, it is never refused.
sub _resources ($req) {
    my $sim  = $req->sim;
    my $may  = sub (@check) { $sim->access->may($req->user, @check) };
    my %rows = (
        vm => sub {
            map { $sim->guests->resource($_) }
                grep { $may->("/vms/$_->{vmid}", 'VM.Audit') }
                $sim->guests->all;
        },
        node => sub {
            map { _node_entry($req, $_) } _nodes($req);
        },
        storage => sub {
            map { _storage_resources($req, $_) }
                grep { $may->("/storage/$_", 'Datastore.Audit') }
                sort keys %{$sim->data->{storages}};
        },
        sdn => sub {
            map { {
                id     => "sdn/$_->{name}/localnetwork",
                sdn    => 'localnetwork',
                type   => 'sdn',
                status => 'ok',
                node   => $_->{name},
            } }
                grep {
                $may->('/sdn/zones/localnetwork', 'SDN.Audit',
                    'SDN.Allocate')
                } _nodes($req);
        },
    );
    my @kinds = $req->p->{type} // qw(vm node storage sdn);
    return [map { $rows{$_}->() } @kinds];
}

sub _storage_resources ($req, $name) {
    my $storage = $req->sim->data->{storages}{$name};
    my %m       = MACHINE;
    return map { {
        id         => "storage/$_->{name}/$name",
        type       => 'storage',
        storage    => $name,
        node       => $_->{name},
        plugintype => $storage->{type},
        content    => $storage->{content},
        shared     => 0,
        status     => 'available',
        disk       => $m{disk},
        maxdisk    => $m{maxdisk},
    } } _nodes($req);
}

sub _storage_list ($req) {
    my $storages = $req->sim->data->{storages};
    my %m        = MACHINE;
    my @names    = grep {
        $req->sim->access->may($req->user, "/storage/$_", 'Datastore.Audit',
            'Datastore.AllocateSpace')
            && $_ eq ($req->p->{storage} // $_)
    } sort keys %$storages;
    return [
        map { {
            storage       => $_,
            type          => $storages->{$_}{type},
            content       => $storages->{$_}{content},
            total         => $m{maxdisk},
            used          => $m{disk},
            avail         => $m{maxdisk} - $m{disk},
            used_fraction => $m{disk} / $m{maxdisk},
            enabled       => 1,
            active        => 1,
            shared        => 0,
        } } @names
    ];
}

sub _guest_disk ($g, $storage) {
    my $qemu   = $g->{type} eq 'qemu';
    my $format = $qemu ? 'qcow2' : 'raw';
    return {
        volid   => "$storage:$g->{vmid}/vm-$g->{vmid}-disk-0.$format",
        vmid    => $g->{vmid} + 0,
        content => $qemu ? 'images' : 'rootdir',
        format  => $format,
        size    => $g->{maxdisk} + 0,
        used    => 0,
        ctime   => time,
        parent  => undef,
    };
}

# Disks of the node's guests, and the files (backups, templates) a scenario
# lists under "files".
sub _storage_content ($req) {
    my $p       = $req->p;
    my $storage = $req->sim->data->{storages}{$p->{storage}}
        // die "storage '$p->{storage}' does not exist\n";
    my @rows = (
        (map { _guest_disk($_, $p->{storage}) }
            grep { $_->{node} eq $p->{node} } $req->sim->guests->all),
        @{$storage->{files} // []},
    );
    return [
        grep {
            (!defined $p->{content} || $_->{content} eq $p->{content})
                && (!defined $p->{vmid}
                || (defined $_->{vmid} && $_->{vmid} == $p->{vmid}))
        } @rows
    ];
}

sub _network ($req) {
    return [
        {
            iface        => 'vmbr0',
            type         => 'bridge',
            active       => 1,
            autostart    => 1,
            method       => 'static',
            method6      => 'manual',
            families     => ['inet'],
            priority     => 3,
            address      => '192.0.2.1',
            netmask      => '24',
            cidr         => '192.0.2.1/24',
            bridge_ports => '',
            bridge_stp   => 'off',
            bridge_fd    => '0',
        }
    ];
}

my @AUDIT_NODE = (needs => ['/nodes/{node}', 'Sys.Audit']);

sub routes ($class) {
    return (
        {on => 'GET /version', handler => \&_version},
        {on => 'GET /nodes',   handler => \&_node_list},
        {
            on      => 'GET /cluster/status',
            needs   => ['/', 'Sys.Audit'],
            handler => \&_cluster_status,
        },
        {
            on      => 'GET /cluster/nextid',
            params  => {vmid => {%{+VMID}, optional => 1}},
            handler => \&_nextid,
        },
        {
            on     => 'GET /cluster/resources',
            params =>
                {type => {%{+STRING}, enum => [qw(vm storage node sdn)]}},
            handler => \&_resources,
        },
        {
            on      => 'GET /nodes/{node}/status',
            @AUDIT_NODE,
            params  => {node => NODE},
            handler => \&_node_status,
        },
        {
            on     => 'GET /nodes/{node}/storage',
            params => {
                node    => NODE,
                storage => STRING,
                content => STRING,
                target  => STRING,
                enabled => BOOLEAN,
                format  => BOOLEAN,
            },
            handler => \&_storage_list,
        },
        {
            on    => 'GET /nodes/{node}/storage/{storage}/content',
            needs => [
                '/storage/{storage}', 'Datastore.Audit',
                'Datastore.AllocateSpace'
            ],
            params => {
                node    => NODE,
                storage => {type => 'string', format => 'storage'},
                content => STRING,
                vmid    => {%{+VMID}, optional => 1},
            },
            handler => \&_storage_content,
        },
        {
            on      => 'GET /nodes/{node}/certificates/info',
            params  => {node => NODE},
            handler => sub ($req) { $req->sim->certificate->info },
        },
        {
            on      => 'GET /nodes/{node}/network',
            params  => {node => NODE},
            handler => \&_network,
        },
        {
            on      => 'GET /pools',
            params  => {poolid => STRING, type => STRING},
            handler => sub ($req) { [] },
        },
    );
}

1;
