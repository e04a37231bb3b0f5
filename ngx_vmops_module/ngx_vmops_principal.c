
/*
 * The records behind principals, cached for VMOPS_PRINCIPAL_CACHE_MS at most:
 * what is revoked stops working within that time.  Requests that come while
 * a record is on its way wait for the same answer.
 *
 * Requests are counted here and told to the store with the next call for the
 * same principal.  Whoever knows an agent's id can ask in its name, and only
 * the signature finds that out: an agent's are counted once that was checked.
 */


#include "ngx_vmops.h"


#define NGX_VMOPS_IDENTITY_MAX                                                \
    (1 + VMOPS_TENANT_MAX + 1 + VMOPS_LOOKUP_TEXT + 1 + VMOPS_SUBJECT_MAX + 1 \
     + VMOPS_ROLE_MAX + 1)


/* whom the request claims to be is the key of the tree */

struct ngx_vmops_entry_s {
    ngx_str_node_t           sn;
    ngx_queue_t              queue;        /* the most recently used first */
    ngx_uint_t               refs;         /* operations, the call under way */
    ngx_vmops_claim_t        claim;

    ngx_vmops_principal_t   *principal;
    ngx_int_t                verdict;      /* NGX_VMOPS_STORE_OK or a problem */
    ngx_msec_t               asked;        /* when the verdict was asked for */
    unsigned                 valid:1;      /* there is a verdict to keep */

    ngx_uint_t               used;         /* requests the store knows of */
    ngx_uint_t               pending;      /* and those it does not */
    ngx_msec_t               reset;        /* when the window ends */

    vmops_redis_call_t      *call;
    ngx_queue_t              waiting;      /* operations */

    u_char                   text[NGX_VMOPS_IDENTITY_MAX];
};


static ngx_uint_t ngx_vmops_entry_fresh(ngx_vmops_entry_t *e);
static ngx_vmops_entry_t *ngx_vmops_entry(ngx_vmops_claim_t *claim);
static void ngx_vmops_entry_expire(ngx_uint_t force);
static void ngx_vmops_entry_drop(ngx_vmops_entry_t *e);
static void ngx_vmops_entry_release(ngx_vmops_entry_t *e);
static void ngx_vmops_entry_get(ngx_vmops_op_t *op, ngx_vmops_claim_t *claim);
static ngx_int_t ngx_vmops_entry_ask(ngx_vmops_entry_t *e);
static void ngx_vmops_entry_answer(void *data, redisReply *reply);
static void ngx_vmops_entry_read(ngx_vmops_entry_t *e, redisReply *reply);
static void ngx_vmops_entry_settle(ngx_vmops_entry_t *e, ngx_vmops_op_t *op);
static ngx_uint_t ngx_vmops_entry_within(ngx_vmops_entry_t *e);
static void ngx_vmops_principal_refuse(ngx_vmops_op_t *op, ngx_int_t verdict);


static ngx_rbtree_t       ngx_vmops_cache;
static ngx_rbtree_node_t  ngx_vmops_cache_sentinel;
static ngx_queue_t        ngx_vmops_cache_queue;
static ngx_uint_t         ngx_vmops_cache_n;


void
ngx_vmops_principal_init(void)
{
    ngx_rbtree_init(&ngx_vmops_cache, &ngx_vmops_cache_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&ngx_vmops_cache_queue);
    ngx_vmops_cache_n = 0;
}


void
ngx_vmops_principal_get(ngx_vmops_op_t *op, ngx_vmops_claim_t *claim,
    ngx_vmops_step_pt next)
{
    op->cost = claim->kind != NGX_VMOPS_AGENT;
    op->known = next;
    op->unknown = ngx_vmops_principal_refuse;

    ngx_vmops_entry_get(op, claim);
}


ngx_int_t
ngx_vmops_principal_count(ngx_vmops_op_t *op)
{
    op->entry->pending++;

    if (ngx_vmops_entry_within(op->entry)) {
        return NGX_OK;
    }

    op->unknown(op, VMOPS_PROBLEM_rate_limited);

    return NGX_ERROR;
}


void
ngx_vmops_principal_renew(ngx_vmops_op_t *op, ngx_vmops_step_pt next,
    ngx_vmops_verdict_pt refused)
{
    ngx_vmops_claim_t  claim;

    op->cost = 0;
    op->known = next;
    op->unknown = refused;

    claim = op->entry->claim;

    ngx_vmops_entry_get(op, &claim);
}


ngx_uint_t
ngx_vmops_principal_cost(ngx_vmops_op_t *op)
{
    ngx_uint_t  n;

    n = op->entry->pending;

    op->entry->used += n;
    op->entry->pending = 0;

    return n;
}


void
ngx_vmops_principal_forget(ngx_vmops_op_t *op)
{
    op->entry->valid = 0;
}


void
ngx_vmops_principal_leave(ngx_vmops_op_t *op)
{
    if (op->queued) {
        ngx_queue_remove(&op->waiting);
        op->queued = 0;
    }

    if (op->entry) {
        ngx_vmops_entry_release(op->entry);
        op->entry = NULL;
    }

    if (op->principal) {
        ngx_vmops_principal_free(op->principal);
        op->principal = NULL;
    }
}


static void
ngx_vmops_entry_get(ngx_vmops_op_t *op, ngx_vmops_claim_t *claim)
{
    ngx_vmops_entry_t  *e;

    e = ngx_vmops_entry(claim);

    if (e == NULL) {
        op->unknown(op, VMOPS_PROBLEM_store_unavailable);
        return;
    }

    e->refs++;

    if (op->entry) {
        ngx_vmops_entry_release(op->entry);
    }

    op->entry = e;

    if (ngx_vmops_left(e->reset) == 0) {
        e->reset = ngx_current_msec + VMOPS_RATE_MS;
        e->used = 0;
    }

    e->pending += op->cost;

    if (e->call == NULL) {

        if (ngx_vmops_entry_fresh(e)) {
            ngx_vmops_entry_settle(e, op);
            return;
        }

        if (ngx_vmops_entry_ask(e) != NGX_OK) {
            op->unknown(op, VMOPS_PROBLEM_store_unavailable);
            return;
        }
    }

    ngx_queue_insert_tail(&e->waiting, &op->waiting);
    op->queued = 1;

    ngx_vmops_watch(op);
}


/*
 * Other workers count requests, too: the closer to the limit, the sooner the
 * store is asked again.
 */

static ngx_uint_t
ngx_vmops_entry_fresh(ngx_vmops_entry_t *e)
{
    ngx_uint_t  left, limit;

    if (!e->valid || ngx_current_msec - e->asked >= VMOPS_PRINCIPAL_CACHE_MS) {
        return 0;
    }

    if (e->verdict != NGX_VMOPS_STORE_OK) {
        return 1;
    }

    limit = ngx_vmops_worker.conf->request_rate;
    left = limit - ngx_min(e->used, limit);

    return e->pending <= 1 + left / 16;
}


static ngx_vmops_entry_t *
ngx_vmops_entry(ngx_vmops_claim_t *claim)
{
    u_char              text[NGX_VMOPS_IDENTITY_MAX], *p;
    uint32_t            hash;
    ngx_str_t           id;
    ngx_uint_t          i;
    vmops_span_t       *parts[4];
    ngx_vmops_entry_t  *e;

    parts[0] = &claim->tenant;
    parts[1] = &claim->key;
    parts[2] = &claim->subject;
    parts[3] = &claim->role_name;

    /* of these only a subject may hold a slash, and a role is one of three */

    p = text;
    *p++ = '0' + claim->kind;

    for (i = 0; i < 4; i++) {
        if (parts[i]->n) {
            p = ngx_cpymem(p, parts[i]->p, parts[i]->n);
        }

        *p++ = '/';
    }

    id.data = text;
    id.len = p - text;

    hash = ngx_crc32_long(id.data, id.len);

    e = (ngx_vmops_entry_t *) ngx_str_rbtree_lookup(&ngx_vmops_cache, &id,
                                                    hash);
    if (e) {
        ngx_queue_remove(&e->queue);
        ngx_queue_insert_head(&ngx_vmops_cache_queue, &e->queue);
        return e;
    }

    ngx_vmops_entry_expire(0);

    if (ngx_vmops_cache_n == VMOPS_PRINCIPALS_MAX) {
        ngx_vmops_entry_expire(1);
    }

    e = ngx_calloc(sizeof(ngx_vmops_entry_t), ngx_vmops_worker.log);
    if (e == NULL) {
        return NULL;
    }

    ngx_memcpy(e->text, id.data, id.len);

    e->sn.node.key = hash;
    e->sn.str.data = e->text;
    e->sn.str.len = id.len;

    e->claim.kind = claim->kind;

    p = e->text + 1;

    e->claim.tenant = vmops_span(p, claim->tenant.n);
    p += claim->tenant.n + 1;

    e->claim.key = vmops_span(p, claim->key.n);
    p += claim->key.n + 1;

    e->claim.subject = vmops_span(p, claim->subject.n);
    p += claim->subject.n + 1;

    e->claim.role_name = vmops_span(p, claim->role_name.n);

    ngx_queue_init(&e->waiting);

    ngx_rbtree_insert(&ngx_vmops_cache, &e->sn.node);
    ngx_queue_insert_head(&ngx_vmops_cache_queue, &e->queue);
    ngx_vmops_cache_n++;

    return e;
}


/* makes room: entries that nobody used for a window, or (force) any at all */

static void
ngx_vmops_entry_expire(ngx_uint_t force)
{
    ngx_uint_t          n;
    ngx_queue_t        *q, *prev;
    ngx_vmops_entry_t  *e;

    /* a few a time; those in use are passed over */

    q = ngx_queue_last(&ngx_vmops_cache_queue);

    for (n = 0; n < 4 && q != ngx_queue_sentinel(&ngx_vmops_cache_queue); n++) {

        prev = ngx_queue_prev(q);
        e = ngx_queue_data(q, ngx_vmops_entry_t, queue);

        if (e->refs == 0 && (force || ngx_vmops_left(e->reset) == 0)) {
            ngx_vmops_entry_drop(e);
        }

        q = prev;
    }
}


static void
ngx_vmops_entry_drop(ngx_vmops_entry_t *e)
{
    ngx_rbtree_delete(&ngx_vmops_cache, &e->sn.node);
    ngx_queue_remove(&e->queue);
    ngx_vmops_cache_n--;

    if (e->principal) {
        ngx_vmops_principal_free(e->principal);
    }

    ngx_free(e);
}


static void
ngx_vmops_entry_release(ngx_vmops_entry_t *e)
{
    /* who is nobody is not remembered */

    if (--e->refs == 0 && e->principal == NULL && !e->valid) {
        ngx_vmops_entry_drop(e);
    }
}


static ngx_int_t
ngx_vmops_entry_ask(ngx_vmops_entry_t *e)
{
    u_char        cost[NGX_INT_T_LEN], limit[NGX_INT_T_LEN], *last;
    ngx_uint_t    n;
    vmops_span_t  args[5];

    n = 0;

    if (e->claim.kind != NGX_VMOPS_PLATFORM) {
        args[n++] = ngx_vmops_kind_name(e->claim.kind);
    }

    args[n++] = e->claim.key;

    if (e->claim.kind != NGX_VMOPS_PLATFORM) {
        args[n++] = e->claim.subject;
    }

    args[n].p = cost;
    args[n++].n = ngx_sprintf(cost, "%ui", e->pending) - cost;

    /* whoever only says that it is an agent is not told of the agent's limit */

    last = limit;

    if (e->claim.kind != NGX_VMOPS_AGENT) {
        last = ngx_sprintf(limit, "%i", ngx_vmops_worker.conf->request_rate);
    }

    args[n++] = vmops_span(limit, last - limit);

    e->call = ngx_vmops_store_call(ngx_vmops_kind_function(e->claim.kind),
                                   e->claim.tenant, args, n,
                                   ngx_vmops_entry_answer, e);
    if (e->call == NULL) {
        return NGX_ERROR;
    }

    e->refs++;
    e->asked = ngx_current_msec;

    e->used += e->pending;
    e->pending = 0;

    return NGX_OK;
}


static void
ngx_vmops_entry_answer(void *data, redisReply *reply)
{
    ngx_vmops_entry_t *e = data;

    ngx_queue_t        waiting, *q;
    ngx_vmops_op_t    *op;
    ngx_connection_t  *c;

    e->call = NULL;

    ngx_vmops_entry_read(e, reply);

    ngx_queue_init(&waiting);

    if (!ngx_queue_empty(&e->waiting)) {
        ngx_queue_add(&waiting, &e->waiting);
        ngx_queue_init(&e->waiting);
    }

    /* one of them may end others */

    while (!ngx_queue_empty(&waiting)) {
        q = ngx_queue_head(&waiting);
        ngx_queue_remove(q);

        op = ngx_queue_data(q, ngx_vmops_op_t, waiting);
        op->queued = 0;

        c = op->request->connection;

        ngx_vmops_entry_settle(e, op);
        ngx_http_run_posted_requests(c);
    }

    ngx_vmops_entry_release(e);
}


static void
ngx_vmops_entry_read(ngx_vmops_entry_t *e, redisReply *reply)
{
    ngx_uint_t              n;
    redisReply             *record, *tenant;
    ngx_vmops_principal_t  *p;

    e->verdict = ngx_vmops_store_code(reply);

    if (e->verdict == VMOPS_PROBLEM_rate_limited) {
        e->reset = ngx_current_msec + ngx_vmops_item_int(reply, 1);
        e->valid = 1;
        return;
    }

    record = NULL;

    if (e->verdict == NGX_VMOPS_STORE_OK) {
        record = ngx_vmops_item(reply, 1);

        if (ngx_vmops_claim_verify(&e->claim, record) != NGX_OK) {
            e->verdict = VMOPS_PROBLEM_unauthenticated;
        }
    }

    if (e->principal) {
        ngx_vmops_principal_free(e->principal);
        e->principal = NULL;
    }

    e->valid = 0;

    if (e->verdict != NGX_VMOPS_STORE_OK) {
        return;
    }

    /* an administrator has no tenant */

    n = 2;
    tenant = record;

    if (e->claim.kind != NGX_VMOPS_PLATFORM) {
        tenant = ngx_vmops_item(reply, n++);
    }

    e->used = ngx_vmops_item_int(reply, n);
    e->reset = ngx_current_msec + ngx_vmops_item_int(reply, n + 1);

    p = ngx_vmops_principal_make(&e->claim, record, tenant);

    if (p == NULL) {
        e->verdict = VMOPS_PROBLEM_internal_error;
        return;
    }

    e->principal = p;
    e->valid = 1;
}


/* one operation gets the verdict */

static void
ngx_vmops_entry_settle(ngx_vmops_entry_t *e, ngx_vmops_op_t *op)
{
    ngx_vmops_principal_t  *p;

    if (e->verdict != NGX_VMOPS_STORE_OK) {
        op->unknown(op, e->verdict);
        return;
    }

    p = e->principal;

    if (p->expires_ms && (uint64_t) p->expires_ms <= ngx_vmops_now()) {
        op->unknown(op, VMOPS_PROBLEM_unauthenticated);
        return;
    }

    if (op->cost && !ngx_vmops_entry_within(e)) {
        op->unknown(op, VMOPS_PROBLEM_rate_limited);
        return;
    }

    p->refs++;

    if (op->principal) {
        ngx_vmops_principal_free(op->principal);
    }

    op->principal = p;

    op->known(op);
}


/* may one more that has been counted be served? */

static ngx_uint_t
ngx_vmops_entry_within(ngx_vmops_entry_t *e)
{
    if (e->used + e->pending
        <= (ngx_uint_t) ngx_vmops_worker.conf->request_rate)
    {
        return 1;
    }

    if (e->pending) {
        e->pending--;
    }

    return 0;
}


static void
ngx_vmops_principal_refuse(ngx_vmops_op_t *op, ngx_int_t verdict)
{
    ngx_vmops_claim_t      *claim;
    ngx_vmops_principal_t  *p;

    if (verdict == VMOPS_PROBLEM_rate_limited) {

        /* the store has said no more; who it was, an earlier answer may */

        claim = &op->entry->claim;
        p = op->entry->principal;

        ngx_vmops_log_principal(op->request, claim->kind, claim->tenant,
                                p ? p->actor : vmops_span("", 0));

        ngx_vmops_problem_limit(op, ngx_vmops_worker.conf->request_rate,
                                ngx_vmops_left(op->entry->reset));
        return;
    }

    ngx_vmops_problem(op, verdict);
}
