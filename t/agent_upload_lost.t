# An upload whose answer was lost: nobody knows whether the server has it, and
# whichever it was, the secret can be used and entered again.
# tags: asan tsan

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;

use VMOps;
use VMOps::PVESim;
use VMOps::Site;

my $s = VMOps->stack;
my ($port, $lose) = way_between($s->port);

my $agent = $s->agent(tenant => $s->tenant('acme'));
{
    # the agent knows the way between as its server
    no warnings 'redefine';
    local *VMOps::url = sub { "http://127.0.0.1:$port" };
    $agent->pair;
}
my $pve = VMOps::PVESim->start;
my $secret = VMOps::slurp($pve->token_secret_file) =~ s/\s+\z//r;
my %endpoint = (host => '127.0.0.1', port => $pve->port,
                user => $pve->token_id, secret => $secret);

# one lost answer is made up for by asking again

$lose->(1);
my $ref = $agent->add_secret(%endpoint);
is meta()->{version}, 1, 'an upload whose first answer is lost succeeds';
$lose->(1);
is rotate()->{json}{version}, 2, 'a rotation, too';
is meta()->{version}, 2, 'as the server says';

# all answers are lost

$lose->(99);
my $r = rotate();
is $r->{exit}, 5, 'when all answers are lost it fails: exit 5';
is meta()->{version}, 3, 'though the server has it';
$lose->(0);
is listed()->{version}, 2, 'the agent does not know that';
is rotate()->{json}{version}, 4, 'the next one finds that out';
is meta()->{version}, 4, 'and the server has it';

# all requests are lost

$lose->(-1);
is rotate()->{exit}, 5, 'when no request arrives it fails: exit 5';
is meta()->{version}, 4, 'and the server has nothing new';
$lose->(0);
is rotate()->{json}{version}, 5, 'the next one finds that out, too';

# and what it is all for

$agent->start;
my $list = $agent->rest(POST => '/vm-ops/proxmox/list', {
    json => { secret_ref => $ref, params => {} },
    headers => { Prefer => 'wait=20' } });
is $list->{json}{status}, 'succeeded', 'the secret opens';

done_testing;

sub rotate {
    return $agent->cli(['secret', 'rotate', $ref, '--stdin'],
                       stdin => "$secret\n");
}

sub meta { return $agent->rest(GET => "/secrets/$ref/meta")->{json} }

sub listed { return $agent->cli_ok(['secret', 'list'])->{items}[0] }

# A TCP way to a port of this machine: its own port, and a function that says
# how many answers are lost from now on (-1: the requests are).
sub way_between {
    my ($to) = @_;
    my $listen = IO::Socket::INET->new(Listen => 20,
                                       LocalAddr => '127.0.0.1')
        // die "listen: $!";
    my $file = $s->dir . '/lose';
    my $set = sub {
        open my $fh, '>', "$file.new" or die "$file: $!";
        print $fh $_[0];
        close $fh;
        rename "$file.new", $file;
    };
    $set->(0);
    my $parent = $$;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        $SIG{TERM} = 'DEFAULT';
        while (getppid == $parent) {
            next if !IO::Select->new($listen)->can_read(0.2);
            my $in = $listen->accept or next;
            next if fork;
            carry($in, $to, $file, $set);
            POSIX::_exit(0);
        }
        POSIX::_exit(0);
    }
    $SIG{CHLD} = 'DEFAULT';
    return ($listen->sockport, $set);
}

sub carry {
    my ($in, $to, $file, $set) = @_;
    my $lose = VMOps::slurp($file);
    return if $lose < 0;
    my $out = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                    PeerPort => $to) or return;
    my $both = IO::Select->new($in, $out);
    while (my @ready = $both->can_read) {
        for my $from (@ready) {
            sysread $from, my $data, 65536 or return;
            if ($from == $out && $lose > 0) {
                $set->($lose - 1);
                return;
            }
            syswrite $from == $in ? $out : $in, $data;
        }
    }
}
