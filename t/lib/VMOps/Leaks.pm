package VMOps::Leaks;

# Finds a secret in a text however it is written: raw, base64 and base64url in
# the three alignments, hex, URL-encoded, JSON-escaped, UTF-16LE.

use strict;
use warnings;

use Carp qw(croak);
use Encode ();
use Exporter 'import';
use JSON::PP;
use MIME::Base64 qw(encode_base64);

our @EXPORT = qw(leaks_in secret_forms);

# form => bytes to look for
sub secret_forms {
    my ($secret) = @_;
    croak 'there is no secret to look for' unless length($secret // '');
    my %form = (
        'raw'         => $secret,
        'hex'         => unpack('H*', $secret),
        'URL-encoded' => $secret =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger,
        'JSON'        => json_escaped($secret),
        'JSON, \\/'   => json_escaped($secret) =~ s{/}{\\/}gr,
        'UTF-16LE'    => Encode::encode('UTF-16LE', $secret),
    );
    for my $shift (0 .. 2) {
        # the characters that depend on a neighbour are cut off at both ends
        my $base64 = encode_base64("\0" x $shift . $secret, '');
        my $whole = int((length($secret) + $shift) / 3) * 4;
        $base64 = substr $base64, 0, $whole;
        substr $base64, 0, $shift ? 4 : 0, '';
        $form{"base64 +$shift"} = $base64;
        $form{"base64url +$shift"} = $base64 =~ tr{+/}{-_}r;
    }
    return %form;
}

sub json_escaped {
    my ($text) = @_;
    my $json = JSON::PP->new->allow_nonref->latin1->encode($text);
    return substr $json, 1, -1;
}

# ("name of the secret (form)", ...) of (name => secret, ...) found in the text
sub leaks_in {
    my ($text, %secret) = @_;
    my $folded = lc $text;
    my @found;
    for my $name (sort keys %secret) {
        my %form = secret_forms($secret{$name});
        for my $form (sort keys %form) {
            my $hit = $form eq 'hex' || $form eq 'URL-encoded'
                ? index($folded, lc $form{$form})
                : index($text, $form{$form});
            push @found, "$name ($form)" if $hit >= 0;
        }
    }
    return @found;
}

1;
