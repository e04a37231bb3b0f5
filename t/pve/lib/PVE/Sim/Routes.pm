package PVE::Sim::Routes;

# A table of routes.  A row:
#   on       'METHOD /path/{name}'
#   needs    [path, privilege, ...] any of which is enough; absent: any caller
#   params   schema by name (see PVE::Sim::Params), those of the path included
#   handler  gets a PVE::Sim::Request, returns data and, for lists, more

use Mojo::Base -base, -signatures;

use Mojo::Util qw(url_unescape);

has 'rows';

sub new ($class, @rows) {
    my $self = $class->SUPER::new(rows => \@rows);
    for my $row (@rows) {
        my ($method, $path) = split / /, $row->{on};
        my @parts = split m{/}, $path, -1;
        push @{$self->{by_shape}{$method}{scalar @parts}}, [\@parts, $row];
    }
    return $self;
}

sub _match ($parts, $given) {
    my %found;
    for my $i (0 .. $#$parts) {
        if ($parts->[$i] =~ /\A\{(.+)\}\z/) {
            return if !length $given->[$i];
            $found{$1} = $given->[$i];
        }
        elsif ($parts->[$i] ne $given->[$i]) {
            return;
        }
    }
    return \%found;
}

# The row of a request and what its path names; empty when there is none.
sub find ($self, $method, $path) {
    my @given = map { url_unescape($_) } split m{/}, $path, -1;
    for my $entry (@{$self->{by_shape}{$method}{scalar @given} // []}) {
        my $found = _match($entry->[0], \@given) or next;
        return ($entry->[1], $found);
    }
    return;
}

1;
