package VMOps::Relay;

# A relay between a client and a server, in a process of its own: where it
# leads can be changed, its connections can be dropped, and it can fall silent,
# as a network does.  Addresses are host:port, or the path of a unix socket,
# which leads from one network namespace into another.
#
#   my $relay = VMOps::Relay->start(to => '127.0.0.1:80');
#   $relay->address;                 # where it listens: 127.0.0.1 and a port
#   $relay->lead('127.0.0.1:81');    # new connections go there, old ones end
#   $relay->cut;                     # every connection ends
#   $relay->hold; $relay->go_on;     # nothing goes through, nothing ends
#
# capture => DIR keeps what went through: a file for each direction of each
# connection, N.up and N.down.

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();

use VMOps::Process ();

use constant { MOST => 65536, START_S => 10 };

my $LIB = dirname(dirname(abs_path(__FILE__)));

# listen: 127.0.0.1:0; to; in: a network namespace to run in; capture: a folder
sub start {
    my ($class, %opt) = @_;
    my @within = $opt{in} ? ('ip', 'netns', 'exec', $opt{in}) : ();
    my @command = (@within, $^X, "-I$LIB", '-MVMOps::Relay', '-e',
                   'VMOps::Relay::serve(@ARGV)', $opt{listen} // '127.0.0.1:0',
                   $opt{to}, $opt{capture} // ());
    pipe my $in, my $control or croak "pipe: $!";
    pipe my $told, my $out or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        open STDIN, '<&', $in;
        open STDOUT, '>&', $out;
        exec @command or POSIX::_exit(127);
    }
    close $_ for $in, $out;
    my $self = bless { pid => $pid, control => $control, told => $told,
                       owner => $$ }, $class;
    $self->{address} = $self->answer;
    return $self;
}

sub pid     { $_[0]{pid} }
sub address { $_[0]{address} }
sub port    { $_[0]{address} =~ /:(\d+)$/ ? $1 : croak 'no port' }

sub lead { $_[0]->tell("lead $_[1]") }
sub cut  { $_[0]->tell('cut') }

sub hold  { kill 'STOP', $_[0]{pid} }
sub go_on { kill 'CONT', $_[0]{pid} }

sub tell {
    my ($self, $line) = @_;
    syswrite $self->{control}, "$line\n" or croak "the relay is gone: $!";
    $self->answer;
}

sub answer {
    my ($self) = @_;
    my $line = '';
    while ($line !~ s/\n\z//) {
        vec(my $bits = '', fileno $self->{told}, 1) = 1;
        select($bits, undef, undef, START_S)
            && sysread($self->{told}, $line, 256, length $line)
            or croak 'the relay does not answer';
    }
    return $line;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->go_on;
    VMOps::Process::stop($self->{pid}, 'KILL');
}


# The other process

my ($to, $capture, $connections);
my (%peer, %waiting, %socket, %kept);  # by file number

sub serve {
    (my $listen, $to, $capture) = @_;
    $SIG{PIPE} = 'IGNORE';
    my $server = $listen =~ m{^/}
        ? IO::Socket::UNIX->new(Local => $listen, Listen => 64)
        : IO::Socket::INET->new(LocalAddr => $listen, Listen => 64,
                                ReuseAddr => 1);
    die "cannot listen at $listen: $!\n" unless $server;
    say_line($listen =~ m{^/} ? $listen
             : $server->sockhost . ':' . $server->sockport);
    while (1) {
        my ($r, $w) = ('', '');
        vec($r, $_, 1) = 1 for 0, fileno $server;
        for my $n (keys %socket) {
            vec($r, $n, 1) = 1 if length $waiting{ $peer{$n} } < MOST;
            vec($w, $n, 1) = 1 if length $waiting{$n};
        }
        next if select($r, $w, undef, undef) <= 0;
        control() if vec $r, 0, 1;
        join_up($server->accept) if vec $r, fileno $server, 1;
        for my $n (keys %socket) {
            flush($n) if $socket{$n} && vec $w, $n, 1;
            pass($n) if $socket{$n} && vec $r, $n, 1;
        }
    }
}

sub say_line { syswrite STDOUT, "$_[0]\n" }

sub control {
    my $n = sysread STDIN, my $text, 4096;
    exit 0 unless $n;
    for my $line (split /\n/, $text) {
        $to = $1 if $line =~ /^lead (\S+)$/;
        part($_) for keys %socket;
        say_line('done');
    }
}

sub join_up {
    my ($client) = @_;
    return unless $client;
    my $server = $to =~ m{^/}
        ? IO::Socket::UNIX->new(Peer => $to)
        : IO::Socket::INET->new(PeerAddr => $to, Blocking => 0);
    return unless $server;    # the client sees its end, too
    my ($a, $b) = (fileno $client, fileno $server);
    @socket{ $a, $b } = ($client, $server);
    @peer{ $a, $b } = ($b, $a);
    @waiting{ $a, $b } = ('', '');
    $_->blocking(0) for $client, $server;
    keep($a, $b) if $capture;
}

sub keep {
    my %end;
    @end{qw(up down)} = @_;
    $connections++;
    for my $way (keys %end) {
        open $kept{ $end{$way} }, '>', "$capture/$connections.$way"
            or die "$capture: $!\n";
        $kept{ $end{$way} }->autoflush(1);
    }
}

sub part {
    my ($n) = @_;
    my $socket = delete $socket{$n} // return;
    my $other = delete $peer{$n};
    delete $waiting{$n};
    delete $kept{$n};
    close $socket;
    part($other);
}

sub pass {
    my ($n) = @_;
    my $had = length $waiting{ $peer{$n} };
    my $read = sysread $socket{$n}, $waiting{ $peer{$n} }, MOST, $had;
    return if !defined $read && $!{EAGAIN};
    print { $kept{$n} } substr $waiting{ $peer{$n} }, $had if $kept{$n};
    flush($peer{$n});
    part($n) unless $read;
}

sub flush {
    my ($n) = @_;
    my $sent = syswrite $socket{$n}, $waiting{$n};
    if (defined $sent) {
        substr $waiting{$n}, 0, $sent, '';
    } elsif (!$!{EAGAIN}) {
        part($n);
    }
}

1;
