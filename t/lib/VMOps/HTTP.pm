package VMOps::HTTP;

# The tests' HTTP client: Mojolicious, which shares no line with what it tests.

use strict;
use warnings;

use Carp qw(croak);
use JSON::PP;
use Mojo::UserAgent;

use VMOps::Process qw(now);

use constant MAX_ANSWER => 8 * 1024 * 1024;

my $json = JSON::PP->new->utf8->allow_nonref;
my %agents;    # by certificate authority, and by process

# told of each answer: method, URL, the request's options (said: the JSON in
# a body of bytes), the answer
our $observer;

sub agent {
    my ($ca) = @_;
    return $agents{"$$ " . ($ca // '')} //= do {
        my $ua = Mojo::UserAgent->new(max_redirects => 0, connect_timeout => 20,
                                      max_response_size => MAX_ANSWER);
        $ua->proxy->not(['127.0.0.1', 'localhost']);
        $ua->cookie_jar->ignore(sub { 1 });   # a test says what it sends
        $ua->ca($ca) if defined $ca;
        $ua;
    };
}

sub build {
    my ($ua, $method, $url, $opt) = @_;
    my %headers = %{ $opt->{headers} // {} };
    $headers{Authorization} = "Bearer $opt->{token}" if defined $opt->{token};
    my $body = $opt->{body};
    if (exists $opt->{json}) {
        $body = $json->encode($opt->{json});
        $headers{'Content-Type'} //= 'application/json';
    }
    return $ua->build_tx($method, $url, \%headers, defined $body ? $body : ());
}

# {status, headers, json, body, ms}; status 0 and error when no answer came
sub request {
    my ($method, $url, $opt) = @_;
    my $ua = agent($opt->{ca});
    my $timeout = $opt->{timeout} // 20;
    $ua->inactivity_timeout($timeout)->request_timeout($timeout);

    my $start = now;
    my $tx = $ua->start(build($ua, $method, $url, $opt));
    my $ms = (now - $start) * 1000;
    my $res = $tx->res;
    my $error = $tx->error;
    if ($error && !$error->{code}) {
        return { status => 0, error => $error->{message}, headers => {},
                 body => '', ms => $ms };
    }
    my %headers;
    for my $name (@{ $res->headers->names }) {
        $headers{lc $name} = join ', ', @{ $res->headers->every_header($name) };
    }
    my $answer = { status => $res->code, headers => \%headers,
                   body => $res->body, ms => $ms };
    $answer->{json} = $json->decode($res->body)
        if length $res->body
            && ($headers{'content-type'} // '') =~ m{^application/(?:[\w.]+\+)?json\b};
    $observer->($method, $url, $opt, $answer) if $observer;
    return $answer;
}

# Reads server-sent events until $opt->{until}->(\@events) is true or the
# stream ends: {status, events => [{id, event, data}], ended, ms}; dies after
# $opt->{seconds}.
sub events {
    my ($url, $opt) = @_;
    my $seconds = $opt->{seconds} // 10;
    my $ua = agent($opt->{ca});
    $ua->inactivity_timeout($seconds)->request_timeout($seconds);

    my $start = now;
    my $tx = build($ua, GET => $url, {
        %$opt, headers => { Accept => 'text/event-stream',
                            %{ $opt->{headers} // {} } } });
    my ($text, @events, $done) = ('');
    $tx->res->content->unsubscribe('read')->on(read => sub {
        my ($content, $bytes) = @_;
        $text .= $bytes;
        while (!$done && $text =~ s/\A(.*?)\n\n//s) {
            push @events, parse_event($1) // next;
            $done = $opt->{until} && $opt->{until}->(\@events);
        }
        $tx->closed if $done;
    });
    $tx = $ua->start($tx);
    croak "no end of the events in $seconds s, but: "
        . $json->encode(\@events) if !$done && $tx->error
                                  && $tx->error->{message} =~ /timeout/i;
    return { status => $tx->res->code, events => \@events, ended => !$done,
             body => $text, ms => (now - $start) * 1000 };
}

sub parse_event {
    my ($block) = @_;
    my (%event, @data);
    for my $line (split /\n/, $block) {
        next if $line =~ /^:/;
        my ($field, $value) = $line =~ /^(\w+):? ?(.*)$/ or next;
        if ($field eq 'data') { push @data, $value } else { $event{$field} = $value }
    }
    return unless %event || @data;
    my $data = join "\n", @data;
    return { %event, data => eval { $json->decode($data) } // $data };
}

1;
