# Many thousand bad requests of every kind, to every route: right refusals, and
# no worker grows by them.

use strict;
use warnings;

use List::Util qw(min);

use VMOps;
use VMOps::Pipeline;
use VMOps::Rest;
use VMOps::Routes;

use constant { AT_ONCE => 40, PER_TOKEN => 400, GROWTH_KB => 1024 };

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);
my ($worker) = $s->workers;
my %ids = (agent => $t->agent->id, vm => $t->vm, secret => $t->secret,
           key_id => $t->agent->key_id, tenant => 'acme',
           command => $t->vm, 'new tenant' => 'initech', 'new id' => $t->vm);

# what only the worker itself holds: neither shared libraries nor its zones
sub memory {
    my ($kb) = VMOps::slurp("/proc/$worker/smaps_rollup")
        =~ /^Private_Dirty:\s+(\d+)/m;
    return $kb;
}

# Each: the status it must have, and the request, of a token's.  Those of a
# rotten frame or of too large a body end their connection, and go on one of
# their own.
my (@kept, @ending);

sub add {
    my ($list, $status, $route, %o) = @_;
    my $path = VMOps::Routes::path($route, \%ids);
    my $platform = $route->{who} eq 'PLATFORM' && $s->platform_token;
    push @$list, [$status, sub {
        my $token = $platform || $route->{who} ne 'ANYONE' && $_[0];
        return VMOps::Pipeline::bytes($route->{method}, $path,
                                      ($token ? (token => $token) : ()), %o);
    }];
}

# An agent's, signed once: a broken body is told before the nonce is looked at.
# A worker counts its requests itself: from some on they are too many.
sub add_signed {
    my ($route, $body) = @_;
    my $path = VMOps::Routes::path($route, \%ids);
    my $bytes;
    $t->agent->signed(sub {
        my (undef, undef, $opt) = @_;
        $bytes = VMOps::Pipeline::bytes(POST => $path, %$opt, headers => {
            %{ $opt->{headers} }, 'Content-Length' => length $opt->{body} });
    }, "http://localhost", "/api/v1$path", $body);
    push @kept, ['400|429', sub { $bytes }];
}

for my $route (VMOps::Routes::all()) {
    next if $route->{path} =~ m{/events$};
    my @broken = ('{"a":', '[' x 20000, "{\"a\":\"\0\"}", '{"a":"\ud800"}',
                  '{"a":1,"a":2}', '/**/{}',
                  '{' . join(',', map { "\"m$_\":1" } 1 .. 2000) . '}');
    if ($route->{who} eq 'AGENT') {
        add_signed($route, $_) for @broken;
        next;
    }
    if (@{ $route->{fields} }) {
        my $good = VMOps::Routes::example($route, \%ids);
        add(\@kept, 400, $route, body => $_) for @broken;
        add(\@kept, 422, $route, json => { %$good, $_ => { x => [1] } })
            for map { $_->{name} }
                grep { $_->{type} ne 'OBJECT' && exists $good->{ $_->{name} } }
                @{ $route->{fields} };
        add(\@kept, 422, $route, json => { %$good, 'x' x 5000 => 1 });
        add(\@kept, 415, $route, body => '{}', headers => {
            'Content-Type' => 'text/plain' });
        add(\@ending, 413, $route, body => 'x' x 70_000);
        add(\@ending, 400, $route, body => "zz\r\n", headers => {
            'Transfer-Encoding' => 'chunked', 'Content-Length' => undef });
        add(\@ending, 0, $route, body => '{"a":"xxx', headers => {
            'Content-Length' => 60_000 });
    }
    next if $route->{who} eq 'ANYONE';
    add(\@kept, 401, $route, headers => { Authorization => 'Bearer vmo_a_x' });
}
push @kept, map { my ($status, $query) = @$_; [$status, sub {
    VMOps::Pipeline::bytes(GET => $query, token => $_[0]) }] }
    ([400, '/vms?limit=x'], [400, '/agents?cursor=*'], [404, '/nothing'],
     [404, '/vms/1'], [404, '/vms/01890000-0000-7000-8000-000000000000'],
     [400, '/vm-ops/commands?cursor=x'], [422, undef]);
$kept[-1] = [422, sub { VMOps::Pipeline::bytes(POST => '/vm-ops/x/y',
    token => $_[0], body => '{}') }];
push @ending, [400, sub { VMOps::Pipeline::bytes(GET => '/vms',
    token => $_[0], headers => { X => 'x' x 40_000 }) }];
cmp_ok scalar(@kept) + @ending, '>', 100, 'kinds of bad requests';

my ($token, $used, $sent, %wrong) = (undef, PER_TOKEN, 0);

# each token is used for as many as its minute has
sub of_token {
    my ($n) = @_;
    if (($used += $n) > PER_TOKEN) {
        $s->forget_rates;
        $token = $t->new_token('owner')->{token};
        $used = $n;
    }
    return $token;
}

my ($pipe, $next) = (undef, 0);

sub batch {
    my ($count) = @_;
    while ($count > 0) {
        my @some = map { $kept[$next++ % @kept] } 1 .. AT_ONCE;
        my $as = of_token(scalar @some);
        $pipe //= VMOps::Pipeline->new($s);
        my $done = 0;
        # nginx ends a connection after so many requests: the rest go on another
        while ($done < @some) {
            $pipe->send(join '', map { $_->[1]->($as) } @some[$done .. $#some]);
            while ($done < @some) {
                my $r = $pipe->answer or last;
                my $want = $some[$done++][0];
                $wrong{"$r->{status} not $want"}++
                    if $r->{status} !~ /^(?:$want)$/;
            }
            $pipe = VMOps::Pipeline->new($s) if $done < @some;
        }
        my ($status, $bytes) = @{ $ending[$next % @ending] };
        my $own = VMOps::Pipeline->new($s);
        $own->send($bytes->(of_token(1)));
        if ($status) {
            my $r = $own->answer // { status => 'none' };
            $wrong{"$r->{status} not $status"}++ if $r->{status} ne $status;
        }
        $own->close;
        $sent += AT_ONCE + 1;
        $count -= AT_ONCE + 1;
    }
}

# What a worker keeps for later grows at first: by each kind, once and again.
my $size = 2 * @kept;
batch($size) for 1 .. 2;
my @first = map { batch($size); memory() } 1 .. 3;
my $total = rounds(ci => 3_000, full => 100_000);
my @later;
do { batch($size); push @later, memory() } while $sent < $total || @later < 3;
is join(', ', map { "$_: $wrong{$_}" } sort keys %wrong), '',
    "$sent bad requests, each with its own refusal";
my @last = splice @later, -3;
my $growth = min(@last) - min(@first);
note 'kB: ', join ' ', @first, '...', @last;
cmp_ok $growth, '<', GROWTH_KB, "the worker grew by $growth kB"
    unless VMOps::keeps_freed();

is_deeply [$s->workers], [$worker], 'the worker is the same';
is $t->rest(GET => '/vms')->{status}, 200, 'and serves';

done_testing;
