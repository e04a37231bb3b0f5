package PVE::Sim::ConfigLock;

# The lock of a guest's configuration file: one worker at a time holds it, the
# others wait ten seconds.  A shutdown that waits for its guest holds it all
# the while, so that a stop beside it fails.

use Mojo::Base -base, -signatures;

use constant WAIT_SECONDS => 10;

has held => sub { {} };

sub acquire ($self, $file, $task, $step) {
    my $queue = $self->held->{$file};
    if (!$queue) {
        $self->held->{$file} = [];
        return $self->_enter($file, $task, $step);
    }

    push @$queue, [$task, $step];
    $task->after_seconds(
        WAIT_SECONDS,
        sub ($t) {
            my $waiting = $self->held->{$file} // [];
            $t->fail("can't lock file '$file' - got timeout")
                if grep { $_->[0] == $t } @$waiting;
        });
}

sub _enter ($self, $file, $task, $step) {
    $task->on_end(sub { $self->_release($file) });
    $task->run($step);
}

sub _release ($self, $file) {
    my $queue = $self->held->{$file};
    while (my $next = shift @$queue) {
        return $self->_enter($file, @$next) if $next->[0]->is_running;
    }
    delete $self->held->{$file};
}

1;
