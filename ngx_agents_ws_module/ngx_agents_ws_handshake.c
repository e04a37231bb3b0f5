
/*
 * The server's part of the opening handshake (RFC 6455 section 4.2), and the
 * way of a connection out of nginx's HTTP.
 *
 * The 101 is answered as if the connection was kept alive: so nginx frees the
 * request, its pool and the header buffers, and an idle agent costs no more
 * than a connection and a session.  An event of our own, posted before, then
 * takes the connection over.
 */


#include "ngx_agents_ws.h"

#include <sodium.h>

#include "vmops_banned.h"


typedef struct {
    vmops_problem_t   problem;
    ngx_uint_t        status;              /* 0: the problem's own */
    const char       *header;              /* one more header, or NULL */
    const char       *value;
    const char       *why;                 /* for the log */
} ngx_agents_ws_refusal_t;

typedef enum {
    NGX_AGENTS_WS_BAD_METHOD = 0,
    NGX_AGENTS_WS_BAD_HTTP,
    NGX_AGENTS_WS_BAD_BODY,
    NGX_AGENTS_WS_BROWSER,
    NGX_AGENTS_WS_NO_UPGRADE,
    NGX_AGENTS_WS_BAD_VERSION,
    NGX_AGENTS_WS_BAD_KEY,
    NGX_AGENTS_WS_BAD_PROTOCOL,
    NGX_AGENTS_WS_BAD_HOST,
    NGX_AGENTS_WS_NO_STORE,
    NGX_AGENTS_WS_BUSY_ADDRESS,
    NGX_AGENTS_WS_BUSY_WORKER,
    NGX_AGENTS_WS_WELL
} ngx_agents_ws_verdict_e;

/* the request headers the handshake is made of */

typedef struct {
    ngx_uint_t        upgrade;             /* "websocket" is listed */
    ngx_uint_t        connection;          /* "upgrade" is */
    ngx_uint_t        protocol;            /* ours is */
    ngx_uint_t        origin;
    ngx_uint_t        nversions;
    ngx_uint_t        nkeys;
    ngx_str_t         version;
    ngx_str_t         key;
} ngx_agents_ws_headers_t;


static ngx_agents_ws_verdict_e ngx_agents_ws_judge(ngx_http_request_t *r,
    ngx_agents_ws_headers_t *h);
static void ngx_agents_ws_headers(ngx_http_request_t *r,
    ngx_agents_ws_headers_t *h);
static ngx_uint_t ngx_agents_ws_listed(ngx_str_t *list, const char *token,
    size_t len, ngx_uint_t nocase);
static ngx_agents_ws_verdict_e ngx_agents_ws_places(ngx_connection_t *c);
static ngx_agents_ws_address_t *ngx_agents_ws_address(ngx_connection_t *c,
    ngx_uint_t create);

static ngx_int_t ngx_agents_ws_refuse(ngx_http_request_t *r,
    const ngx_agents_ws_refusal_t *refusal);
static ngx_int_t ngx_agents_ws_header(ngx_http_request_t *r, const char *name,
    const u_char *value, size_t len);
static void ngx_agents_ws_request_id(ngx_http_request_t *r, ngx_str_t *id);

static ngx_int_t ngx_agents_ws_accept(ngx_http_request_t *r, ngx_str_t *key);
static ngx_agents_ws_session_t *ngx_agents_ws_create(ngx_http_request_t *r);
static ngx_int_t ngx_agents_ws_hello_create(ngx_http_request_t *r,
    ngx_agents_ws_session_t *s);
static ngx_int_t ngx_agents_ws_answer(ngx_http_request_t *r, ngx_str_t *key,
    ngx_agents_ws_session_t *s);
static ngx_buf_t *ngx_agents_ws_hello_frame(ngx_http_request_t *r,
    ngx_agents_ws_hello_t *hello);
static ngx_int_t ngx_agents_ws_hold(ngx_http_request_t *r,
    ngx_agents_ws_session_t *s);
static void ngx_agents_ws_takeover(ngx_event_t *ev);


static const ngx_agents_ws_refusal_t  ngx_agents_ws_refusals[] = {

    { VMOPS_PROBLEM_method_not_allowed, 0, "Allow", "GET", "method" },
    { VMOPS_PROBLEM_bad_request, 0, NULL, NULL, "not HTTP/1.1" },
    { VMOPS_PROBLEM_bad_request, 0, NULL, NULL, "request body" },
    { VMOPS_PROBLEM_forbidden, 0, NULL, NULL, "Origin or Cookie" },
    { VMOPS_PROBLEM_invalid_header, 0, NULL, NULL, "no upgrade to websocket" },
    { VMOPS_PROBLEM_invalid_header, 426,
      "Sec-WebSocket-Version", "13", "Sec-WebSocket-Version" },
    { VMOPS_PROBLEM_invalid_header, 0, NULL, NULL, "Sec-WebSocket-Key" },
    { VMOPS_PROBLEM_invalid_header, 0, NULL, NULL, "Sec-WebSocket-Protocol" },
    { VMOPS_PROBLEM_invalid_header, 0, NULL, NULL, "Host" },
    { VMOPS_PROBLEM_store_unavailable, 0, "Retry-After", "1", "no store" },
    { VMOPS_PROBLEM_rate_limited, 0, "Retry-After", "5",
      "too many sockets of this address are not ready" },
    { VMOPS_PROBLEM_store_unavailable, 0, "Retry-After", "5",
      "too many sockets are not ready" }
};


ngx_int_t
ngx_agents_ws_handler(ngx_http_request_t *r)
{
    ngx_agents_ws_headers_t  h;
    ngx_agents_ws_verdict_e  verdict;

    ngx_memzero(&h, sizeof(ngx_agents_ws_headers_t));

    verdict = ngx_agents_ws_judge(r, &h);

    if (verdict != NGX_AGENTS_WS_WELL) {
        return ngx_agents_ws_refuse(r, &ngx_agents_ws_refusals[verdict]);
    }

    return ngx_agents_ws_accept(r, &h.key);
}


static ngx_agents_ws_verdict_e
ngx_agents_ws_judge(ngx_http_request_t *r, ngx_agents_ws_headers_t *h)
{
    vmops_span_t             key;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    if (r->method != NGX_HTTP_GET) {
        return NGX_AGENTS_WS_BAD_METHOD;
    }

    if (r != r->main || r->http_version != NGX_HTTP_VERSION_11) {
        return NGX_AGENTS_WS_BAD_HTTP;
    }

    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        return NGX_AGENTS_WS_BAD_BODY;
    }

    ngx_agents_ws_headers(r, h);

    if (h->origin || vmops_has_cookies(r)) {
        return NGX_AGENTS_WS_BROWSER;
    }

    if (!h->upgrade || !h->connection) {
        return NGX_AGENTS_WS_NO_UPGRADE;
    }

    if (h->nversions != 1 || h->version.len != 2
        || ngx_strncmp(h->version.data, "13", 2) != 0)
    {
        return NGX_AGENTS_WS_BAD_VERSION;
    }

    key = vmops_span(h->key.data, h->key.len);

    if (h->nkeys != 1 || !vmops_ws_key_ok(key)) {
        return NGX_AGENTS_WS_BAD_KEY;
    }

    if (!h->protocol) {
        return NGX_AGENTS_WS_BAD_PROTOCOL;
    }

    if (r->headers_in.host == NULL
        || r->headers_in.host->value.len == 0
        || r->headers_in.host->value.len > VMOPS_HOST_HEADER_MAX)
    {
        return NGX_AGENTS_WS_BAD_HOST;
    }

    if (w == NULL || ngx_exiting || ngx_terminate
        || !vmops_redis_ready(w->redis) || !vmops_beat_fresh(w->beat))
    {
        return NGX_AGENTS_WS_NO_STORE;
    }

    return ngx_agents_ws_places(r->connection);
}


static void
ngx_agents_ws_headers(ngx_http_request_t *r, ngx_agents_ws_headers_t *h)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

#define ngx_agents_ws_is(name)                                                \
    (header[i].key.len == sizeof(name) - 1                                    \
     && ngx_strncasecmp(header[i].key.data, (u_char *) name,                  \
                        sizeof(name) - 1) == 0)

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (ngx_agents_ws_is("Upgrade")) {
                h->upgrade |= ngx_agents_ws_listed(&header[i].value,
                                                   "websocket", 9, 1);

            } else if (ngx_agents_ws_is("Connection")) {
                h->connection |= ngx_agents_ws_listed(&header[i].value,
                                                      "upgrade", 7, 1);

            } else if (ngx_agents_ws_is("Sec-WebSocket-Protocol")) {
                h->protocol |= ngx_agents_ws_listed(&header[i].value,
                                              VMOPS_SUBPROTOCOL,
                                              sizeof(VMOPS_SUBPROTOCOL) - 1,
                                              0);

            } else if (ngx_agents_ws_is("Sec-WebSocket-Version")) {
                h->version = header[i].value;
                h->nversions++;

            } else if (ngx_agents_ws_is("Sec-WebSocket-Key")) {
                h->key = header[i].value;
                h->nkeys++;

            } else if (ngx_agents_ws_is("Origin")) {
                h->origin = 1;
            }
        }
    }

#undef ngx_agents_ws_is
}


/* whether a comma-separated list (RFC 9110 section 5.6.1) has the token */

static ngx_uint_t
ngx_agents_ws_listed(ngx_str_t *list, const char *token, size_t len,
    ngx_uint_t nocase)
{
    u_char  *p, *end, *last, *start;

    p = list->data;
    last = p + list->len;

    for ( ;; ) {

        end = ngx_strlchr(p, last, ',');
        start = p;

        p = end ? end + 1 : last;

        if (end == NULL) {
            end = last;
        }

        while (start < end && (*start == ' ' || *start == '\t')) {
            start++;
        }

        while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
            end--;
        }

        if ((size_t) (end - start) == len
            && (nocase ? ngx_strncasecmp(start, (u_char *) token, len)
                       : ngx_strncmp(start, token, len))
               == 0)
        {
            return 1;
        }

        if (p == last) {
            return 0;
        }
    }
}


/* sockets that are not ready yet are few: of all clients, and of each */

static ngx_agents_ws_verdict_e
ngx_agents_ws_places(ngx_connection_t *c)
{
    ngx_agents_ws_address_t  *address;

    if (ngx_agents_ws_worker->nhello >= VMOPS_WS_PRE_READY_PER_WORKER) {
        return NGX_AGENTS_WS_BUSY_WORKER;
    }

    address = ngx_agents_ws_address(c, 0);

    if (address && address->count >= VMOPS_WS_PRE_READY_PER_ADDR) {
        return NGX_AGENTS_WS_BUSY_ADDRESS;
    }

    return NGX_AGENTS_WS_WELL;
}


static ngx_agents_ws_address_t *
ngx_agents_ws_address(ngx_connection_t *c, ngx_uint_t create)
{
    uint32_t                  hash;
    ngx_str_t                 key;
    ngx_str_node_t           *sn;
    ngx_agents_ws_worker_t   *w = ngx_agents_ws_worker;
    ngx_agents_ws_address_t  *address;

    switch (c->sockaddr->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        key.data = ((struct sockaddr_in6 *) c->sockaddr)->sin6_addr.s6_addr;
        key.len = 16;
        break;
#endif

    case AF_INET:
        key.data = (u_char *) &((struct sockaddr_in *) c->sockaddr)->sin_addr;
        key.len = 4;
        break;

    default:
        ngx_str_set(&key, "unix:");
    }

    hash = ngx_crc32_short(key.data, key.len);

    sn = ngx_str_rbtree_lookup(&w->addresses, &key, hash);

    if (sn || !create) {
        return (ngx_agents_ws_address_t *) sn;
    }

    address = ngx_calloc(sizeof(ngx_agents_ws_address_t) + key.len, w->log);
    if (address == NULL) {
        return NULL;
    }

    address->sn.node.key = hash;
    address->sn.str.len = key.len;
    address->sn.str.data = (u_char *) (address + 1);
    ngx_memcpy(address->sn.str.data, key.data, key.len);

    ngx_rbtree_insert(&w->addresses, &address->sn.node);

    return address;
}


static ngx_int_t
ngx_agents_ws_refuse(ngx_http_request_t *r,
    const ngx_agents_ws_refusal_t *refusal)
{
    size_t        size;
    u_char       *p;
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_str_t     id;
    vmops_jw_t    jw;
    ngx_chain_t   out;
    vmops_span_t  body;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "agent's handshake refused: %s", refusal->why);

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    size = 1024;

    p = ngx_pnalloc(r->pool, size);
    b = ngx_calloc_buf(r->pool);

    if (p == NULL || b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_agents_ws_request_id(r, &id);

    vmops_jw_init(&jw, p, size);
    vmops_problem_write(&jw, refusal->problem, refusal->status,
                        vmops_span(id.data, id.len), NULL, 0);

    if (vmops_jw_done(&jw, &body) != 0) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = refusal->status
                            ? refusal->status
                            : vmops_problem_info(refusal->problem)->status;
    r->headers_out.content_length_n = body.n;

    ngx_str_set(&r->headers_out.content_type, "application/problem+json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (ngx_agents_ws_header(r, "X-Request-Id", id.data, id.len) != NGX_OK
        || (refusal->header
            && ngx_agents_ws_header(r, refusal->header,
                                    (u_char *) refusal->value,
                                    ngx_strlen(refusal->value))
               != NGX_OK)
        || (refusal->status
            && ngx_agents_ws_header(r, "Upgrade", (u_char *) "websocket", 9)
               != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (refusal->status) {

        /* RFC 9110 section 15.5.22; nginx 1.22 has no text for it */
        ngx_str_set(&r->headers_out.status_line, "426 Upgrade Required");
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->pos = (u_char *) body.p;
    b->last = b->pos + body.n;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_agents_ws_header(ngx_http_request_t *r, const char *name,
    const u_char *value, size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = len;

    vmops_header_end(h);

    return NGX_OK;
}


static void
ngx_agents_ws_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *v;

    static ngx_str_t            name = ngx_string("request_id");

    key = ngx_hash_key(name.data, name.len);
    v = ngx_http_get_variable(r, &name, key);

    if (v == NULL || v->not_found) {
        ngx_str_set(id, "-");
        return;
    }

    id->data = v->data;
    id->len = v->len;
}


static ngx_int_t
ngx_agents_ws_accept(ngx_http_request_t *r, ngx_str_t *key)
{
    ngx_int_t                 rc;
    ngx_agents_ws_session_t  *s;

    s = ngx_agents_ws_create(r);
    if (s == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* from here on the connection's pool frees the session */

    if (ngx_agents_ws_hello_create(r, s) != NGX_OK
        || ngx_agents_ws_hold(r, s) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_agents_ws_answer(r, key, s);

    if (rc != NGX_OK || r->buffered || r->connection->buffered) {
        return NGX_ERROR;
    }

    ngx_post_event(&s->hello->takeover, &ngx_posted_events);

    r->keepalive = 1;
    r->lingering_close = 0;

    return NGX_OK;
}


static ngx_agents_ws_session_t *
ngx_agents_ws_create(ngx_http_request_t *r)
{
    ngx_connection_t         *c;
    ngx_pool_cleanup_t       *cln;
    ngx_agents_ws_worker_t   *w = ngx_agents_ws_worker;
    ngx_agents_ws_session_t  *s;

    c = r->connection;

    cln = ngx_pool_cleanup_add(c->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    s = ngx_calloc(sizeof(ngx_agents_ws_session_t), c->log);
    if (s == NULL) {
        return NULL;
    }

    cln->handler = ngx_agents_ws_cleanup;
    cln->data = s;

    s->connection = c;
    s->cleanup = cln;
    s->conf = ngx_http_get_module_loc_conf(r, ngx_agents_ws_module);
    s->seen = (uint32_t) ngx_current_msec;

    ngx_queue_init(&s->calls);
    ngx_queue_init(&s->acks);
    ngx_queue_insert_tail(&w->pending, &s->link);

    w->nsessions++;

    ngx_agents_ws_wheel_set(s, VMOPS_WS_READY_MS);

    return s;
}


static ngx_int_t
ngx_agents_ws_hello_create(ngx_http_request_t *r, ngx_agents_ws_session_t *s)
{
    ngx_str_t              *host;
    ngx_agents_ws_hello_t  *hello;

    host = &r->headers_in.host->value;

    hello = ngx_calloc(sizeof(ngx_agents_ws_hello_t) + host->len,
                       r->connection->log);
    if (hello == NULL) {
        return NGX_ERROR;
    }

    hello->address = ngx_agents_ws_address(r->connection, 1);
    if (hello->address == NULL) {
        ngx_free(hello);
        return NGX_ERROR;
    }

    hello->address->count++;
    ngx_agents_ws_worker->nhello++;

    s->hello = hello;

    ngx_memcpy(hello->host, host->data, host->len);
    hello->auth.host = vmops_span(hello->host, host->len);

    hello->session = s;
    hello->takeover.handler = ngx_agents_ws_takeover;
    hello->takeover.data = s->connection;
    hello->takeover.log = s->connection->log;

    return NGX_OK;
}


void
ngx_agents_ws_hello_free(ngx_agents_ws_session_t *s)
{
    ngx_agents_ws_hello_t    *hello = s->hello;
    ngx_agents_ws_worker_t   *w = ngx_agents_ws_worker;
    ngx_agents_ws_address_t  *address;

    if (hello == NULL) {
        return;
    }

    if (hello->takeover.posted) {
        ngx_delete_posted_event(&hello->takeover);
    }

    address = hello->address;

    if (--address->count == 0) {
        ngx_rbtree_delete(&w->addresses, &address->sn.node);
        ngx_free(address);
    }

    w->nhello--;

    ngx_free(hello);
    s->hello = NULL;
}


/* the 101, and the hello message in the same segment */

static ngx_int_t
ngx_agents_ws_answer(ngx_http_request_t *r, ngx_str_t *key,
    ngx_agents_ws_session_t *s)
{
    char         *accept;
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    accept = ngx_pnalloc(r->pool, VMOPS_WS_ACCEPT_TEXT + 1);
    b = ngx_agents_ws_hello_frame(r, s->hello);

    if (accept == NULL || b == NULL) {
        return NGX_ERROR;
    }

    vmops_ws_accept(accept, vmops_span(key->data, key->len));

    if (ngx_agents_ws_header(r, "Upgrade", (u_char *) "websocket", 9)
        != NGX_OK
        || ngx_agents_ws_header(r, "Sec-WebSocket-Accept", (u_char *) accept,
                                VMOPS_WS_ACCEPT_TEXT)
           != NGX_OK
        || ngx_agents_ws_header(r, "Sec-WebSocket-Protocol",
                                (u_char *) VMOPS_SUBPROTOCOL,
                                sizeof(VMOPS_SUBPROTOCOL) - 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_out.status = NGX_HTTP_SWITCHING_PROTOCOLS;
    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);

    /* nothing may be held back */
    r->limit_rate = 0;
    r->limit_rate_set = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return NGX_ERROR;
    }

    b->flush = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_buf_t *
ngx_agents_ws_hello_frame(ngx_http_request_t *r, ngx_agents_ws_hello_t *hello)
{
    size_t        size;
    u_char        head[VMOPS_WS_HEAD_MAX];
    ngx_buf_t    *b;
    vmops_msg_t   msg;
    vmops_span_t  text;

    randombytes_buf(hello->auth.s_nonce, 32);

    msg.type = VMOPS_MSG_HELLO;
    msg.u.hello.time = ngx_agents_ws_now();
    ngx_memcpy(msg.u.hello.nonce, hello->auth.s_nonce, 32);

    if (vmops_msg_write(ngx_agents_ws_worker->text, NGX_AGENTS_WS_TEXT, &text,
                        &msg)
        != 0)
    {
        return NULL;
    }

    size = vmops_ws_head_write(head, VMOPS_WS_TEXT, 1, text.n, NULL);

    b = ngx_create_temp_buf(r->pool, size + text.n);
    if (b == NULL) {
        return NULL;
    }

    b->last = ngx_cpymem(b->last, head, size);
    b->last = ngx_cpymem(b->last, text.p, text.n);

    return b;
}


/*
 * Frames that came with the request are ours: nginx would take them for the
 * next request.
 */

static ngx_int_t
ngx_agents_ws_hold(ngx_http_request_t *r, ngx_agents_ws_session_t *s)
{
    size_t      n;
    ngx_buf_t  *b;

    b = r->header_in;
    n = b->last - b->pos;

    if (n == 0) {
        return NGX_OK;
    }

    s->held = ngx_alloc(sizeof(ngx_agents_ws_held_t) + n, s->connection->log);
    if (s->held == NULL) {
        return NGX_ERROR;
    }

    s->held->len = n;
    ngx_memcpy(s->held->data, b->pos, n);

    b->pos = b->last;

    return NGX_OK;
}


static void
ngx_agents_ws_takeover(ngx_event_t *ev)
{
    ngx_connection_t         *c;
    ngx_agents_ws_hello_t    *hello;
    ngx_agents_ws_session_t  *s;

    c = ev->data;

    hello = (ngx_agents_ws_hello_t *)
                ((u_char *) ev - offsetof(ngx_agents_ws_hello_t, takeover));
    s = hello->session;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    ngx_reusable_connection(c, 0);
    c->idle = 0;

    c->data = s;
    c->read->handler = ngx_agents_ws_read_handler;
    c->write->handler = ngx_agents_ws_write_handler;
    c->log->action = "serving an agent";

    ngx_agents_ws_start(s);
}
