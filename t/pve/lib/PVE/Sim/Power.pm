package PVE::Sim::Power;

# What the power actions of QEMU and LXC share: their routes, made from a
# table, and the waiting for a guest that was told to shut down.

use Mojo::Base -strict, -signatures;

use Exporter qw(import);
use Mojo::IOLoop;

use PVE::Sim::Params  qw(NODE VMID);
use PVE::Sim::Refusal qw(refuse_parameters);

our @EXPORT_OK = qw(guest_routes await_down restart_later);

use constant SHUTDOWN_SECONDS => 60;

# parameters that only root@pam, by password, may give
my @ROOT_ONLY = qw(skiplock nocheck keepActive migratedfrom migration_network
    migration_type stateuri targetstorage nets-host-mtu force-cpu);

sub _refuse_root_only ($req) {
    return if $req->user eq 'root@pam';
    my @found = grep { defined $req->p->{$_} } @ROOT_ONLY;
    refuse_parameters(
        {map { $_ => 'Only root may use this option.' } @found})
        if @found;
}

# What a worker gets: the simulator's guests, its task, where and with what.
sub _context ($req, $family) {
    return {
        guests => $req->sim->guests,
        type   => $family,
        node   => $req->p->{node},
        vmid   => $req->p->{vmid},
        p      => $req->p,
    };
}

sub _start_worker ($req, $family, $action) {
    _refuse_root_only($req);
    my $cx = _context($req, $family);
    $action->{check}->($cx, $req) if $action->{check};

    my $type = $action->{task};
    return $req->sim->tasks->start(
        node => $cx->{node},
        type => ref $type ? $type->($cx->{p}) : $type,
        id   => "$cx->{vmid}",
        user => $req->user,
        op   => $action->{op},
        run  => sub ($t) {
            $cx->{guests}->with_config_lock($family, $cx->{vmid}, $t,
                sub ($t) { $action->{run}->($cx, $t) });
        },
    );
}

sub _view ($family, $path, $show, $params) {
    return {
        on     => "GET /nodes/{node}/$family/{vmid}/$path",
        needs  => ['/vms/{vmid}', 'VM.Audit'],
        params => {node => NODE, vmid => VMID, %$params},
        handler => sub ($req) {
            my $guests = $req->sim->guests;
            my $p      = $req->p;
            return $guests->$show(
                $guests->load($p->{node}, $family, $p->{vmid}));
        },
    };
}

sub _list ($family, $params) {
    return {
        on      => "GET /nodes/{node}/$family",
        params  => {node => NODE, %$params},
        handler => sub ($req) {
            my $guests = $req->sim->guests;
            return [
                map { $guests->list_entry($_) } grep {
                    $guests->on_node($req->p->{node}, $family, $_->{vmid})
                        && $req->sim->access->may($req->user,
                        "/vms/$_->{vmid}", 'VM.Audit')
                } $guests->all
            ];
        },
    };
}

# All routes of a family.  An action: op, task (type), params, check (may
# refuse before a task exists) and run (inside the task).
sub guest_routes ($family, $views, @actions) {
    return (
        _list($family, $views->{list}),
        _view($family, 'status/current', 'current', {}),
        _view($family, 'config',         'config',  $views->{config}),
        map {
            my $action = $_;
            {
                on     => "POST /nodes/{node}/$family/{vmid}/status/$_->{op}",
                needs  => ['/vms/{vmid}', 'VM.PowerMgmt'],
                params => {node => NODE, vmid => VMID, %{$_->{params}}},
                handler =>
                    sub ($req) { _start_worker($req, $family, $action) },
            };
        } @actions
    );
}

# Tells a running guest to power down and waits for it; on_timeout runs when
# it has not done so in time.
sub await_down ($cx, $g, $t, $op, $on_timeout) {
    $cx->{guests}->on_down($g, sub { $t->done });
    $cx->{guests}->power_down($g, $op, $t);
    $t->after_seconds($cx->{p}{timeout} // SHUTDOWN_SECONDS, $on_timeout);
}

# After a reboot's task the guest comes up by itself, a little later.
sub restart_later ($cx, $g, $boot) {
    my $ms = $cx->{guests}->sim->setting('restart_ms');
    $cx->{guests}->on_down($g,
        sub { Mojo::IOLoop->timer($ms / 1000 => $boot) });
}

1;
