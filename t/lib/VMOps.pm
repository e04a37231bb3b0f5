package VMOps;

# The test library: Test::More, a stack of its own for every test file, and at
# the end of each file, asked for or not: no alert in any error.log, no report
# of a sanitizer, no worker that died, no secret in any log.
#
#   use VMOps;
#   my $s = VMOps->stack(workers => 2);
#   my $t = $s->tenant('acme');
#   my $r = $s->rest(GET => '/agents', { token => $t->{token} });
#   is $r->{status}, 200, 'agents are listed';
#   done_testing;

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter 'import';
use File::Find qw(find);
use File::Temp qw(tempdir);
use FindBin;
use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP;
use POSIX qw(strftime);
use Scalar::Util qw(weaken);
use Test::More ();
use Time::HiRes qw(time);

my $TOP;
BEGIN { ($TOP) = abs_path(__FILE__) =~ m{^(.*)/t/lib/VMOps\.pm$} }

use lib "$TOP/conf";
use VMOps::Agent;
use VMOps::HTTP;
use VMOps::Leaks;
use VMOps::Process qw(now run_command wait_for children);
use VMOps::Redis;

# Test::More's done_testing() is replaced by ours, which checks the logs first
my @test_more;
BEGIN {
    @test_more = grep { $_ ne 'done_testing' } @Test::More::EXPORT;
    Test::More->import(import => \@test_more);
}
our @EXPORT = (@test_more,
               qw(now wait_for run_command canary rounds holds_within
                  done_testing));


my $OWNER = $$;       # a forked child checks and stops nothing
my $checked = 0;
my @stacks;
my @watched;          # files and folders of logs outside of stacks
my @allowed;          # expected lines: see allow_log
my %canaries;         # name => secret

$SIG{INT} = $SIG{TERM} = sub { exit 1 };    # END stops what runs


# Functions

sub top { $TOP }

# a file of the build tree under test: VMOPS_BUILD, or build/
sub built { ($ENV{VMOPS_BUILD} // "$TOP/build") . "/$_[0]" }

# ROUNDS=full makes tests take their time: rounds(ci => 200, full => 20000)
sub rounds {
    my (%number) = @_;
    return $number{ $ENV{ROUNDS} // 'ci' } // croak 'rounds: no such ROUNDS';
}

# What a change promises to be true everywhere so many seconds after it: asked
# again and again until it was true many times in a row, and no question that
# was asked later than that may have been answered otherwise.  How slow the
# machine is makes no difference.  The condition gets a number that grows.
sub holds_within {
    my ($seconds, $what, $condition, $times) = @_;
    my ($changed, $row, $n, $late) = (now, 0, 0);
    while ($row < ($times // 20)) {
        my $asked = now;
        if ($condition->($n++)) {
            $row++;
            next;
        }
        $row = 0;
        $late = $asked - $changed;
        last if $late > $seconds;
        select undef, undef, undef, 0.05;    # requests are counted
    }
    return ok(!defined $late || $late <= $seconds,
              "$what, everywhere within $seconds s")
        || diag("not after $late s");
}

# A secret that must never be seen in a log.  Without a value it is a random
# one with all the characters that an encoding could trip over.
sub canary {
    my ($name, $value) = @_;
    if (!defined $value) {
        open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
        read $random, my $bytes, 16;
        my $core = unpack 'H*', $bytes;
        $canaries{"$name (a part)"} = $core;
        $value = "$name-$core\"\\/&+%=";
    }
    croak "canary: $name is too short to be searched for" if length $value < 8;
    return $canaries{$name} = $value;
}

# whether what is freed is kept for a while, and a process's size says nothing
sub keeps_freed { ($ENV{VMOPS_BUILD} // '') =~ m{/asan$} }

sub done_testing {
    final_checks() if !$checked && $$ == $OWNER;
    Test::More::done_testing(@_);
}

sub final_checks {
    $checked = 1;
    $_->_stop_agents for @stacks;
    $_->down for grep { !$_->{down} } @stacks;

    my (%found, @logs);
    find({ no_chdir => 1, wanted => sub {
        push @logs, $_ if -f $_ && is_log($_);
    } }, grep { -e $_ } @watched, map { $_->dir } @stacks);

    for my $log (@logs) {
        my $text = slurp($log);
        for my $line (split /\n/, $text) {
            next if grep { $line =~ $_ } @allowed;
            push @{ $found{alert} }, "$log: $line"
                if $line =~ /\[(?:alert|emerg|crit)\]/;
            push @{ $found{died} }, "$log: $line"
                if $line =~ /exited on signal|exited with fatal code/
                || $line =~ /=== REDIS BUG REPORT START/;
            push @{ $found{sanitizer} }, "$log: $line"
                if sanitizer_report($line);
        }
        push @{ $found{leak} }, map { "$log: $_" }
            leaks_in($text, %canaries);
    }
    my %what = (
        alert     => 'no alert in any log',
        died      => 'no worker died',
        sanitizer => 'no sanitizer report',
        leak      => 'no secret in any log',
    );
    for my $check (sort keys %what) {
        my @lines = @{ $found{$check} // [] };
        splice @lines, 20 if @lines > 20;
        ok(!@lines, $what{$check}) or diag(@lines && join "\n", @lines);
    }
}

# does a text hold a report of a sanitizer?
sub sanitizer_report { $_[0] =~ /\w+Sanitizer|runtime error: / }

# what the checks read: all of a stack but its keys, passwords and token; of
# other folders what is named like a log
sub is_log {
    my ($path) = @_;
    for my $stack (@stacks) {
        my $dir = $stack->dir;
        return $path !~ m{^\Q$dir\E/(?:keys|passwords|tls|platform\.token)}
            if $path =~ m{^\Q$dir\E/};
    }
    return $path =~ /\.(?:log|out|err)(?:\.\d+)?$/ || grep { $_ eq $path } @watched;
}

sub slurp {
    my ($path) = @_;
    open my $fh, '<:raw', $path or die "cannot read $path: $!\n";
    local $/;
    return scalar <$fh> // '';
}

END {
    if ($$ == $OWNER) {
        my $status = $?;
        if (!$checked && @stacks) {
            diag("the file did not end by VMOps' done_testing",
                 map { $_->log_tail } @stacks);
            $status ||= 1;
            $_->_stop_agents, $_->down for grep { !$_->{down} } @stacks;
        }
        $? = $status;
    }
}


# A stack

# VMOps->stack(tls => 1, workers => N, nodes => N, port => N)
sub stack {
    my ($class, %opt) = @_;
    my $dir = tempdir('vmops-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { dir => $dir, agents => [], opt => \%opt }, $class;
    $self->up;
    push @stacks, $self;
    return $self;
}

sub up {
    my ($self) = @_;
    my %opt = %{ $self->{opt} };
    my @args = map { $_ eq 'tls' ? ($opt{tls} ? '--tls' : ())
                                 : ("--$_", $opt{$_}) } sort keys %opt;
    $self->_learn($self->command('up', @args));
    # one that serves is there; the others have their names a moment later
    for my $n (1 .. $self->nodes) {
        wait_for(sub { $self->workers($n) >= ($opt{workers} // 1) }, 10,
                 'the workers');
    }
}

# conf/stack NAME --dir ..., which has to succeed; what it printed
sub command {
    my ($self, $name, @args) = @_;
    my $run = run_command([$^X, "$TOP/conf/stack", $name, '--dir', $self->dir,
                           @args], timeout => 90);
    croak "conf/stack $name: $run->{err}" if $run->{exit} != 0;
    return $run->{out};
}

sub _learn {
    my ($self, $json) = @_;
    $self->{info} = decode_json($json);
    $self->{down} = 0;
    canary('platform token ' . $self->dir, $self->platform_token);
    for my $user (qw(vmops vmops-deploy vmops-admin)) {
        canary("password of $user " . $self->dir,
               slurp($self->dir . "/passwords/$user"));
    }
    # What was written outlives a kill -9: with everysec Redis answers up to two
    # seconds before it writes when the disk is busy.  A test that wants a loss
    # makes one (VMOps::Faults).
    $self->redis(qw(CONFIG SET appendfsync no));
}

sub down {
    my ($self) = @_;
    $self->{down} = 1;
    $self->command('down');
}

sub reload { $_[0]->command('reload') }
sub reset  { $_[0]->_learn($_[0]->command('reset')) }

sub dir            { $_[0]{dir} }
sub info           { $_[0]{info} }
sub platform_token { $_[0]{info}{platform_token} }
sub nodes          { @{ $_[0]{info}{nodes} } }

# of a node, counted from 1
sub node   { $_[0]{info}{nodes}[($_[1] // 1) - 1] }
sub url    { $_[0]->node($_[1])->{url} }
sub ws_url { $_[0]->node($_[1])->{ws_url} }
sub port   { $_[0]->url($_[1]) =~ /:(\d+)$/ ? $1 : croak 'no port' }

sub master    { $_[0]->node($_[1])->{pid} }
sub redis_pid { $_[0]{info}{pids}{redis} }

# pids of a node's workers that take requests
sub workers {
    my ($self, $n) = @_;
    return grep { slurp_proc($_, 'cmdline') =~ /^nginx: worker process\0*$/ }
        children($self->master($n));
}

sub slurp_proc {
    my ($pid, $file) = @_;
    return eval { slurp("/proc/$pid/$file") } // '';
}

sub error_log  { slurp($_[0]->node($_[1])->{error_log}) }
sub access_log { slurp($_[0]->node($_[1])->{access_log}) }

sub log_tail {
    my ($self) = @_;
    return map {
        my @lines = -e $_->{error_log} ? split /^/, slurp($_->{error_log}) : ();
        splice @lines, 0, -20 if @lines > 20;
        ("\n$_->{error_log}:\n", @lines);
    } @{ $self->{info}{nodes} // [] };
}

# Lines that this test causes on purpose: an alert about a killed worker.
sub allow_log { push @allowed, $_[1] }

# A file, or a folder of logs, that the final checks read, too.
sub watch_log { push @watched, $_[1] }

# Configuration for the http or server block of every node, as a file that
# reload reads.
sub add_http_conf   { $_[0]->_add_conf(http => $_[1]) }
sub add_server_conf { $_[0]->_add_conf(server => $_[1]) }

sub _add_conf {
    my ($self, $block, $text) = @_;
    $self->_conf($_, $block, test => $text) for $self->nodes;
    $self->reload;
}

# HTTP/2 on the first node's sockets, too (it has to have been started with tls)
sub speak_http2 {
    my ($self) = @_;
    my $conf = $self->node->{conf};
    my $text = slurp($conf);
    $text =~ s/^(\s*listen .*)ssl;/$1ssl http2;/m or croak 'no listen in it';
    write_conf($conf, $text);
    $self->reload;
}

# What nginx -t says of a configuration in place of the first node's, or 'ok'.
sub nginx_says {
    my ($self, $text) = @_;
    my ($nginx) = slurp('/proc/' . $self->master . '/cmdline')
        =~ /^nginx: master process (\S+)/ or croak 'which nginx?';
    my $dir = tempdir('vmops-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    write_conf("$dir/nginx.conf", $text);
    my $run = run_command([$nginx, '-t', '-p', $self->dir, '-e', "$dir/error.log",
                           '-c', "$dir/nginx.conf"]);
    return $run->{exit} ? $run->{err} : 'ok';
}

# Also what a client did wrong is in the error log from now on: level info.
sub log_details {
    my ($self) = @_;
    $self->_conf($_, server => log => "error_log $_->{error_log} info;\n")
        for $self->nodes;
    $self->reload;
}

sub _conf {
    my ($self, $node, $block, $name, $text) = @_;
    my $path = $node->{conf} =~ s/nginx\.conf$/$block.d\/$name.conf/r;
    write_conf($path, $text);
}

sub write_conf {
    my ($path, $text) = @_;
    open my $fh, '>', $path or die "cannot write $path: $!\n";
    print $fh $text;
    close $fh or die "cannot write $path: $!\n";
}

# $s->rest(POST => '/agents/pairings', { token =>, json =>, headers => {},
#     body =>, node => N, timeout => S })
# {status, headers (names in lower case), json, body, ms}; a path that does not
# begin with /api/, /healthz, /readyz, /metrics or /ws/ is one of /api/v1
sub rest {
    my ($self, $method, $path, $opt) = @_;
    my %opt = %{ $opt // {} };
    $path = "/api/v1$path" unless $path =~ m{^/(?:api/|healthz|readyz|metrics|ws/)};
    my $node = delete $opt{node};
    return VMOps::HTTP::request($method, $self->url($node) . $path,
                                { ca => $self->{info}{ca_file}, %opt });
}

# reads an event stream until the condition on ([{id, event, data}, ...]) holds
sub events {
    my ($self, $path, %opt) = @_;
    return VMOps::HTTP::events($self->url($opt{node}) . "/api/v1$path",
                               { ca => $self->{info}{ca_file}, %opt });
}

# a connected socket to a node: for what no proper client would send
sub socket {
    my ($self, $n) = @_;
    my @to = (PeerAddr => '127.0.0.1', PeerPort => $self->port($n),
              Timeout => 5);
    my $sock = $self->{info}{ca_file}
        ? IO::Socket::SSL->new(@to, SSL_ca_file => $self->{info}{ca_file},
                               SSL_verifycn_name => 'localhost')
        : IO::Socket::INET->new(@to);
    return $sock // croak "cannot connect to node " . ($n // 1) . ": $@";
}

# One command to Redis as the user who may do everything.  Its pid file's
# process is the store itself: kill it and $s->up starts it again.
sub redis {
    my ($self, @command) = @_;
    return $self->redis_client->call(@command);
}

sub redis_client {
    my ($self, $user) = @_;
    $user //= 'vmops-admin';
    return VMOps::Redis->new(
        socket => $self->{info}{redis_socket}, user => $user,
        password => slurp($self->dir . "/passwords/$user"));
}

# Nobody has asked for anything yet: the counters of every rate are gone.
sub forget_rates {
    my ($self) = @_;
    for my $pattern ('tenants/*/rate/*', 'platform/{p}/rate/*') {
        my @keys = @{ $self->redis(KEYS => $pattern) };
        $self->redis(DEL => @keys) if @keys;
    }
}

# A tenant with a license that is active; {tenant, token}, the owner's token.
sub tenant {
    my ($self, $slug, %license) = @_;
    my @as = (token => $self->platform_token);
    my $made = $self->rest(POST => '/admin/tenants', {
        @as, json => { tenant => $slug, name => ucfirst $slug,
                       cohort => 'internal' } });
    croak "tenant $slug: $made->{status} $made->{body}"
        if $made->{status} != 201;
    my $lease = $self->rest(PUT => "/admin/tenants/$slug/license", {
        @as, json => { plan => 'test', max_agents => 100, max_vms => 1000,
                       expires_at => time_of(time + 86400), grace_s => 3600,
                       %license } });
    croak "license of $slug: $lease->{status} $lease->{body}"
        if $lease->{status} != 200;
    my $token = $made->{json}{owner_token};
    canary("token of $slug " . $self->dir, $token);
    return { tenant => $slug, token => $token };
}

# a time as the API writes it
sub time_of {
    my ($seconds) = @_;
    return strftime('%Y-%m-%dT%H:%M:%S', gmtime int $seconds)
        . sprintf '.%03dZ', ($seconds - int $seconds) * 1000;
}

# An agent of a tenant: see VMOps::Agent.
sub agent {
    my ($self, %opt) = @_;
    my $agent = VMOps::Agent->new($self, %opt);
    push @{ $self->{agents} }, $agent;
    weaken $agent->{stack};
    $self->watch_log($agent->home);
    return $agent;
}

sub _stop_agents {
    my ($self) = @_;
    $_->stop for @{ $self->{agents} };
}

1;
