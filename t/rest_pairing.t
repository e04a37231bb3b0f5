# Pairing: a code that is used once, one answer to every wrong one, a signature
# that has to hold, approval by fingerprint, new keys for a known agent.
# tags: asan

use strict;
use warnings;

use Crypt::Digest::BLAKE2b_256 qw(blake2b_256);
use MIME::Base64 qw(encode_base64url decode_base64url);

use VMOps;
use VMOps::Pipeline;
use VMOps::WSAgent;

my $s = VMOps->stack;
my $t = $s->tenant('acme');
my $rest = sub { $s->rest(@_) };

sub as_owner {
    my ($method, $path, $opt) = @_;
    return $s->rest($method, $path, { token => $t->{token}, %{ $opt // {} } });
}

sub pairing {
    my (%body) = @_;
    my $r = as_owner(POST => '/agents/pairings', { json => \%body });
    is $r->{status}, 201, 'a pairing is made';
    return $r->{json};
}

# what register answers to this agent's keys, and to changes of its body
sub register {
    my ($agent, $code, %over) = @_;
    my $answer;
    eval { $agent->pair(sub {
        my ($method, $path, $opt) = @_;
        $opt->{json} = { %{ $opt->{json} }, %over };
        return $answer = $s->rest($method, $path, $opt);
    }, $code) };
    return $answer;
}

# addresses are limited by their failed tries: each test has its own window
sub forget { $s->redis('DEL', 'platform/{p}/rate/pairing:127.0.0.1') }

my $p = pairing(name => 'office');
like $p->{code}, qr/^[0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){2}$/,
    'a code in Crockford\'s letters';
my $show = as_owner(GET => "/agents/pairings/$p->{pairing_id}");
is_deeply [@{ $show->{json} }{qw(status agent_id)}], ['pending', undef],
    'it is pending';
ok !exists $show->{json}{code}, 'and its code is not shown again';

# right
my $agent = VMOps::WSAgent->new;
my $r = register($agent, lc $p->{code} =~ tr/-/ /r);
is $r->{status}, 201, 'registered, however the code is typed';
my %made = %{ $r->{json} };
is_deeply [sort keys %made],
    [sort qw(agent_id tenant created_by status command_key command_key_id
             fingerprint server_time)], 'and what an agent has to know';
is $made{status}, 'pending_approval', 'it is to be approved';
is $made{tenant}, 'acme', 'of whom';
like $made{command_key_id}, qr/^c1[0-9a-f]{32}$/, 'the key\'s id';
my $digest = blake2b_256("vmops-fingerprint-v1\0" . $agent->{keys}{ed_pk}
                         . $agent->{keys}{x_pk}
                         . decode_base64url($made{command_key}));
is $made{fingerprint}, join(' ', map { sprintf '%05d', $_ % 100000 }
                            unpack 'N6', $digest), 'the fingerprint';
$show = as_owner(GET => "/agents/pairings/$p->{pairing_id}");
is_deeply [@{ $show->{json} }{qw(status agent_id)}], ['used', $agent->id],
    'the pairing is used';

# approval
my $path = '/agents/' . $agent->id;
my $shown = as_owner(GET => $path)->{json};
is $shown->{status}, 'pending_approval', 'as a record';
is $shown->{name}, 'office', 'under the name that its owner gave';
$r = as_owner(POST => "$path/approve", {
    json => { fingerprint => $made{fingerprint} =~ tr/0-9/1-90/r } });
is "$r->{status} $r->{json}{code}", '412 fingerprint_mismatch',
    'another fingerprint';
for my $twice (1, 2) {
    $r = as_owner(POST => "$path/approve",
                  { json => { fingerprint => $made{fingerprint} } });
    is "$r->{status} $r->{json}{status}", '200 offline', "approved ($twice)";
}

# wrong: all the same answer
my @same;
sub invalid {
    my ($what, $r) = @_;
    is "$r->{status} $r->{json}{code}", '403 pairing_invalid', $what;
    push @same, $r->{body} =~ s/$r->{json}{instance}//r;
}
invalid('a used code', register(VMOps::WSAgent->new, $p->{code}));
invalid('an unknown code', register(VMOps::WSAgent->new, 'ZZZZ-ZZZZ-ZZZZ'));
invalid('no code', register(VMOps::WSAgent->new, '!'));
$p = pairing();
my $wrong = substr($p->{code}, 0, 4) . '-0000-0000';
invalid('the selector of another', register(VMOps::WSAgent->new, $wrong));
is as_owner(DELETE => "/agents/pairings/$p->{pairing_id}")->{status}, 204,
    'a pairing is deleted';
invalid('a deleted one', register(VMOps::WSAgent->new, $p->{code}));
is as_owner(GET => "/agents/pairings/$p->{pairing_id}")->{status}, 404,
    'and is gone';
is scalar(keys %{{ map { $_ => 1 } @same }}), 1, 'every answer is the same';

# five wrong tries burn it
forget();
$p = pairing();
$wrong = substr($p->{code}, 0, 4) . '-0000-0000';
invalid("try $_", register(VMOps::WSAgent->new, $wrong)) for 1 .. 5;
invalid('then the right code', register(VMOps::WSAgent->new, $p->{code}));
is as_owner(GET => "/agents/pairings/$p->{pairing_id}")->{json}{status},
    'burned', 'it is burned';

# a signature that does not hold is a try
forget();
$p = pairing();
for my $over ({ name => 'another' }, { hostname => 'elsewhere' },
              { platform => 'windows' },
              { kid => encode_base64url('k' x 32) },
              { signature => encode_base64url('s' x 64) }) {
    $r = register(VMOps::WSAgent->new, $p->{code}, %$over);
    is "$r->{status} $r->{json}{errors}[0]{pointer}", '422 /signature',
        'not signed: ' . (%$over)[0];
}
is as_owner(GET => "/agents/pairings/$p->{pairing_id}")->{json}{status},
    'burned', 'five of them burn it, too';

# ten failed tries of an address
forget();
invalid("failed try $_", register(VMOps::WSAgent->new, 'ZZZZ-ZZZZ-ZZZZ'))
    for 1 .. 10;
$p = pairing();
$r = register(VMOps::WSAgent->new, $p->{code});
is "$r->{status} $r->{json}{code}", '429 rate_limited',
    'the eleventh is not looked at';
like $r->{headers}{'retry-after'}, qr/^[1-5]?[0-9]$|^60$/, 'for so long';
is $r->{headers}{'ratelimit-limit'}, 10, 'and of how many';
forget();
is register(VMOps::WSAgent->new, $p->{code})->{status}, 201,
    'later the code works';

# one that did not fail is none of them
for my $way (qw(used refused)) {
    forget();
    invalid("failed try $_", register(VMOps::WSAgent->new, 'ZZZZ-ZZZZ-ZZZZ'))
        for 1 .. 9;
    $p = pairing();
    $s->redis(HSET => 'tenants/{acme}', status => 'suspended')
        if $way eq 'refused';
    for my $n (1, 2) {
        $r = register(VMOps::WSAgent->new, $p->{code});
        is $r->{status}, $way eq 'used' ? 201 : 403, "$way ($n)";
        $p = pairing() if $way eq 'used';
    }
    is $r->{json}{code}, 'tenant_suspended', 'for another reason'
        if $way eq 'refused';
    $s->redis(HSET => 'tenants/{acme}', status => 'active');
    invalid("after those that were $way, the tenth",
            register(VMOps::WSAgent->new, 'ZZZZ-ZZZZ-ZZZZ'));
    is register(VMOps::WSAgent->new, 'ZZZZ-ZZZZ-ZZZZ')->{status}, 429,
        'and no eleventh';
}

# and many at once are no more
forget();
my $form = do {
    my $body;
    eval { VMOps::WSAgent->new->pair(sub {
        $body = $_[2]{json};
        return { status => 0, body => '' };
    }, 'ZZZZ-ZZZZ-ZZZZ') };
    VMOps::Pipeline::bytes(POST => '/agents/register', json => $body);
};
my @lines = map { VMOps::Pipeline->new($s) } 1 .. 50;
$_->send($form) for @lines;
my %answers;
$answers{$_->answer->{status}}++ for @lines;
is_deeply \%answers, { 403 => 10, 429 => 40 }, 'ten of fifty at once are tried';
is $s->redis(GET => 'platform/{p}/rate/pairing:127.0.0.1'), 10,
    'and those refused are not counted';

# a store that fails when the code is used: it is answered all the same
forget();
my $library = VMOps::slurp(VMOps::built('redis/vmops.lua'));
my $fails = $library =~ s/^(function F\.pairing_allow\(.*)/$1
    assert(num(a.tries) > 0)/mr;
$s->redis(qw(FUNCTION LOAD REPLACE), $fails);
$p = pairing();
is register(VMOps::WSAgent->new, $p->{code})->{status}, 201, 'registered';
is $s->redis(GET => 'platform/{p}/rate/pairing:127.0.0.1'), 1,
    'and counted as if it had failed';
$s->redis(qw(FUNCTION LOAD REPLACE), $library);
forget();

# the form
$p = pairing();
for my $over ({ ed25519_pk => 'x' }, { ed25519_pk => 'A' x 42 . 'B' },
              { kid => '' }, { platform => 'plan9' }, { name => '' },
              { hostname => '' }, { hostname => "a\tb" },
              { hostname => 'a' x 254 }, { more => 1 }) {
    $r = register(VMOps::WSAgent->new, $p->{code}, %$over);
    is "$r->{status} $r->{json}{errors}[0]{pointer}", '422 /' . (%$over)[0],
        'a form refused: ' . join ' ', %$over;
}

# a host is called as its user pleases: the name is shown, and no more
for my $host ('host.', 'my host', "\x{41f}\x{41a}", 'a' x 64, 'a' x 253) {
    my $made = VMOps::WSAgent->new->pair($rest, pairing()->{code},
                                         hostname => $host);
    is as_owner(GET => "/agents/$made->{agent_id}")->{json}{hostname}, $host,
        'a host of ' . length($host) . ' characters';
}

# new keys for a known agent, approved at once
$p = pairing(agent_id => $agent->id, auto_approve => JSON::PP::true);
my $again = VMOps::WSAgent->new;
$r = register($again, $p->{code});
is "$r->{status} $r->{json}{status}", '201 offline', 'paired again, approved';
is $r->{json}{agent_id}, $agent->id, 'as the same agent';
isnt $r->{json}{fingerprint}, $made{fingerprint}, 'with other keys';
$r = as_owner(POST => '/agents/pairings', { json => {
    agent_id => '01890000-0000-7000-8000-000000000000' } });
is "$r->{status} @{ $r->{json}{errors}[0] }{qw(pointer code)}",
    '404 /agent_id unknown', 'not for one that is not there';

# a license that allows no more is told to the owner, not to the user only
for my $lease ([license_limit => max_agents => 1],
               [license_inactive => expires_at => VMOps::time_of(time - 7200)]) {
    my ($code, %less) = @$lease;
    $s->rest(PUT => '/admin/tenants/acme/license', {
        token => $s->platform_token, json => {
            plan => 'x', max_agents => 9, max_vms => 9, grace_s => 0,
            expires_at => VMOps::time_of(time + 3600), %less } });
    $r = as_owner(POST => '/agents/pairings', { json => {} });
    is "$r->{status} $r->{json}{code}", "402 $code", "no code: $code";
    is as_owner(POST => '/agents/pairings', { json => {
        agent_id => $agent->id } })->{status}, 201, 'for new keys there is one';
}

done_testing;
