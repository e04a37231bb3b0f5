# `journal` says of each order what it was, which guest it was about, and how it
# ended.

use strict;
use warnings;

use VMOps;
use VMOps::Process qw(run_command);
use VMOps::Site;

my $s = VMOps->stack;
my $site = VMOps::Site->new($s, tenant => 'acme');
my $agent = $site->agent;

my $list = $site->command('list', json => { secret_ref => $site->secret_ref })->{json};
my $start = $site->command('start')->{json};
is $start->{status}, 'succeeded', 'a guest is started';
my $again = $site->command('start')->{json};
is $again->{status}, 'failed', 'and cannot be once more';

my %items = map { $_->{command_id} => $_ } @{ $agent->cli_ok(['journal'])->{items} };
is_deeply $items{ $start->{command_id} }{target},
    { vm_uuid => $site->vm_uuid, guest => 'qemu', node => 'pve1', vmid => 100 },
    'which guest it was';
is $items{ $list->{command_id} }{target}, undef, 'or none';

my $text = run_command($agent->command('journal'))->{out};
my $time = qr/^\d{4}-\d\d-\d\dT[\d:.]+Z/m;
like $text, qr/$time  $start->{command_id}  proxmox start qemu\/100  succeeded$/m,
    'for people, too';
like $text, qr/$time  $again->{command_id}  proxmox start qemu\/100  failed \w+$/m,
    'with the reason';
like $text, qr/$time  $list->{command_id}  proxmox list  succeeded$/m, 'of one about none';

done_testing;
