# At a terminal: the key of an endpoint is asked about, with no as the answer
# to anything but yes, and the secret is typed without an echo.
# tags: asan tsan

use strict;
use warnings;

use IO::Select;
use IPC::Open2 qw(open2);

use VMOps;
use VMOps::PVESim;

my $s = VMOps->stack;
my $agent = $s->agent(tenant => $s->tenant('acme'));
$agent->pair;
my $pve = VMOps::PVESim->start;
my $secret = VMOps::slurp($pve->token_secret_file) =~ s/\s+\z//r;
canary('Proxmox token', $secret);
my $pin = $pve->pin;
my $add = join ' ', map { "'$_'" } VMOps::Agent::binary(), '--home',
    $agent->home, 'secret', 'add', '--kind', 'proxmox_token', '--label', 'x',
    '--host', '127.0.0.1', '--port', $pve->port, '--user', $pve->token_id;

for my $no ('', 'n', 'Y', 'yes please') {
    my ($seen, $exit) = terminal($add, 'Is it the right one? [y/N] ' => $no);
    is $exit, 7, "\"$no\" is no: exit 7";
}
is scalar @{ $agent->cli_ok(['secret', 'list'])->{items} }, 0,
    'and nothing is stored';

my ($seen, $exit) = terminal($add, 'Is it the right one? [y/N] ' => 'y',
                             'Token (the UUID): ' => $secret);
is $exit, 0, 'yes and the token: stored';
like $seen, qr/\Q$pin\E/, 'the key was shown';
like $seen, qr/${\ $pve->fingerprint}/, 'the certificate, too';
unlike $seen, qr/\Q$secret\E/, 'the token was not';
my ($item) = @{ $agent->cli_ok(['secret', 'list'])->{items} };
is $item->{pins}[0], $pin, 'the key that was shown is pinned';

($seen, $exit) = terminal("$add --json", 'Is it the right one? [y/N] ' => 'y',
                          'Token (the UUID): ' => $secret);
is $exit, 0, 'the same with --json';

# entered again: the key is asked about where it is another one

my $rotate = join ' ', map { "'$_'" } VMOps::Agent::binary(), '--home',
    $agent->home, 'secret', 'rotate', $item->{secret_ref};
($seen, $exit) = terminal($rotate, 'Token (the UUID): ' => $secret);
is $exit, 0, 'entered again';
unlike $seen, qr/Is it the right one/, 'the key is the same: no question';

$pve->control('POST', 'certificate');
($seen, $exit) = terminal($rotate, 'Is it the right one? [y/N] ' => 'n');
is $exit, 7, 'another key and no: exit 7';
like $seen, qr/\Q${\ $pve->pin}\E.*before:\s+\Q$pin\E/s, 'both are shown';
($seen, $exit) = terminal($rotate, 'Is it the right one? [y/N] ' => 'y',
                          'Token (the UUID): ' => $secret);
is $exit, 0, 'yes and the token: stored';
($item) = grep { $_->{secret_ref} eq $item->{secret_ref} }
    @{ $agent->cli_ok(['secret', 'list'])->{items} };
is "@{ $item->{pins} }", $pve->pin, 'with the new key';

done_testing;

# util-linux' script, which has a terminal to give.  In a bare chroot nothing is
# mounted at /dev/pts, so there it gets terminals of its own.
sub script {
    my @script = ('script', '-q', '-e', '-c', $_[0], '/dev/null');
    return @script if -e '/dev/pts/ptmx';
    return ('unshare', '--mount', '--propagation', 'unchanged', 'sh', '-c',
            'mount -t devpts -o newinstance devpts /dev/pts && exec "$@"',
            'sh', @script);
}

# runs a command at a terminal of its own, types after each prompt; all that
# was seen there, and the exit code
sub terminal {
    my ($command, @talk) = @_;
    my $pid = open2(my $out, my $in, script($command));
    my ($seen, $from) = ('', 0);
    my $until = now + 20;
    while (now < $until) {
        next if !IO::Select->new($out)->can_read(0.1);
        last if !sysread $out, $seen, 4096, length $seen;
        my $at = @talk ? index $seen, $talk[0], $from : -1;
        next if $at < 0;
        $from = $at + length $talk[0];
        syswrite $in, "$talk[1]\n";
        splice @talk, 0, 2;
    }
    kill 'KILL', $pid if now >= $until;
    close $in;
    waitpid $pid, 0;
    return ($seen, $? >> 8);
}
