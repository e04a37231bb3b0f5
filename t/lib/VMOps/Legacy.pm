package VMOps::Legacy;

# A stack with a legacy backend behind conf/legacy.conf.
#
#   my $l = VMOps::Legacy->new(sub { [plain('{}')] });   # as VMOps::Backend
#   $l->stack; $l->backend;

use strict;
use warnings;

use VMOps ();
use VMOps::Backend;

# answer, and what VMOps->stack takes; address => of a backend of one's own
sub new {
    my ($class, $answer, %opt) = @_;
    my $address = delete $opt{address};
    my $self = bless {}, $class;
    $self->{backend} = VMOps::Backend->start($answer) if $answer;
    $self->{stack} = my $s = VMOps->stack(%opt);
    for my $node ($s->nodes) {
        my $path = $node->{conf} =~ s/nginx\.conf$/http.d\/legacy.conf/r;
        open my $fh, '>', $path or die "cannot write $path: $!\n";
        print $fh 'upstream vmops_legacy { server ',
            $address // $self->{backend}->address, "; }\n";
        close $fh or die "cannot write $path: $!\n";
    }
    $s->add_server_conf('include ' . VMOps::top() . "/conf/legacy.conf;\n");
    return $self;
}

sub stack   { $_[0]{stack} }
sub backend { $_[0]{backend} }

1;
