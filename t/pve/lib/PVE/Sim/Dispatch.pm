package PVE::Sim::Dispatch;

# One request of the API, in the real server's order: credentials, body form,
# route, privileges, node, parameters, handler.

use Mojo::Base -base, -signatures;

use PVE::Sim::Access;
use PVE::Sim::Cluster;
use PVE::Sim::Lxc;
use PVE::Sim::Params qw(read_params verify_params);
use PVE::Sim::Qemu;
use PVE::Sim::Refusal qw(refuse refuse_parameters refuse_transport);
use PVE::Sim::Request;
use PVE::Sim::Routes;
use PVE::Sim::TaskApi;

use constant MAX_BODY => 512 * 1024;

has sim    => undef, weak => 1;
has routes => sub {
    PVE::Sim::Routes->new(map { $_->routes }
            map {"PVE::Sim::$_"} qw(Access Cluster TaskApi Qemu Lxc));
};

sub _check_body ($http) {
    my $method = $http->method;
    my $length = $http->body_size;

    refuse_transport(501, "Unexpected content for method '$method'")
        if $length && $method ne 'POST' && $method ne 'PUT';
    refuse_transport(501, 'for data too large') if $length > MAX_BODY;
}

sub _check_privileges ($self, $row, $user, $p) {
    my ($path, @any) = @{$row->{needs} // []} or return;
    $path =~ s/\{(\w+)\}/$p->{$1}/g;
    $self->sim->access->check($user, $path, @any);
}

# Every call with a node in its path is passed on to that node.
sub _check_node ($self, $name) {
    return if !defined $name;
    my $node = $self->sim->data->{nodes}{$name}
        // die "hostname lookup '$name' failed - failed to get address info "
        . "for: $name: Temporary failure in name resolution\n";
    refuse(595, 'No route to host') if $node->{status} ne 'online';
}

# Fills $seen with what the access log may tell.  Returns the answer:
# code, reason, delay, and content (JSON) or text.
sub answer ($self, $http, $seen) {
    my $request = PVE::Sim::Request->new(sim => $self->sim);
    my $answer  = eval { $self->_handle($http, $seen, $request) }
        // $self->_refusal(PVE::Sim::Refusal->from($@));
    $answer->{delay} //= $request->delay;
    return $answer;
}

sub _handle ($self, $http, $seen, $request) {
    my $method = $http->method;
    my ($path) = $http->url->path->to_string =~ m{\A/api2/json(/.*)\z}
        or refuse_transport(501, 'no such uri');

    my ($user, $how) =
        $self->sim->auth->authenticate($method, $path, $http->headers);
    @$seen{qw(user auth)} = ($user, $how);
    _check_body($http);

    my ($row, $p) = $self->routes->find($method, $path);
    refuse(501, "Method '$method $path' not implemented", eol => '')
        if !$row;

    my $given = read_params(
        $method, $http->url->query->to_string,
        $http->headers->content_type, $http->body
    );
    $seen->{params} = [sort keys %$given];
    my @twice = grep { exists $p->{$_} } keys %$given;
    refuse_parameters(
        {map { $_ => 'duplicate parameter (already defined in URI)' } @twice})
        if @twice;

    $self->_check_privileges($row, $user, $p);
    $self->_check_node($p->{node});

    $request->user($user)
        ->p(verify_params($row->{params} // {}, {%$p, %$given}));
    my ($data, %more) = $row->{handler}->($request);
    return {
        code    => 200,
        reason  => 'OK',
        content => {data => $data, %more},
    };
}

# 401 comes late, so that guessing is slow.
sub _refusal ($self, $r) {
    my %answer = (
        code   => $r->code,
        reason => $r->reason,
        $r->code == 401
        ? (delay => $self->sim->setting('auth_delay_ms'))
        : (),
    );
    return {%answer, text => ''}       if $r->form eq 'bare';
    return {%answer, text => $r->text} if $r->form eq 'text';
    return {
        %answer,
        content => {
            data    => undef,
            message => $r->text . $r->eol,
            $r->errors ? (errors => $r->errors) : (),
        },
    };
}

1;
