# A rehearsal of a rollout, under load: the command bus is switched on for one
# cohort after the other, and off again in the other order.  Every command that
# was accepted succeeded; every refusal is one of the flag, in a moment when the
# flag said so; two seconds after a change all answers are those of the change.

use strict;
use warnings;

use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep);

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2, nodes => 2);
my ($on, $off) = (JSON::PP::true, JSON::PP::false);
my $FLAG = 'AGENT_COMMAND_BUS_ENABLED';
my @COHORTS = qw(internal beta production);
my $SEEN = 2;          # seconds until a change is seen everywhere
my $SURE = 4;          # answers of each tenant that are surely of a change

sub admin {
    my ($method, $path, $json) = @_;
    my $r = $s->rest($method, "/admin/$path", { token => $s->platform_token,
                                                json => $json });
    die "$path: $r->{status} $r->{body}\n" if $r->{status} != 200;
}

# off for all, long before the load begins
admin(PUT => 'flags', { $FLAG => $off });
my $begun = now;

# a tenant of each cohort, and two of their own mind
my %cohort = ((map { ($_ => $_) } @COHORTS), pilot => 'production',
              holdout => 'internal');
my %tenant;
for my $name (sort keys %cohort) {
    $tenant{$name} = VMOps::Rest->new($s, tenant => $name,
                                      node => 1 + keys(%tenant) % 2);
    admin(PATCH => "tenants/$name", { cohort => $cohort{$name} });
}
admin(PUT => 'tenants/pilot/flags', { $FLAG => $on });
admin(PUT => 'tenants/holdout/flags', { $FLAG => $off });

# The value over time, per cohort: [when it was asked for, value,
# when that was answered].
my %said = map { $_ => [[0, 0]] } @COHORTS;
sub change {
    my ($cohort, $value) = @_;
    push @{ $said{$cohort} }, [now, $value];
    admin(PUT => "flags/$cohort", { $FLAG => $value ? $on : $off });
    push @{ $said{$cohort}[-1] }, now;
}

# One tenant's load: a process that submits, carries out what comes, and looks
# at its end.  A line a request: began, ended, what came of it.
sub load {
    my ($t, $until, $out) = @_;
    my $n = 0;
    while (!-e $until) {
        my $began = now;
        my $r = $t->rest(POST => '/vm-ops/proxmox/start', {
            node => 1 + $n++ % 2, json => { vm_uuid => $t->vm },
            headers => { Connection => 'close' } });
        my $ended = now;
        my $what = "$r->{status} " . ($r->{json}{code} // '');
        if ($r->{status} == 202) {
            my $id = $r->{json}{command_id};
            my $order = eval { $t->agent->serve } // { id => 'none' };
            my $status = $t->rest(GET => "/vm-ops/commands/$id")
                ->{json}{status} // '';
            $what = $order->{id} eq $id && $status eq 'succeeded' ? 'succeeded'
                : "lost: $order->{id}, $status";
        }
        printf {$out} "%.6f %.6f %s\n", $began, $ended, $what;
        sleep 0.15;
    }
}

sleep 0.1 while now < $begun + $SEEN;
my $until = $s->dir . '/load.over';
my %child;
for my $name (sort keys %tenant) {
    my $file = $s->dir . "/load.$name";
    open my $out, '>', $file or die "$file: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        $SIG{INT} = $SIG{TERM} = 'DEFAULT';
        $out->autoflush;
        my $ok = eval { load($tenant{$name}, $until, $out); 1 };
        print {$out} "0 0 died: $@" if !$ok;
        POSIX::_exit(0);
    }
    $child{$name} = { pid => $pid, file => $file };
}

# the load has asked after that moment, for every tenant
sub wait_asked {
    my ($since) = @_;
    wait_for {
        !grep {
            $SURE > grep { $_ > $since }
                VMOps::slurp($_->{file}) =~ /^(\S+) \S+ ./mg;
        } values %child;
    } 30, 'the load to ask';
}

# there and back
wait_asked(0);
for my $walk (1 .. rounds(ci => 1, full => 10)) {
    for my $change ((map { [$_ => 1] } @COHORTS),
                    (map { [$_ => 0] } reverse @COHORTS)) {
        change(@$change);
        wait_asked($said{ $change->[0] }[-1][2] + $SEEN);
        # 120 commands a minute are another test's
        $s->redis('DEL', map { ("tenants/{$_}/rate/commands",
            @{ $s->redis('KEYS', "tenants/{$_}/rate/requests*") }) }
            keys %cohort);
    }
}
open my $over, '>', $until or die "$until: $!";
close $over;
waitpid $_->{pid}, 0 for values %child;

# Which values may an answer of that time be of?  A value holds from when it was
# asked for until the next one is seen everywhere.
sub values_at {
    my ($cohort, $began, $ended) = @_;
    my @said = @{ $said{$cohort} };
    return map { $said[$_][1] } grep {
        $said[$_][0] <= $ended
            && ($_ == $#said || $began <= $said[$_ + 1][2] + $SEEN)
    } 0 .. $#said;
}

for my $name (sort keys %cohort) {
    my @lines = map { [split / /, $_, 3] }
        split /\n/, VMOps::slurp($child{$name}{file});
    my (%count, @wrong, %sure);
    for my $line (@lines) {
        my ($began, $ended, $what) = @$line;
        $count{$what}++;
        my $value = $what eq 'succeeded' ? 1
            : $what eq '501 feature_disabled' ? 0 : undef;
        my @may = $name eq 'pilot' ? 1 : $name eq 'holdout' ? 0
            : values_at($cohort{$name}, $began, $ended);
        push @wrong, "@$line" if !defined $value || !grep { $_ == $value } @may;
        my %may = map { $_ => 1 } @may;
        $sure{$may[0]}++ if keys %may == 1;
    }
    is_deeply \@wrong, [], "$name: none lost, none refused or accepted wrongly ("
        . join(', ', map { "$count{$_} $_" } sort keys %count) . ')';
    my @want = $name eq 'pilot' ? 1 : $name eq 'holdout' ? 0 : (0, 1);
    cmp_ok $sure{$_} // 0, '>', 2, "$name: asked while it was surely "
        . ($_ ? 'on' : 'off') for @want;
}

done_testing;
