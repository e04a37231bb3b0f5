# The API over HTTP/2, as browsers speak it: bodies, refusals before and within
# them, waits, event streams, and streams that are reset.
# tags: asan

use strict;
use warnings;

use File::Temp qw(tempdir);
use POSIX ();

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack(tls => 1);
$s->speak_http2;

my $t = VMOps::Rest->new($s);
my $dir = tempdir('vmops-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
open my $fh, '>', "$dir/owner" or die;
print $fh 'Authorization: Bearer ' . $t->token . "\n";
close $fh or die;

my @json = ('-H', 'Content-Type: application/json');

# status, and the rest of the answer
sub curl {
    my ($path, @args) = @_;
    my @token = grep({ /^Authorization:/ } @args) ? ()
        : ('-H', "\@$dir/owner");
    my $out = run_command(['curl', '-s', '-i', '--http2', '-m', 20, '--cacert',
                           $s->info->{ca_file}, @token, @args,
                           $s->url . "/api/v1$path"])->{out};
    return $out =~ /^HTTP\/2 (\d+)/ ? ($1, $out) : (0, $out);
}

# a body from a file of this size
sub body_of {
    my ($size) = @_;
    my $file = "$dir/body";
    open my $out, '>', $file or die;
    print $out '{"name":"' . 'x' x ($size - 11) . '"}';
    close $out or die;
    return ('--data-binary', "\@$file", @json);
}

is +(curl('/vms'))[0], 200, 'a call';
is +(curl('/nothing'))[0], 404, 'a problem';
my ($status, $answer) = curl('/tokens', '-d',
                             '{"name":"x","role":"viewer"}', @json);
canary('made', $answer =~ /"token":"(\w+)"/ ? $1 : 'none at all');
is $status, 201, 'a body';
is +(curl('/tokens', body_of(65536)))[0], 422, 'a body of 64 KiB is read';
is +(curl('/tokens', body_of(65537)))[0], 413, 'one byte more is not';
is +(curl('/tokens', body_of(500000)))[0], 413, 'nor much more';
is +(curl('/tokens', body_of(60000), '-H', 'Authorization: Bearer x'))[0], 401,
    'nor anybody\'s';

my $pid = fork // die;
if (!$pid) {
    $t->agent->serve;
    POSIX::_exit(0);
}
($status, $answer) = curl('/vm-ops/proxmox/start', '-d',
    '{"vm_uuid":"' . $t->vm . '"}', @json, '-H', 'Prefer: wait=10');
waitpid $pid, 0;
is $status, 200, 'a wait';
my ($id) = $answer =~ /"command_id":"([^"]+)"/;
($status, $answer) = curl("/vm-ops/commands/$id/events");
is $status, 200, 'an event stream';
like $answer, qr/event: done\ndata: .*"succeeded"/, 'to its end';

# streams that the client resets
my ($worker) = $s->workers;
my @gone;
for my $i (1 .. 10) {
    my $child = fork // die;
    if (!$child) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        exec 'curl', '-s', '--http2', '-m', '0.5', '--cacert',
            $s->info->{ca_file}, '-H', "\@$dir/owner", '-Z',
            map { $s->url . '/api/v1/events' } 1 .. 5;
    }
    push @gone, $child;
}
waitpid $_, 0 for @gone;
is +(curl('/vms'))[0], 200, 'it serves after streams were reset';
is_deeply [$s->workers], [$worker], 'the worker is the same';

done_testing;
