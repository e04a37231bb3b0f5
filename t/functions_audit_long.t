# Whatever an act changes, its entry can be sealed: of a long value it has the
# beginning.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;

# as many labels, and as long ones, as a VM may have
my %labels = (
    plain => join(',', map { sprintf '"%063d":"%s"', $_, 'v' x 255 } 1 .. 32),
    escaped => join(',', map { sprintf '"%02d":"%s"', $_, '\\u0001' x 255 }
                    1 .. 32),
    'of many bytes' => join(',', map { sprintf '"%02d":"%s"', $_,
                                       "\xf0\x9f\x98\x80" x 63 } 1 .. 32),
);

my $mac = "mac-$w->{vm}";
for my $what (sort keys %labels) {
    my $next = "mac of $what";
    my ($vm) = $f->ok_call(vm_set => {
        actor => 'token:1', vm_uuid => $w->{vm}, mac_before => $mac,
        mac => $next, field_value => ['labels', "{$labels{$what}}",
                                      'name', 'db'] });
    is hash($vm)->{labels}, "{$labels{$what}}", "labels $what: stored";
    $mac = $next;
    my $n = $f->admin('HGET', $f->key, 'audit');
    my (undef, undef, $list) = $f->ok_call('audit_next');
    is $list->[-1][0], $n, 'the entry can be sealed';
    my $entry = eval { JSON::PP->new->utf8->decode($list->[-1][2]) };
    is $@, '', 'it is JSON';
    is_deeply [@$entry{qw(event id name)}], ['vm.changed', $w->{vm}, 'db'],
        'it says what was done';
    like $entry->{labels}, qr/\A\{"0.*\x{2026}\z/s,
        'and how what is long begins';
}

# one that has just the length is not cut
my $path = '/' . 'p' x 511;
$f->ok_call(legacy_noted => { actor => 'token:1', method => 'POST',
                              path => $path, status => 200 });
my (undef, undef, $list) = $f->ok_call('audit_next');
is decode_json($list->[-1][2])->{path}, $path, 'what is not too long is whole';

done_testing;
