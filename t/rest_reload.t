# Reload and exit of workers: nothing that a client waits for is cut off, no old
# worker stays.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(workers => 2);
my $t = VMOps::Rest->new($s, offline => 1);

sub reload_gone {
    my (@old) = @_;
    wait_for { my %now = map { $_ => 1 } $s->workers;
               !grep { kill 0 => $_ } @old } 10, 'the old workers to be gone';
}

# requests all the time, by somebody whose rate may run out
my $busy = $t->new_token('viewer')->{token};
my $stop = $s->dir . '/stop';
pipe my $out, my $in or die;
my $pid = fork // die;
if (!$pid) {
    my %seen;
    until (-e $stop) {
        my $r = $t->rest(GET => '/vms', {
            token => $busy, headers => { Connection => rand() < .5 ? 'close' : 'keep-alive' } });
        $seen{ $r->{status} }++;
    }
    print $in join ',', map { "$_=$seen{$_}" } sort keys %seen;
    close $in;
    POSIX::_exit(0);
}
close $in;

for my $round (1 .. 5) {
    my @old = $s->workers;
    $s->reload;
    reload_gone(@old);
    pass "reload $round";
}
open my $fh, '>', $stop or die;
close $fh;
my $seen = do { local $/; <$out> };
waitpid $pid, 0;
# a connection that is kept alive may be closed just as a request is sent; no
# request that was taken fails
unlike $seen, qr/\b5\d\d=/, "no request failed: $seen";
like $seen, qr/\b200=\d{2,}/, 'many were served';

# a body that is still coming
my $sock = $s->socket;
my $body = '{"name":"late","role":"viewer"}';
print $sock "POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    . "Authorization: Bearer " . $t->token . "\r\n"
    . "Content-Type: application/json\r\nContent-Length: " . length($body)
    . "\r\n\r\n" . substr $body, 0, 10;
$sock->flush;
is $t->rest(GET => '/vms')->{status}, 200, 'something is in between';
my @old = $s->workers;
$s->reload;
print $sock substr $body, 10;
$sock->flush;
my $answer = do { local $/; <$sock> };
like $answer, qr/^HTTP\/1.1 201 /, 'a body that came in part is answered';
canary('late', $answer =~ /"token":"(\w+)"/ ? $1 : 'none at all');
reload_gone(@old);
pass 'and the old workers go';

# a worker that has a revocation to repeat stays for it, and then goes
$t->made(POST => '/agents/' . $t->agent->id . '/revoke');
@old = $s->workers;
my $started = now;
$s->reload;
reload_gone(@old);
cmp_ok now - $started, '<', 8, 'the old workers go then, too';
is $t->rest(GET => '/agents/' . $t->agent->id)->{json}{status}, 'revoked',
    'and the agent is revoked';

done_testing;
