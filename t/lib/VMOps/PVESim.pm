package VMOps::PVESim;

# Starts, controls and stops the Proxmox VE simulator for a test.
#
#   my $sim = VMOps::PVESim->start(
#       dir      => DIR,             # a temporary one
#       port     => 0,               # any free one
#       scenario => {...},           # see t/pve/lib/PVE/Sim/State.pm
#       settings => {...},           # short for scenario => {settings => ...}
#   );
#   $sim->url; $sim->port; $sim->pin; $sim->fingerprint; $sim->ca_file;
#   $sim->token_id; $sim->token_secret_file; $sim->secret('root@pam');
#   $sim->control('PUT', 'guests/100', {lock => 'backup'});
#   $sim->guest(100)->{status};
#   $sim->effects(vmid => 100, op => 'start', event => 'effect');
#   $sim->api('POST', '/nodes/pve1/qemu/100/status/start');
#   $sim->wait_task($upid);
#   $sim->kill9; $sim->restart; $sim->stop;
#
# An effect has at (ms), event (request, when the task is accepted; effect, when
# the guest changes), vmid, op, upid and user.  op: start, stop, shutdown,
# reboot, reset, suspend, resume; reboot-start, when a guest comes back.
#
# It ends with this object, and with this process whatever happens.

use Mojo::Base -base, -signatures;

use Carp       qw(croak);
use Cwd        qw(abs_path);
use Fcntl      qw(O_CREAT O_TRUNC O_WRONLY);
use File::Basename qw(dirname);
use File::Temp ();
use IO::Select ();
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::UserAgent;
use Mojo::Util  qw(steady_time);
use POSIX       ();
use Time::HiRes qw(sleep);

use constant {
    START_SECONDS => 20,
    STOP_SECONDS  => 5,
    STEP          => 0.02,
};

my $PROGRAM = abs_path(dirname(__FILE__) . '/../../pve/pve-sim');

has [qw(dir port pid ca_file)];
has token_id => 'automation@pve!vmops';
has ua       => sub ($self) {
    Mojo::UserAgent->new(ca => $self->ca_file, connect_timeout => 60,
        request_timeout => 90);
};

# on a connection of its own each time: one that is kept may be closed by the
# other side at the moment it is used
has controller => sub ($self) {
    Mojo::UserAgent->new(ca => $self->ca_file, connect_timeout => 60,
        request_timeout => 90,
                         max_connections => 0);
};

sub start ($class, %o) {
    my $temp = $o{dir} ? undef : File::Temp->newdir('pve-sim-XXXXXX',
        TMPDIR => 1);
    my $self = $class->SUPER::new(
        dir   => $o{dir} // "$temp",
        owner => $$,
        temp  => $temp,
    );

    my %scenario = %{$o{scenario} // {}};
    $scenario{settings} = $o{settings} if $o{settings};
    if (%scenario) {
        $self->{scenario} = $self->dir . '/scenario.json';
        sysopen my $fh, $self->{scenario}, O_WRONLY | O_CREAT | O_TRUNC, 0600
            or croak "$self->{scenario}: $!";
        print {$fh} encode_json(\%scenario);
        close $fh or croak "$self->{scenario}: $!";
    }
    return $self->_launch($o{port} // 0);
}

sub _launch ($self, $port) {
    my @command = ($^X, $PROGRAM, '--port', $port, '--dir', $self->dir,
        '--until-eof');
    push @command, '--scenario', $self->{scenario} if $self->{scenario};

    pipe my $out, my $child_out or croak "pipe: $!";
    pipe my $child_in, my $in   or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        open STDIN,  '<&', $child_in;
        open STDOUT, '>&', $child_out;
        exec @command or POSIX::_exit(127);
    }
    close $child_out;
    close $child_in;

    # its standard input: when this process is gone, so is the simulator
    $self->{alive} = $in;
    $self->pid($pid);

    my $line = $self->_read_line($out) // do {
        $self->kill9;
        croak 'the simulator did not start';
    };
    my $told = decode_json($line);
    $self->port($told->{port})->ca_file($told->{ca_file});
    return $self;
}

sub _read_line ($self, $out) {
    my $until  = steady_time + START_SECONDS;
    my $select = IO::Select->new($out);
    my $text   = '';
    while ($text !~ /\n/) {
        my $left = $until - steady_time;
        return if $left <= 0 || !$select->can_read($left);
        return if !sysread $out, $text, 4096, length $text;
    }
    return $text;
}

# -- what a client is told --

sub url ($self) { 'https://127.0.0.1:' . $self->port }

sub _told ($self) { decode_json(path($self->dir, 'pve-sim.json')->slurp) }

sub pin         ($self) { $self->_told->{spki} }
sub fingerprint ($self) { $self->_told->{fingerprint} }

sub token_secret_file ($self) { $self->dir . '/token.secret' }

# The secret of a token or the password of a user, by its id.
sub secret ($self, $id) {
    return decode_json(path($self->dir, 'secrets.json')->slurp)->{$id};
}

# -- what a test does --

sub control ($self, $method, $path, $json = undef) {
    my $token = path($self->dir, 'control.token')->slurp =~ s/\s+//gr;
    my $tx    = $self->controller->build_tx(
        $method => $self->url . "/sim/$path",
        {Authorization => "Bearer $token"}, defined $json ? (json => $json) : ()
    );
    my $res = $self->controller->start($tx)->res;
    croak "$method /sim/$path: " . ($res->code // 'no answer') . ' '
        . $res->body
        if ($res->code // 0) != 200;
    return $res->json;
}

sub guest ($self, $vmid) { $self->control('GET', "guests/$vmid") }

sub _lines ($self, $name, %want) {
    my $file = path($self->dir, $name);
    return if !-e $file;
    return grep {
        my $line = $_;
        !grep { ($line->{$_} // '') ne $want{$_} } keys %want
    } map { decode_json($_) } split /\n/, $file->slurp;
}

# Journal lines whose members equal all those given.
sub effects ($self, %want) { $self->_lines('effects.jsonl', %want) }
sub access  ($self, %want) { $self->_lines('access.jsonl',  %want) }

# One request of the API.  Options: as => token id, user id (logs in), or
# undef for none; form => {...} or encoded text, or json => {...}; headers =>
# {...} (undef: not sent).  Returns code, reason, headers (of Mojo), body and json.
sub api ($self, $method, $path, %o) {
    my $as      = exists $o{as} ? $o{as} : $self->token_id;
    my %headers;
    if (defined $as && $as =~ /!/) {
        $headers{Authorization} = "PVEAPIToken=$as=" . $self->secret($as);
    }
    elsif (defined $as) {
        my $login = $self->login($as);
        $headers{Cookie} = "PVEAuthCookie=$login->{ticket}";
        $headers{CSRFPreventionToken} = $login->{CSRFPreventionToken};
    }
    $headers{'Content-Type'} = 'application/x-www-form-urlencoded'
        if defined $o{form} && !ref $o{form};
    %headers = (%headers, %{$o{headers} // {}});
    delete @headers{grep { !defined $headers{$_} } keys %headers};

    my $tx = $self->ua->build_tx(
        $method => $self->url . "/api2/json$path",
        \%headers,
        $o{json}           ? (json => $o{json})
        : ref $o{form}     ? (form => $o{form})
        : defined $o{form} ? $o{form}
        : ()
    );
    return $self->_answer($self->ua->start($tx)->res);
}

sub _answer ($self, $res) {
    return {
        code    => $res->code,
        reason  => $res->message,
        headers => $res->headers,
        body    => $res->body,
        json    => $res->json,
    };
}

# The data of a login, kept for this user.
sub login ($self, $user) {
    return $self->{login}{$user} //= $self->api(
        'POST', '/access/ticket',
        as   => undef,
        form => {username => $user, password => $self->secret($user)}
    )->{json}{data};
}

# Calls back until it gets something true, or nothing before the deadline.
sub wait_for ($self, $seconds, $cb) {
    my $until = steady_time + $seconds;
    while (1) {
        my $got = $cb->();
        return $got if $got || steady_time > $until;
        sleep STEP;
    }
}

# The final status of a task, else undef.
sub wait_task ($self, $upid, %o) {
    my ($node) = $upid =~ /\AUPID:([^:]+):/;
    return $self->wait_for(
        $o{seconds} // 20,
        sub {
            my $status = $self->api('GET', "/nodes/$node/tasks/$upid/status",
                exists $o{as} ? (as => $o{as}) : ())->{json}{data};
            return $status->{status} eq 'stopped' ? $status : undef;
        });
}

# -- its end --

sub _reap ($self, $seconds) {
    my $pid = $self->pid // return 1;
    return !!$self->wait_for(
        $seconds,
        sub {
            return if waitpid($pid, POSIX::WNOHANG()) == 0;
            $self->pid(undef);
            return 1;
        });
}

sub kill9 ($self) {
    return if !$self->pid;
    CORE::kill KILL => $self->pid;
    $self->_reap(STOP_SECONDS);
}

sub stop ($self) {
    return if !$self->pid;
    CORE::kill TERM => $self->pid;
    $self->_reap(STOP_SECONDS) or $self->kill9;
}

# The same folder and port again, after kill9 or stop.
sub restart ($self) {
    $self->stop;
    delete $self->{ua};
    return $self->_launch($self->port);
}

sub DESTROY ($self) {
    return if ($self->{owner} // 0) != $$;
    local ($?, $@, $!);
    $self->stop;
}

1;
