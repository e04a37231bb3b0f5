package PVE::Sim::Task;

# One running worker.  Its record is what the API shows of it; this object is
# its flow: steps that follow each other by after(), until done() or fail().

use Mojo::Base -base, -signatures;

use Mojo::IOLoop;

use PVE::Sim::Refusal;

has 'record';
has override => sub { {} };
has tasks => undef, weak => 1;

sub node ($self) { $self->record->{node} }
sub upid ($self) { $self->record->{upid} }
sub user ($self) { $self->record->{user} }
sub sim  ($self) { $self->tasks->sim }

# How long this task works before its effect, in ms.
sub duration ($self, $type = $self->record->{type}) {
    return $self->override->{duration}
        // $self->sim->setting('durations')->{$type} // 0;
}

sub is_running ($self) { !defined $self->record->{exitstatus} }

sub run ($self, $step) {
    return if !$self->is_running;
    eval { $step->($self); 1 }
        or $self->fail(PVE::Sim::Refusal->from($@)->text);
}

sub after ($self, $ms, $step) {
    return $self->run($step) if $ms <= 0;
    push @{$self->{timers}},
        Mojo::IOLoop->timer($ms / 1000 => sub { $self->run($step) });
}

# Waits in the simulated machine's own seconds (see the setting second_ms).
sub after_seconds ($self, $seconds, $step) {
    $self->after($seconds * $self->sim->setting('second_ms'), $step);
}

sub on_end ($self, $cb) { push @{$self->{on_end}}, $cb }

sub log ($self, $text) {
    push @{$self->record->{log}}, $text if $self->is_running;
}

sub done ($self) {
    return if !$self->is_running;
    my $warnings = $self->override->{warnings};
    $self->log($warnings ? "TASK WARNINGS: $warnings" : 'TASK OK');
    $self->_end($warnings ? "WARNINGS: $warnings" : 'OK');
}

sub fail ($self, $text) {
    return if !$self->is_running;
    $self->log("TASK ERROR: $text");
    $self->_end($text);
}

# Killed: the log has no last line to tell how it went.
sub abort ($self) {
    $self->_end('unexpected status') if $self->is_running;
}

sub _end ($self, $status) {
    my $record = $self->record;
    $record->{exitstatus} = $status;
    $record->{endtime}    = time;
    Mojo::IOLoop->remove($_) for @{delete $self->{timers} // []};
    $self->tasks->ended($self);
    $_->() for @{delete $self->{on_end} // []};
}

1;
