package VMOps::Rest;

# A tenant for tests of the API: an agent made of other people's parts whose
# end of the socket the test holds, a secret, a VM that is bound to it.  And
# requests byte by byte, on sockets that are left waiting.
#
#   my $t = VMOps::Rest->new($s, tenant => 'acme');
#   my $waiting = $t->begin(POST => '/vm-ops/proxmox/start', json => {..},
#                           headers => { Prefer => 'wait=30' });
#   $t->agent->serve;
#   is $waiting->answer->{status}, 200, 'it came back';

use strict;
use warnings;

use Carp qw(croak);
use JSON::PP;

use VMOps ();
use VMOps::Process qw(now);
use VMOps::WSAgent;

my $json = JSON::PP->new->utf8->canonical;
my $ids = 0;

# node => N of the agent's socket; offline => 1
sub new {
    my ($class, $stack, %opt) = @_;
    my $tenant = $stack->tenant($opt{tenant} // 'acme');
    my $self = bless { %opt, stack => $stack, tenant => $tenant }, $class;
    my $rest = sub { $stack->rest(@_) };

    my $agent = VMOps::WSAgent->new(port => $stack->port($opt{node}),
                                    ca => $stack->info->{ca_file});
    my $pairing = $self->made(POST => '/agents/pairings',
                              { auto_approve => JSON::PP::true });
    $agent->pair($rest, $pairing->{code});
    $self->{agent} = $agent;
    $self->{secret} = $agent->add_secret($rest, $stack->url,
        sprintf '01890000-0000-7000-8000-%012x', ++$ids);
    $self->{vm} = $self->made(POST => '/vms', {
        name => 'web', agent_id => $agent->id, guest => 'qemu', node => 'pve1',
        vmid => 100 })->{vm_uuid};
    my $bound = $self->rest(PUT => "/secrets/bindings/vm/$self->{vm}/proxmox",
                            { json => { secret_ref => $self->{secret} } });
    croak "not bound: $bound->{status} $bound->{body}"
        if $bound->{status} != 200;
    $self->online unless $opt{offline};
    return $self;
}

# the agent's socket, until the store has this session, not the one before, and
# the API says that it is there
sub online {
    my ($self) = @_;
    my $agent = $self->agent;
    my $key = "tenants/{$self->{tenant}{tenant}}/agents/" . $agent->id;
    $agent->online;
    VMOps::wait_for(sub {
        ($self->{stack}->redis(HGET => $key, 'session') // '') eq $agent->session
            && $self->made(GET => '/agents/' . $agent->id)->{status} eq 'online';
    }, 5, 'the agent to be online');
    return $self;
}

sub agent  { $_[0]{agent} }
sub secret { $_[0]{secret} }
sub vm     { $_[0]{vm} }
sub token  { $_[0]{tenant}{token} }

# as the tenant's owner, unless it says otherwise
sub rest {
    my ($self, $method, $path, $opt) = @_;
    return $self->{stack}->rest($method, $path,
                                { token => $self->token, %{ $opt // {} } });
}

# what a call that must succeed answered
sub made {
    my ($self, $method, $path, $body) = @_;
    my $r = $self->rest($method, $path, $body ? { json => $body } : {});
    croak "$method $path: $r->{status} $r->{body}" if $r->{status} !~ /^20/;
    return $r->{json};
}

sub new_token {
    my ($self, $role) = @_;
    my $made = $self->made(POST => '/tokens', { name => $role, role => $role });
    VMOps::canary("token of a $role $made->{token_id}", $made->{token});
    return $made;
}

# a command that is not waited for: its record
sub start {
    my ($self, %opt) = @_;
    return $self->made(POST => '/vm-ops/proxmox/start',
                       { vm_uuid => $self->vm, %opt });
}


# A request on a socket of its own, sent and not answered yet.
# json => {..}, headers => {..}, token, node

sub begin {
    my ($self, $method, $path, %opt) = @_;
    my $body = $opt{json} ? $json->encode($opt{json}) : '';
    my %headers = (
        Host => '127.0.0.1:' . $self->{stack}->port($opt{node}),
        Connection => 'close',
        Authorization => 'Bearer ' . ($opt{token} // $self->token),
        ($opt{json} ? ('Content-Type' => 'application/json',
                       'Content-Length' => length $body) : ()),
        %{ $opt{headers} // {} });
    my $sock = $self->{stack}->socket($opt{node});
    print $sock join("\r\n", "$method /api/v1$path HTTP/1.1",
                     map { "$_: $headers{$_}" } sort keys %headers)
        . "\r\n\r\n$body";
    $sock->flush;
    return bless { sock => $sock, in => '', started => now },
        'VMOps::Rest::Request';
}

package VMOps::Rest::Request;

use VMOps::Process qw(now);

# what has come until now, after waiting for more for at most so long
sub read {
    my ($self, $seconds) = @_;
    vec(my $bits = '', fileno $self->{sock}, 1) = 1;
    if (select $bits, undef, undef, $seconds) {
        my $n = sysread $self->{sock}, $self->{in}, 65536, length $self->{in};
        $self->{ended} = now if !$n;
    }
    return $self->{in};
}

sub is_waiting { my ($self) = @_; $self->read(0); return !length $self->{in} }

# until what has come matches, or the end of the connection
sub until_like {
    my ($self, $like, $seconds) = @_;
    my $deadline = now + ($seconds // 10);
    while ($self->{in} !~ $like && !$self->{ended}) {
        my $left = $deadline - now;
        die "no $like in time, but: $self->{in}\n" if $left <= 0;
        $self->read($left);
    }
    return $self->{in};
}

# the whole answer: {status, headers, body, json, ms}
sub answer {
    my ($self, $seconds) = @_;
    $self->until_like(qr/(?!)/, $seconds // 70);
    my ($head, $body) = split /\r\n\r\n/, $self->{in}, 2;
    my ($status, @lines) = split /\r\n/, $head // '';
    my %headers = map { /^([^:]+): (.*)$/ ? (lc $1, $2) : () } @lines;
    return { status => ($status // '') =~ /^HTTP\/1.1 (\d+)/ ? $1 : 0,
             headers => \%headers, body => $body // '',
             json => scalar eval { JSON::PP->new->utf8->decode($body) },
             ms => ($self->{ended} - $self->{started}) * 1000 };
}

# the client goes away
sub abort { close $_[0]{sock} }

1;
