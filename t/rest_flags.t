# Feature flags: a tenant's own beats its cohort's beats the global one, on every
# worker of every node within two seconds; what is switched off is 501.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2, nodes => 2);
my ($on, $off) = (JSON::PP::true, JSON::PP::false);
my $t = VMOps::Rest->new($s);              # its cohort: internal
my $other = $s->tenant('globex');
$s->rest(PATCH => '/admin/tenants/globex', {
    token => $s->platform_token, json => { cohort => 'production' } });

my $changed;

sub set_flags {
    my ($path, %flags) = @_;
    my $r = $s->rest(PUT => "/admin/$path", { token => $s->platform_token,
                                              json => \%flags });
    $changed = now;
    is $r->{status}, 200, "$path: " . join ' ', map {
        "$_ " . ($flags{$_} // 'inherited') } keys %flags;
}

# of every worker, and in less than the time that is promised
sub everywhere {
    my ($want, $what, $ask) = @_;
    fresh();
    holds_within(2, $what, sub {
        $ask->(node => 1 + $_[0] % 2, headers => { Connection => 'close' })
            == $want;
    }, 24);
}

# reads of secrets: of the tenant in question, and of another
sub secrets_of {
    my ($token) = @_;
    return sub { $s->rest(GET => '/secrets', { token => $token, @_ })->{status} };
}
my ($mine, $theirs) = map { secrets_of($_) } $t->token, $other->{token};

# how many requests a minute has is not what this is about
sub fresh {
    my @keys = map { @{ $s->redis('KEYS', "tenants/{$_}/rate/*") } } qw(acme globex);
    $s->redis('DEL', @keys) if @keys;
}

my $flag = 'SECRETS_E2E_ENABLED';
everywhere(200, 'on when nobody says anything', $mine);
set_flags('flags', $flag => $off);
everywhere(501, 'off for all', $_) for $mine, $theirs;
set_flags('flags/internal', $flag => $on);
everywhere(200, 'on for a cohort', $mine);
is $theirs->(), 501, 'and for no other';
set_flags('tenants/acme/flags', $flag => $off);
everywhere(501, 'off for a tenant', $mine);
set_flags('tenants/globex/flags', $flag => $on);
everywhere(200, 'on for another', $theirs);

# what it switches off: every call about secrets, for whomever
my %call = (
    'GET /secrets' => [], "GET /secrets/$t->{secret}/meta" => [],
    "DELETE /secrets/$t->{secret}" => [],
    "POST /secrets/$t->{secret}/rotate" => [],
    "GET /secrets/bindings/vm/$t->{vm}/proxmox" => [],
    "PUT /secrets/bindings/vm/$t->{vm}/proxmox" =>
        [json => { secret_ref => $t->secret }],
    "DELETE /secrets/bindings/vm/$t->{vm}/proxmox" => [],
);
# whichever worker is asked, also one that nobody has asked until now
wait_for { now - $changed > 2 } 5, 'the time in which a flag is effective';
for my $call (sort keys %call) {
    my $r = $t->rest(split(/ /, $call), { @{ $call{$call} } });
    is "$r->{status} $r->{json}{code}", '501 feature_disabled', $call;
}
my $r = $t->agent->signed(sub { $s->rest(@_) }, $s->url, '/api/v1/secrets', {});
is $r->{status}, 422, 'an agent: the form comes first';
my $added = eval { $t->agent->add_secret(sub { $s->rest(@_) }, $s->url,
    '01890000-0000-7000-8000-0000000000ff'); 1 } ? 'added' : $@;
like $added, qr/501/, 'an agent uploads none';
is $s->rest(GET => '/secrets')->{status}, 401, 'who it is comes first';
my $viewer = $t->new_token('viewer');
is $t->rest(DELETE => "/secrets/$t->{secret}", { token => $viewer->{token} })
    ->{status}, 403, 'so does whether one may';
is $t->rest(GET => '/vms')->{status}, 200, 'nothing else is';
my $id = $t->start->{command_id};
is $t->agent->serve->{id}, $id, 'commands use the secrets there are';

# taken back, from the tenant down
set_flags('tenants/acme/flags', $flag => undef);
everywhere(200, 'the cohort counts again', $mine);
set_flags('flags/internal', $flag => undef);
everywhere(501, 'then the global one', $mine);
set_flags('flags', $flag => undef);
everywhere(200, 'then nobody says anything', $mine);

# a tenant that is moved to another cohort
set_flags('flags/beta', $flag => $off);
$s->rest(PATCH => '/admin/tenants/acme', { token => $s->platform_token,
                                           json => { cohort => 'beta' } });
everywhere(501, 'a tenant that is moved gets the flags of its new cohort', $mine);
is $theirs->(), 200, 'another does not';

# the session says what is on, as it is now
my $session = sub {
    return $s->rest(GET => '/session', { token => $t->token, @_ })
        ->{json}{flags}{$flag} ? 1 : 0;
};
is $session->(), 0, 'the session shows it';
set_flags('tenants/acme/flags', $flag => $on);
everywhere(1, 'the session shows what is new', $session);

# the command bus, by the same rules: inside the function that decides
$flag = 'AGENT_COMMAND_BUS_ENABLED';
my $submit = sub {
    return $s->rest(POST => '/vm-ops/proxmox/start', { token => $t->token, @_,
        json => { vm_uuid => '01890000-0000-7000-8000-000000000000' } })
        ->{status};
};
everywhere(404, 'the bus is on', $submit);
set_flags('flags/beta', $flag => $off);
everywhere(501, 'off for its cohort', $submit);
set_flags('tenants/acme/flags', $flag => $on);
everywhere(404, 'on for itself', $submit);

done_testing;
