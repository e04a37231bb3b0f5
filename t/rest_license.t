# The license lease: active, in grace with a warning that is seen, expired with
# 402.  What runs is never ended by it.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);

# the lease ends so many seconds from now
sub lease {
    my ($expires_s, $grace_s, %more) = @_;
    my $r = $s->rest(PUT => '/admin/tenants/acme/license', {
        token => $s->platform_token, json => {
            plan => 'test', max_agents => 10, max_vms => 10,
            expires_at => VMOps::time_of(time + $expires_s),
            grace_s => $grace_s, %more } });
    is $r->{status}, 200, 'a lease';
}

sub submit {
    my (%headers) = @_;
    return $t->rest(POST => '/vm-ops/proxmox/start', {
        json => { vm_uuid => $t->vm, timeout_s => 600 },
        headers => \%headers });
}

sub shown { return $t->made(GET => '/license') }

is shown()->{status}, 'active', 'active';
my $r = submit();
is $r->{status}, 202, 'active: accepted';
is $r->{headers}{'vmops-license'}, undef, 'without a warning';
my $long = $t->agent->cmd;
$t->agent->ack($long);

# in grace
lease(-60, 3600);
my $license = shown();
is $license->{status}, 'grace', 'grace';
like $license->{grace_until}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/, 'until when';
my $warning = "grace;until=\"$license->{grace_until}\"";
$r = submit();
is $r->{status}, 202, 'in grace: accepted';
is $r->{headers}{'vmops-license'}, $warning, 'with a warning';
my $queued = $t->agent->cmd;
my $waiting = $t->begin(POST => '/vm-ops/proxmox/start',
    json => { vm_uuid => $t->vm }, headers => { Prefer => 'wait=30' });
$t->agent->serve;
$r = $waiting->answer;
is $r->{status}, 200, 'waited for';
is $r->{headers}{'vmops-license'}, $warning, 'the same warning';
is $t->rest(POST => '/agents/pairings', { json => {} })->{status}, 201,
    'in grace an agent may be paired';

# expired, with work under way: one sent, one running, one waited for
$waiting = $t->begin(POST => '/vm-ops/proxmox/start',
    json => { vm_uuid => $t->vm }, headers => { Prefer => 'wait=30' });
my $waited = $t->agent->cmd;
lease(-3600, 60);
is shown()->{status}, 'expired', 'expired';
$r = submit('Idempotency-Key' => 'new');
is "$r->{status} $r->{json}{code}", '402 license_inactive', 'a new one: 402';
is $r->{headers}{'vmops-license'}, undef, 'which is its own warning';
for my $call ([POST => '/agents/pairings', {}],
              [POST => '/vms', { name => 'x', agent_id => undef,
                                 guest => 'qemu', node => 'pve1',
                                 vmid => 101 }]) {
    my ($method, $path, $body) = @$call;
    $r = $t->rest($method, $path, { json => $body });
    is "$r->{status} $r->{json}{code}", '402 license_inactive', "$path: 402";
}
for my $order ($queued, $waited) { $t->agent->ack($order) }
$t->agent->send({ t => 'progress', id => $long->{id}, percent => 50,
                  stage => 'task', message => 'on its way' });
for my $order ($long, $queued, $waited) {
    $t->agent->result($order);
    $t->agent->receive('result.ok');
    is $t->made(GET => "/vm-ops/commands/$order->{id}")->{status},
        'succeeded', 'what was accepted before goes on to its end';
}
is $waiting->answer->{status}, 200, 'and is told to who waits for it';
is $t->rest(GET => '/vms')->{status}, 200, 'what is there can be read';
is $t->rest(POST => "/vm-ops/commands/$long->{id}/cancel")->{status}, 409,
    'and what has ended cannot be cancelled, as ever';

# a command that runs can still be cancelled without a license
lease(3600, 0);
submit();
my $running = $t->agent->cmd;
$t->agent->ack($running);
wait_for { $t->made(GET => "/vm-ops/commands/$running->{id}")->{status}
           eq 'running' } 5, 'a command that runs';
lease(-3600, 60);
is $t->rest(POST => "/vm-ops/commands/$running->{id}/cancel")->{status}, 202,
    'a running one is asked to stop';
is $t->agent->ctl->{do}, 'cancel', 'and its agent hears it';
$t->agent->result($running, status => 'cancelled', result => undef, error => {
    code => 'cancelled', stage => undef, detail_code => undef });
$t->agent->receive('result.ok');

# renewed
lease(3600, 0);
$r = submit();
is $r->{status}, 202, 'renewed: accepted';
is $r->{headers}{'vmops-license'}, undef, 'without a warning';

done_testing;
