# A hypervisor that shows the secret in its own words, in any encoding: the
# agent sends none of it on, and says that it kept something back.
# tags: asan tsan

use strict;
use warnings;

use MIME::Base64 qw(encode_base64 encode_base64url);

use VMOps;
use VMOps::Leaks;
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my ($agent, $pve) = ($site->agent, $site->pve);

# a password, as it can have all characters
my $secret = canary('leaky password');
my $user = 'agent@pve';
$pve->control('PUT', "users/$user", { password => $secret });
$pve->control('POST', 'acl', { who => $user, path => '/',
                               role => 'Administrator' });
$site->bind($site->vm_uuid,
            $agent->add_secret(kind => 'proxmox_password', label => 'x',
                               host => '127.0.0.1', port => $pve->port,
                               user => $user, secret => $secret));

(my $json = $secret) =~ s{(["\\])}{\\$1}g;
(my $slashes = $json) =~ s{/}{\\/}g;
my %form = (
    'raw'                      => $secret,
    'base64'                   => encode_base64($secret, ''),
    'base64 after one byte'    => encode_base64("x$secret", ''),
    'base64 after two bytes'   => encode_base64("xy$secret", ''),
    'base64url'                => encode_base64url($secret),
    'hex'                      => unpack('H*', $secret),
    'URL'                      => $secret =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ger,
    'JSON'                     => $json,
    'JSON with \\/'            => $slashes,
);

my @names = sort keys %form;
$pve->control('POST', 'tasks/next', { type => 'qmstart', vmid => 100,
    log => ['before', (map { "leaks: $form{$_}!" } @names), 'after'] });
my $end = $site->command('start')->{json};
is $end->{status}, 'succeeded', 'a task that shows its secret succeeds';
my @lines = map { $_->{line} } @{ $end->{log} };
is scalar(grep { $_ eq 'before' || $_ eq 'after' } @lines), 2,
    'its other lines are told';
is scalar(grep { $_ eq '[leak_blocked]' } @lines), scalar @names,
    scalar(@names) . ' forms of ' . @names . ' are kept back';
is_deeply [leaks_in(join("\n", @lines), secret => $secret)], [],
    'none of it is in the log';

# in a result that would be sent

$pve->control('PUT', 'guests/100', { name => "web-$secret" });
$end = $site->command('status')->{json};
is $end->{error}{code}, 'leak_blocked', 'a result with it is kept back';
is $end->{result}, undef, 'whole';
$pve->control('PUT', 'guests/100', { name => 'web' });
is $site->command('status')->{json}{result}{name}, 'web',
    'without it, it is told again';

done_testing;
