# A revocation at one node holds on every worker of both within two seconds: of
# a token, of a session, of a role.  A request is never served after it was
# refused.
# tags: asan

use strict;
use warnings;

use VMOps;

my $s = VMOps->stack(workers => 2, nodes => 2);
my $t = $s->tenant('acme');
my @owner = (token => $t->{token});

# by a connection of its own, at either node
sub status_of {
    my ($n, %as) = @_;
    my %headers = (Connection => 'close', %{ delete $as{headers} // {} });
    return $s->rest(GET => '/vms', { %as, node => 1 + $n % 2,
                                     headers => \%headers })->{status};
}

sub make {
    my ($name) = @_;
    my $made = $s->rest(POST => '/tokens', { @owner, json => {
        name => $name, role => 'operator' } })->{json};
    canary("token $name", $made->{token});
    return $made;
}

for my $round (1 .. rounds(ci => 2, full => 20)) {
    my ($token, $other) = map { make("$_ $round") } qw(one other);
    my $in = $s->rest(POST => '/session', { json => { token => $token->{token} } });
    my ($cookie) = $in->{headers}{'set-cookie'} =~ /^([^;]+)/;
    canary("cookie $round", $cookie =~ s/.*\.//r);
    my %kind = (token => { token => $token->{token} },
                session => { headers => { Cookie => $cookie } });

    # every worker knows them: what follows is no first question
    for my $kind (sort keys %kind) {
        is scalar(grep { status_of($_, %{ $kind{$kind} }) != 200 } 1 .. 16), 0,
            "round $round: a $kind is known to all";
    }
    is $s->rest(DELETE => "/tokens/$token->{token_id}",
                { @owner, node => 1 + $round % 2 })->{status}, 204, 'revoked';
    holds_within(2, "round $round: neither is of use", sub {
        my ($n) = @_;
        status_of($n >> 1, %{ $kind{ $n % 2 ? 'token' : 'session' } }) == 401;
    }, 32);
    is status_of($_, token => $other->{token}), 200, 'another token is' for 1, 2;
    $s->redis('DEL', @{ $s->redis('KEYS', 'tenants/{acme}/rate/*') });
}

done_testing;
