# A call that ends commands tells how, as the last element of its reply: each
# end once, whoever makes it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use VMOps::Functions;

my $f = VMOps::Functions->new;
my $w = $f->world;

sub finish {
    my ($id, $status) = @_;
    $f->ok_call(finish => { agent_id => $w->{agent}, command_id => $id,
                            status => $status, receipt_signature => 's' });
    return $f->ended;
}

my $id = $f->submitted;
is $f->ended, '', 'a submission ends nothing';
$f->take;
is finish($id, 'succeeded'), 'ended succeeded=1', 'a result';
is finish($id, 'succeeded'), '', 'the same again';
$f->ok_call(command_get => { command_id => $id });
is $f->ended, '', 'nor does a look';

my @overdue = map { $f->submitted } 1 .. 3;
$f->age($_, 10_001) for @overdue;
$f->ok_call(command_get => { command_id => $overdue[0] });
is $f->ended, 'ended failed=1', 'a look at what is overdue';
$f->ok_call(sweep => { live => 'gw1,gw2', limit => 100 });
is $f->ended, 'ended failed=2', 'the sweep of the others';

my $cancelled = $f->submitted;
$f->ok_call(command_cancel => { command_id => $cancelled, actor => 'token:1' });
is $f->ended, 'ended cancelled=1', 'a cancellation';

my $late = $f->submitted;
$f->take;
$f->age($late, 65_000);
$f->ok_call(sweep => { live => 'gw1,gw2', limit => 100 });
is $f->ended, 'ended indeterminate=1', 'nobody knows';
is finish($late, 'failed'), 'ended failed=1', 'until its result comes';

done_testing;
