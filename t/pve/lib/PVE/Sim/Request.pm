package PVE::Sim::Request;

# What a handler sees of a request: the simulator, the caller, the checked
# parameters.

use Mojo::Base -base, -signatures;

has [qw(sim user p)];

# Holds the answer back, in ms.
sub delay ($self, $ms = undef) {
    $self->{delay} = $ms if defined $ms;
    return $self->{delay} // 0;
}

1;
