# DELETE of a tenant: its agents are closed, its tokens are nobody's, and all of
# its keys go, also when the worker that began it is gone; then its name can be
# had again.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2, nodes => 2);
my @admin = (token => $s->platform_token);
my $t = VMOps::Rest->new($s, node => 2);
my $other = VMOps::Rest->new($s, tenant => 'acme-2', node => 1);

sub admin {
    my ($method, $path, $json) = @_;
    return $s->rest($method, "/admin$path",
                    { @admin, $json ? (json => $json) : () });
}

sub keys_of { return @{ $s->redis('KEYS', "tenants/{$_[0]}*") } }

# without the counters of a minute
sub lasting { return sort grep { !m{/rate/} } keys_of($_[0]) }

sub listed { defined $s->redis('ZSCORE', "platform/{p}/$_[0]", $_[1]) }

# gone: from the store, from the platform's list, from the API
sub gone {
    my ($name, $seconds) = @_;
    wait_for { !keys_of($name) && !listed('tenants', $name) } $seconds,
        "the end of $name";
    my $r = admin(GET => "/tenants/$name");
    is "$r->{status} $r->{json}{code}", '404 not_found', "$name is gone";
    is scalar(grep { $_->{tenant} eq $name }
              @{ admin(GET => '/tenants')->{json}{items} }), 0, 'nor listed';
}

# one with something of everything, and many commands
my $code = $t->made(POST => '/agents/pairings', {})->{code};
my $selector = substr $code, 0, 4;
is $s->redis('EXISTS', "pairings/$selector"), 1, 'a code waits';
my $queued = $t->start;
my $order = $t->agent->cmd;
my $sign = $s->rest(POST => '/session', { json => { token => $t->token } });
my ($cookie) = $sign->{headers}{'set-cookie'} =~ /^([^;]+)/;
canary('the cookie', $cookie =~ s/.*\.//r);
my $many = rounds(ci => 3000, full => 60_000);
for my $from (map { 500 * $_ } 0 .. $many / 500 - 1) {
    $s->redis('MSET', map { ("tenants/{acme}/agent_commands/planted-$_/log", 'x') }
              $from .. $from + 499);
}
# of the other tenant all is there: what has been said of it is sealed, too
wait_for {
    my %tenant = @{ $s->redis(HGETALL => 'tenants/{acme-2}') };
    ($tenant{sealed} // 0) >= $tenant{audit};
} 10, 'its seals';
my @before = lasting('acme-2');
my $stream = $t->begin(GET => '/events');
$stream->until_like(qr/^HTTP\/1.1 200/);

my $r = admin(DELETE => '/tenants/acme');
is $r->{status}, 202, 'deleted';
is_deeply [@{ $r->{json} }{qw(tenant status)}], ['acme', 'deleting'],
    'as it is from now on';
is $t->agent->receive('bye')->{code}, 'tenant_suspended', 'its agent is told';
is $t->agent->closed, 1013, 'and closed';
holds_within(2, 'its tokens and sessions are nobody\'s', sub {
    my ($n) = @_;
    my @as = $n % 2 ? (token => $t->token) : ();
    $s->rest(GET => '/vms', { @as, node => 1 + $n / 2 % 2, headers => {
        Connection => 'close', @as ? () : (Cookie => $cookie) } })
        ->{status} == 401;
});
gone('acme', 20);
wait_for { !$s->redis('EXISTS', "pairings/$selector") } 2, 'the selector';
pass 'the code it waited for is free';
$stream->until_like(qr/(?!)/, 5);
pass 'who listened to its events does no longer';
my $back = $t->agent->twin;
$back->connect;
$back->send($back->auth_message);
is $back->closed, 4401, 'its agent is unknown';
is admin(DELETE => '/tenants/acme')->{status}, 404, 'once';
is admin(DELETE => '/tenants/nobody')->{status}, 404, 'nobody is not deleted';
is_deeply [lasting('acme-2')], \@before, 'another tenant has all of its own';
$other->start;
is $other->agent->serve->{action}, 'start', 'and works';

# the name again: nothing of before is in it
my $new = $s->tenant('acme');
is_deeply [map { scalar @{ $s->rest(GET => $_, { token => $new->{token} })
                           ->{json}{items} } } qw(/agents /vms /vm-ops/commands)],
    [0, 0, 0], 'its name can be had again, and is empty';
is $s->rest(GET => '/vms', { token => $t->token })->{status}, 401,
    'the tokens of before stay nobody\'s';
is $s->rest(GET => '/vms', { headers => { Cookie => $cookie } })->{status}, 401,
    'and the sessions';

# a worker that was killed after the mark, in the middle: the sweep goes on
$s->tenant('globex');
$s->redis('MSET', map { ("tenants/{globex}/rate/planted-$_", 'x') } 1 .. 2000);
$s->redis(FCALL => 'vmops_active_add', 1, 'platform/{p}', 'globex');
$s->redis(FCALL => 'vmops_tenant_delete', 1, 'tenants/{globex}', 'platform:1');
my $step = $s->redis(FCALL => 'vmops_tenant_purge', 1, 'tenants/{globex}', 50,
                     '');
is $step->[1], 'more', 'begun by a worker that is no more';
gone('globex', 20);

# or before the hash went
$s->tenant('initech');
$s->redis(FCALL => 'vmops_active_add', 1, 'platform/{p}', 'initech');
$s->redis(FCALL => 'vmops_tenant_delete', 1, 'tenants/{initech}', 'platform:1');
do {
    $step = $s->redis(FCALL => 'vmops_tenant_purge', 1, 'tenants/{initech}',
                      10_000, '');
} while $step->[0] eq 'OK' && $step->[1] eq 'more';
$s->redis(FCALL => 'vmops_platform_tenant_drop', 1, 'platform/{p}', 'initech',
          'platform:1', $step->[4] // 0);
gone('initech', 20);

# the listing of before goes while the name is made again
$s->redis(FCALL => 'vmops_platform_tenant_add', 1, 'platform/{p}', 'raced',
          'platform:1');
{
    local $_ = VMOps::slurp(VMOps::built('redis/vmops.lua'));
    s{(?<=function F\.tenant_create\(t, a\)\n)}
     {redis.call('ZREM', 'platform/{p}/tenants', 'raced')\n} or die;
    $s->redis(qw(FUNCTION LOAD REPLACE), $_);
}
is admin(POST => '/tenants', { tenant => 'raced' })->{status}, 201, 'made again';
is scalar(grep { $_->{tenant} eq 'raced' }
          @{ admin(GET => '/tenants')->{json}{items} }), 1, 'and listed';
$s->redis(qw(FUNCTION LOAD REPLACE),
          VMOps::slurp(VMOps::built('redis/vmops.lua')));

# the sweep forgets one that is not there, once no worker may remember it
$s->redis('HSET', 'platform/{p}/active/added', $_ => 1) for qw(globex initech);
wait_for { !listed('active', 'globex') && !listed('active', 'initech') } 20,
    'the sweep to forget them';
pass 'the sweep forgets them';

my @audit = map { my %e = @{ $_->[1] }; $e{entry} }
    @{ $s->redis('XRANGE', 'platform/{p}/audit', '-', '+') };
is_deeply [map { /"tenant.deleted".*"id":"([^"]*)"/ ? $1 : () } @audit],
    [qw(acme globex initech)], 'each is in the administrators\' audit, once';

done_testing;
