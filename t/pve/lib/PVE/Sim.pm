package PVE::Sim;

# The simulator: its state and the parts that work on it.

use Mojo::Base -base, -signatures;

use PVE::Sim::Access;
use PVE::Sim::Auth;
use PVE::Sim::Certificate;
use PVE::Sim::Guests;
use PVE::Sim::Journal;
use PVE::Sim::State;
use PVE::Sim::Tasks;

has [qw(dir data)];
has access      => sub ($self) { PVE::Sim::Access->new(sim => $self) };
has auth        => sub ($self) { PVE::Sim::Auth->new(sim => $self) };
has guests      => sub ($self) { PVE::Sim::Guests->new(sim => $self) };
has tasks       => sub ($self) { PVE::Sim::Tasks->new(sim => $self) };
has certificate => sub ($self) {
    PVE::Sim::Certificate->new(dir => $self->dir)->ensure;
};
has effects => sub ($self) {
    PVE::Sim::Journal->new(path => $self->dir . '/effects.jsonl', sync => 1);
};
has access_log => sub ($self) {
    PVE::Sim::Journal->new(path => $self->dir . '/access.jsonl');
};

sub load ($self, $scenario) {
    PVE::Sim::State::load($self, $scenario);
    return $self;
}

sub save ($self) { PVE::Sim::State::save($self) }

sub setting ($self, $name) { $self->data->{settings}{$name} }

1;
