package PVE::Sim::Certificate;

# A private certificate authority and the node's certificate, made by openssl.
# renew() gives the node a new key, as "pvecm updatecerts --force" does.

use Mojo::Base -base, -signatures;

use Digest::SHA          qw(sha256 sha256_hex);
use IO::Socket::SSL::Utils qw(CERT_asHash CERT_free PEM_file2cert);
use MIME::Base64         qw(decode_base64 encode_base64);
use Mojo::File           qw(path);

use PVE::Sim::Output qw(write_file);

use constant DAYS => 730;

has 'dir';
has ca_file   => sub ($self) { $self->dir . '/pve-root-ca.pem' };
has ca_key    => sub ($self) { $self->dir . '/pve-root-ca.key' };
has cert_file => sub ($self) { $self->dir . '/pve-ssl.pem' };
has key_file  => sub ($self) { $self->dir . '/pve-ssl.key' };

sub _openssl ($self, @args) {
    my $log = $self->dir . '/openssl.log';
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', $log;
        open STDERR, '>&', \*STDOUT;
        exec 'openssl', @args or exit 127;
    }
    waitpid $pid, 0;
    die "openssl $args[0] failed, see $log\n" if $?;
}

sub _new_key ($self, $file) {
    $self->_openssl(qw(genpkey -algorithm EC -pkeyopt
        ec_paramgen_curve:prime256v1 -out), $file);
}

sub ensure ($self) {
    return $self if -e $self->cert_file;
    $self->_new_key($self->ca_key);
    $self->_openssl(
        qw(req -x509 -new -sha256 -days), DAYS,
        '-key', $self->ca_key, '-out', $self->ca_file,
        '-subj', '/CN=Proxmox Virtual Environment/O=PVE Cluster Manager CA'
    );
    return $self->renew;
}

# The files change under their final names only when both are there: every
# new connection reads them.
sub renew ($self) {
    my $dir     = $self->dir;
    my ($key, $csr, $crt, $ext) = map {"$dir/new.$_"} qw(key csr crt ext);

    write_file($ext, "basicConstraints=CA:FALSE\n"
            . "extendedKeyUsage=serverAuth\n"
            . "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    $self->_new_key($key);
    $self->_openssl(qw(req -new -sha256 -key), $key, '-out', $csr,
        '-subj', '/OU=PVE Cluster Node/CN=localhost');
    $self->_openssl(
        qw(x509 -req -sha256 -days), DAYS, '-in', $csr,
        '-CA', $self->ca_file, '-CAkey', $self->ca_key,
        '-set_serial', '0x' . unpack('H*', pack 'N2', 1 + int rand 2**30, time),
        '-extfile', $ext, '-out', $crt
    );
    rename $key, $self->key_file  or die "$key: $!\n";
    rename $crt, $self->cert_file or die "$crt: $!\n";
    unlink $csr, $ext;
    return $self;
}

sub _der ($pem) {
    my ($base64) = $pem =~ /-----BEGIN [^-]+-----\n(.*?)-----END/s;
    return decode_base64($base64);
}

sub _fingerprint ($file) {
    return join ':',
        unpack '(A2)*', uc sha256_hex(_der(path($file)->slurp));
}

sub fingerprint ($self) { _fingerprint($self->cert_file) }

# SHA-256 of the SubjectPublicKeyInfo (RFC 7469, section 2.4).
sub spki ($self) {
    my $file = $self->dir . '/pve-ssl.pub';
    $self->_openssl(qw(x509 -noout -pubkey -in),
        $self->cert_file, '-out', $file);
    return 'sha256//' . encode_base64(sha256(_der(path($file)->slurp)), '');
}

sub _info ($file) {
    my $cert = PEM_file2cert($file);
    my $hash = CERT_asHash($cert);
    CERT_free($cert);

    my $name = sub ($parts) {
        join '', map {"/$_=$parts->{$_}"} sort keys %$parts;
    };
    return {
        filename    => path($file)->basename,
        fingerprint => _fingerprint($file),
        subject     => $name->($hash->{subject}),
        issuer      => $name->($hash->{issuer}),
        notbefore   => $hash->{not_before} + 0,
        notafter    => $hash->{not_after} + 0,
        pem         => path($file)->slurp,
        san => [map { $_->[1] } @{$hash->{subjectAltNames} // []}],
        'public-key-type' => 'id-ecPublicKey',
        'public-key-bits' => 256,
    };
}

sub info ($self) {
    return [map { _info($_) } $self->ca_file, $self->cert_file];
}

1;
