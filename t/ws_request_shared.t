# A request that is not over with its answer cannot be given to an agent: nginx
# would take the connection back when it ends.  A mirrored handshake gets no
# session, and what follows an answer is no configuration.  One that came by way
# of another location is as good as any.
# tags: asan

use strict;
use warnings;

use File::Temp qw(tempdir);

use VMOps;
use VMOps::Backend qw(plain);
use VMOps::Gateway;
use VMOps::WSAgent;

my $backend = VMOps::Backend->start(sub { [plain('{}')] });
my $address = $backend->address;
my $conf = tempdir('vmops-XXXXXXXX', TMPDIR => 1, CLEANUP => 1) . '/more.conf';

sub with { VMOps::Gateway::write_file($conf, $_[0]) }

with('mirror /mirror;');
my $g = VMOps::Gateway->start(directives => "include $conf;", server => <<"EOT");
location = /mirror { internal; proxy_pass http://$address; }
location = /by/error { error_page 404 = \@agents; return 404; }
location = /by/file { try_files /none \@agents; }
location \@agents { agents_ws; }
EOT
my $a = $g->agent;
my @workers = $g->workers;

for my $n (1 .. 3) {
    $a->handshake;
    wait_for { $a->fill(0.1, 1); $a->{eof} } 5, 'the end';
    pass 'a mirrored handshake has an end, and no session';
}
my @seen;
wait_for { @seen = (@seen, $backend->requests); @seen == 3 } 5, 'the mirror';
my $said = () = $g->error_log =~ /"agents_ws" needs a request that ends/g;
is $said, 3, 'it is said why';
is_deeply [$g->workers], \@workers, 'the worker is the same';

for my $path ('/by/error', '/by/file') {
    $g->online(handshake => { path => $path });
    is $a->close(1000), 1000, "$path: served";
}

with('mirror off;');
$g->reload;
wait_for { join(' ', $g->workers) ne "@workers" && $g->workers == 1 } 10,
    'the end of the old worker';
$g->online;
is $a->close(1000), 1000, 'not mirrored it is served';

for my $text ('post_action /mirror;',
              'if ($http_x) { post_action /mirror; }') {
    with($text);
    my $run = run_command([VMOps::Gateway::nginx(), '-t', '-p', $g->dir,
        '-c', $g->dir . '/nginx.conf', '-e', $g->dir . '/test.out']);
    isnt $run->{exit}, 0, "not configured: $text";
    like $run->{err}, qr/works with neither .* nor "post_action"/, 'and why';
}
VMOps->allow_log(qr/\[emerg\] .* "agents_ws" in location/);

done_testing;
