# What changes something at the legacy backend is in the audit: who, how, where,
# and what the backend answered; without the query, and without what only reads.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Backend qw(plain);
use VMOps::Legacy;

my $l = VMOps::Legacy->new(sub {
    my ($request) = @_;
    return $request->{path} =~ /html/ ? [plain('<html>')]
        : $request->{path} =~ /500/ ? [plain('{}') =~ s/200 OK/500 No/r]
        : $request->{path} =~ /closed/ ? []
        : $request->{path} =~ /late/ ? [\5]
        : [plain('{}')];
}, workers => 2);
my $s = $l->stack;
my $owner = $s->tenant('acme')->{token};
my %token = (owner => $owner, admin => $s->platform_token);
my %actor = (
    owner => 'token:' . $s->rest(GET => '/tokens', { token => $owner })
        ->{json}{items}[0]{token_id},
    admin => 'platform:' . $s->rest(GET => '/admin/tokens', {
        token => $token{admin} })->{json}{items}[0]{token_id});
my %stream = (owner => 'tenants/{acme}/events', admin => 'platform/{p}/audit');
is $s->rest(PUT => '/admin/tenants/acme/flags', { token => $token{admin},
    json => { INFRA_LEGACY_ADMIN_ONLY => JSON::PP::false } })->{status}, 200,
    'the legacy path is open';

sub entries {
    my ($who) = @_;
    return grep { $_->{event} eq 'legacy.changed' }
        map { my %e = @{ $_->[1] }; decode_json($e{entry} // '{"event":""}') }
        @{ $s->redis(XRANGE => $stream{$who}, '-', '+') };
}

sub ask {
    my ($who, $method, $path, %more) = @_;
    return $s->rest($method, "/infra/$path", { token => $token{$who}, %more });
}

for my $who (qw(owner admin)) {
    my @want;
    my $noted = sub {
        my ($method, $path, $status, $what) = @_;
        push @want, { event => 'legacy.changed', actor => $actor{$who},
                      method => $method, path => $path, status => $status };
        wait_for { scalar(entries($who)) >= @want } 5, "the entry of $what";
        is_deeply [entries($who)], \@want, "$who: $what";
    };
    ask($who, GET => 'a');
    ask($who, HEAD => 'a');
    is ask($who, POST => 'a?secret=QuerySecret', json => {})->{status}, 200,
        'a change';
    $noted->(POST => '/api/v1/infra/a', 200, 'is in the audit; reading is not');
    is ask($who, DELETE => 'b%20c/../d')->{status}, 200, 'another';
    $noted->(DELETE => '/api/v1/infra/d', 200, 'by the path that it means');
    is ask($who, PUT => '500', json => {})->{status}, 500, 'refused there';
    $noted->(PUT => '/api/v1/infra/500', 500, 'with its status');
    is ask($who, PATCH => 'html', json => {})->{status}, 502, 'withheld';
    $noted->(PATCH => '/api/v1/infra/html', 200, 'as the backend has answered');
    is ask($who, POST => 'closed', json => {})->{status}, 502, 'no answer';
    $noted->(POST => '/api/v1/infra/closed', 502, 'and that');
    is ask($who, POST => 'x' x 4000, json => {})->{status}, 200, 'a long path';
    $noted->(POST => '/api/v1/infra/' . 'x' x 498, 200, 'what there is room for');
    is ask($who, MKCOL => '%ff%22')->{status}, 200, 'bytes of any kind';
    $noted->(MKCOL => "/api/v1/infra/\x{fffd}\"", 200, 'as JSON');
}

# who goes away does not go unseen
my $sock = $s->socket;
print $sock "POST /api/v1/infra/late HTTP/1.1\r\nHost: x\r\n",
    "Authorization: Bearer $owner\r\nContent-Length: 0\r\n\r\n";
$sock->flush;
wait_for { grep { $_->{path} =~ /late/ } $l->backend->requests } 5,
    'the backend to be asked';
close $sock;
wait_for { (entries('owner'))[-1]{path} =~ /late/ } 5, 'its entry';
is((entries('owner'))[-1]{status}, 499, 'a client that did not wait');

# refused by us: nothing was changed
my $n = entries('owner');
my $viewer = $s->rest(POST => '/tokens', { token => $owner, json => {
    name => 'viewer', role => 'viewer' } })->{json}{token};
is $s->rest(POST => '/infra/a', { token => $viewer, json => {} })->{status}, 403,
    'a viewer changes nothing';
is $s->rest(POST => '/infra/a', { token => 'x', json => {} })->{status}, 401,
    'nor does nobody';
ask(owner => POST => 'last', json => {});
wait_for { entries('owner') > $n } 5, 'the next';
my @new = entries('owner');
is_deeply [map { $_->{path} } splice @new, $n], ['/api/v1/infra/last'],
    'and the audit has nothing of it';

# a store that cannot write it just then
{
    local $_ = VMOps::slurp(VMOps::built('redis/vmops.lua'));
    s{(?<=function F\.legacy_noted\(t, a\)\n)}{error('failed')\n} or die;
    $s->redis(qw(FUNCTION LOAD REPLACE), $_);
}
is ask(owner => POST => 'unnoted', json => {})->{status}, 200, 'it is over then';
wait_for { $s->error_log =~ /\[error\].* legacy backend is not in the audit/ } 5,
    'the error log to say so';
pass 'the error log says that an entry is missing';

done_testing;
