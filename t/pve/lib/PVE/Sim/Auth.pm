package PVE::Sim::Auth;

# Who is asking: password tickets with their CSRF token, and API tokens.

use Mojo::Base -base, -signatures;

use Digest::SHA  qw(hmac_sha256_base64 hmac_sha512);
use MIME::Base64 qw(encode_base64);
use Mojo::Util   qw(secure_compare url_unescape);

use PVE::Sim::Refusal qw(refuse refuse_login refuse_permission);

use constant {
    TICKET_LIFETIME => 7200,
    TICKET_EARLY    => 300,

    # a real ticket ends in an RSA-4096 signature: as long as this one
    SIGNATURE_BLOCKS => 8,
};

has sim => undef, weak => 1;

# requests that need no credentials at all
my %PUBLIC = ('POST /access/ticket' => 1, 'GET /access/ticket' => 1);

sub _signature ($self, $text) {
    my $key = $self->sim->data->{ticket_key};
    return encode_base64(
        join('', map { hmac_sha512("$_:$text", $key) } 1 .. SIGNATURE_BLOCKS),
        '');
}

sub now ($self) {
    return time + $self->sim->data->{ticket_age};
}

sub make_ticket ($self, $user) {
    my $text = sprintf 'PVE:%s:%08X', $user, $self->now;
    return "${text}::" . $self->_signature($text);
}

sub make_csrf ($self, $user) {
    my $time = sprintf '%08X', $self->now;
    return "$time:" . $self->_csrf_digest($time, $user);
}

sub _csrf_digest ($self, $time, $user) {
    return hmac_sha256_base64("csrf:$time:$user",
        $self->sim->data->{ticket_key});
}

sub _fresh ($self, $hex) {
    my $age = $self->now - hex $hex;
    return $age > -TICKET_EARLY() && $age < TICKET_LIFETIME;
}

# The user of a valid ticket, else undef.
sub verify_ticket ($self, $ticket) {
    my ($text, $user, $time, $signature) =
        $ticket =~ /\A(PVE:([^\s:]+):([0-9A-F]{8}))::([A-Za-z0-9+\/=]+)\z/
        or return;
    return if !secure_compare($signature, $self->_signature($text));
    return if !$self->_fresh($time);
    return $self->sim->data->{users}{$user} ? $user : undef;
}

sub _verify_csrf ($self, $user, $token) {
    my ($time, $digest) = ($token // '') =~ /\A([0-9A-F]{8}):(\S+)\z/
        or return 0;
    return secure_compare($digest, $self->_csrf_digest($time, $user))
        && $self->_fresh($time);
}

sub _verify_token ($self, $header) {
    my ($id, $secret) = $header =~ /\A([^\s=]+)=(\S+)\z/ or return;
    my $token = $self->sim->data->{tokens}{$id} or return;
    return if $token->{expire} && $token->{expire} <= time;
    return secure_compare($secret, $token->{secret}) ? $id : undef;
}

# The caller's identity ('u@r' or 'u@r!token', undef for a public call) and
# how it was shown; refuses with 401.
sub authenticate ($self, $method, $path, $headers) {
    my ($token) = ($headers->authorization // '') =~ /\APVEAPIToken[\s=](.*)/;

    if ($PUBLIC{"$method $path"}) {
        refuse_permission() if defined $token;
        return (undef, 'none');
    }
    if (defined $token) {
        my $id = $self->_verify_token($token)
            // refuse_login('Authentication failed!');
        return ($id, 'token');
    }

    my ($cookie) =
        ($headers->cookie // '') =~ /(?:\A|\s|;)PVEAuthCookie=([^;]*)/;
    refuse_login('No ticket') if !length($cookie // '');

    my $user = $self->verify_ticket(url_unescape($cookie))
        // refuse_login('permission denied - invalid PVE ticket');
    refuse_login('Permission denied - invalid csrf token')
        if $method ne 'GET'
        && !$self->_verify_csrf($user, $headers->header('CSRFPreventionToken'));
    return ($user, 'ticket');
}

# POST /access/ticket: the password may be a valid ticket of the same user.
sub login ($self, $p) {
    my $name = $p->{username};
    $name .= "\@$p->{realm}" if defined $p->{realm} && $name !~ /\@/;

    my $user  = $self->sim->data->{users}{$name};
    my $right = $user && ($user->{enable} // 1) && (
        secure_compare($p->{password}, $user->{password})
        || ($self->verify_ticket($p->{password}) // '') eq $name);
    refuse(401, 'authentication failure') if !$right;

    return {
        username            => $name,
        ticket              => $self->make_ticket($name),
        CSRFPreventionToken => $self->make_csrf($name),
        cap                 => $self->sim->access->capabilities($name),
    };
}

1;
