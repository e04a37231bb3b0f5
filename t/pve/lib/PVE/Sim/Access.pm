package PVE::Sim::Access;

# Who may do what: privileges, roles, access control lists.

use Mojo::Base -base, -signatures;

use PVE::Sim::Params  qw(STRING);
use PVE::Sim::Refusal qw(refuse_permission);

has sim => undef, weak => 1;

my @VM = map {"VM.$_"} qw(Allocate Audit Backup Clone Config.CDROM Config.CPU
    Config.Cloudinit Config.Disk Config.HWType Config.Memory Config.Network
    Config.Options Console Migrate Monitor PowerMgmt Snapshot
    Snapshot.Rollback);
my @ALL = (
    @VM,
    qw(Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate
        Datastore.Audit Group.Allocate Mapping.Audit Mapping.Modify Mapping.Use
        Permissions.Modify Pool.Allocate Pool.Audit Realm.Allocate
        Realm.AllocateUser SDN.Allocate SDN.Audit SDN.Use Sys.AccessNetwork
        Sys.Audit Sys.Console Sys.Incoming Sys.Modify Sys.PowerMgmt Sys.Syslog
        User.Modify)
);

my %ROLE = (
    Administrator => \@ALL,
    PVEVMAdmin    => \@VM,
    PVEVMUser     => [
        map {"VM.$_"} qw(Audit Backup Config.CDROM Config.Cloudinit Console
            PowerMgmt)
    ],
    PVEAuditor => [grep {/\.Audit\z/} @ALL],
    NoAccess   => [],
);

# "cap" of a login: part => [path, which privileges]
my %CAPABILITY = (
    vms     => ['/vms',     qr/\A(?:VM\.|Permissions\.Modify)/],
    storage => ['/storage', qr/\A(?:Datastore\.|Permissions\.Modify)/],
    access  => ['/access',  qr/\A(?:User\.|Group\.|Permissions\.Modify)/],
    nodes   => ['/nodes',   qr/\A(?:Sys\.|Permissions\.Modify)/],
    dc      => ['/',        qr/\A(?:SDN\.|Sys\.Audit|Sys\.Modify)/],
    sdn     => ['/sdn',     qr/\A(?:SDN\.|Permissions\.Modify)/],
    mapping => ['/mapping', qr/\A(?:Mapping\.|Permissions\.Modify)/],
);

my @PERMISSION_PATHS =
    qw(/ /access /access/groups /nodes /pool /sdn /storage /vms);

sub is_role ($class, $name) {
    return exists $ROLE{$name};
}

sub owner ($class, $who) {
    return $who =~ s/!.*\z//r;
}

# An entry of a deeper path replaces what was inherited.
sub _listed ($self, $who, $path) {
    my @prefixes = ('/');
    my $at       = '';
    push @prefixes, $at .= "/$_" for grep {length} split m{/}, $path;

    my %have;
    for my $prefix (@prefixes) {
        my @here = grep {
            $_->{who} eq $who && $_->{path} eq $prefix
                && ($_->{propagate} || $prefix eq $path)
        } @{$self->sim->data->{acl}};
        next if !@here;
        %have = map { $_ => 1 }
            map { @{$_->{privs} // $ROLE{$_->{role}}} } @here;
    }
    return \%have;
}

# Privileges as a set.  A separated token has those that both it and its user
# have; any other token has its user's.
sub privileges ($self, $who, $path) {
    my $owner = $self->owner($who);
    my $have =
        $owner eq 'root@pam'
        ? {map { $_ => 1 } @ALL}
        : $self->_listed($owner, $path);

    return $have if $who eq $owner;
    return $have if !$self->sim->data->{tokens}{$who}{privsep};
    my $own = $self->_listed($who, $path);
    return {map { $_ => 1 } grep { $have->{$_} } keys %$own};
}

sub may ($self, $who, $path, @any) {
    my $have = $self->privileges($who, $path);
    return !!grep { $have->{$_} } @any;
}

sub check ($self, $who, $path, @any) {
    refuse_permission("$path, " . join '|', @any)
        if !$self->may($who, $path, @any);
}

sub capabilities ($self, $who) {
    my %cap;
    for my $part (keys %CAPABILITY) {
        my ($path, $which) = @{$CAPABILITY{$part}};
        $cap{$part} = {
            map { $_ => 1 }
            grep {/$which/} keys %{$self->privileges($who, $path)}
        };
    }
    return \%cap;
}

sub _permissions ($req) {
    my $self = $req->sim->access;
    my %paths =
        map { $_ => 1 } @PERMISSION_PATHS,
        map { $_->{path} } @{$self->sim->data->{acl}};
    %paths = ($req->p->{path} => 1) if defined $req->p->{path};

    my %tree;
    for my $path (keys %paths) {
        my $have = $self->privileges($req->user, $path);
        $tree{$path} = $have if %$have;
    }
    return \%tree;
}

sub routes ($class) {
    return (
        {
            on     => 'POST /access/ticket',
            params => {
                username     => {type => 'string', max_length => 64},
                password     => {type => 'string'},
                realm        => {%{+STRING}, max_length => 32},
                otp          => STRING,
                path         => {%{+STRING}, max_length => 64},
                privs        => {%{+STRING}, max_length => 64},
                'new-format' => {type => 'boolean', optional => 1},
                'tfa-challenge' => STRING,
            },
            handler => sub ($req) { $req->sim->auth->login($req->p) },
        },
        {
            on      => 'GET /access/ticket',
            handler => sub ($req) {undef},
        },
        {
            on      => 'GET /access/permissions',
            params  => {path => STRING},
            handler => \&_permissions,
        },
    );
}

1;
