package VMOps::OpenAPI;

# The API document, and what was answered beside it: every answer that the
# tests' HTTP client gets is held against the document's calls.
#
#   my $api = VMOps::OpenAPI->new($s);
#   $api->calls;                   # {id => {method, path, statuses, ..}}
#   ...requests...
#   $api->seen;                    # {id => {status => {code => times}}}
#   $api->undocumented;            # texts
#   $api->verdict;                 # of other people's validators

use strict;
use warnings;

use Carp qw(croak);
use File::Temp;
use JSON::PP;

use VMOps ();
use VMOps::HTTP;

# header lines of HTTP itself, or for a proxy in front, whatever the call
my @HTTP = qw(cache-control connection content-length content-type date server
              transfer-encoding x-accel-buffering);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub new {
    my ($class, $stack) = @_;
    my $answer = $stack->rest(GET => '/openapi.json');
    croak "no document: $answer->{status}" if $answer->{status} != 200;
    my $self = bless {
        text => $answer->{body}, document => $answer->{json}, calls => {},
        seen => {}, undocumented => [], lines => '',
    }, $class;
    $self->_calls;
    $VMOps::HTTP::observer = sub { $self->_observe(@_) };
    return $self;
}

sub document     { $_[0]{document} }
sub calls        { $_[0]{calls} }
sub seen         { $_[0]{seen} }
sub undocumented { @{ $_[0]{undocumented} } }

sub _calls {
    my ($self) = @_;
    my $paths = $self->{document}{paths};
    for my $path (keys %$paths) {
        my $base = $paths->{$path}{servers} ? '' : '/api/v1';
        for my $method (qw(get post put patch delete)) {
            my $call = $paths->{$path}{$method} // next;
            croak "two calls are $call->{operationId}"
                if $self->{calls}{ $call->{operationId} };
            my $like = join '[^/]+', map { quotemeta }
                split /\{\w+\}/, "$base$path", -1;
            $self->{calls}{ $call->{operationId} } = {
                id => $call->{operationId}, method => uc $method,
                path => $path, url => "$base$path", like => qr/^$like$/,
                roles => [map { map { @$_ } values %$_ }
                          @{ $call->{security} }],
                by => [map { keys %$_ } @{ $call->{security} }],
                body => $call->{requestBody},
                statuses => [sort keys %{ $call->{responses} }],
                answers => $call->{responses},
            };
        }
    }
}

# the call that a request is; paths without {names} come first
sub find {
    my ($self, $method, $path) = @_;
    my ($call) = sort { ($a->{path} =~ tr/{//) <=> ($b->{path} =~ tr/{//) }
        grep { $_->{method} eq $method && $path =~ $_->{like} }
        values %{ $self->{calls} };
    return $call;
}

sub _observe {
    my ($self, $method, $url, $opt, $answer) = @_;
    my ($path) = $url =~ m{^https?://[^/]+([^?]*)};
    my $call = $self->find($method, $path) // return;
    $self->note($call, $answer, $opt->{json} // $opt->{said});
}

# an answer to a call, also one that came another way; request: its JSON body
sub note {
    my ($self, $call, $answer, $request) = @_;
    my $status = $answer->{status};
    my $code = $status < 400 ? '' : $answer->{json}{code} // 'none';
    $self->{seen}{ $call->{id} }{$status}{$code}++;

    my $documented = $call->{answers}{$status};
    if (!$documented) {
        push @{ $self->{undocumented} }, "$call->{id}: $status $code";
        return;
    }
    my $headers = $self->{document}{components}{headers};
    for my $name (grep { $headers->{$_}{required} }
                  keys %{ $documented->{headers} // {} }) {
        push @{ $self->{undocumented} }, "$call->{id}: $status without $name"
            if !defined $answer->{headers}{ lc $name };
    }
    my %known = map { lc $_ => 1 } @HTTP, keys %{ $documented->{headers} // {} };
    push @{ $self->{undocumented} }, map { "$call->{id}: $status with $_" }
        grep { !$known{$_} } keys %{ $answer->{headers} };
    my ($type) = ($answer->{headers}{'content-type'} // '') =~ /^([^;]*)/;
    my @types = keys %{ $documented->{content} // {} };
    push @{ $self->{undocumented} }, "$call->{id}: $status as '$type'"
        if $type ne ($types[0] // '');
    $self->{lines} .= $json->encode({
        path => $call->{path}, method => lc $call->{method},
        status => $status, type => $type,
        ($type =~ /\bjson\z/ ? (body => $answer->{json}) : ()),
        ($status < 300 && $request && $call->{body}
            ? (request => $request) : ()),
    }) . "\n";
}

sub checked {
    my ($what, @files) = @_;
    my $folder = VMOps::run_command([VMOps::top() . '/t/openapi/install'],
                                    timeout => 120);
    croak "t/openapi/install: $folder->{err}" if $folder->{exit};
    chomp $folder->{out};
    my @paths;
    for my $text (@files) {
        my $file = File::Temp->new;
        print {$file} $text;
        $file->flush;
        push @paths, $file;
    }
    my $run = VMOps::run_command(
        ['node', VMOps::top() . '/t/openapi/check.mjs', $folder->{out}, $what,
         map { "$_" } @paths], timeout => 60);
    croak "check.mjs $what: $run->{err}" if $run->{exit};
    return $json->decode($run->{out});
}

sub verdict {
    my ($self) = @_;
    return (checked(document => $self->{text}),
            checked(answers => $self->{text}, $self->{lines}));
}

1;
