
/* Questions to the person at the terminal, and standard input. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "platform/platform.h"
#include "vmops_banned.h"


static int
open_terminal(void)
{
    /* standard input says whether a person is there, also when answers to a
     * script's questions come from a pipe */
    return isatty(STDIN_FILENO) ? open("/dev/tty", O_RDWR | O_CLOEXEC) : -1;
}


int
plat_has_terminal(void)
{
    int  fd = open_terminal();

    if (fd < 0) {
        return 0;
    }

    close(fd);

    return 1;
}


static int
read_line(int fd, char *answer, size_t size)
{
    char     c;
    size_t   len = 0;
    ssize_t  n;

    for ( ;; ) {
        n = read(fd, &c, 1);

        if (n < 0 && errno == EINTR && !plat_stop_asked()) {
            continue;
        }
        if (n <= 0) {
            return PLAT_E;
        }
        if (c == '\n') {
            answer[len] = '\0';
            return 0;
        }
        if (len + 1 == size) {
            return PLAT_ETOOBIG;
        }

        answer[len++] = c;
    }
}


static int
ask(const char *question, char *answer, size_t size, int echo)
{
    int             fd, rc;
    struct termios  before, quiet;

    fd = open_terminal();
    if (fd < 0) {
        return PLAT_ENOTTY;
    }

    if (tcgetattr(fd, &before) != 0) {
        close(fd);
        return PLAT_E;
    }

    quiet = before;
    if (!echo) {
        quiet.c_lflag &= ~(tcflag_t) ECHO;
        quiet.c_lflag |= ECHONL;
    }

    /* what was typed before the question is no answer to it */
    rc = tcsetattr(fd, TCSAFLUSH, &quiet);

    if (rc == 0 && write(fd, question, strlen(question)) > 0) {
        rc = read_line(fd, answer, size);
    } else {
        rc = PLAT_E;
    }

    tcsetattr(fd, TCSADRAIN, &before);

    close(fd);

    return rc;
}


int
plat_ask(const char *question, char *answer, size_t size)
{
    return ask(question, answer, size, 1);
}


int
plat_ask_secret(const char *question, char *answer, size_t size)
{
    return ask(question, answer, size, 0);
}


int
plat_read_stdin(char *data, size_t size, size_t *len)
{
    ssize_t  n;

    *len = 0;

    for ( ;; ) {
        if (*len == size) {
            return PLAT_ETOOBIG;
        }

        n = read(STDIN_FILENO, data + *len, size - *len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return PLAT_E;
        }
        if (n == 0) {
            break;
        }

        *len += (size_t) n;
    }

    if (*len > 0 && data[*len - 1] == '\n') {
        (*len)--;
    }
    if (*len > 0 && data[*len - 1] == '\r') {
        (*len)--;
    }

    data[*len] = '\0';

    return 0;
}
