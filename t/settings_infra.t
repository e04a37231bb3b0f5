# /settings/infra: free-form settings; what is like a secret is refused by its
# pointer, never by its value, at any depth; versions; audited.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;

my $s = VMOps->stack;
my ($t, $other) = map { $s->tenant($_) } qw(acme globex);
my %token = (owner => $t->{token});
for my $role (qw(viewer operator)) {
    my $made = $s->rest(POST => '/tokens', { token => $t->{token},
        json => { name => $role, role => $role } });
    $token{$role} = canary("a $role", $made->{json}{token});
}
my $plain = canary('plain', 'a-secret-0123456789');

sub get { $s->rest(GET => '/settings/infra', { token => $_[0] // $t->{token} }) }
sub put {
    my ($what, %headers) = @_;
    return $s->rest(PUT => '/settings/infra', {
        token => $t->{token}, headers => \%headers,
        ref $what ? (json => $what) : (body => $what) });
}

my $r = get();
is "$r->{status} $r->{body} $r->{headers}{etag}", '200 {} "0"', 'none yet';

my $settings = { nodes => [{ name => 'pve1', url => 'https://pve1:8006/',
    secret_ref => 'sec_0123', key_id => 'k1', weight => 0.5 }],
    note => "\x{e9}", on => JSON::PP::true, nothing => undef, deep => [[[{}]]] };
$r = put($settings);
is "$r->{status} $r->{headers}{etag}", '200 "1"', 'are stored';
is_deeply $r->{json}, $settings, 'and answered';
is_deeply get($token{viewer})->{json}, $settings, 'a viewer reads them';
is $s->rest(PUT => '/settings/infra', { token => $token{$_}, json => {} })
    ->{status}, 403, "a $_ does not change them" for qw(viewer operator);
is get($other->{token})->{body}, '{}', 'another tenant has its own';
is get($s->platform_token)->{status}, 403, 'the platform has none';

# secrets
my @refused = (
    [{ password => $plain }, '/password'],
    [{ a => { b => [1, { tinyFmPassword => $plain }] } },
     '/a/b/1/tinyFmPassword'],
    [{ 'API Key' => [] }, '/API Key'], [{ Token => undef }, '/Token'],
    [{ x => { 'private_key/~' => JSON::PP::false } }, '/x/private_key~1~0'],
    [{ a => "PVEAPIToken=root\@pam!x=$plain" }, '/a'],
    [{ a => ['x', "postgres://u:$plain\@db"] }, '/a/1'],
    [{ a => [[["-----BEGIN PRIVATE KEY-----\n$plain"]]] }, '/a/0/0/0'],
    [{ a => { "PVEAPIToken=$plain" => 1 } }, '/a'],
    ["{\"pass\\u0077ord\":\"$plain\"}", '/password'],
    ["{\"a\":\"\\u0050VEAPIToken\\u003d$plain\"}", '/a'],
);
for (@refused) {
    my ($what, $pointer) = @$_;
    $r = put($what, ref $what ? () : ('Content-Type' => 'application/json'));
    is "$r->{status} $r->{json}{code}", '422 plaintext_secret_rejected',
        "refused: $pointer";
    is_deeply $r->{json}{errors}, [{ pointer => $pointer,
        code => 'plaintext_secret' }], 'by its pointer';
    unlike $r->{body}, qr/$plain/, 'never its value';
}
is_deeply get()->{json}, $settings, 'nothing has changed';
is scalar(grep { $_ && /$plain/ } map { ref ? @$_ : $_ }
    $s->redis('HGETALL', 'tenants/{acme}/infra_settings_public')), 0,
    'nor is any of it in the store';

# form
is put($_, 'Content-Type' => 'application/json')->{status}, 422, "no object: $_"
    for '[]', '1', '"x"', 'null';
is put('{"a":1,"a":2}', 'Content-Type' => 'application/json')->{status}, 400,
    'no JSON';
is put({})->{headers}{etag}, '"2"', 'nothing is an object';
my $large = 'x' x 65000;
is put({ a => $large })->{status}, 200, 'almost 64 KiB';
is get()->{json}{a}, $large, 'come back';
is put({ a => "${large}x" x 2 })->{status}, 413, 'more is too much';

# versions
is put({ v => 4 }, 'If-Match' => '"3"')->{status}, 200, 'the version it knows';
$r = put({ v => 5 }, 'If-Match' => '"3"');
is "$r->{status} $r->{json}{code}", '412 version_mismatch', 'an old one';
for my $tag ('3', '"x"', '""', 'W/"4"', '*', '"4", "5"') {
    $r = put({}, 'If-Match' => $tag);
    is $r->{status}, 400, "no version: $tag";
    is $r->{json}{errors}[0]{pointer}, '/if-match', 'which is said';
}
is_deeply get()->{json}, { v => 4 }, 'the fourth stays';

# audited, without their content
my $events = $s->redis('XRANGE', 'tenants/{acme}/events', '-', '+');
my @entries = grep { $_->{event} eq 'settings.changed' }
    map { my %e = @{ $_->[1] }; $e{entry} ? decode_json($e{entry}) : () }
    @$events;
is_deeply [map { $_->{version} } @entries], [1 .. 4], 'each change is audited';
like $entries[0]{actor}, qr/^token:/, 'with who made it';
is_deeply [sort keys %{ $entries[0] }], [qw(actor event version)], 'no more';

done_testing;
