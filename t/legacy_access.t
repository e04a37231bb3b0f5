# Who may use the legacy path: the flag of the tenant, its cohort or all; and the
# window in which an owner reads old settings.
# tags: asan

use strict;
use warnings;

use JSON::PP;
use Time::HiRes qw(time);

use VMOps;
use VMOps::Backend qw(plain);
use VMOps::Legacy;

my $l = VMOps::Legacy->new(sub { [plain('{"a":1}')] }, workers => 2);
my $s = $l->stack;
my @admin = (token => $s->platform_token);
my %token;
for my $tenant (qw(acme globex)) {
    $token{"$tenant owner"} = $s->tenant($tenant)->{token};
    for my $role (qw(viewer operator)) {
        my $made = $s->rest(POST => '/tokens', {
            token => $token{"$tenant owner"},
            json => { name => $role, role => $role } });
        $token{"$tenant $role"} = canary("$tenant $role", $made->{json}{token});
    }
}

sub ask {
    my ($who, $method) = @_;
    my $r = $s->rest($method // 'GET', '/infra/a', {
        token => $token{$who}, headers => { Connection => 'close' },
        ($method // 'GET') =~ /^P/ ? (json => {}) : () });
    return $r->{status};
}

# on every worker, and for good
sub becomes {
    my ($who, $method, $status, $what) = @_;
    my $same = 0;
    wait_for { $same = ask($who, $method) == $status ? $same + 1 : 0;
               $same == 12 } 10, "$who: $method to be $status";
    pass "$what: $who, $method: $status";
}

sub flag {
    my ($path, $value) = @_;
    is $s->rest(PUT => "/admin$path", { @admin, json => {
        INFRA_LEGACY_ADMIN_ONLY => $value } })->{status}, 200, "$path is set";
}

my ($on, $off) = (JSON::PP::true, JSON::PP::false);

is ask('acme owner'), 403, 'nobody has said anything: closed';

flag('/flags', $off);
becomes('acme owner', GET => 200, 'off for all');
becomes('globex owner', GET => 200, 'off for all');
for my $method (qw(GET HEAD)) {
    is ask("acme $_", $method), 200, "off: $_ may $method"
        for qw(viewer operator owner);
}
for my $method (qw(POST PUT PATCH DELETE OPTIONS)) {
    is ask('acme owner', $method), 200, "off: an owner may $method";
    is ask("acme $_", $method), 403, "off: $_ may not $method"
        for qw(viewer operator);
}

flag('/flags/internal', $on);      # the cohort of both
becomes('acme owner', GET => 403, 'on for the cohort');
flag('/tenants/acme/flags', $off);
becomes('acme viewer', GET => 200, 'off for the tenant');
is ask('globex viewer'), 403, 'and not for another one';
flag('/tenants/acme/flags', $on);
flag('/flags/internal', undef);
becomes('globex owner', GET => 200, 'inherited');
is ask('acme owner'), 403, 'on for the tenant';
is $s->rest(GET => '/infra/a', { @admin })->{status}, 200,
    'the administrator, whatever it is';

# the window
sub window {
    my ($until) = @_;
    my $r = $s->rest(PATCH => '/admin/tenants/acme', { @admin, json => {
        legacy_read_until => $until } });
    is $r->{status}, 200, 'a window is set';
    return $r->{json}{legacy_read_until};
}
my $until = VMOps::time_of(int(time) + 3600);
is window($until), $until, 'as the record shows';
is ask('acme owner', $_), 200, "an owner: $_" for qw(GET HEAD);
is ask('acme owner', $_), 403, "an owner: no $_" for qw(POST PUT PATCH DELETE);
is ask("acme $_"), 403, "a $_: nothing" for qw(viewer operator);
window(VMOps::time_of(time - 1));
is ask('acme owner'), 403, 'it has ended';
my $soon = int(time) + 2;
window(VMOps::time_of($soon));
wait_for { ask('acme owner') == 403 } 10, 'the end of the window';
ok time >= $soon, 'it ends by itself, not before its time';
window($until);
is ask('acme owner'), 200, 'open again';
is window(undef), undef, 'taken back';
is ask('acme owner'), 403, 'at once';
is $s->rest(PATCH => '/admin/tenants/acme', { @admin, json => {
    legacy_read_until => 'tomorrow' } })->{status}, 422, 'no time';
is $s->rest(PATCH => '/admin/tenants/acme', { token => $token{'acme owner'},
    json => { legacy_read_until => $until } })->{status}, 403, 'no owner sets it';

# suspended, revoked
flag('/tenants/acme/flags', $off);
becomes('acme viewer', GET => 200, 'off again');
$s->rest(PATCH => '/admin/tenants/acme', { @admin, json => {
    status => 'suspended' } });
becomes('acme viewer', GET => 403, 'suspended');
is $s->rest(GET => '/infra/a', { token => $token{'acme viewer'} })->{json}{code},
    'tenant_suspended', 'and says so';

done_testing;
