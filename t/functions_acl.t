# What each Redis user may do: nginx calls functions and nothing that could
# change them, the deployer loads them and sees no data, people look without
# seeing ciphertext, tokens or sessions, and nobody comes in without a name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;
my $id = $f->submitted(idem => 'i');
my $ref = ref_of($w->{secret});
$f->admin('HSET', $f->key('sessions', 's1'), 'role', 'owner');
my %user = map { $_ => $f->server->client($_) }
    qw(vmops vmops-deploy vmops-inspect);

sub may {
    my ($user, @command) = @_;
    return eval { $user{$user}->call(@command); 1 } ? 'yes'
        : $@ =~ /NOPERM/ ? 'no' : $@;
}

sub allows {
    my ($user, $want, @commands) = @_;
    is may($user, @$_), $want, "$user, $want: @$_[0 .. ($#$_ > 1 ? 1 : $#$_)]"
        for @commands;
}

# nginx
allows('vmops', 'yes', ['PING'], ['CLIENT', 'SETNAME', 'w'],
       ['FCALL_RO', 'vmops_version', 1, 'platform/{p}'],
       ['SSUBSCRIBE', $f->key('live')], ['SUNSUBSCRIBE', $f->key('live')],
       ['SCAN', 0]);    # of what is deleted: names, no content
allows('vmops', 'no', ['EVAL', 'return 1', 0], ['EVALSHA', 'x', 0],
       ['SCRIPT', 'FLUSH'], ['FUNCTION', 'LIST'], ['FUNCTION', 'FLUSH'],
       ['FUNCTION', 'LOAD', 'x'], ['CONFIG', 'GET', '*'], ['ACL', 'LIST'],
       ['KEYS', '*'], ['FLUSHALL'], ['MONITOR'], ['SHUTDOWN'],
       ['GET', 'other'],
       ['FCALL', 'vmops_beat', 1, 'elsewhere', '', ''],
       ['SSUBSCRIBE', 'elsewhere'], ['SUBSCRIBE', $f->key('live')],
       ['SPUBLISH', 'elsewhere', 'x'], ['CLIENT', 'KILL', 'ID', 1],
       ['SELECT', 1], ['REPLICAOF', 'NO', 'ONE'], ['DUMP', $f->key]);

# who loads functions
allows('vmops-deploy', 'yes', ['FUNCTION', 'LIST'], ['PING']);
allows('vmops-deploy', 'no', ['FUNCTION', 'FLUSH'], ['HGETALL', $f->key],
       ['FCALL', 'vmops_tenant_get', 1, $f->key], ['EVAL', 'return 1', 0],
       ['CONFIG', 'GET', '*'], ['KEYS', '*']);

# people
my %readable = (
    HGETALL => [$f->key, $f->key('agents', $w->{agent}), $f->key('vms', $w->{vm}),
                $f->key('agent_commands', $id),
                $f->key('secrets_ciphertext', $ref),
                $f->key('secret_bindings', "vm:$w->{vm}:proxmox"),
                'platform/{p}/flags', 'platform/{p}/flags/beta'],
    ZCARD => [map({ $f->key($_) } qw(agents agent_commands deadlines gateways
                                     secrets_ciphertext vms)),
              $f->key('agents', $w->{agent}, 'queue'), 'platform/{p}/gateways',
              'platform/{p}/active', 'platform/{p}/tenants'],
    SMEMBERS => [$f->key('gateways', 'gw1'),
                 $f->key('secrets_ciphertext', $ref, 'bindings')],
    XLEN => [$f->key('events'), 'platform/{p}/audit'],
    LLEN => [$f->key('audit_seals'), $f->key('agent_commands', $id, 'log')],
);
for my $command (sort keys %readable) {
    allows('vmops-inspect', 'yes', [$command, $_]) for @{ $readable{$command} };
}
allows('vmops-inspect', 'no',
       ['HGETALL', $f->key('secrets_ciphertext', $ref, 1)],
       ['HGET', $f->key('secrets_ciphertext', $ref, 1), 'ciphertext'],
       ['HGETALL', $f->key('tokens', 'op')],
       ['ZRANGE', $f->key('tokens'), 0, -1],
       ['HGETALL', $f->key('sessions', 's1')],
       ['GET', $f->key('idempotency', 'i')],
       ['HGETALL', 'platform/{p}/tokens/x'],
       ['HGETALL', $f->key('pairings', uuid())],
       ['HSET', $f->key, 'status', 'active'], ['DEL', $f->key], ['KEYS', '*'],
       ['SCAN', 0], ['DUMP', $f->key], ['MONITOR'],
       ['COPY', $f->key('tokens', 'op'), $f->key('agents', 'x')],
       ['FCALL', 'vmops_tenant_get', 1, $f->key],
       ['FCALL_RO', 'vmops_secret_read', 1, $f->key, 'a', 's', $ref, 1],
       ['EVAL', 'return 1', 0], ['SSUBSCRIBE', $f->key('live')]);

# everything that exists is either readable or meant not to be
my $hidden = qr{/(?:tokens|sessions|pairings|idempotency|rate)(?:/|$)
                |/sec_[0-9a-f]{32}/\d+$}x;
my %type_of = (hash => 'HLEN', zset => 'ZCARD', set => 'SCARD',
               stream => 'XLEN', list => 'LLEN', string => 'GET');
my @wrong = grep {
    my $may = may('vmops-inspect', $type_of{ $f->admin('TYPE', $_) }, $_);
    $may ne ($_ =~ $hidden ? 'no' : 'yes');
} @{ $f->admin('KEYS', '*') };
is "@wrong", '', 'every key that is there is readable exactly if it is meant';

# nobody
my $nobody = VMOps::Redis->new(socket => $f->server->socket);
ok !eval { $nobody->call('PING'); 1 }, 'without a name nothing is answered';
like $@, qr/NOAUTH/, 'as the server says';
ok !eval { $nobody->call('AUTH', 'default', ''); 1 }, 'default is no name';

done_testing;
