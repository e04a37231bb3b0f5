# Any functions, in any order, with any arguments that may come: after each the
# store agrees with itself.  Every index has its records and no other, counters
# count them, no command is without an end, and no tenant touches another.
# Calls are repeated and come late, the store loses its last moments and begins
# anew.  SEED=N repeats a run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use List::Util qw(max);

use VMOps;
use VMOps::Functions;

my $STEPS = rounds(ci => 1000, full => 20_000);
my $EVERY = rounds(ci => 10, full => 2);     # it is looked at
my $SEED = $ENV{SEED} // time;
srand $SEED;
diag "SEED=$SEED";

# the same library; what has an end has it soon
my %cap = (COMMANDS_FINISHED_MAX => 30, EVENTS_MAX => 400,
           EVENTS_UNSEALED_MAX => 900, SECRET_OLD_MAX => 3,
           BINDINGS_PER_SECRET => 3, SECRETS_PER_TENANT => 6,
           PAIRINGS_WAITING => 20, TOKENS_PER_TENANT => 6, SESSIONS_PER_TOKEN => 3, FRESH_MS => 0,
           NONCES_MAX => 40, LOG_LINES_MAX => 5, AUDIT_SEAL_ENTRIES => 7);

my $f = VMOps::Functions->new;
my $source = VMOps::slurp($f->server->dir . '/vmops.lua');
for my $limit (sort keys %cap) {
    $source =~ s/\b$limit = \d+\b/$limit = $cap{$limit}/ or die "no $limit";
}
sub load {
    $f->server->client('vmops-deploy')->call(qw(FUNCTION LOAD REPLACE), $source);
}
load();

# name => {code => 1}, of what a function may answer; submit: any refusal
my %codes = (submit => { map { $_ => 1 } VMOps::slurp(
    "$FindBin::Bin/../include/vmops_problems.def")
        =~ /^VMOPS_PROBLEM\((\w+)/mg });
my $table = VMOps::slurp("$FindBin::Bin/../include/vmops_functions.def");
while ($table =~ /^VMOPS_FUNCTION\((\w+)(.*?)(?=^VMOPS_FUNCTION|\z)/msg) {
    my ($name, $line) = ($1, $2);
    $codes{$name}{$_} = 1 for qw(OK bad_request not_found),
        $line =~ /\b([a-z]+(?:_[a-z]+)*)\b/g;
}

# what is drawn from

sub one { $_[rand @_] }
sub chance { rand() < $_[0] }

my @TENANTS = qw(acme globex);
my %pool;       # of each tenant: what was ever there
my $p;          # of the one that is called
my @FAMILIES = qw(proxmox ssh syncthing);
my %KIND = (proxmox => 'proxmox_token', ssh => 'ssh_key',
            syncthing => 'syncthing_api_key');
my @ODD = ('', 'x', '-1', '1e999', 'nan', '0x10', '1.5', "1\0", "1\n", ' 1',
           '9' x 15, '9' x 40, "\xff");

# where those that are there are found
my %index = (agent => ['agents'], vm => ['vms'], hmac => ['tokens'],
             token => ['tokens'], secret => ['secrets_ciphertext'],
             command => ['deadlines', 'deadlines', 'agent_commands']);

sub there {
    my ($kind) = @_;
    my $all = $f->admin('ZRANGE', $f->key(one(@{ $index{$kind} })), 0, -1);
    my $id = one(@$all) // return undef;
    return $kind eq 'hmac' ? $id =~ s/.*://r : $kind eq 'token' ? $id =~ s/:.*//r
        : $id;
}

# one that is there, or was, sometimes another tenant's, or nobody's
sub known {
    my ($kind) = @_;
    if ($index{$kind} && chance(0.85)) {
        my $id = there($kind);
        return $id if defined $id;
    }
    my $roll = rand;
    my $from = $roll < 0.95 ? $p : $pool{ one(@TENANTS) };
    return $roll < 0.98 && @{ $from->{$kind} // [] } ? one(@{ $from->{$kind} })
        : uuid();
}

sub keep { my ($kind, $id) = @_; push @{ $p->{$kind} }, $id; $id }
sub odd { my ($value, $chance) = @_; chance($chance // 0.05) ? one(@ODD) : $value }

sub field { $f->admin('HGET', $f->key(@_[0 .. $#_ - 1]), $_[-1]) // '' }
sub live { one('gw1', 'gw1,gw2', 'gw2,gw3', 'gw1,gw2,gw3') }
sub session_of { my ($id) = @_; chance(0.9) ? field('agents', $id, 'session')
                     : known('session') }
sub ref_ { $_[0] =~ /^sec_/ ? $_[0] : ref_of($_[0]) }
sub actor { one('token:1', 'platform:1') }

# An agent and a session, that has to do with a command mostly.
sub owned {
    my $id = known('command');
    my $agent = chance(0.95) ? field('agent_commands', $id, 'agent_id')
        : known('agent');
    $agent = known('agent') if $agent eq '';
    return (agent_id => $agent, session => session_of($agent),
            command_id => $id);
}

sub envelope {
    return (alg => 'a', key_id => $f->key_id(one('a', 'a', 'b')),
            created_ms => now_ms(), secret_nonce => 'n', ciphertext => 'c',
            aad_meta => '{}', size => 1);
}

my %call = (
    tenant_set => sub { (actor => actor(), field_value => [one(
        ['name', 'n'], ['status', 'suspended'], (['status', 'active']) x 6,
        ['cohort', 'beta'], ['flag:X', ''], ['odd', 1],
        ['name'])->@*]) },
    license_set => sub { (actor => 'platform:1', plan => 'p',
        max_agents => one(6, 9), max_vms => one(6, 9),
        expires_at => now_ms() + one(-500, (3_600_000) x 9),
        grace_ms => 1000) },
    license_get => sub { () },
    principal => sub { (pkind => one('token', 'session', 'agent', 'var'),
        pkey => known(one('hmac', 'console')), subject => 'u',
        cost => one(0, 1, 5), limit => 1000) },
    token_add => sub { (actor => actor(), hmac => keep(hmac => uuid()),
        token_id => keep(token => uuid()), role => 'operator', name => 'n',
        subject => 's', expires_at => one(('') x 9, now_ms() + 50), mac => 'm') },
    token_list => sub { (cursor => odd(''), limit => 3) },
    token_delete => sub { (actor => actor(), token_id => known('token')) },
    console_open => sub { (actor => actor(), token => known('hmac'),
        session => keep(console => uuid()), subject => 's', role => 'operator',
        expires_at => now_ms() + 60_000, csrf => 'c', mac => 'm') },
    console_close => sub { (actor => actor(), session => known('console')) },
    pairing_create => sub { (actor => actor(),
        pairing_id => keep(pairing => uuid()), code_hmac => 'right',
        selector => 'ABCD', name => one('', 'pc'), auto_approve => one(0, 1),
        agent_id => one('', known('agent')), subject => 'o',
        ttl_ms => 600_000) },
    pairing_get => sub { (pairing_id => known('pairing')) },
    pairing_delete => sub { (actor => actor(), pairing_id => known('pairing')) },
    register => sub {
        my $pairing = $p->{pairing} && chance(0.8) ? $p->{pairing}[-1]
            : known('pairing');
        my $again = field('pairings', $pairing, 'agent_id');
        my $id = $again ne '' && chance(0.9) ? $again : uuid();
        keep(agent => $id);
        return (pairing_id => $pairing, code_hmac => one(('right') x 9, 'wrong'),
            signature_ok => one((1) x 9, 0), agent_id => $id,
            approved => one(0, field('pairings', $pairing, 'auto_approve')),
            ed_pk => 'e', x_pk => 'x', kid => one('YWFh' x 11, 'YmJi' x 11),
            platform => 'l', name => 'pc', hostname => 'h', version => '1',
            mac => "mac-$id") },
    agent_get => sub { (agent_id => known('agent'), live => live()) },
    agent_list => sub { (live => live(), cursor => odd(''), limit => 3) },
    agent_name => sub { (actor => actor(), agent_id => known('agent'),
        name => one('n', "\0\n\xff\""), live => live()) },
    agent_approve => sub { my $id = known('agent'); (actor => actor(),
        agent_id => $id, mac_before => one(field('agents', $id, 'mac'), 'x'),
        mac => "mac-$id", live => live()) },
    agent_revoke => sub { my $id = known('agent'); (actor => actor(),
        agent_id => $id,
        mac_before => one(field('agents', $id, 'mac'), ('x') x 3),
        mac => "mac-$id", live => live()) },
    agent_unlock => sub { (actor => actor(), agent_id => known('agent'),
        live => live()) },
    agent_heartbeat => sub { (agent_id => known('agent'), nonce => uuid(),
        version => '2', capabilities => '[]', routes => '', keystore => 'ok',
        key_id => '', live => live()) },
    session_auth => sub { my $id = known('agent'); (agent_id => $id,
        epoch => odd(one(field('agents', $id, 'epoch'),
                         (field('agents', $id, 'epoch_pending')) x 3)),
        session => uuid(), passed => one(0, 0, 0, 1)) },
    session_ready => sub {
        my $id = known('agent');
        my $seq = field('agents', $id, 'last_seq');
        return (agent_id => $id, session => chance(0.8) ?
                keep(session => uuid()) : session_of($id),
            incarnation => one('gw1', 'gw2', 'gw3'),
            epoch => odd(one(field('agents', $id, 'epoch'),
                             (field('agents', $id, 'epoch_pending')) x 3), 0.02),
            last_seq => odd(one($seq, field('agents', $id, 'drained') || 0,
                max(0, ($seq || 0) - 2), ($seq || 0) + 2), 0.01),
            version => '1', platform => 'l', live => live()) },
    session_displaced => sub { (agent_id => known('agent'),
        session => known('session')) },
    session_gone => sub { my $id = known('agent'); (agent_id => $id,
        session => session_of($id)) },
    session_status => sub { my $id = known('agent'); (agent_id => $id,
        session => session_of($id), routes => '[]',
        keystore => one('ok', 'ok', 'unreadable'), key_id => '',
        capabilities => '[]') },
    secret_read => sub { my $id = known('agent'); (agent_id => $id,
        session => session_of($id), ref => ref_(known('secret')),
        version => one(1 .. 4)) },
    take => sub { my $id = field('agent_commands', known('command'),
                                'agent_id') || known('agent'); (agent_id => $id,
        session => session_of($id), limit => one(1, 2, 10),
        seen => odd(one('', '', field('agents', $id, 'drained'),
                        max(0, (field('agents', $id, 'last_seq') || 0) - 2)))) },
    untake => sub {
        my $one = known('command');
        my $id = field('agent_commands', $one, 'agent_id') || known('agent');
        return (agent_id => $id, session => session_of($id), command_turn => [
            map { my $command = one($one, $one, known('command'));
                  ($command, odd(field('agent_commands', $command, 'turn')
                                 || 0)) } 1 .. one(1, 3)]) },
    progress => sub { (owned(), accepted_at => one('', now_ms()),
        percent => odd(one('', 50)), stage => one('', 's'), message => '') },
    log => sub { (owned(), line => [('l', "\0\xff")[0 .. one(0, 1)]]) },
    recover => sub {
        my $id = known('agent');
        my $lost = chance(0.7) ? keep(command => uuid()) : known('command');
        my $iat = now_ms() - one(0, 30_000, 300_000);
        return (agent_id => $id, command_id => $lost, field_value => [
            service => 'proxmox', action => 'start', scope => 'vm',
            family => 'proxmox', target => known('vm'),
            map { s/^9+\z/60/r }
            seq => odd((field('agents', $id, 'last_seq') || 0) + 1),
            timeout_s => odd(60), iat => odd($iat), exp => $iat + 60_000]) },
    finish => sub { (owned(),
        status => one(qw(succeeded failed indeterminate cancelled rejected odd)),
        accepted_at => one('', now_ms()), error_code => one('', 'timeout'),
        one({ receipt_signature => 's' }, {})->%*) },
    vm_add => sub { (actor => actor(), vm_uuid => keep(vm => uuid()),
        name => 'v', agent_id => one('', known('agent'), known('agent')),
        guest => 'qemu', node => 'n', vmid => 100,
        bot_id => one('', 'b1', 'b2'), labels => '{}', state => 'ready',
        mac => 'm') },
    vm_get => sub { (vm_uuid => known('vm')) },
    vm_list => sub { (cursor => odd(''), limit => 3) },
    vm_set => sub { my $id = known('vm'); (actor => actor(), vm_uuid => $id,
        mac_before => one('m', 'm', 'x'), mac => 'm', field_value => [one(
            ['agent_id', one('', known('agent'))], ['bot_id', one('', 'b1')],
            ['labels', 'l' x 9000], ['odd', 1])->@*]) },
    vm_delete => sub { (actor => actor(), vm_uuid => known('vm')) },
    secret_add => sub {
        my $kind = $KIND{ one('proxmox', 'proxmox', 'ssh') };
        return (agent_id => known('agent'), nonce => odd(uuid()),
            secret_id => chance(0.9) ? keep(secret => uuid()) : known('secret'),
            kind => $kind, label => 'l', via => one('', '', known('secret')),
            envelope()) },
    secret_rotate => sub {
        my $id = known('secret');
        my $version = field('secrets_ciphertext', ref_($id), 'version') || 0;
        my $agent = field('secrets_ciphertext', ref_($id), 'agent_id');
        return (agent_id => $agent ne '' ? $agent : known('agent'),
            nonce => uuid(), secret_id => $id, if_match => odd($version),
            version => odd($version + 1), envelope()) },
    secret_ask_rotate => sub { (actor => actor(), secret_id => known('secret')) },
    secret_get => sub { (secret_id => known('secret')) },
    secret_list => sub { (cursor => odd(''), limit => 3) },
    secret_delete => sub { (actor => actor(), secret_id => known('secret'),
        force => one('', 1)) },
    binding_set => sub { my $type = one('vm', 'bot'); (actor => actor(),
        scope_type => $type, scope_id => $type eq 'vm' ? known('vm')
            : 'b' . int rand 6, family => one(@FAMILIES, 'proxmox'),
        secret_id => known('secret'), mac => 'm') },
    binding_get => sub { (scope_type => 'bot', scope_id => 'b1',
        family => 'proxmox') },
    binding_delete => sub { my $type = one('vm', 'bot'); (actor => actor(),
        scope_type => $type, scope_id => $type eq 'vm' ? known('vm')
            : 'b' . int rand 6, family => one(@FAMILIES)) },
    settings_set => sub { (actor => actor(), if_match => one('', odd(1)),
        settings => '{}') },
    settings_get => sub { () },
    submit => sub {
        my $hmac = known('hmac');
        my $scope = one(qw(vm vm vm endpoint task));
        my %good = (%{ $f->good(pkey => $hmac, pkind => one(('token') x 9,
                'session', 'var'), role => one(('viewer') x 1,
                (field('tokens', $hmac, 'role')) x 9),
            live => 'gw1,gw2,gw3', timeout_s => one(1, 60), scope => $scope,
            idem => one('', '', 'i' . int rand 5), open_limit => 40,
            command_id => chance(0.95) ? keep(command => uuid())
                : known('command'),
            target => $scope eq 'vm' ? known('vm') : $scope eq 'task'
                ? known('command') : ref_(known('secret')),
            waits => one('', 1), rate_limit => 1_000_000,
            command_limit => one(1_000_000, 1_000_000, 3)) });
        return %good },
    command_get => sub { (command_id => known('command')) },
    command_list => sub { (limit => one(1, 10), cursor => odd(''),
        status => one('', 'queued', 'failed'),
        vm_uuid => one('', known('vm')), agent_id => one('', known('agent'))) },
    command_cancel => sub { (actor => actor(), command_id => known('command')) },
    command_verdict => sub { (command_id => known('command'),
        verdict => one(0, 1)) },
    events_read => sub { (after => odd('', 0.5), limit => 5) },
    sweep => sub { (live => one('', live()), limit => one(1, 200)) },
    audit_next => sub { () },
    audit_read => sub { (after => '', last => 0, limit => 5) },
    audit_head => sub { () },
    audit_witness => sub { (agent_id => known('agent'),
        n => odd(one(1, field('sealed') || 0), 0.05) =~ s/^9+$/1/r, h => 'h') },
);

# what is called more often than the rest
my @names = sort keys %call;
push @names, ('submit') x 40, (qw(take progress connect again)) x 12,
    (qw(untake finish log machine seal)) x 6, (qw(sweep age)) x 3,
    (qw(session_auth session_ready agent vm_add secret_add secret_rotate
        token_add binding_set register)) x 3, qw(listen listen reload mark lose recreate);

# everything that is stored, in one reply
my $DUMP = <<'LUA';
local all = {}
for i, key in ipairs(redis.call('KEYS', '*')) do
    local kind, value = redis.call('TYPE', key).ok, {}
    if kind == 'hash' then value = redis.call('HGETALL', key)
    elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    elseif kind == 'set' then value = redis.call('SMEMBERS', key)
    elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
    elseif kind == 'stream' then value = redis.call('XRANGE', key, '-', '+')
    elseif kind == 'string' then value = { redis.call('GET', key) } end
    all[i] = { key, kind, redis.call('PTTL', key), value }
end
return all
LUA

my $UUID = qr/[0-9a-f-]{36}/;
my $REF = qr/sec_[0-9a-f]{32}/;
my %form = (    # below the tenant: type, does it expire
    '' => ['hash'], agents => ['zset'], "agents/$UUID" => ['hash'],
    "agents/$UUID/queue" => ['zset'], "agents/$UUID/takeovers" => ['zset', 1],
    "agents/$UUID/nonces" => ['zset', 1], "agents/$UUID/rotations" => ['set'],
    gateways => ['zset'], 'gateways/gw\d' => ['set'],
    pairings => ['zset'], "pairings/$UUID" => ['hash', 1], agent_commands => ['zset'],
    "agent_commands/$UUID" => ['hash'], "agent_commands/$UUID/log" => ['list'],
    deadlines => ['zset'], secrets_ciphertext => ['zset'],
    "secrets_ciphertext/$REF" => ['hash'],
    "secrets_ciphertext/$REF/\\d+" => ['hash', ''],
    "secrets_ciphertext/$REF/bindings" => ['set'],
    "secret_bindings/(?:vm|bot):[^:]+:[a-z]+" => ['hash'], vms => ['zset'],
    "vms/$UUID" => ['hash'], tokens => ['zset'], 'tokens/[^/]+' => ['hash'],
    'tokens/[^/]+/sessions' => ['zset', 1], "sessions/$UUID" => ['hash', 1],
    infra_settings_public => ['hash'], 'idempotency/i\d' => ['string', 1],
    'rate/.*' => ['string', 1], events => ['stream'], audit_seals => ['list'],
    'audit_seals/ids' => ['list'],
);
my %FINAL = map { $_ => 1 } qw(succeeded failed rejected cancelled timed_out
                               indeterminate);

# Is all of it in order?  What is not, one a line.
sub faults {
    my (%all, @bad);
    for (@{ $f->admin('EVAL', $DUMP, 0) }) {
        my ($key, $type, $ttl, $value) = @$_;
        my ($tenant, $below) = $key =~ m{^tenants/\{([a-z]+)\}(?:/(.*))?\z}s;
        push @bad, "whose is $key?" if !defined $tenant;
        $below //= '';
        my ($form) = grep { $below =~ /^$_\z/ } keys %form;
        push(@bad, "what is $key?"), next if !defined $form;
        my ($want, $ends) = @{ $form{$form} };
        push @bad, "$key: $type" if $type ne $want;
        push @bad, "$key: expires in $ttl" if defined $ends && $ends eq ''
            ? 0 : !!$ends != ($ttl >= 0);
        $all{$tenant}{$below} = { value => $value, ttl => $ttl };
    }
    push @bad, map { my $t = $_; map { "$t: $_" } tenant_faults($all{$t}) }
        sort keys %all;
    return @bad;
}

sub tenant_faults {
    my ($all) = @_;
    my @bad;
    my $hash = sub { hash(($all->{$_[0]} // { value => [] })->{value}) };
    my $list = sub { ($all->{$_[0]} // { value => [] })->{value} };
    my $below = sub { my ($re) = @_; map { /^$re\z/ ? $1 : () } keys %$all };
    my $same = sub {
        my ($what, $have, $want) = @_;
        my ($h, $w) = map { join ' ', sort @$_ } $have, $want;
        push @bad, "$what: [$h] not [$w]" if $h ne $w;
    };
    my $tenant = $hash->('');
    return 'keys without the tenant' if !%$tenant && %$all;

    # agents and who holds them
    my %agent = map { $_ => $hash->("agents/$_") } $below->("agents/($UUID)");
    $same->('agents', [keys %{ $hash->('agents') }], [keys %agent]);
    $same->('agents: counter', [$tenant->{agents}],
            [scalar grep { $_->{revoked} ne '1' } values %agent]);
    my %held;
    for my $id (keys %agent) {
        my $a = $agent{$id};
        my $n = grep { length($a->{$_} // '') } qw(session gateway since
                                                   connected_since);
        push @bad, "$id: presence by $n of 4" if $n && $n != 4;
        $held{ $a->{gateway} }{$id} = 1 if $n;
        push @bad, "$id: epoch" if ($a->{epoch_pending} // $a->{epoch})
            < $a->{epoch};
        push @bad, "$id: drained $a->{drained}" if ($a->{drained} // 0)
            > $a->{last_seq};
    }
    $same->('gateways', [keys %{ $hash->('gateways') }], [keys %held]);
    $same->('gateways/', [$below->('gateways/(.*)')], [keys %held]);
    $same->("gateways/$_", $list->("gateways/$_"), [keys %{ $held{$_} }])
        for keys %held;

    # commands
    my (%queue, @open, %seq);
    my %created = %{ $hash->('agent_commands') };
    my %due = %{ $hash->('deadlines') };
    my %command = map { $_ => whole($list->("agent_commands/$_")) }
        $below->("agent_commands/($UUID)");
    $same->('agent_commands', [keys %created], [keys %command]);
    for my $id (keys %command) {
        my $c = $command{$id};
        my $s = $c->{status} // '';
        push @bad, "$id: created" if $created{$id} != $c->{created_at};
        push @bad, "$id: whose?" if ($c->{agent_id} // '') eq '';
        if ($FINAL{$s}) {
            push @bad, "$id: $s without its time" if !$c->{finished_at};
            next;
        }
        push @open, $id;
        $queue{ $c->{agent_id} }{$id} = $c->{seq};
        push @bad, "$id: seq $c->{seq} twice" if $seq{ $c->{agent_id} }{
            $c->{seq} }++ && !$c->{recovered};
        push @bad, "$id: status $s" if $s !~ /^(?:queued|delivered|running)\z/;
        push @bad, "$id: finished" if $c->{finished_at};
        push @bad, "$id: queued, but taken" if $s eq 'queued'
            && ($c->{taken_by} || $c->{delivered_at});
        push @bad, "$id: queued, but behind what was taken" if $s eq 'queued'
            && $c->{seq} <= ($agent{ $c->{agent_id} }{drained} // 0);
        push @bad, "$id: running since when?" if $s eq 'running'
            && !$c->{accepted_at};
        my $time = $c->{timeout_s} * 1000;
        my $want = $c->{created_at} + ($s eq 'queued'
            ? ($time < 10_000 ? $time : 10_000) : $time + 1500);
        push @bad, "$id: due $due{$id}, not $want"
            if defined $due{$id} && $due{$id} != $want;
    }
    $same->('deadlines', [keys %due], \@open);
    $same->('open', [$tenant->{open}], [scalar @open]);
    $same->('queues', [$below->("agents/($UUID)/queue")], [keys %queue]);
    for my $id (keys %queue) {
        my $have = $hash->("agents/$id/queue");
        $same->("queue of $id", [%$have], [%{ $queue{$id} }]);
    }
    for my $id ($below->("agent_commands/($UUID)/log")) {
        push @bad, "log of $id" if !$command{$id}
            || @{ $list->("agent_commands/$id/log") } > $cap{LOG_LINES_MAX};
    }

    # secrets, their versions, what is bound, and what is asked for
    my %secret = map { $_ => $hash->("secrets_ciphertext/$_") }
        $below->("secrets_ciphertext/($REF)");
    $same->('secrets', [keys %{ $hash->('secrets_ciphertext') }],
            [keys %secret]);
    my (%asked, %bound);
    for my $key ($below->('(secrets_ciphertext/.*/\d+)')) {
        my ($ref, $version) = $key =~ m{/(.*)/(.*)};
        my $last = $secret{$ref}{version} // 0;
        push @bad, "$key of $last" if $version > $last
            || $version < $last - $cap{SECRET_OLD_MAX};
        push @bad, "$key expires in $all->{$key}{ttl}"
            if ($version == $last) == ($all->{$key}{ttl} >= 0);
    }
    for my $ref (keys %secret) {
        my $s = $secret{$ref};
        push @bad, "$ref: no current version"
            if !$all->{"secrets_ciphertext/$ref/$s->{version}"};
        $asked{ $s->{agent_id} }{$ref} = 1 if $s->{rotation_requested};
    }
    $same->('rotations', [$below->("agents/($UUID)/rotations")], [keys %asked]);
    $same->("rotations of $_", $list->("agents/$_/rotations"),
            [keys %{ $asked{$_} }]) for keys %asked;
    for my $name ($below->('secret_bindings/(.*)')) {
        my $b = $hash->("secret_bindings/$name");
        push @bad, "$name: $b->{scope_type}" if $name
            ne "$b->{scope_type}:$b->{scope_id}:$b->{family}";
        push @bad, "$name: no VM" if $b->{scope_type} eq 'vm'
            && !$all->{"vms/$b->{scope_id}"};
        $bound{ $b->{secret_ref} }{$name} = 1;
    }
    $same->('bound', [$below->('secrets_ciphertext/(.*)/bindings')],
            [keys %bound]);
    $same->("bindings of $_", $list->("secrets_ciphertext/$_/bindings"),
            [keys %{ $bound{$_} }]) for keys %bound;
    push @bad, map { "$_: bound without the secret" } grep { !$secret{$_} }
        keys %bound;

    # the rest of the indexes
    $same->('pairings', [keys %{ $hash->('pairings') }],
            [grep { $hash->("pairings/$_")->{status} eq 'pending' }
             $below->("pairings/($UUID)")]);
    $same->('vms', [keys %{ $hash->('vms') }], [$below->("vms/($UUID)")]);
    $same->('tokens', [map { /:(.*)/ } keys %{ $hash->('tokens') }],
            [$below->('tokens/([^/]+)')]);
    for my $id ($below->('sessions/(.*)')) {
        my $token = $hash->("sessions/$id")->{token};
        push @bad, "session $id: token" if !$all->{"tokens/$token"}
            || !exists $hash->("tokens/$token/sessions")->{$id};
    }
    for my $hmac ($below->('tokens/(.*)/sessions')) {
        push @bad, "sessions of $hmac" if !$all->{"tokens/$hmac"}
            || keys %{ $hash->("tokens/$hmac/sessions") }
               > $cap{SESSIONS_PER_TOKEN};
    }

    # the audit
    my $last;
    for (@{ $list->('events') }) {
        my $event = hash($_->[1]);
        my $n = $event->{n} // next;
        # after a fork the numbers that its witness has seen are left out
        my $fork = $event->{entry} =~ /"event":"audit\.forked".*"n":"@{[$n - 1]}"/;
        push @bad, "entry $n after $last"
            if defined $last && $n != $last + 1 && !$fork;
        push @bad, "entry $n is long" if length $event->{entry} > 4096;
        $last = $n;
    }
    push @bad, "audit $tenant->{audit}, last $last" if defined $last
        && $tenant->{audit} != $last;
    my ($sealed, $trimmed) = map { $_ // 0 } @$tenant{qw(sealed trimmed)};
    push @bad, "sealed $sealed, trimmed $trimmed"
        if $sealed > $tenant->{audit} || $trimmed > $sealed;
    push @bad, 'seals and their ids'
        if @{ $list->('audit_seals') } != @{ $list->('audit_seals/ids') };
    push @bad, 'events: ' . @{ $list->('events') }
        if @{ $list->('events') } > $cap{EVENTS_UNSEALED_MAX} + 220;
    return @bad;
}

# what is no function of the library, or several in their order

# workers that listen: now and then what is submitted is handed over
my @listening;

my @again;      # a call as it was made, to be made once more
my $mark;       # a moment that the store goes back to

my %event = (
    # an agent comes, has seen all or a little less, and is online
    connect => sub {
        my $id = there('agent') // return;
        my $reply = $f->call(session_auth => { agent_id => $id, passed => 0,
            epoch => field('agents', $id, 'epoch_pending') || 0,
            session => keep(session => uuid()) });
        do_call(session_ready => { agent_id => $id, epoch => $reply->[1],
            session => $p->{session}[-1], incarnation => one(qw(gw1 gw2 gw3)),
            last_seq => max(0, field('agents', $id, 'last_seq') - int rand 3),
            live => live() }) if $reply->[0] eq 'OK';
    },
    # a VM of an agent that can be worked with, if the license has room
    machine => sub {
        my $id = there('agent') // return;
        eval {
            my $vm = keep(vm => $f->make_vm($id));
            $f->bind_secret('vm', $vm, keep(secret => $f->make_secret($id)));
        };
    },
    agent => sub { eval { keep(agent => $f->make_agent) } },
    age => sub {
        my @open = @{ $f->admin('ZRANGE', $f->key('deadlines'), 0, -1) };
        $f->age(one(@open), one(500, 9000, 60_000)) if @open;
    },
    seal => sub {
        my (undef, $last, $entries) = $f->ok_call('audit_next');
        return if !@$entries;
        my ($from, $to, $id) = ($entries->[0][0], @{ $entries->[-1] }[0, 3]);
        $f->ok_call(audit_seal => { last => $last, from => $from, to => $to,
            id => $id, seal => qq({"n":$to,"h":"h"}) });
    },
    again => sub { @again ? do_call(@{ one(@again) }) : () },
    reload => sub { load() },
    listen => sub {
        @listening = chance(0.5) ? ()
            : map { $f->listen("wake/$_") } qw(gw1 gw2);
    },
    mark => sub {
        my %dump = map { $_ => [max(0, $f->admin('PTTL', $_)),
                                $f->admin('DUMP', $_)] }
            @{ $f->admin('KEYS', '*') };
        $mark = \%dump;
    },
    # back to a moment before: and this is another process
    lose => sub {
        return if !$mark;
        $f->admin('DEL', @{ $f->admin('KEYS', '*') });
        # what has run out while they were read is not among them
        $f->admin('RESTORE', $_, @{ $mark->{$_} })
            for grep { defined $mark->{$_}[1] } keys %$mark;
        undef $mark;
        load();
    },
    recreate => sub {
        return if !chance(0.1);
        $f->ok_call(tenant_delete => { actor => 'platform:1' });
        do_call(@{ one(@again) }) for 1 .. 3;
        load() if chance(0.3);
        my ($state, $deletion) = ('');
        while ($state ne 'empty') {
            $f->admin('HDEL', $f->key, 'purge_at');
            ($state, undef, undef, $deletion) =
                $f->ok_call(tenant_purge => { limit => 10 });
        }
        is_deeply $f->admin('KEYS', $f->key('*')), [], 'purged: nothing is left'
            if @{ $f->admin('KEYS', $f->key('*')) };
        $f->ok_call(tenant_purge => { limit => 10, unlisted => $deletion });
        begin();
    },
);

# a tenant with something to begin with
sub begin {
    $f->world($f->{tenant});
    $p = $pool{ $f->{tenant} };
    my $w = $f->{world};
    keep($_ => $w->{$_}) for qw(agent session vm secret);
    keep(hmac => 'op');
    undef $mark;
}

my ($called, $refused) = (0, 0);

sub do_call {
    my ($name, $arg) = @_;
    my $reply = $f->call($name, $arg);
    $called++;
    $refused++ if $reply->[0] ne 'OK';
    die "$name answers $reply->[0]\n" if !$codes{$name}{ $reply->[0] };
}

for my $name (@TENANTS) {
    $pool{$name} = $p = {};
    $f->use_tenant($name);
    begin();
}
$f->use_tenant('initech');
$f->world('initech');
sub untouched {
    my %dump = %{ $f->snapshot };
    return { map { $_ => $dump{$_} } grep { /initech/ } keys %dump };
}
my $untouched = untouched();

my @last;
my $step = 0;
STEP: while ($step++ < $STEPS) {
    $f->use_tenant(one(@TENANTS));
    $p = $pool{ $f->{tenant} };
    for my $kind (keys %$p) {       # the more it is of late, the likelier
        splice @{ $p->{$kind} }, 0, -12 if @{ $p->{$kind} } > 24;
    }
    my $name = one(@names);
    my $arg = $call{$name} ? { $call{$name}->() } : {};
    push @last, "$step $f->{tenant} $name " . join ' ', map {
        ref $arg->{$_} ? "$_=[@{ $arg->{$_} }]" : "$_=$arg->{$_}" }
        grep { length $arg->{$_} } sort keys %$arg;
    shift @last if @last > 8 + $EVERY;
    if ($call{$name}) {
        push @again, [$name, $arg];
        shift @again if @again > 20;
    }
    my $ok = eval { $call{$name} ? do_call($name, $arg) : $event{$name}->(); 1 };
    my @bad = !$ok ? $@ : $step % $EVERY ? () : faults();
    next if !@bad;
    fail "step $step: $name";
    diag join "\n", map { s/[^ -~\n]/?/gr } @bad, 'the last calls:', @last;
    last STEP;
}

is $step, $STEPS + 1, "$STEPS steps: the store agrees with itself";
cmp_ok $called - $refused, '>', $called / 4, "of $called calls $refused were refused";
is_deeply untouched(), $untouched, 'another tenant is as it was';

done_testing;
