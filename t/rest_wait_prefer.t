# Prefer: wait as RFC 7240 writes it: its forms, its neighbours, its first
# occurrence; and what is none of it is as if it were not there.
# tags: asan

use strict;
use warnings;

use VMOps;
use VMOps::Rest;

my $s = VMOps->stack;
my $t = VMOps::Rest->new($s);

# of a command that ends at once: how long it says it would have waited
sub applied {
    my (%headers) = @_;
    my $w = $t->begin(POST => '/vm-ops/proxmox/start',
                      json => { vm_uuid => $t->vm }, headers => \%headers);
    $t->agent->serve;
    my $r = $w->answer(10);
    my $applied = $r->{headers}{'preference-applied'};
    is $r->{status}, defined $applied ? 200 : 202,
        'and the status says the same';
    return $applied;
}

for my $case (
    ['wait=30'               => 30],
    ['WAIT=30'               => 30],
    ['wait = 30'             => 30],
    ["wait=\t30"             => 30],
    ['wait="30"'             => 30],
    ['wait=030'              => 30],
    ['wait=30; foo=bar'      => 30],
    ['wait=30;wait=1'        => 30],
    ['respond-async, wait=30'          => 30],
    [',, wait=30 ,'                    => 30],
    ['foo="a, wait=9 \\", ", wait=30'  => 30],
    ['handling=lenient;x="y,z",wait=30' => 30],
    ['wait=61'               => 60],
    ['wait=4294967297'       => 60],
    ['wait=' . '9' x 100     => 60],
    ['wait=30, wait=40'      => 30],
    ['wait=0'                => undef],
    ['wait=0, wait=30'       => undef],
    ['wait=x, wait=30'       => undef],
    ['wait'                  => undef],
    ['wait='                 => undef],
    ['wait=;30'              => undef],
    ['wait="30'              => undef],
    ['wait=-30'              => undef],
    ['wait=30.5'             => undef],
    ['wait=30 s'             => undef],
    ['waiting=30'            => undef],
    ['await=30'              => undef],
    ['foo="wait=30"'         => undef],
    ['foo; wait=30'          => undef],
    ['wait:30'               => undef],
    [''                      => undef],
) {
    my ($prefer, $seconds) = @$case;
    is applied(Prefer => $prefer), $seconds ? "wait=$seconds" : undef,
        "Prefer: $prefer";
}

is applied(PREFER => 'foo', Prefer => 'wait=30'), 'wait=30', 'a second header';
is applied(PREFER => 'wait=20', Prefer => 'wait=30'), 'wait=20',
    'the first of two';

done_testing;
