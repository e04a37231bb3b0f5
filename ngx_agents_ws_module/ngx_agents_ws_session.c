
/*
 * The life of an agent's socket: bytes into messages, pings, and the closing
 * handshake (RFC 6455 sections 5 and 7).
 *
 * A session is freed in one place only, at the end of its read handler: all
 * others mark it dead and post that event.  A read buffer and a reassembler of
 * the worker serve all sockets; a session has its own only in mid-message.
 */


#include "ngx_agents_ws.h"

#include "vmops_banned.h"


static void ngx_agents_ws_read(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_input(ngx_agents_ws_session_t *s, u_char *p,
    u_char *end);
static vmops_ws_reasm_t *ngx_agents_ws_reasm(ngx_agents_ws_session_t *s);
static ngx_int_t ngx_agents_ws_feed(ngx_agents_ws_session_t *s,
    vmops_ws_reasm_t *r, u_char **p, u_char *end);
static ngx_int_t ngx_agents_ws_keep(ngx_agents_ws_session_t *s,
    vmops_ws_reasm_t *r, u_char *p, u_char *end);
static void ngx_agents_ws_data(ngx_agents_ws_session_t *s,
    vmops_ws_event_t *ev);
static ngx_int_t ngx_agents_ws_append(ngx_agents_ws_session_t *s,
    vmops_span_t data);
static void ngx_agents_ws_control(ngx_agents_ws_session_t *s,
    vmops_ws_event_t *ev);
static void ngx_agents_ws_peer_close(ngx_agents_ws_session_t *s,
    vmops_span_t body);
static void ngx_agents_ws_close_log(ngx_agents_ws_session_t *s,
    ngx_uint_t code, const char *reason);
static void ngx_agents_ws_send_close(ngx_agents_ws_session_t *s,
    ngx_uint_t code, const u_char *body, size_t n);
static void ngx_agents_ws_partial_free(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_finalize(ngx_agents_ws_session_t *s);


void
ngx_agents_ws_start(ngx_agents_ws_session_t *s)
{
    if (ngx_exiting) {
        ngx_agents_ws_close(s, VMOPS_CLOSE_GOING_AWAY, "shutting down");
    }

    ngx_agents_ws_read_handler(s->connection->read);
}


void
ngx_agents_ws_read_handler(ngx_event_t *rev)
{
    ngx_connection_t         *c;
    ngx_agents_ws_session_t  *s;

    c = rev->data;
    s = c->data;

    if (c->close) {

        /* worker_shutdown_timeout */
        s->dead = 1;
    }

    if (!s->dead) {
        ngx_agents_ws_read(s);
    }

    if (s->dead) {
        ngx_agents_ws_finalize(s);
    }
}


static void
ngx_agents_ws_read(ngx_agents_ws_session_t *s)
{
    size_t                   size;
    ssize_t                  n;
    ngx_uint_t               i;
    ngx_event_t             *rev;
    ngx_connection_t        *c;
    ngx_agents_ws_held_t    *held;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    c = s->connection;
    rev = c->read;

    for (i = 0; i < NGX_AGENTS_WS_READS; i++) {

        if (s->dead || ngx_agents_ws_blocked(s)) {
            return;
        }

        if (s->held) {
            held = s->held;
            s->held = NULL;

            ngx_agents_ws_input(s, held->data, held->data + held->len);

            ngx_free(held);
            continue;
        }

        if (!rev->ready) {
            break;
        }

        size = (s->state < NGX_AGENTS_WS_READYING)
               ? 2 * VMOPS_WS_PRE_READY_BYTES : NGX_AGENTS_WS_READ;

        n = c->recv(c, w->read, size);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {
            s->dead = 1;
            return;
        }

        s->seen = (uint32_t) ngx_current_msec;

        ngx_agents_ws_input(s, w->read, w->read + n);
    }

    if (i == NGX_AGENTS_WS_READS) {
        ngx_post_event(rev, &ngx_posted_events);
        return;
    }

    if (!s->dead && ngx_handle_read_event(rev, 0) != NGX_OK) {
        s->dead = 1;
    }
}


static void
ngx_agents_ws_input(ngx_agents_ws_session_t *s, u_char *p, u_char *end)
{
    vmops_ws_reasm_t  *r;

    r = ngx_agents_ws_reasm(s);

    for ( ;; ) {

        /* what comes after an error or a Close is drained, not read */

        if (s->dead || s->failed || s->closed) {
            ngx_agents_ws_partial_free(s);
            return;
        }

        if (ngx_agents_ws_blocked(s)
            || ngx_agents_ws_feed(s, r, &p, end) == NGX_DONE)
        {
            break;
        }
    }

    if (ngx_agents_ws_keep(s, r, p, end) != NGX_OK) {
        s->dead = 1;
    }
}


static vmops_ws_reasm_t *
ngx_agents_ws_reasm(ngx_agents_ws_session_t *s)
{
    vmops_ws_reasm_t  *r;

    if (s->partial) {
        r = &s->partial->reasm;

    } else {
        r = &ngx_agents_ws_worker->reasm;
        vmops_ws_reasm_init(r, VMOPS_WS_SERVER);
    }

    return r;
}


/* one event; NGX_DONE: all input is taken */

static ngx_int_t
ngx_agents_ws_feed(ngx_agents_ws_session_t *s, vmops_ws_reasm_t *r, u_char **p,
    u_char *end)
{
    int               rc;
    vmops_ws_event_t  ev;

    if (s->state < NGX_AGENTS_WS_READYING) {
        r->max_frame = VMOPS_WS_PRE_READY_BYTES;
        r->max_message = VMOPS_WS_PRE_READY_BYTES;
        r->max_fragments = 1;    /* so that each message is a frame */

    } else {
        r->max_frame = VMOPS_WS_FRAME_MAX;
        r->max_message = VMOPS_WS_MESSAGE_MAX;
        r->max_fragments = VMOPS_WS_FRAGMENTS_MAX;
    }

    rc = vmops_ws_reasm_feed(r, p, end, &ev);

    if (rc != VMOPS_WS_OK) {
        ngx_agents_ws_fail(s, rc, "bad frame");
        return NGX_OK;
    }

    switch (ev.type) {

    case VMOPS_WS_EV_DATA:
        ngx_agents_ws_data(s, &ev);
        return NGX_OK;

    case VMOPS_WS_EV_CONTROL:
        ngx_agents_ws_control(s, &ev);
        return NGX_OK;

    default:
        return NGX_DONE;
    }
}


/* what the session has to remember until it is read again */

static ngx_int_t
ngx_agents_ws_keep(ngx_agents_ws_session_t *s, vmops_ws_reasm_t *r, u_char *p,
    u_char *end)
{
    if (p < end) {

        s->held = ngx_alloc(sizeof(ngx_agents_ws_held_t) + (end - p),
                            s->connection->log);
        if (s->held == NULL) {
            return NGX_ERROR;
        }

        s->held->len = end - p;
        ngx_memcpy(s->held->data, p, end - p);
    }

    if (vmops_ws_reasm_idle(r)) {
        ngx_agents_ws_partial_free(s);
        return NGX_OK;
    }

    if (s->partial == NULL) {
        s->partial = ngx_calloc(sizeof(ngx_agents_ws_partial_t),
                                s->connection->log);
        if (s->partial == NULL) {
            return NGX_ERROR;
        }
    }

    if (r != &s->partial->reasm) {
        s->partial->reasm = *r;
    }

    return NGX_OK;
}


static void
ngx_agents_ws_data(ngx_agents_ws_session_t *s, vmops_ws_event_t *ev)
{
    ngx_agents_ws_partial_t  *partial = s->partial;

    if (ev->end && (partial == NULL || partial->len == 0)) {
        ngx_agents_ws_message(s, ev->opcode, ev->data.p, ev->data.n);
        return;
    }

    if (ngx_agents_ws_append(s, ev->data) != NGX_OK) {
        s->dead = 1;
        return;
    }

    if (ev->end) {
        partial = s->partial;
        ngx_agents_ws_message(s, ev->opcode, partial->data, partial->len);
        partial->len = 0;
    }
}


/* the reassembler holds the message below VMOPS_WS_MESSAGE_MAX */

static ngx_int_t
ngx_agents_ws_append(ngx_agents_ws_session_t *s, vmops_span_t data)
{
    size_t                    size;
    u_char                   *p;
    ngx_agents_ws_partial_t  *partial = s->partial;

    if (partial == NULL) {
        partial = ngx_calloc(sizeof(ngx_agents_ws_partial_t),
                             s->connection->log);
        if (partial == NULL) {
            return NGX_ERROR;
        }

        s->partial = partial;
    }

    if (partial->size - partial->len < data.n) {

        size = ngx_max(partial->len + data.n, 2 * partial->size);

        p = ngx_alloc(size, s->connection->log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (partial->data) {
            ngx_memcpy(p, partial->data, partial->len);
            ngx_free(partial->data);
        }

        partial->data = p;
        partial->size = size;
    }

    if (data.n) {
        ngx_memcpy(partial->data + partial->len, data.p, data.n);
        partial->len += data.n;
    }

    return NGX_OK;
}


static void
ngx_agents_ws_partial_free(ngx_agents_ws_session_t *s)
{
    if (s->partial == NULL) {
        return;
    }

    if (s->partial->data) {
        ngx_free(s->partial->data);
    }

    ngx_free(s->partial);
    s->partial = NULL;
}


static void
ngx_agents_ws_control(ngx_agents_ws_session_t *s, vmops_ws_event_t *ev)
{
    switch (ev->opcode) {

    case VMOPS_WS_PING:
        (void) ngx_agents_ws_send(s, VMOPS_WS_PONG, ev->data.p, ev->data.n,
                                  NULL);
        break;

    case VMOPS_WS_CLOSE:
        ngx_agents_ws_peer_close(s, ev->data);
        break;

    default: /* VMOPS_WS_PONG: it has been seen, mostly no more is needed */
        ngx_agents_ws_pong(s, ev->data);
        break;
    }
}


static void
ngx_agents_ws_peer_close(ngx_agents_ws_session_t *s, vmops_span_t body)
{
    int           rc;
    unsigned      code;
    u_char        echo[VMOPS_WS_CONTROL_MAX];
    size_t        n;
    vmops_span_t  reason;

    rc = vmops_ws_close_parse(body, &code, &reason);

    if (rc != VMOPS_WS_OK) {
        ngx_agents_ws_fail(s, rc, "bad close");
        return;
    }

    ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                  "agent closed its session, code %ui", (ngx_uint_t) code);

    s->closed = 1;

    n = 0;

    if (code != VMOPS_CLOSE_NO_STATUS) {
        n = vmops_ws_close_write(echo, code, vmops_span(NULL, 0));
    }

    if (!s->closing) {
        ngx_agents_ws_send_close(s, code, echo, n);

    } else if (s->out == NULL) {
        ngx_agents_ws_flushed(s);
    }
}


/* starts the closing handshake; the peer has VMOPS_WS_CLOSE_MS for its part */

void
ngx_agents_ws_close(ngx_agents_ws_session_t *s, ngx_uint_t code,
    const char *reason)
{
    size_t  n;
    u_char  body[VMOPS_WS_CONTROL_MAX];

    if (s->closing || s->dead) {
        return;
    }

    ngx_agents_ws_close_log(s, code, reason);

    n = vmops_ws_close_write(body, code, vmops_span_str(reason));

    ngx_agents_ws_send_close(s, code, body, n);
}


/* whom it is about, as it said itself until its signature has held */

static void
ngx_agents_ws_close_log(ngx_agents_ws_session_t *s, ngx_uint_t code,
    const char *reason)
{
    char        agent[VMOPS_UUID_TEXT + 1];
    ngx_uint_t  level;

    /* somebody has to look into these; of the others agents come again */

    level = (code == VMOPS_CLOSE_AUTH || code == VMOPS_CLOSE_REVOKED
             || code == VMOPS_CLOSE_LOCKED)
            ? NGX_LOG_WARN : NGX_LOG_INFO;

    if (s->tenant == NULL) {
        ngx_log_error(level, s->connection->log, 0,
                      "agent's session is closed, code %ui: %s", code, reason);
        return;
    }

    vmops_uuid_format(agent, &s->agent);

    ngx_log_error(level, s->connection->log, 0,
                  "agent's session is closed, code %ui: %s, agent %s of "
                  "tenant \"%V\"", code, reason, agent, &s->tenant->sn.str);
}


/* the same for a peer whose input cannot be understood any more */

void
ngx_agents_ws_fail(ngx_agents_ws_session_t *s, ngx_uint_t code,
    const char *reason)
{
    s->failed = 1;

    if (s->closing) {
        if (s->out == NULL) {
            ngx_agents_ws_flushed(s);
        }

        return;
    }

    ngx_agents_ws_close(s, code, reason);
}


static void
ngx_agents_ws_send_close(ngx_agents_ws_session_t *s, ngx_uint_t code,
    const u_char *body, size_t n)
{
    s->code = code;

    ngx_agents_ws_unregister(s);

    (void) ngx_agents_ws_send(s, VMOPS_WS_CLOSE, body, n, NULL);

    s->closing = 1;

    if (s->dead) {
        return;
    }

    ngx_agents_ws_wheel_set(s, VMOPS_WS_CLOSE_MS);

    if (s->out == NULL) {
        ngx_agents_ws_flushed(s);
    }

    /* its part of the handshake has to be read */
    ngx_agents_ws_resume(s);
}


/*
 * All is sent.  When nothing more is expected from the peer our direction is
 * shut down and the rest of its bytes is drained: closing a socket with unread
 * bytes resets it, and the Close would be lost.
 */

void
ngx_agents_ws_flushed(ngx_agents_ws_session_t *s)
{
    ngx_connection_t  *c = s->connection;

    if (!s->closing || s->shut || !(s->closed || s->failed)) {
        return;
    }

    s->shut = 1;

    if (c->ssl) {
        ERR_clear_error();
        (void) SSL_shutdown(c->ssl->connection);
        ERR_clear_error();
    }

    if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        ngx_agents_ws_drop(s);
    }
}


/* reading goes on when ngx_agents_ws_resume() is called */

void
ngx_agents_ws_pause(ngx_agents_ws_session_t *s)
{
    s->paused = 1;
}


void
ngx_agents_ws_resume(ngx_agents_ws_session_t *s)
{
    if (s->paused) {
        s->paused = 0;
        ngx_post_event(s->connection->read, &ngx_posted_events);
    }
}


void
ngx_agents_ws_drop(ngx_agents_ws_session_t *s)
{
    if (!s->dead) {
        s->dead = 1;
        ngx_post_event(s->connection->read, &ngx_posted_events);
    }
}


static void
ngx_agents_ws_finalize(ngx_agents_ws_session_t *s)
{
    ngx_connection_t  *c = s->connection;

    s->cleanup->handler = NULL;
    ngx_agents_ws_cleanup(s);

    ngx_http_close_connection(c);
}


/* of the connection's pool, for whoever closes the connection */

void
ngx_agents_ws_cleanup(void *data)
{
    ngx_agents_ws_session_t *s = data;

    ngx_uint_t             i;
    ngx_queue_t           *q;
    vmops_metrics_t       *m = ngx_agents_ws_worker->metrics;
    ngx_agents_ws_call_t  *call;

    s->dead = 1;

    if (s->code) {
        i = vmops_metrics_place(vmops_metrics_closes, s->code);
        (void) ngx_atomic_fetch_add(&m->closes[i], 1);
    }

    ngx_agents_ws_out_discard(s, 1);
    ngx_agents_ws_unregister(s);
    ngx_agents_ws_wheel_remove(s);

    while (!ngx_queue_empty(&s->calls)) {
        q = ngx_queue_head(&s->calls);
        call = ngx_queue_data(q, ngx_agents_ws_call_t, queue);

        ngx_queue_remove(q);
        call->session = NULL;
    }

    ngx_agents_ws_detach(s);

    ngx_agents_ws_hello_free(s);
    ngx_agents_ws_partial_free(s);

    if (s->held) {
        ngx_free(s->held);
    }

    ngx_agents_ws_worker->nsessions--;

    ngx_free(s);
}
