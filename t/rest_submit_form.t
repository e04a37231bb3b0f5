# The form of a submission, by the action's scope; its parameters against the
# catalogue, which come after the target; and what is answered.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);
my $vm = $t->vm;
my $unknown = '01890000-0000-7000-8000-000000000000';

sub submit {
    my ($action, $body) = @_;
    return $t->rest(POST => "/vm-ops/$action", ref $body
        ? { json => $body }
        : { body => $body, headers => { 'Content-Type' => 'application/json' } });
}

sub refused {
    my ($what, $r, $status, $code, @field) = @_;
    is_deeply [@{ $r->{json} }{qw(status code)}], [$status, $code],
        "$what: $status $code";
    is_deeply [map { @$_{qw(pointer code)} } @{ $r->{json}{errors} // [] }],
        \@field, "$what: the field at fault";
}

# the catalogue
my $catalogue = $t->rest(GET => '/vm-ops/actions',
                         { token => $t->new_token('viewer')->{token} })->{json};
my %actions = map { ("$_->{service}/$_->{action}" => $_) }
    @{ $catalogue->{items} };
is $actions{'proxmox/start'}{scope}, 'vm', 'start is of a VM';
is $actions{'proxmox/list'}{scope}, 'endpoint', 'list is of an endpoint';
is_deeply [sort keys %{ $actions{'proxmox/start'} }],
    [qw(action class long_running params scope service)], 'an entry';
is $actions{'proxmox/start'}{params}{type}, 'object', 'with a schema';

my ($named) = VMOps::slurp(VMOps::top() . '/README.md')
    =~ /^The catalogue has ([^;]*);/m;
is_deeply [$named =~ /`([\w-]+)`/g],
    [map { $_->{action} } @{ $catalogue->{items} }], 'what README.md says of it';
my ($page, @paged) = { next_cursor => 0 };
while (defined $page->{next_cursor}) {
    $page = $t->rest(GET => "/vm-ops/actions?limit=4&cursor=$page->{next_cursor}")
        ->{json};
    cmp_ok scalar(@{ $page->{items} }), '<=', 4, 'a page of it';
    push @paged, @{ $page->{items} };
}
is_deeply \@paged, $catalogue->{items}, 'pages show each once, in order';

# an unknown action, whatever the body
for my $path ('proxmox/fly', 'vmware/start', 'ssh/start', 'proxmox/START',
              'proxmox/start%20') {
    refused($path, submit($path, { nothing => 1 }), 422, 'unknown_action');
}
refused('two slashes', submit('proxmox/start/now', {}), 404, 'not_found');
refused('no JSON', submit('proxmox/fly', '{'), 400, 'invalid_json');

# shape
for my $case (
    [{}, '/vm_uuid', 'required'],
    [{ vm_uuid => undef }, '/vm_uuid', 'type'],
    [{ vm_uuid => 1 }, '/vm_uuid', 'type'],
    [{ vm_uuid => uc $vm }, '/vm_uuid', 'pattern'],
    [{ vm_uuid => $vm, node => 'pve1' }, '/node', 'unknown_field'],
    [{ vm_uuid => $vm, secret_ref => $t->secret }, '/secret_ref',
     'unknown_field'],
    [{ vm_uuid => $vm, params => [] }, '/params', 'type'],
    [{ vm_uuid => $vm, params => 'x' }, '/params', 'type'],
    [{ vm_uuid => $vm, timeout_s => 0 }, '/timeout_s', 'range'],
    [{ vm_uuid => $vm, timeout_s => 3601 }, '/timeout_s', 'range'],
    [{ vm_uuid => $vm, timeout_s => '60' }, '/timeout_s', 'type'],
    [qq({"vm_uuid":"$vm","timeout_s":1.5}), '/timeout_s', 'type'],
    ['[]', '', 'type'],
    ['"x"', '', 'type'],
    ['null', '', 'type'],
) {
    my ($body, @field) = @$case;
    refused("start $field[0] $field[1]", submit('proxmox/start', $body), 422,
            'invalid_params', @field);
}
refused('a name twice', submit('proxmox/start',
    qq({"vm_uuid":"$vm","vm_uuid":"$vm"})), 400, 'invalid_json');
refused('list of a VM', submit('proxmox/list', { vm_uuid => $vm }), 422,
        'invalid_params', '/vm_uuid', 'unknown_field');
refused('list without a target', submit('proxmox/list', {}), 422,
        'invalid_params', '/secret_ref', 'required');
refused('list of a UUID', submit('proxmox/list', { secret_ref => $vm }), 422,
        'invalid_params', '/secret_ref', 'pattern');

# parameters, after the target
my $wrong = { timeout => 0, force => 1 };
refused('wrong parameters of an unknown VM', submit('proxmox/start', {
    vm_uuid => $unknown, params => $wrong }), 404, 'not_found', '/vm_uuid',
    'unknown');
refused('an unknown secret', submit('proxmox/list', {
    secret_ref => 'sec_' . '0' x 32 }), 404, 'not_found', '/secret_ref',
    'unknown');
my $free = $t->made(POST => '/vms', { name => 'free', agent_id => undef,
    guest => 'lxc', node => 'pve1', vmid => 101 })->{vm_uuid};
refused('wrong parameters of an unassigned VM', submit('proxmox/start', {
    vm_uuid => $free, params => $wrong }), 409, 'vm_unassigned');
for my $case (
    [{ force => 1 }, '/params/force', 'unknown_field'],
    [{ 'a/b~' => 1 }, '/params/a~1b~0', 'unknown_field'],
    [{ timeout => 0 }, '/params/timeout', 'range'],
    [{ timeout => 601 }, '/params/timeout', 'range'],
    [{ timeout => '5' }, '/params/timeout', 'type'],
    [{ timeout => undef }, '/params/timeout', 'type'],
    [{ timeout => { x => 1 } }, '/params/timeout', 'type'],
) {
    my ($params, @field) = @$case;
    refused("start $field[0] $field[1]", submit('proxmox/start', {
        vm_uuid => $vm, params => $params }), 422, 'invalid_params', @field);
}
my $many = { map { ("member$_" => 'x' x 80) } 1 .. 400 };
refused('parameters beyond 32 KiB', submit('proxmox/start', {
    vm_uuid => $vm, params => $many }), 422, 'invalid_params', '/params',
    'length');

# what is accepted, and how it is answered
my $r = submit('proxmox/start', { vm_uuid => $vm, params => { timeout => 600 },
                                  timeout_s => 3600 });
is $r->{status}, 202, 'accepted';
my $command = $r->{json};
is $r->{headers}{location},
    $s->url . "/api/v1/vm-ops/commands/$command->{command_id}", 'its address';
is_deeply [sort keys %$command], [sort qw(command_id service action target
    agent_id params status progress result error log created_by created_at
    delivered_at accepted_at finished_at timeout_s secrets receipt recovered)],
    'an AgentCommand has all members, and no other';
is_deeply $command->{target}, { vm_uuid => $vm, guest => 'qemu',
                                node => 'pve1', vmid => 100 }, 'its target';
is_deeply $command->{params}, { timeout => 600 }, 'its parameters';
is_deeply $command->{secrets}, [{ secret_ref => $t->secret, version => 1 }],
    'the secret it will use';
is_deeply [@$command{qw(service action status agent_id timeout_s)}],
    ['proxmox', 'start', 'queued', $t->agent->id, 3600], 'and what it is';
is_deeply [@$command{qw(progress result error log receipt delivered_at
                        accepted_at finished_at)}],
    [undef, undef, undef, [], undef, undef, undef, undef],
    'nothing has come of it yet';
ok !$command->{recovered}, 'nor was it recovered';
like $command->{created_at}, qr/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/, 'when';
like $command->{created_by}, qr/\S/, 'and who';
my $order = $t->agent->serve;
is_deeply $order->{params}, { timeout => 600 }, 'the agent has the parameters';

$r = submit('proxmox/list', { secret_ref => $t->secret });
is $r->{status}, 202, 'an endpoint';
is_deeply $r->{json}{target}, { secret_ref => $t->secret }, 'is its target';
is $r->{json}{timeout_s}, 120, 'the time where none is said';
is_deeply $r->{json}{params}, {}, 'no parameters';
$t->agent->serve;

done_testing;
