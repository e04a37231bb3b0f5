# Every line of vmops_functions.def is a function of the loaded library with
# the flags, the number of arguments and the kind of key it says, and no other
# function is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my %table = VMOps::Functions::table();
cmp_ok scalar keys %table, '>', 60, 'the table is read';

my $list = $f->server->client('vmops-deploy')->call('FUNCTION', 'LIST');
is @$list, 1, 'one library';
my %library = @{ $list->[0] };
is $library{library_name}, 'vmops_1', 'its name carries the major version';

my %loaded = map { my %one = @$_; ($one{name} => \%one) }
    @{ $library{functions} };
is_deeply [sort keys %loaded], [map { "vmops_$_" } sort keys %table],
    'the same names';

my %flag = (RO => ['no-writes'], RW => [], OOM => ['allow-oom']);
is_deeply { map { $_ => $loaded{"vmops_$_"}{flags} } keys %table },
    { map { $_ => $flag{ $table{$_}{flags} =~ s/_Q$//r } } keys %table }, 'the same flags';

my %key = (TENANT => 'tenants/{acme}', PLATFORM => 'platform/{p}',
           SELECTOR => 'pairings/ABCD');
my $client = $f->server->client('vmops');
my $error = sub {
    my ($name, @keys_and_args) = @_;
    my $reply = eval { $client->call('FCALL', "vmops_$name", @keys_and_args) };
    return defined $reply ? "no error" : $@;
};
my (@few, @many, @elsewhere, @keyless);
for my $name (sort keys %table) {
    my ($key, $wants) = ($key{ $table{$name}{key} },
                         scalar @{ $table{$name}{args} });
    my $says = qr/ERR vmops_$name wants $wants (?:or more )?arguments?\b/;
    push @few, $name
        if $wants && $error->($name, 1, $key, ('x') x ($wants - 1)) !~ $says;
    push @many, $name
        if !$table{$name}{rest}
        && $error->($name, 1, $key, ('x') x ($wants + 1)) !~ $says;
    push @elsewhere, $name
        if $error->($name, 1, 'platform/{q}', ('x') x $wants) !~ /wants one key/;
    push @keyless, $name
        if $error->($name, 0, ('x') x $wants) !~ /wants one key/;
}
is "@few", '', 'one argument less is refused by each';
is "@many", '', 'one more is refused by each that does not repeat its last';
is "@elsewhere", '', 'a key of another kind is refused by each';
is "@keyless", '', 'no key at all is refused by each';

is_deeply $client->call('FCALL_RO', 'vmops_version', 1, 'platform/{p}'),
    ['OK', '1.0'], 'the version, read-only';

# an unknown tenant: by each the same few answers, and nothing is made
my %answers;
for my $name (grep { $table{$_}{key} eq 'TENANT' } sort keys %table) {
    next if $name eq 'tenant_create';
    my $reply = $f->call($name);
    push @{ $answers{ $reply->[0] } }, $name;
}
is_deeply [sort keys %answers], [qw(not_found pairing_invalid unauthenticated)],
    'an unknown tenant does not exist for any of them';
is $f->admin('DBSIZE'), 0, 'and none of them wrote anything';

done_testing;
