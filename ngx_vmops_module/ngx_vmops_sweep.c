
/*
 * The sweep of tenants with open commands (redis/README.md): workers share
 * them by lease, and each is looked after every VMOPS_SWEEP_MS.  And: what
 * must not be lost by a fail-over of the store is done twice.
 */


#include "ngx_vmops_sweep.h"


/* a tenant that this worker has listed as active not long ago */

typedef struct {
    ngx_str_node_t           sn;
    ngx_queue_t              queue;        /* the oldest last */
    ngx_msec_t               until;
    u_char                   name[VMOPS_TENANT_MAX];
} ngx_vmops_active_t;


/* a call about a tenant under way */

typedef struct {
    size_t                   len;
    u_char                   name[VMOPS_TENANT_MAX];
} ngx_vmops_about_t;


/* all of them are in a queue: a worker that is ended at once loses no memory */

typedef struct {
    ngx_event_t              event;
    ngx_queue_t              queue;
    ngx_vmops_function_e     fn;
    vmops_span_t             tenant;
    ngx_uint_t               nargs;
    vmops_span_t             args[];
} ngx_vmops_again_t;


static void ngx_vmops_sweep_handler(ngx_event_t *ev);
static void ngx_vmops_sweep_lease(void);
static void ngx_vmops_sweep_leased(void *data, redisReply *reply);
static void ngx_vmops_sweep_done(void *data, redisReply *reply);
static void ngx_vmops_about(ngx_vmops_function_e fn, vmops_span_t key,
    vmops_span_t tenant, const vmops_span_t *args, ngx_uint_t nargs,
    vmops_redis_pt cb);
static void ngx_vmops_active_added(void *data, redisReply *reply);
static void ngx_vmops_active_drop(ngx_vmops_active_t *a);
static void ngx_vmops_active_expire(void);
static void ngx_vmops_active_forget(void *data, ngx_uint_t up);
static void ngx_vmops_again_handler(ngx_event_t *ev);
static void ngx_vmops_again_done(void *data, redisReply *reply);


static ngx_event_t        ngx_vmops_sweep_event;
static ngx_connection_t   ngx_vmops_sweep_dummy;

static ngx_rbtree_t       ngx_vmops_active;
static ngx_rbtree_node_t  ngx_vmops_active_sentinel;
static ngx_queue_t        ngx_vmops_active_queue;
static ngx_uint_t         ngx_vmops_active_n;

static ngx_queue_t        ngx_vmops_again_queue;
static ngx_uint_t         ngx_vmops_again_n;


ngx_int_t
ngx_vmops_sweep_init(void)
{
    ngx_event_t  *ev;

    ngx_rbtree_init(&ngx_vmops_active, &ngx_vmops_active_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&ngx_vmops_active_queue);
    ngx_vmops_active_n = 0;

    ngx_queue_init(&ngx_vmops_again_queue);

    ngx_vmops_purge_init();

    ngx_vmops_sweep_dummy.fd = (ngx_socket_t) -1;

    ev = &ngx_vmops_sweep_event;
    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = ngx_vmops_sweep_handler;
    ev->data = &ngx_vmops_sweep_dummy;
    ev->log = ngx_vmops_worker.log;
    ev->cancelable = 1;

    /* workers start together: they should not sweep together */

    ngx_add_timer(ev, 1 + ngx_random() % VMOPS_SWEEP_MS);

    return vmops_redis_on_state(ngx_vmops_worker.redis,
                                ngx_vmops_active_forget, NULL);
}


static void
ngx_vmops_sweep_handler(ngx_event_t *ev)
{
    ngx_vmops_active_expire();

    /* without a beat nobody knows which gateways are alive */

    if (vmops_beat_fresh(ngx_vmops_worker.beat)) {
        ngx_vmops_sweep_lease();
    }

    ngx_add_timer(ev, VMOPS_SWEEP_MS);
}


static void
ngx_vmops_sweep_lease(void)
{
    u_char        lease[NGX_INT_T_LEN], limit[NGX_INT_T_LEN];
    vmops_span_t  args[2];

    args[0] = vmops_span(lease,
                         ngx_sprintf(lease, "%d", VMOPS_SWEEP_LEASE_MS)
                         - lease);
    args[1] = vmops_span(limit,
                         ngx_sprintf(limit, "%d", VMOPS_SWEEP_TENANTS) - limit);

    (void) ngx_vmops_store_call(NGX_VMOPS_FN_active_lease, vmops_span("", 0),
                                args, 2, ngx_vmops_sweep_leased, NULL);
}


static void
ngx_vmops_sweep_leased(void *data, redisReply *reply)
{
    u_char         limit[NGX_INT_T_LEN];
    ngx_uint_t     i;
    redisReply    *tenants;
    vmops_span_t   name, args[2];

    if (ngx_vmops_store_code(reply) != NGX_VMOPS_STORE_OK) {
        return;
    }

    tenants = ngx_vmops_item(reply, 1);

    args[0] = ngx_vmops_live();
    args[1] = vmops_span(limit,
                         ngx_sprintf(limit, "%d", VMOPS_SWEEP_STEP) - limit);

    for (i = 0; i < tenants->elements; i++) {
        name = ngx_vmops_item_text(tenants, i);

        ngx_vmops_about(NGX_VMOPS_FN_sweep, name, name, args, 2,
                        ngx_vmops_sweep_done);
    }

    if (tenants->elements == VMOPS_SWEEP_TENANTS) {
        ngx_vmops_sweep_lease();
    }
}


static void
ngx_vmops_sweep_done(void *data, redisReply *reply)
{
    ngx_vmops_about_t *a = data;

    ngx_int_t     code;
    vmops_span_t  args[2];

    args[0] = vmops_span(a->name, a->len);
    args[1] = vmops_span("", 0);

    code = ngx_vmops_store_code(reply);

    if (code == NGX_VMOPS_STORE_OK) {
        args[1] = ngx_vmops_item_text(reply, 4);
    }

    if (code == NGX_VMOPS_STORE_OK && ngx_vmops_item_int(reply, 3)) {
        ngx_vmops_purge(args[0]);

    } else if ((code == NGX_VMOPS_STORE_OK && ngx_vmops_item_int(reply, 1) == 0
                && ngx_vmops_item_int(reply, 2) > VMOPS_ACTIVE_KEEP_MS)
               || code == VMOPS_PROBLEM_not_found)
    {
        (void) ngx_vmops_store_call(NGX_VMOPS_FN_active_drop,
                                    vmops_span("", 0), args, 2, NULL, NULL);
    }

    ngx_free(a);
}


/* a call whose callback gets the tenant's name, and frees it */

static void
ngx_vmops_about(ngx_vmops_function_e fn, vmops_span_t key, vmops_span_t tenant,
    const vmops_span_t *args, ngx_uint_t nargs, vmops_redis_pt cb)
{
    ngx_vmops_about_t  *a;

    if (tenant.n > VMOPS_TENANT_MAX) {
        return;
    }

    a = ngx_alloc(sizeof(ngx_vmops_about_t), ngx_vmops_worker.log);
    if (a == NULL) {
        return;
    }

    a->len = tenant.n;
    ngx_memcpy(a->name, tenant.p, tenant.n);

    if (ngx_vmops_store_call(fn, key, args, nargs, cb, a) == NULL) {
        ngx_free(a);
    }
}


void
ngx_vmops_sweep_active(vmops_span_t tenant)
{
    uint32_t             hash;
    ngx_str_t            name;
    ngx_vmops_active_t  *a;

    name.data = (u_char *) tenant.p;
    name.len = tenant.n;

    hash = ngx_crc32_short(name.data, name.len);

    a = (ngx_vmops_active_t *) ngx_str_rbtree_lookup(&ngx_vmops_active, &name,
                                                     hash);

    if (a && ngx_vmops_left(a->until)) {
        return;
    }

    if (a) {
        ngx_vmops_active_drop(a);
    }

    /* it goes out before the submit, on the same connection */

    ngx_vmops_about(NGX_VMOPS_FN_active_add, vmops_span("", 0), tenant,
                    &tenant, 1, ngx_vmops_active_added);
}


static void
ngx_vmops_active_added(void *data, redisReply *reply)
{
    ngx_vmops_about_t *about = data;

    uint32_t             hash;
    ngx_str_t            name;
    ngx_vmops_active_t  *a;

    name.data = about->name;
    name.len = about->len;

    hash = ngx_crc32_short(name.data, name.len);

    if (ngx_vmops_store_code(reply) != NGX_VMOPS_STORE_OK
        || ngx_vmops_active_n == VMOPS_ACTIVE_MAX
        || ngx_str_rbtree_lookup(&ngx_vmops_active, &name, hash))
    {
        /* not remembered: it is told again with the next submit */
        goto done;
    }

    a = ngx_alloc(sizeof(ngx_vmops_active_t), ngx_vmops_worker.log);
    if (a == NULL) {
        goto done;
    }

    ngx_memcpy(a->name, name.data, name.len);

    a->sn.node.key = hash;
    a->sn.str.data = a->name;
    a->sn.str.len = name.len;
    a->until = ngx_current_msec + VMOPS_ACTIVE_CACHE_S * 1000;

    ngx_rbtree_insert(&ngx_vmops_active, &a->sn.node);
    ngx_queue_insert_head(&ngx_vmops_active_queue, &a->queue);
    ngx_vmops_active_n++;

done:

    ngx_free(about);
}


static void
ngx_vmops_active_drop(ngx_vmops_active_t *a)
{
    ngx_rbtree_delete(&ngx_vmops_active, &a->sn.node);
    ngx_queue_remove(&a->queue);
    ngx_vmops_active_n--;

    ngx_free(a);
}


static void
ngx_vmops_active_expire(void)
{
    ngx_queue_t         *q;
    ngx_vmops_active_t  *a;

    while (!ngx_queue_empty(&ngx_vmops_active_queue)) {

        q = ngx_queue_last(&ngx_vmops_active_queue);
        a = ngx_queue_data(q, ngx_vmops_active_t, queue);

        if (ngx_vmops_left(a->until)) {
            return;
        }

        ngx_vmops_active_drop(a);
    }
}


/* a store that comes back may have lost whom it was told of last */

static void
ngx_vmops_active_forget(void *data, ngx_uint_t up)
{
    ngx_queue_t  *q;

    while (!up && !ngx_queue_empty(&ngx_vmops_active_queue)) {

        q = ngx_queue_last(&ngx_vmops_active_queue);
        ngx_vmops_active_drop(ngx_queue_data(q, ngx_vmops_active_t, queue));
    }
}


void
ngx_vmops_again(ngx_vmops_function_e fn, vmops_span_t tenant,
    const vmops_span_t *args, ngx_uint_t nargs)
{
    size_t              size;
    u_char             *p;
    ngx_uint_t          i;
    ngx_vmops_again_t  *a;

    if (ngx_vmops_again_n == VMOPS_REVOKE_AGAIN_MAX) {
        ngx_log_error(NGX_LOG_WARN, ngx_vmops_worker.log, 0,
                      "too many revocations at once: one is not repeated");
        return;
    }

    size = sizeof(ngx_vmops_again_t) + nargs * sizeof(vmops_span_t) + tenant.n;

    for (i = 0; i < nargs; i++) {
        size += args[i].n;
    }

    a = ngx_calloc(size, ngx_vmops_worker.log);
    if (a == NULL) {
        return;
    }

    p = (u_char *) &a->args[nargs];

    a->fn = fn;
    a->tenant = vmops_span(p, tenant.n);
    p = ngx_cpymem(p, tenant.p, tenant.n);

    a->nargs = nargs;

    for (i = 0; i < nargs; i++) {
        a->args[i] = vmops_span(p, args[i].n);
        p = ngx_cpymem(p, args[i].p, args[i].n);
    }

    /* not cancelable: a worker that is about to exit stays for it */

    a->event.handler = ngx_vmops_again_handler;
    a->event.data = &ngx_vmops_sweep_dummy;
    a->event.log = ngx_vmops_worker.log;

    ngx_add_timer(&a->event, VMOPS_REVOKE_AGAIN_MS);

    ngx_queue_insert_tail(&ngx_vmops_again_queue, &a->queue);
    ngx_vmops_again_n++;
}


static void
ngx_vmops_again_handler(ngx_event_t *ev)
{
    ngx_vmops_again_t  *a;

    a = (ngx_vmops_again_t *) ((u_char *) ev
                               - offsetof(ngx_vmops_again_t, event));

    if (ngx_vmops_store_call(a->fn, a->tenant, a->args, a->nargs,
                             ngx_vmops_again_done, a)
        == NULL)
    {
        ngx_vmops_again_done(a, NULL);
    }
}


/* a store that is away is what this is for: it is told when it is back */

static void
ngx_vmops_again_done(void *data, redisReply *reply)
{
    ngx_vmops_again_t *a = data;

    if (ngx_vmops_store_code(reply) == VMOPS_PROBLEM_store_unavailable
        && !ngx_exiting)
    {
        ngx_add_timer(&a->event, VMOPS_REVOKE_AGAIN_MS);
        return;
    }

    ngx_queue_remove(&a->queue);
    ngx_vmops_again_n--;

    ngx_free(a);
}
