
/*
 * The seals of the audit (docs/audit.md).  Workers look for tenants that may
 * have new entries, and share them by lease; whoever has a tenant's lease
 * chains its entries to the last seal and appends one of its own.  It is
 * appended only where the last seal still is the last one: a worker that was
 * too slow, or was thought dead, changes nothing.  A worker has one tenant at a
 * time: a command that comes in between waits for no more entries than that.
 */


#include "ngx_agents_ws.h"

#include <sodium.h>

#include "vmops_banned.h"


typedef struct {
    ngx_queue_t                 queue;
    u_char                      id[16];        /* tenant16 */
    ngx_uint_t                  idle;          /* to be left if nothing new */
    ngx_uint_t                  more;
    size_t                      len;
    u_char                      key[sizeof("tenants/{}") + VMOPS_TENANT_MAX];
} ngx_agents_ws_sealing_t;


#define NGX_AGENTS_WS_SEAL_NAME  9             /* where it begins in key */


static void ngx_agents_ws_seal_look(ngx_event_t *ev);
static void ngx_agents_ws_seal_leased(void *data, redisReply *reply);
static void ngx_agents_ws_seal_begin(vmops_span_t tenant, ngx_uint_t idle);
static void ngx_agents_ws_seal_next(ngx_agents_ws_sealing_t *g);
static void ngx_agents_ws_seal_entries(void *data, redisReply *reply);
static ngx_int_t ngx_agents_ws_seal_last(ngx_agents_ws_sealing_t *g,
    vmops_seal_t *seal, vmops_span_t text);
static void ngx_agents_ws_seal_refuse(ngx_agents_ws_sealing_t *g);
static void ngx_agents_ws_seal_forget(ngx_agents_ws_sealing_t *g);
static ngx_str_node_t *ngx_agents_ws_seal_said(ngx_agents_ws_sealing_t *g);
static ngx_uint_t ngx_agents_ws_seal_chain(vmops_seal_t *seal,
    redisReply *entries);
static void ngx_agents_ws_seal_append(ngx_agents_ws_sealing_t *g,
    vmops_seal_t *seal, vmops_span_t last, vmops_span_t id);
static void ngx_agents_ws_seal_appended(void *data, redisReply *reply);
static void ngx_agents_ws_seal_leave(ngx_agents_ws_sealing_t *g);
static void ngx_agents_ws_seal_end(ngx_agents_ws_sealing_t *g);
static ngx_int_t ngx_agents_ws_seal_call(const char *function, ngx_str_t *key,
    ngx_uint_t argc, const vmops_span_t *argv, vmops_redis_pt handler,
    void *data);


static ngx_event_t  ngx_agents_ws_seal_event;
static ngx_uint_t   ngx_agents_ws_seal_looking;
static ngx_queue_t  ngx_agents_ws_sealings;    /* the first is under way */

static ngx_rbtree_t       ngx_agents_ws_seal_refused;  /* and said so */
static ngx_rbtree_node_t  ngx_agents_ws_seal_sentinel;

static ngx_str_t    ngx_agents_ws_platform = ngx_string("platform/{p}");


void
ngx_agents_ws_seal_init(void)
{
    ngx_memzero(&ngx_agents_ws_seal_event, sizeof(ngx_event_t));

    ngx_agents_ws_seal_looking = 0;

    ngx_queue_init(&ngx_agents_ws_sealings);
    ngx_rbtree_init(&ngx_agents_ws_seal_refused, &ngx_agents_ws_seal_sentinel,
                    ngx_str_rbtree_insert_value);

    ngx_agents_ws_timer(&ngx_agents_ws_seal_event, ngx_agents_ws_seal_look);

    /* workers start together: they should not look together */

    ngx_add_timer(&ngx_agents_ws_seal_event,
                  1 + ngx_random() % VMOPS_AUDIT_LOOK_MS);
}


static void
ngx_agents_ws_seal_look(ngx_event_t *ev)
{
    u_char                   lease[NGX_INT64_LEN], limit[NGX_INT64_LEN];
    vmops_span_t             argv[2];
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    ngx_add_timer(ev, VMOPS_AUDIT_LOOK_MS);

    if (ngx_agents_ws_seal_looking
        || !ngx_queue_empty(&ngx_agents_ws_sealings)
        || !vmops_redis_ready(w->redis)
        || !vmops_beat_fresh(w->beat))
    {
        return;
    }

    argv[0] = ngx_agents_ws_number(lease, VMOPS_AUDIT_LEASE_MS);
    argv[1] = ngx_agents_ws_number(limit, VMOPS_AUDIT_TENANTS);

    if (ngx_agents_ws_seal_call("unsealed_lease", &ngx_agents_ws_platform, 2,
                                argv, ngx_agents_ws_seal_leased, NULL)
        == NGX_OK)
    {
        ngx_agents_ws_seal_looking = 1;
    }
}


static void
ngx_agents_ws_seal_leased(void *data, redisReply *reply)
{
    uint64_t     idle;
    ngx_uint_t   i;
    redisReply  *due;

    ngx_agents_ws_seal_looking = 0;

    reply = ngx_agents_ws_reply_ok(reply, "unsealed_lease");
    due = reply ? ngx_agents_ws_reply_array(reply, 1) : NULL;

    for (i = 0; due && i < due->elements; i++) {

        if (vmops_dec_parse(ngx_agents_ws_reply_span(due->element[i], 1),
                            INT64_MAX, &idle)
            == 0)
        {
            ngx_agents_ws_seal_begin(
                                ngx_agents_ws_reply_span(due->element[i], 0),
                                idle > VMOPS_AUDIT_KEEP_MS);
        }
    }
}


static void
ngx_agents_ws_seal_begin(vmops_span_t tenant, ngx_uint_t idle)
{
    ngx_agents_ws_sealing_t  *g;

    if (!vmops_pattern_match(VMOPS_P_TENANT, tenant)) {
        return;
    }

    g = ngx_alloc(sizeof(ngx_agents_ws_sealing_t), ngx_agents_ws_worker->log);
    if (g == NULL) {
        return;
    }

    g->idle = idle;
    g->more = 0;
    g->len = ngx_snprintf(g->key, sizeof(g->key), "tenants/{%*s}", tenant.n,
                          tenant.p)
             - g->key;

    vmops_tenant16(g->id, tenant);

    ngx_queue_insert_tail(&ngx_agents_ws_sealings, &g->queue);

    if (ngx_queue_head(&ngx_agents_ws_sealings) == &g->queue) {
        ngx_agents_ws_seal_next(g);
    }
}


static void
ngx_agents_ws_seal_next(ngx_agents_ws_sealing_t *g)
{
    ngx_str_t  key;

    key.data = g->key;
    key.len = g->len;

    if (ngx_agents_ws_seal_call("audit_next", &key, 0, NULL,
                                ngx_agents_ws_seal_entries, g)
        != NGX_OK)
    {
        ngx_agents_ws_seal_end(g);
    }
}


static void
ngx_agents_ws_seal_entries(void *data, redisReply *reply)
{
    ngx_agents_ws_sealing_t *g = data;

    ngx_uint_t     n;
    redisReply    *entries;
    vmops_span_t   last;
    vmops_seal_t   seal;

    if (reply && ngx_agents_ws_reply_is(reply, "not_found")) {
        /* the tenant is no more */
        ngx_agents_ws_seal_leave(g);
        return;
    }

    reply = ngx_agents_ws_reply_ok(reply, "audit_next");
    entries = reply ? ngx_agents_ws_reply_array(reply, 3) : NULL;

    if (entries == NULL) {
        ngx_agents_ws_seal_end(g);
        return;
    }

    g->more = vmops_span_is(ngx_agents_ws_reply_span(reply, 4), "1");

    if (entries->elements == 0) {

        if (g->more) {
            ngx_agents_ws_seal_next(g);

        } else if (g->idle) {
            ngx_agents_ws_seal_leave(g);

        } else {
            ngx_agents_ws_seal_end(g);
        }

        return;
    }

    last = ngx_agents_ws_reply_span(reply, 2);

    if (ngx_agents_ws_seal_last(g, &seal, last) != NGX_OK) {
        ngx_agents_ws_seal_refuse(g);
        return;
    }

    ngx_agents_ws_seal_forget(g);

    n = ngx_agents_ws_seal_chain(&seal, entries);

    if (n == 0
        || vmops_dec_parse(ngx_agents_ws_reply_span(reply, 1), INT64_MAX,
                           &seal.ms)
           != 0)
    {
        ngx_agents_ws_seal_end(g);
        return;
    }

    if (n < entries->elements) {
        g->more = 1;
    }

    ngx_agents_ws_seal_append(g, &seal, last,
                         ngx_agents_ws_reply_span(entries->element[n - 1], 3));
}


/*
 * Where the chain stands.  Nothing is chained to what is no seal of ours, but
 * to those from before the keys were replaced: by whoever replaced them.
 */

static ngx_int_t
ngx_agents_ws_seal_last(ngx_agents_ws_sealing_t *g, vmops_seal_t *seal,
    vmops_span_t text)
{
    const vmops_json_t      *root;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    ngx_memzero(seal, sizeof(vmops_seal_t));

    if (text.n == 0) {
        return NGX_OK;
    }

    vmops_arena_init(&w->arena, w->memory, w->memory_size);

    if (vmops_json_parse(&root, &w->arena, text) != VMOPS_JSON_OK
        || vmops_seal_parse(seal, root) != 0)
    {
        return NGX_DECLINED;
    }

    return vmops_seal_verify(seal, g->id, w->conf->keys->command + 32) == 0
           || seal->ms < vmops_redis_keys_since(w->redis)
           ? NGX_OK : NGX_DECLINED;
}


/* it is looked at several times a second, and said once */

static void
ngx_agents_ws_seal_refuse(ngx_agents_ws_sealing_t *g)
{
    ngx_str_node_t  *said;

    if (ngx_agents_ws_seal_said(g) == NULL) {

        ngx_log_error(NGX_LOG_ERR, ngx_agents_ws_worker->log, 0,
                      "the last seal of %*s is none of ours: its audit has "
                      "been changed, or this node has another command.key",
                      g->len, g->key);

        said = ngx_alloc(sizeof(ngx_str_node_t) + g->len,
                         ngx_agents_ws_worker->log);
        if (said) {
            said->str.data = (u_char *) (said + 1);
            said->str.len = g->len;
            ngx_memcpy(said->str.data, g->key, g->len);

            said->node.key = ngx_crc32_short(g->key, g->len);
            ngx_rbtree_insert(&ngx_agents_ws_seal_refused, &said->node);
        }
    }

    if (g->idle) {
        ngx_agents_ws_seal_leave(g);

    } else {
        ngx_agents_ws_seal_end(g);
    }
}


static void
ngx_agents_ws_seal_forget(ngx_agents_ws_sealing_t *g)
{
    ngx_str_node_t  *said;

    said = ngx_agents_ws_seal_said(g);

    if (said) {
        ngx_rbtree_delete(&ngx_agents_ws_seal_refused, &said->node);
        ngx_free(said);
    }
}


static ngx_str_node_t *
ngx_agents_ws_seal_said(ngx_agents_ws_sealing_t *g)
{
    ngx_str_t  key;

    key.data = g->key;
    key.len = g->len;

    return ngx_str_rbtree_lookup(&ngx_agents_ws_seal_refused, &key,
                                 ngx_crc32_short(key.data, key.len));
}


/* from the last seal to the next: how many entries are under it, one by one */

static ngx_uint_t
ngx_agents_ws_seal_chain(vmops_seal_t *seal, redisReply *entries)
{
    uint64_t     n, ms;
    ngx_uint_t   i;
    redisReply  *entry;

    for (i = 0; i < entries->elements; i++) {

        entry = entries->element[i];

        if (vmops_dec_parse(ngx_agents_ws_reply_span(entry, 0), INT64_MAX, &n)
            != 0
            || vmops_dec_parse(ngx_agents_ws_reply_span(entry, 1), INT64_MAX,
                               &ms)
               != 0
            || (i && n != seal->to + 1))
        {
            break;
        }

        if (i == 0) {
            seal->from = n;
        }

        seal->to = n;

        vmops_audit_link(seal->head, seal->head, n, ms,
                         ngx_agents_ws_reply_span(entry, 2));
    }

    return i;
}


static void
ngx_agents_ws_seal_append(ngx_agents_ws_sealing_t *g, vmops_seal_t *seal,
    vmops_span_t last, vmops_span_t id)
{
    u_char        text[VMOPS_AUDIT_SEAL_TEXT];
    u_char        from[NGX_INT64_LEN], to[NGX_INT64_LEN];
    ngx_str_t     key;
    vmops_jw_t    w;
    vmops_span_t  argv[5];

    vmops_seal_sign(seal, g->id, ngx_agents_ws_worker->conf->keys->command);

    vmops_jw_init(&w, text, sizeof(text));
    vmops_seal_write(&w, seal);

    key.data = g->key;
    key.len = g->len;

    argv[0] = last;
    argv[2] = ngx_agents_ws_number(from, seal->from);
    argv[3] = ngx_agents_ws_number(to, seal->to);
    argv[4] = id;

    if (vmops_jw_done(&w, &argv[1]) != 0
        || ngx_agents_ws_seal_call("audit_seal", &key, 5, argv,
                                   ngx_agents_ws_seal_appended, g)
           != NGX_OK)
    {
        ngx_agents_ws_seal_end(g);
    }
}


static void
ngx_agents_ws_seal_appended(void *data, redisReply *reply)
{
    ngx_agents_ws_sealing_t *g = data;

    /* "conflict": another worker did it */

    if (ngx_agents_ws_reply_ok(reply, "audit_seal") && g->more) {
        ngx_agents_ws_seal_next(g);
        return;
    }

    ngx_agents_ws_seal_end(g);
}


static void
ngx_agents_ws_seal_leave(ngx_agents_ws_sealing_t *g)
{
    vmops_span_t  name;

    name = vmops_span(g->key + NGX_AGENTS_WS_SEAL_NAME,
                      g->len - NGX_AGENTS_WS_SEAL_NAME - 1);

    (void) ngx_agents_ws_seal_call("unsealed_drop", &ngx_agents_ws_platform, 1,
                                   &name, NULL, NULL);

    ngx_agents_ws_seal_end(g);
}


static void
ngx_agents_ws_seal_end(ngx_agents_ws_sealing_t *g)
{
    ngx_queue_t  *q;

    ngx_queue_remove(&g->queue);
    ngx_free(g);

    if (!ngx_queue_empty(&ngx_agents_ws_sealings)) {
        q = ngx_queue_head(&ngx_agents_ws_sealings);

        ngx_agents_ws_seal_next(ngx_queue_data(q, ngx_agents_ws_sealing_t,
                                               queue));
    }
}


static ngx_int_t
ngx_agents_ws_seal_call(const char *function, ngx_str_t *key, ngx_uint_t argc,
    const vmops_span_t *argv, vmops_redis_pt handler, void *data)
{
    if (ngx_agents_ws_worker->exiting) {
        return NGX_ERROR;
    }

    return ngx_agents_ws_fcall(key, function, argc, argv, handler, data);
}


/*
 * The store may have lost the end of the chain after an agent was shown it, or
 * somebody has taken it away: either is said in the audit.
 */

void
ngx_agents_ws_witness(ngx_agents_ws_session_t *s, const vmops_seal_t *seal)
{
    char          agent[VMOPS_UUID_TEXT + 1];
    char          head[VMOPS_B64U_LEN(VMOPS_HASH)];
    u_char        n[NGX_INT64_LEN];
    vmops_span_t  argv[3];

    if (s->witness
        || ngx_memcmp(&s->head, seal->head, sizeof(s->head)) == 0)
    {
        return;
    }

    /* once in a session: a look into the chain costs the store something */
    s->witness = 1;

    if (vmops_seal_verify(seal, s->tenant->id,
                          ngx_agents_ws_worker->conf->keys->command + 32)
        != 0)
    {
        return;
    }

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_number(n, seal->to);
    argv[2] = vmops_span(head, vmops_b64u_encode(head, seal->head,
                                                 VMOPS_HASH));

    (void) ngx_agents_ws_call(s, "audit_witness", NULL, 3, argv);
}
