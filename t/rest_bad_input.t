# Bodies that no client should send: the right problem, nothing of the input in
# it, and workers that live.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;

my $s = VMOps->stack;
my $t = $s->tenant('acme');
my @workers = $s->workers;

my $mark = 'NeverEchoed';
my %routes = (
    'POST /vms'             => $t->{token},
    'POST /tokens'          => $t->{token},
    'POST /agents/pairings' => $t->{token},
    'POST /agents/register' => undef,
    'POST /vm-ops/proxmox/start' => $t->{token},
    'PUT /admin/tenants/acme/license' => $s->platform_token,
    'PUT /admin/flags'      => $s->platform_token,
);

sub request {
    my ($route, $body, %headers) = @_;
    my ($method, $path) = split ' ', $route;
    return $s->rest($method, $path, {
        (defined $routes{$route} ? (token => $routes{$route}) : ()),
        body => $body, headers => { 'Content-Type' => 'application/json',
                                    %headers } });
}

my %broken = (
    'nothing'            => '',
    'a space'            => ' ',
    'half an object'     => qq({"name":"$mark"),
    'two documents'      => '{} {}',
    'a comment'          => "/* $mark */ {}",
    'a trailing comma'   => '{"name":"x",}',
    'single quotes'      => "{'name':1}",
    'a bare word'        => $mark,
    'NaN'                => '{"name":NaN}',
    'a raw NUL'          => "{\"name\":\"$mark\0\"}",
    'an escaped NUL'     => "{\"name\":\"$mark\\u0000\"}",
    'a lone surrogate'   => '{"name":"\ud800"}',
    'no UTF-8'           => "{\"name\":\"\xff\xfe\"}",
    'an overlong form'   => "{\"name\":\"\xc0\xaf\"}",
    'a name twice'       => '{"name":"a","name":"b"}',
    'a byte order mark'  => "\xef\xbb\xbf{}",
    'too deep'           => '[' x 17 . ']' x 17,
    'very deep'          => '[' x 60000,
    'many members'       => '{' . join(',', map { "\"m$_\":1" } 1 .. 513) . '}',
    'many values'        => '[' . join(',', (1) x 4096) . ']',
    'a long number'      => '{"name":' . '1' x 65 . '}',
    'a control character' => "{\"name\":\"a\tb\"}",
);
for my $route (sort keys %routes) {
    for my $what (sort keys %broken) {
        next if $what =~ /^(?:nothing)$/ && $route =~ /pairings/;
        my $r = request($route, $broken{$what});
        is "$r->{status} " . ($r->{json}{code} // ''), '400 invalid_json',
            "$route, $what";
        unlike $r->{body}, qr/$mark/, 'nothing of it comes back';
    }
}

# what a body says that it is
for my $type ('application/json', 'Application/JSON', 'application/json ;',
              'application/json; charset=utf-8', 'application/json;charset=UTF-8',
              'application/json; charset="utf-8"') {
    is request('POST /vms', '{', 'Content-Type' => $type)->{status}, 400,
        "$type is read";
}
for my $type ('application/jsonx', 'application/json charset=utf-8',
              'application/json; charset=latin1', 'application/json; charset="utf-8',
              'application/json; charset="utf-16"', 'text/json', '') {
    is request('POST /vms', '{', 'Content-Type' => $type)->{status}, 415,
        "$type is not";
}
my $sock = $s->socket;
print $sock "POST /api/v1/vms HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    . "Authorization: Bearer $t->{token}\r\nContent-Length: 1\r\n"
    . "Content-Type: application/json\r\nContent-Type: text/plain\r\n\r\n{";
$sock->flush;
like do { local $/; <$sock> }, qr/^HTTP\/1.1 415 /, 'nor what is two things';

# what is JSON, but not for us, is not said to be none
my %said = ('an escaped NUL' => 'U\+0000', 'too deep' => 'too deeply',
            'many members' => 'too many .*members',
            'many values' => 'too many .*values',
            'a long number' => 'too many .*digits', 'a name twice' => 'twice');
for my $what (sort keys %said) {
    like request('POST /vms', $broken{$what})->{json}{detail}, qr/$said{$what}/,
        "$what: the detail has it";
}

# JSON, but no object, or members of other types
my %odd = ('null' => 'null', 'a number' => '1', 'a string' => "\"$mark\"",
           'an array' => '[{}]', 'true' => 'true', '1e400' => '{"name":1e400}',
           'a name of 60000' => '{"' . 'n' x 60000 . '":1}',
           'a name with an echo' => "{\"$mark\":{\"$mark\":1}}");
for my $route (sort keys %routes) {
    for my $what (sort keys %odd) {
        my $r = request($route, $odd{$what});
        is "$r->{status} " . ($r->{json}{code} // ''), '422 invalid_params',
            "$route, $what";
    }
}

# every field of a VM, every other type
my %vm = (name => 'web', agent_id => undef, guest => 'qemu', node => 'pve1',
          vmid => 100, bot_id => 'b1', labels => { a => 'b' });
my %values = (string => 'x', number => 7, fraction => 1.5, big => '9' x 30,
              true => JSON::PP::true, array => [], object => {});
my %right = (name => { string => 1 }, agent_id => {}, guest => {},
             node => { string => 1 }, vmid => {}, bot_id => { string => 1 },
             labels => { object => 1 });
for my $field (sort keys %vm) {
    for my $type (sort keys %values) {
        next if $right{$field}{$type};
        next if $field =~ /^(?:name|node|bot_id)$/ && $type eq 'big';
        my $r = $s->rest(POST => '/vms', { token => $t->{token}, json => {
            %vm, $field => $values{$type} } });
        is "$r->{status} " . ($r->{json}{errors}[0]{pointer} // ''),
            "422 /$field", "$field: no $type";
    }
}
for my $labels ({ 'k' x 64 => 'v' }, { '' => 'v' }, { k => 'v' x 256 },
                { k => 1 }, { k => undef }, { k => "a\nb" },
                { map { $_ => 'v' } 1 .. 33 }) {
    my $r = $s->rest(POST => '/vms', { token => $t->{token}, json => {
        %vm, labels => $labels } });
    is $r->{status}, 422, 'labels out of their limits';
    like $r->{json}{errors}[0]{pointer}, qr{^/labels}, 'and where';
}

# lists
for my $query (qw(limit=0 limit=201 limit=x limit=-1 limit=1.5 limit= cursor=
                  cursor=a%00b cursor=%ff cursor=*), 'cursor=' . 'a' x 129) {
    my $r = $s->rest(GET => "/vms?$query", { token => $t->{token} });
    is "$r->{status} " . ($r->{json}{code} // ''), '400 bad_request',
        "GET /vms?$query";
    my ($name) = $query =~ /^(\w+)/;
    is_deeply $r->{json}{errors}, [{ pointer => "/$name", code =>
        $name eq 'limit' ? 'range' : 'pattern' }], 'which parameter';
}
is $s->rest(GET => '/vms?limit=200&cursor=01890000-0000-7000-8000-000000000000',
            { token => $t->{token} })->{status}, 200, 'a good one is taken';
for my $list (qw(agents vms tokens secrets vm-ops/commands vm-ops/actions)) {
    is $s->rest(GET => "/$list?$_", { token => $t->{token} })
        ->{json}{code}, 'bad_request', "/$list: no $_"
        for qw(cursor=last limit=0 limit=201);
}
is $s->rest(GET => "/$_?cursor=", { token => $t->{token} })->{json}{code},
    'bad_request', "an empty one of /$_" for qw(audit tokens vm-ops/commands);
is $s->rest(GET => '/admin/tenants?cursor=-x', { token => $s->platform_token })
    ->{json}{code}, 'bad_request', 'nor of /admin/tenants';

# ids and paths
for my $path ('/vms/01890000-0000-7000-8000-00000000000G',
              '/vms/01890000-0000-7000-8000-000000000000/',
              '/vms/..%2f..', '/VMS', '/vms//x', '/') {
    is $s->rest(GET => $path, { token => $t->{token} })->{status}, 404,
        "GET $path is not there";
}

is_deeply [$s->workers], \@workers, 'the workers are the same';

done_testing;
