# The platform administrator: tenants, their license, flags; and what of it a
# tenant sees.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;

my $s = VMOps->stack(workers => 2);
my @admin = (token => $s->platform_token);

sub admin {
    my ($method, $path, $json) = @_;
    return $s->rest($method, "/admin$path",
                    { @admin, defined $json ? (json => $json) : () });
}

# tenants
my $r = admin(POST => '/tenants', { tenant => 'acme', name => 'Acme, Inc.',
                                    cohort => 'beta' });
is $r->{status}, 201, 'a tenant';
is_deeply [sort keys %{ $r->{json} }], [qw(owner_token tenant)], 'and its owner';
like $r->{headers}{location}, qr{/api/v1/admin/tenants/acme$}, 'its address';
my $owner = canary('the owner of acme', $r->{json}{owner_token});
$r = admin(POST => '/tenants', { tenant => 'acme', name => 'x',
                                 cohort => 'beta' });
is "$r->{status} $r->{json}{code}", '409 conflict', 'a name is taken once';
is $s->rest(GET => '/tokens', { token => $owner })->{status}, 200,
    'the first owner stays';
for my $over ({ tenant => 'platform' }, { tenant => 'Acme' }, { tenant => '-a' },
              { tenant => 'a' x 33 }, { tenant => 'a}b' }, { tenant => '' },
              { cohort => 'alpha' }, { name => '' }, { status => 'active' }) {
    my ($field) = %$over;
    $r = admin(POST => '/tenants', { tenant => 'other', name => 'x',
                                     cohort => 'beta', %$over });
    is "$r->{status} $r->{json}{errors}[0]{pointer}", "422 /$field",
        "refused: $field " . $over->{$field};
}
canary("owner $_", admin(POST => '/tenants', { tenant => $_ })
       ->{json}{owner_token}) for qw(b-1 b-2 b-3);
is_deeply [map { "$_->{tenant} $_->{name} $_->{cohort} $_->{status}" }
           @{ admin(GET => '/tenants')->{json}{items} }],
    ['acme Acme, Inc. beta active',
     map { "$_ $_ production active" } qw(b-1 b-2 b-3)], 'all are listed';
my $page = admin(GET => '/tenants?limit=3')->{json};
is $page->{next_cursor}, 'b-2', 'a page, and where the next begins';
is_deeply [map { $_->{tenant} } @{ admin(GET => '/tenants?cursor=b-2')
    ->{json}{items} }], ['b-3'], 'there';
$r = admin(PATCH => '/tenants/acme', { name => 'Acme' });
is "$r->{status} $r->{json}{name} $r->{json}{cohort}", '200 Acme beta',
    'renamed';
is admin(PATCH => '/tenants/acme', {})->{json}{name}, 'Acme', 'nothing to change';
is admin($_->[0], "/tenants/nobody$_->[1]", $_->[2])->{status}, 404,
    "$_->[0] of nobody$_->[1]"
    for [GET => ''], [PATCH => '', { name => 'x' }], [GET => '/flags'],
        [PUT => '/flags', {}], [POST => '/owner-tokens'],
        [PUT => '/license', { plan => 'x', max_agents => 1, max_vms => 1,
            expires_at => '2030-01-01T00:00:00Z', grace_s => 0 }];

# one that was listed but never made (a crash in between) can be made
$s->redis('ZADD', 'platform/{p}/tenants', 0, 'half');
is scalar(grep { $_->{tenant} eq 'half' } @{ admin(GET => '/tenants')
    ->{json}{items} }), 0, 'it is passed over';
$r = admin(POST => '/tenants', { tenant => 'half' });
canary('owner of half', $r->{json}{owner_token});
is $r->{status}, 201, 'and can be made';

# license
is $s->rest(GET => '/license', { token => $owner })->{json}{status}, 'expired',
    'without a lease there is none';
my %lease = (plan => 'pro', max_agents => 1, max_vms => 1, grace_s => 60);
my %status = (active => 3600, grace => -30, expired => -90);
for my $status (qw(active grace expired)) {
    my $at = time + $status{$status};
    my $ends = VMOps::time_of($at);
    $r = admin(PUT => '/tenants/acme/license', { %lease, expires_at => $ends });
    is_deeply $r->{json}, { tenant => 'acme', %lease, expires_at => $ends },
        "a lease: $status";
    my $seen = $s->rest(GET => '/license', { token => $owner })->{json};
    is_deeply $seen, { status => $status, plan => 'pro', expires_at => $ends,
        grace_until => VMOps::time_of($at + 60), max_agents => 1, max_vms => 1,
        agents => 0, vms => 0 }, 'as the tenant sees it';
}
my %vm = (name => 'web', agent_id => undef, guest => 'qemu', node => 'pve1',
          vmid => 100);
sub add { my $r = $s->rest(POST => '/vms', { token => $owner, json => \%vm });
          return "$r->{status} " . ($r->{json}{code} // '') }
is add(), '402 license_inactive', 'expired: no more VMs';
admin(PUT => '/tenants/acme/license', {
    %lease, expires_at => VMOps::time_of(time + 3600) });
is add(), '201 ', 'active: one';
is add(), '402 license_limit', 'and no more than that';
for my $over ({ plan => '' }, { max_agents => -1 }, { max_vms => undef },
              { grace_s => 0.5 }, { expires_at => '2030-01-01' }) {
    is admin(PUT => '/tenants/acme/license', {
        %lease, expires_at => '2030-01-01T00:00:00Z', %$over })->{status}, 422,
        'refused: ' . (%$over)[0];
}

# flags: of all, of a cohort, of a tenant
my ($on, $off) = (JSON::PP::true, JSON::PP::false);
my @names = qw(AGENT_COMMAND_BUS_ENABLED SECRETS_E2E_ENABLED
               INFRA_LEGACY_ADMIN_ONLY);
for my $path ('/flags', '/flags/beta', '/tenants/acme/flags') {
    is_deeply admin(GET => $path)->{json}, { map { $_ => undef } @names },
        "$path: nothing is said";
    $r = admin(PUT => $path, { $names[0] => $off, $names[1] => $on });
    is_deeply $r->{json}, { $names[0] => $off, $names[1] => $on,
                            $names[2] => undef }, 'two are set';
    is_deeply admin(GET => $path)->{json}, $r->{json}, 'and stay';
    is_deeply admin(PUT => $path, { $names[0] => undef })->{json},
        { $names[0] => undef, $names[1] => $on, $names[2] => undef },
        'one is taken back';
    is admin(PUT => $path, { OTHER => $on })->{status}, 422, 'no other name';
    is admin(PUT => $path, { $names[0] => 'on' })->{status}, 422,
        'no other value';
    is_deeply admin(PUT => $path, {})->{json},
        { $names[0] => undef, $names[1] => $on, $names[2] => undef },
        'nothing changes nothing';
}
is admin(GET => '/flags/alpha')->{status}, 404, 'no such cohort';

# suspended and back, on every worker
sub seen {
    my ($status) = @_;
    my $same = 0;
    wait_for {
        my $r = $s->rest(GET => '/vms', {
            token => $owner, headers => { Connection => 'close' } });
        $same = $r->{status} == $status ? $same + 1 : 0;
        $same == 20;
    } 3, "every worker to answer $status";
    return 1;
}
$r = admin(PATCH => '/tenants/acme', { status => 'suspended' });
is $r->{json}{status}, 'suspended', 'suspended';
ok seen(403), 'every worker refuses';
is admin(PATCH => '/tenants/acme', { status => 'active' })->{status}, 200,
    'resumed';
ok seen(200), 'every worker serves';
is admin(PATCH => '/tenants/acme', { status => 'deleting' })->{status}, 422,
    'no other status';

done_testing;
