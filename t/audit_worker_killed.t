# Workers die while they are about to seal: one that takes the lease of a tenant
# and is never heard of again, and real ones, killed at any moment.  Whoever is
# left seals within the two seconds, and the chain holds.

use strict;
use warnings;

use VMOps;
use VMOps::Audit;
use VMOps::Faults;

my $s = VMOps->stack(workers => 2, nodes => 2);
my $t = $s->tenant('acme');
my $audit = VMOps::Audit->new($s, tenant => $t);
my $faults = VMOps::Faults->new($s);
my $dice = VMOps::Dice->new;
diag 'SEED=' . $dice->seed;

my $made = 0;

# a change at a node; when it was answered
sub change {
    my ($node) = @_;
    my $r = $s->rest(POST => '/tokens', { token => $t->{token}, node => $node,
        json => { name => 't' . ++$made, role => 'viewer' } });
    die "no change: $r->{status} $r->{body}\n" if $r->{status} != 201;
    canary("token $made", $r->{json}{token});
    return now;
}

sub lease {
    my $reply = $s->redis('FCALL', 'vmops_unsealed_lease', 1, 'platform/{p}',
                          500, 64);
    return grep { $_->[0] eq 'acme' } @{ $reply->[1] };
}

# the lease is taken, and nothing comes of it

my ($held, @late) = 0;
my $rounds = rounds(ci => 10, full => 100);
for my $round (1 .. $rounds) {
    my $since = change(1 + $round % 2);
    my $until = $since + 0.6;
    while (now < $until) {
        last if ($audit->numbers)[0] == ($audit->numbers)[1];
        if (lease()) { $held++; last }
    }
    my $took = $audit->wait_sealed($since);
    push @late, $took if $took > 2;
}
is_deeply \@late, [], "$rounds changes, $held leases of a dead worker: all are"
    . ' sealed within 2 s';
cmp_ok $held, '>=', 1, 'control: leases were held by nobody';

# workers are killed

@late = ();
$rounds = rounds(ci => 8, full => 100);
for my $round (1 .. $rounds) {
    my $since = change(1 + $round % 2);
    select undef, undef, undef, $dice->below(500) / 1000;
    $faults->kill_worker($dice->one_of($s->workers(1 + $dice->below(2))));
    my $took = $audit->wait_sealed($since);
    push @late, $took if $took > 2;
}
is_deeply \@late, [], "$rounds workers killed: all is sealed within 2 s";

# all at once: whoever comes next goes on

change(1);
$faults->kill_worker($_) for map { $s->workers($_) } 1, 2;
$audit->wait_sealed;
is audit_fault($audit->command_pk, 'acme', $audit->export), '',
    'the chain holds';
is_deeply [map { $_->{n} } $audit->entries], [1 .. ($audit->numbers)[0]],
    'with every entry';
is_deeply [grep { $_->{event} =~ /^audit\./ } $audit->entries], [],
    'and nothing was lost';

done_testing;
