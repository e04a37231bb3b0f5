package VMOps::Mounts;

# File systems that a test may fill and make read-only.  To be used before VMOps:
# the test runs again in a mount namespace of its own, which takes all of them
# along when it ends, however it ends.
#
#   use VMOps::Mounts;
#   my $disk = VMOps::Mounts->small('4m');     # of that size, at $disk->dir
#   $disk->fill;  $disk->fill(8192);           # but so many bytes are left
#   $disk->free;
#   $disk->read_only;  $disk->writable;        # while no file is open
#   $disk->cover;  $disk->uncover;

use strict;
use warnings;

use Carp qw(croak);
use File::Temp qw(tempdir);

use constant STEP => 4096;

my @disks;

# In a chroot that is no mount point what is mounted cannot be kept from others;
# then it is seen there until the test ends.  Without the right to mount, a clear
# word that it was not tested.
sub import {
    return if $^C || $ENV{VMOPS_MOUNTS};
    my @unshare = ('unshare', ($> ? qw(--user --map-root-user) : ()), '--mount');
    for my $propagation (qw(private unchanged)) {
        my @within = (@unshare, '--propagation', $propagation);
        next if system(join ' ', @within, 'true 2>/dev/null') != 0;
        $ENV{VMOPS_MOUNTS} = 1;
        exec @within, $^X, (map { "-I$_" } @INC), $0, @ARGV
            or croak "unshare: $!";
    }
    print STDERR "# A FULL DISK IS NOT TESTED HERE: no mount namespaces\n";
    print "1..0 # SKIP no mount namespaces\n";
    exit 0;
}

sub small {
    my ($class, $size) = @_;
    my $dir = tempdir('vmops-disk-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { dir => $dir, owner => $$ }, $class;
    $self->mount('-t', 'tmpfs', '-o', "size=$size", 'none');
    push @disks, $self;
    return $self;
}

sub dir { $_[0]{dir} }

sub mount {
    my ($self, @args) = @_;
    system('mount', @args, $self->{dir}) == 0
        or croak "mount @args $self->{dir}: $?";
}

sub ballast { "$_[0]{dir}/ballast" }

sub fill {
    my ($self, $left) = @_;
    open my $fh, '>', $self->ballast or croak $self->ballast . ": $!";
    my $bytes = "\0" x STEP;
    1 while (syswrite $fh, $bytes) // 0;
    my $size = -s $fh;
    truncate $fh, $size - ($left // 0) or croak "truncate: $!";
}

sub free {
    my ($self) = @_;
    unlink $self->ballast or croak $self->ballast . ": $!";
}

sub read_only { $_[0]->mount('-o', 'remount,ro') }
sub writable  { $_[0]->mount('-o', 'remount,rw') }

# the same while files are open: they can still be written, new ones not made
sub cover {
    my ($self) = @_;
    $self->mount('--bind', $self->{dir});
    $self->mount('-o', 'remount,bind,ro');
}

sub uncover {
    my ($self) = @_;
    system('umount', $self->{dir}) == 0 or croak "umount $self->{dir}: $?";
}

# before its folder is removed
END {
    local $?;
    for my $dir (map { $_->{dir} } grep { $_->{owner} == $$ } @disks) {
        1 while system("umount -l $dir 2>/dev/null") == 0;
    }
}

1;
