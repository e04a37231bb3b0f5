package VMOps::WSAgent;

# An agent's end of the socket, made of other people's parts: frames by
# Protocol::WebSocket, signatures and hashes by CryptX, TLS by IO::Socket::SSL.
# It can behave, and it can misbehave at every step.
#
#   my $a = VMOps::WSAgent->new(port => .., tenant => 'acme');
#   $a->pair(..)  or  agent => UUID, keys => ..;
#   $a->online;                      # connect, hello, auth, welcome, ready
#   my $order = $a->cmd;             # verified; its payload decoded
#   $a->ack($order); $a->result($order, status => 'succeeded');

use strict;
use warnings;

use Carp qw(croak);
use Crypt::Digest::BLAKE2b_256 qw(blake2b_256);
use Crypt::PK::Ed25519;
use Crypt::PRNG qw(random_bytes);
use Digest::SHA qw(sha1 sha256);
use Encode qw(encode_utf8);
use IO::Socket::IP;
use IO::Socket::SSL;
use JSON::PP;
use MIME::Base64 qw(encode_base64 encode_base64url decode_base64url);
use Net::SSLeay;
use Protocol::WebSocket::Frame;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER SO_RCVBUF TCP_NODELAY);
use Time::HiRes qw(time);

use VMOps::Process qw(now run_command);

use constant {
    SECONDS     => 10,                 # any wait
    SUBPROTOCOL => 'vmops.agent.v1',
    PATH        => '/ws/v1/agents/connect',
    EXPORTER    => 'EXPORTER-Channel-Binding',    # RFC 9266
};

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# host, port, ca (a file: TLS), local (address to come from), rcvbuf; tenant, agent,
# command_pk (32 bytes), keys; trusting: no signature is verified, which is most of
# the work of a session's beginning
sub new {
    my ($class, %opt) = @_;
    my $self = bless {
        host => '127.0.0.1', epoch => 0, last_seq => 0, version => '1.0',
        platform => 'linux', cb => 'none', keys => new_keys(), %opt,
    }, $class;
    return $self;
}

sub new_keys {
    my $ed = Crypt::PK::Ed25519->new->generate_key;
    return { ed => $ed, ed_pk => $ed->export_key_raw('public'),
             x_pk => random_bytes(32), kid => random_bytes(32) };
}

sub id       { $_[0]{agent} }
sub session  { $_[0]{session} }
sub epoch    { $_[0]{epoch} }
sub key_id   { 'k1' . unpack 'H*', substr $_[0]{keys}{kid}, 0, 16 }
sub agent16  { uuid_bytes($_[0]{agent}) }

# BLAKE2b-128, which CryptX has only with a key
my %tenant16;

sub tenant16 {
    my ($self) = @_;
    return $tenant16{ $self->{tenant} } //= do {
        my $run = run_command(['b2sum', '-l', '128'],
                              stdin => "vmops/tenant/v1$self->{tenant}");
        pack 'H*', $run->{out} =~ /^([0-9a-f]{32}) / ? $1 : croak 'no b2sum';
    };
}

sub uuid_bytes { pack 'H*', $_[0] =~ s/-//gr }
sub b64u       { encode_base64url($_[0]) }

# a second one with the same identity: another process with the same profile
sub twin {
    my ($self, %opt) = @_;
    my %copy = map { $_ => $self->{$_} }
        qw(host port ca local tenant agent command_pk keys epoch last_seq cb);
    return (ref $self)->new(%copy, %opt);
}


# Pairing, through REST: $rest->(METHOD => PATH, {json => ..}) answers as
# VMOps::HTTP does

sub pair {
    my ($self, $rest, $code, %opt) = @_;
    my $keys = $self->{keys};
    my ($name, $hostname) = ($opt{name} // 'peer', $opt{hostname} // 'localhost');
    (my $plain = uc $code) =~ s/[- ]//g;
    my $signed = "vmops-register-v1\0" . blake2b_256($plain)
        . join('', @$keys{qw(ed_pk x_pk kid)})
        . join('', map { pack 'C/a', encode_utf8($_) } $self->{platform}, $name,
               $hostname);
    my $answer = $rest->(POST => '/agents/register', { json => {
        code => $code, ed25519_pk => b64u($keys->{ed_pk}),
        x25519_pk => b64u($keys->{x_pk}), kid => b64u($keys->{kid}),
        platform => $self->{platform}, name => $name, hostname => $hostname,
        version => $self->{version},
        signature => b64u($keys->{ed}->sign_message($signed)) } });
    croak "not registered: $answer->{status} $answer->{body}"
        if $answer->{status} !~ /^20[01]$/;
    my $made = $answer->{json};
    $self->{tenant} = $made->{tenant};
    $self->{agent} = $made->{agent_id};
    $self->{command_pk} = decode_base64url($made->{command_key});
    return $made;
}

# a request signed by RFC 9421, as the API asks it of agents; url: of the server;
# body: a value, or bytes as they are
sub signed {
    my ($self, $rest, $url, $path, $body) = @_;
    my $bytes = ref $body ? $json->encode($body) : $body;
    my $digest = 'sha-256=:' . encode_base64(sha256($bytes), '') . ':';
    my $params = sprintf '("@method" "@target-uri" "content-digest");created=%d;'
        . 'nonce="%s";keyid="%s/%s";alg="ed25519"', time,
        b64u(random_bytes(16)), @$self{qw(tenant agent)};
    my $base = join "\n", '"@method": POST', "\"\@target-uri\": $url$path",
        "\"content-digest\": $digest", "\"\@signature-params\": $params";
    return $rest->(POST => $path, { body => $bytes, headers => {
        'Content-Type' => 'application/json', 'Content-Digest' => $digest,
        'Signature-Input' => "sig1=$params",
        Signature => 'sig1=:' . encode_base64(
            $self->{keys}{ed}->sign_message($base), '') . ':' } });
}

# stores a ciphertext that nobody can open: its secret_ref
sub add_secret {
    my ($self, $rest, $url, $secret_id) = @_;
    my $answer = $self->signed($rest, $url, '/api/v1/secrets', {
        secret_id => $secret_id, kind => 'proxmox_token', label => 'pve',
        via => undef, alg => 'xc20p-blake2b-v1', key_id => $self->key_id,
        version => 1, created_ms => int(time * 1000),
        nonce => b64u(random_bytes(24)), ciphertext => b64u(random_bytes(272)),
        aad_meta => '{}' });
    croak "no secret: $answer->{status} $answer->{body}"
        if $answer->{status} != 201;
    return $answer->{json}{secret_ref};
}


# The handshake

sub open_socket {
    my ($self) = @_;
    $self->{in} = '';
    $self->{frame} = Protocol::WebSocket::Frame->new(
        max_payload_size => 1 << 20, max_fragments_amount => 1000);
    $self->{closed} = undef;
    $self->{skipped} = [];
    $self->{eof} = 0;
    my @local = $self->{local} ? (LocalAddr => $self->{local}) : ();
    my @buffer = $self->{rcvbuf}
        ? (Sockopts => [[SOL_SOCKET, SO_RCVBUF, $self->{rcvbuf}]]) : ();
    my $sock = IO::Socket::IP->new(PeerAddr => $self->{host},
        PeerPort => $self->{port}, Timeout => SECONDS, @local, @buffer)
        or croak "cannot connect: $@";
    setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, 1;
    if ($self->{ca}) {
        IO::Socket::SSL->start_SSL($sock, SSL_ca_file => $self->{ca},
            SSL_hostname => 'localhost', SSL_verifycn_name => 'localhost',
            SSL_alpn_protocols => ['http/1.1'], %{ $self->{ssl} // {} })
            or croak "no TLS: $SSL_ERROR";
    }
    return $self->{sock} = $sock;
}

sub host_header { $_[0]{host_header} // "$_[0]{host}:$_[0]{port}" }

# the request's text; headers: [name, value, ...] replace ours of that name
# (undef: none), more: lines added as they are
sub request {
    my ($self, %opt) = @_;
    $self->{ws_key} = encode_base64(random_bytes(16), '');
    my @ours = (Host => $self->host_header, Upgrade => 'websocket',
                Connection => 'Upgrade', 'Sec-WebSocket-Version' => 13,
                'Sec-WebSocket-Key' => $self->{ws_key},
                'Sec-WebSocket-Protocol' => SUBPROTOCOL);
    my %replaced = @{ $opt{headers} // [] };
    my $text = ($opt{method} // 'GET') . ' ' . ($opt{path} // PATH) . ' '
        . ($opt{http} // 'HTTP/1.1') . "\r\n";
    while (my ($name, $value) = splice @ours, 0, 2) {
        $value = delete $replaced{$name} if exists $replaced{$name};
        $text .= "$name: $value\r\n" if defined $value;
    }
    $text .= "$_: $replaced{$_}\r\n" for sort keys %replaced;
    return $text . ($opt{more} // '') . "\r\n";
}

# connects and sends the request (text: as it is); {status, headers, body}
sub handshake {
    my ($self, %opt) = @_;
    $self->open_socket;
    $self->write($opt{text} // $self->request(%opt));
    return $self->response(($opt{method} // '') eq 'HEAD');
}

sub response {
    my ($self, $no_body) = @_;
    $self->fill(SECONDS) while $self->{in} !~ /\r\n\r\n/ && !$self->{eof};
    croak 'no answer to the handshake' unless $self->{in} =~ s/\A(.*?)\r\n\r\n//s;
    my ($line, @lines) = split /\r\n/, $1;
    my ($status) = $line =~ m{^HTTP/1\.1 (\d+)} or croak "no answer: $line";
    my %headers;
    for (@lines) {
        my ($name, $value) = /^([^:]+): ?(.*)$/ or croak "no header: $_";
        $name = lc $name;
        $headers{$name} = exists $headers{$name} ? "$headers{$name}, $value"
                                                 : $value;
    }
    my $answer = { status => $status, headers => \%headers, line => $line };
    my $length = $headers{'content-length'};
    if ($length && !$no_body) {
        $self->fill(SECONDS) while length $self->{in} < $length && !$self->{eof};
        $answer->{body} = substr $self->{in}, 0, $length, '';
        $answer->{json} = eval { $json->decode($answer->{body}) };
    }
    return $answer;
}

sub accept_of {
    return encode_base64(
        sha1($_[0] . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'), '');
}


# From the 101 to online.  Each step croaks when it does not go well.

sub connect {
    my ($self, %opt) = @_;
    my $answer = $self->handshake(%opt);
    croak "the handshake is refused: $answer->{line}"
        if $answer->{status} != 101;
    croak 'a wrong accept'
        if $answer->{headers}{'sec-websocket-accept'}
           ne accept_of($self->{ws_key});
    my $hello = $self->receive('hello');
    $self->{s_nonce} = decode_base64url($hello->{nonce});
    return $self;
}

# the members of an auth message; over: other values, by name; also host,
# ed_pk, cb32 of the transcript
sub auth_message {
    my ($self, %over) = @_;
    $self->{c_nonce} = random_bytes(32);
    my $cb = $over{cb} // $self->{cb};
    my $cb32 = $over{cb32}
        // ($cb eq 'none' ? "\0" x 32 : $self->exporter);
    my $epoch = $over{epoch} // $self->{epoch};
    my $host = $over{host} // $self->host_header;
    $self->{T} = "vmops-ws-auth-v1\0" . ($over{s_nonce} // $self->{s_nonce})
        . $self->{c_nonce} . $self->tenant16 . $self->agent16
        . blake2b_256($over{ed_pk} // $self->{keys}{ed_pk})
        . pack('Q> C', $epoch, $cb eq 'none' ? 0 : 1) . $cb32
        . pack('C/a', $host);
    $self->{auth_sig} = $self->{keys}{ed}->sign_message($self->{T});
    return {
        t => 'auth', tenant => $self->{tenant}, agent => $self->{agent},
        nonce => b64u($self->{c_nonce}), epoch => $epoch, cb => $cb,
        version => $self->{version}, platform => $self->{platform},
        sig => b64u($self->{auth_sig}), %{ $over{members} // {} },
    };
}

sub exporter {
    my ($self) = @_;
    return Net::SSLeay::export_keying_material(
        $self->{sock}->_get_ssl_object, 32, EXPORTER);
}

sub auth_hash { blake2b_256($_[0]{T} . $_[0]{auth_sig}) }

sub auth {
    my ($self, %over) = @_;
    $self->send($self->auth_message(%over));
    return $self->welcomed;
}

# the welcome: it comes, and holds
sub welcomed {
    my ($self) = @_;
    my $m = $self->receive('welcome');
    my $signed = "vmops-ws-welcome-v1\0" . $self->auth_hash
        . uuid_bytes($m->{session}) . pack('Q> Q>', @$m{qw(epoch time)});
    croak 'the welcome is not signed by the command key'
        unless $self->{trusting} || $self->by_command_key($m->{sig}, $signed);
    $self->{session} = $m->{session};
    $self->{epoch} = $m->{epoch};
    $self->{ctl} = 0;
    return $self->{welcome} = $m;
}

sub ready {
    my ($self) = @_;
    $self->send({ t => 'ready', last_seq => $self->{last_seq} });
    return $self;
}

sub online {
    my ($self, %opt) = @_;
    $self->connect(%{ $opt{handshake} // {} });
    $self->auth(%{ $opt{auth} // {} });
    return $self->ready;
}

sub by_command_key {
    my ($self, $sig, $signed) = @_;
    my $key = Crypt::PK::Ed25519->new->import_key_raw($self->{command_pk},
                                                      'public');
    return $key->verify_message(decode_base64url($sig), $signed);
}


# Orders and what is answered

# the next command, its signature verified: {frame, payload (bytes), id, ...}
sub cmd {
    my ($self, $seconds) = @_;
    my $frame = $self->receive('cmd', $seconds);
    my $payload = decode_base64url($frame->{p});
    croak 'a command with a wrong signature'
        unless $self->by_command_key($frame->{s}, "vmops-cmd-v1\0"
            . $self->tenant16 . $self->agent16 . $payload);
    my $order = $json->decode($payload);
    $self->{last_seq} = $order->{seq};
    return { %$order, payload => $payload, frame => $frame };
}

# the next control message, likewise; before: of a session not yet welcomed
sub ctl {
    my ($self, $seconds) = @_;
    my $frame = $self->receive('ctl', $seconds);
    my $payload = decode_base64url($frame->{p});
    my $session = defined $self->{session} ? uuid_bytes($self->{session})
                                           : substr $self->auth_hash, 0, 16;
    croak 'a control message with a wrong signature'
        unless $self->by_command_key($frame->{s}, "vmops-ctl-v1\0"
            . $self->tenant16 . $self->agent16 . $session . $payload);
    my $ctl = $json->decode($payload);
    croak "counter $ctl->{n} after $self->{ctl}"
        if $ctl->{n} <= ($self->{ctl} // 0);
    $self->{ctl} = $ctl->{n};
    return $ctl;
}

sub ack {
    my ($self, $order, %opt) = @_;
    $self->send({ t => 'ack', id => $order->{id}, status => 'accepted', %opt });
}

# a signed result; over: members of the payload; frame: of the message
sub result {
    my ($self, $order, %over) = @_;
    my $frame = delete $over{frame} // {};
    my $now = int(time * 1000);
    my $payload = $json->encode({
        v => 1, id => $order->{id}, status => 'succeeded', started => $now,
        finished => $now, result => {}, error => undef,
        secrets => [map { { ref => $_->{ref}, version => $_->{version} } }
                    @{ $order->{secrets} }],
        cmd_hash => b64u(blake2b_256($order->{payload})), %over });
    my $signed = "vmops-result-v1\0" . $self->tenant16 . $self->agent16
        . $payload;
    $self->send({ t => 'result', id => $order->{id}, p => b64u($payload),
                  s => b64u($self->{keys}{ed}->sign_message($signed)),
                  %$frame });
    return $payload;
}

# takes a command and carries it out; the order
sub serve {
    my ($self, %over) = @_;
    my $order = $self->cmd;
    # in one piece: a busy machine does not come between, and makes it slow
    my $both;
    {
        local $self->{held} = '';
        $self->ack($order);
        $self->result($order, %over);
        $both = $self->{held};
    }
    $self->write($both);
    my $ok = $self->receive('result.ok');
    croak "result.ok of $ok->{id}" if $ok->{id} ne $order->{id};
    return $order;
}


# Messages and frames

sub send { $_[0]->frame($json->encode($_[1])) }

# one masked frame; type => text, binary, ping, pong, close
sub frame {
    my ($self, $bytes, %opt) = @_;
    my $frame = frame_bytes($bytes, %opt);
    return $self->{held} .= $frame if defined $self->{held};
    $self->write($frame);
}

sub frame_bytes {
    my ($bytes, %opt) = @_;
    return Protocol::WebSocket::Frame->new(
        buffer => $bytes, type => 'text', masked => 1,
        max_payload_size => 1 << 20, %opt)->to_bytes;
}

# A frame as bytes, each part as told: first (byte), length (bytes after the
# mask bit's byte), mask (4 bytes, or '' for none), payload
sub raw_frame {
    my (%opt) = @_;
    my $payload = $opt{payload} // '';
    my $n = length $payload;
    my $mask = $opt{mask} // "\1\2\3\4";
    my $length = $opt{length} // ($n < 126 ? pack 'C', $n
        : $n < 65536 ? pack 'C n', 126, $n : pack 'C Q>', 127, $n);
    substr($length, 0, 1) |= "\x80" if $mask ne '';
    my $masked = $mask eq '' ? $payload
        : $payload ^ substr $mask x ($n / 4 + 1), 0, $n;
    return pack('C', $opt{first} // 0x81) . $length . $mask . $masked;
}

# The next message of that type, as a hash; pings are answered, other messages
# kept for later calls.  croaks when the peer closes, or none comes in time.
sub receive {
    my ($self, $type, $seconds) = @_;
    my $kept = $self->{skipped};
    for my $i (0 .. $#$kept) {
        return splice @$kept, $i, 1 if $kept->[$i]{t} eq $type;
    }
    my $deadline = now + ($seconds // SECONDS);
    while (1) {
        my $m = $self->next_message($deadline - now);
        croak "no $type, but " . $self->how_it_ended unless $m;
        return $m if $m->{t} eq $type;
        push @{ $self->{skipped} }, $m;
    }
}

sub how_it_ended {
    my ($self) = @_;
    return $self->{closed} ? "close $self->{closed}{code} $self->{closed}{reason}"
        : $self->{eof} ? 'the end of the connection' : 'silence';
}

# the next message; undef at the end of the connection, after a Close, or when
# none came in time
sub next_message {
    my ($self, $seconds) = @_;
    my $bytes = $self->next_frame($seconds, 1);
    return defined $bytes ? $json->decode($bytes) : undef;
}

# the payload of the next data frame; answers pings if told to
sub next_frame {
    my ($self, $seconds, $pong) = @_;
    my $deadline = now + $seconds;
    while (1) {
        $self->{frame}->append($self->{in}) if length $self->{in};
        $self->{in} = '';
        while (defined(my $bytes = $self->{frame}->next_bytes)) {
            my $opcode = $self->{frame}->opcode;
            if ($opcode == 9) {
                push @{ $self->{pings} }, $bytes;
                $self->frame($bytes, type => 'pong') if $pong;
            } elsif ($opcode == 10) {
                push @{ $self->{pongs} }, $bytes;
            } elsif ($opcode == 8) {
                my ($code, $reason) = length $bytes
                    ? unpack 'n a*', $bytes : (1005, '');
                $self->{closed} = { code => $code, reason => $reason,
                                    at => now };
                return undef;
            } else {
                return $bytes;
            }
        }
        return undef if $self->{eof} || $self->{closed};
        my $left = $deadline - now;
        return undef if $left <= 0;
        $self->fill($left, 1);
    }
}

# waits for the Close: its code; answers it, and waits for the end of TCP
sub closed {
    my ($self, $seconds) = @_;
    my $deadline = now + ($seconds // SECONDS);
    while (!$self->{closed} && !$self->{eof}) {
        my $left = $deadline - now;
        croak 'not closed in time' if $left <= 0;
        my $m = eval { $self->next_message($left) };
        push @{ $self->{skipped} }, $m if $m;
    }
    return 'no Close' unless $self->{closed};
    eval { $self->frame(pack('n', $self->{closed}{code} == 1005 ? 1000
                             : $self->{closed}{code}), type => 'close') };
    $self->fill(1, 1) while !$self->{eof} && now < $deadline;
    croak 'the connection stays open' unless $self->{eof};
    $self->drop;
    return $self->{closed}{code};
}

# a Close of ours; the code that comes back
sub close {
    my ($self, $code) = @_;
    $self->frame(defined $code ? pack('n', $code) : '', type => 'close');
    return $self->closed;
}

# drops the connection: by FIN, or by RST
sub drop {
    my ($self, $how) = @_;
    my $sock = delete $self->{sock} or return;
    setsockopt $sock, SOL_SOCKET, SO_LINGER,
        pack 'i i', 1, 0 if ($how // '') eq 'rst';
    $sock->close(ref $sock eq 'IO::Socket::SSL' ? (SSL_fast_shutdown => 1) : ());
}


# Bytes, with deadlines

sub write {
    my ($self, $bytes) = @_;
    my $deadline = now + SECONDS;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $n = syswrite $self->{sock}, $bytes;
        if (defined $n) {
            substr $bytes, 0, $n, '';
            next;
        }
        croak "cannot write: $!" unless $!{EAGAIN} && now < $deadline;
        select undef, undef, undef, 0.01;
    }
}

# reads what is there, waiting for it at most so long
sub fill {
    my ($self, $seconds, $quiet) = @_;
    my $sock = $self->{sock};
    if (!(ref $sock eq 'IO::Socket::SSL' && $sock->pending)) {
        vec(my $bits = '', fileno $sock, 1) = 1;
        if (!select $bits, undef, undef, $seconds) {
            croak 'nothing came in time' unless $quiet;
            return;
        }
    }
    my $n = sysread $sock, $self->{in}, 65536, length $self->{in};
    return if !defined $n && $!{EAGAIN};
    $self->{eof} = 1 unless $n;
}

sub DESTROY {
    my ($self) = @_;
    local ($@, $!, $?);
    $self->drop if $self->{sock};
}

1;
