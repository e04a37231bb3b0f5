# The audit is sealed within two seconds of a change, by whichever worker of two
# nodes, one after the other and never twice; its pages, its export and its last
# seal hold when another implementation checks them.
# tags: asan

use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64url);

use VMOps;
use VMOps::Audit;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2, nodes => 2);
my $w = VMOps::Rest->new($s, tenant => 'acme', offline => 1);
my $t = { tenant => 'acme', token => $w->token };
my $audit = VMOps::Audit->new($s, tenant => $t);
my $pk = $audit->command_pk;

# in time, whoever is asked

my @late;
my $rounds = rounds(ci => 12, full => 200);
for my $round (1 .. $rounds) {
    my $r = $w->rest(POST => '/tokens', { node => 1 + $round % 2, json => {
        name => "t\x{e9}$round", role => 'viewer' } });
    my $since = now;
    canary("token $round", $r->{json}{token});
    my $took = $audit->wait_sealed($since);
    push @late, $took if $took > 2;
}
is_deeply \@late, [], "$rounds of $rounds changes are sealed within 2 s";

# the last seal

my $head = $audit->rest('/audit/head')->{json};
is_deeply [sort keys %$head], [qw(from h ms n sig)], 'the last seal';
is $head->{n}, ($audit->numbers)[0], 'is of the last entry';
is $s->rest(GET => '/audit/head', { token => $t->{token}, node => 2 })->{json}{n},
    $head->{n}, 'on every node';

# the export

my $r = $audit->rest('/audit/export');
is $r->{headers}{'content-type'}, 'application/x-ndjson', 'an export is lines';
my @lines = split /\n/, $r->{body};
is audit_fault($pk, 'acme', @lines), '', 'that hold';
my @objects = map { JSON::PP->new->utf8->decode($_) } @lines;
is_deeply [@{ $objects[0] }{qw(audit tenant start)}], [1, 'acme', undef],
    'it says what it is';
is_deeply [map { $_->{n} // () } @objects], [1 .. $head->{n}],
    'all entries are there';
is_deeply $objects[-2]{seal}, $head, 'the last seal is the last one';
is_deeply $objects[-1], { end => $head->{n} }, 'and it ends';
my @seals = map { $_->{seal} // () } @objects;
is_deeply [map { $_->{from} } @seals], [1, map { $_->{n} + 1 } @seals[0 .. $#seals - 1]],
    'each seal goes on where the one before ended';

# pages say the same, and what is not sealed has no h

my ($cursor, @items, @of_pages) = '';
do {
    my $page = $audit->rest("/audit?limit=3&cursor=$cursor" =~ s/&cursor=$//r)
        ->{json};
    push @items, @{ $page->{items} };
    push @of_pages, @{ $page->{seals} };
    $cursor = $page->{next_cursor};
} while defined $cursor;
is_deeply \@items, [grep { exists $_->{entry} } @objects],
    'pages of 3 have the same entries with the same h';
is_deeply \@of_pages, \@seals, 'and the same seals, each once';

for my $bad ('x', '1-0', '1-0.5', '1-0.5.' . 'A' x 42, '1-0.x.' . 'A' x 43) {
    my $r = $audit->rest("/audit?cursor=$bad")->{json};
    is "$r->{code} $r->{errors}[0]{pointer}", 'bad_request /cursor',
        "no cursor: $bad";
}

my $unsealed = $s->redis('XADD', $audit->key('events'), '*', type => 'x',
                         ms => 5, n => 999_999, entry => '{}');
my $last;
for (my $next = ''; defined $next; $next = $last->{next_cursor}) {
    $last = $audit->rest('/audit?limit=200'
                         . ($next ne '' && "&cursor=$next"))->{json};
}
is $last->{items}[-1]{n}, $head->{n},
    'a number that was not given out is no entry';
$s->redis('XDEL', $audit->key('events'), $unsealed);

# only an owner

my $other = $s->tenant('other');
for my $path (qw(/audit /audit/head /audit/export)) {
    my $as = sub { $s->rest(GET => $path, { token => $_[0] }) };
    is $as->($w->new_token('operator')->{token})->{status}, 403,
        "no operator: $path";
    is $as->('')->{status}, 401, "nobody: $path";
    unlike $as->($other->{token})->{body}, qr/"tenant":"acme"|web|first owner.*acme/,
        "no other tenant's: $path";
}

# it travels to agents

$audit->wait_sealed;
my $agent = $w->agent;
$agent->online;
my $welcome = $agent->{welcome};
is $welcome->{audit_head}{n}, ($audit->numbers)[1], 'in the welcome';
ok VMOps::Audit::signed($pk, 'acme', $welcome->{audit_head}), 'signed';

# nothing is appended to a last seal that is none of ours, which is said once

my $seals = $audit->key('audit_seals');
my $ours = $s->redis(LINDEX => $seals, -1);
$s->redis(LSET => $seals, -1, $ours =~ s/("sig":"[^"]{5})./$1@{[ $1 =~ m{A$} ? 'B' : 'A' ]}/r);
my $n = $s->redis(LLEN => $seals);
$w->new_token('viewer');
sub refused {
    my @lines = map { $s->error_log($_) =~ m{the\ last\ seal\ of\ tenants/\{acme\}
        \ is\ none\ of\ ours:\ its\ audit\ has\ been\ changed,
        \ or\ this\ node\ has\ another\ command\.key}gx } 1, 2;
    return @lines;
}
wait_for { refused() } 5, 'a worker that refuses it';
my ($looks, $monitor) = (0, $s->redis_client);
$monitor->call('MONITOR');
while ($looks < 8) {
    my $line = $monitor->next_message(5) // last;
    $looks++ if $line =~ /"FCALL" "vmops_audit_next"/;
}
is $looks, 8, 'it is looked at again and again';
is $s->redis(LLEN => $seals), $n, 'and nothing is sealed';
cmp_ok scalar refused(), '<=', 4, 'a worker says it once';
$s->redis(LSET => $seals, -1, $ours);
$audit->wait_sealed;
is audit_fault($pk, 'acme', $audit->export), '', 'once it is back the chain goes on';

# a tenant where nothing happens costs nothing

$agent->close(1000);
wait_for { !@{ $s->redis('ZRANGE', 'platform/{p}/unsealed', 0, -1) } } 30,
    'nobody to be looked after';
my $redis = $s->redis_client;
$redis->call('MONITOR');
my $until = now + 2;
my %calls;
while ((my $left = $until - now) > 0) {
    my $line = $redis->next_message($left) // last;
    $calls{$1}++ if $line =~ /"FCALL" "vmops_(unsealed_\w+|audit_\w+)"/;
}
is_deeply [keys %calls], ['unsealed_lease'], 'idle tenants are not looked at';
cmp_ok $calls{unsealed_lease}, '<=', 4 * 4 * 2 + 8, 'workers only ask who is due';

done_testing;
