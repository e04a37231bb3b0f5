# No endpoint answers with a secret's plaintext, nor with its ciphertext; a
# plaintext that somebody tries to upload is refused and not echoed.

use strict;
use warnings;

use VMOps;
use VMOps::Leaks;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my $secret = VMOps::slurp($site->pve->token_secret_file) =~ s/\s+\z//r;
my $ref = $site->secret_ref;
$site->command('start');
my $command = $site->command('status')->{json}{command_id};

my %record = @{ $s->redis('HGETALL',
                          "tenants/{acme}/secrets_ciphertext/$ref/1") };
ok length $record{ciphertext} > 300, 'the store has a ciphertext';

my %never = (secret => $secret, ciphertext => $record{ciphertext},
             nonce => $record{nonce});
my @reads = ('/agents', '/agents/' . $site->agent->id, '/vms',
             '/vms/' . $site->vm_uuid, '/secrets', "/secrets/$ref/meta",
             '/secrets/bindings/vm/' . $site->vm_uuid . '/proxmox',
             '/vm-ops/actions', '/vm-ops/commands',
             "/vm-ops/commands/$command", '/license', '/tokens');
for my $path (@reads) {
    my $r = $site->rest(GET => $path);
    is $r->{status}, 200, "GET $path answers";
    is_deeply [leaks_in($r->{body}, %never)], [], "GET $path holds none of it";
}
ok scalar leaks_in(qq({"x":"$secret"}), %never),
    'what searches for it finds a planted one';

my $meta = $site->rest(GET => "/secrets/$ref/meta")->{json};
is_deeply [sort keys %$meta],
    [sort qw(secret_ref kind label alg key_id version size agent_id status
             created_at rotated_at bindings)], 'meta has these members only';

# neither is there a path that could

for my $path ("/secrets/$ref", "/secrets/$ref/1", "/secrets/$ref/ciphertext",
              "/secrets/$ref/plaintext", "/secrets/$ref/versions/1") {
    my $status = $site->rest(GET => $path)->{status};
    ok $status == 404 || $status == 405, "GET $path: $status";
}

# a plaintext offered by a person

my $mine = canary('typed into the wrong place');
for my $field (qw(password secret token privateKey apiKey)) {
    my $r = $site->rest(POST => '/secrets', { json => { $field => $mine } });
    cmp_ok $r->{status}, '>=', 400, "POST /secrets with $field is refused";
    is_deeply [leaks_in($r->{body}, mine => $mine)], [], 'and not echoed';
}

done_testing;
