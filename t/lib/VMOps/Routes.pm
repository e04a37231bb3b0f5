package VMOps::Routes;

# The route table and the bodies' schemas as the module's source has them, so
# that a test over "every route" and "every field" is one over those that there
# are; and for each body one example with all of its members.
#
#   for my $route (VMOps::Routes::all()) {
#       say "$route->{method} $route->{path} $route->{who}";
#       say join ' ', map { $_->{name} } @{ $route->{fields} };
#   }

use strict;
use warnings;

use Carp qw(croak);
use JSON::PP;
use MIME::Base64 qw(encode_base64url);

use VMOps ();
use VMOps::Process qw(run_command);

my $SOURCES = VMOps::top() . '/ngx_vmops_module';

# What each body may look like.  <agent>, <vm>, <secret>, <command>, <key_id>
# and <new id> stand for what the test has of them.  A route with a body needs
# an example with every member of its schema: example() croaks otherwise.
my %sealed = (
    alg => 'xc20p-blake2b-v1', key_id => '<key_id>',
    created_ms => 1760000000000, nonce => encode_base64url('n' x 24),
    ciphertext => encode_base64url('c' x 272), aad_meta => '{}');
my %flags = map { $_ => JSON::PP::true } qw(
    AGENT_COMMAND_BUS_ENABLED SECRETS_E2E_ENABLED INFRA_LEGACY_ADMIN_ONLY);
my %vm = (name => 'web', agent_id => '<agent>', guest => 'qemu',
          node => 'pve1', vmid => 150, bot_id => 'b1',
          labels => { role => 'web' });
my $soon = VMOps::time_of(time + 86400);

my %EXAMPLES = (
    'POST /admin/tenants' => { tenant => '<new tenant>', name => 'New',
                               cohort => 'beta' },
    'PATCH /admin/tenants/{tenant}' => { name => 'Other', cohort => 'internal',
                                         status => 'active',
                                         legacy_read_until => $soon },
    'POST /admin/tenants/{tenant}/owner-tokens' => { name => 'again' },
    'PUT /admin/tenants/{tenant}/license' => {
        plan => 'test', max_agents => 100, max_vms => 1000,
        expires_at => $soon, grace_s => 60 },
    'PUT /admin/tenants/{tenant}/flags' => \%flags,
    'PUT /admin/flags' => \%flags,
    'PUT /admin/flags/{cohort}' => \%flags,
    'POST /tokens' => { name => 'ci', role => 'viewer', expires_at => $soon },
    'POST /session' => { token => 'vmo_acme_none' },
    'POST /agents/pairings' => { name => 'pc', agent_id => '<agent>',
                                 auto_approve => JSON::PP::false },
    'POST /agents/register' => {
        code => 'ZZZZ-ZZZZ-ZZZZ', platform => 'linux', name => 'pc',
        hostname => 'host', version => '1.0',
        (map { $_ => encode_base64url('k' x 32) }
             qw(ed25519_pk x25519_pk kid)),
        signature => encode_base64url('s' x 64) },
    'POST /agents/heartbeat' => {
        version => '1.0', capabilities => ['proxmox'], routes => [],
        keystore => 'ok', key_id => '<key_id>' },
    'PATCH /agents/{uuid}' => { name => 'other' },
    'POST /agents/{uuid}/approve' => { fingerprint => '1' },
    'POST /vms' => \%vm,
    'PATCH /vms/{uuid}' => \%vm,
    'POST /secrets' => {
        secret_id => '<new id>', kind => 'proxmox_token', label => 'pve',
        via => '<secret>', version => 1, %sealed },
    'PUT /secrets/bindings/{scope}/{scope_id}/{family}' => {
        secret_ref => '<secret>' },
    'POST /secrets/{secret}/rotate' => { version => 2, %sealed },
    'POST /vm-ops/{service}/{action}' => {
        vm_uuid => '<vm>', secret_ref => '<secret>', command_id => '<command>',
        params => {}, timeout_s => 60 },
);

# Of a command's body: which member is the target depends on the action's scope.
# member => an action that takes it, and no parameter that it must have
my %SCOPES = (vm_uuid => 'VM', secret_ref => 'ENDPOINT', command_id => 'TASK');

my %action_of;

sub action_of {
    my ($member) = @_;
    if (!%action_of) {
        my $text = VMOps::slurp(VMOps::top() . '/include/vmops_actions.def');
        $text =~ s{/\*.*?\*/}{}gs;
        my %scope;
        while ($text =~ /VMOPS_ACTION\((\w+),\s*\w+,\s*"([\w-]+)",\s*(\w+),
                         ((?:[^()]|\([^()]*\))*)\)/gx) {
            $scope{$3} //= "$1/$2" if $4 !~ /REQUIRED/;
        }
        $action_of{$_} = $scope{ $SCOPES{$_} } for keys %SCOPES;
    }
    return $action_of{$member};
}

# the targets of a route's body, by the member they are: () where it has none
sub targets {
    my ($route) = @_;
    return () if $route->{path} !~ /\{action\}/;
    return grep { action_of($_) } sort keys %SCOPES;
}


# [{method, path, who, handler, body, fields}], of the API, in their order
sub all {
    my $text = VMOps::slurp("$SOURCES/ngx_vmops_routes.c");
    my ($table) = $text =~ /ngx_vmops_routes\[\]\s*=\s*\{(.*?)\n\};/s
        or croak 'no route table';
    my %text = VMOps::slurp("$SOURCES/ngx_vmops_routes.h")
        =~ /^#define (\w+)\s+"([^"]*)"$/mg;
    my $bodies = bodies();
    my @routes;
    while ($table =~ /NGX_VMOPS_ROUTE\(([^()]*)\)/g) {
        my ($method, $path, $who, $body, $handler) =
            map { s/^\s+|\s+$//gr } split /,/, $1;
        $path = join '', map { /^"(.*)"$/ ? $1 : $text{$_}
                               // croak "what is $_?" }
            $path =~ /"[^"]*"|\w+/g;
        $body =~ s/^&//;
        my $fields = $body eq 'NULL' || $body eq 'ngx_vmops_no_body'
            ? [] : $bodies->{$body} // croak "no fields of $body";
        push @routes, { method => $method, path => $path, who => $who,
                        handler => $handler, fields => $fields,
                        body => $body eq 'NULL' ? undef : $body };
    }
    croak 'the route table has another form than this file reads'
        if !@routes || @routes != (() = $table =~ /_ROUTE/g);
    return @routes;
}

sub name { "$_[0]{method} $_[0]{path}" }

# body => [{name, type, nullable, optional, pattern}], of every source
sub bodies {
    my %bodies;
    for my $file (sort glob "$SOURCES/*.c") {
        my $text = VMOps::slurp($file);
        next if $text !~ /\bngx_vmops_body_t\s+\w+\s*=/;
        my $plain = expanded($text);
        my %lists;
        while ($plain =~ /vmops_json_field_t\s+(\w+)((?:\[\w*\])+)\s*=\s*\{
                          (.*?)\}\s*;/gsx) {
            my ($name, $list) = ($1, $3);
            my %seen;
            $lists{$name} = [grep { !$seen{ $_->{name} }++ } fields($list)];
        }
        while ($text =~ /\bngx_vmops_body_t\s+(\w+)\s*=\s*([^;]*);/g) {
            my ($body, $value) = ($1, $2);
            my ($list) = $value =~ /\((\w+)\)/;
            $list //= $body =~ s/_body$/_fields/r;
            $bodies{$body} = $lists{$list} // [];
        }
    }
    return \%bodies;
}

# a source file with its own macros in place, and nothing of what it includes
sub expanded {
    my ($text) = @_;
    $text =~ s/^\s*#\s*include.*$//mg;
    my $run = run_command(['cc', '-E', '-P', '-x', 'c', '-'], stdin => $text);
    croak "cc -E: $run->{err}" if $run->{exit};
    return $run->{out};
}

sub fields {
    my ($list) = @_;
    my @fields;
    while ($list =~ /\.name = "(\w+)"(.*?)(?=\.name = |\z)/gs) {
        my ($name, $rest) = ($1, $2);
        my ($type) = $rest =~ /VMOPS_FT_(\w+)/ or croak "no type of $name";
        push @fields, { name => $name, type => $type,
                        nullable => $rest =~ /VMOPS_F_NULLABLE/ ? 1 : 0,
                        optional => $rest =~ /VMOPS_F_OPTIONAL/ ? 1 : 0,
                        pattern => $rest =~ /VMOPS_P_(\w+)/ ? $1 : '' };
    }
    return @fields;
}

# A good body of a route, with the caller's ids in it (or undef: it has none).
# only: of a body with several targets, the one to have.
sub example {
    my ($route, $ids, $only) = @_;
    return undef if !@{ $route->{fields} };
    my $name = name($route);
    my $example = $EXAMPLES{$name} or croak "$name: no example of its body";
    my $have = join ' ', sort keys %$example;
    my $want = join ' ', sort map { $_->{name} } @{ $route->{fields} };
    croak "$name: the example has $have, the schema $want" if $have ne $want;
    my %body = map { my $value = $example->{$_};
                     $_ => !ref $value && $value =~ /^<(.*)>$/
                         ? $ids->{$1} // croak "$name: no $1" : $value }
        keys %$example;
    if ($route->{path} =~ /\{action\}/) {
        delete @body{grep { $_ ne ($only // 'vm_uuid') } keys %SCOPES};
    }
    return \%body;
}

# The path of a route, its captures in turn replaced by these, or by those of
# its kind that the caller has.  only: as above.
sub path {
    my ($route, $ids, %o) = @_;
    my $path = $route->{path};
    my ($service, $action) = split m{/}, action_of($o{only} // 'vm_uuid');
    # the tenant that a test is about is not to be deleted by the way
    my $tenant = $route->{method} eq 'DELETE' ? 'new tenant' : 'tenant';
    my %own = (tenant => $ids->{$tenant}, secret => $ids->{secret},
               scope => 'vm', scope_id => $ids->{vm}, family => 'proxmox',
               cohort => 'beta', service => $service, action => $action,
               uuid => $ids->{ kind_of_uuid($path) // '' } // $ids->{vm});
    my $n = 0;
    $path =~ s/\{(\w+)\}/$o{captures}[$n++]
        \/\/ $own{$1}
        \/\/ croak "$path: what is $1?"/ge;
    return $path;
}

# whose ids a path's {uuid} is one of
sub kind_of_uuid {
    my ($path) = @_;
    return $path =~ m{^/agents/pairings/} ? 'pairing'
        : $path =~ m{^/agents/} ? 'agent'
        : $path =~ m{^/tokens/} ? 'token'
        : $path =~ m{^/vm-ops/commands/} ? 'command'
        : $path =~ m{^/vms/} ? 'vm' : undef;
}

1;
