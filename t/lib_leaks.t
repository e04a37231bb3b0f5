#!/usr/bin/perl

# The search for secrets finds one however it is written: a leak is planted in
# each form, at each alignment, and found; a text without it is clean.

use strict;
use warnings;

use Test::More;
use Encode ();
use MIME::Base64 qw(encode_base64 encode_base64url);

use lib 't/lib';
use VMOps::Leaks;

my $secret = 's3cr3t-"\\/&+%=~longer';
my $other  = 'another secret of it';

my %planted = (
    'raw'         => "line with $secret in it",
    'hex'         => 'dump ' . unpack('H*', "xx${secret}yy"),
    'upper hex'   => uc unpack('H*', $secret),
    'URL-encoded' => '/path?q=s3cr3t-%22%5C%2F%26%2B%25%3D~longer&x',
    'JSON'        => '{"a":"s3cr3t-\"\\\\/&+%=~longer"}',
    'JSON, \\/'   => '{"a":"s3cr3t-\"\\\\\/&+%=~longer"}',
    'UTF-16LE'    => Encode::encode('UTF-16LE', "ab$secret"),
);
for my $before ('', 'a', 'ab', 'abc', 'abcd') {
    my $text = "$before$secret" . 'z' x length $before;
    $planted{'base64 after ' . length $before} = encode_base64($text, '');
    $planted{'base64url after ' . length $before} = encode_base64url($text);
}

for my $form (sort keys %planted) {
    my @found = leaks_in("some log\n$planted{$form}\nmore\n",
                         leak => $secret, none => $other);
    ok(scalar @found, "$form: found");
    is(scalar(grep { /^none/ } @found), 0, "$form: nothing else found");
}

is_deeply([leaks_in("some log\nhash " . 'ab' x 32, leak => $secret)], [],
          'a clean text is clean');

done_testing;
