#!/usr/bin/perl

# What the recorded exchanges do not show of the simulator: tickets, privilege
# separation, locks, parameters, log paging, failures set by a test, and a
# journal that survives a kill.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::SSL ();
use Mojo::File qw(path);
use Mojo::Promise;
use Mojo::UserAgent;
use Mojo::Util qw(steady_time url_escape);
use POSIX qw(WNOHANG);
use Test::More;

use VMOps::PVESim;

my $sim = VMOps::PVESim->start(
    settings => {auth_delay_ms => 20, second_ms => 20, restart_ms => 20});
my $token = $sim->token_id;
my %power = (
    qemu => '/nodes/pve1/qemu/%d/status/%s',
    lxc  => '/nodes/pve1/lxc/%d/status/%s',
);

sub power {
    my ($family, $vmid, $op, %o) = @_;
    return $sim->api('POST', sprintf($power{$family}, $vmid, $op), %o);
}

sub status_line { "$_[0]{code} $_[0]{reason}" }

# The exit status of an accepted action, or why it was not accepted.
sub outcome {
    my ($answer) = @_;
    return status_line($answer) if $answer->{code} != 200;
    my $final = $sim->wait_task($answer->{json}{data}, as => 'root@pam');
    return $final ? $final->{exitstatus} : 'still running';
}

sub alter { $sim->control('PUT', "guests/$_[0]", $_[1]) }

sub count { scalar(() = $sim->effects(event => 'effect', @_)) }

subtest 'tickets and their CSRF token' => sub {
    my $login  = $sim->login('automation@pve');
    my $cookie = "PVEAuthCookie=$login->{ticket}";
    my $path   = '/nodes/pve1/qemu/101/status/resume';
    my $call   = sub { status_line($sim->api(@_, as => undef)) };

    is $call->('POST', $path, headers => {Cookie => $cookie}),
        '401 Permission denied - invalid csrf token', 'no CSRF token';
    is $call->(
        'POST', $path,
        headers => {
            Cookie              => $cookie,
            CSRFPreventionToken =>
                $sim->login('root@pam')->{CSRFPreventionToken},
        }
        ),
        '401 Permission denied - invalid csrf token',
        'the CSRF token of another user';
    is $call->('GET', '/version', headers => {Cookie => $cookie}), '200 OK',
        'not needed to read';
    is $call->(
        'GET', '/version',
        headers => {Cookie => 'a=b; PVEAuthCookie=' . url_escape(
            $login->{ticket})}
        ),
        '200 OK', 'an escaped ticket among other cookies';
    is $call->('GET', '/version', headers => {Cookie => "${cookie}x"}),
        '401 permission denied - invalid PVE ticket', 'a changed ticket';

    my $renewed = $sim->api(
        'POST', '/access/ticket',
        as   => undef,
        form => {
            username => 'automation@pve',
            password => $login->{ticket},
        }
    );
    is $renewed->{code}, 200, 'a ticket serves as the password';
    is $renewed->{json}{data}{username}, 'automation@pve', 'of its user';
    is status_line(
        $sim->api(
            'POST', '/access/ticket',
            as   => undef,
            form => {username => 'root@pam', password => $login->{ticket}}
        )
        ),
        '401 authentication failure', 'and of no other user';

    $sim->control('POST', 'tickets/age', {seconds => 7201});
    is $call->('GET', '/version', headers => {Cookie => $cookie}),
        '401 permission denied - invalid PVE ticket',
        'a ticket ends after two hours';
    delete $sim->{login};
};

subtest 'a failed login is late and tells nothing' => sub {
    $sim->control('PUT', 'settings', {auth_delay_ms => 300});
    my %seen;
    for my $user ('root@pam', 'nobody@pve') {
        my $began  = steady_time;
        my $answer = $sim->api(
            'POST', '/access/ticket',
            as   => undef,
            form => {username => $user, password => 'wrong'}
        );
        cmp_ok steady_time - $began, '>=', 0.29, "$user: late";
        $seen{status_line($answer) . $answer->{body}} = 1;
    }
    is scalar keys %seen, 1, 'the same answer for a known and an unknown user';
    $sim->control('PUT', 'settings', {auth_delay_ms => 20});
};

subtest 'tokens and privilege separation' => sub {
    my $id = 'automation@pve!bare';
    $sim->control('PUT', "tokens/$id", {privsep => 1});
    my $list = sub {
        scalar @{$sim->api('GET', '/cluster/resources?type=vm', as => $id)
            ->{json}{data}};
    };

    is $list->(), 0, 'a separated token sees an empty list, with 200';
    is status_line(power('qemu', 100, 'start', as => $id)),
        '403 Permission check failed (/vms/100, VM.PowerMgmt)',
        'and may do nothing';
    is status_line(
        $sim->api('GET', '/nodes/pve1/qemu/100/config', as => $id)),
        '403 Permission check failed (/vms/100, VM.Audit)', 'nor look';

    $sim->control('POST', 'acl',
        {who => $id, path => '/vms/100', privs => ['VM.Audit', 'Sys.Audit']});
    is $list->(), 1, 'with an entry of its own: that guest';
    is status_line($sim->api('GET', '/nodes/pve1/status', as => $id)),
        '403 Permission check failed (/nodes/pve1, Sys.Audit)',
        'never more than its user';

    $sim->control('PUT', "tokens/$id", {privsep => 0});
    is $list->(), 3, 'without separation: what its user sees';
    is status_line(
        $sim->api(
            'POST', '/access/ticket',
            as      => $id,
            form    => {username => 'root@pam', password => 'x'}
        )
        ),
        '403 Permission check failed', 'a token cannot log in';

    $sim->control('PUT', "tokens/$id", {expire => 1});
    is status_line($sim->api('GET', '/version', as => $id)),
        '401 Authentication failed!', 'an expired token';
};

subtest 'tasks belong to their owner' => sub {
    my $upid = power('qemu', 100, 'stop', as => 'root@pam')->{json}{data};
    is status_line($sim->api('GET', "/nodes/pve1/tasks/$upid/status")),
        '403 Permission check failed (/nodes/pve1, Sys.Audit)',
        'of another user';

    my $own = power('qemu', 100, 'stop')->{json}{data};
    like $own, qr/:automation\@pve!vmops:\z/, 'a token is named in the UPID';
    my $status = $sim->wait_task($own);
    is "$status->{user} $status->{tokenid}", 'automation@pve vmops',
        'and apart in the status';
    is $sim->wait_task($own, as => 'automation@pve')->{exitstatus}, 'OK',
        "a user sees the tasks of their tokens";
};

subtest 'parameters' => sub {
    my $errors = sub { power('qemu', 101, @_)->{json}{errors} };

    is_deeply $errors->('shutdown', form => {forceStop => 2}),
        {forceStop => "type check ('boolean') failed - got '2'"},
        'a boolean is 0 or 1';
    is_deeply $errors->('shutdown', form => {timeout => -1}),
        {timeout => 'value must have a minimum value of 0'}, 'a minimum';
    is_deeply $errors->('reboot', json => {timeout => 'soon', x => 1}),
        {
        timeout => "type check ('integer') failed - got 'soon'",
        x       => 'property is not defined in schema and the schema does '
            . 'not allow additional properties',
        },
        'all errors at once, from JSON as well';
    is_deeply $errors->('suspend', form => {statestorage => 'local'}),
        {todisk => "missing property - 'statestorage' requires this property"},
        'one that needs another';
    is_deeply $errors->('start', form => {skiplock => 1}),
        {skiplock => 'Only root may use this option.'}, 'skiplock by a token';
    is_deeply $errors->('reset', form => {vmid => 100}),
        {vmid => 'duplicate parameter (already defined in URI)'},
        'one that the path has';
    is_deeply $errors->('start', form => 'machine=type=q35&timeout=x=1'),
        {timeout => "type check ('integer') failed - got 'x'"},
        "a bare '=' cuts a value's tail";
    is count(vmid => 101), 0, 'nothing happened';
};

subtest 'what the HTTP server does not take' => sub {
    my %login =
        (Authorization => "PVEAPIToken=$token=" . $sim->secret($token));
    my $url = $sim->url . '/api2/json' . sprintf $power{qemu}, 101, 'reset';

    my $tx = $sim->ua->build_tx(POST => $url, \%login);
    $tx->req->content->write_chunk('a=b' => sub { shift->write_chunk('') });
    is status_line($sim->_answer($sim->ua->start($tx)->res)),
        '501 chunked transfer encoding not supported', 'a chunked body';
    is status_line(
        power('qemu', 101, 'reset', form => 'x=' . 'y' x (512 * 1024))),
        '501 for data too large', 'more than 512 KiB';
    my %long = map { ("X-Long-$_" => 'x' x 4000) } 1 .. 3;
    is status_line($sim->api('GET', '/version', headers => \%long)),
        '501 http header too large', 'more than 8 KiB of headers';
    my %many = map { ("X-Many-$_" => 'x') } 1 .. 65;
    is status_line($sim->api('GET', '/version', headers => \%many)),
        '501 too many http header lines', 'more than 64 headers';
    is count(vmid => 101), 0, 'nothing happened';
};

subtest 'a VM that is not in the right state' => sub {
    is outcome(power('qemu', 999, 'start')),
        "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist",
        'a missing one fails in the task';
    is outcome(power('qemu', 999, 'reset')),
        "500 unable to find configuration file for VM 999 on node 'pve1'",
        'or at once';
    is outcome(power('lxc', 999, 'start')),
        "Configuration file 'nodes/pve1/lxc/999.conf' does not exist",
        'a missing container';
    for my $op (qw(reset suspend resume reboot)) {
        is outcome(power('qemu', 100, $op)), '500 VM 100 not running',
            "$op of a stopped one";
    }
    is outcome(power('lxc', 200, 'shutdown')), '500 CT 200 not running',
        'shutdown of a stopped container';
    is status_line($sim->api('POST', '/nodes/nosuch/qemu/100/status/start')),
        "500 hostname lookup 'nosuch' failed - failed to get address info "
        . 'for: nosuch: Temporary failure in name resolution', 'no such node';
};

subtest 'locks' => sub {
    alter($_, {lock => 'backup'}) for 100, 101, 200;
    is outcome(power('qemu', 100, 'start')), 'VM is locked (backup)', 'start';
    is outcome(power('lxc', 200, 'start')), 'CT is locked (backup)',
        'start of a container';
    is outcome(power('qemu', 100, 'stop')), 'OK', 'stop of a stopped one';
    is outcome(power('qemu', 101, 'stop')), 'VM is locked (backup)', 'stop';
    is outcome(power('qemu', 101, 'start')), 'OK',
        'start of a running one under backup';
    is outcome(power('qemu', 100, 'start', as => 'root@pam',
            form => {skiplock => 1})), 'OK', 'skiplock by root';
    is $sim->guest(100)->{status}, 'running', 'it runs';
    is $sim->api('GET', '/nodes/pve1/qemu/101/status/current')
        ->{json}{data}{lock}, 'backup', 'the status shows the lock';
    alter($_, {lock => ''}) for 100, 101, 200;
    is outcome(power('qemu', 100, 'stop')), 'OK', 'and without one';
};

subtest 'shutdown, obeyed or not' => sub {
    alter(101, {shutdown => 'ignore'});
    is outcome(power('qemu', 101, 'shutdown', form => {timeout => 2})),
        'VM quit/powerdown failed - got timeout', 'not obeyed';
    is $sim->guest(101)->{status}, 'running', 'it still runs';
    is outcome(
        power('qemu', 101, 'shutdown', form => {timeout => 2, forceStop => 1})
    ), 'OK', 'with forceStop';
    is $sim->guest(101)->{status}, 'stopped', 'it is stopped';
    is count(vmid => 101, op => 'shutdown'), 1, 'one effect';

    alter(101, {status => 'running', shutdown => 50});
    is outcome(power('qemu', 101, 'shutdown')), 'OK', 'obeyed';
    is count(vmid => 101, op => 'shutdown'), 2, 'a second effect';
    alter(101, {status => 'running', paused => 1});
    is outcome(power('qemu', 101, 'shutdown', form => {forceStop => 1})),
        'OK', 'a paused one is stopped by forceStop';
    alter(101, {status => 'running'});
};

subtest 'a shutdown holds the configuration' => sub {
    alter(101, {shutdown => 'ignore'});
    my $first = power('qemu', 101, 'shutdown', form => {timeout => 1000})
        ->{json}{data};
    is outcome(power('qemu', 101, 'stop')),
        "can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout",
        'a stop beside it';
    is outcome(power('qemu', 101, 'stop', form => {'overrule-shutdown' => 1})),
        'OK', 'overrule-shutdown';
    is $sim->wait_task($first)->{exitstatus}, 'unexpected status',
        'the shutdown was killed';
    alter(101, {status => 'running', shutdown => 50});
};

subtest 'a reboot ends before the guest is back' => sub {
    my $upid = power('qemu', 101, 'reboot')->{json}{data};
    is $sim->wait_task($upid)->{exitstatus}, 'OK', 'the task';
    ok $sim->wait_for(5, sub { $sim->guest(101)->{status} eq 'running' }),
        'it is started again';
    is count(vmid => 101, op => 'reboot'), 1, 'one reboot';
    my ($again) = $sim->effects(vmid => 101, op => 'reboot-start');
    like $again->{upid}, qr/:qmstart:101:root\@pam:\z/, "by a task of root's";

    alter(200, {status => 'running'});
    is outcome(power('lxc', 200, 'reboot')), 'OK', 'of a container';
    ok $sim->wait_for(5, sub { $sim->guest(200)->{status} eq 'running' }),
        'it is back';
};

subtest 'suspend to disk' => sub {
    is outcome(power('qemu', 101, 'suspend', form => {todisk => 1})), 'OK',
        'suspend';
    my $guest = $sim->guest(101);
    is "$guest->{status} $guest->{lock}", 'stopped suspended', 'state';
    is outcome(power('qemu', 101, 'resume')), 'OK', 'resume starts it';
    $guest = $sim->guest(101);
    is "$guest->{status} $guest->{lock}", 'running ', 'and takes the lock off';
};

subtest 'the log of a task comes in pages of 50' => sub {
    $sim->control('POST', 'tasks/next', {
        type     => 'qmreset',
        vmid     => 101,
        log      => [map {"line $_"} 1 .. 70],
        warnings => 2,
    });
    my $upid = power('qemu', 101, 'reset')->{json}{data};
    my $page =
        sub { $sim->api('GET', "/nodes/pve1/tasks/$upid/log$_[0]")->{json} };

    is $sim->wait_task($upid)->{exitstatus}, 'WARNINGS: 2', 'warnings';
    my $first = $page->('');
    is scalar @{$first->{data}}, 50, 'the first page';
    is $first->{total}, 71, 'the total';
    my $next = $page->('?start=50')->{data};
    is "$next->[0]{n} $next->[0]{t}", '51 line 51', 'the next page';
    is $next->[-1]{t}, 'TASK WARNINGS: 2', 'its end';
    is_deeply $page->('?start=69&limit=1')->{data},
        [{n => 70, t => 'line 70'}], 'start and limit';
    is_deeply $page->('?start=71')->{data}, [], 'beyond the end';
};

subtest 'a stopped task' => sub {
    $sim->control('POST', 'tasks/next',
        {type => 'qmstart', vmid => 100, duration => 60000});
    my $upid   = power('qemu', 100, 'start')->{json}{data};
    my $list   = '/nodes/pve1/tasks?source=active';
    my ($seen) = @{$sim->api('GET', $list)->{json}{data}};
    is "$seen->{upid} $seen->{status}", "$upid RUNNING", 'is listed as active';

    is status_line($sim->api('DELETE', "/nodes/pve1/tasks/$upid")), '200 OK',
        'DELETE';
    is $sim->wait_task($upid)->{exitstatus}, 'unexpected status',
        'its exit status';
    is $sim->guest(100)->{status}, 'stopped', 'without effect';
    ($seen) = @{$sim->api('GET', '/nodes/pve1/tasks?errors=1')->{json}{data}};
    is "$seen->{upid} $seen->{status}", "$upid unexpected status",
        'is in the archive';
};

subtest 'failures set by a test' => sub {
    my $before = count(vmid => 100);
    $sim->control('POST', 'tasks/next',
        {type => 'qmstart', fail => 'no space left on device'});
    is outcome(power('qemu', 100, 'start')), 'no space left on device',
        'of a task';

    my %fault = (method => 'POST', path => '/qemu/100/status/start');
    $sim->control('POST', 'faults',
        {%fault, status => 596, reason => 'broken pipe'});
    is status_line(power('qemu', 100, 'start')), '596 broken pipe',
        'an answer';

    $sim->control('POST', 'faults', {%fault, drop => 'before'});
    is power('qemu', 100, 'start')->{code}, undef, 'a lost request';
    is count(vmid => 100), $before, 'all without effect';

    $sim->control('POST', 'faults', {%fault, drop => 'after'});
    is power('qemu', 100, 'start')->{code}, undef, 'a lost answer';
    ok $sim->wait_for(5, sub { $sim->guest(100)->{status} eq 'running' }),
        'with effect';

    $sim->control('POST', 'faults', {path => '/version', delay => 300});
    my $began = steady_time;
    is $sim->api('GET', '/version')->{code}, 200, 'a late answer';
    cmp_ok steady_time - $began, '>=', 0.29, 'is late';
    is outcome(power('qemu', 100, 'stop')), 'OK', 'and none is left';
};

subtest 'a second node, and a guest that moved' => sub {
    $sim->control('PUT', 'nodes/pve2', {});
    alter(100, {node => 'pve2'});
    is outcome(power('qemu', 100, 'start')),
        "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist",
        'not where it was';
    my ($where) =
        grep { $_->{vmid} == 100 }
        @{$sim->api('GET', '/cluster/resources?type=vm')->{json}{data}};
    is $where->{node}, 'pve2', 'the resources say where it is';

    $sim->control('PUT', 'nodes/pve2', {status => 'offline'});
    is status_line(
        $sim->api('GET', '/nodes/pve2/qemu/100/status/current')),
        '595 No route to host', 'a node that is down';
    alter(100, {node => 'pve1', unknown => 1});
    ($where) =
        grep { $_->{vmid} == 100 }
        @{$sim->api('GET', '/cluster/resources?type=vm')->{json}{data}};
    is $where->{status}, 'unknown', 'a status not known yet';
    alter(100, {unknown => 0});
};

subtest 'a renewed certificate' => sub {
    my ($pin, $fingerprint) = ($sim->pin, $sim->fingerprint);
    like $pin,         qr{\Asha256//[A-Za-z0-9+/]{43}=\z},   'pin';
    like $fingerprint, qr/\A[0-9A-F]{2}(?::[0-9A-F]{2}){31}\z/, 'fingerprint';
    my $served = sub {
        my $handle = IO::Socket::SSL->new(
            PeerAddr    => '127.0.0.1',
            PeerPort    => $sim->port,
            SSL_ca_file => $sim->ca_file,
        ) or return 'no connection';
        my $hex = $handle->get_fingerprint('sha256') =~ s/\Asha256\$//r;
        return uc join ':', unpack '(A2)*', $hex;
    };

    is $served->(), $fingerprint, 'the one that is served';
    $sim->control('POST', 'certificate', {});
    isnt $sim->pin, $pin, 'a new key';
    is $served->(), $sim->fingerprint, 'is served at once';
};

subtest 'many clients at a time' => sub {
    my $ua = Mojo::UserAgent->new(
        ca              => $sim->ca_file,
        max_connections => 60,
        connect_timeout => 60,
        request_timeout => 60,
    );
    my %login =
        (Authorization => "PVEAPIToken=$token=" . $sim->secret($token));
    my $before = count(vmid => 101, op => 'reset');
    my $url    = $sim->url . '/api2/json/nodes/pve1/qemu/101/status/reset';
    my @codes;
    Mojo::Promise->all(map { $ua->post_p($url => \%login) } 1 .. 60)
        ->then(sub { @codes = map { $_->[0]->res->code } @_ })->wait;

    is scalar(grep { $_ == 200 } @codes), 60, 'all are answered';
    ok $sim->wait_for(10,
        sub { count(vmid => 101, op => 'reset') == $before + 60 }),
        'each has its effect';
};

subtest 'a kill leaves the journal whole' => sub {
    alter(100, {status => 'stopped'});
    $sim->control('POST', 'tasks/next',
        {type => 'qmstart', vmid => 100, duration => 60000});
    my $upid   = power('qemu', 100, 'start')->{json}{data};
    my @before = $sim->effects;
    my $pin    = $sim->pin;
    $sim->kill9;

    is_deeply [$sim->effects], \@before, 'every line is there';
    is $before[-1]{event} . " $before[-1]{upid}", "request $upid",
        'the last is the request';

    $sim->restart;
    is $sim->pin, $pin, 'the same certificate after a restart';
    is $sim->wait_task($upid)->{exitstatus}, 'unexpected status',
        'the task has ended without a word';
    is $sim->guest(101)->{status}, 'running', 'the guests are as they were';
    is outcome(power('qemu', 100, 'start')), 'OK', 'and it goes on';
    is scalar(() = $sim->effects), @before + 2, 'in the same journal';
};

subtest 'no secret in what it writes down' => sub {
    my $dir     = path($sim->dir);
    my @secrets = map { $sim->secret($_) } $token, 'root@pam',
        'automation@pve';
    push @secrets, $sim->login('root@pam')->{ticket};
    ok $sim->access(method => 'POST', user => $token),
        'the access log names the caller';
    for my $name (qw(access.jsonl effects.jsonl pve-sim.json openssl.log)) {
        my $text = $dir->child($name)->slurp;
        is scalar(grep { index($text, $_) >= 0 } @secrets), 0, $name;
    }
    for my $name (qw(token.secret control.token secrets.json state.sto)) {
        is sprintf('%04o', $dir->child($name)->stat->mode & 07777), '0600',
            "$name is private";
    }
};

subtest 'it ends with its owner' => sub {
    my $pid = $sim->pid;
    delete $sim->{alive};
    ok $sim->wait_for(5, sub { waitpid($pid, WNOHANG) == $pid }),
        'when its standard input is closed';
    $sim->pid(undef);
};

done_testing();
