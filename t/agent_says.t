# What the command line says when something is not as it should be: what
# happened and what to do next, with an exit code that is documented.
# tags: asan

use strict;
use warnings;



use VMOps;

my $s = VMOps->stack;
my $agent = $s->agent(tenant => $s->tenant('acme'));
my $home = $agent->home;
my @code = ('pair', '--server', $s->url, '--yes', '--code');
my @opaque = qw(secret add --kind opaque --label l --stdin);
my $none = 'sec_' . '0' x 32;
my ($documented) = VMOps::slurp('agent/README.md') =~ /^(\| code .*?)\n\n/ms;

# arguments

says(['--nope'], 2, usage => qr/Unknown command --nope/);
says(['nope'], 2, usage => qr/Unknown command nope/);
says(['status', '--nope'], 2, usage => qr/--nope; --help in its place/);
says(['secret', 'rotate'], 2, usage => qr/secret list/);
says(['status', '--home', 'x'], 2, usage => qr/--home DIR comes before/);
for my $command (['run'], ['secret', 'add']) {
    my $got = run([@$command, '--help']);
    is $got->{exit}, 0, "@$command --help";
    like $got->{out}, qr/\Ausage: vmops-agent .*@$command\b.*--/,
        'is its own usage';
    unlike $got->{out}, qr/unpair|remove/, 'and no other\'s';
}
my $got = run_command([VMOps::Agent::binary(), '--home']);
like $got->{err}, qr/--home needs a folder/, '--home alone';

# the home

says([@opaque], 3, not_paired => qr/owner makes a code.*pair --server/);
put('policy.json', '{');
says(['policy', 'show'], 2, bad_policy =>
    qr/\Q$home\E.*everything is denied.*policy preset standard/);
unlink "$home/policy.json";
$got = run_command([VMOps::Agent::binary(), '--home', '/proc/none', @code,
                    'ABCD-EFGH-JKMN']);
is $got->{exit}, 1, 'a home that cannot be: exit 1';
like $got->{err}, qr{/proc/none is no folder}, 'which one';

# pairing

says([@code, 'ABCD'], 2, bad_code => qr/looks like XXXX-XXXX-XXXX/);
says([@code, 'ABCD-EFGH-JKMN'], 6, pairing_invalid =>
    qr/unknown, expired or used up. Make a new one/);
says(['pair', '--server', 'http://127.0.0.1:1', '--code', 'ABCD-EFGH-JKMN'], 5,
    connection_refused => qr/is the service up, is the port right/);
says(['pair', '--server', 'https://x.example', '--ca-file', "$home/none",
      '--code', 'ABCD-EFGH-JKMN'], 2,
    usage => qr{\Q$home\E/none cannot be read: --ca-file is a PEM});
$agent->pair;
like run(['status'])->{out}, qr/: stopped; start it: vmops-agent run$/m, 'status';

for my $bad ('{', '{"proxi":"x"}') {
    put('config.json', $bad);
    says(['status'], 2, bad_config =>
        $bad eq '{' ? qr/\Q$home\E is not JSON.*correct or remove/
                    : qr{\Q$home\E.* at /proxi: correct});
}
unlink "$home/config.json";

# the policy, which whoever may write it decides

put('policy.json', '{');
policy_at_fault(qr/\Q$home\E cannot be read.*denied.*policy preset standard/);
put('policy.json', '{"classes":{"read":"allow"}}');
chmod 0666, "$home/policy.json" or die $!;
policy_at_fault(qr/json in \Q$home\E can be written by others: chmod 600\. /);
says(['policy', 'preset', 'standard'], 0);
chmod 0777, $home or die $!;
policy_at_fault(qr/\Q$home\E can be written by others, .*chmod 700\. /);
says(['policy', 'preset', 'full'], 2, bad_policy => qr/chmod 700\. /);
chmod 0700, $home or die $!;
like run(['status'])->{out}, qr/^policy ok$/m, 'status: the policy is all right';
is $agent->cli_ok(['status'])->{policy}, 'ok', 'in JSON, too';

# whose keys they are

chmod 0640, "$home/wrap.key" or die $!;
says(['status'], 1, key_open => qr{\Q$home\E/wrap.key.*chmod 600.*pair});
chmod 0600, "$home/wrap.key" or die $!;
SKIP: {
    skip 'needs root', 8 if $>;
    my $other = 65534;
    for my $command (['status'], ['policy', 'show'], [@code, 'ABCD']) {
        $got = as($other, @$command);
        is $got->{exit}, 1, "@$command, a home of another user: exit 1";
        like $got->{err}, qr/\Q$home\E cannot be read: run this as the agent's/,
            'and who can';
    }
    chown $other, $other, $home, grep { !/identity/ } glob "$home/*";
    $got = as($other, 'status');
    is $got->{exit}, 1, 'an identity of another user: exit 1';
    like $got->{err}, qr{cannot read \Q$home\E/identity.bin.*by another one\?},
        'and why that may be';
    chown 0, 0, $home, glob "$home/*";
}

# secrets

says(['secret', 'remove', $none], 9, not_found => qr/secret list/);
says(['secret', 'rotate', $none, '--stdin'], 9, not_found => qr/secret list/);
{
    $agent->hooked(CLOCKS => "$home/clocks");
    put('clocks', '-3600000 0');
    says([@opaque], 6, unauthenticated => qr/clock of this PC right\? It says 2/);
    $agent->as_released;
    says([@opaque], 0);
}

# what has no endpoint has nothing that belongs to one

my ($item) = @{ $agent->cli_ok(['secret', 'list'])->{items} };
is_deeply [@$item{qw(host port pins)}], [undef, undef, []], 'listed without';
like run(['secret', 'list'])->{out}, qr/ok +l$/m, 'for people, too';
my %no = (usage => qr/has no endpoint/);
says([@opaque, @$_], 2, %no) for ['--classes', 'read'], ['--vmids', '100'];
for my $pin (['--accept-shown'], ['--pin', 'sha256//' . 'A' x 43 . '=']) {
    says(['secret', 'rotate', $item->{secret_ref}, '--stdin', @$pin], 2, %no);
}
like run(['secret', 'rotate', $item->{secret_ref}, '--stdin'])->{out},
    qr/^l, opaque$/m, 'entered again';

# revoked

$agent->start;
my $id = $agent->id;
is $agent->rest(POST => "/agents/$id/revoke")->{status}, 200, 'revoked';
is $agent->ended >> 8, 10, 'the running one ends: exit 10';
says([@opaque], 6, agent_revoked => qr/Pair it again/);
says(['run', '--foreground'], 10, agent_revoked => qr/pair it again/);
like run(['status'])->{out}, qr/: revoked: pair it again/m, 'status';

# too often

for (1 .. 20) {
    $got = run([@code, 'ABCD-EFGH-JKMN']);
    last if $got->{err} !~ /pairing_invalid/;
}
is $got->{exit}, 6, 'pair, too often: exit 6';
like $got->{err}, qr/requests\. Wait \d+ s, then try.* \(rate_limited\)$/m,
    'and for how long to wait';

done_testing;

sub run { run_command($agent->command(@{ $_[0] }), stdin => "a secret\n",
                      env => $agent->env) }

# what decides about each command says so, and so does status
sub policy_at_fault {
    my ($words) = @_;
    says(['policy', 'show'], 2, bad_policy => $words);
    like run(['status'])->{out}, qr/^policy unreadable: .*$words/m, 'in status';
    my $status = $agent->cli_ok(['status']);
    is $status->{policy}, 'unreadable', 'in its JSON';
    like $status->{policy_fault}, $words, 'with the same words';
}

# as another user
sub as {
    my ($uid, @args) = @_;
    return run_command(['setpriv', "--reuid=$uid", "--regid=$uid",
                        '--clear-groups', @{ $agent->command(@args) }]);
}

# with this exit code, the stable code, and words for people
sub says {
    my ($args, $exit, $code, $words) = @_;
    my $got = run($args);
    is $got->{exit}, $exit, "@$args: exit $exit";
    like $documented, qr/^\| (?:\d+, )*$exit(?:, \d+)* \|/m, 'is documented';
    like $got->{err}, qr/^vmops-agent: .*$words.*\($code\)$/m,
        'says what happened and what to do' if $code;
}

sub put {
    my ($name, $text) = @_;
    open my $fh, '>', "$home/$name" or die "$name: $!";
    print $fh $text;
    close $fh or die "$name: $!";
}
