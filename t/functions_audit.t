# The chain in the store: seals by compare-and-swap, entries that leave only with
# their seal and never unsaid, what is not there any more, and what an agent has
# seen of a chain that is another now.  No signature is looked at here: the
# seals are what the function was given.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;

sub fields { return hash($f->admin('HGETALL', $f->key)) }

sub acts {
    my ($count, $name) = @_;
    for (1 .. $count // 1) {
        $f->ok_call(agent_name => { actor => 'token:1', live => '',
            agent_id => $f->{agent}, name => $name // 'pc' });
    }
}

sub text {
    my ($from, $to, $h) = @_;
    return sprintf '{"from":%d,"n":%d,"h":"%s","ms":1,"sig":"s"}', $from, $to,
        $h // "head$to";
}

# what a worker does: one seal of what it is given; its numbers
sub seal_once {
    my ($last, $list, $more);
    do {
        (undef, $last, $list, $more) = $f->ok_call('audit_next');
    } while $more && !@$list;
    return () if !@$list;
    my ($from, $to, $id) = ($list->[0][0], $list->[-1][0], $list->[-1][3]);
    my $reply = $f->call(audit_seal => { last => $last, from => $from,
        seal => text($from, $to), to => $to, id => $id });
    return $reply->[0] eq 'OK' ? [$from, $to] : ();
}

sub seal_all {
    my @made;
    while (my $one = seal_once()) { push @made, $one }
    return @made;
}

sub read_all {
    my ($limit) = @_;
    my ($after, $last, @entries, @seals, $trimmed) = ('', 0);
    do {
        (my $list, my $part, $after, undef, $trimmed) = $f->ok_call(
            audit_read => { after => $after, last => $last, limit => $limit });
        push @entries, @$list;
        push @seals, @$part;
        $last = $list->[-1][0] if @$list;
    } while $after ne '';
    return (\@entries, [map { JSON::PP->new->decode($_) } @seals], $trimmed);
}

sub event { decode_json($_[0][2]) }

$f->make_tenant('acme');
$f->{agent} = $f->make_agent;
my ($count) = fields()->{audit};

# one seal after the other

my ($ms, $last, $list, $more) = $f->ok_call('audit_next');
is $last, '', 'no seal yet';
is_deeply [map { $_->[0] } @$list], [1 .. $count], 'all entries, in order';
my %first = (last => '', from => 1, to => $count, id => $list->[-1][3]);
is $f->call(audit_seal => { %first, seal => text(1, $count) })->[0], 'OK',
    'a seal';
is $f->call(audit_seal => { %first, seal => text(1, $count, 'other') })->[0],
    'conflict', 'a second one of the same is none';
is_deeply [$f->ok_call('audit_head')], [text(1, $count)], 'the last one';
is_deeply [($f->ok_call('audit_next'))[2]], [[]], 'nothing is left to be sealed';
acts(3);
is_deeply [seal_all()], [[$count + 1, $count + 3]], 'the next goes on there';
acts(250);
is_deeply [seal_all()],
    [[$count + 4, $count + 103], [$count + 104, $count + 203],
     [$count + 204, $count + 253]], 'at most 100 under one seal';
my ($entries, $seals) = read_all(7);
is_deeply [map { $_->[0] } @$entries], [1 .. $count + 253],
    'pages of 7 have each entry once';
is_deeply [map { $_->{n} } @$seals],
    [$count, $count + 3, $count + 103, $count + 203, $count + 253],
    'and each seal';

# events that are no entries, and what only looks like one

my %junk = (type => 'x', ms => 1, entry => '{}');
my $next = fields()->{audit} + 1;
$f->admin('XADD', $f->key('events'), '*', %junk, @$_) for
    [n => $next + 5], [n => 3], [n => -1], [n => 'x'], [n => 1e300], [],
    [n => $next - 1], [n => $next, ms => ''];
acts(1);
$f->admin('XADD', $f->key('events'), '*', %junk, n => $next,
          entry => 'x' x 5000);
$f->admin('XADD', $f->key('events'), '*', %junk, n => $next, entry => "\xFF");
acts(1);
is_deeply [seal_all()], [[$next, $next + 1]],
    'nothing else is taken for an entry';
my $id = $f->admin('XADD', $f->key('events'), '*', %junk) for 1 .. 3000;
acts(1);
is_deeply [seal_all()], [[$next + 2, $next + 2]],
    'an entry behind 3,000 other events is found';

# entries that are gone before they are sealed

sub lost {
    my ($from, $to) = @_;
    for my $one (@{ $f->admin('XRANGE', $f->key('events'), '-', '+') }) {
        my $event = hash($one->[1]);
        $f->admin('XDEL', $f->key('events'), $one->[0])
            if ($event->{n} // '') =~ /^\d+$/ && $event->{n} >= $from
                && $event->{n} <= $to;
    }
}

my $n = fields()->{audit};
acts(5);
lost($n + 2, $n + 3);
is_deeply [seal_once(), seal_once()], [[$n + 1, $n + 5]],
    'in the middle: a worker is given what is there';
($entries) = read_all(200);

$n = fields()->{audit};
acts(3);
lost($n + 1, $n + 3);
my @made = seal_all();
is_deeply \@made, [[$n + 4, $n + 4]], 'at the end: the chain goes on';
($entries) = read_all(200);
is_deeply event($entries->[-1]), { event => 'audit.lost', actor => 'system',
    from => $n + 1, to => $n + 3 }, 'and it is said';
is_deeply [seal_all()], [], 'once';

$n = fields()->{audit};
acts(4);
lost($n + 1, $n + 2);
@made = seal_all();
is_deeply \@made, [[$n + 3, $n + 4], [$n + 5, $n + 5]],
    'at the beginning: a seal says from where it is';
($entries) = read_all(200);
is_deeply event($entries->[-1]), { event => 'audit.lost', actor => 'system',
    from => $n + 1, to => $n + 2 }, 'and an entry says so';

# what an agent has seen

sub witness {
    my ($n, $h) = @_;
    return ($f->ok_call(audit_witness => { agent_id => $f->{agent}, n => $n,
                                           h => $h }))[0];
}
my $to = fields()->{sealed};
is witness($to, "head$to"), 0, 'a seal that is there';
is witness($seals->[1]{n}, "head$seals->[1]{n}"), 0, 'an older one';
is fields()->{audit}, $to, 'nothing is said of them';
is witness($to, 'other'), 1, 'another chain';
is witness($to, 'other'), 0, 'is said once';
is witness($to + 40, "head"), 1, 'one that goes on further';
is fields()->{audit}, $to + 41, 'no number that was seen is given out again';
is witness($to + 40, "head"), 0, 'once, too';
($entries) = read_all(200);
is_deeply [map { event($_) } @$entries[-2, -1]], [
    { event => 'audit.forked', actor => "agent:$f->{agent}", n => $to,
      h => 'other' },
    { event => 'audit.forked', actor => "agent:$f->{agent}", n => $to + 40,
      h => 'head', from => $to + 1 }], 'as it was';
@made = seal_all();
is $made[0][0], $to + 1, 'the chain goes on';
is_deeply [seal_all()], [], 'and comes to its end';

# functions whose flag says that they never write an entry: nobody seals after
# them

$f->use_tenant('quiet');
my $w = $f->world('quiet');
my $command = $f->submitted;
my $told = $f->submitted;
my %as = (agent_id => $w->{agent}, session => $w->{session});
$f->take;
$n = fields()->{audit};
my %quiet = (
    principal => { pkind => 'token', pkey => 'op', cost => 1, limit => 100 },
    agent_heartbeat => { agent_id => $w->{agent}, nonce => uuid(),
        version => '1', routes => '[]', keystore => 'unreadable' },
    session_status => { %as, routes => '[]', keystore => 'ok', key_id => 'k' },
    progress => { %as, command_id => $command, accepted_at => 1,
                  percent => 5, stage => 'x', message => 'x' },
    log => { %as, command_id => $command, line => ['x'] },
    untake => { %as, command_turn => [$told, 1] },
    command_verdict => { command_id => $command, verdict => 1 },
    session_gone => { %as },
);
$f->ok_call($_ => $quiet{$_}) for sort { ($a eq 'session_gone')
    <=> ($b eq 'session_gone') || $a cmp $b } keys %quiet;
$f->connect_agent($w->{agent}, epoch => 1);
is_deeply [sort 'session_ready', keys %quiet],
    [sort grep { $f->{table}{$_}{flags} =~ /_Q$/ && !/^(?:audit|tenant)_/ }
     keys %{ $f->{table} }], 'all of them';
is fields()->{audit}, $n, 'have not written any';

# entries leave with their seal

my $source = do {
    open my $file, '<', $f->server->dir . '/vmops.lua' or die $!;
    local $/;
    <$file>;
};
$source =~ s/EVENTS_MAX = \d+/EVENTS_MAX = 60/ or die;
$f->server->client('vmops-deploy')->call(qw(FUNCTION LOAD REPLACE), $source);
$f->use_tenant('trim');
$f->make_tenant('trim');
$f->{agent} = $f->make_agent;
my @start = seal_all();
for (1 .. 20) {
    acts(3);
    seal_all();
    acts(1);
    $f->ok_call(agent_heartbeat => { agent_id => $f->{agent}, nonce => uuid(),
        map { $_ => 'x' } qw(version capabilities keystore key_id) });
}
seal_all();
my ($len, $trimmed);
($entries, $seals, $trimmed) = read_all(200);
cmp_ok $f->admin('XLEN', $f->key('events')), '<=', 70, 'no more than is kept';
cmp_ok $trimmed, '>', 0, "entries up to $trimmed have left";
is $seals->[0]{n}, $trimmed, 'up to a seal, which stays';
is $entries->[0][0], $trimmed + 1, 'the next entry is there';
my @said = grep { $_->{event} eq 'audit.trimmed' && $_->{to} == $trimmed }
    map { event($_) } @$entries;
is_deeply \@said, [{ event => 'audit.trimmed', actor => 'system',
                     to => $trimmed }], 'an entry that is kept says so';
is $f->admin('LLEN', $f->key('audit_seals')),
    $f->admin('LLEN', $f->key('audit_seals', 'ids')), 'each seal has its place';
my @missing = grep { my $n = $_; !grep { $_->[0] == $n } @$entries }
    $trimmed + 1 .. fields()->{audit};
is_deeply \@missing, [], 'none is missing';

# control: without seals nothing leaves
$f->use_tenant('unsealed');
$f->make_tenant('unsealed');
$f->{agent} = $f->make_agent;
acts(100);
cmp_ok $f->admin('XLEN', $f->key('events')), '>=', 100,
    'what is not sealed stays';

done_testing;
