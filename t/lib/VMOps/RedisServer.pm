package VMOps::RedisServer;

# A private redis-server with the project's configuration, users and function
# library as redis/generate makes them now: for tests of the functions, without
# nginx.  It ends with the object.

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);

my $TOP;
BEGIN { ($TOP) = abs_path(__FILE__) =~ m{^(.*)/t/lib/VMOps/RedisServer\.pm$} }

use lib "$TOP/conf";
use VMOps::Process qw(run_command spawn stop wait_for);
use VMOps::Redis;

my $ADMIN = 'vmops-admin';    # who may do everything, in tests only

# VMOps::RedisServer->start(maxmemory => '6mb', ...): more lines of redis.conf
sub start {
    my ($class, %conf) = @_;
    my $dir = tempdir('vmops-redis-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { dir => $dir, owner => $$ }, $class;

    my $made = run_command([$^X, "$TOP/redis/generate", $dir]);
    croak "redis/generate: $made->{err}" if $made->{exit};

    my $acl = slurp("$dir/users.acl");
    for my $user (qw(vmops-deploy vmops-inspect vmops)) {
        $self->{password}{$user} = random();
        my $hash = sha256_hex($self->{password}{$user});
        $acl =~ s/^(user \Q$user\E .*)$/$1 #$hash/m
            or croak "users.acl has no user $user";
    }
    $self->{password}{$ADMIN} = random();
    $acl .= "user $ADMIN on ~* &* +\@all #"
        . sha256_hex($self->{password}{$ADMIN}) . "\n";
    write_file("$dir/users.acl", $acl);

    write_file("$dir/redis.conf", join "\n", "include $TOP/redis/redis.conf",
               "dir $dir", "unixsocket $dir/redis.sock",
               "aclfile $dir/users.acl", "pidfile $dir/redis.pid",
               "logfile $dir/redis.log", (map { "$_ $conf{$_}" } keys %conf),
               '');
    $self->{pid} = spawn(['redis-server', "$dir/redis.conf"],
                         "$dir/redis.out");
    wait_for { eval { $self->client($ADMIN)->call('PING') } } 10,
        'redis-server';
    $self->client('vmops-deploy')
        ->call(qw(FUNCTION LOAD REPLACE), slurp("$dir/vmops.lua"));
    return $self;
}

sub dir { $_[0]{dir} }

sub socket { "$_[0]{dir}/redis.sock" }

sub password { $_[0]{password}{$_[1]} }

# a connection of its own
sub client {
    my ($self, $user) = @_;
    return VMOps::Redis->new(socket => $self->socket, user => $user,
                             password => $self->{password}{$user});
}

# one command as the user who may do everything
sub admin {
    my ($self, @command) = @_;
    $self->{admin} //= $self->client($ADMIN);
    return $self->{admin}->call(@command);
}

# one function as nginx' user; the reply as it came
sub fcall {
    my ($self, $name, $key, @args) = @_;
    $self->{vmops} //= $self->client('vmops');
    return $self->{vmops}->call('FCALL', "vmops_$name", 1, $key, @args);
}

# what redis-cli prints, as a user
sub cli {
    my ($self, $user, @command) = @_;
    my $run = run_command(['redis-cli', '-s', $self->socket, '--user', $user,
                           '--no-auth-warning', @command],
                          env => { REDISCLI_AUTH => $self->{password}{$user} });
    return $run->{out};
}

sub random {
    open my $file, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
    read $file, my $bytes, 16;
    return unpack 'H*', $bytes;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar <$file>;
}

sub write_file {
    my ($path, $text) = @_;
    open my $file, '>:raw', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);
    stop($self->{pid}) if $self->{pid} && $self->{owner} == $$;
}

1;
