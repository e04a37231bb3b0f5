# Every operation of the API document answers with every status and every
# problem code that the document gives it, and with no other one; every answer
# has its schema.
#
# What follows from a call's form (its principal, body, path, parameters) is
# asked of every call alike; %answer and %refusal have what is its own, by
# operationId.
# tags: asan

use strict;
use warnings;

use IO::Socket::INET;
use JSON::PP;

use VMOps;
use VMOps::OpenAPI;
use VMOps::Rest;
use VMOps::WSAgent;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

my $s = VMOps->stack;
$s->add_http_conf("vmops_request_rate 100000;\nvmops_command_rate 100000;\n");
my $t = VMOps::Rest->new($s);
my $api = VMOps::OpenAPI->new($s);
my %calls = %{ $api->calls };
my ($agent, $vm, $secret) = ($t->agent, $t->vm, $t->secret);


# Fixtures

my $ids = 0;
sub new_id { sprintf '01890000-0000-7000-8002-%012x', ++$ids }

my $UNKNOWN = '01890000-0000-7000-8003-000000000000';
my $viewer = $t->new_token('viewer');
my %token = (
    owner => $t->token, viewer => $viewer->{token},
    operator => $t->new_token('operator')->{token},
    platform_admin => $s->platform_token,
);
my %below = (viewer => 'platform_admin', operator => 'viewer',
             owner => 'operator', platform_admin => 'owner', agent => 'owner');

sub pairing { $t->made(POST => '/agents/pairings', { @_ }) }

sub paired {
    my (%opt) = @_;
    my $new = VMOps::WSAgent->new;
    $new->pair(sub { $s->rest(@_) }, pairing(%opt)->{code},
               hostname => 'my host.');
    return $new;
}

my $pending = paired();
my $offline = paired(auto_approve => $true);
my $off_secret = $offline->add_secret(sub { $s->rest(@_) }, $s->url, new_id());
my $fingerprint = $t->made(GET => '/agents/' . $pending->id)->{fingerprint};

# a tenant whose license has ended
my $expired = $s->tenant('expired');
my $expired_pairing = $s->rest(POST => '/agents/pairings', {
    token => $expired->{token} })->{json};
$s->rest(PUT => '/admin/tenants/expired/license', {
    token => $s->platform_token, json => {
        plan => 'x', max_agents => 1, max_vms => 1, grace_s => 0,
        expires_at => '2020-01-01T00:00:00Z' } });

sub vm_body { return { name => 'db', agent_id => $agent->id, guest => 'lxc',
                       node => 'pve1', vmid => 101, @_ } }
sub new_vm  { $t->made(POST => '/vms', vm_body(@_))->{vm_uuid} }

sub sealed {
    my (%over) = @_;
    return { alg => 'xc20p-blake2b-v1', key_id => $agent->key_id,
             created_ms => 1760000000000, nonce => 'A' x 32,
             ciphertext => 'A' x 363, aad_meta => '{}', version => 2, %over };
}
sub secret_body {
    return sealed(secret_id => new_id(), kind => 'proxmox_token',
                  label => 'pve', version => 1, @_);
}
sub uuid_of {
    return join '-', $_[0] =~ /^sec_(.{8})(.{4})(.{4})(.{4})(.{12})$/;
}
sub new_secret {
    return $agent->add_secret(sub { $s->rest(@_) }, $s->url, new_id());
}
my $rotated = new_secret();

# one that has made a secret and was paired again, and nobody approved that
my $again = paired(auto_approve => $true);
my $again_secret = $again->add_secret(sub { $s->rest(@_) }, $s->url, new_id());
$again->pair(sub { $s->rest(@_) }, pairing(agent_id => $again->id)->{code});

# a command that has ended, one that has not
sub command {
    my ($how) = @_;
    my $id = $t->start->{command_id};
    $how eq 'ended' ? $agent->serve : $agent->ack($agent->cmd);
    return $id;
}
my $ended = command('ended');


# Requests.  path: {captures}; query, json, body (bytes), headers; as: a role,
# 'nobody', or a WSAgent that signs; from: an address.

my %segments = (
    tenant => 'acme', cohort => 'beta', scope => 'vm', scope_id => $vm,
    family => 'proxmox', secret => $secret,
);
my %uuid = (
    # refused with 500 or 503, a revocation is made all the same 3 s later
    tokens => $t->new_token('viewer')->{token_id}, agents => $agent->id, vms => $vm,
    pairings => pairing()->{pairing_id}, commands => $ended,
);
my %nothing = (
    tenant => 'nobody', cohort => 'gamma', scope => 'vm', family => 'ssh',
    scope_id => $UNKNOWN, secret => 'sec_' . 'f' x 32, uuid => $UNKNOWN,
);

sub path_of {
    my ($call, %over) = @_;
    my $before = '';
    return join '/', map {
        my ($name) = /^\{(\w+)\}$/;
        my $segment = !$name ? $_ : $over{$name} // $segments{$name}
            // $uuid{$before};
        die "$call->{id}: nothing stands for {$name}\n" if !defined $segment;
        $before = $_;
        $segment;
    } split m{/}, $call->{url}, -1;
}

sub ask {
    my ($call, %req) = @_;
    my $path = path_of($call, %{ $req{path} // {} }) . ($req{query} // '');
    my $as = $req{as} // ($call->{roles}[0] // 'nobody');
    my %headers = %{ $req{headers} // {} };
    return from_elsewhere($call, $path) if $req{from};

    if ($as eq 'agent' || ref $as) {
        my $who = ref $as ? $as : $agent;
        return $who->signed(sub {
            my ($method, $to, $opt) = @_;
            $opt->{headers} = { %{ $opt->{headers} }, %headers };
            $opt->{said} = $req{json};
            return $s->rest($method, $to, $opt);
        }, $s->url, $path, $req{json} // $req{body} // '');
    }
    $headers{'Content-Type'} //= 'application/json' if defined $req{body};
    return $s->rest($call->{method}, $path, {
        ($token{$as} ? (token => $token{$as}) : ()), headers => \%headers,
        map { exists $req{$_} ? ($_ => $req{$_}) : () } qw(json body) });
}

# another address than those that may see it
sub from_elsewhere {
    my ($call, $path) = @_;
    my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1', Timeout => 5,
        PeerPort => $s->port, LocalAddr => '127.0.0.2') or die "connect: $@";
    return raw($call, $sock, $path, until => qr/(?!)/);
}

# an answer read from a socket as far as needed: streams do not end
sub raw {
    my ($call, $sock, $path, %opt) = @_;
    my $request = bless { sock => $sock, in => '', started => 0 },
        'VMOps::Rest::Request';
    print {$sock} "$call->{method} $path HTTP/1.1\r\nHost: localhost\r\n"
        . ($opt{token} ? "Authorization: Bearer $opt{token}\r\n" : '')
        . "Connection: close\r\n\r\n";
    $sock->flush;
    my ($head, $body) = split /\r\n\r\n/, $request->until_like($opt{until}), 2;
    my ($status, @lines) = split /\r\n/, $head;
    my $answer = {
        status => $status =~ /^HTTP\/1.1 (\d+)/ ? $1 : 0,
        headers => { map { /^([^:]+): (.*)$/ ? (lc $1, $2) : () } @lines },
        json => scalar eval { $json->decode($body) },
    };
    $api->note($call, $answer);
    return $answer;
}

sub stream {
    my ($call) = @_;
    raw($call, $s->socket, path_of($call), token => $t->token,
        until => qr/\r\n\r\n/);
    return;
}


# What a call is asked that has nothing of its own to be asked

my %base = (
    tenant_create => { json => { tenant => 'acme' } },
    tenant_patch => { json => { name => 'Acme' } },
    license_put => { json => { plan => 'test', max_agents => 100,
        max_vms => 100, grace_s => 0, expires_at => '2099-01-01T00:00:00Z' } },
    settings_put => { json => { region => 'eu' } },
    tenant_flags_put => { json => { INFRA_LEGACY_ADMIN_ONLY => $true } },
    flags_put => { json => { INFRA_LEGACY_ADMIN_ONLY => undef } },
    flags_put_cohort => { json => { INFRA_LEGACY_ADMIN_ONLY => undef } },
    token_create => { json => { name => 'x', role => 'viewer' } },
    tenant_delete => { path => { tenant => 'doomed' } },
    session_create => { json => { token => $t->token } },
    register => { json => {
        code => 'AAAA-AAAA-AAAA', ed25519_pk => 'A' x 43,
        x25519_pk => 'A' x 43, kid => 'A' x 43, platform => 'linux',
        name => 'x', hostname => 'my host.', version => '1',
        signature => 'A' x 86 } },
    heartbeat => { json => {
        version => '1.0', capabilities => ['proxmox'], routes => [],
        keystore => 'ok', key_id => $agent->key_id } },
    agent_patch => { json => { name => 'pc' } },
    agent_revoke => { path => { uuid => paired()->id } },
    agent_approve => { path => { uuid => $pending->id },
                       json => { fingerprint => $fingerprint } },
    vm_create => { json => vm_body() },
    vm_patch => { json => { name => 'web2' } },
    secret_add => { json => secret_body() },
    secret_rotate => { json => sealed(), headers => { 'If-Match' => '"1"' } },
    binding_put => { json => { secret_ref => $secret } },
);

# an action's own: by what its target is
my %target = (
    vm_uuid => { given => $vm,
        unreachable => sub { new_vm(agent_id => undef, vmid => 102) } },
    secret_ref => { given => $secret, unreachable => sub { $off_secret } },
    command_id => { given => $ended, unreachable => sub { $ended } },
);
my @submits = grep { $calls{$_}{path} =~ m{^/vm-ops/(?!commands)[^/]+/[^/]+$} }
    keys %calls;
for my $id (@submits) {
    my ($kind) = grep { $target{$_} }
        @{ $calls{$id}{body}{content}{'application/json'}{schema}{required} };
    $base{$id} = { target => $kind, json => { $kind => $target{$kind}{given} } };
}

# What is a call's own, by its statuses: the request beside its base; or
# nothing, when it has asked by itself

my %answer = (
    tenant_create => {
        201 => sub { { json => { tenant => 'tenant-' . ++$ids } } },
        409 => sub { {} },
    },
    settings_put => {
        412 => sub { { headers => { 'If-Match' => '"7"' } } },
        422 => sub { { json => { password => 'x' } } },
    },
    token_create => { 409 => sub { too_many_tokens(); {} } },
    tenant_delete => {
        202 => sub {
            my $name = 'doomed-' . ++$ids;
            $s->tenant($name);
            return path(tenant => $name);
        },
    },
    session_create => {
        401 => sub { { json => { token => 'vmo_acme_x' } } },
        403 => sub { { json => { token => $s->platform_token } } },
    },
    session_delete => {
        204 => sub { as_console() },
        404 => sub { {} },
    },
    token_delete => {
        204 => sub { path(uuid => $t->new_token('viewer')->{token_id}) } },
    pairing_create => {
        402 => sub { { as => 'expired' } },
        404 => sub { { json => { agent_id => $UNKNOWN } } } },
    pairing_delete => {
        204 => sub { path(uuid => pairing()->{pairing_id}) } },
    register => {
        201 => sub { registers(pairing()->{code}) },
        402 => sub { registers($expired_pairing->{code}) },
        403 => sub { {} },
        409 => sub {
            my $gone = paired();
            my $again = pairing(agent_id => $gone->id);
            $s->redis(DEL => 'tenants/{acme}/agents/' . $gone->id);
            return registers($again->{code});
        },
    },
    agent_approve => {
        200 => sub { {} },
        409 => sub { meanwhile_changed(); path(uuid => paired()->id,
            sub { { fingerprint => $t->made(GET => "/agents/$_[0]")
                    ->{fingerprint} } }) },
        412 => sub { { json => { fingerprint => 'other' } } },
    },
    agent_revoke => {
        200 => sub { path(uuid => paired()->id) },
        409 => sub { meanwhile_changed(); path(uuid => paired()->id) },
    },
    vm_create => {
        402 => sub { { as => 'expired', json => vm_body(agent_id => undef) } },
        404 => sub { { json => vm_body(agent_id => $UNKNOWN) } },
    },
    vm_patch => { 409 => sub { meanwhile_changed(); {} } },
    vm_delete => { 204 => sub { path(uuid => new_vm(vmid => 103)) } },
    secret_add => {
        201 => sub { { json => secret_body() } },
        409 => sub { { json => secret_body(secret_id => uuid_of($secret)) } },
    },
    secret_rotate => {
        200 => sub { path(secret => $rotated) },
        202 => sub { { as => 'operator', json => undef } },
        409 => sub { { as => $again, path => { secret => $again_secret } } },
        412 => sub { { headers => { 'If-Match' => '"7"' } } },
        428 => sub { { headers => {} } },
    },
    secret_delete => {
        204 => sub { path(secret => new_secret()) },
        409 => sub { {} },
    },
    binding_put => {
        409 => sub { { json => { secret_ref => $off_secret } } } },
    binding_delete => {
        204 => sub {
            my %to = (scope => 'bot', scope_id => 'bot-1');
            $t->made(PUT => '/secrets/bindings/bot/bot-1/proxmox',
                     { secret_ref => $secret });
            return path(%to);
        },
    },
    events => { 200 => sub { stream($calls{events}) } },
    command_events => {
        200 => sub { stream($calls{command_events}) },
        204 => sub {
            my $all = ask($calls{command_events})->{body};
            return { headers => { 'Last-Event-ID' => $all =~ /.*^id: (\S+)/ms } };
        },
    },
    command_cancel => {
        202 => sub { path(uuid => command('running')) },
        409 => sub { {} },
    },
);
for my $id (@submits) {
    my $base = $base{$id};
    my $to = sub { { json => { $base->{target} => $_[0] } } };
    $answer{$id} = {
        200 => sub {
            my $waiting = $t->begin(POST => $calls{$id}{path},
                json => $base->{json}, headers => { Prefer => 'wait=20' });
            $agent->serve;
            $api->note($calls{$id}, $waiting->answer(20), $base->{json});
            return;
        },
        202 => sub { { after => sub { $agent->serve } } },
        400 => sub { { headers => { 'Idempotency-Key' => 'a b' } } },
        402 => sub { { as => 'expired' } },
        404 => sub { $to->($base->{target} eq 'secret_ref'
                           ? $nothing{secret} : $UNKNOWN) },
        409 => sub { $to->($target{ $base->{target} }{unreachable}->()) },
        501 => sub {
            bus($false);
            return { after => sub { bus(undef) } };
        },
    };
}

# a call of other captures; its body, if it depends on the last of them
sub path {
    my (%over, $body);
    $body = pop if ref $_[-1];
    %over = @_;
    return { path => \%over,
             $body ? (json => $body->($over{uuid})) : () };
}

# a session instead of a token, with the proof that a change needs
sub as_console {
    my $in = $s->rest(POST => '/session', { json => { token => $t->token } });
    my ($cookie) = $in->{headers}{'set-cookie'} =~ /^([^;]+)/;
    return { as => 'nobody', headers => {
        Cookie => $cookie, 'Sec-Fetch-Site' => 'same-origin',
        'X-CSRF-Token' => $in->{json}{csrf} } };
}

sub registers {
    my ($code) = @_;
    eval { VMOps::WSAgent->new->pair(sub { $s->rest(@_) }, $code) };
    return;
}

sub flag {
    my ($name, $on) = @_;
    $s->rest(PUT => '/admin/tenants/acme/flags', {
        token => $s->platform_token, json => { $name => $on } });
}

sub bus { flag(AGENT_COMMAND_BUS_ENABLED => $_[0]) }

my @restore;

sub too_many_tokens {
    my @many = map { "many:$_" } 1 .. 1000;
    $s->redis(ZADD => 'tenants/{acme}/tokens', map { (0, $_) } @many);
    push @restore, sub { $s->redis(ZREM => 'tenants/{acme}/tokens', @many) };
}

# the library; change: its text
sub library {
    my ($change) = @_;
    local $_ = VMOps::slurp(VMOps::built('redis/vmops.lua'));
    $change->() if $change;
    $s->redis(qw(FUNCTION LOAD REPLACE), $_);
}

# whoever reads a record to change it finds that another one was faster
sub meanwhile_changed {
    library(sub { s/(?:agent|vm)\.mac ~= a\.mac_before/true/g == 3 or die });
    push @restore, sub { library() };
}


# What follows from a call's form

my %by_form = (
    400 => sub {
        my ($call) = @_;
        return { query => '?limit=0' } if has_param($call, 'limit');
        return { headers => { 'Last-Event-ID' => 'x' } }
            if has_param($call, 'Last-Event-ID');
        return { body => '{', json => undef };
    },
    401 => sub {
        return { as => $_[0]{by}[0] eq 'signature' ? stranger() : 'nobody' };
    },
    403 => sub {
        my ($call) = @_;
        return { from => '127.0.0.2' } if !@{ $call->{roles} };
        my $below = $below{ $call->{roles}[-1] };
        return { as => $below };
    },
    404 => sub { { path => \%nothing } },
    413 => sub { { body => '"' . 'x' x 70_000 . '"', json => undef } },
    415 => sub { { body => 'x', json => undef,
                   headers => { 'Content-Type' => 'text/plain' } } },
    422 => sub { { json => { unknown_one => 1 } } },
);

sub has_param {
    my ($call, $name) = @_;
    my $all = $api->document->{paths}{ $call->{path} }{ lc $call->{method} };
    return grep { $_->{'$ref'} =~ m{/\Q$name\E$} } @{ $all->{parameters} // [] };
}

my $stranger;
sub stranger {
    return $stranger //= do {
        my $none = VMOps::WSAgent->new;
        @$none{qw(tenant agent)} = ('acme', $UNKNOWN);
        $none;
    };
}


# What a status has more codes than one for, by code: of every call, or of
# those that have it under their own name

my $vmids = 200;

# an agent with a secret and a VM that uses it, to which something happened
sub agent_that {
    my ($happened) = @_;
    my $one = paired(auto_approve => $true);
    my $ref = $one->add_secret(sub { $s->rest(@_) }, $s->url, new_id());
    my $its = bound_vm($one, $ref);
    $happened->($one);
    return { agent => $one, secret_ref => $ref, vm_uuid => $its };
}

sub bound_vm {
    my ($owner, $ref) = @_;
    my $made = new_vm(agent_id => $owner->id, vmid => ++$vmids);
    $t->made(PUT => "/secrets/bindings/vm/$made/proxmox",
             { secret_ref => $ref });
    return $made;
}

my %agent_that = (
    agent_offline => agent_that(sub { }),
    agent_locked => agent_that(sub {
        $s->redis(HSET => 'tenants/{acme}/agents/' . $_[0]->id, locked => 1) }),
    agent_revoked => agent_that(sub {
        $t->made(POST => '/agents/' . $_[0]->id . '/revoke') }),
    agent_unapproved => agent_that(sub {
        $_[0]->pair(sub { $s->rest(@_) }, pairing(agent_id => $_[0]->id)->{code});
    }),
    secret_reentry_required => agent_that(sub {
        $_[0]{keys} = VMOps::WSAgent->new_keys;
        $_[0]->pair(sub { $s->rest(@_) }, pairing(agent_id => $_[0]->id,
            auto_approve => $true)->{code});
    }),
);

sub made_by_agent {
    my ($body) = @_;
    return ask($calls{secret_add}, json => $body)->{json}{secret_ref};
}

# a secret that is reached through one which is no more
sub secret_without_way {
    my $way = made_by_agent(secret_body(kind => 'ssh_password'));
    my $ref = made_by_agent(secret_body(via => $way));
    $t->rest(DELETE => "/secrets/$way");
    return $ref;
}

my %by_code = (
    csrf => sub {
        my %console = %{ as_console() };
        $console{headers} = { Cookie => $console{headers}{Cookie},
                              'Sec-Fetch-Site' => 'cross-site' };
        return \%console;
    },
    invalid_json => sub { { body => '{', json => undef } },
    invalid_header => sub { { headers => { 'If-Match' => 'x' } } },
    plaintext_secret_rejected => sub {
        my ($call) = @_;
        return { json => { %{ $base{ $call->{id} }{json} }, password => 'x' } };
    },
    agent_revoked => sub { { as => $agent_that{agent_revoked}{agent} } },
    agent_locked => sub { { as => $agent_that{agent_locked}{agent} } },
    agent_unapproved => sub { { as => $agent_that{agent_unapproved}{agent} } },
    license_limit => sub { full_license(); {} },
);

my %refusal = (
    settings_put => { invalid_params => sub { { json => [] } } },
    register => { license_limit => sub {
        my $code = pairing()->{code};
        full_license();
        return registers($code);
    } },
    agent_approve => { agent_revoked => sub {
        return path(uuid => $agent_that{agent_revoked}{agent}->id,
            sub { { fingerprint => $t->made(GET => "/agents/$_[0]")
                    ->{fingerprint} } });
    } },
    secret_rotate => { agent_locked => sub {
        return { as => $agent_that{agent_locked}{agent},
                 path => { secret => $agent_that{agent_locked}{secret_ref} } };
    } },
);
for my $id (@submits) {
    my $base = $base{$id};
    my $kind = $base->{target};
    $refusal{$id} = {
        (map { my $code = $_;
               $code => sub { { json => { $kind => $agent_that{$code}{$kind} } } } }
             keys %agent_that),
        secret_missing => sub {
            return { json => { $kind => $kind eq 'vm_uuid'
                ? new_vm(vmid => ++$vmids) : secret_without_way() } };
        },
        idempotency_mismatch => sub {
            my $key = once($id);
            return { headers => { 'Idempotency-Key' => $key },
                     json => { %{ $base->{json} }, timeout_s => 33 } };
        },
        conflict => sub {
            my ($key, $command) = once($id);
            $s->redis(DEL => "tenants/{acme}/agent_commands/$command");
            return { headers => { 'Idempotency-Key' => $key } };
        },
    };
}

# a command under a key, which has ended
sub once {
    my ($id) = @_;
    my $key = 'key-' . ++$ids;
    my $made = ask($calls{$id}, json => $base{$id}{json},
                   headers => { 'Idempotency-Key' => $key });
    $agent->serve;
    return wantarray ? ($key, $made->{json}{command_id}) : $key;
}

sub license {
    $s->rest(PUT => '/admin/tenants/acme/license', {
        token => $s->platform_token,
        json => { %{ $base{license_put}{json} }, @_ } });
}

# of agents and VMs no more than there are
sub full_license {
    license(max_agents => 1, max_vms => 1);
    push @restore, sub { license() };
}


# The driver

$token{expired} = $expired->{token};

sub times_seen {
    my ($call, $status) = @_;
    my $codes = $api->seen->{ $call->{id} }{$status} // {};
    my $n = 0;
    $n += $_ for values %$codes;
    return $n;
}

sub codes {
    my ($call, $status) = @_;
    my $content = $call->{answers}{$status}{content}
        {'application/problem+json'} // return;
    return @{ $content->{schema}{properties}{code}{enum} };
}

sub produce {
    my ($call, $status) = @_;
    my ($id, $had) = ($call->{id}, times_seen($call, $status));
    my $recipe = $answer{$id}{$status} // $by_form{$status}
        // ($status < 300 ? sub { {} } : undef);
    return fail("$id: nothing here makes it answer $status") if !$recipe;
    my $answer = follow($call, $recipe);
    ok times_seen($call, $status) > $had, "$id: $status"
        or diag($answer ? "it was $answer->{status} $answer->{body}" : 'no');
}

sub follow {
    my ($call, $recipe) = @_;
    my ($id, $answer) = $call->{id};
    if (my $own = $recipe->($call)) {
        my %req = (%{ $base{$id} // {} }, %$own);
        delete $req{json} if exists $req{json} && !defined $req{json};
        $answer = ask($call, %req);
        $req{after}->() if $req{after};
    }
    (shift @restore)->() while @restore;
    return $answer;
}

# what the recipes above have not met by the way
sub refuse {
    my ($call, $status, $code) = @_;
    my $id = $call->{id};
    my $recipe = $refusal{$id}{$code} // $by_code{$code};
    return fail("$id: nothing here makes it answer $code") if !$recipe;
    my $answer = follow($call, $recipe);
    ok $api->seen->{$id}{$status}{$code}, "$id: $code"
        or diag($answer ? "it was $answer->{status} $answer->{body}" : 'no');
}

my %phase = map { $_ => 1 } qw(429 500 503);

for my $id (sort keys %calls) {
    produce($calls{$id}, $_)
        for grep { !$phase{$_} && ($_ != 501 || $answer{$id}{501}) }
            @{ $calls{$id}{statuses} };
}

for my $id (sort keys %calls) {
    for my $status (grep { !$phase{$_} && $_ != 501 } @{ $calls{$id}{statuses} }) {
        refuse($calls{$id}, $status, $_)
            for grep { !$api->seen->{$id}{$status}{$_} && $_ ne 'tenant_suspended' }
                codes($calls{$id}, $status);
    }
}

# a phase: all calls that can be answered so, when all can only be
sub all_answer {
    my ($status) = @_;
    for my $id (sort keys %calls) {
        my $call = $calls{$id};
        next if $answer{$id}{$status}
            || !grep { $_ == $status } @{ $call->{statuses} };
        my $had = times_seen($call, $status);
        my $answer = ask($call, %{ $base{$id} // {} });
        ok times_seen($call, $status) > $had, "$id: $status"
            or diag("it was $answer->{status} $answer->{body}");
    }
}

# a feature that is off: whoever was known a moment ago has to be asked again
flag(SECRETS_E2E_ENABLED => $false);
wait_for {
    !grep { $s->rest(GET => '/secrets', { token => $token{$_} })->{status} != 501 }
        qw(owner viewer operator);
} 5, 'the flag to be seen';
wait_for { ask($calls{secret_add}, json => secret_body())->{status} == 501 } 5,
    'the flag to be seen by an agent';
all_answer(501);
flag(SECRETS_E2E_ENABLED => undef);
wait_for {
    !grep { $s->rest(GET => '/secrets', { token => $token{$_} })->{status} != 200 }
        qw(owner viewer operator);
} 5, 'the flag to be taken back';

# a store that fails at what is asked of it
library(sub {
    s/return with_ended\(run\(keys\[1\], a\)\)/return redis.error_reply('ERR failed')/
        or die;
});
wait_for { $s->rest(GET => '/license', { token => $t->token })->{status} == 500 }
    5, 'the library to fail';
wait_for { $s->rest(GET => '/vm-ops/actions', { token => $viewer->{token} })
           ->{status} == 500 } 5, 'principals to be forgotten';
all_answer(500);
library();

# no store
my $pid = $s->redis_pid;
kill KILL => $pid;
wait_for { !kill 0 => $pid } 5, 'the store to be gone';
wait_for { $s->rest(GET => '/vm-ops/actions', { token => $viewer->{token} })
           ->{status} == 503 } 5, 'the loss to be seen';
wait_for { $s->rest(GET => '/readyz')->{status} == 503 } 5, 'it to be red';
all_answer(503);
$s->up;
wait_for { $s->rest(GET => '/license', { token => $t->token })->{status} == 200 }
    10, 'the store to be back';

# a suspended tenant: not another status, but a code that hides all others
my $code = pairing()->{code};
$s->rest(PATCH => '/admin/tenants/acme', {
    token => $s->platform_token, json => { status => 'suspended' } });
wait_for { !grep { $s->rest(GET => '/license', { token => $token{$_} })->{status}
                   != 403 } qw(owner viewer operator) } 5, 'the suspension';
for my $id (sort keys %calls) {
    next if !grep { $_ eq 'tenant_suspended' } codes($calls{$id}, 403);
    if ($id eq 'register') {
        registers($code);
        ok $api->seen->{$id}{403}{tenant_suspended}, "$id: in a suspended tenant";
        next;
    }
    is ask($calls{$id}, %{ $base{$id} // {} })->{json}{code},
        'tenant_suspended', "$id: of a suspended tenant";
}
$s->rest(PATCH => '/admin/tenants/acme', {
    token => $s->platform_token, json => { status => 'active' } });
wait_for { ask($calls{heartbeat}, %{ $base{heartbeat} // {} })->{status} != 403 }
    5, 'the end of the suspension, for an agent as well';

# every principal has asked too much: the counters say so
my $much = 10_000_000;
my @counters = map { @{ $s->redis(KEYS => $_) } }
    'tenants/{acme}/rate/requests*', 'platform/{p}/rate/requests*';
$s->redis(SET => $_, $much, PX => 60_000)
    for @counters, 'platform/{p}/rate/pairing:127.0.0.1';
my $nonces = 'tenants/{acme}/agents/' . $agent->id . '/nonces';
$s->redis(ZADD => $nonces, map { (time * 1000, "n$_") } 1 .. 1000);
wait_for {
    !grep { $s->rest(GET => $_->[0], { token => $token{ $_->[1] } })->{status}
            != 429 }
        (['/license', 'owner'], ['/license', 'viewer'],
         ['/license', 'operator'], ['/admin/tenants', 'platform_admin']);
} 5, 'the counters to be seen';
all_answer(429);


# The verdict

is_deeply [$api->undocumented], [], 'no answer but those documented';

my ($document, $answers) = $api->verdict;
ok $document->{valid}, 'the document is OpenAPI';
is $document->{version}, '3.1', 'version 3.1';
is_deeply $document->{errors}, [], 'without an error';
is_deeply $answers->{wrong}, [], 'every answer has the schema of the document';

my ($documented, $produced, $codes, @missing) = (0) x 3;
for my $id (sort keys %calls) {
    for my $status (@{ $calls{$id}{statuses} }) {
        $documented++;
        my $seen = $api->seen->{$id}{$status};
        $produced++ if $seen;
        my @codes = codes($calls{$id}, $status);
        $codes += @codes;
        push @missing, map { "$id: $_" } grep { !$seen->{$_} } @codes;
    }
}
is $produced, $documented, 'every status of every operation';
is_deeply \@missing, [], 'every problem code of every operation';
diag(sprintf '%d operations, %d of %d statuses and %d of %d problem codes '
     . 'produced; %d answers and %d requests have their schemas',
     scalar keys %calls, $produced, $documented, $codes - @missing, $codes,
     @$answers{qw(answers requests)});

done_testing;
