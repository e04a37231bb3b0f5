
/*
 * The end of a tenant (redis/src/purge.lua): its keys go in steps, each a call
 * that does a bounded amount of work, with a pause between them, then the
 * platform lists it no more, then its hash goes.  Until then the sweep finds
 * it, and whichever worker sweeps it goes on; more than one may, as each takes
 * the next step, and what comes late is told by the deletion that it is of.
 */


#include "ngx_vmops_sweep.h"


/* one at a time: the sweep comes again to those that have to wait */

typedef struct {
    size_t        len;             /* 0: none is under way */
    u_char        name[VMOPS_TENANT_MAX];
    size_t        unlisted_len;    /* the deletion that is listed no more */
    u_char        unlisted[NGX_INT64_LEN];
} ngx_vmops_purge_t;


static void ngx_vmops_purge_handler(ngx_event_t *ev);
static void ngx_vmops_purge_step(void);
static void ngx_vmops_purge_stepped(void *data, redisReply *reply);
static void ngx_vmops_purge_selectors(redisReply *selectors);
static void ngx_vmops_purge_unlisted(void *data, redisReply *reply);


static ngx_vmops_purge_t  ngx_vmops_purging;

static ngx_event_t        ngx_vmops_purge_event;
static ngx_connection_t   ngx_vmops_purge_dummy;


void
ngx_vmops_purge_init(void)
{
    ngx_event_t  *ev;

    ngx_vmops_purging.len = 0;

    ngx_vmops_purge_dummy.fd = (ngx_socket_t) -1;

    ev = &ngx_vmops_purge_event;
    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = ngx_vmops_purge_handler;
    ev->data = &ngx_vmops_purge_dummy;
    ev->log = ngx_vmops_worker.log;
    ev->cancelable = 1;
}


void
ngx_vmops_purge(vmops_span_t tenant)
{
    ngx_vmops_purge_t  *p;

    p = &ngx_vmops_purging;

    if (p->len || tenant.n > VMOPS_TENANT_MAX) {
        return;
    }

    p->len = tenant.n;
    ngx_memcpy(p->name, tenant.p, tenant.n);
    p->unlisted_len = 0;

    ngx_vmops_purge_step();
}


static void
ngx_vmops_purge_handler(ngx_event_t *ev)
{
    ngx_vmops_purge_step();
}


static void
ngx_vmops_purge_step(void)
{
    u_char              limit[NGX_INT_T_LEN];
    vmops_span_t        args[2];
    ngx_vmops_purge_t  *p;

    p = &ngx_vmops_purging;

    args[0] = vmops_span(limit,
                         ngx_sprintf(limit, "%d", VMOPS_PURGE_STEP) - limit);
    args[1] = vmops_span(p->unlisted, p->unlisted_len);

    if (ngx_vmops_store_call(NGX_VMOPS_FN_tenant_purge,
                             vmops_span(p->name, p->len), args, 2,
                             ngx_vmops_purge_stepped, NULL)
        == NULL)
    {
        p->len = 0;
    }
}


static void
ngx_vmops_purge_stepped(void *data, redisReply *reply)
{
    ngx_int_t           code;
    vmops_span_t        state, deletion, args[3];
    ngx_vmops_purge_t  *p;

    p = &ngx_vmops_purging;

    code = ngx_vmops_store_code(reply);

    if (code != NGX_VMOPS_STORE_OK) {
        /* another worker was faster, or the sweep will come again */
        p->len = 0;
        return;
    }

    state = ngx_vmops_item_text(reply, 1);

    ngx_vmops_purge_selectors(ngx_vmops_item(reply, 2));

    if (vmops_span_is(state, "gone")) {
        p->len = 0;
        return;
    }

    if (!vmops_span_is(state, "empty")) {
        ngx_add_timer(&ngx_vmops_purge_event, VMOPS_PURGE_PACE_MS);
        return;
    }

    deletion = ngx_vmops_item_text(reply, 4);

    if (deletion.n > sizeof(p->unlisted)) {
        p->len = 0;
        return;
    }

    p->unlisted_len = deletion.n;
    ngx_memcpy(p->unlisted, deletion.p, deletion.n);

    args[0] = vmops_span(p->name, p->len);
    args[1] = ngx_vmops_item_text(reply, 3);
    args[2] = deletion;

    if (ngx_vmops_store_call(NGX_VMOPS_FN_platform_tenant_drop,
                             vmops_span("", 0), args, 3,
                             ngx_vmops_purge_unlisted, NULL)
        == NULL)
    {
        p->len = 0;
    }
}


/* codes that nobody can use any more; what is not freed here expires */

static void
ngx_vmops_purge_selectors(redisReply *selectors)
{
    ngx_uint_t          i;
    redisReply         *s;
    vmops_span_t        args[2];
    ngx_vmops_purge_t  *p;

    p = &ngx_vmops_purging;

    for (i = 0; i < selectors->elements; i++) {
        s = ngx_vmops_item(selectors, i);

        args[0] = vmops_span(p->name, p->len);
        args[1] = ngx_vmops_item_text(s, 1);

        (void) ngx_vmops_store_call(NGX_VMOPS_FN_selector_drop,
                                    ngx_vmops_item_text(s, 0), args, 2, NULL,
                                    NULL);
    }
}


static void
ngx_vmops_purge_unlisted(void *data, redisReply *reply)
{
    if (ngx_vmops_store_code(reply) != NGX_VMOPS_STORE_OK) {
        ngx_vmops_purging.len = 0;
        return;
    }

    ngx_vmops_purge_step();
}
