package PVE::Sim::Journal;

# Append-only file of JSON lines.  A line is one write, so that a kill at any
# moment leaves whole lines only; with sync it is on the disk before add()
# returns.

use Mojo::Base -base, -signatures;

use Fcntl qw(O_APPEND O_CREAT O_WRONLY);
use IO::Handle ();
use Time::HiRes ();

use PVE::Sim::Output qw(to_json);

has 'path';
has sync   => 0;
has handle => sub ($self) {
    sysopen my $fh, $self->path, O_WRONLY | O_APPEND | O_CREAT, 0600
        or die $self->path . ": $!\n";
    return $fh;
};

sub add ($self, $record) {
    my $line = to_json({at => int(Time::HiRes::time() * 1000), %$record})
        . "\n";
    my $n = syswrite $self->handle, $line;
    die $self->path . ": $!\n" if !defined $n || $n != length $line;
    $self->handle->sync if $self->sync;
}

1;
