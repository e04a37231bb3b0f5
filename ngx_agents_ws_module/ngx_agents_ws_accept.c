
/*
 * The way of an agent's connection out of nginx's HTTP.
 *
 * The 101 is answered as if the connection was kept alive: so nginx frees the
 * request, its pool and the header buffers, and an idle agent costs no more
 * than a connection and a session.  An event of our own, posted before, then
 * takes the connection over.
 */


#include "ngx_agents_ws.h"

#include <sodium.h>

#include "vmops_banned.h"


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
static void ngx_agents_ws_unfinished(ngx_agents_ws_session_t *s);


ngx_int_t
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

    /*
     * Bytes that nginx has noted already (accept_mutex) are not a request's: an
     * event that is posted runs in front of ours.  We look for them ourselves.
     */

    if (r->connection->read->posted) {
        ngx_delete_posted_event(r->connection->read);
    }

    ngx_post_event(&s->hello->takeover, &ngx_posted_events);

    s->code = VMOPS_CLOSE_ABNORMAL;

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
    hello->http = r->http_connection;
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
    hello->asked = ngx_current_msec;

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

    if (c->data != hello->http) {
        ngx_agents_ws_unfinished(s);
        return;
    }

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


/*
 * The request goes on after its answer: it is mirrored, or what another module
 * does for it is not done.  At its end it has the connection, and closes it.
 */

static void
ngx_agents_ws_unfinished(ngx_agents_ws_session_t *s)
{
    ngx_connection_t    *c = s->connection;
    ngx_http_request_t  *r = c->data;

    ngx_log_error(NGX_LOG_ERR, c->log, 0,
                  "\"agents_ws\" needs a request that ends with its answer: "
                  "is there a \"mirror\"?");

    r->main->keepalive = 0;

    s->cleanup->handler = NULL;
    ngx_agents_ws_cleanup(s);
}


/* of IPv6 the network: whoever has one of its /64 has all addresses in it */

ngx_agents_ws_address_t *
ngx_agents_ws_address(ngx_connection_t *c, ngx_uint_t create)
{
    uint32_t                  hash;
    ngx_str_t                 key;
    ngx_str_node_t           *sn;
#if (NGX_HAVE_INET6)
    struct in6_addr          *in6;
#endif
    ngx_agents_ws_worker_t   *w = ngx_agents_ws_worker;
    ngx_agents_ws_address_t  *address;

    switch (c->sockaddr->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        in6 = &((struct sockaddr_in6 *) c->sockaddr)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(in6)) {
            key.data = &in6->s6_addr[12];
            key.len = 4;

        } else {
            key.data = in6->s6_addr;
            key.len = 8;
        }

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
