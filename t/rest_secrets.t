# Secrets as ciphertext: uploaded and rotated by the agent that made them, never
# in the clear, never shown; bound, and asked to be entered again.
# tags: asan

use strict;
use warnings;

use JSON::PP;

use VMOps;
use VMOps::Rest;
use VMOps::WSAgent;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s, offline => 1);
my $agent = $t->agent;
my $ref = $t->secret;
my $count = 100;

sub body {
    my (%over) = @_;
    return { secret_id => sprintf('01890000-0000-7000-8001-%012x', ++$count),
             kind => 'ssh_key', label => 'the key', via => undef,
             alg => 'xc20p-blake2b-v1', key_id => $agent->key_id,
             version => 1, created_ms => 1760000000000, nonce => 'A' x 32,
             ciphertext => 'A' x 363, aad_meta => '{"n":1}', %over };
}

# as the agent; headers => {..} beside the signature's
sub signed {
    my ($who, $path, $body, %headers) = @_;
    return $who->signed(sub {
        my ($method, $to, $opt) = @_;
        $opt->{headers} = { %{ $opt->{headers} }, %headers };
        return $s->rest($method, $to, $opt);
    }, $s->url, "/api/v1$path", $body);
}

my $r = signed($agent, '/secrets', body());
is $r->{status}, 201, 'uploaded';
like $r->{json}{secret_ref}, qr/^sec_[0-9a-f]{32}$/, 'and named';
my $key = $r->{json}{secret_ref};

my $meta = $t->rest(GET => "/secrets/$key/meta");
is $meta->{headers}{etag}, '"1"', 'its tag is its version';
is_deeply { %{ $meta->{json} }, created_at => 1 }, {
    secret_ref => $key, kind => 'ssh_key', label => 'the key',
    alg => 'xc20p-blake2b-v1', key_id => $agent->key_id, version => 1,
    size => 272, agent_id => $agent->id, status => 'ok', created_at => 1,
    rotated_at => undef, bindings => [] }, 'what may be known of it';

# the same id again
is signed($agent, '/secrets', body(
    secret_id => sprintf '01890000-0000-7000-8001-%012x', $count))->{status},
    409, 'an id that is taken';

# forms
for my $over ({ secret_id => '01890000-0000-4000-8001-00000000ffff' },
              { secret_id => '01890000-0000-7000-0001-00000000ffff' },
              { kind => 'password' }, { label => '' }, { via => 'sec_1' },
              { alg => 'none' }, { key_id => 'k1' }, { version => 2 },
              { version => JSON::PP::true }, { nonce => 'A' x 31 },
              { nonce => 'A' x 31 . '=' }, { ciphertext => 'A' x 362 },
              { ciphertext => 'A' x 400 }, { ciphertext => 'A' x 30000 },
              { aad_meta => {} }, { aad_meta => 'x' x 1025 },
              { created_ms => -1 }, { more => 1 }) {
    my ($field) = %$over;
    $r = signed($agent, '/secrets', body(%$over));
    is "$r->{status} $r->{json}{errors}[0]{pointer}", "422 /$field",
        "a form refused: $field";
}

# in the clear
my $plain = canary('in the clear');
for my $field (qw(password Password secret sshPrivateKey api_key apiKey token
                  pve_ticket cookie passphrase)) {
    for my $value ($plain, { deep => $plain }) {
        $r = signed($agent, '/secrets', body($field => $value));
        is "$r->{status} $r->{json}{code}", '422 plaintext_secret_rejected',
            "$field is not taken";
        is $r->{json}{errors}[0]{pointer}, "/$field", 'and pointed at';
        unlike $r->{body}, qr/\Q$plain\E/, 'not echoed';
    }
}
for my $value ("PVEAPIToken=root\@pam!x=$plain",
               "-----BEGIN OPENSSH PRIVATE KEY-----") {
    $r = signed($agent, '/secrets', body(label => $value));
    is "$r->{status} $r->{json}{code}", '422 plaintext_secret_rejected',
        'nor a value that looks like one';
}

# rotation
sub rotation {
    my ($version, %over) = @_;
    my %body = %{ body(version => $version, %over) };
    delete @body{qw(secret_id kind label via)};
    return \%body;
}
sub rotate {
    my ($who, $version, %headers) = @_;
    return signed($who, "/secrets/$key/rotate", rotation($version), %headers);
}
is_deeply [@{ rotate($agent, 2)->{json} }{qw(status code)}],
    [428, 'precondition_required'], 'a rotation says of which version';
for my $tag ('2', 'W/"1"', '*', '"1", "2"', '"x"', '"01"', '""') {
    my $json = rotate($agent, 2, 'If-Match' => $tag)->{json};
    is "@$json{qw(status code)}", '400 invalid_header', "If-Match: $tag";
    is_deeply $json->{errors}, [{ pointer => '/if-match', code => 'pattern' }],
        'and it is named';
}
is rotate($agent, 3, 'If-Match' => '"2"')->{status}, 412, 'not the version';
is rotate($agent, 3, 'If-Match' => '"1"')->{status}, 412, 'nor a jump';
$r = rotate($agent, 2, 'If-Match' => '"1"');
is $r->{status}, 200, 'the right one';
is_deeply $r->{json}, { secret_ref => $key, version => 2 }, 'and its answer';
is rotate($agent, 2, 'If-Match' => '"1"')->{status}, 412, 'once';
$meta = $t->rest(GET => "/secrets/$key/meta");
is $meta->{headers}{etag}, '"2"', 'the tag is the new version';
ok defined $meta->{json}{rotated_at}, 'and when';

# who asks for one
my $viewer = $t->new_token('viewer')->{token};
my $operator = $t->new_token('operator')->{token};
is $t->rest(POST => "/secrets/$key/rotate", { token => $viewer })->{status},
    403, 'a viewer asks for none';
$r = $t->rest(POST => "/secrets/$key/rotate", { token => $operator });
is $r->{status}, 202, 'an operator does';
is_deeply $r->{json}, { secret_ref => $key, status => 'rotation_requested' },
    'and it is requested';
is $t->rest(POST => "/secrets/$key/rotate", {
    token => $operator, json => { alg => 'x' } })->{status}, 422,
    'a person sends no body';

# another agent of the tenant
my $other = VMOps::WSAgent->new;
$other->pair(sub { $s->rest(@_) }, $t->made(POST => '/agents/pairings', {})
             ->{code});
is signed($other, '/secrets', body(key_id => $other->key_id))->{json}{code},
    'agent_unapproved', 'a pending agent uploads none';
my $fingerprint = $t->made(GET => '/agents/' . $other->id)->{fingerprint};
$t->made(POST => '/agents/' . $other->id . '/approve',
         { fingerprint => $fingerprint });
is rotate($other, 3, 'If-Match' => '"2"')->{status}, 404,
    'and rotates none that is not its own';

# bindings
my $vm = $t->vm;
is $t->rest(GET => "/secrets/bindings/vm/$vm/proxmox")->{json}{secret_ref},
    $ref, 'a VM is bound';
is "@{ $t->rest(PUT => qq(/secrets/bindings/vm/$vm/proxmox), { json => {
    secret_ref => $key } })->{json} }{qw(status code)}", '422 invalid_params',
    'not to a secret of another family';
is $t->rest(PUT => "/secrets/bindings/vm/$vm/ssh", { json => {
    secret_ref => $key } })->{status}, 200, 'for ssh it is';
is $t->rest(PUT => '/secrets/bindings/bot/bot.1_x/ssh', { json => {
    secret_ref => $key } })->{status}, 200, 'a bot, too';
is_deeply [sort map { "$_->{scope_type} $_->{scope_id} $_->{family}" }
           @{ $t->rest(GET => "/secrets/$key/meta")->{json}{bindings} }],
    ['bot bot.1_x ssh', "vm $vm ssh"], 'both are shown';
for my $path ('bot/a b/ssh', "vm/$vm/smtp", "host/x/ssh", 'bot/' . 'x' x 65
              . '/ssh') {
    is $t->rest(PUT => "/secrets/bindings/$path", { json => {
        secret_ref => $key } })->{status}, 404, "no such place: $path";
}
for my $case (["vm/$vm", 'sec_' . '0' x 32, '/secret_ref unknown'],
              ["vm/01890000-0000-7000-8000-000000000000", $key, '']) {
    my ($scope, $of, $field) = @$case;
    my $r = $t->rest(PUT => "/secrets/bindings/$scope/ssh",
                     { json => { secret_ref => $of } });
    is "$r->{status} " . join(' ', map { "$_->{pointer} $_->{code}" }
                              @{ $r->{json}{errors} // [] }), "404 $field",
        $field ? 'no such secret' : 'no such VM';
}
is $t->rest(DELETE => "/secrets/$key")->{status}, 409, 'bound, it stays';
is $t->rest(DELETE => "/secrets/$key?force=1")->{status}, 409, 'even so';
is $t->rest(DELETE => "/secrets/bindings/vm/$vm/ssh")->{status}, 204,
    'unbound from the VM';
is $t->rest(DELETE => "/secrets/bindings/vm/$vm/ssh")->{status}, 404, 'once';
is $t->rest(DELETE => "/secrets/$key?force=true")->{status}, 204, 'forced';
is $t->rest(GET => "/secrets/$key/meta")->{status}, 404, 'it is gone';
is $t->rest(GET => '/secrets/bindings/bot/bot.1_x/ssh')->{status}, 404,
    'with its bindings';
is_deeply [map { $_->{secret_ref} } @{ $t->rest(GET => '/secrets')
    ->{json}{items} }], [$ref], 'the other one is listed';

# its agent revoked
$t->made(POST => '/agents/' . $agent->id . '/revoke');
is $t->rest(GET => "/secrets/$ref/meta")->{json}{status}, 'reentry_required',
    'a revoked agent opens nothing';

done_testing;
