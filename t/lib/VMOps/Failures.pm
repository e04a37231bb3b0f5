package VMOps::Failures;

# prove's own output, and before its summary, once more, what the tests that
# failed have said: among hundreds of files nobody finds it.  t/run-test leaves
# it in a file that VMOPS_FAILURES names.
#
#   prove --formatter VMOps::Failures

use strict;
use warnings;

use parent 'TAP::Formatter::Console';

use File::Temp;

sub prepare {
    my ($self, @tests) = @_;
    $self->{vmops_failures} = File::Temp->new;
    $ENV{VMOPS_FAILURES} = $self->{vmops_failures}->filename;
    return $self->SUPER::prepare(@tests);
}

sub summary {
    my ($self, @how) = @_;
    seek $self->{vmops_failures}, 0, 0;
    $self->_output($_) while defined($_ = readline $self->{vmops_failures});
    return $self->SUPER::summary(@how);
}

1;
