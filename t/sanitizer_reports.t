#!/usr/bin/perl

# A report of a sanitizer fails the test file in whose logs it is: one of each
# kind is planted and found; so is what dying programs of ours say, where they
# are built with one.
# tags: asan

use strict;
use warnings;

use File::Temp qw(tempdir);

use lib 't/lib';
use VMOps;
use VMOps::Process qw(spawn stop);

my $dir = tempdir(TMPDIR => 1, CLEANUP => 1);

# whether a test file fails by this check alone
sub found {
    my ($name, $code) = @_;
    my $run = run_command([$^X, '-It/lib', '-MVMOps', '-e',
                           "$code ok(1); done_testing();"], timeout => 120);
    my @failed = $run->{out} =~ /^not ok \d+ - (.*)$/mg;
    diag("$name: $run->{out}$run->{err}") if grep { !/sanitizer/ } @failed;
    return "@failed" eq 'no sanitizer report' && $run->{exit} != 0;
}


# each kind, from programs made here

my %program = (
    'AddressSanitizer' => ['address', 'char *p = malloc(8); p[8] = argc;'],
    'LeakSanitizer' => ['address', 'p = malloc(argc + 8); p = NULL;'],
    'UndefinedBehaviorSanitizer' =>
        ['undefined', 'return argc + 0x7fffffff == 5;'],
    'ThreadSanitizer' => ['thread', 'pthread_t t; pthread_create(&t, NULL, run,'
        . ' NULL); p = NULL; pthread_join(t, NULL);'],
    'none' => ['address,undefined', 'return argc == 0;'],
);

for my $kind (sort keys %program) {
    my ($san, $body) = @{ $program{$kind} };
    open my $source, '>', "$dir/$kind.c" or die $!;
    print $source <<"END";
#include <pthread.h>
#include <stdlib.h>
char *volatile p;
void *run(void *arg) { p = arg; return NULL; }
int main(int argc, char **argv) { (void) argv; (void) run; $body return 0; }
END
    close $source;
    my $made = run_command(['cc', "-fsanitize=$san", '-pthread', '-w', '-o',
                            "$dir/$kind", "$dir/$kind.c"]);
    is($made->{exit}, 0, "$kind: built") or diag($made->{err});

    mkdir "$dir/of-$kind" or die $!;
    my $run = run_command(['sh', '-c', "exec '$dir/$kind' 2>'$dir/of-$kind/a.log'"],
                          env => { TSAN_OPTIONS => '', ASAN_OPTIONS => '' });
    is(!!found($kind, "VMOps->watch_log('$dir/of-$kind');"), $kind ne 'none',
       $kind eq 'none' ? 'a clean log is clean' : "a report of $kind is found");
}


# our own programs, dying

SKIP: {
    skip 'not built with sanitizers', 2
        if run_command(['grep', '-q', '__asan_init',
                        VMOps::built('agent/vmops-agent')])->{exit};

    ok(found('worker', <<'END'), 'what a worker of nginx reports is found');
        my $s = VMOps->stack;
        VMOps->allow_log(qr/exited on signal|exited with (?:fatal )?code/);
        my ($worker) = $s->workers;
        kill 'SEGV', $worker;
        wait_for(sub { !kill 0, $worker }, 20, 'end of the worker');
END
    ok(found('agent', <<'END'), 'what the agent reports is found');
        my $s = VMOps->stack;
        my $agent = $s->agent(tenant => $s->tenant('acme'));
        $agent->pair;
        $agent->start;
        $agent->stop('SEGV');
END
}

done_testing;
