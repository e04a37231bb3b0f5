package VMOps::Memory;

# What a process has in memory: everything that can be read of it, searched for
# a secret in all its forms, and for parts of it that a reused block left over.
#
#   my %where = secrets_in_memory($pid, token => $secret);
#   # ("token (base64 +1)" => "[heap] 55d0c0a0", ...)

use strict;
use warnings;

use Carp qw(croak);
use Exporter 'import';

use VMOps::Leaks;

our @EXPORT = qw(secrets_in_memory readable_memory found_in_memory);

use constant { STEP => 1 << 16, OVERLAP => 1 << 12, PART => 16 };

my $untouched = "\0" x STEP;    # most of the threads' stacks

# ([name, from, to], ...)
sub maps {
    my ($pid) = @_;
    open my $maps, '<', "/proc/$pid/maps" or croak "/proc/$pid/maps: $!";
    my @maps;
    while (my $line = <$maps>) {
        my ($from, $to, $name) =
            $line =~ /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+\s*(.*)$/
            or next;
        no warnings 'portable';
        push @maps, [$name || 'anonymous', hex $from, hex $to]
            unless $name =~ /^\[v(?:var|syscall)/;
    }
    return @maps;
}

# calls back with (where, bytes); how many bytes could be read
sub readable_memory {
    my ($pid, $look) = @_;
    open my $mem, '<:raw', "/proc/$pid/mem" or croak "/proc/$pid/mem: $!";
    my $total = 0;
    for my $map (maps($pid)) {
        my ($name, $from, $to) = @$map;
        for (my $at = $from; $at < $to; $at += STEP - OVERLAP) {
            my $n = $to - $at < STEP ? $to - $at : STEP;
            sysseek $mem, $at, 0 or last;
            my $read = sysread $mem, my ($bytes), $n;
            last unless $read;
            $total += $read;
            $look->(sprintf('%s %x', $name, $at), $bytes)
                if $bytes ne $untouched;
            last if $at + $n >= $to;
        }
    }
    return $total;
}

# what a pattern matches, each once: for secrets that the test does not know
sub found_in_memory {
    my ($pid, $pattern) = @_;
    my %found;
    readable_memory($pid, sub { $found{$_} = 1 for $_[1] =~ /($pattern)/g });
    my @found = sort keys %found;
    return @found;
}

# form => bytes, its forms and its parts
sub looked_for {
    my ($secret) = @_;
    my %form = secret_forms($secret);
    for (my $at = 0; $at + PART <= length $secret; $at += PART / 2) {
        $form{"$at and so on"} = substr $secret, $at, PART;
    }
    return %form;
}

sub secrets_in_memory {
    my ($pid, %secret) = @_;
    my (%where, %wanted);
    for my $name (keys %secret) {
        my %form = looked_for($secret{$name});
        $wanted{"$name ($_)"} = $form{$_} for keys %form;
    }
    my $read = readable_memory($pid, sub {
        my ($region, $bytes) = @_;
        for my $what (keys %wanted) {
            $where{$what} //= sprintf '%s +%x', $region,
                index $bytes, $wanted{$what}
                if index($bytes, $wanted{$what}) >= 0;
        }
    });
    croak "nothing of $pid could be read" if $read < 1 << 20;
    return %where;
}

1;
