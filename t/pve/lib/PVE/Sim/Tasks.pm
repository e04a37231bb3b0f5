package PVE::Sim::Tasks;

# All tasks: how they start (UPID, fate set by a test), where they are found.

use Mojo::Base -base, -signatures;

use Time::HiRes ();

use PVE::Sim::Refusal qw(refuse_parameters);
use PVE::Sim::Task;

use constant {
    KEPT => 500,

    # the node's uptime when the simulator was first started, in seconds
    UPTIME => 8600,
};

has sim  => undef, weak => 1;
has live => sub { {} };

my $UPID = qr/\AUPID:[a-zA-Z0-9-]+:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}
    :[^:\s]+:[^:\s]*:[^:\s]+:\z/x;

sub _new_record ($self, %o) {
    my $data   = $self->sim->data;
    my $now    = Time::HiRes::time();
    my $pid    = ++$data->{last_pid};
    my $pstart = int(($now - $data->{born} + UPTIME) * 100);
    my $record = {
        %o,
        pid       => $pid,
        pstart    => $pstart,
        starttime => int $now,
        log       => [],
        upid      => sprintf('UPID:%s:%08X:%08X:%08X:%s:%s:%s:',
            $o{node}, $pid, $pstart, $now, $o{type}, $o{id}, $o{user}),
    };

    push @{$data->{task_order}}, $record->{upid};
    $data->{tasks}{$record->{upid}} = $record;
    if (@{$data->{task_order}} > KEPT) {
        delete $data->{tasks}{shift @{$data->{task_order}}};
    }
    return $record;
}

# The fate a test has set for the next task of this type (and guest).
sub _take_override ($self, $record) {
    my $list = $self->sim->data->{overrides};
    for my $i (0 .. $#$list) {
        my $o = $list->[$i];
        next if $o->{type} ne $record->{type};
        next if defined $o->{vmid} && $o->{vmid} ne $record->{id};
        splice @$list, $i, 1 if --$o->{count} <= 0;
        return $o;
    }
    return {};
}

# Starts a worker: node, type, id, user, op (its name in the effects journal)
# and run (its first step).  Returns the UPID; a task without anything to wait
# for has ended by then.
sub start ($self, %o) {
    my ($op, $run) = delete @o{qw(op run)};
    my $record = $self->_new_record(%o);
    my $task   = PVE::Sim::Task->new(
        tasks    => $self,
        record   => $record,
        override => $self->_take_override($record),
    );

    $self->live->{$task->upid} = $task;
    $self->sim->effects->add({
        event => 'request',
        vmid  => int "$record->{id}",
        op    => $op,
        upid  => $task->upid,
        user  => $task->user,
    });
    $self->sim->save;
    $self->_emit_lines($task);

    if (defined(my $text = $task->override->{fail})) {
        $task->after($task->duration, sub ($t) { $t->fail($text) });
    }
    else {
        $task->run($run);
    }
    return $task->upid;
}

# Log lines a test wants, spread over the task's duration.
sub _emit_lines ($self, $task) {
    my $lines = $task->override->{log} // [];
    my $step  = $task->duration / (@$lines || 1);
    for my $i (0 .. $#$lines) {
        $task->after($i * $step, sub ($t) { $t->log($lines->[$i]) });
    }
}

sub ended ($self, $task) {
    delete $self->live->{$task->upid};
    $self->sim->save;
}

sub record ($self, $upid) {
    refuse_parameters({upid => 'unable to parse worker upid'})
        if $upid !~ $UPID;
    return $self->sim->data->{tasks}{$upid}
        // refuse_parameters({upid => 'no such task'});
}

sub stop ($self, $upid) {
    my $task = $self->live->{$upid} or return;
    $task->abort;
}

# Tasks of one type on one guest, for overrule-shutdown.
sub stop_guest_tasks ($self, $type, $vmid) {
    $self->stop($_->upid)
        for grep { $_->record->{type} eq $type && $_->record->{id} eq $vmid }
        values %{$self->live};
}

# Newest first.
sub all ($self) {
    my $data = $self->sim->data;
    return map { $data->{tasks}{$_} } reverse @{$data->{task_order}};
}

1;
