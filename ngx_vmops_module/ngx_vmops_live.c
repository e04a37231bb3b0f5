
/* the tenants' live channels, and who listens */


#include "ngx_vmops_live.h"
#include "ngx_vmops_routes.h"


struct ngx_vmops_live_s {
    ngx_str_node_t       sn;
    ngx_queue_t          streams;
    vmops_redis_sub_t   *sub;
    ngx_event_t          linger;
    ngx_uint_t           subscribed;
    u_char               tenant[VMOPS_TENANT_MAX];
};


static ngx_vmops_live_t *ngx_vmops_live_get(vmops_span_t tenant);
static void ngx_vmops_live_message(void *data, u_char *p, size_t n);
static void ngx_vmops_live_state(void *data, ngx_uint_t subscribed);
static void ngx_vmops_live_linger(ngx_event_t *ev);
static void ngx_vmops_live_check(ngx_event_t *ev);
static void ngx_vmops_live_still(ngx_vmops_op_t *op);
static void ngx_vmops_live_no_more(ngx_vmops_op_t *op, ngx_int_t verdict);
static void ngx_vmops_live_timeout(ngx_event_t *ev);


static ngx_rbtree_t       ngx_vmops_lives;
static ngx_rbtree_node_t  ngx_vmops_lives_sentinel;
static ngx_queue_t        ngx_vmops_streams;
static ngx_uint_t         ngx_vmops_streams_n;
static ngx_event_t        ngx_vmops_check;
static ngx_connection_t   ngx_vmops_live_dummy;


/* each element of a queue once, whatever handlers do to it meanwhile */

#define ngx_vmops_each(q, head, rest)                                         \
    for (ngx_vmops_take_all(rest, head);                                      \
         (q = ngx_vmops_take_one(rest, head)) != NULL; /* void */ )


static ngx_inline void
ngx_vmops_take_all(ngx_queue_t *rest, ngx_queue_t *head)
{
    ngx_queue_init(rest);

    if (!ngx_queue_empty(head)) {
        ngx_queue_add(rest, head);
        ngx_queue_init(head);
    }
}


static ngx_inline ngx_queue_t *
ngx_vmops_take_one(ngx_queue_t *rest, ngx_queue_t *head)
{
    ngx_queue_t  *q;

    if (ngx_queue_empty(rest)) {
        return NULL;
    }

    q = ngx_queue_head(rest);

    ngx_queue_remove(q);
    ngx_queue_insert_tail(head, q);

    return q;
}


void
ngx_vmops_live_init(void)
{
    ngx_event_t  *ev;

    ngx_rbtree_init(&ngx_vmops_lives, &ngx_vmops_lives_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&ngx_vmops_streams);
    ngx_vmops_streams_n = 0;

    ngx_vmops_live_dummy.fd = (ngx_socket_t) -1;

    ev = &ngx_vmops_check;
    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = ngx_vmops_live_check;
    ev->data = &ngx_vmops_live_dummy;
    ev->log = ngx_vmops_worker.log;
    ev->cancelable = 1;
}


ngx_uint_t
ngx_vmops_live_streams(void)
{
    return ngx_vmops_streams_n;
}


void
ngx_vmops_live_open(ngx_vmops_op_t *op)
{
    ngx_event_t         *ev;
    ngx_vmops_live_t    *live;
    ngx_vmops_stream_t  *st;

    st = op->stream;

    if (ngx_exiting) {
        /* ngx_vmops_live_exit() has been: nothing waits any more */
        st->end(op, NGX_VMOPS_END_EXIT);
        return;
    }

    live = NULL;

    if (vmops_redis_ready(ngx_vmops_worker.redis)) {
        live = ngx_vmops_live_get(op->tenant);
    }

    if (live == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_store_unavailable);
        return;
    }

    st->op = op;
    st->live = live;
    st->open = 1;

    ngx_queue_insert_tail(&live->streams, &st->queue);
    ngx_queue_insert_tail(&ngx_vmops_streams, &st->all);
    ngx_vmops_streams_n++;

    ev = &st->timer;

    ev->handler = ngx_vmops_live_timeout;
    ev->data = op->request->connection;
    ev->log = op->request->connection->log;

    if (!ngx_vmops_check.timer_set) {
        ngx_add_timer(&ngx_vmops_check, VMOPS_LIVE_CHECK_MS);
    }

    ngx_vmops_watch(op);

    if (live->subscribed) {
        st->ready(op);
        return;
    }

    ngx_add_timer(ev, VMOPS_REDIS_CALL_MS);
}


void
ngx_vmops_live_close(ngx_vmops_op_t *op)
{
    ngx_vmops_live_t    *live;
    ngx_vmops_stream_t  *st;

    st = op->stream;

    if (st == NULL || !st->open) {
        return;
    }

    st->open = 0;

    ngx_queue_remove(&st->queue);
    ngx_queue_remove(&st->all);
    ngx_vmops_streams_n--;

    if (st->timer.timer_set) {
        ngx_del_timer(&st->timer);
    }

    live = st->live;

    if (ngx_queue_empty(&live->streams) && !live->linger.timer_set) {
        /* the next one is spared the way to the store and back */
        ngx_add_timer(&live->linger, VMOPS_LIVE_LINGER_MS);
    }
}


void
ngx_vmops_live_timer(ngx_vmops_op_t *op, ngx_msec_t ms)
{
    ngx_add_timer(&op->stream->timer, ms);
}


vmops_span_t
ngx_vmops_live_word(vmops_span_t message, ngx_uint_t i)
{
    ngx_uint_t      k;
    const uint8_t  *p, *end, *last;

    p = message.p;
    last = message.p + message.n;

    for (k = 0; /* void */ ; k++) {

        end = k < NGX_VMOPS_LIVE_REST ? memchr(p, ' ', last - p) : NULL;

        if (end == NULL) {
            end = last;
        }

        if (k == i) {
            return vmops_span(p, end - p);
        }

        if (end == last) {
            return vmops_span("", 0);
        }

        p = end + 1;
    }
}


static ngx_vmops_live_t *
ngx_vmops_live_get(vmops_span_t tenant)
{
    u_char             text[VMOPS_REDIS_KEY_MAX];
    uint32_t           hash;
    ngx_str_t          name, channel;
    ngx_vmops_live_t  *live;

    name.data = (u_char *) tenant.p;
    name.len = tenant.n;

    hash = ngx_crc32_short(name.data, name.len);

    live = (ngx_vmops_live_t *) ngx_str_rbtree_lookup(&ngx_vmops_lives, &name,
                                                      hash);
    if (live) {
        if (live->linger.timer_set) {
            ngx_del_timer(&live->linger);
        }

        return live;
    }

    live = ngx_calloc(sizeof(ngx_vmops_live_t), ngx_vmops_worker.log);
    if (live == NULL) {
        return NULL;
    }

    channel.data = text;
    channel.len = ngx_snprintf(text, sizeof(text), "tenants/{%V}/live", &name)
                  - text;

    live->sub = vmops_redis_subscribe(ngx_vmops_worker.redis, &channel,
                                      ngx_vmops_live_message,
                                      ngx_vmops_live_state, live);
    if (live->sub == NULL) {
        ngx_free(live);
        return NULL;
    }

    ngx_memcpy(live->tenant, name.data, name.len);

    live->sn.node.key = hash;
    live->sn.str.data = live->tenant;
    live->sn.str.len = name.len;

    ngx_queue_init(&live->streams);

    live->linger.handler = ngx_vmops_live_linger;
    live->linger.data = &ngx_vmops_live_dummy;
    live->linger.log = ngx_vmops_worker.log;
    live->linger.cancelable = 1;

    ngx_rbtree_insert(&ngx_vmops_lives, &live->sn.node);

    return live;
}


static void
ngx_vmops_live_linger(ngx_event_t *ev)
{
    ngx_vmops_live_t  *live;

    live = (ngx_vmops_live_t *) ((u_char *) ev
                                 - offsetof(ngx_vmops_live_t, linger));

    if (!ngx_queue_empty(&live->streams)) {
        /* the last of them left while others were being called in turn */
        return;
    }

    vmops_redis_unsubscribe(live->sub);

    ngx_rbtree_delete(&ngx_vmops_lives, &live->sn.node);
    ngx_free(live);
}


static void
ngx_vmops_live_message(void *data, u_char *p, size_t n)
{
    ngx_vmops_live_t *live = data;

    ngx_queue_t          rest, *q;
    ngx_connection_t    *c;
    ngx_vmops_stream_t  *st;

    ngx_vmops_each(q, &live->streams, &rest) {
        st = ngx_queue_data(q, ngx_vmops_stream_t, queue);
        c = st->op->request->connection;

        st->message(st->op, vmops_span(p, n));
        ngx_http_run_posted_requests(c);
    }
}


static void
ngx_vmops_live_state(void *data, ngx_uint_t subscribed)
{
    ngx_vmops_live_t *live = data;

    ngx_queue_t          rest, *q;
    ngx_connection_t    *c;
    ngx_vmops_stream_t  *st;

    live->subscribed = subscribed;

    if (!subscribed) {
        /* what is said now is read in the store, later */
        return;
    }

    ngx_vmops_each(q, &live->streams, &rest) {
        st = ngx_queue_data(q, ngx_vmops_stream_t, queue);
        c = st->op->request->connection;

        st->ready(st->op);
        ngx_http_run_posted_requests(c);
    }
}


static void
ngx_vmops_live_timeout(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_vmops_stream_t  *st;

    st = (ngx_vmops_stream_t *) ((u_char *) ev
                                 - offsetof(ngx_vmops_stream_t, timer));

    c = st->op->request->connection;

    st->end(st->op, NGX_VMOPS_END_TIME);
    ngx_http_run_posted_requests(c);
}


/* do the principals behind long requests still stand? */

static void
ngx_vmops_live_check(ngx_event_t *ev)
{
    ngx_queue_t          rest, *q;
    ngx_connection_t    *c;
    ngx_vmops_stream_t  *st;

    ngx_vmops_each(q, &ngx_vmops_streams, &rest) {
        st = ngx_queue_data(q, ngx_vmops_stream_t, all);

        if (st->op->queued) {
            continue;
        }

        c = st->op->request->connection;

        ngx_vmops_principal_renew(st->op, ngx_vmops_live_still,
                                  ngx_vmops_live_no_more);
        ngx_http_run_posted_requests(c);
    }

    if (!ngx_queue_empty(&ngx_vmops_streams)) {
        ngx_add_timer(ev, VMOPS_LIVE_CHECK_MS);
    }
}


static void
ngx_vmops_live_still(ngx_vmops_op_t *op)
{
    if (ngx_vmops_live_refusal(op) != VMOPS_PROBLEM_unauthenticated) {
        op->stream->end(op, NGX_VMOPS_END_PRINCIPAL);
    }
}


vmops_problem_t
ngx_vmops_live_refusal(ngx_vmops_op_t *op)
{
    ngx_vmops_principal_t  *p;

    p = op->principal;

    return p->suspended ? VMOPS_PROBLEM_tenant_suspended
           : p->revoked ? VMOPS_PROBLEM_agent_revoked
           : !ngx_vmops_route_open(op->route, p) ? VMOPS_PROBLEM_forbidden
           : VMOPS_PROBLEM_unauthenticated;
}


static void
ngx_vmops_live_no_more(ngx_vmops_op_t *op, ngx_int_t verdict)
{
    /* anything else says nothing about the principal */

    if (verdict == VMOPS_PROBLEM_unauthenticated) {
        op->stream->end(op, NGX_VMOPS_END_PRINCIPAL);
    }
}


/* the start of a graceful exit */

void
ngx_vmops_live_exit(void *data)
{
    ngx_queue_t          rest, *q;
    ngx_connection_t    *c;
    ngx_vmops_stream_t  *st;

    ngx_vmops_each(q, &ngx_vmops_streams, &rest) {
        st = ngx_queue_data(q, ngx_vmops_stream_t, all);
        c = st->op->request->connection;

        st->end(st->op, NGX_VMOPS_END_EXIT);
        ngx_http_run_posted_requests(c);
    }
}
