# Lists: every item once, page by page, in one order; filters; pages that would
# be too large end early.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;

# all items of a list, by pages of some size; and the sizes of the pages
sub pages {
    my ($name, $id, $limit, %more) = @_;
    my ($cursor, @all, @sizes) = ('');
    do {
        my ($items, $next) = $f->ok_call($name => {
            limit => $limit, cursor => $cursor, %more });
        push @all, map { ref $_ ? $id->($_) : $_ } @$items;
        push @sizes, scalar @$items;
        $cursor = $next;
    } while $cursor ne '' && @sizes < 100;
    return (\@all, \@sizes);
}

my @agents = sort $w->{agent}, map { $f->make_agent } 1 .. 6;
my @vms = sort $w->{vm}, map { $f->make_vm($w->{agent}) } 1 .. 6;
my @secrets = sort map { ref_of($_) } $w->{secret},
    map { $f->make_secret($w->{agent}) } 1 .. 6;
my @tokens = sort map { hash($_)->{token_id} } @{ ($f->ok_call(token_list => {
    limit => 10 }))[0] };
push @tokens, map { $f->make_token("t$_") } 1 .. 5;

my %lists = (
    agent_list => [\@agents, sub { hash($_[0])->{agent_id} }],
    vm_list => [\@vms, sub { hash($_[0])->{vm_uuid} }],
    secret_list => [\@secrets, sub { hash($_[0][0])->{secret_ref} }],
    token_list => [[sort @tokens], sub { hash($_[0])->{token_id} }],
);
for my $name (sort keys %lists) {
    my ($want, $id) = @{ $lists{$name} };
    is_deeply [pages($name, $id, 3)], [$want, [3, 3, 1]], "$name: three a page";
    is_deeply [pages($name, $id, 7)], [$want, [7]], "$name: all on one";
    is_deeply [(pages($name, $id, 1))[0]], [$want], "$name: one by one";
}

my ($tokens, $cursor) = $f->ok_call(token_list => { limit => 2 });
is_deeply [sort keys %{ hash($tokens->[0]) }],
    [qw(created_at mac name role token_id)], 'a token without its HMAC';
is $cursor, $tokens[1], 'nor is it in the cursor';
my ($listed) = grep { hash($_->[0])->{secret_ref} eq ref_of($w->{secret}) }
    @{ ($f->ok_call(secret_list => { limit => 50 }))[0] };
is_deeply $listed->[1], ["vm:$w->{vm}:proxmox"], 'a secret with its bindings';

# commands: newest first
my @commands = map { $f->submitted } 1 .. 7;
$f->age($commands[$_], 700 - 100 * $_) for 0 .. 6;
my $id = sub { hash($_[0])->{command_id} };
is_deeply [pages(command_list => $id, 3)], [[reverse @commands], [3, 3, 1]],
    'commands: newest first';
$f->take(limit => 2);
is_deeply [(pages(command_list => $id, 2, status => 'delivered'))[0]],
    [[reverse @commands[0, 1]]], 'by status';
my $other = $f->make_vm($w->{agent});
$f->bind_secret('vm', $other, $w->{secret});
my $on_other = $f->submitted(target => $other);
is_deeply [(pages(command_list => $id, 2, vm_uuid => $other))[0]],
    [[$on_other]], 'by VM';
is_deeply [(pages(command_list => $id, 50, agent_id => uuid()))[0]], [[]],
    'by agent: none';

# what the cursor names may have left meanwhile, and others be as old
sub listed {
    my ($items, $next) = $f->ok_call(command_list => { limit => 3, @_ });
    return [map { $id->($_) } @$items], $next;
}
my $at = $f->admin('ZSCORE', $f->key('agent_commands'), $commands[3]);
$f->admin('ZADD', $f->key('agent_commands'), $at, $_) for @commands[1 .. 5];
my @same = reverse sort @commands[1 .. 5];
my ($first, $next) = listed(vm_uuid => $w->{vm});
is_deeply $first, [$commands[6], @same[0, 1]], 'of one moment: by their ids';
my $record = $f->admin('DUMP', $f->key('agent_commands', $same[1]));
for my $gone (0, 1) {
    if ($gone) {
        $f->admin('DEL', $f->key('agent_commands', $same[1]));
        $f->admin('ZREM', $f->key('agent_commands'), $same[1]);
    }
    is_deeply +(listed(cursor => $next))[0], [@same[2 .. 4]],
        'after one that is ' . ($gone ? 'gone' : 'there');
}
$f->admin('RESTORE', $f->key('agent_commands', $same[1]), 0, $record);
$f->admin('ZADD', $f->key('agent_commands'), $at, $same[1]);
is_deeply $f->call(command_list => { limit => 2, cursor => $_ }),
    ['bad_request', '/cursor pattern'], "no cursor: $_"
    for uuid(), "x$next", "0$next", $next . '0', "$next ", '1.', '.' . uuid();
$f->age($commands[5], 20_000);
is_deeply [(pages(command_list => $id, 50, status => 'failed'))[0]],
    [[$commands[5]]], 'a list ends what is overdue';

# large records
my $large = 'x' x 1_500_000;
$f->admin('HSET', $f->key('agent_commands', $_), 'result', $large)
    for @commands;
my ($all, $sizes) = pages(command_list => $id, 50);
is scalar @$all, 8, 'large ones: all of them';
is_deeply [grep { $_ > 2 } @$sizes], [], 'on pages of no more than such a one';
$f->admin('HSET', $f->key('vms', $_), 'labels', $large) for @vms;
($all, $sizes) = pages(vm_list => sub { hash($_[0])->{vm_uuid} }, 50);
is scalar @$all, 8, 'VMs, too';
cmp_ok scalar @$sizes, '>', 1, 'on more than one page';

# VMs change under the MAC that was read
my %set = (actor => 'token:1', vm_uuid => $w->{vm}, mac => 'm2',
           mac_before => "mac-$w->{vm}", field_value => ['name', 'db',
                                                         'bot_id', '']);
is $f->call(vm_set => { %set, mac_before => 'x' })->[0], 'conflict',
    'changed meanwhile';
my $vm = hash(($f->ok_call(vm_set => { %set }))[0]);
is_deeply [@$vm{qw(name mac bot_id)}], ['db', 'm2', undef],
    'changed; an empty value is none';
is $f->call(vm_set => { %set, mac_before => 'm2',
                        field_value => ['agent_id', uuid()] })->[0],
    'not_found', 'to an agent that is not there';
is $f->call(vm_set => { %set, mac_before => 'm2',
                        field_value => ['mac', 'x'] })->[0], 'bad_request',
    'a field that is not to be set';
is $f->call(vm_add => { vm_uuid => $w->{vm} })->[0], 'conflict', 'a taken id';
$f->license(max_vms => 8);
is $f->call(vm_add => { vm_uuid => uuid() })->[0], 'license_limit',
    'no VM beyond the license';

done_testing;
