
/*
 * The export of the audit: all that is sealed, as lines of JSON.  A page is
 * read when the one before is written: a slow client holds one page, and is
 * left after send_timeout.  What cannot be whole breaks off, without its last
 * line.
 */


#include "ngx_vmops_audit.h"
#include "ngx_vmops_routes.h"


typedef struct {
    ngx_vmops_audit_at_t     at;
    uint64_t                 end;          /* the last entry of the export */
    ngx_pool_t              *pool;         /* of the page being written */
    ngx_chain_t             *free;
    ngx_chain_t             *busy;

    unsigned                 started:1;    /* the header is sent */
    unsigned                 last:1;       /* what is written ends it */
} ngx_vmops_export_t;


static void ngx_vmops_export_forget(void *data);
static void ngx_vmops_export_next(ngx_vmops_op_t *op);
static void ngx_vmops_export_refused(ngx_vmops_op_t *op, ngx_int_t verdict);
static void ngx_vmops_export_read(ngx_vmops_op_t *op);
static void ngx_vmops_export_page(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_export_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_export_begin(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply, ngx_vmops_audit_at_t *at);
static void ngx_vmops_export_seals(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *seals, ngx_uint_t *i, uint64_t upto);
static ngx_int_t ngx_vmops_export_start(ngx_vmops_op_t *op);
static void ngx_vmops_export_write(ngx_vmops_op_t *op, vmops_span_t text);
static void ngx_vmops_export_written(ngx_vmops_op_t *op, ngx_int_t rc);
static void ngx_vmops_export_write_handler(ngx_http_request_t *r);


void
ngx_vmops_audit_export(ngx_vmops_op_t *op)
{
    ngx_pool_cleanup_t  *cln;
    ngx_vmops_export_t  *ex;

    ex = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_export_t));
    cln = ngx_pool_cleanup_add(op->request->pool, 0);

    if (ex == NULL || cln == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    cln->handler = ngx_vmops_export_forget;
    cln->data = ex;

    op->data = ex;

    ngx_vmops_export_read(op);
}


/* with the request: what it wrote may be on its way until then */

static void
ngx_vmops_export_forget(void *data)
{
    ngx_vmops_export_t *ex = data;

    if (ex->pool) {
        ngx_destroy_pool(ex->pool);
        ex->pool = NULL;
    }
}


/* a long one ends with its principal */

static void
ngx_vmops_export_next(ngx_vmops_op_t *op)
{
    ngx_vmops_principal_renew(op, ngx_vmops_export_read,
                              ngx_vmops_export_refused);
}


static void
ngx_vmops_export_refused(ngx_vmops_op_t *op, ngx_int_t verdict)
{
    ngx_vmops_finish(op, NGX_ERROR);
}


static void
ngx_vmops_export_read(ngx_vmops_op_t *op)
{
    ngx_vmops_export_t *ex = op->data;

    ngx_vmops_principal_t  *p;

    p = op->principal;

    if (p->suspended || !ngx_vmops_route_open(op->route, p)) {
        ngx_vmops_export_refused(op, NGX_OK);
        return;
    }

    ngx_vmops_audit_read(op, &ex->at,
                         ngx_vmops_decimal(op->request->pool,
                                           VMOPS_LIST_LIMIT_MAX),
                         ngx_vmops_export_page);
}


static void
ngx_vmops_export_page(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_export_t *ex = op->data;

    vmops_span_t  text;

    if (ex->started
        && (uint64_t) ngx_vmops_item_int(reply, 5) > ex->at.n)
    {
        ngx_log_error(NGX_LOG_INFO, op->request->connection->log, 0,
                      "entries were trimmed before an export came to them");
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    ex->pool = ngx_create_pool(2048, op->request->connection->log);

    if (ex->pool == NULL
        || ngx_vmops_draw(ex->pool, op, ngx_vmops_export_draw, reply, &text)
           != NGX_OK)
    {
        ngx_vmops_finish(op, ex->started ? NGX_ERROR
                                         : NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_vmops_export_write(op, text);
}


/*
 * A seal stands after the entry it ends with, or before the one that comes
 * after what it covered.  It may have to be drawn twice: what is known after
 * the page is set in the end.
 */

static void
ngx_vmops_export_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_vmops_export_t *ex = op->data;

    ngx_uint_t             i, k, last;
    redisReply            *list, *seals;
    vmops_span_t           next;
    vmops_audit_line_t     line;
    ngx_vmops_audit_at_t   at, before;

    at = ex->at;
    k = 0;
    last = 0;

    list = ngx_vmops_item(reply, 1);
    seals = ngx_vmops_item(reply, 2);
    next = ngx_vmops_item_text(reply, 3);

    if (!ex->started) {
        ngx_vmops_export_begin(op, w, reply, &at);

        /* the seal it begins with is in the first line */
        k = at.n ? 1 : 0;
    }

    line.type = VMOPS_AUDIT_ENTRY;

    for (i = 0; i < list->elements; i++) {

        before = at;

        if (ngx_vmops_audit_entry(reply, i, &at, &line.u.entry) != NGX_OK) {
            continue;
        }

        if (at.n > ex->end) {
            at = before;
            last = 1;
            break;
        }

        ngx_vmops_export_seals(op, w, seals, &k, at.n - 1);
        vmops_audit_write(w, &line);
        ngx_vmops_export_seals(op, w, seals, &k, at.n);
    }

    if (next.n == 0 || at.n == ex->end) {
        last = 1;
    }

    ngx_vmops_export_seals(op, w, seals, &k, ex->end);

    if (last) {
        line.type = VMOPS_AUDIT_END;
        line.u.end.n = at.n;
        vmops_audit_write(w, &line);

    } else if (ngx_vmops_event_parse(&at.after, next) != NGX_OK) {
        w->bad = 1;
    }

    if (!w->bad && !w->buf.overflow) {
        ex->at = at;
        ex->last = last;
    }
}


static void
ngx_vmops_export_begin(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply,
    ngx_vmops_audit_at_t *at)
{
    ngx_vmops_export_t *ex = op->data;

    vmops_seal_t          last;
    vmops_audit_line_t    line;
    vmops_audit_begin_t  *begin;

    begin = &line.u.begin;

    line.type = VMOPS_AUDIT_BEGIN;
    begin->version = 1;
    begin->tenant = op->tenant;
    begin->command_key_id = vmops_span_str(
                                     ngx_vmops_worker.conf->command_key_id);
    begin->has_start = ngx_vmops_audit_start(op->request->pool, reply, at,
                                             &begin->start)
                       == NGX_OK;

    ex->end = ngx_vmops_seal_read(op->request->pool,
                                  ngx_vmops_item_text(reply, 4), &last)
              == NGX_OK ? last.to : 0;

    vmops_audit_write(w, &line);
}


/* from the i-th seal of a page on, those that end at upto or before */

static void
ngx_vmops_export_seals(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *seals,
    ngx_uint_t *i, uint64_t upto)
{
    vmops_audit_line_t  line;

    line.type = VMOPS_AUDIT_SEAL;

    for ( /* void */ ; *i < seals->elements; (*i)++) {

        if (ngx_vmops_seal_read(op->request->pool,
                                ngx_vmops_item_text(seals, *i),
                                &line.u.seal.seal)
            != NGX_OK)
        {
            continue;
        }

        if (line.u.seal.seal.to > upto) {
            return;
        }

        vmops_audit_write(w, &line);
    }
}


/* NGX_DONE: the step has been ended */

static ngx_int_t
ngx_vmops_export_start(ngx_vmops_op_t *op)
{
    ngx_vmops_export_t *ex = op->data;

    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = op->request;

    if (ngx_vmops_headers(op, NGX_HTTP_OK, "application/x-ndjson") != NGX_OK) {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_DONE;
    }

    ex->started = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_vmops_finish(op, rc);
        return NGX_DONE;
    }

    return NGX_OK;
}


static void
ngx_vmops_export_write(ngx_vmops_op_t *op, vmops_span_t text)
{
    ngx_vmops_export_t *ex = op->data;

    ngx_buf_t           *b;
    ngx_int_t            rc;
    ngx_chain_t         *out;
    ngx_http_request_t  *r;

    if (!ex->started && ngx_vmops_export_start(op) != NGX_OK) {
        return;
    }

    r = op->request;

    out = ngx_chain_get_free_buf(r->pool, &ex->free);
    if (out == NULL) {
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    b = out->buf;

    ngx_memzero(b, sizeof(ngx_buf_t));

    b->tag = (ngx_buf_tag_t) &ngx_vmops_module;
    b->pos = (u_char *) text.p;
    b->last = b->pos + text.n;
    b->memory = text.n != 0;
    b->flush = 1;
    b->last_buf = ex->last;
    b->last_in_chain = ex->last;

    rc = ngx_http_output_filter(r, out);

    if (ex->last) {
        ngx_vmops_finish(op, rc);
        return;
    }

    ngx_chain_update_chains(r->pool, &ex->free, &ex->busy, &out, b->tag);

    ngx_vmops_export_written(op, rc);
}


static void
ngx_vmops_export_written(ngx_vmops_op_t *op, ngx_int_t rc)
{
    ngx_vmops_export_t *ex = op->data;

    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = op->request;
    wev = r->connection->write;

    if (rc == NGX_ERROR) {
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    if (rc == NGX_AGAIN) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        r->write_event_handler = ngx_vmops_export_write_handler;

        if (!wev->delayed) {
            ngx_add_timer(wev, clcf->send_timeout);
        }

        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_vmops_finish(op, NGX_ERROR);
        }

        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    ngx_vmops_export_forget(ex);
    ngx_vmops_export_next(op);
}


static void
ngx_vmops_export_write_handler(ngx_http_request_t *r)
{
    ngx_vmops_op_t  *op;

    op = ngx_http_get_module_ctx(r, ngx_vmops_module);

    if (r->connection->write->timedout) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, NGX_ETIMEDOUT,
                      "a client does not read its export");

        r->connection->timedout = 1;
        ngx_vmops_finish(op, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    ngx_vmops_export_written(op, ngx_http_output_filter(r, NULL));
}
