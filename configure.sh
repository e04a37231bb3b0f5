#!/bin/sh
# Checks what the build, the demo and the tests need, and writes
# build/config.mk.  `./configure.sh --help` tells the rest.

set -eu

usage()
{
    cat <<'END'
usage: ./configure.sh [--install] [--with-nginx=SRC]
       ./configure.sh [--with-nginx=SRC] TARGET [VAR=VALUE ...]

Checks the dependencies and writes build/config.mk; then `make` builds.

  --install         installs what is missing with apt-get (root or sudo)
  --with-nginx=SRC  builds nginx and the modules from a source tree of nginx,
                    (an absolute path), instead of the installed nginx and its
                    nginx-dev package
  TARGET            demo, test, bench, fuzz, check-asan, check-tsan or
                    check-valgrind: installs what is missing, also what only
                    this target needs, configures, builds, and runs
                    `make TARGET` with the given variables
  --help            this text

Exit status: 0 done, 1 something is missing or failed, 2 bad use; with TARGET
also that of make: 2 when the build or a test failed.
END
}

say()  { printf '%s\n' "configure: $*"; }
fail() { printf '%s\n' "configure: $*" >&2; exit 1; }
bad()  { printf '%s\n' "configure: $*" "See ./configure.sh --help" >&2; exit 2; }

# make, nginx's makefiles and the demo take no other path than this
plain_path()
{
    case $1 in
        *[!A-Za-z0-9._/+-]*) return 1 ;;
    esac
}

# Package, least upstream version ("-": whatever has the command will do, also
# without the package), least Debian revision ("-" when any will do; an older
# one of the same upstream version has known holes), how it is found where
# there is no dpkg, and what it is for.
dependencies()
{
    cat <<'END'
gcc                        10      -                    cmd:cc              compiler
libc6-dev                  2.31    -                    file:/usr/include/stdio.h C library
make                       4.3     -                    cmd:make            build
pkg-config                 0.29    -                    cmd:pkg-config      flags of libraries
libhiredis-dev             0.14    -                    pc:hiredis          Redis protocol
libyajl-dev                2.1.0   2.1.0-3+deb12u2      pc:yajl             JSON
libsodium-dev              1.0.18  1.0.18-1+deb12u1     pc:libsodium        cryptography
libcurl4-openssl-dev       7.88    -                    pc:libcurl          agent: HTTPS
libssh2-1-dev              1.10.0  1.10.0-3+deb12u1     pc:libssh2          agent: SSH
libssl-dev                 3.0     -                    pc:openssl          TLS
libsqlite3-dev             3.40    -                    pc:sqlite3          agent: journal
redis-server               5:7.0   5:7.0.15-1~deb12u10  cmd:redis-server    store
redis-tools                5:7.0   5:7.0.15-1~deb12u10  cmd:redis-cli       tests
openssl                    3.0     -                    cmd:openssl         private CA
perl                       5.32    -                    perl:Test::More     build, tests
libmojolicious-perl        9.0     -                    perl:Mojolicious    tests: HTTP
libprotocol-websocket-perl 0.26    -                    perl:Protocol::WebSocket tests
libio-socket-ssl-perl      2.0     -                    perl:IO::Socket::SSL tests: TLS
libcryptx-perl             0.060   -                    perl:CryptX         tests: crypto
libcmocka-dev              1.1.5   -                    pc:cmocka           unit tests
curl                       7.88    -                    cmd:curl            tests: HTTP
iproute2                   5.0     -                    cmd:ss              tests: sockets
procps                     3.3     -                    cmd:ps              tests
END
    if [ -n "$nginx_src" ]; then
        cat <<'END'
libpcre2-dev               10.30   -                    pc:libpcre2-8       nginx from source
zlib1g-dev                 1.2     -                    pc:zlib             nginx from source
END
    else
        cat <<'END'
nginx                      1.22.1  1.22.1-9+deb12u11    cmd:nginx           server
nginx-dev                  1.22.1  1.22.1-9+deb12u11    file:/usr/share/nginx/src/configure headers
END
    fi
    case $command in
        test|check-asan)
            cat <<'END' ;;
nodejs                     18      -                    cmd:node            tests: OpenAPI
npm                        -       -                    cmd:npm             tests: OpenAPI
python3-prometheus-client  0.9     -                    py:prometheus_client tests: metrics
END
    esac
    case $command in
        fuzz)           cat <<'END' ;;
clang                      1:11    -                    cmd:clang           fuzzing
libclang-rt-dev            1:11    -                    cmd:clang           fuzzing
END
        bench)          cat <<'END' ;;
libnginx-mod-nchan  1:1.2  -  file:/usr/lib/nginx/modules/ngx_nchan_module.so a peer
END
        check-asan)     cat <<'END' ;;
dpkg-dev                   1.20    -                    cmd:dpkg-source     its nginx
libpcre2-dev               10.30   -                    pc:libpcre2-8       its nginx
zlib1g-dev                 1.2     -                    pc:zlib             its nginx
END
        check-valgrind) cat <<'END' ;;
valgrind                   1:3.16  -                    cmd:valgrind        memcheck
END
    esac
}

have_dpkg() { command -v dpkg-query >/dev/null 2>&1; }

installed_version()
{
    dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null |
        sed -n 's/^installed //p' | head -n 1
}

candidate_version()
{
    LC_ALL=C apt-cache policy "$1" 2>/dev/null |
        sed -n 's/^  Candidate: //p' | grep -v '^(none)$' || true
}

# Prints nothing when the package will do, "warning TEXT" when it has to do,
# "missing TEXT" otherwise.
check_with_dpkg()
{
    have=$(installed_version "$1")
    if [ -z "$have" ]; then
        echo "missing not installed"
        return
    fi
    if ! dpkg --compare-versions "$have" ge "$2"; then
        echo "missing $have is installed, at least $2 is needed"
        return
    fi
    if [ "$3" = - ] || dpkg --compare-versions "$have" ge "$3"; then
        return
    fi
    offer=$(candidate_version "$1")
    if [ -n "$offer" ] && dpkg --compare-versions "$offer" gt "$have"; then
        echo "missing $have is installed, $offer has security fixes"
    else
        echo "warning $have lacks security fixes of $3, and the package" \
             "archive offers nothing newer"
    fi
}

check_without_dpkg()
{
    least=${2#*:}
    name=${4#*:}
    case $4 in
        cmd:*)  PATH=$PATH:/usr/sbin:/sbin command -v "$name" >/dev/null \
                    || echo "missing no command $name" ;;
        pc:*)   pkg-config --atleast-version="$least" "$name" 2>/dev/null \
                    || echo "missing pkg-config does not know $name $least" ;;
        perl:*) perl -e "use $name" 2>/dev/null \
                    || echo "missing no Perl module $name" ;;
        py:*)   python3 -c "import $name" 2>/dev/null \
                    || echo "missing no Python module $name" ;;
        file:*) [ -e "$name" ] || echo "missing no $name" ;;
    esac
}

# Sets missing (packages) and prints what is wrong.
check_dependencies()
{
    missing=
    total=0
    list=$(dependencies)
    while read -r package least revision probe purpose; do
        total=$((total + 1))
        if have_dpkg && [ "$least" != - ]; then
            verdict=$(check_with_dpkg "$package" "$least" "$revision")
        else
            verdict=$(check_without_dpkg "$package" "$least" - "$probe")
        fi
        case $verdict in
            missing*)
                missing="$missing $package"
                say "$package ($purpose): ${verdict#missing }" ;;
            warning*)
                say "warning: $package ($purpose): ${verdict#warning }" ;;
        esac
    done <<END
$list
END
    if [ -z "$missing" ]; then
        say "all $total dependencies are there"
    fi
}

need_root()
{
    [ "$(id -u)" != 0 ] || return 0
    command -v sudo >/dev/null 2>&1 ||
        fail "installing needs root and there is no sudo; as root, run:" \
             "${install_command#sudo }"
    if [ -t 0 ]; then
        sudo -v || fail "sudo refused; as root, run: ${install_command#sudo }"
    else
        sudo -n true 2>/dev/null ||
            fail "sudo asks for a password and there is no terminal; run:" \
                 "$install_command"
    fi
}

as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

install_line()
{
    prefix=
    [ "$(id -u)" = 0 ] || prefix="sudo "
    install_command="${prefix}apt-get install --no-install-recommends$missing"
}

# A fresh nginx or redis-server package starts a public service at once.  Only
# its files are wanted: for the time of the installation the start of services
# which were not there before is refused, unless the machine has a policy.
install_missing()
{
    command -v apt-get >/dev/null 2>&1 ||
        fail "there is no apt-get here; install with this system's own tool:" \
             "$missing"
    install_line
    need_root

    new_services=
    for service in nginx redis-server; do
        [ -n "$(installed_version $service)" ] ||
            new_services="$new_services $service"
    done

    policy=/usr/sbin/policy-rc.d
    made_policy=no
    if [ -n "$new_services" ] && [ ! -e $policy ]; then
        refused=$(echo "${new_services# }" | tr ' ' '|')
        trap remove_policy EXIT
        trap 'exit 1' HUP INT TERM
        made_policy=yes
        as_root sh -c "umask 022; printf '%s\n' '#!/bin/sh' \
            'case \$1 in $refused) exit 101 ;; esac; exit 0' >$policy &&
            chmod 755 $policy"
    fi

    say "apt-get update"
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o DPkg::Lock::Timeout=300 update ||
        say "apt-get update failed; trying with the package lists as they are"

    # a package list that is fresh may offer what the stale one did not
    check_dependencies >/dev/null
    install_line
    say "$install_command (a minute or two)"

    # shellcheck disable=SC2086 # a list of package names
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends $missing >build/install.log 2>&1 || {
            tail -n 20 build/install.log >&2
            fail "apt-get failed; the lines above say why" \
                 "(all of it: build/install.log)"
        }
    remove_policy
    trap - EXIT HUP INT TERM
    if [ -n "$new_services" ]; then
        say "the services$new_services were installed but not started"
    fi
}

remove_policy()
{
    if [ "$made_policy" = yes ]; then
        as_root rm -f $policy
        made_policy=no
    fi
}

# With a terminal the user of a target is asked once.
may_install()
{
    case $install in
        yes) return 0 ;;
        no)  return 1 ;;
    esac
    [ -t 0 ] && [ "$(id -u)" != 0 ] || return 0
    install_line
    printf 'configure: run "%s"? [Y/n] ' "$install_command"
    read -r answer
    case $answer in
        n*|N*) return 1 ;;
    esac
}

check_compiler()
{
    made=yes
    printf 'int main(void) { return 0; }\n' >build/conftest.c
    $cc -o build/conftest build/conftest.c 2>build/conftest.log || made=no
    said=$(cat build/conftest.log)
    rm -f build/conftest build/conftest.c build/conftest.log

    [ $made = no ] || return 0
    [ -n "$said" ] || fail "the compiler $cc cannot make a program, and does" \
                           "not say why"
    printf '%s\n' "$said" >&2
    fail "the compiler $cc cannot make a program; the lines above say why"
}

flags() { pkg-config "$@"; }

write_config()
{
    libs="hiredis yajl libsodium libcurl libssh2 openssl sqlite3 cmocka"
    {
        echo "# Written by configure.sh; changes are lost."
        echo "CONFIGURE_ARGS = $configure_args"
        echo "CC = $cc"
        for lib in $libs; do
            name=$(echo "${lib#lib}" | tr '[:lower:]' '[:upper:]')
            echo "${name}_CFLAGS = $(flags --cflags "$lib")"
            echo "${name}_LIBS = $(flags --libs "$lib")"
        done
        if [ -n "$nginx_src" ]; then
            echo "NGINX_TREE = source"
            echo "NGINX_SRC = $nginx_src"
            echo "NGINX = $PWD/build/nginx/nginx"
        else
            echo "NGINX_TREE = installed"
            echo "NGINX_SRC = /usr/share/nginx/src"
            echo "NGINX = $(PATH=$PATH:/usr/sbin command -v nginx)"
        fi
    } >build/config.mk.new

    # an unchanged file keeps its date: nothing is built again
    if cmp -s build/config.mk.new build/config.mk; then
        rm build/config.mk.new
    else
        mv build/config.mk.new build/config.mk
    fi
}

install=no
command=
nginx_src=
made_policy=no
configure_args=

cd -P "$(dirname "$0")"

while [ $# -gt 0 ]; do
    case $1 in
        --install)      install=yes ;;
        --with-nginx|--with-nginx=)
                        bad "--with-nginx needs =SRC, a source tree of nginx" ;;
        --with-nginx=*) nginx_src=${1#*=} ; configure_args=$1 ;;
        --help|-h)      usage; exit 0 ;;
        demo|test|bench|fuzz|check-asan|check-tsan|check-valgrind)
                        command=$1; shift; break ;;
        *)              bad "unknown argument $1" ;;
    esac
    shift
done

for variable; do
    case $variable in
        [A-Za-z_]*=*) ;;
        *) bad "after $command only VAR=VALUE can follow, not $variable" ;;
    esac
done

if [ -n "$nginx_src" ]; then
    case $nginx_src in
        /*) ;;
        *)  bad "--with-nginx needs an absolute path" ;;
    esac
    [ -e "$nginx_src/src/core/nginx.h" ] ||
        bad "$nginx_src is no source tree of nginx (no src/core/nginx.h)"
    plain_path "$nginx_src" ||
        bad "SRC may have letters, digits and . _ / + - only, not $nginx_src"
fi
plain_path "$PWD" ||
    fail "this folder's path may have letters, digits and . _ / + - only:" \
         "move $PWD"
[ -z "$command" ] || [ $install = yes ] || install=ask

{ mkdir -p build && [ -w build ]; } 2>/dev/null ||
    fail "build/ cannot be written: whose is it?"
check_dependencies
if [ -n "$missing" ] && may_install; then
    install_missing
    check_dependencies
    [ -z "$missing" ] || fail "still missing after the installation:$missing"
fi
if [ -n "$missing" ]; then
    install_line
    fail "install what is missing with ./configure.sh --install, or with:
    $install_command"
fi

cc=${CC:-cc}
check_compiler
write_config

if [ -z "$command" ]; then
    say "wrote build/config.mk; next: make, make demo or make test"
    exit 0
fi

case $command in
    demo|test)  make -s -j"$(nproc)" all ;;
esac
exec make --no-print-directory "$command" "$@"
