# Events: one order, an audit entry for every act with whatever bytes a name
# has, reading after an id, and an end that is cut.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;

sub events {
    my ($list) = $f->ok_call(events_read => { limit => 200, @_ });
    return map { { id => $_->[0], %{ hash($_->[1]) } } } @$list;
}

my @all = events();
my @audit = grep { exists $_->{n} } @all;
is_deeply [map { $_->{n} } @audit], [1 .. @audit],
    'audit entries are numbered from 1, without a gap';
is $f->admin('HGET', $f->key, 'audit'), scalar @audit, 'the tenant knows them';
is_deeply [map { decode_json($_->{entry})->{event} } @audit],
    [qw(tenant.created token.created license.set token.created pairing.created
        pairing.used agent.registered vm.added secret.added binding.set)],
    'what happened, in order';
is_deeply [grep { $_->{type} ne (split /\./, decode_json($_->{entry})->{event})[0] }
           @audit], [], 'typed by what they are about';
is_deeply [map { decode_json($_->{entry})->{event} }
           grep { !exists $_->{n} } @all], ['agent.online'],
    'that an agent came is a change, and no act';

# reading on
my ($id, $middle) = ($all[3]{id}, $all[4]{id});
is((events(after => $id))[0]{id}, $middle, 'after an id');
is scalar(events(limit => 3)), 3, 'as many as asked for';
my (undef, $oldest, $newest) = $f->ok_call(events_read => {
    after => $all[-1]{id}, limit => 10 });
is_deeply [$oldest, $newest], [$all[0]{id}, $all[-1]{id}],
    'with the oldest and the newest that are kept';
is_deeply [events(after => $newest)], [], 'nothing after the newest';
is $f->call(events_read => { after => $_, limit => 1 })->[0], 'bad_request',
    "no id: $_" for 'x', '1-', '-', '$', '99999999999999999999999-1';

# whatever the bytes: the entry is JSON, and says the same
my $every = join '', map { chr } 0 .. 127;
my %names = (
    'every ASCII character' => [$every, $every],
    'UTF-8 of two, three and four bytes' =>
        ["\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\x{E9}\x{20AC}\x{1F600}"],
    'a lone byte' => ["a\xFFb", "a\x{FFFD}b"],
    'a sequence cut short' => ["a\xE2\x82", "a\x{FFFD}\x{FFFD}"],
    'an overlong one of two' => ["\xC0\xAF", "\x{FFFD}" x 2],
    'an overlong one of three' => ["\xE0\x9F\x80", "\x{FFFD}" x 3],
    'an overlong one of four' => ["\xF0\x8F\x80\x80", "\x{FFFD}" x 4],
    'a surrogate' => ["\xED\xA0\x80", "\x{FFFD}\x{FFFD}\x{FFFD}"],
    'beyond Unicode' => ["\xF4\x90\x80\x80", "\x{FFFD}" x 4],
    'quotes and backslashes' => ['"},{"\\"', '"},{"\\"'],
);
for my $name (sort keys %names) {
    my ($bytes, $text) = @{ $names{$name} };
    $f->ok_call(agent_name => { actor => 'token:1', agent_id => $w->{agent},
                                name => $bytes });
    my $entry = (events(after => $newest))[-1]{entry};
    my $read = eval { JSON::PP->new->utf8->decode($entry) };
    is $read && $read->{name}, $text, "in an entry: $name";
    unlike $entry, qr/[\x00-\x1F]/, "no raw control character: $name";
}

# every type that a listener may see, and one word for each entry
my $live = $f->listen('live');
$f->submitted;
$f->ok_call(agent_name => { actor => 'token:1', agent_id => $w->{agent},
                            name => 'pc' });
my @last = (events(after => $newest))[-2, -1];
is_deeply [map { (split)[-1] } $f->heard($live)], [map { $_->{id} } @last],
    'each is told by its id';

# whatever tells that an agent can open other secrets now, its change is an event
my %agent = (agent_id => $w->{agent});
my %upload = (%agent, secret_id => uuid(), kind => 'ssh_key', alg => 'x',
              created_ms => 1, secret_nonce => 'n', ciphertext => 'c',
              aad_meta => 'm', size => 1);
my @says = (
    [session_status => { %agent, session => $w->{session} }],
    [agent_heartbeat => \%agent],
    [secret_add => { %upload, label => 'x' }],
    [secret_rotate => { %upload{grep { $_ ne 'kind' } keys %upload},
                        if_match => 1, version => 2 }],
);
sub says {
    my ($function, $arg, %what) = @_;
    my $nonce = $function ne 'session_status';
    $f->ok_call($function => { %$arg, ($nonce ? (nonce => uuid()) : ()),
                               %what });
    my @told = grep { $_->{event} eq 'agent.keystore' }
        map { decode_json($_->{entry}) } events(after => $newest);
    (undef, undef, $newest) = $f->ok_call(events_read => { limit => 1 });
    return \@told;
}
for my $case (@says) {
    is_deeply says(@$case, key_id => "k of $case->[0]"),
        [{ event => 'agent.keystore', id => $w->{agent},
           key_id => "k of $case->[0]",
           $case->[0] =~ /^secret/ ? (keystore => 'ok') : () }],
        "$case->[0]: another key";
}
for my $case (@says[0, 1]) {
    is_deeply says(@$case, %$_), [], "$case->[0]: what is known, no event"
        for {}, { keystore => 'ok', key_id => 'k of secret_rotate' };
    is scalar @{ says(@$case, keystore => $_) }, 1, "$case->[0]: $_"
        for qw(unreadable ok);
}

# the end is cut, where nobody seals what has happened
$f->admin('XADD', $f->key('events'), '*', 'type', 'x') for 1 .. 300;
my $len = $f->admin('XLEN', $f->key('events'));
cmp_ok $len, '>', 300, 'many';
my $source = do {
    open my $file, '<', $f->server->dir . '/vmops.lua' or die $!;
    local $/;
    <$file>;
};
$source =~ s/EVENTS_UNSEALED_MAX = \d+/EVENTS_UNSEALED_MAX = 100/ or die;
$source =~ s/EVENTS_MAX = \d+/EVENTS_MAX = 100/ or die;
$f->server->client('vmops-deploy')->call(qw(FUNCTION LOAD REPLACE), $source);
$f->ok_call(agent_name => { actor => 'token:1', agent_id => $w->{agent},
                            name => 'again' });
cmp_ok $f->admin('XLEN', $f->key('events')), '<=', 200,
    'no more than is kept (and a node of the stream)';
is decode_json((events(after => '1-0', limit => 200))[-1]{entry})->{name},
    'again', 'the newest stays';

done_testing;
