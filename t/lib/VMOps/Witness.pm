package VMOps::Witness;

# Three witnesses of a site's commands, who must agree whatever was killed: the
# simulator's journal of what really happened, the records in Redis, and the
# agent's own journal.
#
#   my $w = VMOps::Witness->with_site($s, guests => 3);
#   $w->order('start', 100);         # and others, and faults
#   $w->settle;
#   $w->agree('after a fault');      # a test: no violation
#   $w->control;                     # tests: planted ones are found
#
# Violations:
#   twice      an effect that was not ordered, or more than once
#   lost       a result that the agent has, and the server has not
#   open       not final 5 s after its deadline
#   nothing    succeeded, and there was no effect
#   ran        an effect under an end that says it did not run

use strict;
use warnings;

use Carp qw(croak);
use JSON::PP;
use Storable qw(dclone);
use Test::More ();
use Time::HiRes qw(time);

use VMOps ();
use VMOps::Functions ();
use VMOps::Process qw(now wait_for);
use VMOps::Site;

use constant {
    FINISH_MS => 5000,     # final at the deadline and this
    SETTLE_S  => 45,       # a task is followed 30 s beyond its deadline
    TAKEN_S   => 20,
    STEP_S    => 0.05,
    POST_S    => 5,
};

my %FINAL = map { $_ => 1 }
    qw(succeeded failed rejected cancelled timed_out indeterminate);
my %CHANGES = map { $_ => 1 } qw(start shutdown stop reboot reset suspend
                                 resume);

sub new {
    my ($class, $site) = @_;
    my $self = bless { site => $site, journal => {}, guests => {} }, $class;
    $self->{guests}{ $site->vm_uuid } = $site->{opt}{vmid} // 100;
    $self->again;
    return $self;
}

# A site of its own with so many guests, 100 and following, all registered:
# guests => N, durations of tasks in ms, and what VMOps::Site->new takes.
sub with_site {
    my ($class, $stack, %opt) = @_;
    my $guests = delete $opt{guests} // 1;
    my $durations = delete $opt{durations} // {};
    my $site = VMOps::Site->new($stack, tenant => 'acme', scenario => {
        guests => [map { { vmid => $_, name => "guest-$_" } }
                   100 .. 99 + $guests],
        settings => { durations => $durations } }, %opt);
    my $self = $class->new($site);
    $self->add_guest($_) for 101 .. 99 + $guests;
    $self->again;
    return $self;
}

sub site { $_[0]{site} }

# every guest stopped, or running: the next orders change it
sub all_guests {
    my ($self, $status) = @_;
    $self->site->pve->control('PUT', "guests/$_", { status => $status })
        for values %{ $self->{guests} };
}

# forgets what was; the next commands are a round of their own
sub again {
    my ($self) = @_;
    $self->{since} = int(time * 1000);
    $self->{accepted} = [];
    $self->{cut} = 0;
    $self->{seen} = () = $self->site->pve->effects;
    $self->{before} = { map { $_ => 1 } $self->ids };
}

# another guest, registered and bound
sub add_guest {
    my ($self, $vmid) = @_;
    my $site = $self->site;
    my $uuid = $site->add_vm(name => "guest-$vmid", vmid => $vmid);
    $site->bind($uuid, $site->secret_ref);
    $self->{guests}{$uuid} = $vmid;
    return $uuid;
}

sub uuid_of {
    my ($self, $vmid) = @_;
    my ($uuid) = grep { $self->{guests}{$_} == $vmid } keys %{ $self->{guests} };
    return $uuid // croak "no guest $vmid";
}

# An order, by a connection of its own; the answer.  timeout_s, key (of
# idempotency), node, wait, params.
sub order {
    my ($self, $action, $vmid, %opt) = @_;
    my $wait = $opt{wait} // 0;
    my $r = $self->site->rest(POST => "/vm-ops/proxmox/$action", {
        node => $opt{node}, timeout => $wait + POST_S,
        json => { vm_uuid => $self->uuid_of($vmid), params => $opt{params} // {},
                  timeout_s => $opt{timeout_s} // 10 },
        headers => { Connection => 'close',
                     $wait ? (Prefer => "wait=$wait") : (),
                     defined $opt{key} ? ('Idempotency-Key' => $opt{key})
                                       : () } });
    push @{ $self->{accepted} }, $r->{json}{command_id}
        if $r->{status} =~ /^20[02]$/;
    return $r;
}

# The same by a client that goes on until it is told that it was taken, always
# with the same key; the command's id.
my $keys = 0;

sub taken {
    my ($self, $action, $vmid, %opt) = @_;
    my $key = $opt{key} // "taken-$$-" . $keys++;
    my $r;
    wait_for {
        $r = $self->order($action, $vmid, %opt, key => $key);
        $r->{status} =~ /^20[02]$/;
    } TAKEN_S, "order to $action $vmid taken";
    return $r->{json}{command_id};
}

# The store lost a moment: a command that was accepted in it, and never sent, is
# no more.
sub store_was_cut { $_[0]{cut} = 1 }


# The witnesses

sub key {
    my ($self, @parts) = @_;
    return join '/', "tenants/{$self->{site}{tenant}{tenant}}", @parts;
}

sub redis { my $self = shift; $self->site->stack->redis(@_) }

sub ids {
    my ($self) = @_;
    return @{ $self->redis('ZRANGE', $self->key('agent_commands'), 0, -1) };
}

# records as they lie there: nothing is finalised by being read
sub records {
    my ($self) = @_;
    my $redis = $self->site->stack->redis_client;
    my %records;
    for my $id (grep { !$self->{before}{$_} } $self->ids) {
        my $fields = $redis->call('HGETALL', $self->key('agent_commands', $id));
        $records{$id} = VMOps::Functions::whole($fields) if @$fields;
    }
    my $from = $self->{since} . '-0';
    for my $event (@{ $redis->call('XRANGE', $self->key('events'), $from,
                                   '+') }) {
        my %event = @{ $event->[1] };
        next unless ($event{kind} // '') eq 'done';
        my $record = $records{ $event{command_id} } // next;
        $record->{first_end} //= $event{ms};
    }
    return \%records;
}

# what the agent wrote down of this round, by the command's id
sub journal {
    my ($self) = @_;
    for my $row (@{ $self->site->agent->cli_ok(['journal'])->{items} }) {
        $self->{journal}{ $row->{command_id} } = $row
            unless $self->{before}{ $row->{command_id} };
    }
    return { map { $_ => $self->{journal}{$_} }
             grep { !$self->{before}{$_} } keys %{ $self->{journal} } };
}

# lines of the simulator: tasks that it accepted, and changes of guests
sub effects {
    my ($self) = @_;
    my @lines = $self->site->pve->effects;
    return [grep { $CHANGES{ $_->{op} } } @lines[$self->{seen} .. $#lines]];
}

sub data {
    my ($self) = @_;
    return { records => $self->records, journal => $self->journal,
             effects => $self->effects, accepted => $self->{accepted},
             guests => $self->{guests}, cut => $self->{cut},
             away_ms => 0, now => int(time * 1000) };
}

sub final { return $FINAL{ $_[0]{status} } // 0 }

sub quiet {
    my ($self) = @_;
    my ($records, $journal) = ($self->records, $self->journal);
    return !(grep { !final($_) } values %$records)
        && !(grep { $_->{state} ne 'ended' || !$_->{confirmed} }
             values %$journal)
        && !@{ $self->site->pve->control('GET', 'state')->{running} };
}

# Waits until nothing is open any more, and for_s long, at most for as long as
# the commands themselves may take.
sub settle {
    my ($self, %opt) = @_;
    my $until = now + SETTLE_S;
    my $since;
    while (now < $until) {
        $since = $self->quiet ? $since // now : undef;
        return if $since && now - $since >= ($opt{for_s} // 0);
        select undef, undef, undef, STEP_S;
    }
}


# What they say of each other: violations, as texts

sub check {
    my ($self, $data) = @_;
    $data //= $self->data;
    return (twice($data), lost($data), open_ones($data), nothing($data),
            ran($data));
}

# ids of commands that anybody knows of
sub known {
    my ($data) = @_;
    my %ids = map { $_ => 1 } keys %{ $data->{records} },
        keys %{ $data->{journal} };
    return sort keys %ids;
}

# UPIDs of the tasks that a command's witnesses name
sub tasks {
    my ($data, $id) = @_;
    my ($record, $row) = ($data->{records}{$id}, $data->{journal}{$id});
    my $result = $record && $record->{result};
    my %upids = map { $_ => 1 } grep { length }
        ($row && $row->{upid}) // '',
        ($result && decode_json($result)->{upid}) // '';
    my @tasks = sort keys %upids;
    return @tasks;
}

# "<action> <vmid>"; of a command without a record nobody but its own journal
# knows the guest
sub what {
    my ($data, $id) = @_;
    my $record = $data->{records}{$id} // {};
    my $row = $data->{journal}{$id} // {};
    return join ' ', $record->{action} // $row->{action} // '?',
        $record->{vmid} // '?';
}

# may have begun a task whose UPID nobody learned
sub may_have_begun {
    my ($data, $id) = @_;
    my $row = $data->{journal}{$id} // return 0;
    my $tasks = tasks($data, $id);
    return $row->{started_at} && !$tasks;
}

# tasks that no command names, by what they do
sub unnamed {
    my ($data) = @_;
    my %named = map { $_ => 1 } map { tasks($data, $_) } known($data);
    my %unnamed;
    for my $line (@{ $data->{effects} }) {
        push @{ $unnamed{"$line->{op} $line->{vmid}"} }, $line
            unless $named{ $line->{upid} };
    }
    return \%unnamed;
}

sub twice {
    my ($data) = @_;
    my (%times, @found);
    $times{ $_->{upid} }{ $_->{event} }++ for @{ $data->{effects} };
    for my $upid (sort keys %times) {
        push @found, map { "twice: $times{$upid}{$_} times $_ of $upid" }
            grep { $times{$upid}{$_} > 1 } sort keys %{ $times{$upid} };
    }
    for my $id (known($data)) {
        my @tasks = tasks($data, $id);
        push @found, "twice: $id had the tasks @tasks" if @tasks > 1;
    }
    my $unnamed = unnamed($data);
    for my $what (sort keys %$unnamed) {
        my %upids = map { $_->{upid} => 1 } @{ $unnamed->{$what} };
        my $may = grep { what($data, $_) eq $what && may_have_begun($data, $_) }
            known($data);
        push @found, "twice: $what was begun by " . keys(%upids)
            . " tasks more than were ordered, $may orders may have begun one"
            if keys %upids > $may;
    }
    return @found;
}

sub lost {
    my ($data) = @_;
    my @found;
    for my $id (sort keys %{ $data->{journal} }) {
        my ($row, $record) = ($data->{journal}{$id}, $data->{records}{$id});
        my $name = what($data, $id) . " $id";
        if (!$record) {
            push @found, "lost: $name has no record, the agent's says "
                . ($row->{status} // $row->{state});
        } elsif ($row->{state} ne 'ended') {
            push @found, "lost: $name is $row->{state} at the agent";
        } elsif ($row->{status} ne $record->{status}) {
            push @found, "lost: $name is $row->{status} at the agent, and "
                . "$record->{status} here";
        } elsif (!length($record->{receipt_signature} // '')) {
            push @found, "lost: $name has no receipt";
        } elsif (!$row->{confirmed}) {
            push @found, "lost: $name was not confirmed";
        }
    }
    for my $id (sort keys %{ $data->{records} }) {
        push @found, "lost: " . what($data, $id) . " $id has a receipt, and "
            . 'the agent does not know it'
            if length($data->{records}{$id}{receipt_signature} // '')
            && !$data->{journal}{$id};
    }
    for my $id (@{ $data->{accepted} }) {
        push @found, "lost: $id was accepted, and there is no record"
            if !$data->{records}{$id} && !$data->{journal}{$id}
            && !$data->{cut};
    }
    return @found;
}

sub open_ones {
    my ($data) = @_;
    my @found;
    for my $id (sort keys %{ $data->{records} }) {
        my $record = $data->{records}{$id};
        my $final = final($record);
        my $end = $final ? $record->{first_end} // $record->{finished_at}
                         : $data->{now};
        my $late = $end - $record->{created_at} - 1000 * $record->{timeout_s};
        push @found, sprintf 'open: %s %s is %s, %d ms after its deadline',
            what($data, $id), $id, $record->{status}, $late
            if $late > FINISH_MS + $data->{away_ms}
            && !($final && $record->{recovered});
    }
    return @found;
}

sub changes {
    my ($data, $id) = @_;
    my %task = map { $_ => 1 } tasks($data, $id);
    return grep { $_->{event} eq 'effect' && $task{ $_->{upid} } }
        @{ $data->{effects} };
}

sub nothing {
    my ($data) = @_;
    my @found;
    for my $id (sort keys %{ $data->{records} }) {
        my $record = $data->{records}{$id};
        push @found, 'nothing: ' . what($data, $id) . " $id succeeded"
            if $record->{status} eq 'succeeded' && $CHANGES{ $record->{action} }
            && !changes($data, $id);
    }
    return @found;
}

# An end that says: it did not run.  A task that failed or was stopped ran.
sub did_not_run {
    my ($record) = @_;
    my ($status, $code) = ($record->{status}, $record->{error_code} // '');
    return 1 if $status eq 'rejected';
    return $code !~ /^task_/ if $status eq 'failed';
    return $status eq 'cancelled' && !$record->{started};
}

sub ran {
    my ($data) = @_;
    my @found;
    my $unnamed = unnamed($data);
    for my $id (sort keys %{ $data->{records} }) {
        my $record = $data->{records}{$id};
        next unless did_not_run($record);
        my $what = what($data, $id);
        my $others = grep { $_ ne $id && what($data, $_) eq $what
                            && may_have_begun($data, $_) } known($data);
        my $own = grep { $_->{event} eq 'effect' } @{ $unnamed->{$what} // [] };
        push @found, "ran: $what $id is $record->{status} "
            . ($record->{error_code} // '') . ', and there was an effect'
            if changes($data, $id) || $own > $others;
    }
    return @found;
}


# As tests

# away_ms: how long there was no store in which a command could have been ended
sub agree {
    my ($self, $name, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $data = { %{ $self->data }, %opt };
    my @found = $self->check($data);
    if (@found && !$self->quiet) {
        # an agent that came back just now tells once more what was confirmed
        # just before
        $self->settle;
        $data = { %{ $self->data }, %opt };
        @found = $self->check($data);
    }
    my $n = keys %{ $data->{records} };
    Test::More::ok(!@found, "$name: 0 violations in $n commands")
        or Test::More::diag(join "\n", @found, $self->story($data));
    return !@found;
}

# all that is known, for who has to find out
sub story {
    my ($self, $data) = @_;
    my @lines;
    for my $id (known($data)) {
        my %record = %{ $data->{records}{$id} // {} };
        my %row = %{ $data->{journal}{$id} // {} };
        push @lines, "$id " . what($data, $id), '  here:   '
            . join(' ', map { "$_=" . ($record{$_} // '') }
                   grep { defined $record{$_} } qw(status error_code seq
                       created_at delivered_at accepted_at finished_at
                       first_end recovered timeout_s)),
            '  agent:  ' . join(' ', map { "$_=" . ($row{$_} // '') }
                                sort keys %row);
    }
    push @lines, map { "effect: $_->{at} $_->{event} $_->{op} $_->{vmid} "
                       . $_->{upid} } @{ $data->{effects} };
    return @lines;
}

# One violation of each kind, planted in what the witnesses said, is found; and
# nothing else is.  Needs a command that succeeded.
sub control {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $data = $self->data;
    my ($id) = grep { $data->{records}{$_}{status} eq 'succeeded'
                      && changes($data, $_) } sort keys %{ $data->{records} };
    croak 'no command succeeded: nothing to plant in' unless $id;
    my %plant = planted($id);
    for my $kind (sort keys %plant) {
        my $copy = dclone($data);
        $plant{$kind}->($copy);
        my %kinds = map { /^(\w+):/ ? ($1 => 1) : () } $self->check($copy);
        Test::More::is_deeply([sort keys %kinds], [$kind =~ /^(\w+)/],
            "control: $kind is found");
    }
}

sub planted {
    my ($id) = @_;
    my $record = sub { $_[0]{records}{$id} };
    my $own = sub {
        my ($data) = @_;
        return grep { $_->{event} eq 'effect' } changes($data, $id);
    };
    return (
        'twice: the effect again' => sub {
            my ($line) = $own->(@_);
            push @{ $_[0]{effects} }, { %$line };
        },
        'twice: another task' => sub {
            my ($line) = $own->(@_);
            push @{ $_[0]{effects} }, map { { %$line, upid => 'UPID:other:',
                                              event => $_ } } qw(request effect);
        },
        'lost: a result' => sub {
            my ($r) = $record->(@_);
            $r->{status} = 'indeterminate';
        },
        'lost: a receipt' => sub { delete $record->(@_)->{receipt_signature} },
        'lost: a record' => sub { delete $_[0]{records}{$id} },
        'lost: an accepted command' => sub {
            push @{ $_[0]{accepted} }, 'nobody knows it';
            $_[0]{cut} = 0;
        },
        'open: past its deadline' => sub {
            $record->(@_)->{status} = 'running';
            $_[0]{journal}{$id}{status} = 'running';
            $_[0]{now} = $record->(@_)->{created_at} + FINISH_MS + 1
                + 1000 * $record->(@_)->{timeout_s};
        },
        'open: ended late' => sub {
            $record->(@_)->{first_end} += FINISH_MS
                + 1000 * $record->(@_)->{timeout_s};
        },
        'nothing: no effect' => sub {
            my %gone = map { $_ => 1 } $own->(@_);
            @{ $_[0]{effects} } = grep { !$gone{$_} } @{ $_[0]{effects} };
        },
        (map {
            my ($status, $code) = split / /;
            ("ran: $_" => sub {
                @{ $record->(@_) }{qw(status error_code started)} =
                    ($status, $code, undef);
                $_[0]{journal}{$id}{status} = $status;
            });
        } 'failed agent_disconnected', 'rejected policy_denied',
          'cancelled cancelled'),
    );
}

1;
