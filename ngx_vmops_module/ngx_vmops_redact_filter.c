
/*
 * vmops_redact: masks secrets in the JSON of an answer while it streams
 * (docs/legacy.md; the scanner is vmops_redact.h).
 *
 * An answer's header waits for the first buffer of its body: what is no JSON
 * is a 502 until then, and breaks off after it.  The request is asked plainly:
 * no content coding, no range.  Input that there is no room for stays where it
 * is, so a slow client slows the upstream down and not our memory.
 */


#include "ngx_vmops.h"

#include "vmops_redact.h"


/*
 * A bit of r->buffered: nginx gives it to the filter of images, whose answers
 * are never JSON.
 */
#define NGX_VMOPS_REDACT_BUFFERED  0x08


typedef struct {
    ngx_flag_t             enable;
} ngx_vmops_redact_conf_t;

typedef struct {
    vmops_redact_t         scanner;

    vmops_redact_rc_t      verdict;

    ngx_chain_t           *in;             /* not looked at yet */
    ngx_chain_t           *filling;
    ngx_chain_t           *out;            /* full, or to go at once */
    ngx_chain_t          **last_out;
    ngx_chain_t           *free;
    ngx_chain_t           *busy;
    ngx_uint_t             bufs;

    unsigned               header:1;       /* it waits */
    unsigned               began:1;        /* a body has */
    unsigned               done:1;
} ngx_vmops_redact_ctx_t;


static ngx_int_t ngx_vmops_redact_precontent(ngx_http_request_t *r);
static ngx_uint_t ngx_vmops_redact_not_asked(ngx_table_elt_t *h);
static ngx_int_t ngx_vmops_redact_header_filter(ngx_http_request_t *r);
static const char *ngx_vmops_redact_unusable(ngx_http_request_t *r);
static void ngx_vmops_redact_header_lines(ngx_http_request_t *r);
static ngx_int_t ngx_vmops_redact_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_vmops_redact_work(ngx_http_request_t *r,
    ngx_vmops_redact_ctx_t *ctx);
static ngx_int_t ngx_vmops_redact_room(ngx_http_request_t *r,
    ngx_vmops_redact_ctx_t *ctx);
static void ngx_vmops_redact_close(ngx_vmops_redact_ctx_t *ctx);
static ngx_int_t ngx_vmops_redact_scan(ngx_vmops_redact_ctx_t *ctx,
    ngx_buf_t *b);
static ngx_int_t ngx_vmops_redact_flags(ngx_http_request_t *r,
    ngx_vmops_redact_ctx_t *ctx, ngx_buf_t *b);
static ngx_int_t ngx_vmops_redact_pass(ngx_http_request_t *r,
    ngx_vmops_redact_ctx_t *ctx);
static ngx_int_t ngx_vmops_redact_withhold(ngx_http_request_t *r,
    ngx_vmops_redact_ctx_t *ctx);

static void *ngx_vmops_redact_create_conf(ngx_conf_t *cf);
static char *ngx_vmops_redact_merge_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_vmops_redact_init(ngx_conf_t *cf);


static ngx_command_t  ngx_vmops_redact_commands[] = {

    /* vmops_redact on | off; */
    { ngx_string("vmops_redact"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_vmops_redact_conf_t, enable),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_vmops_redact_filter_module_ctx = {
    NULL,                          /* preconfiguration */
    ngx_vmops_redact_init,         /* postconfiguration */

    NULL,                          /* create main configuration */
    NULL,                          /* init main configuration */

    NULL,                          /* create server configuration */
    NULL,                          /* merge server configuration */

    ngx_vmops_redact_create_conf,  /* create location configuration */
    ngx_vmops_redact_merge_conf    /* merge location configuration */
};


ngx_module_t  ngx_vmops_redact_filter_module = {
    NGX_MODULE_V1,
    &ngx_vmops_redact_filter_module_ctx,  /* module context */
    ngx_vmops_redact_commands,     /* module directives */
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


/* lines of an answer that are true of the unmasked body only */

static const ngx_str_t  ngx_vmops_redact_dropped[] = {
    ngx_string("content-md5"),
    ngx_string("digest"),
    ngx_string("content-digest"),
    ngx_string("repr-digest"),
    ngx_null_string
};

/* by vmops_redact_rc_t */

static const char *const  ngx_vmops_redact_reasons[] = {
    "it ends too early",
    "it is no JSON",
    "it is no UTF-8",
    "it is too deep"
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


/* what the upstream is not asked for */

static ngx_int_t
ngx_vmops_redact_precontent(ngx_http_request_t *r)
{
    ngx_vmops_redact_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_vmops_redact_filter_module);

    if (!conf->enable) {
        return NGX_DECLINED;
    }

    /* Accept-Encoding stays known to nginx's own gzip */

    r->headers_in.range = NULL;
    r->headers_in.if_range = NULL;

    if (ngx_vmops_headers_in_drop(r, ngx_vmops_redact_not_asked) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_vmops_redact_not_asked(ngx_table_elt_t *h)
{
    vmops_span_t  name;

    name = vmops_span(h->lowcase_key, h->key.len);

    return vmops_span_is(name, "accept-encoding")
           || vmops_span_is(name, "range")
           || vmops_span_is(name, "if-range");
}


static ngx_int_t
ngx_vmops_redact_header_filter(ngx_http_request_t *r)
{
    u_char                   *hold;
    const char               *reason;
    ngx_vmops_redact_ctx_t   *ctx;
    ngx_vmops_redact_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_vmops_redact_filter_module);
    ctx = ngx_http_get_module_ctx(r, ngx_vmops_redact_filter_module);

    /*
     * err_status without error_page: nginx's own page, which has no secret; a
     * context: the page that stands for what was withheld
     */

    if (!conf->enable || ctx || (r->err_status && !r->error_page)) {
        return ngx_http_next_header_filter(r);
    }

    reason = ngx_vmops_redact_unusable(r);

    if (reason) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "vmops_redact withholds an answer: %s", reason);

        ngx_http_clean_header(r);

        return NGX_HTTP_BAD_GATEWAY;
    }

    ngx_vmops_redact_header_lines(r);

    if (r->method == NGX_HTTP_HEAD || r->header_only
        || r->headers_out.status == NGX_HTTP_NO_CONTENT
        || r->headers_out.status == NGX_HTTP_NOT_MODIFIED)
    {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_vmops_redact_ctx_t));
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    hold = ngx_palloc(r->pool, VMOPS_REDACT_STRING_MAX);
    if (hold == NULL) {
        return NGX_ERROR;
    }

    vmops_redact_init(&ctx->scanner, hold);

    ctx->last_out = &ctx->out;

    ngx_http_set_ctx(r, ctx, ngx_vmops_redact_filter_module);

    r->filter_need_in_memory = 1;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx->header = 1;

    return NGX_OK;
}


/* why an answer cannot be looked at, as its header says; NULL: it can */

static const char *
ngx_vmops_redact_unusable(ngx_http_request_t *r)
{
    ngx_table_elt_t  *coding;

    coding = r->headers_out.content_encoding;

    if (coding && coding->hash && coding->value.len
        && !(coding->value.len == sizeof("identity") - 1
             && ngx_strncasecmp(coding->value.data, (u_char *) "identity",
                                sizeof("identity") - 1)
                == 0))
    {
        return "it is encoded, and was not asked to be";
    }

    if (r->headers_out.status == NGX_HTTP_PARTIAL_CONTENT) {
        return "it is partial, and was not asked to be";
    }

    if (r->http_version == NGX_HTTP_VERSION_9 && r->http_protocol.len) {

        /* nginx takes it for one of HTTP/0.9, and would answer like that */

        r->http_version = r->http_protocol.data[sizeof("HTTP/") - 1] == '2'
                          ? NGX_HTTP_VERSION_20 : NGX_HTTP_VERSION_10;
        r->keepalive = 0;

        return "it has no header";
    }

    return NULL;
}


/* lengths, validators, ranges; and lines that are a secret themselves */

static void
ngx_vmops_redact_header_lines(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    r->allow_ranges = 0;

    ngx_vmops_headers_out_drop(r, ngx_vmops_redact_dropped);

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash
                && (vmops_sensitive_name(ngx_vmops_span(&h[i].key))
                    || vmops_sensitive_value(ngx_vmops_span(&h[i].value))))
            {
                h[i].hash = 0;

                if (r->headers_out.location == &h[i]) {
                    r->headers_out.location = NULL;
                }
            }
        }
    }
}


static ngx_int_t
ngx_vmops_redact_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t                rc;
    ngx_chain_t             *none;
    ngx_vmops_redact_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_vmops_redact_filter_module);

    if (ctx == NULL || ctx->done) {
        return ngx_http_next_body_filter(r, in);
    }

    if (in && ngx_chain_add_copy(r->pool, &ctx->in, in) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->busy) {

        /* is any of it free by now? */

        if (ngx_http_next_body_filter(r, NULL) == NGX_ERROR) {
            return NGX_ERROR;
        }

        none = NULL;

        ngx_chain_update_chains(r->pool, &ctx->free, &ctx->busy, &none,
                              (ngx_buf_tag_t) &ngx_vmops_redact_filter_module);
    }

    for ( ;; ) {
        rc = ngx_vmops_redact_work(r, ctx);

        if (rc != NGX_OK && rc != NGX_AGAIN) {
            return rc;
        }

        if (ctx->in) {
            r->buffered |= NGX_VMOPS_REDACT_BUFFERED;

        } else {
            r->buffered &= ~NGX_VMOPS_REDACT_BUFFERED;
        }

        if (ctx->out == NULL) {
            return ctx->busy || ctx->in ? NGX_AGAIN : NGX_OK;
        }

        rc = ngx_vmops_redact_pass(r, ctx);

        if (rc == NGX_ERROR || rc > NGX_OK || ctx->done) {
            return rc;
        }
    }
}


/*
 * From in to out: NGX_OK when all was looked at, NGX_AGAIN when there is no
 * more room.  Anything else is for the caller of the filter.
 */

static ngx_int_t
ngx_vmops_redact_work(ngx_http_request_t *r, ngx_vmops_redact_ctx_t *ctx)
{
    ngx_int_t     rc;
    ngx_chain_t  *cl;

    while (ctx->in && !ctx->done) {

        rc = ngx_vmops_redact_room(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }

        rc = ngx_vmops_redact_scan(ctx, ctx->in->buf);

        if (rc == NGX_AGAIN) {
            ngx_vmops_redact_close(ctx);
            continue;
        }

        if (rc == NGX_OK) {
            rc = ngx_vmops_redact_flags(r, ctx, ctx->in->buf);
        }

        if (rc == NGX_DECLINED) {
            return ngx_vmops_redact_withhold(r, ctx);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        cl = ctx->in;
        ctx->in = cl->next;
        ngx_free_chain(r->pool, cl);
    }

    return NGX_OK;
}


/* a buffer to be filled: NGX_OK, NGX_AGAIN, NGX_ERROR */

static ngx_int_t
ngx_vmops_redact_room(ngx_http_request_t *r, ngx_vmops_redact_ctx_t *ctx)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (ctx->filling) {
        return NGX_OK;
    }

    if (ctx->free == NULL && ctx->bufs == VMOPS_REDACT_BUFS) {
        return NGX_AGAIN;
    }

    cl = ctx->free;

    if (cl) {
        ctx->free = cl->next;

    } else {
        cl = ngx_alloc_chain_link(r->pool);
        if (cl == NULL) {
            return NGX_ERROR;
        }

        cl->buf = ngx_create_temp_buf(r->pool, VMOPS_REDACT_BUF);
        if (cl->buf == NULL) {
            return NGX_ERROR;
        }

        ctx->bufs++;
    }

    b = cl->buf;

    b->tag = (ngx_buf_tag_t) &ngx_vmops_redact_filter_module;
    b->temporary = 1;
    b->recycled = 1;
    b->flush = 0;

    cl->next = NULL;
    ctx->filling = cl;

    return NGX_OK;
}


/* the buffer that was filled can go */

static void
ngx_vmops_redact_close(ngx_vmops_redact_ctx_t *ctx)
{
    ngx_buf_t  *b;

    b = ctx->filling->buf;

    if (b->pos == b->last) {
        /* nothing but its flags */
        b->temporary = 0;
        b->recycled = 0;
    }

    *ctx->last_out = ctx->filling;
    ctx->last_out = &ctx->filling->next;
    ctx->filling = NULL;
}


/* NGX_OK: all of b; NGX_AGAIN: the buffer is full; NGX_DECLINED: no JSON */

static ngx_int_t
ngx_vmops_redact_scan(ngx_vmops_redact_ctx_t *ctx, ngx_buf_t *b)
{
    ngx_buf_t     *to;
    vmops_buf_t    out;
    vmops_span_t   in;

    in = ngx_buf_in_memory(b) ? vmops_span(b->pos, b->last - b->pos)
                              : vmops_span("", 0);

    ctx->began = ctx->began || in.n;

    to = ctx->filling->buf;

    vmops_buf_init(&out, to->last, to->end - to->last);

    ctx->verdict = vmops_redact_feed(&ctx->scanner, &in, &out);

    if (ngx_buf_in_memory(b)) {
        b->pos = (u_char *) in.p;
    }

    to->last += out.n;

    return ctx->verdict != VMOPS_REDACT_OK ? NGX_DECLINED
           : to->last == to->end ? NGX_AGAIN : NGX_OK;
}


/* behind the bytes of b: the end of the body, or the wish to see them now */

static ngx_int_t
ngx_vmops_redact_flags(ngx_http_request_t *r, ngx_vmops_redact_ctx_t *ctx,
    ngx_buf_t *b)
{
    ngx_buf_t  *to;

    to = ctx->filling->buf;

    if (b->last_buf || (r != r->main && b->last_in_chain)) {

        if (ctx->began && vmops_redact_end(&ctx->scanner) != VMOPS_REDACT_OK) {
            return NGX_DECLINED;
        }

        to->last_buf = b->last_buf;
        to->last_in_chain = b->last_in_chain;
        to->sync = b->sync;

        ctx->done = 1;
        ngx_vmops_redact_close(ctx);

        return NGX_OK;
    }

    if (!b->flush) {
        return NGX_OK;
    }

    if (ctx->header && r->upstream && r->upstream->cleanup == NULL) {
        /* the upstream has failed in the midst of it */
        return NGX_DECLINED;
    }

    if (to->last != to->pos || !ctx->header) {
        to->flush = 1;
        ngx_vmops_redact_close(ctx);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_vmops_redact_pass(ngx_http_request_t *r, ngx_vmops_redact_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->header) {
        ctx->header = 0;

        rc = ngx_http_next_header_filter(r);

        if (rc == NGX_ERROR || rc > NGX_OK) {
            return NGX_ERROR;
        }
    }

    rc = ngx_http_next_body_filter(r, ctx->out);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ngx_chain_update_chains(r->pool, &ctx->free, &ctx->busy, &ctx->out,
                            (ngx_buf_tag_t) &ngx_vmops_redact_filter_module);
    ctx->last_out = &ctx->out;

    return rc;
}


/* an answer that cannot be shown: a 502 as long as nothing of it was */

static ngx_int_t
ngx_vmops_redact_withhold(ngx_http_request_t *r, ngx_vmops_redact_ctx_t *ctx)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "vmops_redact withholds an answer%s: %s",
                  ctx->header ? "" : " from here on",
                  ngx_vmops_redact_reasons[ctx->verdict]);

    ctx->done = 1;
    ctx->in = NULL;

    r->buffered &= ~NGX_VMOPS_REDACT_BUFFERED;

    if (ctx->header) {

        /* the caller is told of an error then, and closes the connection */

        r->keepalive = 0;

        return ngx_http_filter_finalize_request(r,
                                               &ngx_vmops_redact_filter_module,
                                               NGX_HTTP_BAD_GATEWAY);
    }

    return NGX_ERROR;
}


static void *
ngx_vmops_redact_create_conf(ngx_conf_t *cf)
{
    ngx_vmops_redact_conf_t  *conf;

    conf = ngx_palloc(cf->pool, sizeof(ngx_vmops_redact_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->enable = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_vmops_redact_merge_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_vmops_redact_conf_t *prev = parent;
    ngx_vmops_redact_conf_t *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_vmops_redact_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_vmops_redact_precontent;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_vmops_redact_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_vmops_redact_body_filter;

    return NGX_OK;
}
