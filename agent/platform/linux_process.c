
/* Process-wide settings, stop signals, clocks. */

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/platform.h"
#include "vmops_banned.h"


/* the signal may come to any thread, and all of them ask */
static atomic_int     stop_asked;
static plat_waker_t  *stop_waker;


int
plat_init(void)
{
    struct sigaction  sa;
    struct rlimit     none = { 0, 0 };

    umask(077);

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = SIG_IGN;
    sigemptyset(&sa.sa_mask);

    if (sigaction(SIGPIPE, &sa, NULL) != 0
        || setrlimit(RLIMIT_CORE, &none) != 0)
    {
        return PLAT_E;
    }

    /* also keeps other processes of this user from reading our memory */
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : PLAT_E;
}


int
plat_detach(void)
{
    int    fd;
    pid_t  pid = fork();

    if (pid < 0) {
        return PLAT_E;
    }
    if (pid > 0) {
        _exit(0);
    }

    if (setsid() < 0) {
        return PLAT_E;
    }

    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return PLAT_E;
    }

    if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0
        || dup2(fd, STDERR_FILENO) < 0)
    {
        return PLAT_E;
    }

    return close(fd) == 0 ? 0 : PLAT_E;
}


uint64_t
plat_process_id(void)
{
    return (uint64_t) getpid();
}


const char *
plat_name(void)
{
    return "linux";
}


void
plat_hostname(char *name, size_t size)
{
    if (gethostname(name, size) != 0 || name[0] == '\0') {
        snprintf(name, size, "localhost");
    }

    name[size - 1] = '\0';
}


static void
stop_handler(int signo)
{
    (void) signo;

    stop_asked = 1;
    plat_wake(stop_waker);
}


void
plat_watch_stop(plat_waker_t *waker)
{
    struct sigaction  sa, before;

    stop_waker = waker;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = stop_handler;
    sa.sa_flags = SA_RESTART;
    sigemptyset(&sa.sa_mask);

    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);

    /* the terminal is closed, unless nohup(1) said that it may be */
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        sigaction(SIGHUP, &sa, NULL);
    }
}


int
plat_stop_asked(void)
{
    return stop_asked;
}


static uint64_t
clock_ms(clockid_t clock)
{
    struct timespec  ts;

    clock_gettime(clock, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


uint64_t
plat_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}


uint64_t
plat_boot_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}


uint64_t
plat_suspended_ms(void)
{
    uint64_t  awake = clock_ms(CLOCK_MONOTONIC);

    return clock_ms(CLOCK_BOOTTIME) - awake;
}
