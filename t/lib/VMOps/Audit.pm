package VMOps::Audit;

# The audit by an implementation of its own (docs/audit.md): what the store
# has, whether it holds, and the lines of an export to be tampered with.
#
#   my $audit = VMOps::Audit->new($s, tenant => $t);
#   $audit->wait_sealed;             # all that was written is under a seal
#   my @lines = $audit->export;      # of GET /audit/export
#   is audit_fault($audit->command_pk, 'acme', @lines), '', 'it holds';

use strict;
use warnings;

use Carp qw(croak);
use Crypt::Digest::BLAKE2b_256 qw(blake2b_256);
use Crypt::PK::Ed25519;
use Exporter 'import';
use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64url);

use VMOps ();
use VMOps::Process qw(now wait_for);
use VMOps::WSAgent;

our @EXPORT = qw(audit_link seal_bytes audit_fault line);

my $json = JSON::PP->new->canonical->utf8->allow_nonref;

sub audit_link {
    my ($previous, $n, $ms, $entry) = @_;
    utf8::encode($entry) if utf8::is_utf8($entry);
    return blake2b_256("vmops-audit-v1\0" . $previous
                       . pack('Q> Q> N', $n, $ms, length $entry) . $entry);
}

sub seal_bytes {
    my ($tenant, $seal) = @_;
    return "vmops-seal-v1\0"
        . VMOps::WSAgent::tenant16({ tenant => $tenant })
        . pack('Q> Q>', @$seal{qw(from n)}) . decode_base64url($seal->{h})
        . pack('Q>', $seal->{ms});
}

sub line { $json->encode($_[0]) }

sub signed {
    my ($pk, $tenant, $seal) = @_;
    return Crypt::PK::Ed25519->new->import_key_raw($pk, 'public')
        ->verify_message(decode_base64url($seal->{sig}),
                         seal_bytes($tenant, $seal));
}

# what is wrong with an export, in a word; "" if it holds
sub audit_fault {
    my ($pk, $tenant, @lines) = @_;
    my ($begin, @rest) = map { $json->decode($_) } @lines;
    my ($n, $sealed, $from, $h) = (0, 0, undef, "\0" x 32);
    return 'tenant' if $begin->{tenant} ne $tenant;
    if (my $start = $begin->{start}) {
        return 'start' if !signed($pk, $tenant, $start);
        ($n, $sealed, $h) = (@$start{qw(n n)}, decode_base64url($start->{h}));
    }
    my $end = pop @rest;
    for my $l (@rest) {
        if (my $seal = $l->{seal}) {
            return "signature $seal->{n}" if !signed($pk, $tenant, $seal);
            return "chain $seal->{n}" if $seal->{n} != $n
                || $seal->{from} != $from
                || decode_base64url($seal->{h}) ne $h;
            ($sealed, $from) = ($n, undef);
            next;
        }
        return "order $l->{n}" if $l->{n} <= $n || $from && $l->{n} != $n + 1;
        $n = $l->{n};
        $from //= $n;
        $h = audit_link($h, $n, $l->{ms}, $l->{entry});
        return "content $n" if encode_base64url($h) ne $l->{h};
    }
    return 'unsealed' if $from;
    return 'end' if !exists $end->{end} || $end->{end} != $n;
    return '';
}

# tenant: what VMOps->tenant answered
sub new {
    my ($class, $stack, %opt) = @_;
    return bless { stack => $stack, tenant => $opt{tenant} }, $class;
}

sub key {
    my ($self, @parts) = @_;
    return join '/', "tenants/{$self->{tenant}{tenant}}", @parts;
}

sub rest {
    my ($self, $path, %opt) = @_;
    return $self->{stack}->rest(GET => $path,
                                { token => $self->{tenant}{token}, %opt });
}

# the public half of the key in a stack's folder
sub command_pk {
    my ($self) = @_;
    my $seed = VMOps::slurp($self->{stack}->dir . '/keys/command.key');
    return Crypt::PK::Ed25519->new->import_key_raw($seed, 'private')
        ->export_key_raw('public');
}

# the last number given out, and the last one under a seal
sub numbers {
    my ($self) = @_;
    my ($last) = $self->{stack}->redis('LINDEX', $self->key('audit_seals'), -1);
    return ($self->{stack}->redis('HGET', $self->key, 'audit'),
            $last ? $json->decode($last)->{n} : 0);
}

# how long it took from a moment on until what was written then is sealed
sub wait_sealed {
    my ($self, $since, $seconds) = @_;
    $since //= now;
    my ($want) = $self->numbers;
    wait_for { ($self->numbers)[1] >= $want } $seconds // 10,
        "a seal of entry $want";
    return now - $since;
}

sub export {
    my ($self, %opt) = @_;
    my $r = $self->rest('/audit/export', %opt);
    croak "export: $r->{status} $r->{body}" if $r->{status} != 200;
    return split /\n/, $r->{body};
}

# its entries, decoded
sub entries {
    my ($self) = @_;
    return map { { n => $_->{n}, %{ JSON::PP->new->decode($_->{entry}) } } }
        grep { exists $_->{entry} } map { $json->decode($_) } $self->export;
}

1;
