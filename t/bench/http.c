
/* HTTP/1.1 clients: keep-alive, one request at a time, Content-Length only. */

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "bench.h"
#include "vmops_banned.h"


static client_t  *clients[CLIENTS_MAX];


static void http_open(conn_t *c);
static void http_data(conn_t *c, uint8_t *p, size_t n);
static void http_closed(conn_t *c);

static const conn_handler_t  http_handler = {
    http_open, http_data, http_closed
};


client_t *
http_client(unsigned index)
{
    client_t  *h;

    if (index >= CLIENTS_MAX) {
        fatal("more than %u HTTP clients", CLIENTS_MAX);
    }

    h = clients[index];
    if (h != NULL) {
        return h;
    }

    h = calloc(1, sizeof(*h));
    if (h == NULL) {
        fatal("no memory");
    }

    h->request = malloc(REQUEST_MAX);
    h->in = malloc(ANSWER_MAX + 1);
    if (h->request == NULL || h->in == NULL) {
        fatal("no memory");
    }

    h->index = index;
    h->conn.handler = &http_handler;
    h->conn.owner = h;
    clients[index] = h;

    return h;
}


void
http_close_all(void)
{
    unsigned  i;

    for (i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i] != NULL) {
            conn_close(&clients[i]->conn);
            clients[i]->busy = 0;
        }
    }
}


void
http_request(client_t *h, const char *method, const char *path,
    const char *headers, vmops_span_t body, client_pt done)
{
    int  n;

    n = snprintf(h->request, REQUEST_MAX,
                 "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, path, target.host,
                 headers);
    if (n < 0 || (size_t) n + body.n + 64 > REQUEST_MAX) {
        fatal("a request is too long");
    }

    if (body.p != NULL) {
        n += snprintf(h->request + n, REQUEST_MAX - (size_t) n,
                      "Content-Length: %zu\r\n\r\n", body.n);
        memcpy(h->request + n, body.p, body.n);
    } else {
        memcpy(h->request + n, "\r\n", 2);
        n += 2;
    }

    h->request_n = (size_t) n + body.n;
    h->done = done;
    h->busy = 1;
    h->in_n = 0;

    if (h->conn.state == CONN_CLOSED) {
        conn_open(&h->conn, 0);
    } else {
        conn_send(&h->conn, h->request, h->request_n);
    }
}


static void
http_open(conn_t *c)
{
    client_t  *h = c->owner;

    conn_send(c, h->request, h->request_n);
}


static void
http_done(client_t *h, int status, vmops_span_t body)
{
    h->busy = 0;
    h->done(h, status, body);
}


static void
http_closed(conn_t *c)
{
    client_t  *h = c->owner;

    if (h->busy) {
        http_done(h, 0, vmops_span(NULL, 0));
    }
}


/* the value of a header in [p, end), or NULL; it ends at its CR */

static const char *
http_header(const char *p, const char *end, const char *name)
{
    size_t  n = strlen(name);

    while (p < end) {
        if (strncasecmp(p, name, n) == 0) {
            for (p += n; *p == ' '; p++) { /* void */ }
            return p;
        }
        p = strstr(p, "\r\n") + 2;
    }

    return NULL;
}


/* once the header is complete: 1 when all of the answer is there */

static int
http_whole(client_t *h, int *status, int *keep, vmops_span_t *body)
{
    char        *p, *end;
    size_t       length;
    const char  *value;

    h->in[h->in_n] = '\0';
    p = (char *) h->in;

    end = strstr(p, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }

    if (memcmp(p, "HTTP/1.1 ", 9) != 0) {
        fatal("no HTTP/1.1 answer");
    }

    *status = (int) strtol(p + 9, NULL, 10);
    value = http_header(p, end, "Content-Length:");
    if (value == NULL && *status != 204) {
        fatal("an answer without Content-Length");
    }

    length = value != NULL ? strtoul(value, NULL, 10) : 0;
    end += 4;
    if ((size_t) (end - p) + length > ANSWER_MAX) {
        fatal("an answer is too long");
    }

    if ((size_t) (end - p) + length > h->in_n) {
        return 0;
    }

    value = http_header(p, end - 4, "Connection:");
    *keep = value == NULL || strncasecmp(value, "close", 5) != 0;
    *body = vmops_span(end, length);

    return 1;
}


static void
http_data(conn_t *c, uint8_t *p, size_t n)
{
    int            status, keep;
    client_t      *h = c->owner;
    vmops_span_t   body;

    if (!h->busy || h->in_n + n > ANSWER_MAX) {
        fatal("more than an answer: %zu bytes", h->in_n + n);
    }

    memcpy(h->in + h->in_n, p, n);
    h->in_n += n;

    if (!http_whole(h, &status, &keep, &body)) {
        return;
    }

    if (!keep) {
        conn_close(c);
    }

    http_done(h, status, body);
}
