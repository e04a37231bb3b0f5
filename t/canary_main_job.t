# A canary in every secret field, through the whole main job: pairing, secrets
# of every kind, orders, rotation, a refused sign-in.  None is seen in any file,
# in the store and its MONITOR, on a socket, or in what processes show; and a
# planted one is found in each of these places, however it is written.

use strict;
use warnings;

use Encode ();
use File::Temp qw(tempdir);
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64 encode_base64url);

use VMOps;
use VMOps::Leaks;
use VMOps::Places;
use VMOps::PVESim;
use VMOps::Process qw(spawn);
use VMOps::Relay;
use VMOps::Site;
use VMOps::WSAgent;

use constant SECONDS => 15;

my $s = VMOps->stack;
my $kept = tempdir('vmops-relay-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my $relay = VMOps::Relay->start(to => '127.0.0.1:' . $s->port,
                                capture => $kept);
# clients and agent come by the relay
$s->node->{url} = 'http://' . $relay->address;

my $home = tempdir('vmops-agent-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my $places = VMOps::Places->watch($s, relay_dir => $kept, homes => [$home]);
my $pve = VMOps::PVESim->start(settings => { auth_delay_ms => 0 });

# the main job; the token of the hypervisor is what it has drawn itself

my $site = VMOps::Site->new($s, tenant => 'acme', pve => $pve, home => $home);
my $agent = $site->agent;
my %secret = (
    'token of Proxmox VE' =>
        VMOps::slurp($pve->token_secret_file) =~ s/\s+\z//r,
);

my $user = 'agent@pve';
$secret{'password of Proxmox VE'} = canary('password of Proxmox VE');
$pve->control('PUT', "users/$user",
              { password => $secret{'password of Proxmox VE'} });
$pve->control('POST', 'acl', { who => $user, path => '/',
                               role => 'Administrator' });
my %entered = (
    proxmox_password   => [$user, $secret{'password of Proxmox VE'}],
    syncthing_api_key  => [undef, $secret{'API key'} = canary('API key')],
    syncthing_password => ['user', $secret{'password'} = canary('password')],
);
my %ref = (proxmox_token => $site->secret_ref);
for my $kind (sort keys %entered) {
    my ($name, $text) = @{ $entered{$kind} };
    $ref{$kind} = $agent->add_secret(kind => $kind, label => $kind,
        host => '127.0.0.1', port => $pve->port, user => $name,
        secret => $text);
}
$secret{'opaque secret'} = canary('opaque secret');
$ref{opaque} = $agent->cli_ok([qw(secret add --kind opaque --label opaque
                                  --stdin)],
    stdin => $secret{'opaque secret'})->{secret_ref};

for my $kind (qw(proxmox_token proxmox_password)) {
    $site->bind($site->vm_uuid, $ref{$kind});
    for my $action (qw(status start stop)) {
        is $site->command($action)->{json}{status}, 'succeeded',
            "$kind, $action";
    }
}

for my $kind (sort keys %ref) {
    next if $kind eq 'proxmox_token';
    my $name = "$kind, rotated";
    $secret{$name} = canary($name);
    $pve->control('PUT', "users/$user", { password => $secret{$name} })
        if $kind eq 'proxmox_password';
    $agent->cli_ok(['secret', 'rotate', $ref{$kind}, '--stdin'],
                   stdin => $secret{$name});
}

# one may have ended before anybody looked at it
wait_for {
    VMOps::slurp($places->file('processes'))
        =~ /secret\0rotate\0\Q$ref{opaque}/
    || !$agent->cli_ok(['secret', 'rotate', $ref{opaque}, '--stdin'],
                       stdin => $secret{'opaque, rotated'});
} SECONDS, 'a command line to be seen';
is $site->command('start')->{json}{status}, 'succeeded', 'after the rotation';
$pve->control('PUT', "users/$user", { password => 'another one' });
is $site->command('stop')->{json}{error}{code}, 'auth_failed',
    'a refused sign-in';
$pve->control('POST', 'tasks/next', { type => 'qmstop', vmid => 100,
    fail => "no such password: $secret{'proxmox_password, rotated'}" });
$pve->control('PUT', "users/$user",
              { password => $secret{'proxmox_password, rotated'} });
is $site->command('stop')->{json}{status}, 'failed',
    'a hypervisor that shows the secret';

# what goes to the server by design, in requests, and no further

my %credential = (
    'token of the tenant'   => $site->token,
    'token of the platform' => $s->platform_token,
    'typed into the API'    => canary('typed into the API'),
);
for my $field (qw(password secret privateKey apiKey)) {
    my $r = $site->rest(POST => '/secrets',
        { json => { $field => $credential{'typed into the API'} } });
    cmp_ok $r->{status}, '>=', 400, "$field in the API is refused";
}

# a code that nobody used on a command line
my $code = $site->rest(POST => '/agents/pairings', {
    json => { name => 'peer', auto_approve => JSON::PP::true } })->{json}{code};
VMOps::WSAgent->new->pair(sub { $s->rest(@_) }, $code);
$credential{'pairing code'} = $code;
$credential{'pairing code, plain'} = $code =~ s/-//gr;

my %text = $places->texts;
for my $place (sort keys %text) {
    cmp_ok length $text{$place}, '>', 1000, "$place: there is something";
    my @found = leaks_in($text{$place}, %secret,
                         $place eq 'HTTP' ? () : %credential);
    is_deeply \@found, [], "$place: 0 of " . keys %secret;
}

# it was looked where it happened

like $text{processes}, qr/secret\0rotate\0\Q$ref{opaque}/,
    'the command line was seen';
like $text{messages}, qr/"t":"cmd".*"t":"result.ok"/s, 'and the messages';
like $text{messages}, qr/"status":"succeeded"/, 'and what is inside of them';
like $text{MONITOR}, qr/\Q$ref{opaque}/, 'and the calls of the store';
my @leaks = leaks_in($text{HTTP}, %credential);
cmp_ok scalar @leaks, '>', 0, 'control: a token goes by HTTP';

# the control: a leak in each place, in each form

my $planted = plantable();
my %form = forms_of($planted);
plant($_, $form{$_}) for sort keys %form;
wait_for {
    my $n = () = VMOps::slurp($places->file('processes')) =~ /planted-\d+/g;
    $n >= keys(%form) - 1;
} SECONDS, 'the processes to be seen';
%text = $places->texts;
for my $place (sort keys %text) {
    my %found = map { /\((.*)\)$/ ? ($1 => 1) : () }
        leaks_in($text{$place}, planted => $planted);

    # no argument has a zero byte
    my @forms = grep { $place ne 'processes' || $_ ne 'UTF-16LE' }
        sort keys %form;
    is_deeply [grep { $found{$_} } @forms], \@forms,
        "control: in $place @{[ scalar @forms ]} of @{[ scalar @forms ]} forms"
        . ' are found';
}

done_testing;

# a secret of which no two forms are the same
sub plantable {
    for (1 .. 10_000) {
        my $text = join '', '"\\/&~?>', map { chr 33 + int rand 94 } 1 .. 24;
        my %forms = forms_of($text);
        my %same = map { $_ => 1 } values %forms;
        return $text if keys %same == keys %forms;
    }
    die 'none found';
}

# by other means than the search
sub forms_of {
    my ($text) = @_;
    my %forms = (
        'raw'         => $text,
        'hex'         => unpack('H*', $text),
        'URL-encoded' => $text =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ger,
        'JSON'        => $text =~ s/(["\\])/\\$1/gr,
        'UTF-16LE'    => Encode::encode('UTF-16LE', $text),
    );
    for my $n (0 .. 2) {
        my $longer = 'x' x $n . $text . 'y' x 3;
        $forms{"base64 +$n"} = encode_base64($longer, '');
        $forms{"base64url +$n"} = encode_base64url($longer);
    }
    return %forms;
}

my $plants;

sub plant {
    my ($name, $bytes) = @_;
    my $n = ++$plants;
    write_file($s->dir . "/node1/planted-$n.log", $bytes);
    write_file("$home/planted-$n.log", $bytes);
    $s->redis('SET', "planted-$n", $bytes);
    $s->rest(POST => '/nothing', { body => $bytes });
    message($bytes);
    return if $name eq 'UTF-16LE';
    spawn([$^X, '-e', 'select undef, undef, undef, 3', "planted-$n", $bytes],
          '/dev/null', env => { PLANTED => $bytes });
}

# as an agent's first message, by the relay
sub message {
    my ($bytes) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $relay->address,
                                       Timeout => SECONDS) or die "$@\n";
    print $socket join "\r\n", 'GET /ws/v1/agents/connect HTTP/1.1',
        'Host: ' . $relay->address, 'Upgrade: websocket', 'Connection: Upgrade',
        'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Protocol: vmops.agent.v1',
        'Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==', '', '';
    sysread $socket, my ($answer), 4096;
    print $socket VMOps::WSAgent::raw_frame(payload => $bytes);
    $socket->flush;
    1 while sysread $socket, $answer, 4096;
}

sub write_file {
    my ($path, $bytes) = @_;
    open my $fh, '>', $path or die "$path: $!\n";
    print $fh $bytes;
    close $fh or die "$path: $!\n";
}
