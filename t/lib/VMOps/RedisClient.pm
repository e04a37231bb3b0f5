package VMOps::RedisClient;

# A redis-server and an nginx with the test module t/ngx_redis, in a folder of
# their own, for the tests of common/ngx.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(sleep);

use VMOps::Process qw(now);

my $top = abs_path(dirname(__FILE__) . '/../../..');

sub new {
    my ($class) = @_;

    my $so = `$top/t/ngx_redis/build`;
    die "the test module does not build\n" if $? || $so !~ /\.so$/;
    chomp $so;

    return bless {
        so => $so, nginx => nginx(), dir => tempdir('vmops-redis-XXXXXX',
        TMPDIR => 1, CLEANUP => 1), owner => $$,
    }, $class;
}

# the one that the build tree is for

sub nginx {
    my $build = $ENV{VMOPS_BUILD} // "$top/build";

    open my $f, '<', "$build/config.mk" or die "$build/config.mk: $!";
    my ($path) = join('', <$f>) =~ /^NGINX = (\S+)$/m or die 'no NGINX';

    return $path;
}

sub top { return $top }
sub dir { return $_[0]{dir} }

# waits for a condition, at most $s seconds; returns what it returned

sub wait_for {
    my ($self, $s, $code) = @_;
    my $end = now + $s;

    for (;;) {
        my $rv = $code->();
        return $rv if $rv || now > $end;
        sleep 0.01;
    }
}

sub free_port {
    my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0',
                                  ReuseAddr => 1) or die "no port: $!";
    return $s->sockport;
}

# redis-server; the arguments are its own options; name: of a second server

sub redis_start {
    my ($self, $name, @options) = @_;
    my $dir = $self->{dir};

    open my $null, '<', '/dev/null' or die $!;
    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        POSIX::setsid();
        open STDIN, '<&', $null;
        open STDOUT, '>>', "$dir/$name.log";
        open STDERR, '>>', "$dir/$name.log";
        exec 'redis-server', '--port', 0, '--unixsocket', "$dir/$name.sock",
             '--save', '', '--dir', $dir, '--dbfilename', "$name.rdb",
             @options or POSIX::_exit(127);
    }

    $self->{redis}{$name} = $pid;
    $self->{options}{$name} = [@options];

    $self->wait_for(10, sub {
        my $s = IO::Socket::UNIX->new(Peer => "$dir/$name.sock") or return 0;
        print $s "PING\r\n";
        my $line = IO::Select->new($s)->can_read(2) && <$s>;
        return $line && $line =~ /^(\+PONG|-NOAUTH)/;
    }) or die "redis-server did not start: " . $self->slurp("$name.log");

    return;
}

sub redis_signal {
    my ($self, $signal, $name) = @_;
    my $pid = $self->{redis}{$name // 'redis'} or die;

    kill $signal, $pid or die "kill: $!";

    if ($signal eq 'STOP') {
        $self->wait_for(5, sub {
            open my $f, '<', "/proc/$pid/stat" or return 0;
            return <$f> =~ /\) T /;
        }) or die 'redis-server does not stop';
    }

    return;
}

sub redis_kill {
    my ($self, $name) = @_;
    my $pid = delete $self->{redis}{$name // 'redis'} or return;

    kill 'KILL', $pid;
    waitpid $pid, 0;

    return;
}

sub redis_restart {
    my ($self, $name) = @_;
    $name //= 'redis';
    unlink "$self->{dir}/$name.sock";
    return $self->redis_start($name, @{ $self->{options}{$name} });
}

# a command by a connection of our own: scalars, array references, and a
# string with a leading "-" for errors

sub redis {
    my ($self, @argv) = @_;
    return $self->redis_at('redis', @argv);
}

sub redis_at {
    my ($self, $name, @argv) = @_;

    my $s = $self->{sock}{$name};

    if (!$s || ($self->{sock_pid}{$name} // 0) != $self->{redis}{$name}) {
        $s = IO::Socket::UNIX->new(Peer => "$self->{dir}/$name.sock")
            or die "no redis: $!";
        $self->{sock}{$name} = $s;
        $self->{sock_pid}{$name} = $self->{redis}{$name};
    }

    my $out = '*' . @argv . "\r\n"
              . join '', map { '$' . length($_) . "\r\n$_\r\n" } @argv;
    print $s $out;
    $s->flush;

    return _reply($s);
}

sub _reply {
    my ($s) = @_;

    local $/ = "\r\n";
    my $line = <$s> // die 'redis closed the connection';
    chomp $line;

    my ($type, $rest) = $line =~ /^(.)(.*)/s;

    return $line if $type eq '-';
    return $rest if $type eq '+' || $type eq ':';
    return if $rest < 0;
    return [map { _reply($s) } 1 .. $rest] if $type eq '*';

    my $buf = '';
    read $s, $buf, $rest + 2, 0;
    return substr $buf, 0, $rest;
}

# the function library, and the user "vmops" as redis/generate writes them; the
# latter returns the arguments of the directive

sub _generate {
    my ($self) = @_;
    mkdir "$self->{dir}/generated";
    system("$top/redis/generate", "$self->{dir}/generated") == 0
        or die 'redis/generate failed';
    return;
}

sub library {
    my ($self) = @_;
    $self->_generate;
    return $self->slurp('generated/vmops.lua');
}

sub redis_acl {
    my ($self) = @_;
    my $dir = $self->{dir};

    $self->_generate;

    my ($rules) = $self->slurp('generated/users.acl') =~ /^user vmops (.*)$/m;
    my $reply = $self->redis('ACL', 'SETUSER', 'vmops', 'reset',
                             split(' ', $rules), '>test-password');
    die $reply if $reply ne 'OK';

    open my $f, '>', "$dir/vmops.pass" or die $!;
    chmod 0600, $f;
    print $f "test-password\n";
    close $f;

    return "unix:$dir/redis.sock user=vmops password_file=vmops.pass";
}

# nginx: %opt has server (arguments of the directive), http (more of it),
# workers

sub nginx_conf {
    my ($self, %opt) = @_;
    my $dir = $self->{dir};
    my $server = $opt{server} // "unix:$dir/redis.sock";
    my $http = $opt{http} // '';
    my $main = $opt{main} // '';
    my $workers = $opt{workers} // 1;

    $self->{port} //= free_port();
    mkdir "$dir/temp";

    open my $f, '>', "$dir/nginx.conf" or die $!;
    print $f <<"CONF";
user root;
worker_processes $workers;
pid $dir/nginx.pid;
error_log $dir/error.log info;
load_module $self->{so};
$main
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path $dir/temp/b; proxy_temp_path $dir/temp/p;
    fastcgi_temp_path $dir/temp/f; uwsgi_temp_path $dir/temp/u;
    scgi_temp_path $dir/temp/s;
    redis_test_server $server;
    $http
    server { listen 127.0.0.1:$self->{port}; location / { redis_test; } }
}
CONF
    close $f;

    return;
}

# what "nginx -t" says

sub nginx_check {
    my ($self) = @_;
    my @cmd = $self->_nginx('-t');
    open my $p, '-|', 'sh', '-c', '"$@" 2>&1', 'sh', @cmd or die $!;
    local $/;
    my $out = <$p> // '';
    close $p;
    return $out;
}

sub _nginx {
    my ($self, @args) = @_;
    return ($self->{nginx}, '-p', $self->{dir}, '-c',
            "$self->{dir}/nginx.conf", '-e', "$self->{dir}/error.log", @args);
}

sub nginx_start {
    my ($self, %opt) = @_;

    $self->nginx_conf(%opt);

    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/nginx.out";
        open STDERR, '>>', "$self->{dir}/nginx.out";
        exec $self->_nginx('-g', 'daemon off;') or POSIX::_exit(127);
    }

    $self->{nginx_pid} = $pid;

    $self->wait_for(20, sub {
        return waitpid($pid, WNOHANG)
               || IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{port}");
    });

    kill 0, $pid
        or die 'nginx did not start: ', $self->log, $self->slurp('nginx.out');

    return;
}

# a reload with another server (and http); returns when the old worker has gone

sub reload {
    my ($self, $server, $http) = @_;
    my $pid = $self->fields('/stat')->{pid};

    $self->nginx_conf(server => $server, http => $http);
    $self->nginx_signal('HUP');

    $self->wait_for(10, sub { !-e "/proc/$pid" })
        or die 'the old worker does not end';
    return;
}

sub nginx_signal {
    my ($self, $signal) = @_;
    kill $signal, $self->{nginx_pid} or die "kill: $!";
    return;
}

# 1 when nginx has ended by itself within $s seconds

sub nginx_ended {
    my ($self, $s) = @_;
    my $pid = $self->{nginx_pid} // return 1;

    return 0 unless $self->wait_for($s, sub { waitpid($pid, WNOHANG) });

    delete $self->{nginx_pid};
    return 1;
}

sub slurp {
    my ($self, $name) = @_;
    open my $f, '<', "$self->{dir}/$name" or return '';
    local $/;
    return <$f> // '';
}

sub log { return $_[0]->slurp('error.log') }

# HTTP: start() sends, finish() reads until the server closes, get() does both

sub start {
    my ($self, $path, @args) = @_;

    my $query = join '&', map {
        my $v = $_;
        $v =~ s/([^A-Za-z0-9_.=\/-])/sprintf '%%%02X', ord $1/ge;
        $v;
    } @args;

    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{port}")
        or die "no nginx: $!";
    print $s "GET $path?$query HTTP/1.1\r\nHost: localhost\r\n"
             . "Connection: close\r\n\r\n";
    $s->flush;

    return $s;
}

sub finish {
    my ($self, $s, $timeout) = @_;
    my $select = IO::Select->new($s);
    my $end = now + ($timeout // 20);
    my $in = '';

    while ((my $left = $end - now) > 0) {
        next unless $select->can_read($left);
        last unless sysread $s, $in, 65536, length $in;
    }

    my ($status, $body) = $in =~ m!^HTTP/1\.1 (\d+).*?\r\n\r\n(.*)!s;
    return wantarray ? ($status // 0, $body // '') : ($status // 0) . ' '
                                                     . ($body // '');
}

sub get {
    my ($self, @args) = @_;
    return $self->finish($self->start(@args));
}

# "a=1 b=2" as a hash

sub fields {
    my ($self, @args) = @_;
    my $body = ($self->get(@args))[1];
    return { map { split /=/, $_, 2 } split ' ', $body };
}

sub ready {
    my ($self, $s) = @_;
    return $self->wait_for($s // 10, sub {
        return $self->fields('/stat')->{ready};
    });
}

# ends both and looks at what they left behind

sub done {
    my ($self) = @_;

    if ($self->{nginx_pid}) {
        $self->nginx_signal('QUIT');
        ok($self->nginx_ended(15), 'nginx ends');
    }

    my @alerts = grep { /\[(alert|emerg)\]/ } split /\n/, $self->log;
    is("@alerts", '', 'no alerts');
    unlike($self->slurp('nginx.out') . $self->log,
           qr/Sanitizer|runtime error/, 'no sanitizer errors');

    done_testing();
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};

    local ($?, $!);

    if (my $pid = $self->{nginx_pid}) {
        kill 'TERM', $pid;
        $self->wait_for(5, sub { waitpid($pid, WNOHANG) }) or do {
            kill 'KILL', $pid;
            waitpid $pid, 0;
        };
    }

    for my $name (keys %{ $self->{redis} }) {
        $self->redis_kill($name);
    }

    return;
}

1;
