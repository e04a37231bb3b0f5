package PVE::Sim::Refusal;

# An answer that is not 200, thrown as an exception.  Proxmox VE has three
# forms of it: JSON with a message (and perhaps errors by parameter), the bare
# status line of the authentication handler, and plain text for requests that
# the HTTP server itself does not take.

use Mojo::Base -base, -signatures;

use Exporter 'import';

our @EXPORT_OK = qw(refuse refuse_login refuse_parameters refuse_permission
    refuse_transport);

# form: json, bare or text; eol ends the JSON message
has [qw(code text errors)];
has eol  => "\n";
has form => 'json';

sub refuse ($code, $text, %more) {
    die __PACKAGE__->new(code => $code, text => $text, %more);
}

sub refuse_login ($text) {
    refuse(401, $text, form => 'bare');
}

sub refuse_parameters ($errors) {
    refuse(400, 'Parameter verification failed.', errors => $errors);
}

sub refuse_permission ($what = undef) {
    refuse(403,
        'Permission check failed' . (defined $what ? " ($what)" : ''));
}

sub refuse_transport ($code, $text) {
    refuse($code, $text, form => 'text');
}

# What a "die" of a handler means: any text that is no refusal is a 500.
sub from ($class, $error) {
    return $error if ref $error && $error->isa($class);
    chomp $error;
    return $class->new(code => 500, text => $error);
}

# A status line holds one line only.
sub reason ($self) {
    return (split /\n/, $self->text, 2)[0];
}

1;
