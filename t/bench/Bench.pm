package Bench;

# What a measurement needs: a stack whose limits are out of the way, the load
# program, peers, and what /proc and Redis tell of the servers.

use strict;
use warnings;

use Carp qw(croak);
use Exporter 'import';
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(strftime);
use Time::HiRes qw(time);

use VMOps::HTTP;
use VMOps::Process qw(run_command children wait_for);
use VMOps::Redis;

our @EXPORT_OK = qw(median pss cpu_us start_stack tenants start_load start_nchan
                    function_rate);

use constant {
    TENANTS => 10,
    TOKENS => 20,           # of a tenant: a worker lets each 600 requests pass
    CONNECTIONS => 16384,   # of one worker: conf/nginx.conf.in has fewer
    UNLIMITED => -1e12,     # where the counters of the rates begin
    LOAD => 'build/t/bench/load',
    LOAD_S => 700,          # what one line to the load program may take
    NCHAN => '/usr/lib/nginx/modules/ngx_nchan_module.so',
};

my @running;    # whatever has to be stopped, however this ends
my $owner = $$;

sub running {
    my ($object) = @_;
    push @running, $object;
    return $object;
}

END {
    local ($?, $@);
    $$ == $owner and eval { $_->stop; 1 } || print STDERR $@
        for reverse @running;
}

sub median {
    my @sorted = sort { $a <=> $b } grep { defined } @_;
    return @sorted ? $sorted[$#sorted / 2] : undef;
}

sub slurp {
    my ($path) = @_;
    open my $fh, '<:raw', $path or die "cannot read $path: $!\n";
    local $/;
    return scalar <$fh> // '';
}

sub write_file {
    my ($path, $text) = @_;
    open my $fh, '>', $path or die "cannot write $path: $!\n";
    print $fh $text;
    close $fh or die "cannot write $path: $!\n";
}

sub free_port {
    my $sock = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die "no free port on 127.0.0.1: $!\n";
    return $sock->sockport;
}

# bytes of memory that would go with these processes: what they share is shared
# out (Pss of smaps_rollup)
sub pss {
    my $sum = 0;
    for my $pid (@_) {
        slurp("/proc/$pid/smaps_rollup") =~ /^Pss:\s+(\d+) kB/m
            or die "no Pss of process $pid\n";
        $sum += 1024 * $1;
    }
    return $sum;
}

# us of processor time that processes have used, in steps of 10 ms
sub cpu_us {
    my $sum = 0;
    for my $pid (@_) {
        my @field = split ' ', slurp("/proc/$pid/stat") =~ s/^.*\) //r;
        $sum += 10_000 * ($field[11] + $field[12]);
    }
    return $sum;
}


# The stack: one worker, TLS and plain, no access log on either side of a
# comparison, keep-alive without end.

sub start_stack {
    my $dir = tempdir('vmops-bench-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = running(bless { dir => $dir }, 'Bench::Stack');
    $self->{info} = decode_json($self->command('up', '--tls'));
    $self->{port} = free_port();
    ($self->{tls_port}) = $self->{info}{url} =~ /:(\d+)$/;

    my $conf = $self->{info}{nodes}[0]{conf};
    my $text = slurp($conf);
    $text =~ s/(worker_connections\s+)\d+/$1@{[CONNECTIONS]}/
        or die "$conf has no worker_connections\n";
    write_file($conf, $text);
    write_file("$dir/node1/server.d/bench.conf", <<"END");
listen 127.0.0.1:$self->{port};
access_log off;
keepalive_requests 100000000;
location = /floor { return 200 'ok'; }
END
    $self->command('reload');
    return $self;
}

sub Bench::Stack::command {
    my ($self, $name, @args) = @_;
    my $run = run_command([$^X, 'conf/stack', $name, '--dir', $self->{dir},
                           @args], timeout => 120);
    croak "conf/stack $name: $run->{err}" if $run->{exit} != 0;
    return $run->{out};
}

sub Bench::Stack::stop {
    my ($self) = @_;
    $self->command('down') unless $self->{stopped}++;
}

# new workers: a heap without a past
sub Bench::Stack::fresh {
    my ($self) = @_;
    my ($master) = $self->nginx;
    my %old = map { $_ => 1 } children($master);
    $self->command('reload');
    wait_for { !grep { $old{$_} } children($master) } 30, 'end of old workers';
}

sub Bench::Stack::nginx {
    my ($self) = @_;
    my ($master) = @{ $self->{info}{pids}{nginx} };
    return ($master, children($master));
}

sub Bench::Stack::redis_pid { $_[0]{info}{pids}{redis} }
sub Bench::Stack::redis_socket { $_[0]{info}{redis_socket} }
sub Bench::Stack::ca { $_[0]{info}{ca_file} }

sub Bench::Stack::redis {
    my ($self, @command) = @_;
    $self->{redis} //= VMOps::Redis->new(
        socket => $self->redis_socket, user => 'vmops-admin',
        password => slurp("$self->{dir}/passwords/vmops-admin"));
    return $self->{redis}->call(@command);
}

# a number of INFO
sub Bench::Stack::redis_info {
    my ($self, $section, $pattern) = @_;
    return $self->redis('INFO', $section) =~ /^$pattern/m ? $1 : 0;
}

sub Bench::Stack::rest {
    my ($self, $method, $path, $json, $token) = @_;
    my $r = VMOps::HTTP::request($method, "$self->{info}{url}/api/v1$path", {
        ca => $self->ca, token => $token // $self->{info}{platform_token},
        json => $json });
    croak "$method $path: $r->{status} $r->{body}"
        if $r->{status} !~ /^20[01]$/;
    return $r->{json};
}

# Tenants with a license, and tokens enough.  Their rates never bite: the counters
# they are counted by begin far below zero, which a worker takes for zero, every
# second anew.  {name => [token]}
sub tenants {
    my ($stack, $agents) = @_;
    my %tokens;
    for my $name (map { "bench-$_" } 1 .. TENANTS) {
        my $owner = $stack->rest(POST => '/admin/tenants', {
            tenant => $name, name => $name, cohort => 'internal',
        })->{owner_token};
        $stack->rest(PUT => "/admin/tenants/$name/license", {
            plan => 'bench', max_agents => $agents + 0, max_vms => $agents + 0,
            expires_at => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + 86400)),
            grace_s => 0 });
        $tokens{$name} = [$owner, map {
            $stack->rest(POST => '/tokens', { name => "bench $_",
                role => 'owner' }, $owner)->{token};
        } 2 .. TOKENS];

        my $t = "tenants/{$name}";
        my $members = $stack->redis('ZRANGE', "$t/tokens", 0, -1);
        $stack->redis('SET', "$t/rate/$_", UNLIMITED)
            for 'commands', map { /:(.*)/; "requests:token:$1" } @$members;
    }
    return %tokens;
}


# The load program: one line in, one line of JSON out.

sub start_load {
    pipe my $out_r, my $out_w or die "pipe: $!\n";
    pipe my $in_r, my $in_w or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        close $_ for $out_r, $in_w;
        open STDIN, '<&', $in_r;
        open STDOUT, '>&', $out_w;
        exec { LOAD() } LOAD or POSIX::_exit(127);
    }
    close $_ for $out_w, $in_r;
    $in_w->autoflush(1);
    return running(bless { pid => $pid, in => $in_w, out => $out_r },
                   'Bench::Load');
}

sub Bench::Load::pid { $_[0]{pid} }

sub Bench::Load::ask {
    my ($self, $verb, %value) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{in} } join(' ', $verb, map { "$_=$value{$_}" }
                               grep { defined $value{$_} } sort keys %value),
                          "\n";
    my ($line, $deadline) = ('', time + LOAD_S);
    while ($line !~ /\n/) {
        vec(my $bits = '', fileno $self->{out}, 1) = 1;
        my $left = $deadline - time;
        croak "load: no answer to $verb"
            if $left <= 0 || !select $bits, undef, undef, $left;
        sysread $self->{out}, $line, 65536, length $line
            or croak "load: ended by $verb";
    }
    my $answer = decode_json($line);
    print STDERR "bench: $verb: $answer->{errors} errors of $answer->{count}\n"
        if $answer->{errors};
    return $answer;
}

sub Bench::Load::stop {
    my ($self) = @_;
    return if $self->{stopped}++;
    close $self->{in};
    VMOps::Process::stop($self->{pid}, 'TERM', 5);
}


# nchan, a peer: its memory store in an nginx of its own, the same binary.

sub start_nchan {
    my ($stack, $nginx) = @_;
    return undef unless -e NCHAN;
    my $dir = tempdir('vmops-nchan-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { dir => $dir, port => free_port(),
                       tls_port => free_port() }, 'Bench::Nchan';
    my ($tls, $user) = ("$stack->{dir}/tls", $> ? '' : 'user root;');
    write_file("$dir/nginx.conf", <<"END" =~ s/MODULE/NCHAN/er);
daemon off;
$user
worker_processes 1;
worker_rlimit_nofile 20000;
pid $dir/nginx.pid;
error_log $dir/error.log;
load_module MODULE;
events { worker_connections @{[CONNECTIONS]}; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    nchan_shared_memory_size 512m;
    server {
        listen 127.0.0.1:$self->{port};
        listen 127.0.0.1:$self->{tls_port} ssl;
        ssl_certificate $tls/server.pem;
        ssl_certificate_key $tls/server.key;
        ssl_protocols TLSv1.3;
        location ~ ^/sub/(\\d+)\$ {
            nchan_subscriber websocket;
            nchan_channel_id \$1;
            nchan_websocket_ping_interval 25;
        }
        location ~ ^/pub/(\\d+)\$ {
            nchan_publisher;
            nchan_channel_id \$1;
            nchan_message_buffer_length 1;
            nchan_message_timeout 10s;
        }
    }
}
END
    $self->{pid} = VMOps::Process::spawn(
        [$nginx, '-p', $dir, '-c', "$dir/nginx.conf", '-e', "$dir/error.log"],
        "$dir/out.log");
    running($self);
    wait_for { IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                     PeerPort => $self->{port}) }
        10, "answer of nchan ($dir/error.log)";
    return $self;
}

sub Bench::Nchan::nginx { ($_[0]{pid}, children($_[0]{pid})) }

sub Bench::Nchan::stop {
    my ($self) = @_;
    VMOps::Process::stop($self->{pid}, 'QUIT', 10) unless $self->{stopped}++;
}


# Functions of the weight of a submit and of a finish, and nothing else, by
# redis-benchmark on the same Redis: calls a second.

my $FUNCTIONS = <<'END';
#!lua name=bench_1
local function submit(keys, args)
    local k, id = keys[1], args[1]
    redis.call('HGET', k .. '/vms/1', 'agent_id')
    redis.call('HGET', k, 'status')
    redis.call('HGET', k .. '/agents/1', 'session')
    redis.call('HGET', k .. '/bindings/1', 'secret_ref')
    local command = k .. '/commands/' .. id
    redis.call('HSET', command, 'command_id', id, 'action', 'status',
               'agent_id', '1', 'params', '{}', 'status', 'queued',
               'subject', 'bench', 'iat', '1', 'exp', '2')
    redis.call('PEXPIRE', command, 600000)
    redis.call('RPUSH', k .. '/queue', id)
    redis.call('PUBLISH', k .. '/wake', id)
    return 'OK'
end
local function finish(keys, args)
    local k = keys[1]
    local id = redis.call('LPOP', k .. '/queue') or args[1]
    local command = k .. '/commands/' .. id
    redis.call('HGET', command, 'status')
    redis.call('HSET', command, 'status', 'succeeded', 'result', '{}',
               'receipt', 'bench', 'finished_at', '3')
    redis.call('PUBLISH', k .. '/live', id)
    return 'OK'
end
redis.register_function('bench_submit', submit)
redis.register_function('bench_finish', finish)
END

sub function_rate {
    my ($stack, $name, $pipeline, $calls) = @_;
    if (!$stack->{bench_user}++) {
        $stack->redis(qw(FUNCTION LOAD REPLACE), $FUNCTIONS);
        $stack->redis(qw(ACL SETUSER bench on nopass ~bench:* &bench:* +fcall
                         +hget +hset +pexpire +rpush +lpop +publish));
    }
    my $run = run_command(
        ['redis-benchmark', '-s', $stack->redis_socket, '--user', 'bench',
         '-a', 'none', '-c', 32, '-P', $pipeline, '-n', $calls, '-r', 10000,
         '--csv', 'FCALL', "bench_$name", 1, 'bench:{b}', '__rand_int__'],
        timeout => 120);
    my ($rate) = $run->{out} =~ /^"FCALL[^"]*","([\d.]+)"/m
        or die "redis-benchmark: $run->{out}$run->{err}\n";
    return $rate;
}

1;
