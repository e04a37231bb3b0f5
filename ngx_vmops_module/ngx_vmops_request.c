
/*
 * The lifetime of an operation and the reading of its body.
 *
 * An operation holds one reference of the request, from the content handler
 * until ngx_vmops_finish(), or from a phase's handler until that or
 * ngx_vmops_proceed(); only this file touches the count.  When the client
 * goes away, nginx runs the request's cleanup: whatever the operation waits
 * for is let go then, and nothing of it runs any more.
 */


#include "ngx_vmops.h"
#include "ngx_vmops_live.h"


static ngx_int_t ngx_vmops_operation(ngx_http_request_t *r,
    ngx_vmops_op_t **result);
static void ngx_vmops_cleanup(void *data);
static void ngx_vmops_body_first(ngx_http_request_t *r);
static void ngx_vmops_body_read(ngx_http_request_t *r);
static ngx_int_t ngx_vmops_body_take(ngx_vmops_op_t *op);
static ngx_int_t ngx_vmops_body_room(ngx_vmops_op_t *op, size_t n);
static void ngx_vmops_body_failed(ngx_vmops_op_t *op, ngx_int_t rc);


ngx_int_t
ngx_vmops_handler(ngx_http_request_t *r)
{
    ngx_int_t        rc;
    ngx_vmops_op_t  *op;

    rc = ngx_vmops_operation(r, &op);

    if (rc != NGX_OK) {
        return rc;
    }

    r->main->count++;

    r->connection->log->action = "serving an API request";

    ngx_vmops_begin(op);

    return NGX_DONE;
}


/*
 * A phase's handler, of a location whose content is another module's: begin
 * leads to an answer, or to ngx_vmops_proceed() and on to that module.
 */

ngx_int_t
ngx_vmops_gate(ngx_http_request_t *r, ngx_vmops_step_pt begin)
{
    ngx_int_t        rc;
    ngx_uint_t       passed;
    ngx_vmops_op_t  *op;

    op = ngx_http_get_module_ctx(r, ngx_vmops_module);

    if (op) {
        /* the phases run again, perhaps for no reason of ours */
        return op->passed ? NGX_DECLINED : NGX_DONE;
    }

    rc = ngx_vmops_operation(r, &op);

    if (rc != NGX_OK) {
        return rc;
    }

    r->main->count++;

    op->in_gate = 1;
    begin(op);
    op->in_gate = 0;

    passed = op->passed;

    /* one of the two references is left: the phases' or the operation's own */

    ngx_http_finalize_request(r, NGX_DONE);

    return passed ? NGX_DECLINED : NGX_DONE;
}


void
ngx_vmops_proceed(ngx_vmops_op_t *op)
{
    ngx_http_request_t  *r;

    r = op->request;

    ngx_vmops_cleanup(op);

    op->passed = 1;

    r->read_event_handler = ngx_http_block_reading;

    if (!op->in_gate) {
        ngx_http_core_run_phases(r);
    }
}


static ngx_int_t
ngx_vmops_operation(ngx_http_request_t *r, ngx_vmops_op_t **result)
{
    ngx_uint_t           i;
    ngx_vmops_op_t      *op;
    ngx_http_cleanup_t  *cln;

    if (r != r->main) {
        /* the body, the principal and the answer are the main request's */
        return NGX_HTTP_NOT_FOUND;
    }

    op = ngx_pcalloc(r->pool, sizeof(ngx_vmops_op_t));
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_vmops_cleanup;
    cln->data = op;

    op->request = r;

    for (i = 0; i < NGX_VMOPS_CAPTURES; i++) {
        op->path[i] = vmops_span("", 0);
    }

    ngx_http_set_ctx(r, op, ngx_vmops_module);

    *result = op;

    return NGX_OK;
}


/* a client that goes away while the operation waits is noticed */

void
ngx_vmops_watch(ngx_vmops_op_t *op)
{
    ngx_event_t         *rev;
    ngx_http_request_t  *r;

    r = op->request;
    rev = r->connection->read;

    if (r->discard_body) {
        /* nginx reads the body away first: the next call looks again */
        return;
    }

    r->read_event_handler = ngx_http_test_reading;

    if (rev->ready) {
        /* its end may have come with the request: no event tells of it */
        ngx_post_event(rev, &ngx_posted_events);
        return;
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "cannot watch the client of a waiting request");
    }
}


void
ngx_vmops_finish(ngx_vmops_op_t *op, ngx_int_t rc)
{
    ngx_http_request_t  *r;

    r = op->request;

    ngx_vmops_cleanup(op);

    ngx_http_finalize_request(r, rc);
}


static void
ngx_vmops_cleanup(void *data)
{
    ngx_vmops_op_t *op = data;

    op->request = NULL;

    if (op->call) {
        vmops_redis_detach(op->call);
        op->call = NULL;
    }

    ngx_vmops_live_close(op);
    ngx_vmops_principal_leave(op);
}


/*
 * The body is read without nginx's buffering: it stays in memory whatever
 * client_body_buffer_size says, and VMOPS_BODY_MAX holds for chunked bodies
 * as well.
 */

void
ngx_vmops_read_body(ngx_vmops_op_t *op, ngx_vmops_step_pt next)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = op->request;

    if (r->headers_in.content_length_n > VMOPS_BODY_MAX) {
        /* as nginx does: a client may stop sending it when it is told */
        r->keepalive = 0;

        ngx_vmops_problem(op, VMOPS_PROBLEM_body_too_large);
        return;
    }

    if (r->discard_body) {
        /* as after post_action: it is not there any more */
        ngx_vmops_body_failed(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    op->body_next = next;

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_vmops_body_first);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        /* nginx has given back the reference it took */
        ngx_vmops_body_failed(op, rc);
        return;
    }

    /* gives back the one it took; the operation's own is another one */
    ngx_http_finalize_request(r, NGX_DONE);
}


static void
ngx_vmops_body_first(ngx_http_request_t *r)
{
    r->read_event_handler = ngx_vmops_body_read;

    ngx_vmops_body_read(r);
}


static void
ngx_vmops_body_read(ngx_http_request_t *r)
{
    ngx_int_t        rc;
    ngx_vmops_op_t  *op;

    op = ngx_http_get_module_ctx(r, ngx_vmops_module);

    for ( ;; ) {
        rc = ngx_vmops_body_take(op);

        if (rc != NGX_OK) {
            ngx_vmops_body_failed(op, rc);
            return;
        }

        if (!r->reading_body) {
            break;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            ngx_vmops_body_failed(op, rc);
            return;
        }

        if (rc == NGX_AGAIN && r->request_body->bufs == NULL) {
            r->read_event_handler = ngx_vmops_body_read;
            return;
        }
    }

    ngx_vmops_watch(op);
    op->body_next(op);
}


/*
 * What has come goes to the operation: NGX_OK or an HTTP status.  A body that
 * somebody else has read (mirror) is all there, and theirs as well.
 */

static ngx_int_t
ngx_vmops_body_take(ngx_vmops_op_t *op)
{
    size_t               n;
    ngx_buf_t           *b;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = op->request;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            n = b->last - b->pos;

        } else if (b->in_file) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "a body is in a file: another module has read it, "
                          "and client_body_buffer_size is too small");
            return NGX_HTTP_INTERNAL_SERVER_ERROR;

        } else {
            n = 0;
        }

        if (n == 0) {
            continue;
        }

        if (n > VMOPS_BODY_MAX - op->body.len) {
            return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
        }

        if (ngx_vmops_body_room(op, n) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_memcpy(op->body.data + op->body.len, b->pos, n);
        op->body.len += n;

        if (r->reading_body) {
            b->pos = b->last;
        }
    }

    if (r->reading_body) {
        r->request_body->bufs = NULL;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_vmops_body_room(ngx_vmops_op_t *op, size_t n)
{
    off_t                expected;
    size_t               size;
    u_char              *p;
    ngx_http_request_t  *r;

    if (n <= op->body_size - op->body.len) {
        return NGX_OK;
    }

    r = op->request;
    expected = r->headers_in.content_length_n;

    size = ngx_max(op->body_size * 2, op->body.len + n);

    if (expected > (off_t) size) {
        size = expected;
    }

    if (size > VMOPS_BODY_MAX) {
        size = VMOPS_BODY_MAX;
    }

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (op->body.len) {
        ngx_memcpy(p, op->body.data, op->body.len);
        ngx_pfree(r->pool, op->body.data);
    }

    op->body.data = p;
    op->body_size = size;

    return NGX_OK;
}


static void
ngx_vmops_body_failed(ngx_vmops_op_t *op, ngx_int_t rc)
{
    ngx_http_request_t  *r;

    r = op->request;

    if (r->connection->error || r->connection->timedout) {
        /* nobody is there to be told */
        ngx_vmops_finish(op, rc);
        return;
    }

    r->keepalive = 0;

    ngx_vmops_problem(op, vmops_problem_for_status(rc));
}
