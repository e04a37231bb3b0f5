package PVE::Sim::State;

# Everything the simulator knows, as plain data: made from a scenario at the
# first start, kept in a file so that it outlives a kill.

use Mojo::Base -strict, -signatures;

use Storable   qw(nstore retrieve);
use Time::HiRes ();

use PVE::Sim::Access;
use PVE::Sim::Output  qw(to_json write_file);
use PVE::Sim::Refusal qw(refuse);

# Times in ms.
#   auth_delay_ms  how late a 401 comes
#   second_ms      length of a second of timeouts inside tasks
#   task_stop_ms   how late the stop of a task is answered (up to 5 s really)
#   restart_ms     from the end of a reboot's task to the next start
#   durations      work of a task before its effect, by type; absent: none
my %SETTINGS = (
    auth_delay_ms => 3000,
    second_ms     => 1000,
    task_stop_ms  => 0,
    restart_ms    => 100,
    durations     => {
        qmstart   => 300,
        qmstop    => 200,
        qmsuspend => 300,
        vzstart   => 300,
        vzstop    => 200,
    },
);

my %SCENARIO = (
    nodes => ['pve1'],
    users => [{userid => 'root@pam'}, {userid => 'automation@pve'}],
    tokens => [{id => 'automation@pve!vmops', privsep => 1}],
    acl    => [
        map { {who => $_, path => '/vms', role => 'PVEVMAdmin'} }
            ('automation@pve', 'automation@pve!vmops')
    ],
    guests => [
        {vmid => 100, name => 'web'},
        {vmid => 101, name => 'db', status => 'running'},
        {vmid => 200, name => 'cache', type => 'lxc'},
    ],
    storages => {
        local => {
            type    => 'dir',
            content => 'vztmpl,iso,backup,rootdir,images,snippets',
        },
    },
    settings => {},
);

sub random_hex ($bytes) {
    open my $fh, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";
    read($fh, my $random, $bytes) == $bytes or die "/dev/urandom: $!\n";
    return unpack 'H*', $random;
}

sub random_uuid () {
    my $hex = random_hex(16);
    $hex =~ s/\A(.{12}).(.{3}).(.{15})\z/${1}4${2}8$3/;
    return join '-', unpack 'A8A4A4A4A12', $hex;
}

sub merge_settings ($old, $new) {
    for my $name (keys %$new) {
        refuse(400, "no such setting: $name") if !exists $SETTINGS{$name};
    }
    return {
        %$old, %$new,
        durations => {%{$old->{durations}}, %{$new->{durations} // {}}},
    };
}

# -- parts a test may also change later --

sub put_user ($data, $user) {
    $data->{users}{$user->{userid}} =
        {enable => 1, password => random_hex(16), %$user};
}

sub put_token ($data, $token) {
    my $owner = PVE::Sim::Access->owner($token->{id});
    refuse(400, "no user $owner") if !$data->{users}{$owner};
    $data->{tokens}{$token->{id}} =
        {privsep => 1, secret => random_uuid(), %$token};
}

sub put_acl ($data, $entry) {
    refuse(400, 'an entry needs who and path')
        if grep { !defined $entry->{$_} } qw(who path);
    refuse(400, 'an entry needs a known role, or privs')
        if !$entry->{privs}
        && !PVE::Sim::Access->is_role($entry->{role} // '');
    push @{$data->{acl}}, {propagate => 1, %$entry};
}

# What was generated, for tests: token ids and users with their secrets.
sub write_secrets ($sim) {
    my $data = $sim->data;
    my %all  = (
        (map { $_ => $data->{users}{$_}{password} } keys %{$data->{users}}),
        (map { $_ => $data->{tokens}{$_}{secret} } keys %{$data->{tokens}}),
    );
    write_file($sim->dir . '/secrets.json', to_json(\%all));

    my $first = $data->{first_token} // return;
    write_file($sim->dir . '/token.secret',
        "$data->{tokens}{$first}{secret}\n")
        if $data->{tokens}{$first};
}

# -- from a scenario, and back from the file --

sub _from_scenario ($sim, $scenario) {
    for my $name (keys %$scenario) {
        die "unknown part of a scenario: $name\n" if !exists $SCENARIO{$name};
    }
    my %given = (%SCENARIO, %$scenario);
    my $data  = {
        born       => Time::HiRes::time(),
        last_pid   => 300,
        ticket_key => random_hex(32),
        ticket_age => 0,
        local      => $given{nodes}[0],
        nodes      => {map { $_ => {status => 'online'} } @{$given{nodes}}},
        storages   => $given{storages},
        settings   => merge_settings(\%SETTINGS, $given{settings}),
        map({ $_ => {} } qw(users tokens guests tasks)),
        map({ $_ => [] } qw(acl task_order overrides faults)),
    };

    $sim->data($data);
    put_user($data, $_)  for @{$given{users}};
    put_token($data, $_) for @{$given{tokens}};
    put_acl($data, $_)   for @{$given{acl}};
    $sim->guests->create($_) for @{$given{guests}};
    $data->{first_token} = $given{tokens}[0]{id} if @{$given{tokens}};
}

sub _file ($sim) { $sim->dir . '/state.sto' }

# A task that was running when the simulator died has ended without a word.
sub load ($sim, $scenario) {
    if (!-e _file($sim)) {
        _from_scenario($sim, $scenario);
    }
    else {
        $sim->data(retrieve(_file($sim)));
        for my $record (values %{$sim->data->{tasks}}) {
            next if defined $record->{exitstatus};
            $record->{exitstatus} = 'unexpected status';
            $record->{endtime}    = time;
        }
        $_->{lock} eq 'suspending' and $_->{lock} = ''
            for values %{$sim->data->{guests}};
    }
    write_secrets($sim);
    save($sim);
}

sub save ($sim) {
    my $new = _file($sim) . '.new';
    nstore($sim->data, $new) or die "$new: $!\n";
    rename $new, _file($sim) or die "$new: $!\n";
}

1;
