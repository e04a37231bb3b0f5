package VMOps::Files;

# Files and programs, with an error text for whatever goes wrong.

use strict;
use warnings;

use Exporter 'import';
use Fcntl;
use POSIX ();

our @EXPORT = qw(own make_dir read_file write_file tail run_quiet);

use constant LOG_TAIL => 15;    # lines

# sets the mode and, when ids are given, the owner
sub own {
    my ($path, $mode, $uid, $gid) = @_;
    chmod $mode, $path or die "cannot change the mode of $path: $!\n";
    return unless defined $uid;
    chown $uid, $gid, $path or die "cannot change the owner of $path: $!\n";
}

sub make_dir {
    my ($path, $mode, @ids) = @_;
    -d $path or mkdir $path, 0700 or die "cannot make $path: $!\n";
    own($path, $mode, @ids);
}

sub read_file {
    my ($path) = @_;
    open my $fh, '<', $path or die "cannot read $path: $!\n";
    local $/;
    return scalar <$fh> // '';
}

# at once whole, and never readable by others
sub write_file {
    my ($path, $text, @ids) = @_;
    unlink "$path.new";
    sysopen my $fh, "$path.new", O_WRONLY | O_CREAT | O_EXCL, 0600
        or die "cannot write $path: $!\n";
    print $fh $text and close $fh or die "cannot write $path: $!\n";
    own("$path.new", 0600, @ids);
    rename "$path.new", $path or die "cannot write $path: $!\n";
}

# the last lines of a log, with a heading; "" when there are none
sub tail {
    my ($path) = @_;
    open my $fh, '<', $path or return '';
    my @lines = <$fh>;
    splice @lines, 0, -LOG_TAIL if @lines > LOG_TAIL;
    return @lines ? "\nLast lines of $path:\n" . join('', @lines) : '';
}

# runs a program: (status, all that it printed)
sub run_quiet {
    my (@command) = @_;
    my $pid = open(my $out, '-|') // die "cannot fork: $!\n";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    my $text = do { local $/; <$out> } // '';
    close $out;
    return ($?, $text);
}

1;
