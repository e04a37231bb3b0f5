package PVE::Sim::Params;

# Parameters of a request: how they are read from query and body, and how they
# are checked.  The texts are the ones a real 8.4 answers in "errors".

use Mojo::Base -strict, -signatures;

use Exporter   qw(import);
use Mojo::JSON qw(decode_json);
use Mojo::Util qw(decode url_unescape);

use PVE::Sim::Refusal qw(refuse refuse_parameters);

our @EXPORT_OK = qw(read_params verify_params BOOLEAN COUNT STRING NODE VMID);

use constant {
    BOOLEAN => {type => 'boolean', optional => 1},
    COUNT   => {type => 'integer', optional => 1, minimum => 0},
    STRING  => {type => 'string',  optional => 1},
    NODE    => {type => 'string',  format   => 'node'},
    VMID    => {
        type    => 'integer',
        format  => 'vmid',
        minimum => 100,
        maximum => 999999999,
    },
};

my %TYPE = (
    integer => qr/\A[+-]?[0-9]+\z/,
    boolean => qr/\A[01]\z/,
    string  => qr//,
);

# format => [pattern, text]
my %FORMAT = (
    vmid => [
        qr/\A[1-9][0-9]{2,8}\z/,
        sub ($v) {'value does not look like a valid VM ID'}
    ],
    node => [
        qr/\A[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?\z/,
        sub ($v) {'value does not look like a valid node name'}
    ],
    configid => [
        qr/\A[A-Za-z][A-Za-z0-9_-]+\z/,
        sub ($v) {"invalid configuration ID '$v'"}
    ],
    storage => [
        qr/\A[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]\z/,
        sub ($v) {"storage ID '$v' contains illegal characters"}
    ],
);

# The real server splits each pair at every '=' and keeps the first two parts:
# a value with a bare '=' loses its tail.  A repeated name makes a list.
sub _decode_form ($text) {
    my %params;

    for my $pair (split /[&;]/, $text) {
        my ($name, $value) = split /=/, $pair;
        next if !defined $name;
        for ($name, $value) {
            $_ //= '';
            tr/+/ /;
            $_ = url_unescape($_);
            $_ = decode('UTF-8', $_) // $_;
        }
        if (exists $params{$name}) {
            my $old = $params{$name};
            $params{$name} = [ref $old ? @$old : $old, $value];
        }
        else {
            $params{$name} = $value;
        }
    }
    return \%params;
}

sub read_params ($method, $query, $type, $body) {
    my $params = {};

    if ($method eq 'POST' || $method eq 'PUT') {
        my ($media) = lc($type // '') =~ m{\A\s*([^;\s]*)};
        if ($media eq 'application/json') {
            $params = length $body ? eval { decode_json($body) } : {};
            refuse(400, 'malformed JSON body') if ref $params ne 'HASH';
        }
        elsif ($media eq '' || $media eq 'application/x-www-form-urlencoded') {
            $params = _decode_form($body);
        }
        else {
            refuse(501, "upload 'Content-Type '$type' not implemented",
                form => 'text');
        }
    }

    my $more = _decode_form($query // '');
    return {%$params, %$more};
}

sub _check_value ($rule, $value) {
    my $type = $rule->{type};

    return "type check ('$type') failed" if !defined $value || ref $value
        && !(ref($value) =~ /Boolean/);
    return "type check ('$type') failed - got '$value'"
        if $value !~ $TYPE{$type};

    if (my $format = $FORMAT{$rule->{format} // ''}) {
        my ($pattern, $text) = @$format;
        return 'invalid format - ' . $text->($value) . "\n"
            if $value !~ $pattern;
    }
    if (my $enum = $rule->{enum}) {
        return "value '$value' does not have a value in the enumeration '"
            . join(', ', @$enum) . "'"
            if !grep { $_ eq $value } @$enum;
    }
    return "value must have a minimum value of $rule->{minimum}"
        if defined $rule->{minimum} && $value < $rule->{minimum};
    return "value must have a maximum value of $rule->{maximum}"
        if defined $rule->{maximum} && $value > $rule->{maximum};
    return "value may only be $rule->{max_length} characters long"
        if defined $rule->{max_length} && length $value > $rule->{max_length};
    return;
}

# Returns the parameters with numbers as numbers, or refuses with all errors.
sub verify_params ($schema, $params) {
    my (%clean, %errors);

    for my $name (keys %$params) {
        my $rule = $schema->{$name};
        if (!$rule) {
            $errors{$name} = 'property is not defined in schema and the '
                . 'schema does not allow additional properties';
            next;
        }
        if (defined(my $text = _check_value($rule, $params->{$name}))) {
            $errors{$name} = $text;
            next;
        }
        $clean{$name} =
            $rule->{type} eq 'string' ? "$params->{$name}" : $params->{$name} + 0;

        my $needs = $rule->{requires};
        $errors{$needs} = "missing property - '$name' requires this property"
            if defined $needs && !exists $params->{$needs};
    }
    for my $name (grep { !$schema->{$_}{optional} } keys %$schema) {
        $errors{$name} = 'property is missing and it is not optional'
            if !exists $params->{$name};
    }

    refuse_parameters(\%errors) if %errors;
    return \%clean;
}

1;
