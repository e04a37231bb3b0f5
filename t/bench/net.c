
/* The loop, and connections on it: plain, or TLS by OpenSSL. */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "vmops_banned.h"


#define EVENTS    256
#define READ_MAX  65536
#define OUT_MAX   (4 * VMOPS_WS_FRAME_MAX)


target_t  target;

static int      ep = -1;
static int      watched_fd = -1;
static int      watched_ready;
static uint8_t  input[READ_MAX];


void
fatal(const char *format, ...)
{
    va_list  args;

    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}


static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec  ts;

    clock_gettime(clock, &ts);

    return (uint64_t) ts.tv_sec * SECOND + (uint64_t) ts.tv_nsec;
}


uint64_t
now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}


uint64_t
now_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000;
}


static int
epoll_fd(void)
{
    if (ep < 0) {
        ep = epoll_create1(EPOLL_CLOEXEC);
        if (ep < 0) {
            fatal("epoll_create1: %s", strerror(errno));
        }
    }

    return ep;
}


void
target_set(const char *host, uint16_t port, const char *ca)
{
    SSL_CTX  *ctx;

    memset(&target.addr, 0, sizeof(target.addr));
    target.addr.sin_family = AF_INET;
    target.addr.sin_port = htons(port);

    if (inet_pton(AF_INET, host, &target.addr.sin_addr) != 1
        || ntohl(target.addr.sin_addr.s_addr) >> 24 != 127)
    {
        fatal("%s is not in 127.0.0.0/8", host);
    }

    snprintf(target.host, sizeof(target.host), "%s:%u", host, port);

    SSL_CTX_free(target.tls);
    target.tls = NULL;

    if (ca == NULL) {
        return;
    }

    ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL || SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1) {
        fatal("cannot use the CA certificate %s", ca);
    }

    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS
                          | SSL_MODE_ENABLE_PARTIAL_WRITE
                          | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(ctx), host);
    target.tls = ctx;
}


static void
conn_events(conn_t *c, int op, unsigned writing)
{
    struct epoll_event  event;

    event.events = EPOLLIN | (writing ? (unsigned) EPOLLOUT : 0);
    event.data.u64 = (uintptr_t) c | (c->turn & 7);

    if (epoll_ctl(epoll_fd(), op, c->fd, &event) != 0) {
        fatal("epoll_ctl: %s", strerror(errno));
    }

    c->writing = writing;
}


static void
conn_from(int fd, uint32_t source)
{
    int                 one = 1;
    struct sockaddr_in  from = { .sin_family = AF_INET };

    if (source == 0) {
        return;
    }

    /* with the port left to connect(), each address has all of them */
    from.sin_addr.s_addr = htonl(UINT32_C(127) << 24 | source);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));

    if (bind(fd, (struct sockaddr *) &from, sizeof(from)) != 0) {
        fatal("bind: %s", strerror(errno));
    }
}


void
conn_open(conn_t *c, uint32_t source)
{
    int  fd, one = 1;

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fatal("socket: %s", strerror(errno));
    }

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    conn_from(fd, source);

    if (connect(fd, (struct sockaddr *) &target.addr, sizeof(target.addr)) != 0
        && errno != EINPROGRESS)
    {
        fatal("connect: %s", strerror(errno));
    }

    c->fd = fd;
    c->turn++;
    c->out_n = 0;
    c->state = CONN_CONNECTING;
    conn_events(c, EPOLL_CTL_ADD, 1);
}


void
conn_close(conn_t *c)
{
    if (c->state == CONN_CLOSED) {
        return;
    }

    if (c->ssl != NULL) {
        SSL_free(c->ssl);
        c->ssl = NULL;
        ERR_clear_error();
    }

    close(c->fd);
    c->state = CONN_CLOSED;
    c->turn++;
}


static void
conn_lost(conn_t *c)
{
    conn_close(c);
    c->handler->closed(c);
}


/* bytes taken; 0: none now; -1: the connection is broken */

static ssize_t
conn_write(conn_t *c, const uint8_t *p, size_t n)
{
    int      rc;
    size_t   done;
    ssize_t  sent;

    if (c->ssl == NULL) {
        sent = send(c->fd, p, n, MSG_NOSIGNAL);
        return sent < 0 ? (errno == EAGAIN ? 0 : -1) : sent;
    }

    rc = SSL_write_ex(c->ssl, p, n, &done);
    if (rc == 1) {
        return (ssize_t) done;
    }

    rc = SSL_get_error(c->ssl, rc);

    return rc == SSL_ERROR_WANT_WRITE || rc == SSL_ERROR_WANT_READ ? 0 : -1;
}


static ssize_t
conn_read(conn_t *c, uint8_t *p, size_t cap)
{
    int      rc;
    size_t   done;
    ssize_t  got;

    if (c->ssl == NULL) {
        got = recv(c->fd, p, cap, 0);
        return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
    }

    rc = SSL_read_ex(c->ssl, p, cap, &done);
    if (rc == 1) {
        return (ssize_t) done;
    }

    rc = SSL_get_error(c->ssl, rc);

    return rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE ? 0 : -1;
}


static void
conn_keep(conn_t *c, const uint8_t *p, size_t n)
{
    if (c->out_n + n > OUT_MAX) {
        fatal("the server reads nothing");
    }

    if (c->out_n + n > c->out_cap) {
        c->out_cap = c->out_n + n + 4096;
        c->out = realloc(c->out, c->out_cap);
        if (c->out == NULL) {
            fatal("no memory");
        }
    }

    memcpy(c->out + c->out_n, p, n);
    c->out_n += n;
}


/* what breaks a connection here is seen by the next read, too */

void
conn_send(conn_t *c, const void *p, size_t n)
{
    ssize_t         sent;
    const uint8_t  *bytes = p;

    if (c->state == CONN_OPEN && c->out_n == 0) {
        sent = conn_write(c, bytes, n);
        if (sent > 0) {
            bytes += sent;
            n -= (size_t) sent;
        }
    }

    if (n > 0 && c->state != CONN_CLOSED) {
        conn_keep(c, bytes, n);
        if (c->state == CONN_OPEN && !c->writing) {
            conn_events(c, EPOLL_CTL_MOD, 1);
        }
    }
}


static void
conn_flush(conn_t *c)
{
    ssize_t  sent;

    while (c->out_n > 0) {
        sent = conn_write(c, c->out, c->out_n);
        if (sent < 0) {
            conn_lost(c);
            return;
        }
        if (sent == 0) {
            return;
        }
        c->out_n -= (size_t) sent;
        memmove(c->out, c->out + sent, c->out_n);
    }

    conn_events(c, EPOLL_CTL_MOD, 0);
}


static void
conn_established(conn_t *c)
{
    c->state = CONN_OPEN;
    c->handler->open(c);

    if (c->state == CONN_OPEN && c->writing) {
        conn_flush(c);
    }
}


static void
conn_handshake(conn_t *c)
{
    int  rc;

    rc = SSL_connect(c->ssl);
    if (rc == 1) {
        conn_established(c);
        return;
    }

    rc = SSL_get_error(c->ssl, rc);
    if (rc != SSL_ERROR_WANT_READ && rc != SSL_ERROR_WANT_WRITE) {
        conn_lost(c);
    } else if (rc == SSL_ERROR_WANT_READ && c->writing) {
        conn_events(c, EPOLL_CTL_MOD, 0);
    }
}


static void
conn_connected(conn_t *c)
{
    int        error = 0;
    socklen_t  len = sizeof(error);

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        conn_lost(c);
        return;
    }

    if (target.tls == NULL) {
        conn_established(c);
        return;
    }

    c->ssl = SSL_new(target.tls);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
        fatal("no memory for TLS");
    }
    c->state = CONN_TLS;
    conn_handshake(c);
}


static void
conn_input(conn_t *c)
{
    ssize_t   n;
    unsigned  turn = c->turn;

    do {
        n = conn_read(c, input, sizeof(input));
        if (n < 0) {
            conn_lost(c);
            return;
        }
        if (n > 0) {
            c->handler->data(c, input, (size_t) n);
        }
    } while (n > 0 && c->turn == turn && c->ssl != NULL);
}


static void
conn_event(conn_t *c, unsigned turn, uint32_t events)
{
    if (c->state == CONN_CLOSED || (c->turn & 7) != turn) {
        return;
    }

    if (c->state == CONN_CONNECTING) {
        conn_connected(c);
        return;
    }

    if (c->state == CONN_TLS) {
        conn_handshake(c);
        return;
    }

    if (events & EPOLLOUT) {
        conn_flush(c);
    }

    if (c->state == CONN_OPEN && (c->turn & 7) == turn
        && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
    {
        conn_input(c);
    }
}


void
loop_watch(int fd)
{
    struct epoll_event  event = { .events = EPOLLIN };

    if (epoll_ctl(epoll_fd(), EPOLL_CTL_ADD, fd, &event) != 0) {
        fatal("epoll_ctl: %s", strerror(errno));
    }

    watched_fd = fd;
}


int
loop_readable(void)
{
    int  ready = watched_ready;

    watched_ready = 0;

    return ready;
}


void
loop_once(uint64_t until)
{
    int                 i, n;
    uint64_t            now, data;
    struct timespec     left = { 0, 0 };
    struct epoll_event  events[EVENTS];

    now = now_ns();
    if (until > now) {
        left.tv_sec = (time_t) ((until - now) / SECOND);
        left.tv_nsec = (long) ((until - now) % SECOND);
    }

    n = epoll_pwait2(epoll_fd(), events, EVENTS, &left, NULL);
    if (n < 0 && errno != EINTR) {
        fatal("epoll_pwait2: %s", strerror(errno));
    }

    for (i = 0; i < n; i++) {
        data = events[i].data.u64;
        if (data == 0) {
            watched_ready = 1;
        } else {
            conn_event((conn_t *) (uintptr_t) (data & ~UINT64_C(7)), data & 7,
                       events[i].events);
        }
    }
}
