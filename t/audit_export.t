# An export of a long log: all of it, in constant memory however slowly it is
# read; one that cannot be whole breaks off and says so by having no end.

use strict;
use warnings;

use VMOps;
use VMOps::Audit;
use VMOps::Rest;

my $s = VMOps->stack(workers => 1);
my $w = VMOps::Rest->new($s, tenant => 'acme', offline => 1);
my $audit = VMOps::Audit->new($s, tenant => { tenant => 'acme',
                                              token => $w->token });
my $count = rounds(ci => 10_000, full => 40_000);

# entries as the functions write them, many at once; not to the disk
$s->redis(qw(CONFIG SET appendonly no));
my $rest = '"actor":"token:1","x":"' . 'x' x 1900 . '"';
my $many = <<'END';
for i = 1, tonumber(ARGV[1]) do
    local n = redis.call('HINCRBY', KEYS[1], 'audit', 1)
    redis.call('XADD', KEYS[1] .. '/events', '*', 'type', 'x', 'ms', '1',
               'n', n, 'entry', '{"event":"x.' .. i .. '",' .. ARGV[2] .. '}')
end
return 1
END
$s->redis('EVAL', $many, 1, $audit->key, 500, $rest) for 1 .. $count / 500;
$s->redis('FCALL', 'vmops_unsealed_add', 1, 'platform/{p}', 'acme');
my $took = $audit->wait_sealed(undef, 120);
my ($last) = $audit->numbers;
cmp_ok $last, '>', $count, "$last entries, sealed in " . int($took * 1000) . ' ms';

sub begin { return $w->begin(GET => '/audit/export', @_) }

# what came of it, without the chunks' lengths
sub body {
    my ($request) = @_;
    my $deadline = now + 120;
    while (!$request->{ended}) {
        die "no end of an export\n" if now > $deadline;
        $request->read(1);
    }
    return $request->{in} =~ s/\A.*?\r\n\r\n//sr =~ s/\r\n[0-9a-f]+\r\n//gr
        =~ s/\A[0-9a-f]+\r\n//r =~ s/\r\n\z//r;
}

my $agent = $s->agent(tenant => $audit->{tenant});
$agent->pair;
my $run = $agent->cli(['audit', 'verify', '-'], stdin => body(begin()));
is $run->{exit}, 0, 'the whole of it holds';
cmp_ok $run->{json}{entries}, '>=', $last, 'each entry is there';

# a reader that takes its time

sub memory {
    my ($worker) = $s->workers;
    return VMOps::slurp_proc($worker, 'status') =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
}

my $before = memory();
my @slow = map { begin() } 1 .. 8;
$_->until_like(qr/"audit":1/) for @slow;
wait_for {
    my $last = memory();
    select undef, undef, undef, 0.2;
    memory() == $last;
} 20, 'the exports to stand still';
my $grown = memory() - $before;
cmp_ok $grown, '<', 8 * 1024, "8 that wait: $grown kB more in the worker"
    unless VMOps::keeps_freed();
is $audit->rest('/audit/head')->{status}, 200, 'others are served';
my $whole = body($slow[0]);
ok $whole =~ /\{"end":\d+\}\n/, 'a slow one is whole';
$_->abort for @slow;

# one whose token ends

my $token = $w->new_token('owner');
my $waiting = begin(token => $token->{token});
$waiting->until_like(qr/"audit":1/);
$w->rest(DELETE => "/tokens/$token->{token_id}");
wait_for { $s->rest(GET => '/audit/head', { token => $token->{token} })
           ->{status} == 401 } 5, 'its end';
ok body($waiting) !~ /"end"/, 'a token that was revoked: no end';

# entries that leave before it comes to them

$waiting = begin();
$waiting->until_like(qr/"audit":1/);
$s->redis('HSET', $audit->key, trimmed => $last);
ok body($waiting) !~ /"end"/, 'entries that were trimmed: no end';
$s->redis('HDEL', $audit->key, 'trimmed');

# control: one more, after all that
ok body(begin()) =~ /\{"end":\d+\}\n/, 'and one that is whole';

done_testing;
