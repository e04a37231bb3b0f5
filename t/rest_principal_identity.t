# Somebody's own login in front: nginx asks a small identity service about each
# request (auth_request), and vmops takes whom it names.
# tags: asan

use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2);

# The identity service: knows people by a cookie of its own, and says so in
# headers.
my %people = (
    anna  => ['acme', 'anna@example.org', 'owner'],
    ben   => ['acme', 'ben@example.org', 'operator'],
    carla => ['globex', 'carla@example.org', 'viewer'],
    odd   => ['acme', 'odd@example.org', 'superuser'],
    blank => ['acme', '', 'owner'],
);
my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64,
                                   ReuseAddr => 1) or die "listen: $!";
my $owner = $$;
my $service = fork // die "fork: $!";
if (!$service) {
    $SIG{INT} = $SIG{TERM} = 'DEFAULT';
    $listen->timeout(1);
    while (getppid == $owner) {
        my $c = $listen->accept or next;
        my $head = '';
        while (my $line = <$c>) { last if $line =~ /^\r?$/; $head .= $line }
        my ($name) = $head =~ /^Cookie: .*\bwho=(\w+)/mi;
        my $is = $people{ $name // '' };
        print $c $name && $name eq 'broken' ? "HTTP/1.1 500 Oops\r\n"
            : $is ? "HTTP/1.1 200 OK\r\n" . sprintf(
                "X-Tenant: %s\r\nX-Subject: %s\r\nX-Role: %s\r\n", @$is)
            : "HTTP/1.1 401 Unauthorized\r\n";
        print $c "Content-Length: 0\r\nConnection: close\r\n\r\n";
        close $c;
    }
    POSIX::_exit(0);
}
my $port = $listen->sockport;
close $listen;

$s->add_server_conf(<<"EOT");
location = /ws/who {
    internal;
    proxy_pass              http://127.0.0.1:$port/;
    proxy_pass_request_body off;
    proxy_set_header        Content-Length "";
}
location /ws/own/ {
    auth_request     /ws/who;
    auth_request_set \$who_tenant  \$upstream_http_x_tenant;
    auth_request_set \$who_subject \$upstream_http_x_subject;
    auth_request_set \$who_role    \$upstream_http_x_role;
    rewrite ^/ws/own/(.*)\$ /api/v1/\$1 break;
    vmops_api;
    vmops_principal tenant=\$who_tenant subject=\$who_subject role=\$who_role;
}
EOT

my $t = VMOps::Rest->new($s);
$s->tenant('globex');

sub as {
    my ($who, $method, $path, %opt) = @_;
    my $r = $s->rest($method, "/ws/own$path", {
        headers => { ($who ? (Cookie => "a=1; who=$who") : ()),
                     %{ $opt{headers} // {} } },
        $opt{json} ? (json => $opt{json}) : () });
    return wantarray ? ("$r->{status} " . ($r->{json}{code} // ''), $r) : $r;
}

is as(anna => GET => '/tokens')->{status}, 200, 'an owner';
my $r = as(anna => POST => '/vms', json => { name => 'web', agent_id => undef,
    guest => 'qemu', node => 'pve1', vmid => 101 });
is $r->{status}, 201, 'makes a VM: the body comes through';
is_deeply [as(ben => GET => '/session')->{json}->@{qw(tenant subject role csrf)}],
    ['acme', 'ben@example.org', 'operator', undef], 'who one is';
is +(as(ben => GET => '/tokens'))[0], '403 forbidden', 'an operator is no owner';
is +(as(carla => GET => "/vms/$t->{vm}"))[0], '404 not_found',
    'another tenant\'s sees nothing of it';
is +(as($_->[0] => GET => '/vms'))[0], $_->[1], 'refused: ' . ($_->[0] // 'nobody')
    for [undef, '401 unauthenticated'], ['mallory', '401 unauthenticated'],
        ['odd', '401 unauthenticated'], ['blank', '401 unauthenticated'],
        ['broken', '500 internal_error'];
is +(as(undef, GET => '/vms', headers => {
    Authorization => 'Bearer ' . $t->token }))[0], '401 unauthenticated',
    'a token is no way around the login';
is +(as(undef, GET => '/vms', headers => { 'X-Tenant' => 'acme',
    'X-Subject' => 'anna@example.org', 'X-Role' => 'owner' }))[0],
    '401 unauthenticated', 'nor is what a client says of itself';

# a command in a person's name, checked by the gateway and told to the agent
$r = as(ben => POST => '/vm-ops/proxmox/start', json => { vm_uuid => $t->vm });
is $r->{status}, 202, 'a command';
is $t->agent->serve->{id}, $r->{json}{command_id}, 'reaches the agent';
is $t->made(GET => "/vm-ops/commands/$r->{json}{command_id}")->{created_by},
    'ben@example.org', 'as that person\'s';

kill 'TERM', $service;
waitpid $service, 0;
is +(as(anna => GET => '/vms'))[0], '500 internal_error',
    'without its service nobody is let in';

done_testing;
