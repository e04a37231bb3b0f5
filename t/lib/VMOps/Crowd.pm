package VMOps::Crowd;

# Many agents in one process of its own, who do what agents do: carry out every
# order, keep its result until it is confirmed, and come back when they are sent
# away, or cut off.  They do not verify what they are told: there are many, and
# the machine is the server's as well.
#
#   my $crowd = VMOps::Crowd->start(@agents);    # paired VMOps::WSAgents
#   my $told = $crowd->stop;    # {done => {command id => 1}, left => N results,
#                               #  sessions => N}

use strict;
use warnings;

use Carp qw(croak);
use File::Temp qw(tempfile);
use JSON::PP;
use MIME::Base64 qw(decode_base64url);
use POSIX ();

use VMOps::Process qw(now);

use constant { AGAIN_S => 0.5, TURN_S => 0.05, STOP_S => 30 };

my $json = JSON::PP->new->utf8;

sub start {
    my ($class, @agents) = @_;
    my ($fh, $path) = tempfile('vmops-crowd-XXXXXXXX', TMPDIR => 1, UNLINK => 1);
    close $fh;
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        $_->{trusting} = 1 for @agents;
        my $crowd = bless { agents => \@agents, done => {}, sessions => 0 },
            $class;
        my $ok = eval { $crowd->live; 1 };
        warn "a crowd of agents: $@" unless $ok;
        open my $out, '>', $path or POSIX::_exit(1);
        print $out $json->encode({ done => $crowd->{done}, left => $crowd->left,
                                   sessions => $crowd->{sessions} });
        close $out;
        POSIX::_exit($ok ? 0 : 1);
    }
    return bless { pid => $pid, path => $path, owner => $$ }, $class;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} // croak 'it is stopped';
    my $status = VMOps::Process::stop($pid, 'TERM', STOP_S);
    croak 'the crowd did not end well' if !defined $status || $status;
    open my $in, '<', $self->{path} or croak "$self->{path}: $!";
    local $/;
    return $json->decode(scalar <$in>);
}

sub DESTROY {
    my ($self) = @_;
    return if !$self->{pid} || $self->{owner} != $$;
    local ($?, $@, $!);
    VMOps::Process::stop($self->{pid}, 'KILL');
}


# The other process

sub live {
    my ($self) = @_;
    my $stop = 0;
    local $SIG{TERM} = sub { $stop = 1 };
    until ($stop) {
        for my $a (grep { !$_->{sock} } @{ $self->{agents} }) {
            $self->come($a) if now >= ($a->{due} // 0);
        }
        my $bits = '';
        vec($bits, fileno $_->{sock}, 1) = 1
            for grep { $_->{sock} } @{ $self->{agents} };
        next if select($bits, undef, undef, TURN_S) <= 0;
        for my $a (grep { $_->{sock} } @{ $self->{agents} }) {
            $self->hear($a) if vec $bits, fileno $a->{sock}, 1;
        }
    }
}

sub left {
    my ($self) = @_;
    my $left = 0;
    $left += keys %{ $_->{outbox} // {} } for @{ $self->{agents} };
    return $left;
}

# a session, and first of all what is in the outbox
sub come {
    my ($self, $a) = @_;
    if (!eval { $a->online; 1 }) {
        $a->drop;
        $a->{due} = now + AGAIN_S * rand;
        return;
    }
    $self->{sessions}++;
    report($a, $_) for values %{ $a->{outbox} };
    $self->hear($a);    # what came with the welcome
}

sub hear {
    my ($self, $a) = @_;
    my $alive = eval {
        $a->fill(0, 1);
        while (my $m = $a->next_message(0)) {
            $self->on($a, $m);
        }
        !$a->{closed} && !$a->{eof};
    };
    return if $alive;
    $a->drop;
    $a->{due} = now + (delete $a->{retry_ms} // 1000 * AGAIN_S * rand) / 1000;
}

sub on {
    my ($self, $a, $m) = @_;
    if ($m->{t} eq 'bye') {
        $a->{retry_ms} = $m->{retry_after_ms};
    } elsif ($m->{t} eq 'result.ok') {
        delete $a->{outbox}{ $m->{id} };
    } elsif ($m->{t} eq 'cmd') {
        my $payload = decode_base64url($m->{p});
        my $order = { %{ $json->decode($payload) }, payload => $payload,
                      frame => $m };
        $a->{last_seq} = $order->{seq};
        $self->{done}{ $order->{id} } = 1;
        $a->{outbox}{ $order->{id} } = $order;
        $a->ack($order);
        report($a, $order);
    }
}

sub report {
    my ($a, $order) = @_;
    $a->result($order, frame => { cmd => {
        map { $_ => $order->{frame}{$_} } qw(p k s) } });
}

1;
