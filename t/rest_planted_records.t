# Who can write to Redis cannot make itself anybody: tokens, platform tokens and
# agents that are planted, copied or edited in the store open nothing.
# tags: asan

use strict;
use warnings;

use Crypt::Checksum::CRC32 qw(crc32_data_int);
use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(encode_base64url);

use VMOps;
use VMOps::WSAgent;

my $s = VMOps->stack;
my $rest = sub { $s->rest(@_) };
my %tenant = map { $_ => $s->tenant($_) } qw(acme globex);
my %token = map { $_ => $tenant{$_}{token} } keys %tenant;

# the name under which a token stands in the store
my $pepper = VMOps::slurp($s->dir . '/keys/pepper.key');
sub lookup { encode_base64url(hmac_sha256($_[0], $pepper)) }
sub key { "tenants/{$_[0]}/tokens/" . lookup($_[1]) }

sub status_of {
    my ($token, $path) = @_;
    return $s->rest(GET => $path // '/tokens', { token => $token })->{status};
}

# once a cached record has gone
sub settles {
    my ($token, $status, $what, $path) = @_;
    my $got;
    eval {
        wait_for { ($got = status_of($token, $path)) == $status } 2.5, $what;
    };
    is $got, $status, $what;
}

is status_of($token{acme}), 200, 'the token works';
my %record = @{ $s->redis('HGETALL', key('acme', $token{acme})) };
ok $record{mac}, 'its record has a MAC';

# edited, field by field
my $made = $s->rest(POST => '/tokens', { token => $token{acme}, json => {
    name => 'ci', role => 'viewer' } })->{json};
canary('a viewer', $made->{token});
my $viewer = key('acme', $made->{token});
is status_of($made->{token}, '/vms'), 200, 'a viewer reads';
for my $edit ([role => 'owner'], [name => 'someone'],
              [subject => 'token:' . $record{token_id}],
              [expires_at => '4102444800000'],
              [token_id => $record{token_id}], [mac => ''],
              [mac => $record{mac}], [mac => 'A' x 43]) {
    my ($field, $value) = @$edit;
    my $before = $s->redis('HGET', $viewer, $field);
    $s->redis('HSET', $viewer, $field, $value);
    settles($made->{token}, 401, "an edited $field", '/vms');
    defined $before ? $s->redis('HSET', $viewer, $field, $before)
                    : $s->redis('HDEL', $viewer, $field);
    settles($made->{token}, 200, 'put back: it works again', '/vms');
}

# a whole record moved: an owner's under the viewer's name, to another tenant
$s->redis('RENAME', $viewer, "$viewer.kept");
$s->redis('COPY', key('acme', $token{acme}), $viewer);
settles($made->{token}, 401, 'an owner\'s record under a viewer\'s name', '/vms');
$s->redis('DEL', $viewer);
(my $moved = $token{acme}) =~ s/^vmo_acme_/vmo_globex_/;
is status_of($moved), 401, 'a token renamed is none (its checksum)';
my $globex = key('globex', $token{globex});
$s->redis('RENAME', $globex, "$globex.kept");
$s->redis('COPY', key('acme', $token{acme}), $globex);
settles($token{globex}, 401, 'another tenant\'s record under its name');

# made up: tokens of a right form
my @planted;
for my $n (1 .. 50) {
    my $fake = fake_token($n % 2 ? 'acme' : 'platform');
    my ($key, $role) = $n % 2
        ? (key('acme', $fake), 'owner')
        : ('platform/{p}/tokens/' . lookup($fake), 'platform_admin');
    $s->redis('HSET', $key, token_id => $record{token_id}, role => $role,
              name => 'x', created_at => 1, mac => $record{mac});
    push @planted, status_of($fake, $n % 2 ? '/vms' : '/admin/tenants');
}
is_deeply [grep { $_ != 401 } @planted], [], 'fifty planted: none works';

sub fake_token {
    my ($tenant) = @_;
    my @letters = (0 .. 9, 'A' .. 'Z', 'a' .. 'z');
    my $text = "vmo_${tenant}_" . join '', map { $letters[rand 62] } 1 .. 43;
    my $crc = crc32_data_int($text);
    my $sum = '';
    for (1 .. 6) { $sum = $letters[$crc % 62] . $sum; $crc = int($crc / 62) }
    return $text . $sum;
}

# an agent's keys
my $code = $s->rest(POST => '/agents/pairings', {
    token => $token{acme}, json => { auto_approve => JSON::PP::true } })
    ->{json}{code};
my $agent = VMOps::WSAgent->new;
$agent->pair($rest, $code);
my %beat = (version => '1.0', capabilities => [], routes => [],
            keystore => 'ok', key_id => $agent->key_id);
sub beat {
    my ($who) = @_;
    return $who->signed($rest, $s->url, '/api/v1/agents/heartbeat', \%beat)
        ->{status};
}
is beat($agent), 200, 'an agent\'s heartbeat';
my $thief = VMOps::WSAgent->new(tenant => 'acme', agent => $agent->id);
is beat($thief), 401, 'not with another\'s key';
$s->redis('HSET', 'tenants/{acme}/agents/' . $agent->id,
          ed_pk => encode_base64url($thief->{keys}{ed_pk}));
eval { wait_for { beat($agent) == 401 } 2.5, 'the edit to be seen' };
is beat($thief), 401, 'nor when its key is put into the record';
is beat($agent), 401, 'which is of no use to anybody then';

done_testing;
