# A hundred rotations of one secret at once: one wins per version.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;

# Each writes its call into its own connection before any answer is read: the
# server has all of them at once, in whatever order it likes.
for my $version (2 .. 4) {
    my @clients = map { $f->server->client('vmops') } 1 .. 100;
    for my $n (1 .. 100) {
        my @args = $f->arguments(secret_rotate => {
            agent_id => $w->{agent}, nonce => uuid(),
            secret_id => $w->{secret}, if_match => $version - 1,
            version => $version, key_id => $f->key_id, secret_nonce => "n$n",
            ciphertext => "version $version by $n" });
        $clients[$n - 1]->send('FCALL', 'vmops_secret_rotate', 1, $f->key,
                               @args);
    }
    my @answers = map { $_->receive } @clients;
    my @won = grep { $answers[$_][0] eq 'OK' } 0 .. 99;
    my @lost = grep { $answers[$_][0] eq 'version_mismatch' } 0 .. 99;
    is @won, 1, "version $version: one wins";
    is @lost, 99, "version $version: the others are told";
    is $f->admin('HGET', $f->key('secrets_ciphertext', ref_of($w->{secret}),
                                 $version), 'ciphertext'),
        "version $version by " . ($won[0] + 1),
        "version $version: what is stored is the winner's";
}

done_testing;
