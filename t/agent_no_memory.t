# Memory that is missing at any point of a command, or of a start that has to
# end or follow what was left: an order that is in the journal ends by a signed
# result, and nothing is done twice; one that is not is refused.  Only an agent
# that lacks what it connects with ends, and says so: the next start goes on.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::FakeServer;
use VMOps::PVESim;

use constant { POINTS => 48, LEFT => 12, LONG => 5 };

my $server = VMOps::FakeServer->new;
my $agent = VMOps::FakeServer::Client->new($server);
my $pve = VMOps::PVESim->start;
$pve->control('PUT', 'settings', { auth_delay_ms => 0 });
VMOps->watch_log($agent->home);
$agent->pair;
my $ref = $agent->add_secret($pve);

my $file = $agent->home . '/nomem';
$ENV{VMOPS_AGENT} = VMOps::built('t/agent/vmops-agent-hooked');
$ENV{VMOPS_TEST_NOMEM} = $file;

# what a library loses when it is refused memory is not looked at here
$ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} // (), 'detect_leaks=0';
$agent->start;

# before it is in the journal

# other threads ask for memory, too: it need not be the order that is refused it
my ($order, $ack);
for my $point (map { 1 .. 3 } 1 .. 5) {
    last if $ack && $point == 1;
    ready();
    my $done = requests();
    refuse("before $point $point");
    $order = order();
    $server->send_order($order);
    my ($end) = ended($order, qw(ack result));
    if (($end->{status} // '') ne 'rejected') {
        $server->result($order->{id}) if $end->{t} eq 'ack';
        next;
    }
    $ack = $end;
    is_deeply [journal($order)], [], "refused at $point: not in the journal";
    is requests(), $done, 'and not done';
}
is "$ack->{status} $ack->{code}", 'rejected internal', 'the server is told';
is carried_out(), 'succeeded', 'the next order is carried out';

# after that

my %ends;
for my $point (1 .. POINTS) {
    $ends{ at("after $point $point") }++;
}
at("after 1 " . LONG);
diag join ', ', map { "$ends{$_} $_" } sort keys %ends;
cmp_ok $ends{'failed internal'} // 0, '>', 0, 'some of them matter';
is carried_out(), 'succeeded', 'and then all is as before';

# what a start finds: not begun, and a task

for my $what (qw(recover resume)) {
    my $die = $what eq 'recover' ? 'after journal_intake'
                                 : 'after journal_followed';
    for my $point (1 .. LEFT) {
        $agent->stop;
        {
            local $ENV{VMOPS_TEST_DIE} = $die;
            $agent->start;
        }
        ready();
        $order = order();
        $server->send_order($order);
        $agent->wait_exit;
        refuse("$what $point $point");
        if (!$agent->try_start) {
            like VMOps::slurp($agent->output), qr/too little memory.*\(internal\)/,
                "$what, $point: it ended, and said so";
            $agent->start;
        }
        my $result = $server->result($order->{id});
        like join(' ', $result->{status}, $result->{error}{code} // ()),
            $what eq 'recover' ? qr/^failed agent_restarted$/
                               : qr/^(?:succeeded|indeterminate internal)$/,
            "$what, $point: its end";
        unlink $file;
    }
}
is carried_out(), 'succeeded', 'and then all is as before';

done_testing;

sub order {
    return $server->order(
        target => { vm_uuid => VMOps::FakeServer::new_id(), guest => 'qemu',
                    node => 'pve1', vmid => 100 },
        secrets => [{ ref => $ref, version => 1, family => 'proxmox' }]);
}

sub requests {
    return scalar(my @begun = $pve->effects(vmid => 100, event => 'request'));
}

# what was done before has come to its end
sub ready {
    $server->until(sub { !@{ $pve->control('GET', 'state')->{running} } },
                   'no task');
    $pve->control('PUT', 'guests/100', { status => 'stopped' });
}

# one order, of which something is refused; what it comes to
sub at {
    my ($point) = @_;
    ready();
    my $before = requests();
    refuse($point);
    my $order = order();
    $server->send_order($order);
    my $result = $server->result($order->{id});
    my $begun = requests() - $before;
    ok $begun == 1 || !$begun && $result->{status} ne 'succeeded',
        "$point: $result->{status}, done $begun times";
    ok !-e $file, 'it was refused';
    return join ' ', $result->{status}, $result->{error}{code} // ();
}

sub carried_out {
    ready();
    my $order = order();
    $server->send_order($order);
    return $server->result($order->{id})->{status};
}

# from the next such moment on
sub refuse {
    my ($what) = @_;
    open my $fh, '>', "$file.new" or die "$file.new: $!";
    print $fh $what;
    close $fh;
    rename "$file.new", $file or die "$file: $!";
}

# the first message of these types about an order
sub ended {
    my ($order, @types) = @_;
    my $found;
    $server->until(sub {
        ($found) = grep { my $m = $_; ($m->{id} // '') eq $order->{id}
                          && grep { $m->{t} eq $_ } @types }
            @{ $server->{messages} };
        return $found || !$server->{online};
    }, 'its end');
    return $found // { t => 'result' };
}

sub journal {
    my ($order) = @_;
    return grep { $_->{command_id} eq $order->{id} }
        @{ $agent->cli(['journal'])->{items} };
}
