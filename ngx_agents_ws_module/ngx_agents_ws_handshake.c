
/*
 * The server's part of the opening handshake (RFC 6455 section 4.2): who is let
 * in, and what others are told.
 */


#include "ngx_agents_ws.h"

#include "vmops_banned.h"


typedef struct {
    vmops_problem_t   problem;
    ngx_uint_t        status;              /* 0: the problem's own */
    const char       *header;              /* one more header, or NULL */
    const char       *value;
    const char       *why;                 /* for the log */
    const char       *pointer;             /* to the header at fault, or NULL */
} ngx_agents_ws_refusal_t;

typedef enum {
    NGX_AGENTS_WS_BAD_METHOD = 0,
    NGX_AGENTS_WS_BAD_HTTP,
    NGX_AGENTS_WS_BAD_BODY,
    NGX_AGENTS_WS_BROWSER,
    NGX_AGENTS_WS_NO_UPGRADE,
    NGX_AGENTS_WS_BAD_VERSION,
    NGX_AGENTS_WS_BAD_KEY,
    NGX_AGENTS_WS_BAD_PROTOCOL,
    NGX_AGENTS_WS_BAD_HOST,
    NGX_AGENTS_WS_NO_STORE,
    NGX_AGENTS_WS_BUSY_ADDRESS,
    NGX_AGENTS_WS_BUSY_WORKER,
    NGX_AGENTS_WS_WELL
} ngx_agents_ws_verdict_e;

/* the request headers the handshake is made of */

typedef struct {
    ngx_uint_t        upgrade;             /* "websocket" is listed */
    ngx_uint_t        connection;          /* "upgrade" is */
    ngx_uint_t        protocol;            /* ours is */
    ngx_uint_t        origin;
    ngx_uint_t        nversions;
    ngx_uint_t        nkeys;
    ngx_str_t         version;
    ngx_str_t         key;
} ngx_agents_ws_headers_t;


static ngx_agents_ws_verdict_e ngx_agents_ws_judge(ngx_http_request_t *r,
    ngx_agents_ws_headers_t *h);
static void ngx_agents_ws_headers(ngx_http_request_t *r,
    ngx_agents_ws_headers_t *h);
static ngx_uint_t ngx_agents_ws_listed(ngx_str_t *list, const char *token,
    size_t len, ngx_uint_t nocase);
static ngx_agents_ws_verdict_e ngx_agents_ws_places(ngx_connection_t *c);

static ngx_int_t ngx_agents_ws_refuse(ngx_http_request_t *r,
    const ngx_agents_ws_refusal_t *refusal);
static void ngx_agents_ws_request_id(ngx_http_request_t *r, ngx_str_t *id);


static const ngx_agents_ws_refusal_t  ngx_agents_ws_refusals[] = {

    { VMOPS_PROBLEM_method_not_allowed, 0, "Allow", "GET", "method", NULL },
    { VMOPS_PROBLEM_bad_request, 0, NULL, NULL, "not HTTP/1.1", NULL },
    { VMOPS_PROBLEM_bad_request, 0, NULL, NULL, "request body", NULL },
    { VMOPS_PROBLEM_forbidden, 0, NULL, NULL, "Origin or Cookie", NULL },
    { VMOPS_PROBLEM_invalid_header, 0, NULL, NULL, "no upgrade to websocket",
      "/upgrade" },
    { VMOPS_PROBLEM_invalid_header, 426,
      "Sec-WebSocket-Version", "13", "Sec-WebSocket-Version",
      "/sec-websocket-version" },
    { VMOPS_PROBLEM_invalid_header, 0, NULL, NULL, "Sec-WebSocket-Key",
      "/sec-websocket-key" },
    { VMOPS_PROBLEM_invalid_header, 0, NULL, NULL, "Sec-WebSocket-Protocol",
      "/sec-websocket-protocol" },
    { VMOPS_PROBLEM_invalid_header, 0, NULL, NULL, "Host", "/host" },
    { VMOPS_PROBLEM_store_unavailable, 0, "Retry-After", "1", "no store",
      NULL },
    { VMOPS_PROBLEM_rate_limited, 0, "Retry-After", "5",
      "too many sockets of this address are not ready", NULL },
    { VMOPS_PROBLEM_store_unavailable, 0, "Retry-After", "5",
      "too many sockets are not ready", NULL }
};


ngx_int_t
ngx_agents_ws_handler(ngx_http_request_t *r)
{
    ngx_agents_ws_headers_t  h;
    ngx_agents_ws_verdict_e  verdict;

    ngx_memzero(&h, sizeof(ngx_agents_ws_headers_t));

    verdict = ngx_agents_ws_judge(r, &h);

    if (verdict != NGX_AGENTS_WS_WELL) {
        return ngx_agents_ws_refuse(r, &ngx_agents_ws_refusals[verdict]);
    }

    return ngx_agents_ws_accept(r, &h.key);
}


static ngx_agents_ws_verdict_e
ngx_agents_ws_judge(ngx_http_request_t *r, ngx_agents_ws_headers_t *h)
{
    vmops_span_t             key;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    if (r->method != NGX_HTTP_GET) {
        return NGX_AGENTS_WS_BAD_METHOD;
    }

    if (r != r->main || r->http_version != NGX_HTTP_VERSION_11) {
        return NGX_AGENTS_WS_BAD_HTTP;
    }

    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        return NGX_AGENTS_WS_BAD_BODY;
    }

    ngx_agents_ws_headers(r, h);

    if (h->origin || vmops_has_cookies(r)) {
        return NGX_AGENTS_WS_BROWSER;
    }

    if (!h->upgrade || !h->connection) {
        return NGX_AGENTS_WS_NO_UPGRADE;
    }

    if (h->nversions != 1 || h->version.len != 2
        || ngx_strncmp(h->version.data, "13", 2) != 0)
    {
        return NGX_AGENTS_WS_BAD_VERSION;
    }

    key = vmops_span(h->key.data, h->key.len);

    if (h->nkeys != 1 || !vmops_ws_key_ok(key)) {
        return NGX_AGENTS_WS_BAD_KEY;
    }

    if (!h->protocol) {
        return NGX_AGENTS_WS_BAD_PROTOCOL;
    }

    if (r->headers_in.host == NULL
        || r->headers_in.host->value.len == 0
        || r->headers_in.host->value.len > VMOPS_HOST_HEADER_MAX)
    {
        return NGX_AGENTS_WS_BAD_HOST;
    }

    if (w == NULL || ngx_exiting || ngx_terminate
        || !vmops_redis_ready(w->redis) || !vmops_beat_fresh(w->beat))
    {
        return NGX_AGENTS_WS_NO_STORE;
    }

    return ngx_agents_ws_places(r->connection);
}


static void
ngx_agents_ws_headers(ngx_http_request_t *r, ngx_agents_ws_headers_t *h)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

#define ngx_agents_ws_is(name)                                                \
    (header[i].key.len == sizeof(name) - 1                                    \
     && ngx_strncasecmp(header[i].key.data, (u_char *) name,                  \
                        sizeof(name) - 1) == 0)

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (ngx_agents_ws_is("Upgrade")) {
                h->upgrade |= ngx_agents_ws_listed(&header[i].value,
                                                   "websocket", 9, 1);

            } else if (ngx_agents_ws_is("Connection")) {
                h->connection |= ngx_agents_ws_listed(&header[i].value,
                                                      "upgrade", 7, 1);

            } else if (ngx_agents_ws_is("Sec-WebSocket-Protocol")) {
                h->protocol |= ngx_agents_ws_listed(&header[i].value,
                                              VMOPS_SUBPROTOCOL,
                                              sizeof(VMOPS_SUBPROTOCOL) - 1,
                                              0);

            } else if (ngx_agents_ws_is("Sec-WebSocket-Version")) {
                h->version = header[i].value;
                h->nversions++;

            } else if (ngx_agents_ws_is("Sec-WebSocket-Key")) {
                h->key = header[i].value;
                h->nkeys++;

            } else if (ngx_agents_ws_is("Origin")) {
                h->origin = 1;
            }
        }
    }

#undef ngx_agents_ws_is
}


/* whether a comma-separated list (RFC 9110 section 5.6.1) has the token */

static ngx_uint_t
ngx_agents_ws_listed(ngx_str_t *list, const char *token, size_t len,
    ngx_uint_t nocase)
{
    u_char  *p, *end, *last, *start;

    p = list->data;
    last = p + list->len;

    for ( ;; ) {

        end = ngx_strlchr(p, last, ',');
        start = p;

        p = end ? end + 1 : last;

        if (end == NULL) {
            end = last;
        }

        while (start < end && (*start == ' ' || *start == '\t')) {
            start++;
        }

        while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
            end--;
        }

        if ((size_t) (end - start) == len
            && (nocase ? ngx_strncasecmp(start, (u_char *) token, len)
                       : ngx_strncmp(start, token, len))
               == 0)
        {
            return 1;
        }

        if (p == last) {
            return 0;
        }
    }
}


/* sockets that are not ready yet are few: of all clients, and of each */

static ngx_agents_ws_verdict_e
ngx_agents_ws_places(ngx_connection_t *c)
{
    ngx_agents_ws_address_t  *address;

    if (ngx_agents_ws_worker->nhello >= VMOPS_WS_PRE_READY_PER_WORKER) {
        return NGX_AGENTS_WS_BUSY_WORKER;
    }

    address = ngx_agents_ws_address(c, 0);

    if (address && address->count >= VMOPS_WS_PRE_READY_PER_ADDR) {
        return NGX_AGENTS_WS_BUSY_ADDRESS;
    }

    return NGX_AGENTS_WS_WELL;
}


static ngx_int_t
ngx_agents_ws_refuse(ngx_http_request_t *r,
    const ngx_agents_ws_refusal_t *refusal)
{
    size_t                       size;
    u_char                      *p;
    ngx_int_t                    rc;
    ngx_buf_t                   *b;
    ngx_str_t                    id;
    vmops_jw_t                   jw;
    ngx_chain_t                  out;
    vmops_span_t                 body;
    vmops_problem_field_t        field;
    ngx_agents_ws_main_conf_t   *mcf;
    const vmops_problem_info_t  *info;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "agent's handshake refused: %s", refusal->why);

    info = vmops_problem_info(refusal->problem);
    mcf = ngx_http_get_module_main_conf(r, ngx_agents_ws_module);

    vmops_vars_set(r, &mcf->vars, VMOPS_VAR_CODE, vmops_span_str(info->code));

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    size = 1024;

    p = ngx_pnalloc(r->pool, size);
    b = ngx_calloc_buf(r->pool);

    if (p == NULL || b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_agents_ws_request_id(r, &id);

    field.pointer = refusal->pointer;
    field.code = vmops_json_error_name(VMOPS_JE_PATTERN);

    vmops_jw_init(&jw, p, size);
    vmops_problem_write(&jw, refusal->problem, refusal->status,
                        vmops_span(id.data, id.len), &field,
                        refusal->pointer ? 1 : 0);

    if (vmops_jw_done(&jw, &body) != 0) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = refusal->status ? refusal->status : info->status;
    r->headers_out.content_length_n = body.n;

    ngx_str_set(&r->headers_out.content_type, "application/problem+json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (ngx_agents_ws_header(r, "X-Request-Id", id.data, id.len) != NGX_OK
        || (refusal->header
            && ngx_agents_ws_header(r, refusal->header,
                                    (u_char *) refusal->value,
                                    ngx_strlen(refusal->value))
               != NGX_OK)
        || (refusal->status
            && ngx_agents_ws_header(r, "Upgrade", (u_char *) "websocket", 9)
               != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (refusal->status) {

        /* RFC 9110 section 15.5.22; nginx 1.22 has no text for it */
        ngx_str_set(&r->headers_out.status_line, "426 Upgrade Required");
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->pos = (u_char *) body.p;
    b->last = b->pos + body.n;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_agents_ws_header(ngx_http_request_t *r, const char *name,
    const u_char *value, size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = len;

    vmops_header_end(h);

    return NGX_OK;
}


static void
ngx_agents_ws_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *v;

    static ngx_str_t            name = ngx_string("request_id");

    key = ngx_hash_key(name.data, name.len);
    v = ngx_http_get_variable(r, &name, key);

    if (v == NULL || v->not_found) {
        ngx_str_set(id, "-");
        return;
    }

    id->data = v->data;
    id->len = v->len;
}
