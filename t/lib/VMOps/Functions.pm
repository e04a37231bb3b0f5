package VMOps::Functions;

# The function library under test: calls by the names of arguments that
# include/vmops_functions.def gives, and a small world to call them in.
#
#   my $f = VMOps::Functions->new;
#   my $w = $f->world;              # a tenant, an agent online, VM, secret
#   is $f->submit->[0], 'OK', 'accepted';

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter 'import';
use Time::HiRes qw(time);

use VMOps::RedisServer;

our @EXPORT = qw(hash whole uuid ref_of now_ms);

my ($TOP) = abs_path(__FILE__) =~ m{^(.*)/t/lib/VMOps/Functions\.pm$};

# name => {name, key, flags, args => [names], rest => name of the repeated one}
sub table {
    open my $file, '<', "$TOP/include/vmops_functions.def" or die $!;
    local $/;
    my $text = <$file> =~ s{/\*.*?\*/}{}gsr;
    my %table;
    for my $entry (split /^VMOPS_FUNCTION\(/m, $text) {
        my ($name, $key, $flags, $rest) =
            $entry =~ /^(\w+),\s*(\w+),\s*(\w+),\s*(.*)/s or next;
        my ($args) = $rest =~ /^"([^"]*)"\s*,/s;
        if (!defined $args) {    # in several pieces
            my ($pieces) = $rest =~ /^((?:"[^"]*"\s*)+),/s;
            $args = join '', $pieces =~ /"([^"]*)"/g;
        }
        my @args = split ' ', $args;
        my $last = @args && $args[-1] =~ /\*$/ ? pop @args : '';
        $table{$name} = { name => $name, key => $key, flags => $flags,
                          args => \@args, rest => $last =~ s/\*//r };
    }
    return %table;
}

sub new {
    my ($class, %conf) = @_;
    my %table = table();
    return bless { server => VMOps::RedisServer->start(%conf),
                   table => \%table, tenant => 'acme' }, $class;
}

sub server { $_[0]{server} }

sub admin { my $self = shift; $self->{server}->admin(@_) }

# the tenant that calls go to from now on
sub use_tenant { $_[0]{tenant} = $_[1]; $_[0] }

# its key, or one below it
sub key {
    my ($self, @parts) = @_;
    return join '/', "tenants/{$self->{tenant}}", @parts;
}

# what nginx packs, by the argument that it becomes
my @INTENT = qw(service action scope family target params timeout_s iat exp
                subject role pkind pkey idem intent_mac);
my @OUTCOME = qw(started finished result error_stage error_detail secrets
                 receipt_payload receipt_signature);

# names and values in MessagePack, as nginx does, without the empty ones
sub packed {
    my ($names, $value) = @_;
    my @list = map { ($_, $value->{$_}) } grep { length($value->{$_} // '') }
        @$names;
    return pack('Cn', 0xdc, scalar @list) . join '', map {
        length > 31 ? pack('Cn', 0xda, length) . $_
                    : chr(0xa0 | length) . $_
    } @list;
}

# the arguments of a function in their order; unnamed ones are ""
sub arguments {
    my ($self, $name, $arg) = @_;
    my $function = $self->{table}{$name} or croak "no function $name";
    my %left = %{ $arg // {} };
    if ($name eq 'submit') {
        $left{intent} //= packed(\@INTENT, \%left);
        delete @left{qw(params iat exp intent_mac)};
    } elsif ($name eq 'finish') {
        $left{signed} //= length($left{receipt_signature} // '') ? 1 : '';
        $left{outcome} //= packed(\@OUTCOME, \%left);
        delete @left{@OUTCOME};
    }
    my @args = map { delete $left{$_} // '' } @{ $function->{args} };
    push @args, @{ delete $left{ $function->{rest} } // [] }
        if $function->{rest};
    croak "$name has no argument ", join ' ', keys %left if %left;
    return @args;
}

sub call {
    my ($self, $name, $arg) = @_;
    my @args = $self->arguments($name, $arg);
    my $key = { TENANT => $self->key, PLATFORM => 'platform/{p}',
                SELECTOR => 'pairings/' . ($self->{selector} // 'ABCD'),
              }->{ $self->{table}{$name}{key} };
    my $reply = $self->{server}->fcall($name, $key, @args);
    $self->{ended} = ref $reply && @$reply > 1 && !ref $reply->[-1]
        && $reply->[-1] =~ /^ended / ? pop @$reply : '';
    # of a new command's order, its record
    $reply->[2] = unpacked($reply->[2])->[2]
        if $name eq 'submit' && ref $reply && @$reply > 2 && $reply->[1] eq '1';
    return $reply;
}

# what the last call says of the commands that it ended: 'ended failed=1', ''
sub ended { $_[0]{ended} }

# a call that has to answer OK; what follows it
sub ok_call {
    my ($self, $name, $arg) = @_;
    my $reply = $self->call($name, $arg);
    croak "$name: @$reply" if $reply->[0] ne 'OK';
    return @$reply[1 .. $#$reply];
}

# a flat array as a hash
sub hash { return { @{ $_[0] } } }

# arrays of strings in MessagePack, as Redis' cmsgpack and nginx write them
sub unpacked {
    my ($text) = @_;
    my $at = 0;
    my $number = sub {
        my ($bytes) = @_;
        my $n = 0;
        $n = $n << 8 | ord substr $text, $at++, 1 for 1 .. $bytes;
        return $n;
    };
    my $one;
    $one = sub {
        my $type = $number->(1);
        return undef if $type == 0xc2;
        my $list = $type == 0xdc || ($type & 0xf0) == 0x90;
        my $size = $type >= 0xd9 && $type <= 0xdb ? $number->(1 << $type - 0xd9)
            : $type == 0xdc ? $number->(2) : $type & ($list ? 0x0f : 0x1f);
        return [map { $one->() } 1 .. $size] if $list;
        $at += $size;
        return substr $text, $at - $size, $size;
    };
    return $one->();
}

# a command's record as the store has it, with what is packed in it
sub whole {
    my ($list) = @_;
    my %record = @$list;
    my @packed = grep { defined } delete @record{qw(intent outcome)};
    return { (map { @{ unpacked($_) } } @packed), %record };
}

sub now_ms { return int(time * 1000) }

my $ids = 0;
sub uuid { return sprintf '0193a1b2-0000-7000-8000-%012x', ++$ids }

sub ref_of { return 'sec_' . $_[0] =~ s/-//gr }

# The world.  Each returns the id of what it made.

sub make_tenant {
    my ($self, $name) = @_;
    $self->use_tenant($name // 'acme');
    $self->ok_call(tenant_create => {
        name => ucfirst $self->{tenant}, cohort => 'internal',
        actor => 'platform:1', hmac => 'owner-hmac', token_id => uuid(),
        token_name => 'first', mac => 'mac-of-owner' });
    $self->license;
}

sub license {
    my ($self, %over) = @_;
    $self->ok_call(license_set => {
        actor => 'platform:1', plan => 'test', max_agents => 100,
        max_vms => 100, expires_at => now_ms() + 3_600_000,
        grace_ms => 600_000, %over });
}

sub make_token {
    my ($self, $hmac, %over) = @_;
    my $id = uuid();
    $self->ok_call(token_add => {
        actor => 'token:1', hmac => $hmac, token_id => $id,
        role => 'operator', name => $hmac, subject => "user-$hmac",
        mac => "mac-$hmac", %over });
    return $id;
}

# kid of 32 equal bytes, and the key_id it makes
my %KID = (a => ['YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE', 'k1' . '61' x 16],
           b => ['YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI', 'k1' . '62' x 16]);

sub key_id { return $KID{ $_[1] // 'a' }[1] }

# a paired agent: approved unless told otherwise, offline
sub make_agent {
    my ($self, %opt) = @_;
    my $pairing = uuid();
    my $approved = $opt{approved} // 1;
    $self->ok_call(pairing_create => {
        actor => 'token:1', pairing_id => $pairing, code_hmac => 'right',
        selector => 'ABCD', name => 'pc', auto_approve => $approved,
        agent_id => $opt{again} // '', subject => 'owner', ttl_ms => 600_000 });
    my $id = $opt{again} // uuid();
    $self->ok_call(register => {
        pairing_id => $pairing, code_hmac => 'right', signature_ok => 1,
        agent_id => $id, approved => $approved, ed_pk => 'ed', x_pk => 'x',
        kid => $KID{ $opt{key} // 'a' }[0], platform => 'linux', name => 'pc',
        hostname => 'host', version => '1.0', mac => "mac-$id" });
    return $id;
}

# auth and ready, as the gateway does: the session
sub connect_agent {
    my ($self, $id, %opt) = @_;
    my $session = $opt{session} // uuid();
    my ($epoch) = $self->ok_call(session_auth => {
        agent_id => $id, epoch => $opt{epoch} // 0, session => $session });
    $self->ok_call(session_ready => {
        agent_id => $id, session => $session,
        incarnation => $opt{gateway} // 'gw1', epoch => $epoch,
        last_seq => $opt{last_seq} // 0, version => '1.0',
        platform => 'linux', live => $opt{live} // 'gw1,gw2' });
    $self->{epoch}{$id} = $epoch;
    return $session;
}

sub make_vm {
    my ($self, $agent, %over) = @_;
    my $id = uuid();
    $self->ok_call(vm_add => {
        actor => 'token:1', vm_uuid => $id, name => 'web', agent_id => $agent,
        guest => 'qemu', node => 'pve1', vmid => 101, labels => '{}',
        state => 'ready', mac => "mac-$id", %over });
    return $id;
}

sub make_secret {
    my ($self, $agent, %over) = @_;
    my $id = delete $over{id} // uuid();
    $self->ok_call(secret_add => {
        agent_id => $agent, nonce => uuid(), secret_id => $id,
        kind => 'proxmox_token', label => 'pve', alg => 'xc20p-blake2b-v1',
        key_id => $self->key_id, created_ms => now_ms(),
        secret_nonce => 'nonce-1', ciphertext => 'ciphertext-1',
        aad_meta => '{}', size => 272, %over });
    return $id;
}

sub bind_secret {
    my ($self, $type, $scope, $secret, %over) = @_;
    return $self->call(binding_set => {
        actor => 'token:1', scope_type => $type, scope_id => $scope,
        family => 'proxmox', secret_id => $secret, mac => 'mac-b', %over });
}

# a tenant with one of everything, its agent online
sub world {
    my ($self, $name) = @_;
    $self->make_tenant($name);
    $self->make_token('op');
    my %world = (agent => $self->make_agent);
    $world{session} = $self->connect_agent($world{agent});
    $world{vm} = $self->make_vm($world{agent}, bot_id => 'bot1');
    $world{secret} = $self->make_secret($world{agent});
    $world{bind} = $self->bind_secret('vm', $world{vm}, $world{secret});
    return $self->{world} = \%world;
}

# the arguments of a good submission in that world
sub good {
    my ($self, %over) = @_;
    my $now = now_ms();
    return {
        pkind => 'token', pkey => 'op', subject => 'user-op',
        role => 'operator', cost => 1, rate_limit => 1000,
        command_limit => 1000, open_limit => 1000, live => 'gw1,gw2',
        flags => '*=1', command_id => uuid(), service => 'proxmox',
        action => 'start', scope => 'vm', family => 'proxmox',
        target => $self->{world}{vm}, params => '{}', timeout_s => 60,
        iat => $now, exp => $now + 60_000, body_hash => 'body',
        intent_mac => 'mac-i', %over };
}

sub submit {
    my ($self, %over) = @_;
    return $self->call(submit => $self->good(%over));
}

# an accepted submission: the id
sub submitted {
    my ($self, %over) = @_;
    my $reply = $self->submit(%over);
    croak "submit: @$reply" if $reply->[0] ne 'OK';
    return hash($reply->[2])->{command_id};
}

sub take {
    my ($self, %over) = @_;
    return $self->call(take => {
        agent_id => $self->{world}{agent},
        session => $self->{world}{session}, limit => 100, %over });
}

# gives back what was taken, each of the turn its record names: how many were
sub untake {
    my ($self, $ids, %over) = @_;
    my ($returned) = $self->ok_call(untake => {
        agent_id => $self->{world}{agent},
        session => $self->{world}{session},
        command_turn => [map { ($_, $self->turn($_)) } @$ids], %over });
    return $returned;
}

sub turn {
    my ($self, $id) = @_;
    return $self->admin('HGET', $self->key('agent_commands', $id), 'turn') // 0;
}

sub finish {
    my ($self, $id, %over) = @_;
    return $self->call(finish => {
        agent_id => $self->{world}{agent}, command_id => $id,
        status => 'succeeded', started => 1, finished => 2,
        result => '{"upid":null}', secrets => '[]', receipt_payload => 'p',
        receipt_signature => 's', %over });
}

# a command's record, and its log
sub command {
    my ($self, $id) = @_;
    my ($record) = $self->ok_call(command_get => { command_id => $id });
    return hash($record);
}

# moves a command so far into the past
sub age {
    my ($self, $id, $ms) = @_;
    my $key = $self->key('agent_commands', $id);
    my $created = $self->admin('HGET', $key, 'created_at');
    $self->admin('HSET', $key, 'created_at', $created - $ms);
    $self->admin('ZINCRBY', $self->key('deadlines'), -$ms, $id)
        if defined $self->admin('ZSCORE', $self->key('deadlines'), $id);
    $self->admin('ZADD', $self->key('agent_commands'), $created - $ms, $id);
}

# everything that is stored, key by key; without rate counters
sub snapshot {
    my ($self) = @_;
    my %dump;
    for my $key (sort @{ $self->admin('KEYS', '*') }) {
        $dump{$key} = unpack 'H*', $self->admin('DUMP', $key)
            unless $key =~ m{/rate/};
    }
    return \%dump;
}

# messages of a shard channel from now on: a connection
sub listen {
    my ($self, $channel) = @_;
    my $client = $self->{server}->client('vmops');
    $client->call('SSUBSCRIBE', $self->key($channel));
    $client->{channel} = $self->key($channel);
    return $client;
}

# all that came on it so far: what stands before a mark of our own
sub heard {
    my ($self, $client) = @_;
    $self->admin('SPUBLISH', $client->{channel}, 'mark');
    my @messages;
    while (1) {
        my $message = $client->receive;
        return @messages if $message->[2] eq 'mark';
        push @messages, $message->[2];
    }
}

1;
