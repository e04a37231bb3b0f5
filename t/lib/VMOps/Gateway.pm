package VMOps::Gateway;

# A gateway under test: nginx with ngx_agents_ws_module alone, a Redis with the
# function library, and a tenant whose records carry the MACs they must have,
# made here byte by byte.  Commands are submitted by the function itself, so a
# test decides what stands in the store, and when.
#
#   my $g = VMOps::Gateway->start(workers => 1);
#   my $a = $g->agent->online;
#   my $id = $g->submit;
#   $a->serve;
#   is $g->command($id)->{status}, 'succeeded', 'it came back';

use strict;
use warnings;

use Carp qw(croak);
use Crypt::Digest::BLAKE2b_256 qw(blake2b_256);
use Crypt::Mac::BLAKE2b qw(blake2b);
use Crypt::PK::Ed25519;
use Crypt::PRNG qw(random_bytes);
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64url);
use POSIX qw(WNOHANG);

use VMOps;
use VMOps::Functions qw(hash now_ms);
use VMOps::Process qw(run_command spawn wait_for children);
use VMOps::RedisServer;
use VMOps::WSAgent;

my ($TOP) = abs_path(__FILE__) =~ m{^(.*)/t/lib/VMOps/Gateway\.pm$};

use constant { TENANT => 'acme', SECONDS => 10 };

# the fields under each record's MAC (include/vmops_records.def)
my %FIELDS = (
    vm      => [qw(agent_id guest node vmid bot_id state)],
    binding => [qw(scope_type scope_id family secret_ref)],
    agent   => [qw(agent_id ed_pk x_pk approved revoked)],
    token   => [qw(token_id role name expires_at subject)],
);

# workers, tls, directives (of the location), server, http, events and main (more
# of these blocks)
sub start {
    my ($class, %opt) = @_;
    my $dir = tempdir('vmops-gateway-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { dir => $dir, opt => \%opt, owner => $$,
                       f => VMOps::Functions->new }, $class;
    mkdir "$dir/keys", 0700 or croak "mkdir: $!";
    for my $name (qw(command mac)) {
        $self->{key}{$name} = random_bytes(32);
        write_file("$dir/keys/$name.key", $self->{key}{$name});
    }
    $self->{command_pk} = Crypt::PK::Ed25519->new
        ->import_key_raw($self->{key}{command}, 'private')
        ->export_key_raw('public');
    write_file("$dir/redis.password", $self->server->password('vmops'));
    $self->make_certificate if $opt{tls};
    VMOps->watch_log($dir);
    $self->run;
    $self->world;
    return $self;
}

sub dir       { $_[0]{dir} }
sub functions { $_[0]{f} }
sub server    { $_[0]{f}->server }
sub admin     { my $self = shift; $self->server->admin(@_) }
sub port      { $_[0]{port} }
sub error_log { VMOps::slurp("$_[0]{dir}/error.log") }
sub master    { $_[0]{pid} }
sub workers   { children($_[0]{pid}) }
sub key       { my $self = shift; $self->{f}->key(@_) }
sub owner     { $_[0]{token} }

sub write_file {
    my ($path, $text) = @_;
    open my $file, '>:raw', $path or croak "$path: $!";
    chmod 0600, $path;
    print $file $text;
    close $file or croak "$path: $!";
}

# what was built: VMOPS_BUILD names another tree, e.g. one with sanitizers
sub build { $ENV{VMOPS_BUILD} // "$TOP/build" }

sub module { build() . '/modules/ngx_agents_ws_module.so' }

sub nginx {
    my ($path) = VMOps::slurp(build() . '/config.mk') =~ /^NGINX = (\S+)$/m
        or croak 'config.mk names no nginx';
    return $path =~ m{^/} ? $path : "$TOP/$path";
}

sub make_certificate {
    my ($self) = @_;
    my $made = run_command(['openssl', 'req', '-x509', '-newkey', 'ec',
        '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
        '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost',
        '-keyout', "$self->{dir}/tls.key", '-out', "$self->{dir}/tls.pem"]);
    croak "openssl: $made->{err}" if $made->{exit};
}

sub conf {
    my ($self) = @_;
    my ($dir, $opt) = @$self{qw(dir opt)};
    my $ssl = $opt->{tls} ? ' ssl' : '';
    my $cert = $opt->{tls} ? "ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate $dir/tls.pem;
        ssl_certificate_key $dir/tls.key;" : '';
    my $workers = $opt->{workers} // 1;
    return <<"END";
daemon off;
@{[ $> ? '' : 'user root;' ]}
worker_processes $workers;
worker_shutdown_timeout 10s;
pid $dir/nginx.pid;
error_log $dir/error.log info;
load_module @{[ module() ]};
@{[ $opt->{main} // '' ]}
events { worker_connections 4096; @{[ $opt->{events} // '' ]} }
http {
    access_log $dir/access.log;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    agents_ws_redis unix:@{[ $self->server->socket ]} user=vmops
                    password_file=$dir/redis.password;
    agents_ws_keys $dir/keys;
    @{[ $opt->{http} // '' ]}
    server {
        listen 127.0.0.1:$self->{port}$ssl@{[ $opt->{listen} // '' ]};
        server_name localhost;
        $cert
        location = @{[ VMOps::WSAgent::PATH ]} {
            agents_ws;
            @{[ $opt->{directives} // '' ]}
        }
        location / { return 404; }
        @{[ $opt->{server} // '' ]}
    }
}
END
}

sub run {
    my ($self) = @_;
    $self->{port} //= free_port();
    write_file("$self->{dir}/nginx.conf", $self->conf);
    $self->{pid} = spawn([nginx(), '-p', $self->{dir},
                          '-c', "$self->{dir}/nginx.conf",
                          '-e', "$self->{dir}/error.log"],
                         "$self->{dir}/nginx.out");
    wait_for {
        croak 'nginx did not start: ', VMOps::slurp("$self->{dir}/nginx.out")
            if waitpid($self->{pid}, WNOHANG) == $self->{pid};
        @{ $self->live } >= ($self->{opt}{workers} // 1);
    } SECONDS, 'nginx and its beat';
}

# incarnations of gateway workers that beat now
sub live {
    my ($self) = @_;
    return $self->admin('ZRANGEBYSCORE', 'platform/{p}/gateways', now_ms(),
                        '+inf');
}

sub free_port {
    my $sock = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or croak "no port: $@";
    return $sock->sockport;
}

# new configuration, new workers; returns when the new ones beat
sub reload {
    my ($self) = @_;
    my %old = map { $_ => 1 } @{ $self->live };
    kill 'HUP', $self->{pid};
    wait_for { grep { !$old{$_} } @{ $self->live } } SECONDS, 'new workers';
}

# the end, gently unless told otherwise; its wait status
sub stop {
    my ($self, $signal) = @_;
    my $pid = delete $self->{pid} or return;
    return VMOps::Process::stop($pid, $signal // 'QUIT', 15);
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);
    $self->stop('TERM') if $self->{owner} == $$;
}


# MACs

sub b64u { encode_base64url($_[0]) }

sub record_mac {
    my ($self, $type, $key, $record) = @_;
    my @fields = map { $record->{$_} // '' } @{ $FIELDS{$type} };
    return b64u(blake2b(32, $self->{key}{mac}, "vmops-record-v1\0"
        . pack('C/a N/a C', $type, $key, scalar @fields)
        . join '', map { pack 'N/a', $_ } @fields));
}

sub intent_mac {
    my ($self, $i) = @_;
    my %target = (vm => '', endpoint => '', task => '');
    $target{ $i->{scope} } = $i->{target};
    return b64u(blake2b(32, $self->{key}{mac}, "vmops-intent-v1\0"
        . join('', map { pack 'N/a', $_ }
               TENANT, @$i{qw(command_id service action)},
               @target{qw(vm endpoint task)}, blake2b_256($i->{params}),
               @$i{qw(pkind pkey subject role)})
        . pack('Q> Q> N N', @$i{qw(iat exp timeout_s)}, 0)));
}


# The world

sub world {
    my ($self) = @_;
    my $f = $self->{f};
    $f->make_tenant(TENANT);
    $f->license(max_agents => 100_000, max_vms => 100_000);
    $self->{token} = $self->token('op');
    $self->{agent} = $self->make_agent;
    $self->{secret} = $f->make_secret($self->{agent}{agent},
                                      key_id => $self->{agent}->key_id,
                                      secret_nonce => b64u('n' x 24),
                                      ciphertext => b64u('c' x 272));
    $self->{vm} = $self->make_vm;
    $self->bind_secret('vm', $self->{vm});
}

# a token's record; the hmac it is under
sub token {
    my ($self, $hmac, %over) = @_;
    my %token = (token_id => VMOps::Functions::uuid(), role => 'operator',
                 name => $hmac, subject => "user-$hmac", expires_at => '',
                 %over);
    $self->{f}->ok_call(token_add => {
        actor => 'token:1', hmac => $hmac, %token,
        mac => $self->record_mac(token => $self->key('tokens', $hmac),
                                 \%token) });
    return $hmac;
}

# a registered agent that is not connected; approved unless told otherwise
sub make_agent {
    my ($self, %opt) = @_;
    my $approved = $opt{approved} // 1;
    my $again = delete $opt{again};
    my $id = $again // VMOps::Functions::uuid();
    my $agent = VMOps::WSAgent->new(port => $self->{port}, tenant => TENANT,
        agent => $id, command_pk => $self->{command_pk},
        ($self->{opt}{tls} ? (ca => "$self->{dir}/tls.pem",
                              host_header => "localhost:$self->{port}") : ()));
    my $keys = $agent->{keys};
    my $pairing = VMOps::Functions::uuid();
    $self->{f}->ok_call(pairing_create => {
        actor => 'token:1', pairing_id => $pairing, code_hmac => 'code',
        selector => 'ABCD', name => 'pc', auto_approve => $approved,
        agent_id => $again // '', subject => 'owner', ttl_ms => 600_000 });
    my %record = (agent_id => $id, ed_pk => b64u($keys->{ed_pk}),
                  x_pk => b64u($keys->{x_pk}), approved => $approved,
                  revoked => 0);
    $self->{f}->ok_call(register => {
        pairing_id => $pairing, code_hmac => 'code', signature_ok => 1,
        (map { $_ => $record{$_} } qw(agent_id approved ed_pk x_pk)),
        kid => b64u($keys->{kid}), platform => 'linux', name => 'pc',
        hostname => 'host', version => '1.0',
        mac => $self->record_mac(agent => $self->key('agents', $id),
                                 \%record) });
    return $agent;
}

# one that no record knows
sub make_stranger {
    my ($self) = @_;
    return VMOps::WSAgent->new(port => $self->{port}, tenant => TENANT,
        agent => VMOps::Functions::uuid(), command_pk => $self->{command_pk});
}

sub agent { $_[0]{agent} }

sub agent_key { my ($self, $a) = @_; $self->key('agents', ($a // $self->{agent})->id) }

sub agent_record { return hash($_[0]->admin('HGETALL', $_[0]->agent_key($_[1]))) }

# presence: the session the store names, once it is that of the agent
sub wait_online {
    my ($self, $agent) = @_;
    $agent //= $self->{agent};
    wait_for { ($self->agent_record($agent)->{session} // '')
               eq $agent->session } SECONDS, 'presence';
    return $agent;
}

sub wait_offline {
    my ($self, $agent, $seconds) = @_;
    wait_for { !$self->agent_record($agent)->{session} } $seconds // SECONDS,
        'end of presence';
}

# connected, and the store says so
sub online {
    my ($self, %opt) = @_;
    return $self->wait_online($self->{agent}->online(%opt));
}

# approve or revoke as REST does: with the MAC of what the record becomes
sub decision {
    my ($self, $what, $agent) = @_;
    my $key = $self->agent_key($agent);
    my $record = $self->agent_record($agent);
    my %new = (%$record, $what eq 'approve' ? (approved => 1) : (revoked => 1));
    return { actor => 'token:1', agent_id => $record->{agent_id},
             mac_before => $record->{mac},
             mac => $self->record_mac(agent => $key, \%new),
             live => join ',', @{ $self->live } };
}

sub decide {
    my ($self, $what, $agent) = @_;
    return $self->{f}->ok_call("agent_$what" => $self->decision($what, $agent));
}

sub make_vm {
    my ($self, %over) = @_;
    my $id = VMOps::Functions::uuid();
    my %vm = (agent_id => $self->{agent}->id, guest => 'qemu', node => 'pve1',
              vmid => 100, bot_id => 'bot1', state => 'ready', %over);
    $self->{f}->ok_call(vm_add => {
        actor => 'token:1', vm_uuid => $id, name => 'web', labels => '{}', %vm,
        mac => $self->record_mac(vm => $self->key('vms', $id), \%vm) });
    return $id;
}

sub vm     { $_[0]{vm} }
sub secret { VMOps::Functions::ref_of($_[0]{secret}) }

sub binding_key {
    my ($self, $type, $scope) = @_;
    return $self->key('secret_bindings', "$type:$scope:proxmox");
}

sub bind_secret {
    my ($self, $type, $scope) = @_;
    my %binding = (scope_type => $type, scope_id => $scope,
                   family => 'proxmox', secret_ref => $self->secret);
    my $mac = $self->record_mac(binding => $self->binding_key($type, $scope),
                                \%binding);
    my $reply = $self->{f}->bind_secret($type, $scope, $self->{secret},
                                        mac => $mac);
    croak "binding: @$reply" if $reply->[0] ne 'OK';
}

# the arguments of a submission, by name
sub intent {
    my ($self, %over) = @_;
    my $now = now_ms();
    my %i = (
        pkind => 'token', pkey => $self->{token},
        subject => "user-$self->{token}", role => 'operator', cost => 1,
        rate_limit => 100_000, command_limit => 100_000, open_limit => 10_000,
        live => join(',', @{ $self->live }), flags => '*=1',
        command_id => VMOps::Functions::uuid(), service => 'proxmox',
        action => 'start', scope => 'vm', family => 'proxmox',
        target => $self->{vm}, params => '{}', timeout_s => 60, iat => $now,
        body_hash => 'body', %over);
    $i{exp} //= $i{iat} + 1000 * $i{timeout_s};
    $i{intent_mac} //= $self->intent_mac(\%i);
    return \%i;
}

# submits a command; the reply of the function
sub try_submit {
    my ($self, %over) = @_;
    return $self->{f}->call(submit => $self->intent(%over));
}

# Commands of Redis, submissions among them, at one moment: no gateway does
# anything in between.  Each is an array of words, or an intent.  The replies.
sub at_once {
    my ($self, @commands) = @_;
    $self->admin('MULTI');
    for my $command (@commands) {
        $self->admin(ref $command eq 'ARRAY' ? @$command
            : ('FCALL', 'vmops_submit', 1, $self->key,
               $self->{f}->arguments(submit => $command)));
    }
    return @{ $self->admin('EXEC') };
}

# an accepted one: its id
sub submit {
    my ($self, %over) = @_;
    my $reply = $self->try_submit(%over);
    croak "submit: @$reply" if $reply->[0] ne 'OK';
    return hash($reply->[2])->{command_id};
}

sub command { return $_[0]{f}->command($_[1]) }

sub wait_command {
    my ($self, $id, $status, $seconds) = @_;
    wait_for { $self->command($id)->{status} eq $status } $seconds // SECONDS,
        "command $status";
    return $self->command($id);
}

1;
