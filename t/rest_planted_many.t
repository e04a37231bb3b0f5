# Tokens and sessions planted straight into the store, and roles edited there:
# of so many none is accepted.  The same ones are accepted as soon as the MAC is
# of nginx' own key, or the edit is taken back.

use strict;
use warnings;

use Crypt::Checksum::CRC32 qw(crc32_data_int);
use Crypt::Mac::BLAKE2b qw(blake2b);
use Crypt::PRNG qw(random_bytes);
use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(encode_base64url);

use VMOps;

my $N = rounds(ci => 60, full => 1000);     # of each kind
my $s = VMOps->stack(workers => 2);
my %token = map { $_ => $s->tenant($_)->{token} } qw(acme globex);
my $pepper = VMOps::slurp($s->dir . '/keys/pepper.key');
my $real = VMOps::slurp($s->dir . '/keys/mac.key');
my $guess = random_bytes(32);
my @letters = (0 .. 9, 'A' .. 'Z', 'a' .. 'z');
srand 4;

my %FIELDS = (tokens => [qw(token_id role name expires_at subject)],
              sessions => [qw(subject role expires_at csrf)]);
my %TYPE = (tokens => 'token', sessions => 'session');

# the record's MAC under some key (docs/principals.md)
sub mac {
    my ($with, $kind, $key, $record) = @_;
    my @values = map { $_ // '' } @$record{ @{ $FIELDS{$kind} } };
    return encode_base64url(blake2b(32, $with, "vmops-record-v1\0"
        . pack('C/a N/a C', $TYPE{$kind}, $key, scalar @values)
        . join '', map { pack 'N/a', $_ } @values));
}

sub secret { join '', map { $letters[rand 62] } 1 .. 43 }

# what a client would show, of somebody who was never there
sub made_up {
    my ($kind) = @_;
    return 'acme.' . secret() if $kind eq 'sessions';
    my $text = 'vmo_acme_' . secret();
    my ($crc, $sum) = (crc32_data_int($text), '');
    for (1 .. 6) { $sum = $letters[$crc % 62] . $sum; $crc = int($crc / 62) }
    return $text . $sum;
}

sub key_of {
    my ($kind, $shown) = @_;
    return "tenants/{acme}/$kind/" . encode_base64url(hmac_sha256($shown, $pepper));
}

sub status_of {
    my ($kind, $shown) = @_;
    return $s->rest(GET => '/session', $kind eq 'tokens'
        ? { token => $shown } : { headers => { Cookie => "vmops=$shown" } })
        ->{status};
}

sub fresh {    # how many requests a minute has is another test's
    my @keys = @{ $s->redis('KEYS', 'tenants/{*}/rate/*') };
    $s->redis('DEL', @keys) if @keys;
}

sub new_token {
    my ($role) = @_;
    my $r = $s->rest(POST => '/tokens', { token => $token{acme}, json => {
        name => 'n', role => $role } });
    die "no token: $r->{status} $r->{body}\n" if $r->{status} != 201;
    return $r->{json};
}

sub sign_in {
    my ($with) = @_;
    my $r = $s->rest(POST => '/session', { json => { token => $with } });
    return ($r->{headers}{'set-cookie'} // '') =~ /=([^;]+)/ ? $1
        : die "no session: $r->{status} $r->{body}\n";
}

# real ones, to be copied from
my %shown = (tokens => $token{acme}, sessions => sign_in($token{acme}));
my %have = map { $_ => { @{ $s->redis('HGETALL', key_of($_, $shown{$_})) } } }
    keys %shown;
my %foreign = (
    tokens => { @{ $s->redis('HGETALL', key_of(tokens => $token{globex})
                             =~ s/acme/globex/r) } },
    sessions => $have{sessions});
my @roles = qw(viewer operator owner);

# planted: by the n-th way of whoever can write to the store
sub planted {
    my ($kind, $key, $n) = @_;
    my %record = (%{ $have{$kind} }, role => $roles[$n % 3]);
    my $way = int($n / 3) % 5;
    return { %record, mac => mac($guess, $kind, $key, \%record) } if $way == 0;
    return { %{ $have{$kind} } } if $way == 1;
    return { %{ $foreign{$kind} } } if $way == 2;
    delete $record{mac} if $way == 3;
    $record{mac} = encode_base64url(random_bytes(32)) if $way == 4;
    return \%record;
}

for my $kind (qw(tokens sessions)) {
    my ($accepted, $controls, $asked) = (0, 0, 0);
    for my $n (1 .. $N) {
        fresh() if $n % 200 == 0;
        my $shown = made_up($kind);
        my $key = key_of($kind, $shown);
        my $record = planted($kind, $key, $n);
        $s->redis('HSET', $key, %$record);
        $accepted++ if status_of($kind, $shown) != 401;
        next if $n % 10;
        # a record that nginx itself could have written
        $asked++;
        $s->redis('HSET', $key, mac => mac($real, $kind, $key, $record));
        $controls++ if status_of($kind, $shown) == 200;
        $s->redis('DEL', $key);
    }
    is $accepted, 0, "$kind planted: 0 of $N accepted";
    is $controls, $asked, "under nginx' own key: $controls of $asked";
}

# edits of what is real, each of one that no worker has seen before
my %edit = (
    tokens => sub {
        my ($n) = @_;
        return (role => $n % 2 ? 'owner' : 'operator') if $n % 5;
        return (role => 'owner', token_id => $have{tokens}{token_id},
                name => $have{tokens}{name}, mac => $have{tokens}{mac});
    },
    sessions => sub {
        my ($n) = @_;
        return (role => $n % 2 ? 'owner' : 'operator') if $n % 5;
        return map { $_ => $have{sessions}{$_} } qw(subject role csrf expires_at mac);
    },
);
for my $kind (qw(tokens sessions)) {
    my ($accepted, $controls, $viewer) = (0, 0);
    for my $n (1 .. $N) {
        fresh() if $n % 100 == 0;
        if (!$viewer || $kind eq 'tokens' || $n % 90 == 0) {
            $s->rest(DELETE => "/tokens/$viewer->{token_id}",
                     { token => $token{acme} }) if $viewer;
            $viewer = new_token('viewer');
        }
        my $shown = $kind eq 'tokens' ? $viewer->{token} : sign_in($viewer->{token});
        my $key = key_of($kind, $shown);
        my %edit = $edit{$kind}->($n);
        my %before = @{ $s->redis('HGETALL', $key) };
        $s->redis('HSET', $key, %edit);
        $accepted++ if status_of($kind, $shown) != 401;
        $s->redis('HSET', $key, map { $_ => $before{$_} } keys %edit);
        $controls++ if status_of($kind, $shown) == 200;
    }
    is $accepted, 0, "roles of $kind edited: 0 of $N accepted";
    is $controls, $N, "taken back: $controls of $N";
}

done_testing;
