# Every route, sent what no client should send: JSON bombs, wrong types in every
# member of every schema, too much of everything, headers and bodies in pieces,
# bodies that break off.  The right problem, nothing of the input in it, and
# workers that live.  Routes and schemas are those of the module's source.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Pipeline;
use VMOps::Rest;
use VMOps::Routes;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);
my @workers = $s->workers;
my $json = JSON::PP->new->utf8->allow_nonref;

my $mark = 'NeverEchoed';
my %ids = (agent => $t->agent->id, vm => $t->vm, secret => $t->secret,
           key_id => $t->agent->key_id, tenant => 'acme',
           'new tenant' => 'initech',
           'new id' => '01890000-0000-7000-8003-000000000001');
$ids{command} = $t->start(timeout_s => 600)->{command_id};
my $order = $t->agent->cmd;
$t->agent->ack($order);

my $pipe;                  # of all but signed requests
my $sent = 0;

# as who it is for; body: as it is
sub ask {
    my ($route, $body, %o) = @_;
    $s->forget_rates if $sent++ % 200 == 0;
    my $path = VMOps::Routes::path($route, \%ids, %o);
    my %headers = (defined $body ? ('Content-Type' => 'application/json') : (),
                   %{ $o{headers} // {} });
    if ($route->{who} eq 'AGENT') {
        return $t->agent->signed(sub {
            my ($method, $to, $opt) = @_;
            $opt->{headers} = { %{ $opt->{headers} }, 'If-Match' => '"1"',
                                %headers };
            return $s->rest($method, $to, $opt);
        }, $s->url, "/api/v1$path", $body);
    }
    my $token = $route->{who} eq 'PLATFORM' ? $s->platform_token : $t->token;
    my $bytes = VMOps::Pipeline::bytes($route->{method}, $path,
        ($route->{who} eq 'ANYONE' ? () : (token => $token)),
        headers => $o{headers} // {}, body => $body);
    my $r;
    for my $try (1, 2) {       # a connection that is kept may just have ended
        $pipe //= VMOps::Pipeline->new($s);
        $pipe->send($bytes);
        $r = $pipe->answer;
        undef $pipe if !$r || ($r->{headers}{connection} // '') eq 'close';
        last if $r;
    }
    $r->{json} = eval { $json->decode($r->{body}) };
    return $r;
}

sub refused {
    my ($what, $r, $want, $pointer) = @_;
    my $got = join ' ', $r->{status}, $r->{json}{code} // '';
    $got .= ' ' . ($r->{json}{errors}[0]{pointer} // '') if defined $pointer;
    $want .= " $pointer" if defined $pointer;
    is $got, $want, $what;
    fail "$what: something of it comes back" if $r->{body} =~ /$mark/;
}

# what is no JSON
my %broken = (
    'nothing'            => '',
    'half an object'     => qq({"name":"$mark"),
    'two documents'      => '{} {}',
    'a comment'          => "/* $mark */ {}",
    'a comment of lines' => "{} // $mark",
    'a trailing comma'   => '{"name":"x",}',
    'a bare word'        => $mark,
    'NaN'                => '{"name":NaN}',
    'a raw NUL'          => "{\"name\":\"$mark\0\"}",
    'an escaped NUL'     => "{\"name\":\"$mark\\u0000\"}",
    'a NUL after it'     => "{}\0",
    'a lone surrogate'   => '{"name":"\ud800"}',
    'a low surrogate'    => '{"name":"\udc00\ud800"}',
    'no UTF-8'           => "{\"name\":\"\xff\xfe\"}",
    'a name twice'       => '{"name":"a","name":"b"}',
    'a byte order mark'  => "\xef\xbb\xbf{}",
    'arrays, 60000 deep' => '[' x 60000,
    'objects, 10000 deep' => '{"a":' x 10000,
    'deep and closed'    => '[' x 30000 . ']' x 30000,
    '5000 members'       => '{' . join(',', map { "\"m$_\":1" } 1 .. 5000) . '}',
);

# larger than any body may be
my %bombs = (
    'depth 10^6'   => '[' x 1_000_000,
    '10 MB'        => '{"name":"' . 'x' x 10_000_000 . '"}',
    '10 MB of NUL' => "\0" x 10_000_000,
);

# a value of each type, and which types of members take it
my @values = (['null' => undef, 'NULL'], ['true' => JSON::PP::true, 'BOOL'],
              ['a number' => 7, 'INT'], ['a fraction' => 1.5, ''],
              ['a string' => $mark, 'STRING'], ['an array' => [], 'ARRAY'],
              ['an object' => {}, 'OBJECT']);

sub with_body { my ($route) = @_; return @{ $route->{fields} } > 0 }

my %seen;
for my $route (VMOps::Routes::all()) {
    my $name = VMOps::Routes::name($route) . " ($route->{who})";

    if (!with_body($route)) {
        next if $route->{path} =~ m{/events$};
        # no body is read: it is as if none had come, or said that none is wanted
        for my $what ('half an object', 'arrays, 60000 deep') {
            my $r = ask($route, $broken{$what});
            like $r->{status}, $route->{body} ? qr/^(?:400|404)$/ : qr/^(?!5)/,
                "$name, $what: $r->{status}";
            unlike $r->{body}, qr/$mark/, "$name: nothing of it comes back";
        }
        $seen{$name}++;
        next;
    }

    my @only = VMOps::Routes::targets($route);
    @only = (undef) if !@only;

    # bodies that are none
    for my $what (sort keys %broken) {
        my $body = $broken{$what};
        next if $what eq 'nothing' && $route->{who} ne 'AGENT'
             && $name =~ m{pairings|owner-tokens};
        refused("$name, $what", ask($route, $body), '400 invalid_json');
    }
    for my $body ('null', '1', "\"$mark\"", '[{}]', 'true', '1e400') {
        refused("$name, not an object: $body", ask($route, $body),
                '422 invalid_params');
    }
    refused("$name, no type", ask($route, '{}', headers => {
        'Content-Type' => 'text/plain' }), '415 unsupported_media_type');

    # every member of every schema
    for my $only (@only) {
        my $good = VMOps::Routes::example($route, \%ids, $only);
        my @o = defined $only ? (only => $only) : ();
        for my $field (grep { exists $good->{ $_->{name} } }
                       @{ $route->{fields} }) {
            my ($member, $type) = @$field{qw(name type)};
            for my $value (@values) {
                my ($what, $is, $taken) = @$value;
                next if $taken eq $type || $taken eq 'NULL' && $field->{nullable};
                refused("$name, $member: $what",
                        ask($route, $json->encode({ %$good, $member => $is }),
                            @o), '422 invalid_params', "/$member");
            }
            # numbers out of every range, and the longest of strings
            if ($type eq 'INT') {
                for my $number ('1e400', '-1e400', '9' x 60, '-9223372036854775809',
                                '18446744073709551616') {
                    my %body = (%$good, $member => 'NUMBER');
                    refused("$name, $member: $number",
                            ask($route, $json->encode(\%body)
                                =~ s/"NUMBER"/$number/r, @o),
                            '422 invalid_params', "/$member");
                }
            } elsif ($type eq 'STRING') {
                refused("$name, $member: 20000 bytes",
                        ask($route, $json->encode({
                            %$good, $member => 'x' x 20000 }), @o),
                        '422 invalid_params', "/$member")
                    if $member ne 'ciphertext';
            }
            next if $field->{optional};
            my %less = %$good;
            delete $less{$member};
            refused("$name without $member", ask($route, $json->encode(\%less),
                                                 @o),
                    '422 invalid_params', "/$member");
        }
        refused("$name, one member more",
                ask($route, $json->encode({ %$good, 'a/b~' => $mark }), @o),
                '422 invalid_params', '/a~1b~0');
        refused("$name, one of 30000 bytes more",
                ask($route, $json->encode({ %$good, x => $mark x 3000 }), @o),
                '422 invalid_params', '/x');
    }
    $seen{$name}++;
}

# Too large: told before it is read.
for my $route (grep { with_body($_) } VMOps::Routes::all()) {
    my $name = VMOps::Routes::name($route) . " ($route->{who})";
    for my $what (sort keys %bombs) {
        refused("$name, $what",
                ask($route, $bombs{$what}), '413 body_too_large');
    }
}
note "$sent requests";

# Headers and bodies in pieces: as in one piece.
for my $route (VMOps::Routes::all()) {
    next if $route->{path} =~ m{/events$} || $route->{who} eq 'AGENT';
    my $name = VMOps::Routes::name($route);
    $s->forget_rates if $sent++ % 200 == 0;
    my $bytes = VMOps::Pipeline::bytes($route->{method},
        VMOps::Routes::path($route, { %ids, vm => '01890000-0000-7000-8fff-'
            . '000000000000', map { $_ => '01890000-0000-7000-8fff-000000000000' }
              qw(agent pairing token command), tenant => 'nobody',
              secret => 'sec_' . '0' x 32 }),
        ($route->{who} eq 'ANYONE' ? () : (token => $route->{who} eq 'PLATFORM'
            ? $s->platform_token : $t->token)),
        (with_body($route) ? (body => '{"a":') : ()));
    my @statuses;
    for my $size (length $bytes, 61) {
        my $p = VMOps::Pipeline->new($s);
        for (my $at = 0; $at < length $bytes; $at += $size) {
            $p->send(substr $bytes, $at, $size);
        }
        my $r = $p->answer;
        push @statuses, "$r->{status} " . VMOps::Pipeline::code($r);
    }
    is $statuses[1], $statuses[0], "$name in pieces: $statuses[0]";
}

# Headers that are too much, or none.
my $get = "GET /api/v1/vms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    . $t->token . "\r\n";
my %headers = (
    'a line of 64 kB'    => "X: " . 'x' x 65536 . "\r\n",
    'a name of 64 kB'    => 'x' x 65536 . ": x\r\n",
    '2000 lines'         => join('', map { "X-$_: " . 'x' x 40 . "\r\n" }
                                  1 .. 2000),
    'a cookie of 64 kB'  => 'Cookie: a=' . 'x' x 65536 . "\r\n",
    'a NUL'              => "X: a\0b\r\n",
    'no name'            => ": x\r\n",
    'a line of a control character' => "X\x01: x\r\n",
    'a second host'      => "Host: y\r\n",
    'a length that is none' => "Content-Length: x\r\n",
    'two lengths'        => "Content-Length: 1\r\nContent-Length: 2\r\n",
);
for my $what (sort keys %headers) {
    my $p = VMOps::Pipeline->new($s);
    $p->send("$get$headers{$what}\r\n");
    my $r = $p->answer // { status => 0, headers => {}, body => '' };
    is $r->{status}, 400, "headers: $what";
    is $r->{headers}{'content-type'}, 'application/problem+json',
        "headers: $what: a problem";
}

# Bodies that break off, in each route; the connection ends, the worker does not.
for my $route (grep { with_body($_) } VMOps::Routes::all()) {
    my $bytes = VMOps::Pipeline::bytes($route->{method},
        VMOps::Routes::path($route, \%ids), token => $t->token,
        body => '{"name":"' . 'x' x 30000 . '"}');
    for my $part (0.1, 0.5, 0.99) {
        $s->forget_rates if $sent++ % 200 == 0;
        my $p = VMOps::Pipeline->new($s);
        $p->send(substr $bytes, 0, int($part * length $bytes));
        $p->close;
    }
}
$s->forget_rates;
wait_for { $t->rest(GET => '/vms')->{status} == 200 } 5, 'the worker';
is_deeply [$s->workers], \@workers, 'the workers are the same';
is $t->made(GET => "/vm-ops/commands/$ids{command}")->{status}, 'running',
    'a command that ran all the while still runs';

is scalar(keys %seen),
    scalar(grep { $_->{path} !~ m{/events$} } VMOps::Routes::all()),
    'every route but the streams';

done_testing;
