# Whoever edits, deletes, inserts or cuts an export of the audit, and computes
# the whole chain anew, is found by an agent: the seals are signed by a key that
# only the server has, and the agent has been shown the last one.

use strict;
use warnings;

use Crypt::PK::Ed25519;
use JSON::PP;
use List::Util qw(max min);
use MIME::Base64 qw(decode_base64url encode_base64url);

use VMOps;
use VMOps::Audit;

my $s = VMOps->stack(workers => 1);
my $t = $s->tenant('acme');
my $audit = VMOps::Audit->new($s, tenant => $t);
my $agent = $s->agent(tenant => $t);
$agent->pair;

# a log of several seals

for my $round (1 .. 8) {
    for my $n (1 .. 1 + $round % 4) {
        my $r = $s->rest(POST => '/tokens', { token => $t->{token}, json => {
            name => "token $round.$n", role => 'viewer' } });
        canary("token $round.$n", $r->{json}{token});
    }
    $audit->wait_sealed;
}
$agent->start;      # is shown the last seal

my @log = map { JSON::PP->new->utf8->decode($_) } $audit->export;
my $last = $log[-1]{end};
my @seals = map { $_->{seal} // () } @log;
cmp_ok scalar @seals, '>=', 8, scalar(@seals) . " seals over $last entries";

my $file = $agent->home . '/export.jsonl';
my $ways = 0;

sub verify {
    my @text = map { line($_) } @_;
    if ($ways++ % 2) {
        return $agent->cli(['audit', 'verify', '-'],
                           stdin => join '', map { "$_\n" } @text);
    }
    open my $out, '>:raw', $file or die "$file: $!";
    print $out join("\n", @text), "\n";
    close $out or die "$file: $!";
    return $agent->cli(['audit', 'verify', $file]);
}

sub copy { map { JSON::PP->new->decode(JSON::PP->new->encode($_)) } @_ }

# control: it holds, by a file and by standard input

for (1 .. 2) {
    my $run = verify(@log);
    is $run->{exit}, 0, 'an untouched log holds' or diag $run->{out};
    is_deeply $run->{json}, { entries => $last, n => $last, seals => @seals + 0,
        trimmed => 0, lost => 0, forked => 0, witnesses => 1 }, 'all of it';
}

# The attacker: has everything but the command key.

my $seed = $ENV{SEED} // time;
srand $seed;
diag "SEED=$seed";

my $own = Crypt::PK::Ed25519->new->generate_key;

sub pick { $_[rand @_] }

# indexes of lines that have a member
sub having {
    my ($member, @lines) = @_;
    return grep { exists $lines[$_]{$member} } 0 .. $#lines;
}

my %CHANGES = (
    'an entry edited' => sub {
        my $l = $_[ pick(having('entry', @_)) ];
        $l->{entry} =~ s/"actor":"[^"]*"/"actor":"token:@{[ int rand 1e9 ]}"/
            or $l->{entry} =~ s/\}$/,"x":"y"}/;
        return @_;
    },
    'a character changed' => sub {
        my $l = $_[ pick(having('entry', @_)) ];
        my $at = int rand length $l->{entry};
        substr($l->{entry}, $at, 1) = substr($l->{entry}, $at, 1) eq 'e' ? 'f'
                                                                       : 'e';
        return @_;
    },
    'a time changed' => sub {
        $_[ pick(having('entry', @_)) ]{ms} += 1 + int rand 1e6;
        return @_;
    },
    'an entry deleted' => sub {
        splice @_, pick(having('entry', @_)), 1;
        return @_;
    },
    'some deleted' => sub {
        my $at = pick(having('entry', @_));
        splice @_, $at, 1 + int rand 5;
        return @_;
    },
    'the entries of a seal deleted with it' => sub {
        my @at = having('seal', @_);
        my $k = int rand @at;
        my $from = $k ? $at[$k - 1] + 1 : 1;
        splice @_, $from, $at[$k] - $from + 1;
        return @_;
    },
    'a seal deleted' => sub {
        splice @_, pick(having('seal', @_)), 1;
        return @_;
    },
    'an entry inserted' => sub {
        my $at = pick(having('entry', @_));
        my ($like) = copy($_[$at]);
        $like->{entry} = '{"event":"token.created","actor":"token:'
            . int(rand 1e9) . '"}';
        splice @_, $at, 0, $like;
        return @_;
    },
    'an entry doubled' => sub {
        my $at = pick(having('entry', @_));
        splice @_, $at, 0, copy($_[$at]);
        return @_;
    },
    'an entry appended' => sub {
        splice @_, -1, 0, { n => $last + 1, ms => $seals[-1]{ms}, h => '',
            entry => '{"event":"audit.trimmed","actor":"system","to":"1"}' };
        return @_;
    },
    'two swapped' => sub {
        my ($k, $m) = map { pick(having('entry', @_)) } 1, 2;
        @_[$k, $m] = @_[$m, $k];
        return @_;
    },
    'its end cut off' => sub {
        my $at = pick(having('entry', @_));
        splice @_, $at, @_ - $at - 1;
        return @_;
    },
    'its end cut off at a seal' => sub {
        my @at = having('seal', @_);
        my $at = $at[ rand @at - 1 ] + 1;
        splice @_, $at, @_ - $at - 1;
        return @_;
    },
    'nothing left' => sub { return @_[0, -1] },
    'its beginning cut off at a seal' => sub {
        my $at = pick(having('seal', @_));
        $_[0]{start} = $_[$at]{seal};
        splice @_, 1, $at;
        return @_;
    },
    'another beginning' => sub {
        my $at = pick(having('entry', @_));
        splice @_, 1, $at - 1;
        return @_;
    },
    'a seal of other times' => sub {
        $_[ pick(having('seal', @_)) ]{seal}{ms} -= 1 + int rand 1e6;
        return @_;
    },
    'a seal of another' => sub {
        my @at = having('seal', @_);
        my ($k, $m) = (pick(@at), pick(@at));
        ($_[$k]{seal}, $_[$m]{seal}) = ($_[$m]{seal}, $_[$k]{seal});
        return @_;
    },
);

# everything that can be computed without the key; numbered anew or not
sub compute {
    my ($number, $sign, @lines) = @_;
    my ($start) = $lines[0]{start} // ();
    my ($n, $h, $from) = $start ? ($start->{n}, decode_base64url($start->{h}))
                                : (0, "\0" x 32);
    for my $l (@lines[1 .. $#lines]) {
        if (exists $l->{entry}) {
            $n = $l->{n} = $number ? $n + 1 : $l->{n};
            $from //= $n;
            $h = audit_link($h, $n, $l->{ms}, $l->{entry});
            $l->{h} = encode_base64url($h);
        } elsif (my $seal = $l->{seal}) {
            my $before = line($seal);
            @$seal{qw(from n h)} = ($from // $n, $n, encode_base64url($h));
            $from = undef;
            $seal->{sig} = encode_base64url($own->sign_message(
                seal_bytes('acme', $seal)))
                if $sign && line($seal) ne $before;
        } elsif (exists $l->{end}) {
            $l->{end} = $n;
        }
    }
    return @lines;
}

my (%found, @missed, $same);
my @names = sort keys %CHANGES;
my $want = rounds(ci => 60, full => 1000);
for (my $k = 0; $k < $want; ) {
    my $name = $names[ $k % @names ];
    my @lines = $CHANGES{$name}->(copy(@log));
    my ($compute, $number, $sign) = map { int rand 4 } 1 .. 3;
    @lines = compute($number, $sign, @lines) if $compute;
    if (join("\n", map { line($_) } @lines) eq join "\n", map { line($_) } @log)
    {
        last if ++$same > $want;
        next;
    }
    $k++;
    my $run = verify(@lines);
    my $error = $run->{json}{error} // {};
    if ($run->{exit} == 12 && $error->{code} && defined $error->{n}) {
        $found{ $error->{code} }++;
    } else {
        push @missed, "$name ($compute $number $sign): exit $run->{exit} "
            . $run->{out};
    }
}
my $sum = 0;
$sum += $_ for values %found;
is $sum, $want, "of $want changed logs, $sum are found: "
    . join ', ', map { "$_ $found{$_}" } sort keys %found;
diag $_ for @missed;

# which entry it is, in words

my @edited = copy(@log);
my ($at) = grep { ($edited[$_]{n} // 0) == 5 } 0 .. $#edited;
$edited[$at]{entry} =~ s/"event":"/"event":"not./ or die;
my $run = verify(@edited);
is $run->{json}{error}{n}, 5, 'the first bad entry';
is $run->{json}{error}{code}, 'audit_content', 'and what is wrong with it';

my $boundary = (having('seal', @log))[-2];
$run = verify(compute(0, 0, @log[0 .. $boundary], { end => 0 }));
is $run->{json}{error}{code}, 'audit_cut', 'a log cut at a seal: the witness';
like $run->{json}{error}{message}, qr/ends with entry $seals[-2]{n}, .* entry \Q$seals[-1]{n},/,
    'says what is missing';

# control: without the witness that one cannot be told from an older export
my $new = $s->agent(tenant => $t);
$new->pair;
$run = $new->cli(['audit', 'verify', '-'], stdin => join '',
    map { line($_) . "\n" } @log[0 .. $boundary], { end => $seals[-2]{n} });
is $run->{exit}, 0, 'an agent that was shown nothing takes it';

# what is no export
my %says = (nothing => qr/file is empty: export/, text => qr/is no export of an/);
for my $case (['nothing', ''], ['text', "x\n"], ['a line of any length',
              '{"audit":"' . 'x' x 100_000], ['NULs', "\0" x 100],
              ['no end', join '', map { line($_) . "\n" } @log[0 .. $#log - 1]],
              ['more after the end', join '',
               map { line($_) . "\n" } @log, $log[-1]])
{
    $run = $agent->cli(['audit', 'verify', '-'], stdin => $case->[1]);
    is $run->{exit}, 12, "no export: $case->[0]";
    like $run->{json}{error}{message}, $says{ $case->[0] }, 'which is said'
        if $says{ $case->[0] };
}
is $agent->cli(['audit', 'verify', '/nonexistent'])->{exit}, 2, 'no file';
is $agent->cli(['audit', 'verify'])->{exit}, 2, 'no argument';

done_testing;
