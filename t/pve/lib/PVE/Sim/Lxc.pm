package PVE::Sim::Lxc;

# Containers: status, configuration and the power actions.  Unlike a VM's,
# most refusals come at once and not out of the task.

use Mojo::Base -strict, -signatures;

use PVE::Sim::Params qw(BOOLEAN COUNT STRING);
use PVE::Sim::Power  qw(guest_routes await_down restart_later);

sub _active ($cx) {
    my $g = $cx->{guests}->on_node(@$cx{qw(node type vmid)});
    return $g && $g->{status} eq 'running';
}

sub _must_run ($cx, $req) {
    die "CT $cx->{vmid} not running\n" if !_active($cx);
}

sub _must_not_run ($cx, $req) {
    die "CT $cx->{vmid} already running\n" if _active($cx);
}

# The guest's configuration, once its lock allows the action.
sub _load ($cx, @allowed) {
    my $g = $cx->{guests}->load(@$cx{qw(node type vmid)});
    $cx->{guests}->check_lock($g)
        if !$cx->{p}{skiplock} && !grep { $g->{lock} eq $_ } @allowed;
    return $g;
}

sub _start ($cx, $t) {
    my $g = _load($cx);
    die "you can't start a CT if it's a template\n" if $g->{template};
    $t->after(
        $t->duration,
        sub ($t) {
            $cx->{guests}->up($g, 'start', $t);
            $t->done;
        });
}

sub _check_stop ($cx, $req) {
    _must_run($cx, $req);
    $req->sim->tasks->stop_guest_tasks('vzshutdown', $cx->{vmid})
        if $cx->{p}{'overrule-shutdown'};
}

sub _kill ($cx, $g, $t, $op) {
    $t->after(
        $t->duration('vzstop'),
        sub ($t) {
            $cx->{guests}->down($g, $op, $t) if $g->{status} eq 'running';
            $t->done;
        });
}

sub _stop ($cx, $t) {
    _kill($cx, _load($cx, 'mounted'), $t, 'stop');
}

sub _shutdown ($cx, $t) {
    my $g = _load($cx, 'mounted');
    await_down(
        $cx, $g, $t,
        'shutdown',
        sub ($t) {
            die "container did not stop\n" if !$cx->{p}{forceStop};
            _kill($cx, $g, $t, 'shutdown');
        });
}

sub _check_reboot ($cx, $req) {
    die "VM $cx->{vmid} not running\n" if !_active($cx);
}

sub _reboot ($cx, $t) {
    my $g = _load($cx);
    my $rebooting = 1;
    restart_later($cx, $g,
        sub { $cx->{guests}->up($g, 'reboot-start', $t) if $rebooting });
    await_down(
        $cx, $g, $t,
        'reboot',
        sub ($t) {
            $rebooting = 0;
            die "container did not stop\n";
        });
}

# Checkpointing needs CRIU, which Proxmox VE does not install: the calls are
# there, their tasks fail.
sub _checkpoint ($cx, $t, $how) {
    _load($cx);
    die "command 'lxc-checkpoint -n $cx->{vmid} $how -D /var/lib/vz/dump' "
        . "failed: exit code 1\n";
}

my @ACTIONS = (
    {
        op     => 'start',
        task   => 'vzstart',
        check  => \&_must_not_run,
        run    => \&_start,
        params => {skiplock => BOOLEAN, debug => BOOLEAN},
    },
    {
        op     => 'stop',
        task   => 'vzstop',
        check  => \&_check_stop,
        run    => \&_stop,
        params => {skiplock => BOOLEAN, 'overrule-shutdown' => BOOLEAN},
    },
    {
        op     => 'shutdown',
        task   => 'vzshutdown',
        check  => \&_must_run,
        run    => \&_shutdown,
        params => {timeout => COUNT, forceStop => BOOLEAN},
    },
    {
        op     => 'reboot',
        task   => 'vzreboot',
        check  => \&_check_reboot,
        run    => \&_reboot,
        params => {timeout => COUNT},
    },
    {
        op     => 'suspend',
        task   => 'vzsuspend',
        check  => \&_must_run,
        run    => sub ($cx, $t) { _checkpoint($cx, $t, '-s') },
        params => {},
    },
    {
        op     => 'resume',
        task   => 'vzresume',
        check  => \&_must_not_run,
        run    => sub ($cx, $t) { _checkpoint($cx, $t, '-r --foreground') },
        params => {},
    },
);

my %VIEWS = (
    list   => {},
    config => {
        current  => BOOLEAN,
        snapshot => {%{+STRING}, format => 'configid', max_length => 40},
    },
);

sub routes ($class) { guest_routes('lxc', \%VIEWS, @ACTIONS) }

1;
