# The tenant's event stream: changes of commands, agents, secrets and pairings,
# from now on.  What is the owner's alone is not in it.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);
my $globex = VMOps::Rest->new($s, tenant => 'globex', offline => 1);
my $viewer = $t->new_token('viewer')->{token};

sub stream { VMOps::Stream->new($s, '/events', token => $viewer, @_) }

my @streams = map { stream() } 1 .. 4;
my $stream = $streams[0];
is $stream->status, 200, 'a viewer may read it';
ok $stream->silent, 'it begins with now';

sub next_is {
    my ($what, $type, %data) = @_;
    for my $reader (@streams) {
        my $event = $reader->next;
        is $event->{event}, $type, "$what: $type";
        my $d = $event->{data};
        is_deeply { map { $_ => $d->{$_} } keys %data }, \%data,
            "$what: what it says";
        ok !exists $d->{actor}, "$what: not who did it";
        like $d->{at}, qr/^\d{4}-.*Z$/, "$what: when";
    }
}

my $pairing = $t->made(POST => '/agents/pairings', {})->{pairing_id};
next_is('a pairing', 'pairing', event => 'pairing.created', id => $pairing);
$t->rest(DELETE => "/agents/pairings/$pairing");
next_is('its end', 'pairing', event => 'pairing.deleted', id => $pairing);

# the owner's alone, another tenant's: nothing
$t->new_token('operator');
$t->made(POST => '/vms', { name => 'more', agent_id => undef, guest => 'lxc',
                           node => 'pve1', vmid => 101 });
$globex->made(POST => '/agents/pairings', {});

my $agent = $t->agent->id;
$t->rest(PATCH => "/agents/$agent", { json => { name => 'pc2' } });
next_is('a new name', 'agent', event => 'agent.renamed', id => $agent);

my $id = $t->start->{command_id};
next_is('a command', 'command', command_id => $id, status => 'queued',
        progress => undef);
my $order = $t->agent->cmd;
next_is('sent', 'command', command_id => $id, status => 'delivered',
        progress => undef);
$t->agent->ack($order);
next_is('accepted', 'command', command_id => $id, status => 'running',
        progress => undef);
$t->agent->send({ t => 'progress', id => $id, percent => 50, stage => 'task',
                  message => 'half' });
next_is('half', 'command', command_id => $id, status => 'running',
        progress => { percent => 50, stage => 'task', message => 'half' });
$t->agent->send({ t => 'log', id => $id, line => 'not for all' });
$t->agent->result($order);
next_is('its end', 'command', command_id => $id, status => 'succeeded',
        progress => undef);

$t->rest(POST => '/secrets/' . $t->secret . '/rotate', {});
next_is('a secret', 'secret', event => 'secret.rotation_requested',
        id => $t->secret);
my $end = $t->rest(DELETE => '/secrets/' . $t->secret . '?force=true');
is $end->{status}, 204, 'the secret is deleted';
next_is('gone', 'secret', event => 'secret.deleted', id => $t->secret);

# where it was left off
my $first = stream(after => '0-1');
is $first->next->{event}, 'reset', 'from before the first: reset';
my $pair = $t->made(POST => '/agents/pairings', {})->{pairing_id};
my ($event) = map { $_->next } @streams;
is $event->{data}{id}, $pair, 'an event';
my $before = $event->{id} =~ s/^(\d+)/$1 - 1/er;
is stream(after => $before)->next->{id}, $event->{id},
    'and the same for who comes back';

$t->agent->drop;
for (1 .. 3) {
    $event = $streams[3]->next;
    last if $event->{data}{event} eq 'agent.offline';
}
is $event->{data}{event}, 'agent.offline', 'an agent that went';

done_testing;
