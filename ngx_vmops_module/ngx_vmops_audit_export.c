
/*
 * The export of the audit: all that is sealed, as lines of JSON.  A page is
 * read when the one before is written: a slow client holds one page, and is
 * left after send_timeout.  What cannot be whole breaks off, without its last
 * line.
 */


#include "ngx_vmops_audit.h"
#include "ngx_vmops_routes.h"
#include "ngx_vmops_writer.h"


typedef struct {
    ngx_vmops_writer_t       writer;
    ngx_vmops_audit_at_t     at;
    uint64_t                 end;          /* the last entry of the export */
} ngx_vmops_export_t;


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


void
ngx_vmops_audit_export(ngx_vmops_op_t *op)
{
    ngx_vmops_export_t  *ex;

    ex = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_export_t));

    if (ex == NULL || ngx_vmops_writer_init(op, &ex->writer) != NGX_OK) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    ex->writer.type = "application/x-ndjson";
    ex->writer.slow = "its export";
    ex->writer.next = ngx_vmops_export_next;

    op->data = ex;

    ngx_vmops_export_read(op);
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

    if (ex->writer.started
        && (uint64_t) ngx_vmops_item_int(reply, 5) > ex->at.n)
    {
        ngx_log_error(NGX_LOG_INFO, op->request->connection->log, 0,
                      "entries were trimmed before an export came to them");
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    if (ngx_vmops_writer_page(op) != NGX_OK
        || ngx_vmops_draw(ex->writer.pool, op, ngx_vmops_export_draw, reply,
                          &text)
           != NGX_OK)
    {
        ngx_vmops_write_failed(op);
        return;
    }

    ngx_vmops_write(op, text);
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

    if (!ex->writer.started) {
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
        ex->writer.last = last;
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
