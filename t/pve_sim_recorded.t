#!/usr/bin/perl

# The simulator answers as a real Proxmox VE 8.4 did: exchanges recorded there
# (t/pve/exchanges.json says what is compared) are replayed against it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::More;

use VMOps::PVESim;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub read_extract {
    open my $fh, '<:raw', "$FindBin::Bin/pve/exchanges.json" or die "$!\n";
    local $/;
    return $json->decode(<$fh>);
}

my $extract = read_extract();
my $sim     = VMOps::PVESim->start(scenario => $extract->{start});
my ($replayed, $last_upid) = (0, '');

# "64" and 64 are not the same to an agent: compare as JSON.
sub same {
    my ($got, $expected, $what) = @_;
    is $json->encode($got), $json->encode($expected), $what;
}

sub type_of {
    my ($value) = @_;
    my $text = $json->encode($value);
    return
          $text =~ /\A\{/             ? 'object'
        : $text =~ /\A\[/             ? 'array'
        : $text =~ /\A"/              ? 'string'
        : $text =~ /\A(?:true|false)/ ? 'boolean'
        : $text eq 'null'             ? 'null'
        :                               'number';
}

sub compare_types {
    my ($got, $types, $what) = @_;
    my %found =
        map { $_ => exists $got->{$_} ? type_of($got->{$_}) : 'missing' }
        keys %$types;
    same(\%found, $types, "$what: types");
}

sub compare_members {
    my ($got, $step, $what) = @_;
    if (my $equal = $step->{equal}) {
        my %found = map { $_ => $got->{$_} } keys %$equal;
        same(\%found, $equal, "$what: values");
    }
    compare_types($got, $step->{types}, $what) if $step->{types};
}

sub compare_rows {
    my ($got, $step, $what) = @_;
    my %found = map { $_->{$step->{rows_by}} => $_ } @$got;
    my $rows  = $step->{rows};
    same([sort keys %found], [sort keys %$rows], "$what: rows");
    for my $id (sort keys %$rows) {
        compare_members($found{$id} // {}, $rows->{$id}, "$what: $id");
    }
}

sub compare_counts {
    my ($got, $counts, $what) = @_;
    my %found =
        map { $_ => scalar keys %{$got->{$_} // {}} } keys %$counts;
    same(\%found, $counts, "$what: how many privileges");
}

sub ask {
    my ($method, $path, $step) = @_;
    my $form     = $step->{form};
    my $password = $sim->secret('root@pam');
    $form =~ s/<password>/$password/ if defined $form;
    $path =~ s/\{upid\}/$last_upid/;

    my $answer = $sim->api($method, $path,
        as      => $step->{as},
        headers => $step->{headers} // {},
        defined $form ? (form => $form) : ());
    my $type = $answer->{headers}->content_type // '';
    $answer->{json} =
        $type =~ /json/ ? $json->decode($answer->{body}) : undef;
    $replayed++;
    return $answer;
}

sub data {
    my ($answer) = @_;
    return ($answer->{json} // {})->{data};
}

# First poll, final status and log, all asked by whoever started the task.
sub replay_task {
    my ($step, $upid) = @_;
    my $task = $step->{task};
    my $what = $step->{note};

    my @parts = split /:/, $upid;
    like $upid, qr/\AUPID:\w+:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:/,
        "$what: UPID";
    same([@parts[5, 6, 7]], [@$task{qw(type id user)}],
        "$what: type, id and user of the task");
    $last_upid = $upid;
    return if $task->{left};

    my $base  = "/nodes/$parts[1]/tasks/$upid";
    my %who   = (as => $step->{as});
    my $first = data(ask('GET', "$base/status", \%who));
    my %types = map { $_ => 'string' } qw(upid node type id user status);
    $types{$_} = 'number' for qw(pid pstart starttime);

    same($first->{status}, $task->{first}, "$what: first poll");
    compare_types($first, \%types, "$what: first poll");
    ok !exists $first->{exitstatus}, "$what: no exit status yet"
        if $task->{first} eq 'running';

    my $final = $sim->wait_task($upid, as => $step->{as});
    my $asked = data(ask('GET', "$base/status", \%who));
    same($asked, $json->decode($json->encode($final)),
        "$what: a final status is final")
        if $final;
    same($asked->{exitstatus}, $task->{exitstatus}, "$what: exit status");

    my $log   = ask('GET', "$base/log", \%who)->{json};
    my $lines = $task->{log};
    same(
        $log,
        {
            total => scalar @$lines,
            data  =>
                [map { {n => $_ + 1, t => $lines->[$_]} } 0 .. $#$lines],
        },
        "$what: log"
    );
}

sub replay {
    my ($step) = @_;
    my ($method, $path) = split / /, $step->{do};
    my $answer = ask($method, $path, $step);
    my $body   = $answer->{json};
    my $what   = $step->{note};

    is "$answer->{code} $answer->{reason}",
        "$step->{status} $step->{reason}", "$what: status line";
    is $answer->{body}, $step->{text}, "$what: body"
        if exists $step->{text};
    for my $member (qw(data message errors)) {
        same($body->{$member}, $step->{$member}, "$what: $member")
            if exists $step->{$member};
    }
    is lc($answer->{headers}->connection // ''),
        $step->{status} == 200 ? 'keep-alive' : 'close',
        "$what: connection";

    my $data = data($answer);
    compare_members($data, $step, $what);
    compare_rows($data, $step, $what) if $step->{rows};
    compare_counts($data->{cap}, $step->{cap},        $what) if $step->{cap};
    compare_counts($data,        $step->{privileges}, $what)
        if $step->{privileges};
    if ($step->{each}) {
        is scalar @$data, $step->{count}, "$what: count";
        compare_types($_, $step->{each}, $what) for @$data;
    }
    replay_task($step, $data) if $step->{task};
}

my $expected = 0;
for my $step (@{$extract->{steps}}) {
    if ($step->{sim}) {
        $sim->control(split(/ /, $step->{sim}), $step->{json});
        next;
    }
    $expected += ref $step->{n} ? @{$step->{n}} : 1;
    replay($step);
}

is $replayed, $expected, "all $expected recorded exchanges were replayed";
diag "$replayed exchanges of a real Proxmox VE 8.4 replayed";

$sim->stop;
done_testing();
