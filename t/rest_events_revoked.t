# A stream or a wait ends within 2 s when who asked for it may no longer: the
# token is deleted, or expires, or the tenant is suspended.
# tags: asan

use strict;
use warnings;

use Time::HiRes qw(time);

use VMOps;
use VMOps::Rest;
use VMOps::Stream;

use constant WITHIN => 2.3;            # 2 s, and a busy machine

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s);

my $id = $t->start(timeout_s => 600)->{command_id};
my $order = $t->agent->cmd;
my @paths = ("/vm-ops/commands/$id/events", '/events');

sub streams {
    my ($token) = @_;
    my @streams = map { VMOps::Stream->new($s, $_, token => $token) }
        (@paths) x 3;
    is $_->status, 200, 'a stream' for @streams;
    return @streams;
}

sub waits {
    my ($token) = @_;
    my @waits = map { $t->begin(POST => '/vm-ops/proxmox/start',
        token => $token, json => { vm_uuid => $t->vm },
        headers => { Prefer => 'wait=60' }) } 1 .. 3;
    $t->agent->cmd for @waits;
    return @waits;
}

sub end {
    my ($why, $since, $streams, $waits, $refusal) = @_;
    for my $stream (@$streams) {
        $stream->rest_of;
        is $stream->end, 'clean', "$why: a stream ends";
    }
    for my $wait (@$waits) {
        my $r = $wait->answer(10);
        is "$r->{status} $r->{json}{code}", $refusal, "$why: a wait is refused";
    }
    cmp_ok now - $since, '<', WITHIN, "$why: within 2 s";
}

# deleted
my $token = $t->new_token('operator');
my $kept = VMOps::Stream->new($s, $paths[0], token => $t->token);
my @streams = streams($token->{token});
my @waits = waits($token->{token});
my $start = now;
is $t->rest(DELETE => "/tokens/$token->{token_id}")->{status}, 204,
    'the token is deleted';
end('deleted', $start, \@streams, \@waits, '401 unauthenticated');

# expired
my $soon = int(time) + 4;         # in milliseconds, too
my $due = now + $soon - time;
my $made = $t->made(POST => '/tokens', { name => 'soon', role => 'operator',
                                         expires_at => VMOps::time_of($soon) });
canary('a token that expires', $made->{token});
@streams = streams($made->{token});
@waits = waits($made->{token});
end('expired', $due, \@streams, \@waits, '401 unauthenticated');
cmp_ok time, '>=', $soon, 'expired: not before';

# others do not notice
my @all = map { $kept->next } 1 .. 2;
ok $kept->silent(0.1), 'a stream of another principal stays';
$t->agent->ack($order);
is $kept->next->{data}{status}, 'running', 'and goes on';

# suspended: everybody of that tenant
@streams = streams($t->token);
@waits = waits($t->token);
$start = now;
$s->rest(PATCH => '/admin/tenants/acme', {
    token => $s->platform_token, json => { status => 'suspended' } });
end('suspended', $start, [@streams, $kept], \@waits, '403 tenant_suspended');

done_testing;
