package PVE::Sim::Server;

# The HTTP side: TLS on loopback, the limits of the real daemon, faults set by
# a test, the access log, and the form of every answer.

use Mojo::Base 'Mojo::Server::Daemon', -signatures;

use Mojo::Date;
use Mojo::IOLoop;
use Mojo::Transaction::HTTP;
use Time::HiRes ();

use PVE::Sim::Dispatch;
use PVE::Sim::Output qw(to_json);
use PVE::Sim::Refusal;

# of pve-http-server: header lines and bytes, requests on one connection
use constant {
    MAX_HEADERS      => 64,
    MAX_HEADER_BYTES => 8192,
    MAX_REQUESTS     => 100,
};

has 'control';
has sim      => undef;
has dispatch => sub ($self) { PVE::Sim::Dispatch->new(sim => $self->sim) };

sub new ($class, %o) {
    my $self = $class->SUPER::new(
        silent       => 1,
        max_requests => MAX_REQUESTS,
        max_clients  => 4096,
        %o
    );

    # a client that goes away is nothing to tell
    $self->app->log->level('fatal');
    $self->unsubscribe('request');
    $self->on(request => sub ($self, $tx) { $self->_request($tx) });
    return $self;
}

# Mojo forgets that a body came in chunks once it has read it.
sub build_tx ($self) {
    my $tx      = Mojo::Transaction::HTTP->new;
    my $content = $tx->req->content->auto_upgrade(0);
    $content->on(body => sub ($content) {
        $tx->{transfer} = lc($content->headers->transfer_encoding // '');
    });
    return $tx;
}

sub _transport_error ($tx) {
    my $headers = $tx->req->headers;
    my $lines   = split /\r\n/, $headers->to_string;

    return 'chunked transfer encoding not supported'
        if ($tx->{transfer} // '') eq 'chunked';
    return "Unknown transfer encoding '$tx->{transfer}'" if $tx->{transfer};
    return 'too many http header lines' if $lines > MAX_HEADERS;
    return 'http header too large'
        if length $headers->to_string > MAX_HEADER_BYTES;
    return;
}

sub _request ($self, $tx) {
    my $http = $tx->req;
    my $seen = {
        began  => Time::HiRes::time(),
        method => $http->method,
        path   => $http->url->path->to_string,
        conn   => $tx->connection,
    };

    if ($http->error) {
        return $self->_send($tx, $seen,
            {code => 400, reason => 'bad request', text => ''});
    }
    if (my $text = _transport_error($tx)) {
        return $self->_send($tx, $seen,
            {code => 501, reason => $text, text => $text});
    }
    if ($seen->{path} =~ m{\A/sim/}) {
        return $self->_send($tx, $seen,
            $self->control->answer($http, $seen));
    }
    $self->_answer($tx, $seen, $self->_take_fault($http) // {});
}

sub _take_fault ($self, $http) {
    my $faults = $self->sim->data->{faults};
    my $path   = $http->url->path->to_string;
    for my $i (0 .. $#$faults) {
        my $f = $faults->[$i];
        next if defined $f->{method} && $http->method !~ /\A(?:$f->{method})\z/;
        next if defined $f->{path}   && $path !~ /$f->{path}/;
        splice @$faults, $i, 1 if --$f->{count} <= 0;
        return $f;
    }
    return;
}

sub _answer ($self, $tx, $seen, $fault) {
    my $drop = $fault->{drop} // '';
    my $answer;

    if ($fault->{status}) {
        $answer = {
            code   => $fault->{status},
            reason => $fault->{reason} // '',
            text   => $fault->{body}   // '',
        };
    }
    elsif ($drop ne 'before') {
        $answer = $self->dispatch->answer($tx->req, $seen);
    }

    my $delay = ($fault->{delay} // 0) + ($answer->{delay} // 0);
    my $end   = sub {
        $drop ? $self->_drop($tx, $seen) : $self->_send($tx, $seen, $answer);
    };
    return $end->() if !$delay;
    Mojo::IOLoop->timer($delay / 1000 => $end);
}

sub _drop ($self, $tx, $seen) {
    $self->_log_access($seen, {code => 0, reason => 'dropped'});
    my $stream = $self->ioloop->stream($tx->connection);
    $stream->close if $stream;
}

sub _send ($self, $tx, $seen, $answer) {
    my $res     = $tx->res->code($answer->{code})->message($answer->{reason});
    my $headers = $res->headers;
    my $date    = Mojo::Date->new->to_string;

    $headers->server('pve-api-daemon/3.0')->date($date)->expires($date)
        ->cache_control('max-age=0');
    $headers->header(Pragma => 'no-cache');
    if ($answer->{code} != 200) {
        $headers->connection('close');
    }
    elsif (!$headers->connection) {
        $headers->connection('Keep-Alive');
    }

    if ($answer->{content}) {
        $headers->content_type('application/json;charset=UTF-8');
        $res->body(to_json($answer->{content}));
    }
    else {
        $res->body($answer->{text});
    }
    $self->_log_access($seen, $answer);
    $tx->resume;
}

# Names of parameters, never their values; no headers, no bodies.
sub _log_access ($self, $seen, $answer) {
    my %line = %$seen;
    my $ms   = int((Time::HiRes::time() - delete $line{began}) * 1000);
    $self->sim->access_log->add({
        %line,
        ms     => $ms,
        status => $answer->{code},
        reason => $answer->{reason},
    });
}

1;
