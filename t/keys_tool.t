# vmops-keys: makes what is missing and touches nothing else; a token for the
# platform's first administrator, which it takes back, too.  Bad use is named.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use POSIX ();

use VMOps;

my $tool = VMOps::top() . '/build/conf/vmops-keys';
my $dir = tempdir('vmops-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

sub run_tool { return run_command([$tool, @_]) }

is run_tool('init', "$dir/keys")->{exit}, 0, 'init';
my %first;
for my $name (qw(command mac pepper)) {
    my $path = "$dir/keys/$name.key";
    $first{$name} = VMOps::slurp($path);
    is length $first{$name}, 32, "$name.key: 32 bytes";
    is sprintf('%o', (stat $path)[2] & 07777), '600', 'for nobody else';
}
is scalar(keys %{{ reverse %first }}), 3, 'three different ones';
is sprintf('%o', (stat "$dir/keys")[2] & 07777), '700', 'nor the folder';

unlink "$dir/keys/mac.key";
is run_tool('init', "$dir/keys")->{exit}, 0, 'init again';
is VMOps::slurp("$dir/keys/$_.key"), $first{$_}, "$_.key is what it was"
    for qw(command pepper);
isnt VMOps::slurp("$dir/keys/mac.key"), $first{mac}, 'the missing one is new';

my @store = ('--redis', '/nowhere', '--user', 'u', '--password-file', '/nowhere');
for my $case (['which command?'], ['unknown command nothing', 'nothing'],
              ['init needs a DIR', 'init'],
              ['replace needs --keys', 'replace', @store],
              ['replace has no option --name', 'replace', '--keys', $dir, @store,
               '--name', 'x'],
              ['unexpected argument x', 'init', $dir, 'x'],
              ['init has no option --x', 'init', '--x'],
              ['platform-token needs --keys', 'platform-token'],
              ['platform-token needs --redis', 'platform-token', '--keys', $dir],
              ['--keys is given twice',
               'platform-token', '--keys', $dir, '--keys', $dir],
              ['--name needs a value', 'platform-token', '--keys', $dir, @store,
               '--name'],
              ['platform-token has no option --nmae', 'platform-token', '--keys',
               $dir, @store, '--nmae', 'x'],
              ['unexpected argument x', 'platform-revoke', @store, '--name', 'x',
               'x'],
              ['platform-revoke needs --name', 'platform-revoke', @store],
              ['platform-revoke has no option --keys',
               'platform-revoke', '--keys', $dir, @store, '--name', 'x']) {
    my ($what, @args) = @$case;
    my $run = run_tool(@args);
    is $run->{exit}, 2, "bad use: $what";
    is $run->{err}, "vmops-keys: $what\nSee vmops-keys --help\n", 'is named';
}
for my $args (['--help'], ['init', '--help'], ['init', $dir, '--help'],
              ['platform-revoke', '--help', '--keys']) {
    my $run = run_tool(@$args);
    is $run->{exit}, 0, "@$args: no mistake";
    like $run->{out}, qr/^usage: vmops-keys init DIR/, 'and on standard output';
}
ok !-e '--help', 'no folder of that name';

my $run = run_tool('init', '/proc/none/keys');
is $run->{exit}, 1, 'where nothing can be made';
like $run->{err}, qr{^vmops-keys: cannot make /proc/none/keys: }, 'and why';

# a token
my $s = VMOps->stack(nodes => 2);
my @args = ('platform-token', '--keys', $s->dir . '/keys', '--redis',
            $s->info->{redis_socket}, '--user', 'vmops', '--password-file',
            $s->dir . '/passwords/vmops', '--name', 'second one');
$run = run_tool(@args);
is $run->{exit}, 0, 'a second administrator';
my $token = canary('the second one', $run->{out} =~ s/\n\z//r);
like $token, qr/^vmo_platform_[0-9A-Za-z]{49}$/, 'one line: the token';
is $s->rest(GET => '/admin/tenants', { token => $token })->{status}, 200,
    'which works';

is run_tool('init', "$dir/others")->{exit}, 0, 'the keys of nobody';
for my $case (['no store', '--redis', '/nowhere', qr/cannot connect to/],
              ['other keys', '--keys', "$dir/others",
               qr/others: not those of the store: take the folder/],
              ['no such user', '--user', 'nobody', qr/AUTH/],
              ['no password', '--password-file', '/nowhere', qr/cannot read/],
              ['no keys', '--keys', '/nowhere', qr/cannot read/],
              ['no name', '--name', '', qr/--name/],
              ['a long name', '--name', 'x' x 65, qr/--name/]) {
    my ($what, $option, $value, $like) = @$case;
    my %with = (@args[1 .. $#args], $option => $value);
    $run = run_tool('platform-token', %with);
    is $run->{exit}, 1, $what;
    like $run->{err}, $like, 'says why';
    is $run->{out}, '', 'and no token';
}

# revoked by its name, on every worker of every node; whoever has another name stays
sub status { $s->rest(GET => '/admin/tenants', {
    token => $_[0], node => 1 + ($_[1] // 0) % 2,
    headers => { Connection => 'close' } })->{status} }
my @revoke = ('platform-revoke', @args[3 .. $#args]);
is status($token, $_), 200, 'known on both nodes' for 0, 1;
sub listed { $s->rest(GET => "/admin/tokens$_[0]", {
    token => $s->platform_token })->{json} }
my $all = listed('');
is_deeply [sort map { $_->{name} } @{ $all->{items} }], ['second one', 'stack'],
    'an administrator sees who is one';
is_deeply [map { join ' ', sort keys %$_ } @{ $all->{items} }],
    [('created_at name token_id') x 2], 'and nothing that could be of use';
my $first = listed('?limit=1');
is $first->{next_cursor}, $all->{items}[0]{token_id}, 'page by page';
is_deeply listed("?cursor=$first->{next_cursor}")->{items}, [$all->{items}[1]],
    'by their ids';
$run = run_tool(@revoke);
is $run->{exit}, 0, 'revoked';
is $run->{out}, "1 token of second one revoked\n", 'how many, and whose';
holds_within(2, 'it is nobody\'s', sub { status($token, $_[0]) == 401 });
is status($s->platform_token), 200, 'another administrator stays';
is_deeply [map { $_->{name} } @{ listed('')->{items} }], ['stack'],
    'and is the only one in the list';
$run = run_tool(@revoke);
is $run->{exit}, 1, 'there is none of that name any more';
like $run->{err}, qr/not_found\nNothing was revoked: nobody has the name second/,
    'and says so';
is scalar(grep { my %e = @{ $_->[1] };
                 $e{entry} =~ /"token.deleted".*"name":"second one"/ }
          @{ $s->redis(XRANGE => 'platform/{p}/audit', '-', '+') }), 1,
    'it is in the administrators\' audit, once';
canary("one of two, the $_", run_tool(@args)->{out} =~ s/\n\z//r)
    for qw(first second);
is run_tool(@revoke)->{out}, "2 tokens of second one revoked\n", 'all of a name';

# a store that after the question is gone, or says what cannot be understood
sub false_store {
    my ($path, @replies) = @_;
    my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 1)
        or die "$path: $!";
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    alarm 10;
    my $sock = $listener->accept;
    sysread($sock, my $asked, 4096) && syswrite $sock, $_ for @replies;
    POSIX::_exit(0);
}

for my $case (['nothing', '', qr/Server closed the connection/],
              ['an error', "-ERR no\r\n", qr/ERR no/],
              ['no number', "*1\r\n\$2\r\nOK\r\n", qr/no answer of ours/]) {
    my ($what, $reply, $why) = @$case;
    my $pid = false_store("$dir/$what", "+OK\r\n", $reply);
    my %with = (@revoke[1 .. $#revoke], '--redis' => "$dir/$what");
    $run = run_tool('platform-revoke', %with);
    waitpid $pid, 0;
    is $run->{exit}, 1, "$what for an answer: failed";
    like $run->{err}, qr/$why\nIt is not known whether .* GET /, 'and says so';
    is $run->{out}, '', 'and nothing else';
}

done_testing;
