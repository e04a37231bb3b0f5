package VMOps::Agent;

# A real vmops-agent in a home of its own, driven by its command line.
#
#   my $agent = $s->agent(tenant => $t, name => 'pc1');
#   $agent->pair;                 # auto-approved, unless auto_approve => 0
#   $agent->start;                # online when it returns
#   my $ref = $agent->add_secret(host => .., port => .., user => .., secret => ..);
#   $agent->hooked(DIE => 'after journal_started');  # t/agent/hooked.c
#   $agent->as_released;

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use JSON::PP;
use POSIX qw(WNOHANG);

use VMOps::Process qw(run_command spawn wait_for);

use constant { ONLINE_S => 20, STOP_S => 15, ENDED_S => 30 };

sub binary {
    my $path = $ENV{VMOPS_AGENT} // VMOps::built('agent/vmops-agent');
    return abs_path($path) // croak "$path is missing: make agent";
}

sub new {
    my ($class, $stack, %opt) = @_;
    my $home = $opt{home}
        // tempdir('vmops-agent-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    return bless { stack => $stack, home => $home, tenant => $opt{tenant},
                   name => $opt{name} // 'test-pc', node => $opt{node} // 1,
                   server => $opt{server}, output => $opt{output},
                   env => $opt{env} // {} }, $class;
}

# From now on it is the program that dies or forgets, as t/agent/hooked.c says.
sub hooked {
    my ($self, %hook) = @_;
    $self->{program} = VMOps::built('t/agent/vmops-agent-hooked');
    -x $self->{program} or croak "$self->{program} is missing: make unit";
    $self->{hooks} = { map { ("VMOPS_TEST_$_" => $hook{$_}) } keys %hook };
}

sub as_released { delete @{ $_[0] }{qw(program hooks)} }

sub command {
    my ($self, @args) = @_;
    return [$self->{program} // binary(), '--home', $self->home, @args];
}

sub env { return { %{ $_[0]{env} }, %{ $_[0]{hooks} // {} } } }

sub home   { $_[0]{home} }
sub id     { $_[0]{id} // croak 'the agent is not paired' }
sub pid    { $_[0]{pid} }
sub output { $_[0]{output} // "$_[0]{home}/vmops-agent.out" }

# runs one command: {exit, signal, out, err, ms, json}; json where --json
# printed one document
sub cli {
    my ($self, $args, %opt) = @_;
    my $run = run_command($self->command('--json', @$args),
                          env => $self->env, %opt);
    croak "vmops-agent: $run->{err}"
        if VMOps::sanitizer_report($run->{err});
    $run->{json} = eval { JSON::PP->new->utf8->decode($run->{out}) };
    return $run;
}

# the same, which has to succeed; its JSON
sub cli_ok {
    my ($self, $args, %opt) = @_;
    my $run = $self->cli($args, %opt);
    croak "vmops-agent @$args[0, 1]: exit $run->{exit}, signal $run->{signal}:"
        . " $run->{out}$run->{err}" if $run->{exit} || $run->{signal};
    return $run->{json};
}

# REST as the tenant's owner
sub rest {
    my ($self, $method, $path, $opt) = @_;
    return $self->{stack}->rest($method, $path,
                                { token => $self->{tenant}{token},
                                  %{ $opt // {} } });
}

sub record {
    my ($self) = @_;
    return $self->rest(GET => '/agents/' . $self->id)->{json};
}

# Makes a pairing (unless code is given) and uses it; pair's JSON.
sub pair {
    my ($self, %opt) = @_;
    my $code = $opt{code};
    if (!defined $code) {
        my $pairing = $self->rest(POST => '/agents/pairings', { json => {
            name => $self->{name},
            auto_approve => $opt{auto_approve} // 1 ? JSON::PP::true
                                                    : JSON::PP::false,
            defined $opt{agent_id} ? (agent_id => $opt{agent_id}) : () } });
        croak "no pairing: $pairing->{status} $pairing->{body}"
            if $pairing->{status} != 201;
        $code = $pairing->{json}{code};
    }
    my $ca = $self->{stack}->info->{ca_file};
    my $json = $self->cli_ok(['pair', '--server',
        $self->{server} // $self->{stack}->url($self->{node}), '--code', $code,
        '--name', $self->{name}, $ca ? ('--ca-file', $ca) : (), '--yes']);
    $self->{id} = $json->{agent_id};
    return $json;
}

# the session that the store names; the one before may be there for a moment
sub session {
    my ($self) = @_;
    my $key = "tenants/{$self->{tenant}{tenant}}/agents/" . $self->id;
    return eval { $self->{stack}->redis(HGET => $key, 'session') } // '';
}

# runs it; returns when the API says online (or as wait_status says)
sub start {
    my ($self, %opt) = @_;
    croak 'the agent runs already' if $self->{pid};
    my $status = $opt{wait_status} // 'online';
    my $before = $status eq 'online' ? $self->session : '';
    $self->{pid} = spawn($self->command('run', '--foreground'),
                         $self->output, env => $self->env);
    wait_for { ($self->session || $before) ne $before } ONLINE_S,
        'a new session' if $status eq 'online';
    $self->wait_status($status) if $status;
    return $self;
}

sub wait_status {
    my ($self, $status, $seconds) = @_;
    wait_for { ($self->record->{status} // '') eq $status }
        $seconds // ONLINE_S, "agent $status";
}

# Ends it; its wait status.  A killed one leaves its journal as it is.
sub stop {
    my ($self, $signal) = @_;
    my $pid = delete $self->{pid} // return;
    my $status = VMOps::Process::stop($pid, $signal // 'TERM', STOP_S);
    croak "the agent did not stop in @{[STOP_S]} s" unless defined $status;
    return $status;
}

# Waits until it ends by itself; its wait status.
sub ended {
    my ($self) = @_;
    wait_for { waitpid($self->{pid}, WNOHANG) == $self->{pid} } ENDED_S,
        'end of the agent';
    delete $self->{pid};
    return $?;
}

sub crash { $_[0]->stop('KILL') }

# Stores a secret by `secret add`: its secret_ref.  The secret goes in by
# standard input; what the endpoint shows is pinned, unless pin is given.
sub add_secret {
    my ($self, %opt) = @_;
    my @args = ('--kind', $opt{kind} // 'proxmox_token',
                '--label', $opt{label} // 'test', '--host', $opt{host},
                '--port', $opt{port});
    for my $name (qw(user via scheme classes vmids)) {
        push @args, "--$name", $opt{$name} if defined $opt{$name};
    }
    push @args, defined $opt{pin} ? ('--pin', $opt{pin}) : '--accept-shown';
    my $json = $self->cli_ok(['secret', 'add', @args, '--stdin'],
                             stdin => "$opt{secret}\n");
    return $json->{secret_ref};
}

1;
