# Every route, with every kind of id of another tenant in every place that takes
# an id: the answer is what an unknown id gets, byte for byte but the request's
# id; nothing of the other tenant is in it, and nothing of it changes.  The
# matrix is made of the route table and the schemas: a new route is in it.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Rest;
use VMOps::Routes;
use VMOps::Stream;
use VMOps::WSAgent;

my $s = VMOps->stack;
my @tenants = map { VMOps::Rest->new($s, tenant => $_) } qw(acme globex);
my ($acme, $globex) = @tenants;
my @routes = VMOps::Routes::all();

sub name { VMOps::Routes::name($_[0]) }

# One of everything a tenant can have, and what no other's answer may hold.
sub all_of {
    my ($t, $name) = @_;
    my $command = $t->start(timeout_s => 600);
    my $order = $t->agent->cmd;
    $t->agent->ack($order);
    $t->agent->send({ t => 'log', id => $order->{id},
                      line => "a line of $name" });
    my $done = $t->start(timeout_s => 600);
    $t->agent->serve(result => { of => "a result of $name" });
    my $pending = $t->made(POST => '/agents/pairings', {});
    my $token = $t->new_token('viewer');
    $t->made(PUT => "/secrets/bindings/bot/bot-of-$name/proxmox",
             { secret_ref => $t->secret });
    $t->made(PATCH => '/vms/' . $t->vm, { name => "vm-of-$name",
        bot_id => "bot-of-$name", labels => { of => "label-of-$name" } });
    $t->made(PATCH => '/agents/' . $t->agent->id, { name => "agent-of-$name" });
    # a gateway tells the store of an acknowledgement in its own time
    wait_for { my $c = $t->made(GET => "/vm-ops/commands/$order->{id}");
               $c->{log}[0] && $c->{status} eq 'running' } 5, 'the line';
    return {
        agent => $t->agent->id, vm => $t->vm, secret => $t->secret,
        pairing => $pending->{pairing_id}, token => $token->{token_id},
        command => $command->{command_id}, done => $done->{command_id},
        bot => "bot-of-$name", tenant => $name, key_id => $t->agent->key_id,
    };
}

my $theirs = all_of($acme, 'acme');
my $ours = all_of($globex, 'globex');
my @marks = (@$theirs{grep { $_ ne 'tenant' } keys %$theirs}, 'of acme',
             'of-acme', $acme->agent->session);

my $unknown = '01890000-0000-7000-8fff-000000000000';
my %unknown = (uuid => $unknown, secret => 'sec_' . $unknown =~ tr/-//dr,
               bot => 'bot-of-nobody', tenant => 'nobody');

# ids of the other tenant, by the form they have
my %foreign = (
    uuid   => [map { [$_ => $theirs->{$_}] }
               qw(agent vm pairing token command done)],
    secret => [[secret => $theirs->{secret}]],
    bot    => [[bot => $theirs->{bot}]],
    tenant => [[tenant => 'acme']],
);
# another form of a secret's id is a UUID
push @{ $foreign{uuid} }, [secret => $theirs->{secret}
    =~ s/^sec_(.{8})(.{4})(.{4})(.{4})(.{12})$/$1-$2-$3-$4-$5/r];

# which form a capture, and a member by its pattern, takes
my %capture = (uuid => 'uuid', secret => 'secret', tenant => 'tenant');
my %pattern = (UUID => 'uuid', UUID7 => 'uuid', SECRET_REF => 'secret',
               TENANT => 'tenant', BOT_ID => 'bot');

# What a caller may name as it likes: there another tenant's id is no id.  What
# is made under it is removed, for the next to find things as they were.
my $bindings = '/secrets/bindings/{scope}/{scope_id}/{family}';
sub remove { $globex->rest(DELETE => $_[0]) }
sub remove_secret { remove("/secrets/$_[2]{json}{secret_ref}") }
my %free = (
    'POST /vms bot_id' => sub { remove("/vms/$_[2]{json}{vm_uuid}") },
    'PATCH /vms/{uuid} bot_id' => sub { $globex->made(
        PATCH => "/vms/$ours->{vm}", { bot_id => $ours->{bot} }) },
    'POST /secrets secret_id' => \&remove_secret,
    'POST /secrets via' => \&remove_secret,    # sealed: looked for when used
    "PUT $bindings bot" => sub { remove("/secrets/bindings/bot/$_[0]/proxmox") },
);

# What of theirs is told.  It may tell of names that it gave itself: see above.
sub told {
    my ($text) = @_;
    $text =~ s/\Q$_\E//g for @$theirs{qw(bot secret)};
    return grep { $text =~ /\Q$_\E/ } @marks;
}

my $asked = 0;

# as one of globex: the one whom the route is for
sub ask {
    my ($route, $path, $body, %more) = @_;
    if (++$asked % 50 == 0) {
        $s->forget_rates;
        # both agents answer the pings that have come
        for my $t (@tenants) { eval { $t->agent->receive('nothing', 0.01) } }
    }
    $path .= '?force=true' if $route->{method} eq 'DELETE';
    return $globex->agent->signed(sub {
        my ($method, $to, $opt) = @_;
        $opt->{headers}{'If-Match'} = '"1"';
        return $s->rest($method, $to, $opt);
    }, $s->url, "/api/v1$path", $body // {}) if $route->{who} eq 'AGENT';
    return $s->rest($route->{method}, $path, {
        ($route->{who} eq 'ANYONE' ? () : (token => $globex->token)),
        ($body ? (json => $body) : ()), timeout => 5, %more });
}

# an answer without what differs by nature
sub shape {
    my ($r, $id) = @_;
    my %headers = %{ $r->{headers} };
    delete @headers{qw(date etag connection)};    # a thousand a connection
    my $text = $r->{body};
    for ($text, values %headers) {
        s/\Q$r->{headers}{'x-request-id'}\E/REQUEST/g;
    }
    # what is made has ids and times, and shows what it was given
    if ($r->{status} =~ /^2/) {
        for ($text, values %headers) {
            s/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/UUID/g;
            s/\bsec_[0-9a-f]{32}/REF/g;
            s/\d{4}-\d\d-\d\dT[\d:.]+Z/TIME/g;
            s/"(?:nonce|code|token)":"[^"]*"/MADE/g;
            s/\Q$id\E/ID/g;
        }
        delete $headers{'content-length'};
    }
    return { status => $r->{status}, headers => \%headers, body => $text };
}

# the audit is sealed meanwhile, whatever anybody asks
sub tenant_of {
    my %tenant = @{ $s->redis(HGETALL => $_[0]) };
    return { map { $_ => $tenant{$_} } grep { !/seal|trim|witness/ }
             keys %tenant };
}

sub dump_of {
    my ($tenant) = @_;
    my %dump;
    for my $key (@{ $s->redis('KEYS', "tenants/{$tenant}*") }) {
        next if $key =~ m{/(?:rate|audit_seals)\b};
        my $type = $s->redis(TYPE => $key);
        $dump{$key} = $key eq "tenants/{$tenant}" ? tenant_of($key)
            : $type eq 'stream' ? $s->redis(XRANGE => $key, '-', '+')
            : unpack 'H*', $s->redis(DUMP => $key);
    }
    return \%dump;
}

# every place for an id: [route, what it is called, form, request($id)]
sub places {
    my ($route) = @_;
    my $name = name($route);
    my %target = map { $_ => 1 } VMOps::Routes::targets($route);
    my @places;
    my @captures = $route->{path} =~ /\{(\w+)\}/g;
    my $body = sub { VMOps::Routes::example($route,
        { %$ours, 'new id' => sprintf('01890000-0000-7000-8002-%012x', $asked),
          'new tenant' => 'initech' }, @_) };
    for my $n (0 .. $#captures) {
        my @forms = $captures[$n] eq 'scope_id' ? ([bot => 'bot'], [uuid => 'vm'])
            : $capture{ $captures[$n] } ? [$capture{ $captures[$n] }] : ();
        for my $form (@forms) {
            my ($kind, $scope) = @$form;
            push @places, [$route, $scope ? "$name $scope" : $name, $kind, sub {
                my ($id) = @_;
                my @values = map { undef } @captures;
                $values[$n] = $id;
                $values[$n - 1] = $scope if $scope;
                return (VMOps::Routes::path($route, $ours,
                                            captures => \@values), $body->());
            }];
        }
    }
    for my $field (@{ $route->{fields} }) {
        my $form = $pattern{ $field->{pattern} } or next;
        next if %target && !$target{ $field->{name} };
        my $only = %target ? $field->{name} : undef;
        push @places, [$route, "$name $field->{name}", $form, sub {
            my ($id) = @_;
            return (VMOps::Routes::path($route, $ours, only => $only),
                    { %{ $body->($only) }, $field->{name} => $id });
        }];
    }
    return @places;
}

my (%covered, $cells);

my $before = dump_of('acme');
for my $route (@routes) {
    my $name = name($route);
    for my $place (places($route)) {
        my (undef, $what, $form, $request) = @$place;
        for my $foreign (@{ $foreign{$form} }) {
            my ($kind, $id) = @$foreign;
            my @answers;
            for my $try ($unknown{$form}, $id) {
                my ($path, $body) = $request->($try);
                my $r = ask($route, $path, $body);
                $free{$what}->($try, $body, $r) if $free{$what};
                push @answers, shape($r, $try);
                my $text = join "\n", $r->{body}, %{ $r->{headers} };
                $text =~ s/\Q$_\E//g for $r->{status} =~ /^2/
                    ? ($id, 'sec_' . $id =~ tr/-//dr) : ();
                my @seen = grep { $text =~ /\Q$_\E/ } @marks;
                is "@seen", '', "$what, $kind: nothing of theirs is in it"
                    if @seen || $try eq $id;
            }
            is_deeply $answers[1], $answers[0],
                "$what, $kind: as an unknown one";
            my $status = $answers[1]{status};
            ok $status =~ ($free{$what} ? qr/^2/ : qr/^40[349]/),
                "$what, $kind: $status";
            is $status, 403, "$what: not for a tenant"
                if $route->{who} eq 'PLATFORM';
            $covered{$name}++;
            $cells++;
        }
    }
    $covered{$name}++ if $route->{path} !~ /\{/;
}
is_deeply dump_of('acme'), $before, 'nothing of the other tenant has changed';
for my $route (grep { name($_) =~ /^GET .*(?:\{uuid\}|meta)$/ } @routes) {
    my $r = ask($route, VMOps::Routes::path($route, $ours));
    is $r->{status}, 200, name($route) . ": the control, one's own is there";
}
note "$cells foreign ids in " . scalar(@routes) . ' routes';
my @left = grep { !$covered{$_} } map { name($_) } @routes;
is "@left", 'GET /admin/flags/{cohort} PUT /admin/flags/{cohort}',
    'every route that names something of a tenant is covered';

# what is read from now on stands still: all that was done is sealed
wait_for {
    my %tenant = @{ $s->redis(HGETALL => 'tenants/{globex}') };
    ($tenant{sealed} // 0) >= $tenant{audit};
} 10, 'the audit to be sealed';

# Lists, and what else is read: with filters, cursors, places to go on from.
my ($event) = @{ $s->redis(XREVRANGE => 'tenants/{acme}/events', '+', '-',
                           COUNT => 1) };
for my $route (grep { $_->{method} eq 'GET' && $_->{path} !~ /\{/
                      && $_->{path} ne '/events' } @routes) {
    # what one has named oneself, as a bot or a secret of that id, is in one's
    # audit
    my $audit = $route->{path} =~ m{^/audit};
    my @marks = grep { !$audit || !/of-acme|^sec_/ } @marks;
    my %ask = ('' => ['']);
    for my $query (qw(cursor vm_uuid agent_id)) {
        for my $foreign (@{ $foreign{uuid} }, @{ $foreign{secret} }) {
            push @{ $ask{$query} }, "?$query=$foreign->[1]";
        }
    }
    for my $query (sort keys %ask) {
        for my $asked (@{ $ask{$query} }) {
            my $r = ask($route, "$route->{path}$asked");
            my @seen = told($r->{body});
            is "@seen", '', "GET $route->{path}$asked: nothing of theirs";
        }
        # a cursor is a place in the order of ids, whosever it is
        next if $query eq '' || $query eq 'cursor' || $audit;
        for my $form (qw(uuid secret)) {
            for my $foreign (@{ $foreign{$form} }) {
                is_deeply shape(ask($route, "$route->{path}?$query=$foreign->[1]"),
                                $foreign->[1]),
                    shape(ask($route, "$route->{path}?$query=$unknown{$form}"),
                          $unknown{$form}),
                    "GET $route->{path}?$query: as an unknown one ($foreign->[0])";
            }
        }
    }
}
for my $list (grep { $_->{method} eq 'GET' && $_->{path} !~ /\{/ } @routes) {
    next if $list->{path} !~ m{^/(?:agents|vms|secrets|tokens|vm-ops/commands)$};
    my $mine = ask($list, $list->{path})->{json};
    my $r = $acme->rest(GET => $list->{path})->{json};
    my $text = JSON::PP->new->canonical->encode($r);
    ok scalar(grep { $text =~ /\Q$_\E/ } @marks),
        "$list->{path}: the control, its owner sees it";
    cmp_ok scalar(@{ $mine->{items} }), '>', 0, "$list->{path}: one's own";
}
is_deeply [@{ ask({ who => 'VIEWER', method => 'GET' }, '/license')->{json} }
           {qw(agents vms)}],
    [scalar @{ $globex->made(GET => '/agents')->{items} },
     scalar @{ $globex->made(GET => '/vms')->{items} }],
    'counts are those of its own';

# Streams, from now and from the first event on, while the other tenant works.
my $ours_id = $ours->{command};
my %streams = (
    '/events, from now' => ['/events'],
    '/events, from the start' => ['/events', after => '0-1'],
    "/events, from another's" => ['/events', after => $event->[0]],
    "its command's" => ["/vm-ops/commands/$ours_id/events"],
    "its command's, from another's" => ["/vm-ops/commands/$ours_id/events",
                                        after => $event->[0]],
);
for my $what (sort keys %streams) {
    my ($path, %opt) = @{ $streams{$what} };
    $streams{$what} = VMOps::Stream->new($s, $path, token => $globex->token,
                                         raw => 1, %opt);
}
my $own = VMOps::Stream->new($s, '/events', token => $acme->token, raw => 1);
for my $n (1 .. 3) {
    $acme->start(timeout_s => 600);
    $acme->agent->serve;
    $acme->made(POST => '/agents/pairings', {});
    $globex->start(timeout_s => 600);
    $globex->agent->serve;
}
$globex->rest(POST => "/vm-ops/commands/$ours_id/cancel");
$globex->agent->receive('ctl');
$globex->agent->send({ t => 'log', id => $ours_id, line => 'the last' });
$globex->agent->result({ id => $ours_id, secrets => [], payload => '' });
$globex->agent->receive('result.ok');
for my $what (sort keys %streams) {
    my (@events, $end);
    my $all = $what =~ m{^/};
    while (my $event = $streams{$what}->next) {
        push @events, $event;
        last if $event->{event} eq 'done'
             || $all && $event->{data} =~ /\Q$ours_id\E.*succeeded/;
    }
    cmp_ok scalar(@events), '>=', 2, "$what: events";
    my @seen = told(join "\n", map { "$_->{event} $_->{data}" } @events);
    is "@seen", '', "$what: nothing of theirs";
}
my @heard = map { $own->next } 1 .. 6;
ok scalar(grep { $_->{event} eq 'command' } @heard),
    'the control: its owner hears of it';

# The socket: another tenant's secret and commands.
$acme->start(timeout_s => 600);
my $held = $acme->agent->cmd;
$acme->agent->ack($held);
wait_for { $acme->made(GET => "/vm-ops/commands/$held->{id}")->{status}
           eq 'running' } 5, 'a command of the other tenant';
$before = dump_of('acme');
my $peer = $globex->agent;
for my $ref ($theirs->{secret}, $unknown{secret}) {
    $peer->send({ t => 'secret.get', id => 'r1', ref => $ref, version => 1 });
    is_deeply $peer->receive('secret'), { t => 'secret', id => 'r1',
        error => 'not_found' }, 'the socket: no secret of another';
}
for my $id ($held->{id}, $unknown) {
    $peer->send({ t => 'ack', id => $id, status => 'rejected',
                  code => 'policy_denied' });
    $peer->send({ t => 'progress', id => $id, percent => 1, stage => 'task',
                  message => 'x' });
    $peer->send({ t => 'log', id => $id, line => 'x' });
    $peer->result({ id => $id, secrets => [], payload => '' });
    is $peer->receive('result.ok')->{id}, $id,
        'the socket: a result of another is taken and dropped';
}
is_deeply dump_of('acme'), $before, 'nor has anything by the socket';
is $acme->made(GET => "/vm-ops/commands/$held->{id}")->{status}, 'running',
    'its command runs';

done_testing;
