
/*
 * http_load PORT CONNECTIONS SECONDS FILE COUNT
 *
 * The file holds COUNT requests of the same length.  They are sent in turn over
 * so many keep-alive connections to 127.0.0.1, the next as soon as an answer is
 * whole (Content-Length only), for so long; prints one JSON object: requests,
 * seconds, rate, p50_ms, p99_ms, max_ms, and how many answers of each hundred
 * there were.
 */


#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define MAX_CONNECTIONS  1024
#define MAX_SECONDS      600
#define MAX_SAMPLES      (16 * 1024 * 1024)
#define MAX_REQUESTS     (4 * 1024 * 1024)
#define ANSWER_SIZE      (128 * 1024)
#define STALL_MS         10000


typedef struct {
    int        fd;
    size_t     got;
    uint64_t   started;         /* ns */
    char       answer[ANSWER_SIZE + 1];
} conn_t;


static char       requests[MAX_REQUESTS];
static size_t     nrequests;
static size_t     next_request;
static uint16_t   port;
static int        ep;
static size_t     request_len;
static conn_t    *conns;
static uint32_t  *samples;      /* us */
static size_t     nsamples;
static uint64_t   hundreds[6];


static void
die(const char *what)
{
    fprintf(stderr, "http_load: %s: %s\n", what, strerror(errno));
    exit(1);
}


static uint64_t
now_ns(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}


static long
number(const char *text, long max, const char *what)
{
    char  *end;
    long   n;

    n = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || n < 1 || n > max) {
        fprintf(stderr, "http_load: %s is 1 to %ld\n", what, max);
        exit(2);
    }

    return n;
}


static void
open_connection(conn_t *c)
{
    int                 one = 1;
    struct sockaddr_in  to = { .sin_family = AF_INET,
                               .sin_port = htons(port),
                               .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct epoll_event  event = { .events = EPOLLIN, .data = { .ptr = c } };

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *) &to, sizeof(to)) < 0) {
        die("connect");
    }

    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event) < 0) {
        die("epoll_ctl");
    }
}


static void
begin(conn_t *c)
{
    c->got = 0;
    c->started = now_ns();
    if (send(c->fd, requests + request_len * next_request, request_len,
             MSG_NOSIGNAL)
        != (ssize_t) request_len)
    {
        die("send");
    }

    next_request = (next_request + 1) % nrequests;
}


/* the whole length of the answer, 0 while its header is not complete */

static size_t
answer_length(const char *answer)
{
    const char  *end, *line;

    end = strstr(answer, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }

    for (line = answer; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, "Content-Length:", 15) == 0) {
            return (size_t) (end + 4 - answer)
                   + strtoul(line + 15, NULL, 10);
        }
    }

    fprintf(stderr, "http_load: an answer without Content-Length\n");
    exit(1);
}


static void
count(conn_t *c)
{
    int  hundred;

    hundred = c->answer[9] - '0';
    if (hundred < 1 || hundred > 5) {
        fprintf(stderr, "http_load: this is not HTTP\n");
        exit(1);
    }

    hundreds[hundred]++;
    if (nsamples < MAX_SAMPLES) {
        samples[nsamples++] = (uint32_t) ((now_ns() - c->started) / 1000);
    }
}


/* reads what is there; 1 when the answer is whole */

static int
receive(conn_t *c)
{
    ssize_t  n;
    size_t   length;

    n = recv(c->fd, c->answer + c->got, ANSWER_SIZE - c->got, 0);
    if (n <= 0) {
        die("the server closed a connection");
    }

    c->got += (size_t) n;
    c->answer[c->got] = '\0';

    length = answer_length(c->answer);
    if (length > ANSWER_SIZE) {
        errno = EMSGSIZE;
        die("answer");
    }

    return length != 0 && c->got >= length;
}


static int
by_value(const void *a, const void *b)
{
    uint32_t  x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return (x > y) - (x < y);
}


static void
report(double seconds)
{
    if (nsamples == 0) {
        fprintf(stderr, "http_load: no answer in time\n");
        exit(1);
    }

    qsort(samples, nsamples, sizeof(*samples), by_value);
    printf("{\"requests\":%zu,\"seconds\":%.3f,\"rate\":%.1f,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
           "\"2xx\":%llu,\"4xx\":%llu,\"5xx\":%llu}\n",
           nsamples, seconds, (double) nsamples / seconds,
           samples[nsamples / 2] / 1000.0,
           samples[nsamples - 1 - nsamples / 100] / 1000.0,
           samples[nsamples - 1] / 1000.0,
           (unsigned long long) hundreds[2], (unsigned long long) hundreds[4],
           (unsigned long long) hundreds[5]);
}


int
main(int argc, char **argv)
{
    int                 i, n;
    long                nconns, seconds;
    FILE               *file;
    uint64_t            start, end;
    conn_t             *c;
    struct epoll_event  events[64];

    if (argc != 6) {
        fprintf(stderr,
                "usage: http_load PORT CONNECTIONS SECONDS FILE COUNT\n");
        return 2;
    }

    port = (uint16_t) number(argv[1], 65535, "PORT");
    nconns = number(argv[2], MAX_CONNECTIONS, "CONNECTIONS");
    seconds = number(argv[3], MAX_SECONDS, "SECONDS");
    nrequests = (size_t) number(argv[5], MAX_REQUESTS, "COUNT");

    file = fopen(argv[4], "rb");
    if (file == NULL) {
        die(argv[4]);
    }
    request_len = fread(requests, 1, sizeof(requests), file);
    fclose(file);
    if (request_len == 0 || request_len % nrequests != 0) {
        fprintf(stderr, "http_load: not %zu requests of one length\n",
                nrequests);
        return 2;
    }
    request_len /= nrequests;

    conns = calloc((size_t) nconns, sizeof(*conns));
    samples = calloc(MAX_SAMPLES, sizeof(*samples));
    ep = epoll_create1(0);
    if (conns == NULL || samples == NULL || ep < 0) {
        die("start");
    }

    for (i = 0; i < nconns; i++) {
        open_connection(&conns[i]);
    }

    start = now_ns();
    end = start + (uint64_t) seconds * 1000000000;
    for (i = 0; i < nconns; i++) {
        begin(&conns[i]);
    }

    while (now_ns() < end) {
        n = epoll_wait(ep, events, 64, STALL_MS);
        if (n < 0 && errno != EINTR) {
            die("epoll_wait");
        }
        if (n == 0) {
            errno = ETIMEDOUT;
            die("answers");
        }

        for (i = 0; i < n; i++) {
            c = events[i].data.ptr;
            if (receive(c)) {
                count(c);
                if (strstr(c->answer, "\r\nConnection: close\r\n")) {
                    close(c->fd);
                    open_connection(c);
                }
                begin(c);
            }
        }
    }

    report((double) (now_ns() - start) / 1e9);
    return 0;
}
