# Sockets that are not ready, by IPv6: those of one network are counted as one
# address, or whoever has a network would have them all.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Gateway;
use VMOps::WSAgent;

my $g = VMOps::Gateway->start(listen => ' proxy_protocol', http => <<'EOT');
set_real_ip_from  127.0.0.1;
real_ip_header    proxy_protocol;
EOT

my @open;

# a handshake that comes from there, and waits; its status
sub from {
    my ($address) = @_;
    my $a = $g->make_stranger;
    my $family = $address =~ /:/ ? 'TCP6' : 'TCP4';
    my $local = $address =~ /:/ ? '::1' : '127.0.0.1';
    $a->open_socket;
    $a->write("PROXY $family $address $local 1025 443\r\n" . $a->request);
    push @open, $a;
    return $a->response->{status};
}

sub status_of { join ' ', sort map { from($_) } @_ }

is status_of(map { "2001:db8:0:1:$_\::1" } 1 .. 20), join(' ', (101) x 20),
    '20 of a network';
is from('2001:db8:0:1:ffff::1'), 429, 'the 21st, of another address in it';
is from('2001:db8:0:2::1'), 101, 'another network comes in';

is status_of(map { "::ffff:192.0.2.$_" } 1 .. 21), join(' ', (101) x 21),
    'IPv4 addresses that are written as IPv6 are not one network';
is status_of(('192.0.2.1') x 19), join(' ', (101) x 19), 'each is that address';
is from('192.0.2.1'), 429, 'with what came from it as IPv4';

done_testing;
