# The VM registry.
# tags: asan

use strict;
use warnings;

use VMOps;

my $s = VMOps->stack;
my $t = $s->tenant('acme');

sub call {
    my ($method, $path, $json) = @_;
    return $s->rest($method, $path, {
        token => $t->{token}, defined $json ? (json => $json) : () });
}

my %vm = (name => "Web \x{e9}1", agent_id => undef, guest => 'lxc',
          node => 'pve-1', vmid => 100, bot_id => 'bot.1',
          labels => { env => 'prod', "\x{fc}" => '' });

my $r = call(POST => '/vms', \%vm);
is $r->{status}, 201, 'a VM';
my $id = $r->{json}{vm_uuid};
like $id, qr/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-/,
    'its id is the server\'s';
like $r->{headers}{location}, qr{^\Q@{[$s->url]}\E/api/v1/vms/$id$},
    'and its address';
my $created = $r->{json}{created_at};
is_deeply $r->{json}, { %vm, vm_uuid => $id, state => 'ready',
                        created_at => $created }, 'as it was given';
is_deeply call(GET => "/vms/$id")->{json}, $r->{json}, 'and is kept';

# changes: only what is named, null takes away
$r = call(PATCH => "/vms/$id", { vmid => 200, bot_id => undef });
is $r->{status}, 200, 'changed';
is_deeply $r->{json}, { %vm, vm_uuid => $id, state => 'ready', vmid => 200,
                        bot_id => undef, created_at => $created },
    'what was named';
is_deeply call(PATCH => "/vms/$id", {})->{json}, $r->{json}, 'nothing';
is_deeply call(PATCH => "/vms/$id", { labels => {} })->{json}{labels}, {},
    'labels as a whole';
for my $json ({ state => 'provisioning' }, { vm_uuid => $id }, { name => undef },
              { guest => undef }, { vmid => 99 }, { node => 'PVE' }) {
    my ($field) = %$json;
    $r = call(PATCH => "/vms/$id", $json);
    is "$r->{status} $r->{json}{errors}[0]{pointer}", "422 /$field",
        "refused: $field";
}
for my $path ($id, '01890000-0000-7000-8000-000000000000') {
    $r = call(PATCH => "/vms/$path", {
        agent_id => '01890000-0000-7000-8000-000000000000' });
    is "$r->{status} " . ($r->{json}{errors}[0]{pointer} // 'of the path'),
        '404 ' . ($path eq $id ? '/agent_id' : 'of the path'),
        'no such agent, no such VM';
}

# a record that somebody else wrote is not carried on
my $key = "tenants/{acme}/vms/$id";
$s->redis('HSET', $key, vmid => 300);
is call(PATCH => "/vms/$id", { name => 'x' })->{status}, 500,
    'an edited record is not signed again';
is $s->redis('HGET', $key, 'name'), do { my $n = $vm{name}; utf8::encode($n); $n },
    'and stays';
$s->redis('HSET', $key, vmid => 200);
is call(PATCH => "/vms/$id", { name => 'x' })->{json}{name}, 'x',
    'put back it can be changed';

# pages
my %all = ($id => 1);
$all{ call(POST => '/vms', { %vm, vmid => $_ })->{json}{vm_uuid} } = 1
    for 101 .. 110;
my (%seen, $cursor, @sizes);
do {
    my $page = call(GET => '/vms?limit=4' . ($cursor ? "&cursor=$cursor" : ''))
        ->{json};
    push @sizes, scalar @{ $page->{items} };
    $seen{ $_->{vm_uuid} }++ for @{ $page->{items} };
    $cursor = $page->{next_cursor};
} while defined $cursor;
is_deeply \%seen, \%all, 'pages show each once';
is_deeply \@sizes, [4, 4, 3], 'so many a page';

is call(DELETE => "/vms/$id")->{status}, 204, 'deleted';
is call(DELETE => "/vms/$id")->{status}, 404, 'once';
is call(GET => "/vms/$id")->{status}, 404, 'it is gone';

done_testing;
