# A deleted tenant: at once no function knows it, and then its keys go in
# bounded steps, all of them, whoever calls and whatever came in between.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;

sub readme { local (@ARGV, $/) = "$FindBin::Bin/../redis/README.md"; return <> }

# a tenant with a key of every kind that the key table knows: in use, or
# planted
my $w = $f->world;
my @as = (agent_id => $w->{agent}, session => $w->{session});
my $id = $f->submitted(idem => 'i');
$f->take;
$f->ok_call(log => { @as, command_id => $id, line => ['x'] });
$f->submitted;
$f->ok_call(secret_rotate => { agent_id => $w->{agent}, nonce => 'n',
    secret_id => $w->{secret}, if_match => 1, version => 2,
    alg => 'xc20p-blake2b-v1', key_id => $f->key_id, created_ms => now_ms(),
    secret_nonce => 'nonce-2', ciphertext => 'ciphertext-2', aad_meta => '{}',
    size => 272 });
$f->bind_secret('bot', 'bot1', $w->{secret});
$f->ok_call(pairing_create => { actor => 'token:1', pairing_id => $_->[0],
    code_hmac => 'h', selector => $_->[1], name => 'pc', auto_approve => 0,
    subject => 'owner', ttl_ms => 600_000 })
    for ['p1', 'AAAA'], ['p2', 'BBBB'];
$f->ok_call(console_open => { actor => 'token:1', token => 'op',
    session => 's1', subject => 'user-op', role => 'operator',
    expires_at => now_ms() + 60_000, csrf => 'c', mac => 'm' });
$f->ok_call(principal => { pkind => 'token', pkey => 'op', cost => 1,
                           limit => 100 });
$f->admin('RPUSH', $f->key('audit_seals'), 'seal');

for my $kind (map { /^\| `(tenants\/[^`]*)` \| (?!shard)/ ? $1 : () }
              split /\n/, readme()) {
    my $pattern = quotemeta($kind) =~ s/\\<t\\>/acme/r =~ s/\\<[^>]*>/[^\/]+/gr;
    $f->admin('SET', $kind =~ s/<t>/acme/r, 'planted')
        unless grep { /^$pattern$/ } @{ $f->admin('KEYS', 'tenants/*') };
}
my $before = @{ $f->admin('KEYS', 'tenants/{acme}/*') };
cmp_ok $before, '>', 30, "$before keys";

# others that look like it, and stay
$f->make_tenant($_) for 'acme-2', 'acm', 'a';
$f->admin('SET', 'tenants/{acme', 'x');
my @others = sort grep { !/^tenants\/\{acme\}/ } @{ $f->admin('KEYS', '*') };
$f->{tenant} = 'acme';

# marked: nobody knows it
my $wake = $f->listen('wake');
is $f->call(tenant_purge => { limit => 10 })->[0], 'conflict',
    'not while it is active';
my $record = hash(($f->ok_call(tenant_delete => { actor => 'platform:1' }))[0]);
is $record->{status}, 'deleting', 'deleting';
is_deeply [$f->heard($wake)], ['suspend'], 'the gateways end its agents';
is $f->call(tenant_delete => { actor => 'platform:2' })->[0], 'OK', 'again';
is_deeply [$f->heard($wake)], [], 'changes nothing';
my $snapshot = $f->snapshot;
my %known = map { $_ => 1 }
    qw(tenant_get tenant_delete tenant_purge sweep tenant_create);
my %table = VMOps::Functions::table();
my %answers;
for my $name (sort grep { $table{$_}{key} eq 'TENANT' && !$known{$_} }
              keys %table) {
    my $reply = $f->call($name);
    push @{ $answers{ $reply->[0] } }, $name;
}
is_deeply [sort keys %answers], [qw(not_found pairing_invalid unauthenticated)],
    'every other function answers as if there were none';
is $f->submit->[0], 'unauthenticated', 'a good submission, too';
is $f->call(tenant_create => { name => 'x', hmac => 'h' })->[0], 'conflict',
    'its name is still taken';
is_deeply $f->snapshot, $snapshot, 'and nothing changed';
is_deeply $f->call(sweep => { live => 'gw1', limit => 10 }),
    ['OK', 0, 0, 1, ''], 'the sweep says what it is about';

# one step in a while, whoever asks: the last one was later than any call
sub paced { $f->admin('HSET', $f->key, 'purge_at', $_[0] // 0) }

paced(now_ms() + $_) for -1_000_000, 0;
my $whole = @{ $f->admin('KEYS', 'tenants/{acme}/*') };
is(($f->ok_call(tenant_purge => { limit => 1_000_000 }))[0], 'more',
   'too soon after the last step') for 1, 2;
is scalar @{ $f->admin('KEYS', 'tenants/{acme}/*') }, $whole, 'nothing is done';

# in steps; a process that began anew knows no cursor of the one before
my ($steps, $most, @selectors, $state, $deletion) = (0, 0);
do {
    my $have = @{ $f->admin('KEYS', 'tenants/{acme}/*') };
    paced();
    ($state, my $found, my $actor, $deletion) =
        $f->ok_call(tenant_purge => { limit => 5 });
    push @selectors, @$found;
    my $gone = $have - @{ $f->admin('KEYS', 'tenants/{acme}/*') };
    $most = $gone if $gone > $most;
    $f->admin('HSET', $f->key, 'purge_process', 'another', 'purge_cursor', 999)
        if ++$steps == 3;
    BAIL_OUT('no end of it') if $steps > 10_000;
    is $actor, 'platform:1', 'who deleted it' if $state ne 'more';
} until $state eq 'empty';
is_deeply $f->admin('KEYS', 'tenants/{acme}/*'), [], 'nothing is left';
cmp_ok $steps, '>', 5, "in $steps steps";
cmp_ok $most, '<=', 20, "none of them large ($most keys)";
is_deeply [sort { $a->[0] cmp $b->[0] } @selectors],
    [['AAAA', 'p1'], ['BBBB', 'p2']], 'codes to be freed: those that waited';
is $f->admin('EXISTS', $f->key), 1, 'but for the record';
is $deletion, $record->{deleted_at}, 'which says of what deletion it is';
is(($f->ok_call(tenant_purge => { limit => 5, unlisted => $_ }))[0], 'empty',
   "and waits until the platform lists it no more ('$_')")
    for '', $deletion - 1;
is(($f->ok_call(tenant_purge => { limit => 5, unlisted => $deletion }))[0],
   'gone', 'and goes');
is $f->call(tenant_purge => { limit => 5, unlisted => $deletion })->[0],
    'not_found', 'that is all';
is_deeply [sort @{ $f->admin('KEYS', '*') }], \@others, 'the others are there';

# the platform's side
sub listed { defined $f->admin('ZSCORE', 'platform/{p}/tenants', 'acme') }
sub drop {
    return ($f->ok_call(platform_tenant_drop => { tenant => 'acme',
        actor => 'platform:1', deletion => $_[0] }))[0];
}
my %add = (tenant => 'acme', actor => 'platform:1');
$f->ok_call(platform_tenant_add => \%add);
is drop($deletion), 1, 'listed no more';
ok !listed(), 'not there';
$f->ok_call(platform_tenant_add => \%add);
is drop($deletion), 0, 'a worker that comes late with the same deletion';
ok listed(), 'does not mean who has the name by now';
is drop($deletion + 1), 1, 'its own deletion does';
my @audit = map { my %e = @{ $_->[1] }; $e{entry} }
    @{ $f->admin('XRANGE', 'platform/{p}/audit', '-', '+') };
is scalar(grep { /"tenant.deleted".*"platform:1".*"acme"/ } @audit), 2,
    'in the audit';
$f->admin('ZADD', 'platform/{p}/tenants/dropped', 'XX', now_ms() - 90_000_000,
          "acme:$deletion");
is drop($deletion + 1), 0, 'another late one';
is_deeply $f->admin('ZRANGE', 'platform/{p}/tenants/dropped', 0, -1),
    ['acme:' . ($deletion + 1)], 'what no call can mean any more is forgotten';

# the name is free, and what is made under it has nothing of before
my $new = $f->world;
is $f->call(command_get => { command_id => $id })->[0], 'not_found',
    'made again: without its commands';
is $f->call(principal => { pkind => 'session', pkey => 's1', cost => 1,
                           limit => 10 })->[0], 'unauthenticated',
    'without its sessions';
is $f->submit(idem => 'i')->[1], 1, 'without its idempotency';

done_testing;
