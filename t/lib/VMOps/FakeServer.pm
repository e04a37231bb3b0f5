package VMOps::FakeServer;

# A control plane that does as the test says, for a real agent to talk to:
# made of Mojolicious and CryptX, with a command key of its own.  It lives in
# the test's process; whatever waits, waits in its loop.
#
#   my $server = VMOps::FakeServer->new;
#   my $agent = VMOps::FakeServer::Client->new($server);
#   $agent->pair; my $ref = $agent->add_secret($pve); $agent->start;
#   my $order = $server->order(service => 'proxmox', action => 'start', ...);
#   $server->send_order($order);
#   my $result = $server->result($order->{id});

use strict;
use warnings;

use Carp qw(croak);
use Crypt::Digest::BLAKE2b_256 qw(blake2b_256);
use Crypt::PK::Ed25519;
use Crypt::PRNG qw(random_bytes);
use JSON::PP;
use MIME::Base64 qw(encode_base64url decode_base64url);
use Mojo::IOLoop;
use Mojo::Server::Daemon;
use Mojolicious;
use Time::HiRes qw(time);

use VMOps::Process qw(now run_command);
use VMOps::WSAgent;

use constant { TENANT => 'acme', SECONDS => 20 };

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# at: where it listens; 127.0.0.1
sub new {
    my ($class, %opt) = @_;
    my $self = bless { seq => 0, messages => [], secrets => {}, epoch => 0,
                       agent => new_id(), connections => 0, closes => [],
                       at => $opt{at} // '127.0.0.1' }, $class;
    $self->{key} = Crypt::PK::Ed25519->new->generate_key;
    ($self->{tenant16}) = run_command(['b2sum', '-l', '128'],
        stdin => 'vmops/tenant/v1' . TENANT)->{out} =~ /^([0-9a-f]{32}) /;
    $self->{tenant16} = pack 'H*', $self->{tenant16};

    my $app = Mojolicious->new;
    $app->log->level('fatal');
    my $r = $app->routes;
    $r->post('/api/v1/agents/register')->to(cb => sub { $self->_register(@_) });
    $r->post('/api/v1/secrets')->to(cb => sub { $self->_secret(@_) });
    $r->websocket('/ws/v1/agents/connect')->to(cb => sub { $self->_socket(@_) });
    $self->{daemon} = Mojo::Server::Daemon->new(
        app => $app, listen => ["http://$self->{at}"], silent => 1);
    $self->{daemon}->start;
    $self->{port} = $self->{daemon}->ports->[0];
    return $self;
}

sub url    { "http://$_[0]{at}:$_[0]{port}" }
sub host   { "$_[0]{at}:$_[0]{port}" }
sub agent  { $_[0]{agent} }
sub closes { @{ $_[0]{closes} } }    # close codes of the agent, in order

sub new_id {
    my $ms = int(time * 1000);
    my $hex = sprintf('%012x', $ms) . '7' . substr(unpack('H*', random_bytes(2)), 1)
        . '8' . substr(unpack('H*', random_bytes(8)), 1);
    return join '-', unpack 'A8 A4 A4 A4 A12', $hex;
}

sub command_pk { $_[0]{key}->export_key_raw('public') }

# the only waiting: the loop runs until the condition holds
sub until {
    my ($self, $condition, $what, $seconds) = @_;
    my $end = now + ($seconds // SECONDS);
    my $tick = Mojo::IOLoop->recurring(0.02 => sub { });
    my $value;
    until ($value = $condition->()) {
        croak "waited for $what" if now > $end;
        Mojo::IOLoop->one_tick;
    }
    Mojo::IOLoop->remove($tick);
    return $value;
}


# REST

# what a network's sign-in page says to anything
sub _portal {
    my ($self, $c) = @_;
    $c->render(data => '<html>Welcome! Please sign in.</html>', status => 200);
}

sub _register {
    my ($self, $c) = @_;
    return $self->_portal($c) if $self->{portal};
    my $in = $json->decode($c->req->body);
    $self->{ed_pk} = decode_base64url($in->{ed25519_pk});
    $c->render(json => {
        agent_id => $self->{agent}, tenant => TENANT, created_by => 'test',
        status => 'offline', command_key => encode_base64url($self->command_pk),
        command_key_id => $self->key_id,
        fingerprint => $self->_fingerprint(decode_base64url($in->{x25519_pk})),
        server_time => '2026-01-01T00:00:00.000Z' }, status => 201);
}

sub key_id {
    my ($self) = @_;
    my ($hash) = run_command(['b2sum', '-l', '128'],
                             stdin => $self->command_pk)->{out} =~ /^(\w{32}) /;
    return "c1$hash";
}

sub _fingerprint {
    my ($self, $x_pk) = @_;
    my $hash = blake2b_256("vmops-fingerprint-v1\0" . $self->{ed_pk} . $x_pk
                           . $self->command_pk);
    return join ' ', map { sprintf '%05d', $_ % 100000 }
        (unpack 'N8', $hash)[0 .. 5];
}

sub _secret {
    my ($self, $c) = @_;
    return $self->_portal($c) if $self->{portal};
    my $in = $json->decode($c->req->body);
    (my $ref = "sec_$in->{secret_id}") =~ s/-//g;
    $self->{secrets}{$ref} = $in;
    $c->render(json => { secret_ref => $ref }, status => 201);
}


# The socket

sub _socket {
    my ($self, $c) = @_;
    my $tx = $c->tx;
    $tx->with_protocols(VMOps::WSAgent::SUBPROTOCOL());
    $c->inactivity_timeout(120)->rendered(101);
    $self->{connections}++;
    my $nonce = random_bytes(32);
    $tx->on(text => sub {
        my (undef, $text) = @_;
        my $m = $json->decode($text);
        my $way = $self->can("_on_$m->{t}");
        $way ? $self->$way($tx, $m, $nonce) : push @{ $self->{messages} }, $m;
    });
    $tx->on(finish => sub {
        push @{ $self->{closes} }, $_[1];
        delete $self->{online} if ($self->{online} // 0) == $tx;
    });
    $self->_say($tx, { t => 'hello', nonce => encode_base64url($nonce),
                       time => int(time * 1000) });
}

sub _say { $_[1]->send({ text => $json->encode($_[2]) }) }

sub _on_auth {
    my ($self, $tx, $m, $nonce) = @_;
    my $transcript = "vmops-ws-auth-v1\0" . $nonce
        . decode_base64url($m->{nonce}) . $self->{tenant16}
        . VMOps::WSAgent::uuid_bytes($self->{agent})
        . blake2b_256($self->{ed_pk}) . pack('Q>', $m->{epoch}) . "\0"
        . "\0" x 32 . pack('C/a', $self->host);
    my $sig = decode_base64url($m->{sig});
    my $key = Crypt::PK::Ed25519->new->import_key_raw($self->{ed_pk}, 'public');
    return $tx->finish(4401) if !$key->verify_message($sig, $transcript);

    my ($session, $ms) = (new_id(), int(time * 1000));
    @$self{qw(session ctl_n)} = ($session, 0);
    my $epoch = ++$self->{epoch} > $m->{epoch} ? $self->{epoch}
                                               : ($self->{epoch} = $m->{epoch} + 1);
    my $signed = "vmops-ws-welcome-v1\0" . blake2b_256($transcript . $sig)
        . VMOps::WSAgent::uuid_bytes($session) . pack('Q>Q>', $epoch, $ms);
    $self->_say($tx, { t => 'welcome', session => $session, epoch => $epoch,
        time => $ms, ping_s => 25, status => 'approved', audit_head => undef,
        command_key_id => $self->key_id,
        sig => encode_base64url(($self->{welcome_key} // $self->{key})
                                ->sign_message($signed)) });
}

sub _on_ready {
    my ($self, $tx, $m) = @_;
    $self->{last_seq} = $m->{last_seq};
    $self->{online} = $tx;
}

sub _on_result {
    my ($self, $tx, $m) = @_;
    push @{ $self->{messages} }, $m;
    $self->_say($tx, { t => 'result.ok', id => $m->{id} }) if !$self->{deaf};
}

{
    no strict 'refs';
    *{'_on_secret.get'} = sub {
        my ($self, $tx, $m) = @_;
        my $s = $self->{secrets}{ $m->{ref} };
        $self->_say($tx, $s
            ? { t => 'secret', id => $m->{id}, ref => $m->{ref},
                version => $m->{version},
                map { $_ => $s->{$_} } qw(kind alg key_id created_ms nonce
                                          ciphertext aad_meta) }
            : { t => 'secret', id => $m->{id}, error => 'not_found' });
    };
}


# Orders

# the payload of an order, as the test wants it
sub order {
    my ($self, %with) = @_;
    my $iat = int(time * 1000);
    my $timeout = $with{timeout_s} // 60;
    return { v => 1, id => new_id(), seq => ++$self->{seq}, iat => $iat,
             exp => $iat + 1000 * $timeout, service => 'proxmox',
             action => 'start', target => {}, params => {}, secrets => [],
             timeout_s => $timeout, by => { subject => 'test', role => 'owner' },
             idem => undef, %with };
}

# the frame of a payload; key, tenant16, agent: what it is signed by and for
sub frame {
    my ($self, $order, %opt) = @_;
    my $payload = $json->encode($order);
    my $signed = "vmops-cmd-v1\0" . ($opt{tenant16} // $self->{tenant16})
        . VMOps::WSAgent::uuid_bytes($opt{agent} // $self->{agent}) . $payload;
    return { t => 'cmd', p => encode_base64url($payload), k => $self->key_id,
             s => encode_base64url(($opt{key} // $self->{key})
                                   ->sign_message($signed)) };
}

sub send_frame {
    my ($self, $frame) = @_;
    $self->wait_online;
    $self->_say($self->{online}, $frame);
    return $frame;
}

# signed control of this session: ctl('cancel', id => ...)
sub ctl {
    my ($self, $do, %with) = @_;
    my $payload = $json->encode({ v => 1, n => ++$self->{ctl_n}, do => $do,
                                  %with });
    my $signed = "vmops-ctl-v1\0" . $self->{tenant16}
        . VMOps::WSAgent::uuid_bytes($self->{agent})
        . VMOps::WSAgent::uuid_bytes($self->{session}) . $payload;
    return $self->send_frame({ t => 'ctl', p => encode_base64url($payload),
        k => $self->key_id,
        s => encode_base64url($self->{key}->sign_message($signed)) });
}

# any message to the agent
sub say {
    my ($self, $message) = @_;
    $self->wait_online;
    $self->_say($self->{online}, $message);
}

# closes the agent's connection
sub cut {
    my ($self, $code) = @_;
    $self->wait_online;
    my $tx = delete $self->{online};
    $code ? $tx->finish($code) : $tx->finish;
}

# the same without a Close: the line is gone
sub drop {
    my ($self) = @_;
    $self->wait_online;
    my $tx = delete $self->{online};
    Mojo::IOLoop->remove($tx->connection);
}

sub send_order { $_[0]->send_frame($_[0]->frame($_[1])) }

sub wait_online {
    my ($self) = @_;
    $self->until(sub { $self->{online} }, 'the agent to be ready');
}

# the next message of a type about an id, taken out of what has come
sub message {
    my ($self, $type, $id) = @_;
    my $found;
    $self->until(sub {
        my @rest;
        for my $m (@{ $self->{messages} }) {
            if (!$found && $m->{t} eq $type && ($m->{id} // '') eq $id) {
                $found = $m;
            } else {
                push @rest, $m;
            }
        }
        $self->{messages} = \@rest;
        return $found;
    }, "$type of $id");
    return $found;
}

# a result's payload; its signature has held
sub result {
    my ($self, $id) = @_;
    my $m = $self->message('result', $id);
    my $payload = decode_base64url($m->{p});
    my $key = Crypt::PK::Ed25519->new->import_key_raw($self->{ed_pk}, 'public');
    croak 'a result with a wrong signature' if !$key->verify_message(
        decode_base64url($m->{s}), "vmops-result-v1\0" . $self->{tenant16}
        . VMOps::WSAgent::uuid_bytes($self->{agent}) . $payload);
    return $json->decode($payload);
}


package VMOps::FakeServer::Client;

# The real agent, as VMOps::Agent drives it, while the server's loop goes on.

use strict;
use warnings;

use Carp qw(croak);
use File::Temp qw(tempdir);
use POSIX qw(WNOHANG);

use JSON::PP;

use VMOps::Agent;
use VMOps::Process qw(spawn);

sub new {
    my ($class, $server) = @_;
    return bless { server => $server,
                   home => tempdir('vmops-agent-XXXXXXXX', TMPDIR => 1,
                                   CLEANUP => 1) }, $class;
}

sub home   { $_[0]{home} }
sub output { "$_[0]{home}/vmops-agent.out" }

# one command to its end; what it printed as JSON
sub cli {
    my ($self, $args, $input) = @_;
    my $out = "$self->{home}/cli.out";
    unlink $out;
    my $in = '/dev/null';
    if (defined $input) {
        $in = "$self->{home}/cli.in";
        open my $fh, '>', $in or croak "$in: $!";
        chmod 0600, $in;
        print $fh $input;
        close $fh;
    }
    my $pid = spawn([VMOps::Agent::binary(), '--home', $self->{home}, '--json',
                     @$args], $out, stdin => $in);
    my $status;
    $self->{server}->until(sub {
        return 0 if waitpid($pid, WNOHANG) != $pid;
        $status = $?;
        return 1;
    }, "vmops-agent $args->[0]");
    my $text = VMOps::slurp($out);
    croak "vmops-agent $args->[0]: $text" if $status;
    return JSON::PP->new->utf8->decode($text);
}

sub pair {
    my ($self) = @_;
    return $self->cli(['pair', '--server', $self->{server}->url, '--code',
                       'ABCD-EFGH-JKMN', '--name', 'test-pc', '--yes']);
}

# A token for a hypervisor (VMOps::PVESim): the one it accepts, or another.
# No log may have it.
sub add_secret {
    my ($self, $pve, $other) = @_;
    my $secret = VMOps::canary($other ? 'another token' : 'Proxmox token', $other
        // VMOps::slurp($pve->token_secret_file) =~ s/\s+\z//r);
    return $self->cli(['secret', 'add', '--kind', 'proxmox_token', '--label',
                       'pve1', '--host', '127.0.0.1', '--port', $pve->port,
                       '--user', $pve->token_id, '--accept-shown', '--stdin'],
                      "$secret\n")->{secret_ref};
}

sub start {
    my ($self) = @_;
    $self->begin;
    $self->{server}->wait_online;
}

# the same of one that may end instead: is it there?
sub try_start {
    my ($self) = @_;
    my $server = $self->{server};
    $self->begin;
    $server->until(sub { $server->{online}
                         || waitpid($self->{pid}, WNOHANG) == $self->{pid} },
                   'the agent to be ready, or to end');
    delete $self->{pid} if !$server->{online};
    return $server->{online};
}

sub begin {
    my ($self) = @_;
    $self->{pid} = spawn([VMOps::Agent::binary(), '--home', $self->{home},
                          'run', '--foreground'], $self->output);
}

sub stop {
    my ($self, $signal) = @_;
    my $pid = delete $self->{pid} // return;
    kill $signal // 'TERM', $pid;
    $self->{server}->until(sub { waitpid($pid, WNOHANG) == $pid },
                           'the agent to stop');
    delete $self->{server}{online};
}

# waits for its end; the exit code
sub wait_exit {
    my ($self) = @_;
    my $pid = delete $self->{pid};
    my $status;
    $self->{server}->until(sub {
        return 0 if waitpid($pid, WNOHANG) != $pid;
        $status = $?;
        return 1;
    }, 'the agent to end');
    delete $self->{server}{online};
    return $status >> 8;
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    if (my $pid = $self->{pid}) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
}

1;
