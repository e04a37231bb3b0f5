# API tokens: made, listed without what could be used, expiring, and without
# effect within two seconds of their deletion, on every worker.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;

my $s = VMOps->stack(workers => 2);
my $t = $s->tenant('acme');
my @owner = (token => $t->{token});

sub make {
    my (%body) = @_;
    my $r = $s->rest(POST => '/tokens', { @owner, json => \%body });
    canary("token $body{name}", $r->{json}{token}) if $r->{json}{token};
    return $r;
}

my $r = make(name => 'ci', role => 'viewer');
is $r->{status}, 201, 'a token is made';
is_deeply [sort keys %{ $r->{json} }],
    [qw(expires_at name role token token_id)], 'and answered once';
like $r->{json}{token}, qr/^vmo_acme_[0-9A-Za-z]{49}$/, 'in its form';
my %ci = %{ $r->{json} };
is $s->rest(GET => '/vms', { token => $ci{token} })->{status}, 200, 'it works';

my $items = $s->rest(GET => '/tokens', { @owner })->{json}{items};
is_deeply [map { $_->{name} } @$items], ['first owner', 'ci'], 'both are listed';
is_deeply [sort keys %{ $items->[1] }],
    [qw(created_at expires_at name role token_id)], 'without the token';

# pages
# their order is that of their ids: of one millisecond, any
my @made = map { make(name => "n$_", role => 'viewer')->{json} } 1 .. 5;
my @in_order = map { $_->{name} }
    sort { $a->{token_id} cmp $b->{token_id} } @made;
my ($cursor, @names) = '';
do {
    my $page = $s->rest(GET => "/tokens?limit=3&cursor=$cursor" =~
                        s/&cursor=$//r, { @owner })->{json};
    push @names, map { $_->{name} } @{ $page->{items} };
    $cursor = $page->{next_cursor};
} while defined $cursor;
is_deeply \@names, ['first owner', 'ci', @in_order],
    'pages show each once, in order';

# expiry
$r = make(name => 'late', role => 'viewer',
          expires_at => VMOps::time_of(time - 1));
is "$r->{status} $r->{json}{errors}[0]{pointer}", '422 /expires_at',
    'none that has expired is made';
my $short = make(name => 'short', role => 'viewer',
                 expires_at => VMOps::time_of(Time::HiRes::time() + 2));
is $s->rest(GET => '/vms', { token => $short->{json}{token} })->{status}, 200,
    'one that expires soon works';
wait_for { $s->rest(GET => '/vms', { token => $short->{json}{token} })
           ->{status} == 401 } 4, 'its end';
pass 'until then';

# what is refused
for my $body ({ name => 'x', role => 'platform_admin' },
              { name => 'x', role => 'Owner' }, { name => '', role => 'viewer' },
              { name => 'x' x 65, role => 'viewer' },
              { name => "a\nb", role => 'viewer' },
              { name => 'x', role => 'viewer', expires_at => 'tomorrow' }) {
    is make(%$body)->{status}, 422, 'refused: ' . join ' ', %$body;
}

# deletion, seen by both workers
is $s->rest(DELETE => "/tokens/$ci{token_id}", { @owner })->{status}, 204,
    'deleted';
my $refused = 0;
wait_for {
    my $status = $s->rest(GET => '/vms', {
        token => $ci{token}, headers => { Connection => 'close' } })->{status};
    $refused = $status == 401 ? $refused + 1 : 0;
    $refused == 20;
} 3, 'every worker to refuse it';
pass 'it is of no use within two seconds';
is $s->rest(DELETE => "/tokens/$ci{token_id}", { @owner })->{status}, 404,
    'and is not there any more';

# a tenant that locked itself out
my $own = (grep { $_->{role} eq 'owner' }
           @{ $s->rest(GET => '/tokens', { @owner })->{json}{items} })[0];
is $s->rest(DELETE => "/tokens/$own->{token_id}", { @owner })->{status}, 204,
    'the last owner deletes its own token';
$r = $s->rest(POST => '/admin/tenants/acme/owner-tokens',
              { token => $s->platform_token });
is $r->{status}, 201, 'the administrator makes another';
canary('the new owner', $r->{json}{token});
is $r->{json}{role}, 'owner', 'for an owner';
is $s->rest(GET => '/tokens', { token => $r->{json}{token} })->{status}, 200,
    'which works';
my @audited = grep { $_->{event} eq 'token.created' }
    map { JSON::PP->new->decode($_->{entry}) } @{ $s->rest(GET => '/audit?limit=200',
        { token => $r->{json}{token} })->{json}{items} };
is_deeply [@{ $audited[-1] }{qw(id role)}], [$r->{json}{token_id}, 'owner'],
    'the tenant\'s audit has it';
like $audited[-1]{actor}, qr/^platform:/, 'as the administrator\'s doing';
is $s->rest(POST => '/admin/tenants/nobody/owner-tokens',
            { token => $s->platform_token })->{status}, 404,
    'not for a tenant that is not there';

done_testing;
