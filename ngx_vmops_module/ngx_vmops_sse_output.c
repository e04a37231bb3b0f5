
/* event streams: what is written, and how much at once */


#include "ngx_vmops_sse.h"


static ngx_int_t ngx_vmops_sse_start(ngx_vmops_op_t *op);
static void ngx_vmops_sse_written(ngx_vmops_op_t *op, ngx_int_t rc);
static void ngx_vmops_sse_write_handler(ngx_http_request_t *r);


/* with the request: what it wrote may be on its way until then */

void
ngx_vmops_sse_forget(void *data)
{
    ngx_vmops_sse_t *sse = data;

    if (sse->pool) {
        ngx_destroy_pool(sse->pool);
        sse->pool = NULL;
    }
}


ngx_int_t
ngx_vmops_sse_page(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    if (sse->pool == NULL) {
        sse->pool = ngx_create_pool(2048, op->request->connection->log);
    }

    sse->command.pool = sse->pool;

    return sse->pool ? NGX_OK : NGX_ERROR;
}


/* NGX_DONE: the step has been ended */

static ngx_int_t
ngx_vmops_sse_start(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = op->request;

    /* proxies are asked to hold nothing back */

    ngx_vmops_header(op, "X-Accel-Buffering", vmops_span_str("no"));

    if (ngx_vmops_headers(op, NGX_HTTP_OK, "text/event-stream") != NGX_OK) {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_DONE;
    }

    sse->started = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_vmops_finish(op, rc);
        return NGX_DONE;
    }

    if (sse->stream.open) {
        ngx_vmops_live_timer(op, VMOPS_SSE_COMMENT_MS);
    }

    return NGX_OK;
}


void
ngx_vmops_sse_write(ngx_vmops_op_t *op, vmops_span_t text)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_buf_t           *b;
    ngx_int_t            rc;
    ngx_chain_t         *out;
    ngx_http_request_t  *r;

    if (!sse->started && ngx_vmops_sse_start(op) != NGX_OK) {
        return;
    }

    r = op->request;

    out = ngx_chain_get_free_buf(r->pool, &sse->free);
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
    b->last_buf = sse->last;
    b->last_in_chain = sse->last;

    sse->said = ngx_current_msec;

    rc = ngx_http_output_filter(r, out);

    if (sse->last) {
        ngx_vmops_finish(op, rc);
        return;
    }

    ngx_chain_update_chains(r->pool, &sse->free, &sse->busy, &out, b->tag);

    ngx_vmops_sse_written(op, rc);
}


static void
ngx_vmops_sse_written(ngx_vmops_op_t *op, ngx_int_t rc)
{
    ngx_vmops_sse_t *sse = op->data;

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

        sse->writing = 1;
        r->write_event_handler = ngx_vmops_sse_write_handler;

        if (!wev->delayed) {
            ngx_add_timer(wev, clcf->send_timeout);
        }

        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_vmops_finish(op, NGX_ERROR);
        }

        return;
    }

    sse->writing = 0;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    ngx_vmops_sse_forget(sse);
    ngx_vmops_sse_pump(op);
}


static void
ngx_vmops_sse_write_handler(ngx_http_request_t *r)
{
    ngx_vmops_op_t  *op;

    op = ngx_http_get_module_ctx(r, ngx_vmops_module);

    if (r->connection->write->timedout) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, NGX_ETIMEDOUT,
                      "a client does not read its events");

        r->connection->timedout = 1;
        ngx_vmops_finish(op, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    ngx_vmops_sse_written(op, ngx_http_output_filter(r, NULL));
}
