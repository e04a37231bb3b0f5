package VMOps::Places;

# Everything that somebody could read while a stack and an agent work: logs and
# files, the store in all its forms, what goes over sockets, what processes
# show of themselves.
#
#   my $places = VMOps::Places->watch($s, relay => $relay, homes => [$dir]);
#   ...
#   my %text = $places->texts;       # place => bytes
#   my @found = leaks_in($text{monitor}, token => $secret);

use strict;
use warnings;

use Carp qw(croak);
use File::Find qw(find);
use File::Temp qw(tempdir);
use MIME::Base64 qw(decode_base64url);
use POSIX ();

use VMOps ();
use VMOps::Process qw(wait_for);

use constant { LOOK_S => 0.01, SECONDS => 10 };

sub watch {
    my ($class, $stack, %opt) = @_;
    my $dir = tempdir('vmops-places-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { stack => $stack, dir => $dir, owner => $$, pids => [],
                       %opt }, $class;
    $self->child(monitor => sub { monitor($stack, @_) });
    $self->child(processes => \&processes);
    wait_for { -s $self->file('monitor') && -s $self->file('processes') }
        SECONDS, 'watching';
    return $self;
}

sub file { "$_[0]{dir}/$_[1]" }

sub child {
    my ($self, $name, $run) = @_;
    open my $out, '>', $self->file($name) or croak "$name: $!";
    $out->autoflush(1);
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        eval { $run->($out) };
        POSIX::_exit(0);
    }
    push @{ $self->{pids} }, $pid;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($?, $@, $!);
    for my $pid (@{ $self->{pids} }) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
}

# as the store tells it, and with its escapes undone
my %PLAIN = (n => "\n", r => "\r", t => "\t", a => "\a", b => "\b");

sub monitor {
    my ($stack, $out) = @_;
    my $redis = $stack->redis_client;
    $redis->call('MONITOR');
    print $out "begin\n";
    while (1) {
        my $line = $redis->next_message(1) // next;
        print $out "$line\n";
        $line =~ s/\\(?:x([0-9a-f]{2})|(.))/defined $1 ? chr hex $1
            : $PLAIN{$2} \/\/ $2/ge;
        print $out "$line\n";
    }
}

# each process' arguments and environment, once
sub processes {
    my ($out) = @_;
    my %known;
    while (1) {
        for my $proc (glob '/proc/[0-9]*') {
            for my $what (qw(cmdline environ)) {
                my $text = eval { VMOps::slurp("$proc/$what") } // next;
                print $out "$proc $what: $text\n"
                    unless $text eq '' || $known{$text}++;
            }
        }
        select undef, undef, undef, LOOK_S;
    }
}

sub texts {
    my ($self) = @_;
    my $s = $self->{stack};
    $s->redis('CONFIG', 'SET', 'rdbcompression', 'no');
    $s->redis('SAVE');
    $s->redis('SET', 'places', my $mark = "mark-$$-" . $self->{marks}++);
    $s->redis('DEL', 'places');
    wait_for { VMOps::slurp($self->file('monitor')) =~ /DEL.*places.*\z/s
               && VMOps::slurp($self->file('monitor')) =~ /$mark/ } SECONDS,
        'the monitor to have seen it';
    return (
        'files of the server' => files(qr{/(?:keys|passwords|tls|redis)(?:/|$)
            |/platform\.token$}x, $s->dir),
        'files of the agent' => files(undef, @{ $self->{homes} }),
        'files of the store' => files(undef, $s->dir . '/redis'),
        'keys of the store' => $self->dump_keys,
        'MONITOR'   => VMOps::slurp($self->file('monitor')),
        'processes' => VMOps::slurp($self->file('processes')),
        $self->sockets,
    );
}

# names and contents, but for those that match
sub files {
    my ($not, @dirs) = @_;
    my $text = '';
    find({ no_chdir => 1, wanted => sub {
        return if !-f || $not && $_ =~ $not;
        $text .= "$_\n" . VMOps::slurp($_) . "\n";
    } }, @dirs);
    return $text;
}

my %READ = (
    string => sub { ['GET', $_[0]] },
    hash   => sub { ['HGETALL', $_[0]] },
    list   => sub { ['LRANGE', $_[0], 0, -1] },
    set    => sub { ['SMEMBERS', $_[0]] },
    zset   => sub { ['ZRANGE', $_[0], 0, -1, 'WITHSCORES'] },
    stream => sub { ['XRANGE', $_[0], '-', '+'] },
);

sub dump_keys {
    my ($self) = @_;
    my $redis = $self->{stack}->redis_client;
    my $text = '';
    for my $key (@{ $redis->call('KEYS', '*') }) {
        my $read = $READ{ $redis->call('TYPE', $key) } // next;
        $text .= "$key " . flat($redis->call(@{ $read->($key) })) . "\n";
    }
    return $text;
}

sub flat {
    my ($value) = @_;
    return ref $value ? join ' ', map { flat($_) } @$value : $value // '';
}

# Both directions of each connection: requests and answers of HTTP; and of a
# WebSocket the messages, unmasked, and what is binary inside of them, decoded.
sub sockets {
    my ($self) = @_;
    my ($http, $text) = ('', '');
    for my $up (glob "$self->{relay_dir}/*.up") {
        my $down = $up =~ s/up$/down/r;
        my ($asked, $told) = map { VMOps::slurp($_) } $up, $down;
        for my $bytes ($asked, $told) {
            if ($told =~ /^HTTP\/1\.1 101 /m
                && $bytes =~ /\A(.*?\r\n\r\n)(.*)\z/s)
            {
                $http .= "$1\n";
                my $messages = unframed($2);
                $text .= "$messages\n" . join "\n", map {
                    decode_base64url($_) } $messages =~ /"([\w-]{16,})"/g;
            } else {
                $http .= "$bytes\n";
            }
        }
    }
    return ('HTTP' => $http, 'messages' => $text);
}

# the payloads of frames (RFC 6455)
sub unframed {
    my ($bytes) = @_;
    my $text = '';
    while (length $bytes >= 2) {
        my ($first, $second) = unpack 'CC', $bytes;
        my ($n, $at) = ($second & 127, 2);
        ($n, $at) = (unpack('x2 n', $bytes), 4) if $n == 126;
        ($n, $at) = (unpack('x2 Q>', $bytes), 10) if $n == 127;
        my $mask = '';
        ($mask, $at) = (substr($bytes, $at, 4), $at + 4) if $second & 128;
        my $payload = substr $bytes, $at, $n;
        $payload ^= substr $mask x ($n / 4 + 1), 0, length $payload
            if $mask ne '';
        $text .= $payload . ($first & 128 ? "\n" : '');
        substr $bytes, 0, $at + $n, '';
    }
    return $text;
}

1;
