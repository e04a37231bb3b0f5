
/*
 * Who is connected to this worker: tenants, their wake channels, their agents.
 *
 * The order is fixed: the channel is confirmed, then presence is written, then
 * the queue is read; so nothing falls in between.  It starts again when the
 * channel was lost, and when the beat has a new incarnation.
 */


#include "ngx_agents_ws.h"

#include "vmops_banned.h"


static ngx_agents_ws_tenant_t *ngx_agents_ws_tenant(vmops_span_t name);
static ngx_int_t ngx_agents_ws_subscribe(ngx_agents_ws_tenant_t *t);
static ngx_int_t ngx_agents_ws_subscribe_orders(ngx_agents_ws_tenant_t *t);
static void ngx_agents_ws_waking(void *data, ngx_uint_t subscribed);
static void ngx_agents_ws_ordering(void *data, ngx_uint_t subscribed);
static void ngx_agents_ws_subscribed(ngx_agents_ws_tenant_t *t);
static void ngx_agents_ws_register_all(ngx_agents_ws_tenant_t *t);
static ngx_int_t ngx_agents_ws_session_ready(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_ready_handler(ngx_agents_ws_call_t *call,
    redisReply *reply);
static ngx_uint_t ngx_agents_ws_unsure(ngx_agents_ws_session_t *s,
    redisReply *reply);
static void ngx_agents_ws_online(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_rotations(ngx_agents_ws_session_t *s,
    redisReply *reply);
static void ngx_agents_ws_insert(ngx_agents_ws_session_t *s);
static ngx_rbtree_key_t ngx_agents_ws_key(const vmops_uuid_t *agent);


#define ngx_agents_ws_node_session(n)                                         \
    ((ngx_agents_ws_session_t *)                                              \
         ((u_char *) (n) - offsetof(ngx_agents_ws_session_t, node)))


/* a session belongs to a tenant from its auth message on */

void
ngx_agents_ws_attach(ngx_agents_ws_session_t *s, vmops_span_t tenant)
{
    ngx_agents_ws_tenant_t  *t;

    t = ngx_agents_ws_tenant(tenant);
    if (t == NULL) {
        ngx_agents_ws_drop(s);
        return;
    }

    t->refs++;
    s->tenant = t;

    ngx_queue_remove(&s->link);
    ngx_queue_insert_tail(&t->sessions, &s->link);
}


void
ngx_agents_ws_detach(ngx_agents_ws_session_t *s)
{
    ngx_queue_remove(&s->link);

    if (s->tenant) {
        ngx_agents_ws_tenant_release(s->tenant);
        s->tenant = NULL;
    }
}


static ngx_agents_ws_tenant_t *
ngx_agents_ws_tenant(vmops_span_t name)
{
    u_char                  *p;
    uint32_t                 hash;
    ngx_str_t                str;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;
    ngx_agents_ws_tenant_t  *t;

    str.data = (u_char *) name.p;
    str.len = name.n;

    hash = ngx_crc32_short(str.data, str.len);

    t = (ngx_agents_ws_tenant_t *) ngx_str_rbtree_lookup(&w->tenants, &str,
                                                         hash);
    if (t) {
        return t;
    }

    t = ngx_calloc(sizeof(ngx_agents_ws_tenant_t) + str.len
                   + sizeof("tenants/{}") - 1 + str.len, w->log);
    if (t == NULL) {
        return NULL;
    }

    p = (u_char *) (t + 1);

    t->sn.node.key = hash;
    t->sn.str.data = p;
    t->sn.str.len = str.len;

    p = ngx_cpymem(p, str.data, str.len);

    t->key.data = p;
    t->key.len = ngx_sprintf(p, "tenants/{%V}", &str) - p;

    vmops_tenant16(t->id, name);

    ngx_queue_init(&t->sessions);
    ngx_rbtree_init(&t->agents, &t->sentinel, ngx_rbtree_insert_value);

    ngx_rbtree_insert(&w->tenants, &t->sn.node);

    return t;
}


void
ngx_agents_ws_tenant_release(ngx_agents_ws_tenant_t *t)
{
    if (--t->refs) {
        return;
    }

    if (t->sub) {
        vmops_redis_unsubscribe(t->sub);
    }

    if (t->orders) {
        vmops_redis_unsubscribe(t->orders);
    }

    ngx_rbtree_delete(&ngx_agents_ws_worker->tenants, &t->sn.node);

    ngx_free(t);
}


static ngx_int_t
ngx_agents_ws_subscribe(ngx_agents_ws_tenant_t *t)
{
    u_char     name[VMOPS_REDIS_CHANNEL_MAX];
    ngx_str_t  channel;

    if (t->orders == NULL && ngx_agents_ws_subscribe_orders(t) != NGX_OK) {
        return NGX_ERROR;
    }

    if (t->sub) {
        return NGX_OK;
    }

    channel.data = name;
    channel.len = ngx_snprintf(name, sizeof(name), "%V/wake", &t->key) - name;

    t->sub = vmops_redis_subscribe(ngx_agents_ws_worker->redis, &channel,
                                   ngx_agents_ws_wake,
                                   ngx_agents_ws_waking, t);

    return t->sub ? NGX_OK : NGX_ERROR;
}


/* the name of the channel is the incarnation's, as presence has it */

static ngx_int_t
ngx_agents_ws_subscribe_orders(ngx_agents_ws_tenant_t *t)
{
    u_char     name[VMOPS_REDIS_CHANNEL_MAX];
    ngx_str_t  channel;

    channel.data = name;
    channel.len = ngx_snprintf(name, sizeof(name), "%V/wake/%V", &t->key,
                         vmops_beat_incarnation(ngx_agents_ws_worker->beat))
                  - name;

    t->orders = vmops_redis_subscribe(ngx_agents_ws_worker->redis, &channel,
                                      ngx_agents_ws_handed,
                                      ngx_agents_ws_ordering, t);

    return t->orders ? NGX_OK : NGX_ERROR;
}


static void
ngx_agents_ws_waking(void *data, ngx_uint_t subscribed)
{
    ngx_agents_ws_tenant_t *t = data;

    t->waking = subscribed;
    ngx_agents_ws_subscribed(t);
}


static void
ngx_agents_ws_ordering(void *data, ngx_uint_t subscribed)
{
    ngx_agents_ws_tenant_t *t = data;

    t->ordering = subscribed;
    ngx_agents_ws_subscribed(t);
}


static void
ngx_agents_ws_subscribed(ngx_agents_ws_tenant_t *t)
{
    ngx_uint_t  subscribed;

    subscribed = t->waking && t->ordering;

    if (subscribed == t->subscribed) {
        return;
    }

    t->subscribed = subscribed;

    if (!subscribed) {
        t->lost = ngx_current_msec;

    } else {
        ngx_agents_ws_register_all(t);
        ngx_agents_ws_register_pump();
    }
}


static void
ngx_agents_ws_register_all(ngx_agents_ws_tenant_t *t)
{
    ngx_queue_t              *q;
    ngx_agents_ws_session_t  *s;

    for (q = ngx_queue_head(&t->sessions);
         q != ngx_queue_sentinel(&t->sessions);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_agents_ws_session_t, link);
        ngx_agents_ws_register_again(s);
    }
}


/* "ready" has come */

void
ngx_agents_ws_register(ngx_agents_ws_session_t *s)
{
    if (ngx_agents_ws_subscribe(s->tenant) != NGX_OK) {
        ngx_agents_ws_close(s, VMOPS_CLOSE_TRY_LATER, "no store");
        return;
    }

    /* what wakes it between now and the answer must find it */
    ngx_agents_ws_insert(s);

    if (s->tenant->subscribed) {
        ngx_agents_ws_register_again(s);
        ngx_agents_ws_register_pump();
    }
}


/* its channel, presence and queue are looked after once more, in a while */

void
ngx_agents_ws_register_again(ngx_agents_ws_session_t *s)
{
    if (s->registered && s->reg.next == NULL) {
        ngx_queue_insert_tail(&ngx_agents_ws_worker->reg, &s->reg);
    }
}


/* some at a time: all of a worker's agents may have to be registered anew */

void
ngx_agents_ws_register_pump(void)
{
    ngx_queue_t              *q;
    ngx_agents_ws_worker_t   *w = ngx_agents_ws_worker;
    ngx_agents_ws_session_t  *s;

    while (!ngx_queue_empty(&w->reg)
           && w->registering < NGX_AGENTS_WS_REGISTER
           && vmops_beat_fresh(w->beat))
    {
        q = ngx_queue_head(&w->reg);
        s = ngx_queue_data(q, ngx_agents_ws_session_t, reg);

        if (ngx_agents_ws_session_ready(s) != NGX_OK) {
            return;
        }

        ngx_queue_remove(q);
        q->next = NULL;
    }
}


static ngx_int_t
ngx_agents_ws_session_ready(ngx_agents_ws_session_t *s)
{
    char                     agent[VMOPS_UUID_TEXT + 1];
    char                     session[VMOPS_UUID_TEXT + 1];
    u_char                   epoch[NGX_INT64_LEN], seq[NGX_INT64_LEN];
    ngx_str_t               *incarnation, *live;
    vmops_span_t             argv[8];
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    incarnation = vmops_beat_incarnation(w->beat);
    live = vmops_beat_live(w->beat);

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_uuid(session, &s->id);
    argv[2] = vmops_span(incarnation->data, incarnation->len);
    argv[3] = ngx_agents_ws_number(epoch, s->epoch);
    argv[4] = ngx_agents_ws_number(seq, s->last_seq);
    argv[5] = vmops_span(s->version, s->version_len);
    argv[6] = vmops_span_str(s->platform == VMOPS_PLATFORM_WINDOWS
                             ? "windows" : "linux");
    argv[7] = vmops_span(live->data, live->len);

    if (ngx_agents_ws_call(s, "session_ready", ngx_agents_ws_ready_handler, 8,
                           argv)
        == NULL)
    {
        return NGX_ERROR;
    }

    s->present = 1;
    w->registering++;

    return NGX_OK;
}


static void
ngx_agents_ws_ready_handler(ngx_agents_ws_call_t *call, redisReply *reply)
{
    ngx_agents_ws_session_t *s = call->session;

    ngx_agents_ws_worker->registering--;

    if (s && !s->closing && !s->dead) {

        if (reply == NULL) {

            /* once more, with the next tick */
            ngx_agents_ws_register_again(s);
            return;
        }

        if (ngx_agents_ws_unsure(s, reply)
            || (s->owed && ngx_agents_ws_reply_is(reply, "OK")))
        {
            ngx_agents_ws_refused(s, NULL);

        } else if (ngx_agents_ws_reply_is(reply, "OK")) {
            ngx_agents_ws_online(s);
            ngx_agents_ws_rotations(s, reply);

        } else if (ngx_agents_ws_reply_is(reply, "stale")) {
            ngx_agents_ws_displaced(s);

        } else {
            ngx_agents_ws_refused(s, reply);
        }
    }

    if (reply) {
        ngx_agents_ws_register_pump();
    }
}


/*
 * A store that began anew may have lost what it was told last.  The agent has
 * it still, and says so when it comes again: its results, and their orders.
 */

static ngx_uint_t
ngx_agents_ws_unsure(ngx_agents_ws_session_t *s, redisReply *reply)
{
    return s->state == NGX_AGENTS_WS_READY
           && vmops_span_is(ngx_agents_ws_reply_span(reply, 3), "1")
           && s->busy && s->tenant->lost
           && (int32_t) ((uint32_t) s->tenant->lost - s->busy)
              < VMOPS_STORE_LAG_MS;
}


static void
ngx_agents_ws_online(ngx_agents_ws_session_t *s)
{
    if (s->state != NGX_AGENTS_WS_READY) {
        s->state = NGX_AGENTS_WS_READY;

        ngx_agents_ws_hello_free(s);
        ngx_agents_ws_wheel_set(s, s->conf->ping);

        ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                      "agent is online, tenant \"%V\"", &s->tenant->sn.str);
    }

    ngx_agents_ws_resume(s);

    if (!s->approved) {

        /* the approval may have come between its auth and the channel */
        ngx_agents_ws_look(s);
        return;
    }

    ngx_agents_ws_take(s);
}


/* what it was asked to rotate while it was away */

static void
ngx_agents_ws_rotations(ngx_agents_ws_session_t *s, redisReply *reply)
{
    size_t       i;
    redisReply  *refs;

    refs = ngx_agents_ws_reply_array(reply, 4);

    for (i = 0; refs && i < refs->elements; i++) {

        if (s->closing || s->dead) {
            return;
        }

        ngx_agents_ws_rotate(s, ngx_agents_ws_reply_span(refs, i));
    }
}


/* the session ends: presence goes at once, and nothing finds it any more */

void
ngx_agents_ws_unregister(ngx_agents_ws_session_t *s)
{
    char          agent[VMOPS_UUID_TEXT + 1];
    char          session[VMOPS_UUID_TEXT + 1];
    vmops_span_t  argv[2];

    if (s->reg.next) {
        ngx_queue_remove(&s->reg);
        s->reg.next = NULL;
    }

    if (s->registered) {
        ngx_rbtree_delete(&s->tenant->agents, &s->node);
        s->registered = 0;
    }

    /* while the session may still say so */
    ngx_agents_ws_acks_tell(s);

    if (s->present) {
        s->present = 0;

        vmops_uuid_format(agent, &s->agent);
        vmops_uuid_format(session, &s->id);

        argv[0] = vmops_span(agent, VMOPS_UUID_TEXT);
        argv[1] = vmops_span(session, VMOPS_UUID_TEXT);

        ngx_agents_ws_tell(s->tenant, "session_gone", 2, argv);
    }
}


void
ngx_agents_ws_beat_handler(void *data, vmops_beat_event_e event)
{
    ngx_agents_ws_worker_t *w = data;

    ngx_rbtree_node_t       *node;
    ngx_agents_ws_tenant_t  *t;

    if (event != VMOPS_BEAT_BORN
        || w->tenants.root == w->tenants.sentinel)
    {
        return;
    }

    for (node = ngx_rbtree_min(w->tenants.root, w->tenants.sentinel);
         node;
         node = ngx_rbtree_next(&w->tenants, node))
    {
        t = (ngx_agents_ws_tenant_t *) node;

        if (t->orders == NULL) {
            continue;
        }

        /*
         * What is handed over has a new address: agents are registered under
         * it when the channel is confirmed, or it is heard by nobody.
         */

        vmops_redis_unsubscribe(t->orders);

        t->ordering = 0;
        t->subscribed = 0;

        if (ngx_agents_ws_subscribe_orders(t) != NGX_OK) {
            ngx_agents_ws_register_all(t);
        }
    }

    ngx_agents_ws_register_pump();
}


/*
 * An agent may have two sessions for a moment, the old and the new one: equal
 * nodes stand side by side.
 */

static void
ngx_agents_ws_insert(ngx_agents_ws_session_t *s)
{
    ngx_rbtree_t  *tree = &s->tenant->agents;

    s->node.key = ngx_agents_ws_key(&s->agent);
    s->registered = 1;

    ngx_rbtree_insert(tree, &s->node);
}


ngx_agents_ws_session_t *
ngx_agents_ws_find(ngx_agents_ws_tenant_t *t, const vmops_uuid_t *agent,
    ngx_agents_ws_session_t *after)
{
    ngx_rbtree_key_t    key;
    ngx_rbtree_node_t  *node, *first;

    key = ngx_agents_ws_key(agent);

    if (after) {
        first = ngx_rbtree_next(&t->agents, &after->node);

    } else {
        first = NULL;
        node = t->agents.root;

        while (node != t->agents.sentinel) {

            if (node->key >= key) {
                first = node;
                node = node->left;

            } else {
                node = node->right;
            }
        }
    }

    for (node = first; node && node->key == key;
         node = ngx_rbtree_next(&t->agents, node))
    {
        if (vmops_uuid_eq(&ngx_agents_ws_node_session(node)->agent, agent)) {
            return ngx_agents_ws_node_session(node);
        }
    }

    return NULL;
}


/* the end of a UUIDv7 is random */

static ngx_rbtree_key_t
ngx_agents_ws_key(const vmops_uuid_t *agent)
{
    return (ngx_rbtree_key_t) vmops_get_u64(agent->b + 8);
}
