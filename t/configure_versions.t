#!/usr/bin/perl

# configure.sh judges versions: what is missing or too old is said, with the
# one command that installs it; a rebuild without the security revision is
# taken with a warning where the archive has nothing newer.  Only the answers
# of dpkg-query and apt-cache are made up here; versions are compared by dpkg.
# What else it cannot work with it names, before anything is done.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Temp qw(tempdir);

use lib 't/lib';
use VMOps;

plan skip_all => 'this system has no dpkg'
    if run_command(['sh', '-c', 'command -v dpkg'])->{exit};

my $tmp = tempdir(TMPDIR => 1, CLEANUP => 1);
mkdir "$tmp/bin";
copy('configure.sh', "$tmp/configure.sh") or die "copy: $!";

sub script {
    my ($name, $text) = @_;
    open my $fh, '>', "$tmp/bin/$name" or die $!;
    print $fh "#!/bin/sh\n$text";
    close $fh;
    chmod 0755, "$tmp/bin/$name";
}

# installed and offered versions where they are not the real, sufficient ones
sub configure {
    my ($installed, $offered, @args) = @_;
    my $cases = join '', map {
        "$_) [ -z '$installed->{$_}' ] || echo 'installed $installed->{$_}';"
            . " exit ;;\n" } keys %$installed;
    script('dpkg-query', "for name; do :; done\ncase \$name in\n$cases"
           . "*) echo 'installed 99:99' ;;\nesac\n");
    script('apt-cache', 'case $2 in ' . join('', map {
        "$_) echo '  Candidate: $offered->{$_}' ;; " } keys %$offered)
           . "*) echo '  Candidate: 99:99' ;; esac\n");
    return run_command(['sh', "$tmp/configure.sh", @args],
                       env => { PATH => "$tmp/bin:$ENV{PATH}" });
}

my $ssh = 'libssh2-1-dev';
my $revision = '1.10.0-3+deb12u1';

my $run = configure({}, {});
is($run->{exit}, 0, 'all there: exit status 0') or diag($run->{err});
unlike($run->{out}, qr/warning/, 'and no warning');
ok(-s "$tmp/build/config.mk", 'config.mk is written');

$run = configure({ $ssh => $revision }, {});
is($run->{exit}, 0, 'the least version is enough');
unlike($run->{out}, qr/warning/, 'and no warning');

$run = configure({ $ssh => '1.11.1-1' }, {});
is($run->{exit}, 0, 'a newer one, too');

$run = configure({ $ssh => '' }, {});
is($run->{exit}, 1, 'missing: exit status 1');
like($run->{out}, qr/\Q$ssh\E \(agent: SSH\): not installed/, 'it is named');
like($run->{err}, qr/apt-get install --no-install-recommends \Q$ssh\E$/m,
     'with the command that installs it, and only it');

$run = configure({ $ssh => '1.9.0-2', 'libyajl-dev' => '' }, {});
is($run->{exit}, 1, 'too old, and another missing');
like($run->{out}, qr/1\.9\.0-2 is installed, at least 1\.10\.0 is needed/,
     'the versions are said');
like($run->{err}, qr/recommends libyajl-dev \Q$ssh\E$/m,
     'one command installs both');

$run = configure({ $ssh => '1.10.0-3+b1' }, { $ssh => $revision });
is($run->{exit}, 1, 'a rebuild, and the archive has the security revision');
like($run->{out}, qr/1\.10\.0-3\+b1 is installed, \Q$revision\E has security/,
     'it is to be upgraded');

$run = configure({ $ssh => '1.10.0-3+b1' }, { $ssh => '1.10.0-3+b1' });
is($run->{exit}, 0, 'a rebuild, and the archive has nothing newer: taken');
like($run->{out}, qr/warning: \Q$ssh\E .*lacks security fixes of \Q$revision\E/,
     'with a warning');

my $src = "$tmp/nginx src";
make_path("$src/src/core");
VMOps::write_conf("$src/src/core/nginx.h", '');
for my $case (['frob', qr/unknown argument frob/],
              ['demo', 'x', qr/only VAR=VALUE can follow, not x/],
              ['--with-nginx', qr/--with-nginx needs =SRC/],
              ['--with-nginx=', qr/--with-nginx needs =SRC/],
              ['--with-nginx=relative', qr/absolute path/],
              ['--with-nginx=/var/empty', qr/no source tree of nginx/],
              ["--with-nginx=$src", qr/letters, digits .* only, not \Q$src\E$/m]) {
    my ($like, @bad) = (pop @$case, @$case);
    $run = configure({}, {}, @bad);
    is($run->{exit}, 2, "@bad: exit status 2");
    like($run->{err}, $like, 'which says it');
    like($run->{err}, qr/See \.\/configure\.sh --help/, 'and the way to the help');
}

# the compiler

for my $case (['false', qr/^configure: the compiler false .* does not say why$/m],
              ["$tmp/cc", qr/no such luck\n.*\Q$tmp\E\/cc .* lines above say why$/m]) {
    my ($cc, $like) = @$case;
    local $ENV{CC} = $cc;
    VMOps::write_conf("$tmp/cc", "#!/bin/sh\necho no such luck >&2\nexit 1\n");
    chmod 0755, "$tmp/cc";
    $run = configure({}, {});
    is($run->{exit}, 1, "CC=$cc: exit status 1");
    like($run->{err}, $like, 'which names it');
    is_deeply([glob "$tmp/build/conftest*"], [], 'and leaves nothing');
}

# the folder

mkdir "$tmp/a b";
copy('configure.sh', "$tmp/a b/configure.sh") or die "copy: $!";
$run = run_command(['sh', "$tmp/a b/configure.sh"]);
is($run->{exit}, 1, 'a path with a space: exit status 1');
like($run->{err}, qr/letters, digits .* only: move \Q$tmp\E\/a b$/m, 'which says it');
ok(!-e "$tmp/a b/build", 'and does nothing');

chmod 0755, $tmp;
chmod 0555, "$tmp/build";
$run = run_command([$> ? () : qw(setpriv --reuid=nobody --clear-groups), 'sh',
                    "$tmp/configure.sh"]);
is($run->{exit}, 1, 'a build/ of somebody else: exit status 1');
is($run->{err}, "configure: build/ cannot be written: whose is it?\n",
   'which says it');
chmod 0755, "$tmp/build";

done_testing;
