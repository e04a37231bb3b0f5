
/* answers that are written page by page */


#include "ngx_vmops_writer.h"


static ngx_int_t ngx_vmops_writer_start(ngx_vmops_op_t *op);
static void ngx_vmops_writer_written(ngx_vmops_op_t *op, ngx_int_t rc);
static void ngx_vmops_writer_handler(ngx_http_request_t *r);


ngx_int_t
ngx_vmops_writer_init(ngx_vmops_op_t *op, ngx_vmops_writer_t *wr)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(op->request->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_vmops_writer_forget;
    cln->data = wr;

    op->writer = wr;

    return NGX_OK;
}


ngx_int_t
ngx_vmops_writer_page(ngx_vmops_op_t *op)
{
    ngx_vmops_writer_t *wr = op->writer;

    if (wr->pool == NULL) {
        wr->pool = ngx_create_pool(2048, op->request->connection->log);
    }

    return wr->pool ? NGX_OK : NGX_ERROR;
}


/* with the request: what it wrote may be on its way until then */

void
ngx_vmops_writer_forget(void *data)
{
    ngx_vmops_writer_t *wr = data;

    if (wr->pool) {
        ngx_destroy_pool(wr->pool);
        wr->pool = NULL;
    }
}


void
ngx_vmops_write_failed(ngx_vmops_op_t *op)
{
    ngx_vmops_finish(op, op->writer->started ? NGX_ERROR
                                             : NGX_HTTP_INTERNAL_SERVER_ERROR);
}


/* NGX_DONE: the step has been ended */

static ngx_int_t
ngx_vmops_writer_start(ngx_vmops_op_t *op)
{
    ngx_vmops_writer_t *wr = op->writer;

    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = op->request;

    if (ngx_vmops_headers(op, NGX_HTTP_OK, wr->type) != NGX_OK) {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_DONE;
    }

    wr->started = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_vmops_finish(op, rc);
        return NGX_DONE;
    }

    return NGX_OK;
}


void
ngx_vmops_write(ngx_vmops_op_t *op, vmops_span_t text)
{
    ngx_vmops_writer_t *wr = op->writer;

    ngx_buf_t           *b;
    ngx_int_t            rc;
    ngx_chain_t         *out;
    ngx_http_request_t  *r;

    if (!wr->started && ngx_vmops_writer_start(op) != NGX_OK) {
        return;
    }

    r = op->request;

    out = ngx_chain_get_free_buf(r->pool, &wr->free);
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
    b->last_buf = wr->last;
    b->last_in_chain = wr->last;

    rc = ngx_http_output_filter(r, out);

    if (wr->last) {
        ngx_vmops_finish(op, rc);
        return;
    }

    ngx_chain_update_chains(r->pool, &wr->free, &wr->busy, &out, b->tag);

    ngx_vmops_writer_written(op, rc);
}


static void
ngx_vmops_writer_written(ngx_vmops_op_t *op, ngx_int_t rc)
{
    ngx_vmops_writer_t *wr = op->writer;

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

        wr->writing = 1;
        r->write_event_handler = ngx_vmops_writer_handler;

        if (!wev->delayed) {
            ngx_add_timer(wev, clcf->send_timeout);
        }

        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_vmops_finish(op, NGX_ERROR);
        }

        return;
    }

    wr->writing = 0;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    ngx_vmops_writer_forget(wr);
    wr->next(op);
}


static void
ngx_vmops_writer_handler(ngx_http_request_t *r)
{
    ngx_vmops_op_t  *op;

    op = ngx_http_get_module_ctx(r, ngx_vmops_module);

    if (r->connection->write->timedout) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, NGX_ETIMEDOUT,
                      "a client does not read %s", op->writer->slow);

        r->connection->timedout = 1;
        ngx_vmops_finish(op, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    ngx_vmops_writer_written(op, ngx_http_output_filter(r, NULL));
}
