# The command line without a server: usage, exit codes, one JSON document per
# command, and no way to give a secret in an argument.
# tags: asan tsan

use strict;
use warnings;

use File::Temp qw(tempdir);
use JSON::PP;

use VMOps;
use VMOps::Agent;
use VMOps::Process qw(run_command spawn);

my $home = tempdir('vmops-agent-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

# usage

my $run = human();
is $run->{exit}, 2, 'no command: exit 2';
like $run->{err}, qr/^usage: vmops-agent .*pair --server URL/, 'and usage';
for my $command (qw(pair run status unpair secret policy journal version)) {
    like $run->{err}, qr/\] $command\b/, "it has $command";
}
is human('no-such')->{exit}, 2, 'an unknown one';
like human('no-such')->{err}, qr/Unknown command/, 'is called that';
for my $ask (['help'], ['--help'], ['-h'], ['secret', '--help'], ['run', '-h']) {
    my $got = human(@$ask);
    is $got->{exit}, 0, "@$ask: no mistake";
    like $got->{out}, qr/^usage: vmops-agent /, 'and on standard output';
}
is human('secret')->{exit}, 2, 'a command of commands has its own usage';
like human('secret')->{err}, qr/secret rotate REF/, 'with its commands';
unlike human('secret')->{err}, qr/--(?:secret|password|token)\b/,
    'none of them takes a secret as an argument';

for my $bad (['no-such-command'], ['status', '--no-such-option'],
             ['status', 'word'], ['pair'], ['pair', '--server'],
             ['policy', 'set', 'read'], ['policy', 'set', 'reed=allow'],
             ['policy', 'preset', 'none'], ['secret', 'rotate'],
             ['secret', 'remove', 'sec_1'],
             ['secret', 'add', '--kind', 'nonsense', '--label', 'x']) {
    my $got = json(@$bad);
    is $got->{exit}, 2, "@$bad: exit 2";
    is $got->{json}{error}{code}, 'usage', 'usage, in JSON';
}

# what needs no server

$run = json('version');
is $run->{exit}, 0, 'version';
like $run->{json}{version}, qr/^\d+\.\d+\.\d+$/, 'has a number';
is $run->{json}{platform}, 'linux', 'and a platform';
is human('version')->{out}, "vmops-agent $run->{json}{version} (linux)\n",
    'people get one line';

is run_command([VMOps::Agent::binary(), "--home=$home", 'policy', '--json',
                'show'])->{out}, json('policy', 'show')->{out},
    '--home=DIR, and --json in any place';

for my $command (['status'], ['run', '--foreground'], ['unpair', '--yes'],
                 ['secret', 'list'], ['journal']) {
    my $got = json(@$command);
    is $got->{exit}, 3, "@$command, not paired: exit 3";
    is $got->{json}{error}{code}, 'not_paired', 'and says so';
}
is_deeply [glob "$home/*"], [], 'none of them makes a file';

# a folder that is not there, like one mistyped

my $mistyped = "$home/none";
for my $command (['status'], ['run', '--foreground'], ['unpair', '--yes'],
                 ['secret', 'list'], ['secret', 'add', '--kind', 'opaque',
                  '--label', 'x', '--stdin'], ['journal'],
                 ['audit', 'verify', '/dev/null']) {
    my $got = run_command([VMOps::Agent::binary(), '--home', $mistyped,
                           @$command]);
    is $got->{exit}, 3, "@$command, no folder: exit 3";
    like $got->{err}, qr/no paired agent in \Q$mistyped\E\. .*--home DIR, /,
        'which one was looked at, and that it may be another';
}
is run_command([VMOps::Agent::binary(), '--home', $mistyped, @$_])->{exit}, 0,
    "@$_ needs none" for ['policy', 'show'], ['version'];
ok !-e $mistyped, 'none of them makes it';

# policy

is json('policy', 'show')->{json}{policy}{classes}{delete}, 'ask',
    'the standard policy asks before it deletes';
is json('policy', 'preset', 'read-only')->{json}{policy}{classes}{power},
    'deny', 'a preset';
is json('policy', 'set', 'power=allow', 'exec=ask')->{exit}, 0, 'a change';
my $classes = json('policy', 'show')->{json}{policy}{classes};
is "@$classes{qw(read power exec delete)}", 'allow allow ask deny',
    'is kept, and the rest of it';
open my $fh, '>', "$home/policy.json" or die $!;
print $fh '{"classes":{"read":"perhaps"}}';
close $fh;
is json('policy', 'show')->{json}{error}{code}, 'bad_policy',
    'a policy that cannot be read is said to deny';
is json('policy', 'preset', 'full')->{exit}, 0, 'a preset begins anew';

open $fh, '>', "$home/policy.json" or die $!;
print $fh '{"classes":{"read":"allow"},"vmids":[[100,199]]}';
close $fh;
is_deeply json('policy', 'preset', 'standard')->{json}{policy}{vmids}, [[100, 199]],
    'a preset leaves the ranges of guests as they are';

my $lost = 0;
for my $round (1 .. 10) {
    json('policy', 'preset', 'full');
    my @pids = map {
        spawn([VMOps::Agent::binary(), '--home', $home, 'policy', 'set',
               "$_=deny"], '/dev/null')
    } qw(delete exec);
    waitpid $_, 0 for @pids;
    my $now = json('policy', 'show')->{json}{policy}{classes};
    $lost += grep { $now->{$_} ne 'deny' } qw(delete exec);
}
is $lost, 0, 'of two changes at once none is lost';

# pairing

for my $url ('http://vps.example', 'http://10.0.0.1:8080') {
    my $got = json('pair', '--server', $url, '--code', 'ABCD-EFGH-JKMN');
    is "$got->{exit} $got->{json}{error}{code}", '2 not_tls',
        "$url: not without TLS";
}
is json('pair', '--server', 'https://vps.example/x')->{json}{error}{code},
    'usage', 'a server has no path';
is json('pair', '--server', 'http://127.0.0.1:1', '--code', 'ABCD')
    ->{json}{error}{code}, 'bad_code', 'a code that is none';
$run = json('pair', '--server', 'http://127.0.0.1:1', '--code',
            'ABCD-EFGH-JKMN');
is "$run->{exit} $run->{json}{error}{code}", '5 connection_refused',
    'a server that is not there: exit 5';
is json('status')->{exit}, 3, 'after which it is not paired';
rename "$home/keystore.bin", "$home/kept" or die $!;
mkdir "$home/keystore.bin" or die $!;
$run = json('pair', '--server', 'http://127.0.0.1:1', '--code',
            'ABCD-EFGH-JKMN');
is "$run->{exit} $run->{json}{error}{code}", '8 keystore_error',
    'no file of its keys';
like $run->{json}{error}{message}, qr/\Q$home\E.*Look whether .* try again/,
    'says where it should be, and what to do';
rmdir "$home/keystore.bin" or die $!;
rename "$home/kept", "$home/keystore.bin" or die $!;
is json('pair', '--server', 'https://x.example', '--ca-file', "$home/none",
        '--code', 'ABCD-EFGH-JKMN')->{exit}, 2, 'a CA file has to be there';

# the files are its user's alone

my @open = grep { (stat)[2] & 077 } glob "$home/*";
is_deeply \@open, [], 'no file of it is open to others';

done_testing;

sub human {
    return run_command([VMOps::Agent::binary(), '--home', $home, @_]);
}

sub json {
    my $got = run_command([VMOps::Agent::binary(), '--home', $home, '--json',
                           @_]);
    $got->{json} = JSON::PP->new->utf8->decode($got->{out});
    return $got;
}
