package PVE::Sim::Output;

# How text leaves the simulator.

use Mojo::Base -strict, -signatures;

use Exporter   qw(import);
use Mojo::JSON qw(encode_json);

our @EXPORT_OK = qw(to_json write_file);

# Proxmox VE leaves a slash as it is; Mojo escapes each one.
sub to_json ($value) {
    return encode_json($value) =~ s{\\/}{/}gr;
}

# A reader sees the old content or the new one, never a part.
sub write_file ($file, $text) {
    open my $fh, '>:raw', "$file.new" or die "$file.new: $!\n";
    print {$fh} $text                 or die "$file.new: $!\n";
    close $fh                         or die "$file.new: $!\n";
    rename "$file.new", $file         or die "$file: $!\n";
}

1;
