# What is older than what is kept: one `reset`, and then how things stand.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);

sub stream {
    my ($path, $after) = @_;
    return VMOps::Stream->new($s, $path, token => $t->token, after => $after);
}

sub trim { $s->redis(XTRIM => 'tenants/{acme}/events', MAXLEN => $_[0] // 1) }

my $id = $t->start(timeout_s => 600)->{command_id};
my $path = "/vm-ops/commands/$id/events";
my $order = $t->agent->cmd;
$t->agent->ack($order);
my $live = stream($path);
my @seen = map { $live->next } 1 .. 3;
$t->agent->send({ t => 'log', id => $id, line => 'lost' });
is $live->next->{data}{line}, 'lost', 'a line';

# while it runs
$t->made(POST => '/vms', { name => 'more', agent_id => undef, guest => 'lxc',
                           node => 'pve1', vmid => 101 });
trim();
for my $after ($seen[0]{id}, undef) {
    my $what = $after ? 'resumed' : 'from the start';
    my $stream = stream($path, $after);
    my @events = map { $stream->next } 1, 2;
    is_deeply [map { $_->{event} } @events], ['reset', 'status'],
        "$what: reset, and where it stands";
    is_deeply $events[0]{data}, {}, 'a reset says no more';
    is_deeply [@{ $events[1]{data} }{qw(command_id status)}],
        [$id, 'running'], 'running';
    $t->agent->send({ t => 'log', id => $id, line => "after $what" });
    my $next = $stream->next;
    is $next->{event}, 'log', 'and it goes on';
    is $next->{data}{line}, "after $what", 'with what comes';
    my $again = stream($path, $events[1]{id});
    is $again->next->{data}{line}, "after $what",
        'its id is one to go on from, without another reset';
}
is $live->next->{data}{line}, $_, 'who had all is not reset'
    for 'after resumed', 'after from the start';

# after its end
$t->agent->result($order);
$t->agent->receive('result.ok');
$t->made(POST => '/vms', { name => 'more', agent_id => undef, guest => 'lxc',
                           node => 'pve1', vmid => 102 });
trim();
for my $after ($seen[1]{id}, undef) {
    my @events = stream($path, $after)->until('done');
    is_deeply [map { $_->{event} } @events], ['reset', 'done'],
        'ended: reset, and its end';
    is $events[1]{data}{status}, 'succeeded', 'as a command';
}

# the tenant's
my $tenant = stream('/events', $seen[0]{id});
is $tenant->next->{event}, 'reset', 'the tenant: reset';
$t->rest(PATCH => '/agents/' . $t->agent->id, { json => { name => 'pc2' } });
is $tenant->next->{event}, 'agent', 'and on';

# an id that is yet to come: the store has lost its last second
my $ahead = stream('/events', (time + 3600) . '000-0');
is $ahead->next->{event}, 'reset', 'an id ahead of all: reset';
$t->rest(PATCH => '/agents/' . $t->agent->id, { json => { name => 'pc3' } });
is $ahead->next->{event}, 'agent', 'and on';

done_testing;
