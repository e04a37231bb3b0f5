# No single call grows with what a tenant has piled up: pairings that wait, the
# versions of a secret and its bindings have an end, and a list reads no more of
# the commands that it does not show than it needs to know that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use VMOps;
use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;

# include/vmops_limits.h
my $OLD = 16;
my $BINDINGS = 1000;

sub versions {
    my ($ref) = @_;
    return sort { $a <=> $b } map { m{/(\d+)$} ? $1 : () }
        @{ $f->admin('KEYS', $f->key('secrets_ciphertext', $ref, '*')) };
}

sub rotate {
    my ($secret, $to) = @_;
    return $f->call(secret_rotate => {
        agent_id => $w->{agent}, nonce => uuid(), secret_id => $secret,
        if_match => $to - 1, version => $to, alg => 'xc20p-blake2b-v1',
        key_id => $f->key_id, created_ms => now_ms(), secret_nonce => 'nonce',
        ciphertext => 'ciphertext', aad_meta => '{}', size => 272 });
}

# an agent that rotates one secret all day long
my $secret = $f->make_secret($w->{agent});
my $ref = ref_of($secret);
my $last = 2 * $OLD + 3;
is_deeply [map { rotate($secret, $_)->[0] } 2 .. $last], [('OK') x ($last - 1)],
    'rotated';
is_deeply [versions($ref)], [$last - $OLD .. $last],
    'the current version, and of the older ones the last';
cmp_ok $f->admin('PTTL', $f->key('secrets_ciphertext', $ref, $last - $OLD)),
    '>', 0, 'the older ones expire';
is $f->admin('PTTL', $f->key('secrets_ciphertext', $ref, $last)), -1,
    'the current one does not';

# one of them is gone already, older ones are not: a clock was set back
$f->admin('DEL', $f->key('secrets_ciphertext', $ref, $last - 2));
is $f->call(secret_delete => { actor => 'token:1', secret_id => $secret })->[0],
    'OK', 'deleted';
is_deeply [versions($ref)], [], 'with all its versions';

# bots are in no registry: any name is one
my $bound = $f->make_secret($w->{agent});
my @all = map { $f->bind_secret('bot', "bot$_", $bound)->[0] } 1 .. $BINDINGS;
is_deeply [grep { $_ ne 'OK' } @all], [], 'as many bindings as are kept';
is $f->bind_secret('bot', 'more', $bound)->[0], 'conflict', 'and not one more';
is $f->admin('EXISTS', $f->key('secret_bindings', 'bot:more:proxmox')), 0,
    'nothing of it is left behind';
is $f->bind_secret('vm', $w->{vm}, $bound)->[0], 'conflict', 'nor that of a VM';
is $f->call(binding_get => { scope_type => 'vm', scope_id => $w->{vm},
                             family => 'proxmox' })->[0], 'OK',
    'which keeps the one that it has';
is $f->bind_secret('bot', 'bot1', $bound)->[0], 'OK', 'one of them again: yes';
$f->ok_call(binding_delete => { actor => 'token:1', scope_type => 'bot',
                                scope_id => 'bot2', family => 'proxmox' });
is $f->bind_secret('bot', 'more', $bound)->[0], 'OK', 'one is gone: one more';
is $f->call(secret_delete => { actor => 'token:1', secret_id => $bound,
                               force => 1 })->[0], 'OK', 'deleted';
is_deeply [map { m{bindings/(bot.*)} ? $1 : () }
           @{ $f->admin('KEYS', $f->key('secret_bindings', '*')) }], [],
    'with all its bindings';

# codes that nobody uses: their selectors are of all tenants
my $WAITING = 1000;
sub pairing {
    my $id = uuid();
    my $reply = $f->call(pairing_create => {
        actor => 'token:1', pairing_id => $id, code_hmac => 'right',
        selector => 'ABCD', subject => 'owner', ttl_ms => $_[0] // 600_000 });
    return $reply->[0] eq 'OK' ? $id : $reply->[0];
}
my @waiting = map { pairing() } 1 .. $WAITING;
is_deeply [grep { !/-/ } @waiting], [], 'as many pairings as may wait';
is pairing(), 'conflict', 'and not one more';
$f->ok_call(pairing_delete => { actor => 'token:1',
                                pairing_id => $waiting[0] });
like my $burned = pairing(), qr/-/, 'one is deleted: one more';
is pairing(), 'conflict', 'and not two';
$f->call(register => { pairing_id => $burned, code_hmac => 'wrong' })
    for 1 .. 5;
like pairing(1), qr/-/, 'one is burned: one more';
wait_for { pairing() =~ /-/ } 10, 'one has expired: one more';
is pairing(), 'conflict', 'and not two';

# whole records that a call of a list reads
sub reads {
    my (%list) = @_;
    $f->admin('CONFIG', 'RESETSTAT');
    my ($items) = $f->ok_call(command_list => { limit => 200, %list });
    my ($count) = $f->admin('INFO', 'commandstats')
        =~ /^cmdstat_hgetall:calls=(\d+)/m;
    return [scalar @$items, $count // 0];
}

my @id = map { $f->submitted } 1 .. 20;
$f->take(limit => 8);
$f->finish($_) for @id[0 .. 4];
is_deeply reads(), [20, 20], 'a list of all';
is_deeply reads(status => 'succeeded'), [5, 5], 'by status: those alone';
is_deeply reads(status => 'queued'), [12, 12], 'open ones, too';
is_deeply reads(vm_uuid => uuid()), [0, 0], 'of another VM';
is_deeply reads(agent_id => uuid()), [0, 0], 'of another agent';
$f->age($id[19], 20_000);
is_deeply reads(status => 'failed'), [1, 1], 'and what is overdue';
is_deeply reads(status => 'queued'), [11, 11], 'is so no more';

done_testing;
