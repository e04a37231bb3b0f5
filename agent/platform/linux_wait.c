
/* Waiting: poll(), an eventfd as waker, rtnetlink for network changes. */

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/platform.h"
#include "vmops_banned.h"


struct plat_waker_s {
    int  event;
    int  route;     /* netlink socket, or -1 */
};


plat_waker_t *
plat_waker_new(void)
{
    plat_waker_t  *waker = malloc(sizeof(*waker));

    if (waker == NULL) {
        return NULL;
    }

    waker->route = -1;
    waker->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (waker->event < 0) {
        free(waker);
        return NULL;
    }

    return waker;
}


void
plat_waker_free(plat_waker_t *waker)
{
    if (waker == NULL) {
        return;
    }

    close(waker->event);
    if (waker->route >= 0) {
        close(waker->route);
    }
    free(waker);
}


void
plat_wake(plat_waker_t *waker)
{
    uint64_t  one = 1;

    /* fails only when the counter is full: then it is awake already */
    (void) !write(waker->event, &one, sizeof(one));
}


void
plat_watch_network(plat_waker_t *waker)
{
    struct sockaddr_nl  sa;
    int                 fd;

    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                NETLINK_ROUTE);
    if (fd < 0) {
        return;
    }

    memset(&sa, 0, sizeof(sa));
    sa.nl_family = AF_NETLINK;
    sa.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
                   | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;

    if (bind(fd, (struct sockaddr *) &sa, sizeof(sa)) != 0) {
        close(fd);
        return;
    }

    waker->route = fd;
}


static void
drain(int fd)
{
    char  buf[4096];

    while (read(fd, buf, sizeof(buf)) > 0) { /* void */ }
}


unsigned
plat_wait(intptr_t sock, unsigned events, plat_waker_t *waker, uint64_t ms)
{
    struct pollfd  fds[3];
    unsigned       got = 0;

    memset(fds, 0, sizeof(fds));

    /* poll() skips negative descriptors */
    fds[0].fd = (int) sock;
    fds[0].events = (short) ((events & PLAT_READABLE ? POLLIN : 0)
                             | (events & PLAT_WRITABLE ? POLLOUT : 0));
    fds[1].fd = waker->event;
    fds[1].events = POLLIN;
    fds[2].fd = waker->route;
    fds[2].events = POLLIN;

    if (poll(fds, 3, ms > 60000 ? 60000 : (int) ms) <= 0) {
        return 0;
    }

    if (fds[0].revents & (POLLIN | POLLERR | POLLHUP | POLLNVAL)) {
        got |= PLAT_READABLE;
    }
    if (fds[0].revents & POLLOUT) {
        got |= PLAT_WRITABLE;
    }
    if (fds[1].revents) {
        drain(waker->event);
        got |= PLAT_WOKEN;
    }
    if (fds[2].revents) {
        drain(waker->route);
        got |= PLAT_NETWORK;
    }

    return got;
}


plat_net_error_t
plat_net_error(long number)
{
    switch (number) {

    case ECONNREFUSED:
        return PLAT_NET_REFUSED;

    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return PLAT_NET_NO_ROUTE;

    case ETIMEDOUT:
        return PLAT_NET_TIMEOUT;

    default:
        return PLAT_NET_OTHER;
    }
}
