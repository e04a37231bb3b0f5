
/* answers: JSON, problem+json (RFC 9457), headers */


#include "ngx_vmops.h"


#define NGX_VMOPS_PROBLEM_MAX   4096
#define NGX_VMOPS_ANSWER_SLACK  2048       /* names, punctuation */
#define NGX_VMOPS_ANSWER_MAX    (8 * VMOPS_REDIS_REPLY_MAX)


static void ngx_vmops_problem_send(ngx_vmops_op_t *op, vmops_problem_t problem,
    const vmops_problem_field_t *fields, size_t n);
static size_t ngx_vmops_reply_size(redisReply *reply);
static void ngx_vmops_link(ngx_vmops_op_t *op);
static void ngx_vmops_send(ngx_vmops_op_t *op, ngx_uint_t status,
    const char *type, vmops_span_t body);


/* reasons that nginx has no words for */

static const struct {
    ngx_uint_t   status;
    ngx_str_t    line;
} ngx_vmops_lines[] = {
    { 422, ngx_string("422 Unprocessable Content") },
    { 428, ngx_string("428 Precondition Required") },
    { 0, ngx_null_string }
};


void
ngx_vmops_problem(ngx_vmops_op_t *op, vmops_problem_t problem)
{
    if (problem == VMOPS_PROBLEM_store_unavailable) {
        ngx_vmops_header(op, "Retry-After", vmops_span_str("1"));
    }

    if (problem == VMOPS_PROBLEM_unauthenticated) {
        ngx_vmops_header(op, "WWW-Authenticate", vmops_span_str("Bearer"));
    }

    ngx_vmops_problem_send(op, problem, NULL, 0);
}


void
ngx_vmops_problem_at(ngx_vmops_op_t *op, vmops_problem_t problem,
    const char *pointer, const char *code)
{
    vmops_problem_field_t  field;

    field.pointer = pointer;
    field.code = code;

    ngx_vmops_problem_send(op, problem, &field, 1);
}


/* of the request's header lines one, which is a name like "/if-match" */

void
ngx_vmops_problem_header(ngx_vmops_op_t *op, const char *pointer)
{
    ngx_vmops_problem_at(op, VMOPS_PROBLEM_invalid_header, pointer,
                         vmops_json_error_name(VMOPS_JE_PATTERN));
}


void
ngx_vmops_problem_told(ngx_vmops_op_t *op, vmops_problem_t problem,
    vmops_span_t detail)
{
    u_char  *pointer, *space;

    pointer = ngx_pnalloc(op->request->pool, detail.n + 1);

    if (pointer && detail.n) {
        ngx_snprintf(pointer, detail.n + 1, "%*s%Z", detail.n, detail.p);

        space = (u_char *) ngx_strchr(pointer, ' ');

        if (space) {
            *space = '\0';
            ngx_vmops_problem_at(op, problem, (char *) pointer,
                                 (char *) space + 1);
            return;
        }
    }

    ngx_vmops_problem(op, problem);
}


void
ngx_vmops_problem_limit(ngx_vmops_op_t *op, ngx_uint_t limit, ngx_msec_t reset)
{
    vmops_span_t  seconds;

    seconds = ngx_vmops_decimal(op->request->pool, (reset + 999) / 1000);

    ngx_vmops_header(op, "RateLimit-Limit",
                     ngx_vmops_decimal(op->request->pool, limit));
    ngx_vmops_header(op, "RateLimit-Remaining", vmops_span_str("0"));
    ngx_vmops_header(op, "RateLimit-Reset", seconds);
    ngx_vmops_header(op, "Retry-After", seconds);

    ngx_vmops_problem_send(op, VMOPS_PROBLEM_rate_limited, NULL, 0);
}


static void
ngx_vmops_problem_send(ngx_vmops_op_t *op, vmops_problem_t problem,
    const vmops_problem_field_t *fields, size_t n)
{
    u_char        *p;
    vmops_jw_t     w;
    vmops_span_t   body;

    if (op->request->header_sent) {
        /* an event stream: all that can be said is that it breaks off */
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    p = ngx_pnalloc(op->request->pool, NGX_VMOPS_PROBLEM_MAX);
    if (p == NULL) {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    vmops_jw_init(&w, p, NGX_VMOPS_PROBLEM_MAX);
    vmops_problem_write(&w, problem, 0, ngx_vmops_request_id(op->request),
                        fields, n);

    if (vmops_jw_done(&w, &body) != 0) {
        /* a field's name was no UTF-8, or far too long */
        vmops_jw_init(&w, p, NGX_VMOPS_PROBLEM_MAX);
        vmops_problem_write(&w, problem, 0, ngx_vmops_request_id(op->request),
                            NULL, 0);

        if (vmops_jw_done(&w, &body) != 0) {
            ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }
    }

    ngx_vmops_log_problem(op->request, problem);

    ngx_vmops_send(op, vmops_problem_info(problem)->status,
                   "application/problem+json", body);
}


void
ngx_vmops_answer(ngx_vmops_op_t *op, ngx_uint_t status, ngx_vmops_draw_pt draw,
    redisReply *reply)
{
    vmops_span_t  body;

    if (ngx_vmops_draw(op->request->pool, op, draw, reply, &body) != NGX_OK) {
        op->nheaders = 0;
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    if (op->location) {
        ngx_vmops_link(op);
    }

    ngx_vmops_send(op, status, "application/json", body);
}


/* a body that is there, in memory that stays until it is sent */

void
ngx_vmops_answer_raw(ngx_vmops_op_t *op, const char *type, vmops_span_t body)
{
    ngx_vmops_send(op, NGX_HTTP_OK, type, body);
}


/* JSON into as much memory as it takes */

ngx_int_t
ngx_vmops_draw(ngx_pool_t *pool, ngx_vmops_op_t *op, ngx_vmops_draw_pt draw,
    redisReply *reply, vmops_span_t *out)
{
    size_t       size;
    u_char      *p;
    vmops_jw_t   w;

    size = ngx_vmops_reply_size(reply) + NGX_VMOPS_ANSWER_SLACK;

    for ( ;; ) {
        p = ngx_pnalloc(pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        vmops_jw_init(&w, p, size);
        draw(op, &w, reply);

        if (vmops_jw_done(&w, out) == 0) {
            return NGX_OK;
        }

        ngx_pfree(pool, p);

        if (!w.buf.overflow || size > NGX_VMOPS_ANSWER_MAX) {
            ngx_log_error(NGX_LOG_ALERT, op->request->connection->log, 0,
                          "an answer of vmops cannot be written as JSON");
            return NGX_ERROR;
        }

        size *= 2;
    }
}


static size_t
ngx_vmops_reply_size(redisReply *reply)
{
    size_t  i, size;

    if (reply == NULL) {
        return 0;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        return reply->len + sizeof("\"\":,");
    }

    size = 0;

    for (i = 0; i < reply->elements; i++) {
        size += ngx_vmops_reply_size(reply->element[i]);
    }

    return size;
}


void
ngx_vmops_no_content(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_send(op, NGX_HTTP_NO_CONTENT, NULL, vmops_span(NULL, 0));
}


static void
ngx_vmops_send(ngx_vmops_op_t *op, ngx_uint_t status, const char *type,
    vmops_span_t body)
{
    ngx_buf_t           *b;
    ngx_int_t            rc;
    ngx_chain_t          out;
    ngx_http_request_t  *r;

    r = op->request;

    if (ngx_vmops_headers(op, status, type) != NGX_OK) {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (status != NGX_HTTP_NO_CONTENT) {
        r->headers_out.content_length_n = body.n;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    r->header_only = r->header_only || status == NGX_HTTP_NO_CONTENT;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_vmops_finish(op, rc);
        return;
    }

    b->pos = (u_char *) body.p;
    b->last = b->pos + body.n;
    b->memory = body.n != 0;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    ngx_vmops_finish(op, ngx_http_output_filter(r, &out));
}


/* status, type and header lines of an answer */

ngx_int_t
ngx_vmops_headers(ngx_vmops_op_t *op, ngx_uint_t status, const char *type)
{
    ngx_uint_t           i;
    ngx_http_request_t  *r;

    r = op->request;

    /* a body that was not read is not asked for now, and is no next request */

    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    r->headers_out.status = status;

    /* If-Match was for the call, and has been seen to: not for its answer */
    r->disable_not_modified = 1;

    for (i = 0; ngx_vmops_lines[i].status; i++) {
        if (ngx_vmops_lines[i].status == status) {
            r->headers_out.status_line = ngx_vmops_lines[i].line;
        }
    }

    if (type) {
        r->headers_out.content_type.data = (u_char *) type;
        r->headers_out.content_type.len = ngx_strlen(type);
        r->headers_out.content_type_len = r->headers_out.content_type.len;
        r->headers_out.content_type_lowcase = NULL;
    }

    for (i = 0; i < op->nheaders; i++) {
        if (ngx_vmops_push_header(r, op->headers[i].name, op->headers[i].value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_vmops_common_headers(r);
}


void
ngx_vmops_header(ngx_vmops_op_t *op, const char *name, vmops_span_t value)
{
    if (op->nheaders == NGX_VMOPS_HEADERS) {
        ngx_log_error(NGX_LOG_ALERT, op->request->connection->log, 0,
                      "too many headers in an answer of vmops");
        return;
    }

    op->headers[op->nheaders].name = name;
    op->headers[op->nheaders].value = value;
    op->nheaders++;
}


void
ngx_vmops_location(ngx_vmops_op_t *op, const char *path, vmops_span_t id)
{
    op->location = path;
    op->location_id = id;
}


/* links are absolute, as the world sees us */

static void
ngx_vmops_link(ngx_vmops_op_t *op)
{
    u_char        *p;
    size_t         len;
    ngx_str_t      url;
    vmops_span_t   id;

    id = op->location_id;

    if (ngx_vmops_public_url(op->request, &url) != NGX_OK) {
        return;
    }

    len = url.len + sizeof(NGX_VMOPS_BASE) - 1 + ngx_strlen(op->location)
          + id.n;

    p = ngx_pnalloc(op->request->pool, len);
    if (p == NULL) {
        return;
    }

    ngx_snprintf(p, len, "%V" NGX_VMOPS_BASE "%s%*s", &url, op->location,
                 id.n, id.p);

    ngx_vmops_header(op, "Location", vmops_span(p, len));
}


ngx_int_t
ngx_vmops_common_headers(ngx_http_request_t *r)
{
    if (ngx_vmops_push_header(r, "X-Request-Id", ngx_vmops_request_id(r))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* tokens and pairing codes are shown once, and to nobody else */

    return ngx_vmops_push_header(r, "Cache-Control",
                                 vmops_span_str("no-store"));
}


ngx_int_t
ngx_vmops_push_header(ngx_http_request_t *r, const char *name,
    vmops_span_t value)
{
    ngx_table_elt_t  *h;

    if (value.p == NULL) {
        return NGX_ERROR;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    vmops_header_end(h);

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value.p;
    h->value.len = value.n;

    return NGX_OK;
}


vmops_span_t
ngx_vmops_request_id(ngx_http_request_t *r)
{
    ngx_vmops_main_conf_t      *vmcf;
    ngx_http_variable_value_t  *v;

    vmcf = ngx_http_get_module_main_conf(r, ngx_vmops_module);

    v = ngx_http_get_indexed_variable(r, vmcf->request_id);

    if (v == NULL || v->not_found) {
        return vmops_span_str("-");
    }

    return vmops_span(v->data, v->len);
}


void
ngx_vmops_log_problem(ngx_http_request_t *r, vmops_problem_t problem)
{
    ngx_vmops_main_conf_t  *vmcf;

    vmcf = ngx_http_get_module_main_conf(r, ngx_vmops_module);

    vmops_vars_set(r, &vmcf->vars, VMOPS_VAR_CODE,
                   vmops_span_str(vmops_problem_info(problem)->code));
}


/* an administrator has no tenant */

void
ngx_vmops_log_principal(ngx_http_request_t *r, ngx_vmops_kind_e kind,
    vmops_span_t tenant, vmops_span_t actor)
{
    ngx_vmops_main_conf_t  *vmcf;

    vmcf = ngx_http_get_module_main_conf(r, ngx_vmops_module);

    if (kind != NGX_VMOPS_PLATFORM) {
        vmops_vars_set(r, &vmcf->vars, VMOPS_VAR_TENANT, tenant);
    }

    vmops_vars_set(r, &vmcf->vars, VMOPS_VAR_ACTOR, actor);
}
