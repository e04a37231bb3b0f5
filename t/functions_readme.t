# redis/README.md: its tables are those that redis/generate makes now, and its
# recipes run as they stand there, as the user they name, and show what they say.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;
use VMOps::Process qw(run_command);

my $top = "$FindBin::Bin/..";
is run_command([$^X, "$top/redis/generate", '--check'])->{exit}, 0,
    'the generated parts are current';

my $text = VMOps::RedisServer::slurp("$top/redis/README.md");
for my $marker (qw(keys functions)) {
    like $text, qr/<!-- generated: $marker -->\n.*\n<!-- end: $marker -->/s,
        "there is a generated part: $marker";
}

# a world in which each recipe has something to show
my $f = VMOps::Functions->new;
my $w = $f->world;
$f->ok_call(beat => { incarnation => 'gw1', ttl_ms => 60_000 });
$f->ok_call(active_add => { tenant => 'acme' });
$f->ok_call(unsealed_add => { tenant => 'acme' });
$f->ok_call(flags_set => { cohort => '', actor => 'platform:1',
                           name_value => ['SECRETS_E2E_ENABLED', '1'] });
$f->ok_call(audit_seal => { last => '', seal => '{"from":1,"n":2}', from => 1,
                            to => 2, id => '1-0' });
my $sent = $f->submitted;
$f->take;
$f->ok_call(log => { agent_id => $w->{agent}, session => $w->{session},
                     command_id => $sent, line => ['a line of the log'] });
my $queued = $f->submitted;
$f->admin('ZADD', $f->key('deadlines'), 1, $sent);

my %value = (incarnation => 'gw1', agent => $w->{agent}, command => $sent,
             secret_ref => ref_of($w->{secret}));
my $dir = $f->server->dir;
symlink '.', "$dir/redis" or die "$dir/redis: $!";
mkdir "$dir/passwords" or die "$dir/passwords: $!";
VMOps::RedisServer::write_file("$dir/passwords/vmops-inspect",
                               $f->server->password('vmops-inspect'));
my ($setup) = $text =~ /^```\n(.*?)^```/ms;
my @recipes = $text =~ /^```sh\n(.*?)^```/msg;

my @shows = (
    [qr/^gw1\ngw1\n\Q$w->{agent}\E\npc\n1\n0\n0\n\Q$w->{session}\E\ngw1\n\d+$/,
     'who is connected'],
    [qr/^\Q$w->{agent}\E pc gw1 \d+$/, 'all agents'],
    [qr/^\Q$sent\E\n1\n\Q$queued\E\n2\n1\n2$/, 'what is queued'],
    [qr/^status\ndelivered\n.*^\d+ a line of the log\n\Q$queued\E\n\Q$sent\E$/ms,
     'what a record says'],
    [qr/^\Q$sent\E\n1\n2\n\d+\nactive\n2\nacme\n\d+$/, 'what is stuck'],
    [qr/^12\n2\n\n\{"from":1,"n":2\}\nacme\n\d+$/, 'how far it is sealed'],
    [qr/command\.submitted.*^label\npve\n/ms, 'what happened last'],
    [qr/^actor\nplatform:1\nentry\n\{"event":"flags\.changed",/ms,
     'what administrators did last'],
);
is @recipes, @shows, 'every recipe is known here';
for my $n (0 .. $#shows) {
    my ($want, $what) = @{ $shows[$n] };
    my $recipe = $recipes[$n] =~ s/<(\w+)>/$value{$1} \/\/ die "<$1>?"/ger;
    my $run = run_command(['bash', '-eu', '-c', "$setup$recipe"],
                          env => { DIR => $dir });
    is $run->{exit}, 0, "$what: runs";
    $run->{out} =~ s/\n\z//;
    like $run->{out}, $want, "$what: is shown";
    unlike $run->{out}, qr/NOPERM|ERR|ciphertext-1/, "$what: nothing is denied";
}

done_testing;
