package PVE::Sim::Qemu;

# Virtual machines: status, configuration and the power actions.

use Mojo::Base -strict, -signatures;

use PVE::Sim::Params qw(BOOLEAN COUNT STRING);
use PVE::Sim::Power  qw(guest_routes await_down restart_later);

sub _running ($cx) {
    return $cx->{guests}->running(@$cx{qw(node type vmid)});
}

sub _load ($cx) {
    return $cx->{guests}->load(@$cx{qw(node type vmid)});
}

sub _on_node ($cx) {
    return $cx->{guests}->on_node(@$cx{qw(node type vmid)});
}

sub _check_lock ($cx, $g, @allowed) {
    return if $cx->{p}{skiplock} || grep { $g->{lock} eq $_ } @allowed;
    $cx->{guests}->check_lock($g);
}

sub _must_run ($cx, $req) {
    die "VM $cx->{vmid} not running\n" if !_running($cx);
}

sub _is_paused ($cx) {
    my $g = _on_node($cx);
    return $g && $g->{paused};
}

# -- start, resume --

sub _boot ($cx, $g, $t, $op) {
    $t->after(
        $t->duration('qmstart'),
        sub ($t) {
            $g->{lock} = '' if $g->{lock} eq 'suspended';
            $cx->{guests}->up($g, $op, $t);
            $t->done;
        });
}

sub _unpause ($cx, $g, $t, $op) {
    $t->after(
        $t->duration,
        sub ($t) {
            if ($g->{paused}) {
                $g->{paused} = 0;
                $cx->{guests}->journal($g, $op, $t);
            }
            $t->done;
        });
}

# A backup of a stopped VM runs it, paused: a start then lets it go on.
sub _start ($cx, $t) {
    my $g = _load($cx);
    return _unpause($cx, $g, $t, 'start')
        if $g->{lock} eq 'backup' && _running($cx);
    _check_lock($cx, $g, 'suspended');
    die "VM $cx->{vmid} already running\n" if _running($cx);
    _boot($cx, $g, $t, 'start');
}

sub _check_resume ($cx, $req) {
    my $g = _on_node($cx);
    _must_run($cx, $req) if !$g || $g->{lock} ne 'suspended';
}

sub _resume ($cx, $t) {
    my $g = _load($cx);
    return _boot($cx, $g, $t, 'resume') if $g->{lock} eq 'suspended';
    _check_lock($cx, $g, 'backup');
    _unpause($cx, $g, $t, 'resume');
}

# -- stop, shutdown, reboot --

sub _overrule ($cx, $req) {
    $req->sim->tasks->stop_guest_tasks('qmshutdown', $cx->{vmid})
        if $cx->{p}{'overrule-shutdown'};
}

sub _kill ($cx, $g, $t, $op) {
    $t->after(
        $t->duration('qmstop'),
        sub ($t) {
            $cx->{guests}->down($g, $op, $t) if $g->{status} eq 'running';
            $t->done;
        });
}

sub _stop ($cx, $t) {
    return $t->done if !_running($cx);
    my $g = _load($cx);
    _check_lock($cx, $g);
    _kill($cx, $g, $t, 'stop');
}

sub _check_shutdown ($cx, $req) {
    return if !_is_paused($cx);
    die "VM is paused - cannot shutdown\n" if !$cx->{p}{forceStop};
    $cx->{stop_instead} = 1;
}

sub _shutdown ($cx, $t) {
    if ($cx->{stop_instead}) {
        $t->log('VM is paused - stop instead of shutdown');
        return _stop($cx, $t);
    }
    return $t->done if !_running($cx);
    my $g = _load($cx);
    _check_lock($cx, $g);
    await_down(
        $cx, $g, $t,
        'shutdown',
        sub ($t) {
            die "VM quit/powerdown failed - got timeout\n"
                if !$cx->{p}{forceStop};
            $t->log('VM still running - terminating now with SIGTERM');
            _kill($cx, $g, $t, 'shutdown');
        });
}

sub _check_reboot ($cx, $req) {
    die "VM is paused - cannot shutdown\n" if _is_paused($cx);
    _must_run($cx, $req);
}

# The task only shuts the VM down.  The host then sees its end and starts it
# again by a task of its own, root's.
sub _reboot ($cx, $t) {
    return $t->done if !_running($cx);
    my $g = _load($cx);
    _check_lock($cx, $g);
    my $rebooting = 1;
    restart_later(
        $cx, $g,
        sub {
            return if !$rebooting;
            $t->sim->tasks->start(
                node => $cx->{node},
                type => 'qmstart',
                id   => "$cx->{vmid}",
                user => 'root@pam',
                op   => 'reboot-start',
                run  => sub ($again) {
                    $cx->{guests}->with_config_lock('qemu', $cx->{vmid},
                        $again,
                        sub ($t) { _boot($cx, $g, $t, 'reboot-start') });
                });
        });
    await_down(
        $cx, $g, $t,
        'reboot',
        sub ($t) {
            $rebooting = 0;
            die "VM quit/powerdown failed - got timeout\n";
        });
}

# -- reset, suspend --

sub _reset ($cx, $t) {
    my $g = _load($cx);
    _check_lock($cx, $g);
    $t->after(
        $t->duration,
        sub ($t) {
            $g->{started} = time;
            $cx->{guests}->journal($g, 'reset', $t);
            $t->done;
        });
}

sub _check_suspend ($cx, $req) {
    _must_run($cx, $req);
    $req->sim->access->check($req->user, "/vms/$cx->{vmid}", 'VM.Config.Disk')
        if $cx->{p}{todisk};
}

sub _suspend ($cx, $t) {
    my $g = _load($cx);
    _check_lock($cx, $g, 'backup');
    return _suspend_to_disk($cx, $g, $t) if $cx->{p}{todisk};
    $t->after(
        $t->duration,
        sub ($t) {
            if (!$g->{paused}) {
                $g->{paused} = 1;
                $cx->{guests}->journal($g, 'suspend', $t);
            }
            $t->done;
        });
}

sub _suspend_to_disk ($cx, $g, $t) {
    die "cannot suspend to disk during backup\n" if $g->{lock} eq 'backup';
    $g->{lock} = 'suspending';
    $t->on_end(sub { $g->{lock} = '' if $g->{lock} eq 'suspending' });
    $t->after(
        $t->duration,
        sub ($t) {
            $g->{lock} = 'suspended';
            $cx->{guests}->down($g, 'suspend', $t);
            $t->done;
        });
}

my @ACTIONS = (
    {
        op     => 'start',
        task   => 'qmstart',
        run    => \&_start,
        params => {
            timeout  => COUNT,
            skiplock => BOOLEAN,
            stateuri => {%{+STRING}, max_length => 128},
            (map { $_ => STRING } qw(machine migratedfrom migration_network
                targetstorage force-cpu nets-host-mtu)),
            migration_type => {%{+STRING}, enum => [qw(secure insecure)]},
        },
    },
    {
        op     => 'stop',
        task   => 'qmstop',
        check  => \&_overrule,
        run    => \&_stop,
        params => {
            timeout             => COUNT,
            migratedfrom        => STRING,
            skiplock            => BOOLEAN,
            keepActive          => BOOLEAN,
            'overrule-shutdown' => BOOLEAN,
        },
    },
    {
        op     => 'shutdown',
        task   => 'qmshutdown',
        check  => \&_check_shutdown,
        run    => \&_shutdown,
        params => {
            timeout    => COUNT,
            forceStop  => BOOLEAN,
            skiplock   => BOOLEAN,
            keepActive => BOOLEAN,
        },
    },
    {
        op     => 'reboot',
        task   => 'qmreboot',
        check  => \&_check_reboot,
        run    => \&_reboot,
        params => {timeout => COUNT},
    },
    {
        op     => 'reset',
        task   => 'qmreset',
        check  => \&_must_run,
        run    => \&_reset,
        params => {skiplock => BOOLEAN},
    },
    {
        op     => 'suspend',
        task   => sub ($p) { $p->{todisk} ? 'qmsuspend' : 'qmpause' },
        check  => \&_check_suspend,
        run    => \&_suspend,
        params => {
            skiplock     => BOOLEAN,
            todisk       => BOOLEAN,
            statestorage =>
                {%{+STRING}, format => 'storage', requires => 'todisk'},
        },
    },
    {
        op     => 'resume',
        task   => 'qmresume',
        check  => \&_check_resume,
        run    => \&_resume,
        params => {skiplock => BOOLEAN, nocheck => BOOLEAN},
    },
);

my %VIEWS = (
    list   => {full => BOOLEAN},
    config => {
        current  => BOOLEAN,
        snapshot => {%{+STRING}, format => 'configid', max_length => 40},
    },
);

sub routes ($class) { guest_routes('qemu', \%VIEWS, @ACTIONS) }

1;
