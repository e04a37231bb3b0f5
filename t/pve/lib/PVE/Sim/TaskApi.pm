package PVE::Sim::TaskApi;

# /nodes/{node}/tasks

use Mojo::Base -strict, -signatures;

use PVE::Sim::Access;
use PVE::Sim::Params qw(BOOLEAN COUNT NODE STRING VMID);

use constant PAGE => 50;

# A token's task shows its user and the token's name apart.
sub _identity ($record) {
    my ($user, $token) = split /!/, $record->{user}, 2;
    return (user => $user, defined $token ? (tokenid => $token) : ());
}

sub _common ($record) {
    return (
        _identity($record),
        map { $_ => $record->{$_} } qw(upid node pid pstart starttime type id)
    );
}

# A user sees the tasks of their tokens, a token only its own.
sub _is_own ($req, $record) {
    return $req->user eq $record->{user}
        || $req->user eq PVE::Sim::Access->owner($record->{user});
}

sub _find ($req, $privilege) {
    my $record = $req->sim->tasks->record($req->p->{upid});
    $req->sim->access->check($req->user, '/nodes/' . $req->p->{node},
        $privilege)
        if !_is_own($req, $record);
    return $record;
}

sub _status ($req) {
    my $record = _find($req, 'Sys.Audit');
    my $exit   = $record->{exitstatus};
    return {
        _common($record),
        status => defined $exit ? 'stopped' : 'running',
        defined $exit ? (exitstatus => $exit) : (),
    };
}

sub _log ($req) {
    my @lines = @{_find($req, 'Sys.Audit')->{log}};
    my $start = $req->p->{start} // 0;
    my $limit = $req->p->{limit} || PAGE;
    my $end   = $start + $limit;
    $end = @lines if $end > @lines;

    my @page =
        map { {n => $_ + 1, t => $lines[$_]} } $start .. $end - 1;
    push @page, {n => $start + 1, t => 'no content'} if !@lines;
    return (\@page, total => scalar @lines || 1);
}

# The real server answers when the worker is gone, up to 5 seconds later.
sub _stop ($req) {
    my $record = _find($req, 'Sys.Modify');
    $req->sim->tasks->stop($record->{upid});
    $req->delay($req->sim->setting('task_stop_ms'));
    return undef;
}

sub _list_entry ($record) {
    my $exit = $record->{exitstatus};
    return {
        _common($record),
        defined $exit
        ? (status => $exit, endtime => $record->{endtime})
        : (status => 'RUNNING'),
    };
}

sub _list ($req) {
    my $p      = $req->p;
    my $source = $p->{source} // 'archive';
    my $audit =
        $req->sim->access->may($req->user, "/nodes/$p->{node}", 'Sys.Audit');

    my @found = grep {
        my $exit = $_->{exitstatus};
        $_->{node} eq $p->{node}
            && ($audit || _is_own($req, $_))
            && ($source ne 'archive' || defined $exit)
            && ($source ne 'active'  || !defined $exit)
            && (!$p->{errors} || ($exit // 'OK') ne 'OK')
            && (!defined $p->{vmid}       || $_->{id} eq $p->{vmid})
            && (!defined $p->{typefilter} || $_->{type} eq $p->{typefilter})
            && (!defined $p->{userfilter}
            || index($_->{user}, $p->{userfilter}) >= 0)
            && $_->{starttime} >= ($p->{since} // 0)
            && (!defined $p->{until} || $_->{starttime} <= $p->{until})
    } $req->sim->tasks->all;

    my $total = @found;
    my $start = $p->{start} // 0;
    my @page =
        $start < $total ? splice(@found, $start, $p->{limit} // PAGE) : ();
    return ([map { _list_entry($_) } @page], total => $total);
}

my %UPID = (node => NODE, upid => {type => 'string'});

sub routes ($class) {
    return (
        {
            on     => 'GET /nodes/{node}/tasks',
            params => {
                node       => NODE,
                errors     => BOOLEAN,
                limit      => COUNT,
                start      => COUNT,
                since      => COUNT,
                until      => COUNT,
                typefilter => STRING,
                userfilter => STRING,
                vmid       => {%{+VMID}, optional => 1},
                source     =>
                    {%{+STRING}, enum => [qw(archive active all)]},
            },
            handler => \&_list,
        },
        {
            on      => 'GET /nodes/{node}/tasks/{upid}',
            params  => \%UPID,
            handler => sub ($req) { [{name => 'log'}, {name => 'status'}] },
        },
        {
            on      => 'DELETE /nodes/{node}/tasks/{upid}',
            params  => \%UPID,
            handler => \&_stop,
        },
        {
            on      => 'GET /nodes/{node}/tasks/{upid}/status',
            params  => \%UPID,
            handler => \&_status,
        },
        {
            on     => 'GET /nodes/{node}/tasks/{upid}/log',
            params =>
                {%UPID, start => COUNT, limit => COUNT, download => BOOLEAN},
            handler => \&_log,
        },
    );
}

1;
