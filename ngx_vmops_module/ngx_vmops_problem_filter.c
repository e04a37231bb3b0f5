
/*
 * vmops_problem: nginx's own errors as problem+json (RFC 9457).
 *
 * A header filter sees that an answer is nginx's own error page, gives it the
 * problem's header, and the body filter the problem's body.  What a handler or
 * an upstream answers by itself, and pages that error_page names, pass.
 */


#include "ngx_vmops_routes.h"


#define NGX_VMOPS_FILTER_MAX  1024


typedef struct {
    ngx_flag_t      enable;
} ngx_vmops_problem_conf_t;

typedef struct {
    vmops_span_t    body;
    unsigned        sent:1;
} ngx_vmops_problem_ctx_t;


static ngx_int_t ngx_vmops_problem_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_vmops_problem_lines(ngx_http_request_t *r,
    ngx_uint_t status);
static ngx_int_t ngx_vmops_problem_say(ngx_http_request_t *r, const char *name,
    vmops_span_t value);
static vmops_problem_t ngx_vmops_problem_of(ngx_http_request_t *r,
    ngx_uint_t status);
static ngx_int_t ngx_vmops_problem_allow(ngx_http_request_t *r);
static ngx_int_t ngx_vmops_problem_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);

static void *ngx_vmops_problem_create_conf(ngx_conf_t *cf);
static char *ngx_vmops_problem_merge_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_vmops_problem_init(ngx_conf_t *cf);


static ngx_command_t  ngx_vmops_problem_commands[] = {

    /* vmops_problem on | off; */
    { ngx_string("vmops_problem"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_vmops_problem_conf_t, enable),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_vmops_problem_filter_module_ctx = {
    NULL,                          /* preconfiguration */
    ngx_vmops_problem_init,        /* postconfiguration */

    NULL,                          /* create main configuration */
    NULL,                          /* init main configuration */

    NULL,                          /* create server configuration */
    NULL,                          /* merge server configuration */

    ngx_vmops_problem_create_conf, /* create location configuration */
    ngx_vmops_problem_merge_conf   /* merge location configuration */
};


ngx_module_t  ngx_vmops_problem_filter_module = {
    NGX_MODULE_V1,
    &ngx_vmops_problem_filter_module_ctx,  /* module context */
    ngx_vmops_problem_commands,    /* module directives */
    NGX_HTTP_MODULE,               /* module type */
    NULL,                          /* init master */
    NULL,                          /* init module */
    NULL,                          /* init process */
    NULL,                          /* init thread */
    NULL,                          /* exit thread */
    NULL,                          /* exit process */
    NULL,                          /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_vmops_problem_header_filter(ngx_http_request_t *r)
{
    u_char                    *p;
    vmops_jw_t                 w;
    ngx_uint_t                 status;
    vmops_problem_t            problem;
    ngx_vmops_problem_ctx_t   *ctx;
    ngx_vmops_problem_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_vmops_problem_filter_module);

    /* err_status is what nginx's special responses set */

    status = r->headers_out.status;

    if (!conf->enable || r != r->main || r->error_page || r->err_status == 0
        || status < NGX_HTTP_BAD_REQUEST)
    {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_vmops_problem_ctx_t));
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(r->pool, NGX_VMOPS_FILTER_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    problem = ngx_vmops_problem_of(r, status);

    vmops_jw_init(&w, p, NGX_VMOPS_FILTER_MAX);
    vmops_problem_write(&w, problem, status, ngx_vmops_request_id(r), NULL, 0);

    if (vmops_jw_done(&w, &ctx->body) != 0
        || ngx_vmops_common_headers(r) != NGX_OK
        || ngx_vmops_problem_lines(r, status) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_set_ctx(r, ctx, ngx_vmops_problem_filter_module);
    ngx_vmops_log_problem(r, problem);

    ngx_str_set(&r->headers_out.content_type, "application/problem+json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    r->headers_out.content_length_n = ctx->body.n;

    return ngx_http_next_header_filter(r);
}


/* what a problem of that status says beside its body */

static ngx_int_t
ngx_vmops_problem_lines(ngx_http_request_t *r, ngx_uint_t status)
{
    switch (status) {

    case NGX_HTTP_UNAUTHORIZED:
        return ngx_vmops_problem_say(r, "WWW-Authenticate",
                                     vmops_span_str("Bearer"));

    case NGX_HTTP_NOT_ALLOWED:
        return ngx_vmops_problem_allow(r);

    case NGX_HTTP_TOO_MANY_REQUESTS:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return ngx_vmops_problem_say(r, "Retry-After", vmops_span_str("1"));

    default:
        return NGX_OK;
    }
}


/* unless who refuses has said it, as auth_basic does with its realm */

static ngx_int_t
ngx_vmops_problem_say(ngx_http_request_t *r, const char *name,
    vmops_span_t value)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash && h[i].key.len == len
                && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
            {
                return NGX_OK;
            }
        }
    }

    return ngx_vmops_push_header(r, name, value);
}


/* what nginx has as status 497 is a 400 by now, like any broken request */

static vmops_problem_t
ngx_vmops_problem_of(ngx_http_request_t *r, ngx_uint_t status)
{
    if (status == NGX_HTTP_BAD_REQUEST && r->http_connection->ssl
        && r->connection->ssl == NULL)
    {
        return VMOPS_PROBLEM_https_required;
    }

    return vmops_problem_for_status(status);
}


/*
 * nginx refuses TRACE before there is a location, and does not say what is
 * allowed: a path of the API has its methods, what else is here is read.
 */

static ngx_int_t
ngx_vmops_problem_allow(ngx_http_request_t *r)
{
    ngx_uint_t                methods;
    ngx_vmops_op_t            op;
    const ngx_vmops_route_t  *route;

    ngx_memzero(&op, sizeof(ngx_vmops_op_t));
    op.request = r;

    route = ngx_vmops_route_find(&op);

    if (route == NULL) {
        return ngx_vmops_push_header(r, "Allow", vmops_span_str("GET"));
    }

    (void) ngx_vmops_route_choose(route, 0, NULL, &methods);

    return ngx_vmops_push_header(r, "Allow",
                                 ngx_vmops_route_allow(r->pool, methods));
}


static ngx_int_t
ngx_vmops_problem_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t                *b;
    ngx_chain_t               out, *cl;
    ngx_vmops_problem_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_vmops_problem_filter_module);

    if (ctx == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    if (ctx->sent) {
        return ngx_http_next_body_filter(r, NULL);
    }

    ctx->sent = 1;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = (u_char *) ctx->body.p;
    b->last = b->pos + ctx->body.n;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_next_body_filter(r, &out);
}


static void *
ngx_vmops_problem_create_conf(ngx_conf_t *cf)
{
    ngx_vmops_problem_conf_t  *conf;

    conf = ngx_palloc(cf->pool, sizeof(ngx_vmops_problem_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->enable = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_vmops_problem_merge_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_vmops_problem_conf_t *prev = parent;
    ngx_vmops_problem_conf_t *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_vmops_problem_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_vmops_problem_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_vmops_problem_body_filter;

    return NGX_OK;
}
