package PVE::Sim::Control;

# /sim/...: what a test does to the simulator, with the token of the file
# control.token.  Nothing here is journalled as an effect.

use Mojo::Base -base, -signatures;

use Mojo::JSON qw(decode_json);
use Mojo::Util qw(secure_compare);

use PVE::Sim::Output  qw(write_file);
use PVE::Sim::Refusal qw(refuse);
use PVE::Sim::Routes;
use PVE::Sim::State;

has [qw(sim renewed)];
has routes => sub { PVE::Sim::Routes->new(_rows()) };
has token  => sub ($self) {
    my $token = PVE::Sim::State::random_hex(24);
    write_file($self->sim->dir . '/control.token', "$token\n");
    return $token;
};

sub answer ($self, $http, $seen) {
    $seen->{auth} = 'control';
    my $data = eval { $self->_handle($http) };
    if (my $error = $@) {
        my $r = PVE::Sim::Refusal->from($error);
        return {
            code    => $r->code,
            reason  => $r->reason,
            content => {error => $r->text},
        };
    }
    return {code => 200, reason => 'OK', content => $data // {}};
}

sub _handle ($self, $http) {
    my ($given) = ($http->headers->authorization // '') =~ /\ABearer (\S+)\z/;
    refuse(401, 'no control token')
        if !secure_compare($given // '', $self->token);

    my $path = $http->url->path->to_string;
    my ($row, $p) = $self->routes->find($http->method, $path);
    refuse(404, 'no such control: ' . $http->method . " $path") if !$row;

    my $json = length $http->body ? decode_json($http->body) : {};
    refuse(400, 'the body must be a JSON object') if ref $json ne 'HASH';

    my $data = $row->{handler}->($self, $p, $json);
    $self->sim->save;
    return $data;
}

sub _only ($json, @known) {
    for my $name (keys %$json) {
        refuse(400, "no such member: $name") if !grep { $_ eq $name } @known;
    }
}

sub _state ($self, $p, $json) {
    my $data = $self->sim->data;
    return {
        guests   => $data->{guests},
        nodes    => $data->{nodes},
        settings => $data->{settings},
        acl      => $data->{acl},
        users    => [sort keys %{$data->{users}}],
        tokens   => [sort keys %{$data->{tokens}}],
        tasks    => [$self->sim->tasks->all],
        running  => [sort keys %{$self->sim->tasks->live}],
        faults   => $data->{faults},
    };
}

sub _get_guest ($self, $p, $json) {
    return $self->sim->guests->get($p->{vmid})
        // refuse(404, "no guest $p->{vmid}");
}

sub _put_node ($self, $p, $json) {
    _only($json, 'status');
    return $self->sim->data->{nodes}{$p->{node}} =
        {status => $json->{status} // 'online'};
}

# The next tasks of a type: fail (text), warnings (number), log (lines),
# duration (ms), for one vmid or any, count times.
sub _next_task ($self, $p, $json) {
    _only($json, qw(type vmid fail warnings log duration count));
    refuse(400, 'a type of task is needed') if !defined $json->{type};
    push @{$self->sim->data->{overrides}}, {count => 1, %$json};
    return;
}

# The next requests that match: method and path (regular expressions, both
# optional), then delay (ms), drop ("before" or "after" its effect), or an
# answer of its own (status, reason, body), count times.
sub _add_fault ($self, $p, $json) {
    _only($json, qw(method path delay drop status reason body count));
    eval { qr/$_/ for grep {defined} @$json{qw(method path)}; 1 }
        or refuse(400, 'not a regular expression');
    push @{$self->sim->data->{faults}}, {count => 1, %$json};
    return;
}

sub _settings ($self, $p, $json) {
    my $data = $self->sim->data;
    return $data->{settings} =
        PVE::Sim::State::merge_settings($data->{settings}, $json);
}

sub _put_user ($self, $p, $json) {
    _only($json, qw(password enable));
    PVE::Sim::State::put_user($self->sim->data,
        {%$json, userid => $p->{userid}});
    PVE::Sim::State::write_secrets($self->sim);
    return;
}

sub _put_token ($self, $p, $json) {
    _only($json, qw(secret privsep expire));
    PVE::Sim::State::put_token($self->sim->data, {%$json, id => $p->{id}});
    PVE::Sim::State::write_secrets($self->sim);
    return;
}

sub _delete_user ($self, $p, $json) {
    my $data = $self->sim->data;
    delete $data->{users}{$p->{userid}};
    delete @{$data->{tokens}}{grep {/\A\Q$p->{userid}\E!/}
            keys %{$data->{tokens}}};
    return;
}

sub _delete_acl ($self, $p, $json) {
    _only($json, qw(who path));
    my $acl = $self->sim->data->{acl};
    @$acl = grep {
        my $entry = $_;
        grep { $entry->{$_} ne $json->{$_} } keys %$json
    } @$acl;
    return;
}

sub _rows () {
    my %row = (
        'GET /sim/state'            => \&_state,
        'GET /sim/guests/{vmid}'    => \&_get_guest,
        'POST /sim/guests'          => sub ($self, $p, $json) {
            $self->sim->guests->create($json);
        },
        'PUT /sim/guests/{vmid}' => sub ($self, $p, $json) {
            $self->sim->guests->alter($p->{vmid}, $json);
        },
        'DELETE /sim/guests/{vmid}' => sub ($self, $p, $json) {
            $self->sim->guests->remove($p->{vmid});
        },
        'PUT /sim/nodes/{node}'      => \&_put_node,
        'PUT /sim/settings'          => \&_settings,
        'POST /sim/tasks/next'       => \&_next_task,
        'POST /sim/faults'           => \&_add_fault,
        'DELETE /sim/faults'         => sub ($self, $p, $json) {
            $self->sim->data->{faults} = [];
            return;
        },
        'PUT /sim/users/{userid}'    => \&_put_user,
        'DELETE /sim/users/{userid}' => \&_delete_user,
        'PUT /sim/tokens/{id}'       => \&_put_token,
        'DELETE /sim/tokens/{id}'    => sub ($self, $p, $json) {
            delete $self->sim->data->{tokens}{$p->{id}};
            return;
        },
        'POST /sim/acl'   => sub ($self, $p, $json) {
            _only($json, qw(who path role privs propagate));
            PVE::Sim::State::put_acl($self->sim->data, $json);
            return;
        },
        'DELETE /sim/acl' => \&_delete_acl,

        # all tickets become this many seconds older
        'POST /sim/tickets/age' => sub ($self, $p, $json) {
            $self->sim->data->{ticket_age} += $json->{seconds} // 0;
            return;
        },
        'POST /sim/certificate' => sub ($self, $p, $json) {
            $self->sim->certificate->renew;
            return $self->renewed->();
        },
    );
    return map { {on => $_, handler => $row{$_}} } keys %row;
}

1;
