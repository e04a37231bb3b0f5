# Lists of commands: newest first, page by page, filtered; and one command.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);
my $globex = VMOps::Rest->new($s, tenant => 'globex');
my $viewer = $t->new_token('viewer')->{token};

sub list {
    my ($query) = @_;
    my $r = $t->rest(GET => "/vm-ops/commands$query", { token => $viewer });
    is $r->{status}, 200, "commands$query";
    return $r->{json};
}

sub ids { return [map { $_->{command_id} } @{ $_[0]{items} }] }

is_deeply list(''), { items => [], next_cursor => undef }, 'none yet';

my $second = $t->made(POST => '/vms', { name => 'second', guest => 'lxc',
    agent_id => $t->agent->id, node => 'pve1', vmid => 101 })->{vm_uuid};
$t->rest(PUT => "/secrets/bindings/vm/$second/proxmox",
         { json => { secret_ref => $t->secret } });

my @all;
for my $n (1 .. 7) {
    my $command = $t->start(vm_uuid => $n % 2 ? $t->vm : $second);
    unshift @all, $command->{command_id};
    my $order = $t->agent->cmd;
    $t->agent->ack($order);
    next if $n == 7;
    $t->agent->result($order, $n == 3
        ? (status => 'failed', result => undef,
           error => { code => 'vm_locked', stage => undef, detail_code => undef })
        : ());
    $t->agent->receive('result.ok');
}
$globex->start;
$globex->agent->serve;
wait_for { list('?status=running')->{items}[0] } 5, 'the last one to run';

is_deeply ids(list('')), \@all, 'newest first, and the tenant\'s own';
my $page = list('?limit=3');
is_deeply ids($page), [@all[0 .. 2]], 'a page';
$page = list("?limit=3&cursor=$page->{next_cursor}");
is_deeply ids($page), [@all[3 .. 5]], 'the next one';
$page = list("?limit=3&cursor=$page->{next_cursor}");
is_deeply ids($page), [$all[6]], 'the last one';
is $page->{next_cursor}, undef, 'and no more';

is_deeply ids(list('?status=running')), [$all[0]], 'by status';
is_deeply ids(list('?status=failed')), [$all[4]], 'by another status';
is_deeply ids(list('?status=queued')), [], 'of none';
is_deeply ids(list("?vm_uuid=$second")), [@all[1, 3, 5]], 'by VM';
is_deeply ids(list('?agent_id=' . $t->agent->id)), \@all, 'by agent';
is_deeply ids(list('?agent_id=' . $globex->agent->id)), [],
    'by another tenant\'s agent';
is_deeply ids(list("?vm_uuid=$second&status=succeeded&limit=2")),
    [@all[1, 3]], 'by all of it';

for my $bad ('status=done', 'status=RUNNING', 'vm_uuid=1', 'agent_id=x',
             'limit=0', 'limit=201', 'limit=x', 'cursor=', 'cursor=x',
             "cursor=$all[2]") {
    my $r = $t->rest(GET => "/vm-ops/commands?$bad");
    is $r->{status}, 400, "$bad: 400";
    is $r->{json}{code}, 'bad_request', "$bad: bad_request";
    is $r->{json}{errors}[0]{pointer}, '/' . $bad =~ s/=.*//r, 'which one';
}

# in a list a command has all but what is read one by one
my ($item) = @{ list('?status=failed')->{items} };
my $one = $t->rest(GET => "/vm-ops/commands/$all[4]", { token => $viewer });
is $one->{status}, 200, 'one';
my %short = %{ $one->{json} };
delete @short{qw(log receipt)};
is_deeply $item, \%short, 'the same, without its log and receipt';

is $t->rest(GET => '/vm-ops/commands/01890000-0000-7000-8000-000000000000')
    ->{status}, 404, 'an unknown one';

done_testing;
