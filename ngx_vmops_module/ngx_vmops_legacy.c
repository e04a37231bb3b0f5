
/*
 * vmops_legacy: who may still use a backend from before vmops
 * (docs/legacy.md).
 *
 * The handler runs in the phase before the content, so that auth_request has
 * spoken; it lets proxy_pass go on, or answers itself.  What goes on has no
 * credential of ours, and says who it is in header lines that no client can
 * send; what may have changed something there is in the audit when it is over.
 */


#include "ngx_vmops.h"


typedef struct {
    ngx_str_t         deprecation;     /* RFC 9745 */
    ngx_str_t         sunset;          /* RFC 8594 */
    off_t             body_max;        /* 0: none */
} ngx_vmops_legacy_conf_t;


/* what the audit is told of a request */

typedef struct {
    ngx_http_request_t  *request;
    ngx_vmops_kind_e     kind;
    vmops_span_t         tenant;
    vmops_span_t         actor;
    vmops_span_t         method;       /* as they came to the location */
    vmops_span_t         path;
} ngx_vmops_legacy_note_t;


static ngx_int_t ngx_vmops_legacy_handler(ngx_http_request_t *r);
static void ngx_vmops_legacy_begin(ngx_vmops_op_t *op);
static void ngx_vmops_legacy_known(ngx_vmops_op_t *op);
static void ngx_vmops_legacy_decide(ngx_vmops_op_t *op, redisReply *reply);
static ngx_uint_t ngx_vmops_legacy_open(ngx_vmops_op_t *op,
    redisReply *tenant);
static ngx_uint_t ngx_vmops_legacy_admin_only(redisReply *tenant);
static void ngx_vmops_legacy_pass(ngx_vmops_op_t *op);
static ngx_uint_t ngx_vmops_legacy_too_large(ngx_http_request_t *r);
static ngx_int_t ngx_vmops_legacy_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_vmops_legacy_note(ngx_vmops_op_t *op);
static void ngx_vmops_legacy_over(void *data);
static ngx_uint_t ngx_vmops_legacy_status(ngx_http_request_t *r);
static void ngx_vmops_legacy_noted(void *data, redisReply *reply);
static ngx_int_t ngx_vmops_legacy_say(ngx_http_request_t *r, const char *name,
    vmops_span_t value);
static ngx_uint_t ngx_vmops_legacy_dropped(ngx_table_elt_t *h);
static void ngx_vmops_legacy_cookies(ngx_str_t *value);
static ngx_int_t ngx_vmops_legacy_header_filter(ngx_http_request_t *r);

static char *ngx_vmops_legacy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static void *ngx_vmops_legacy_create_conf(ngx_conf_t *cf);
static char *ngx_vmops_legacy_merge_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_vmops_legacy_init(ngx_conf_t *cf);


static ngx_command_t  ngx_vmops_legacy_commands[] = {

    /* vmops_legacy deprecated=2026-01-01T00:00:00Z
                    sunset=2027-01-01T00:00:00Z; */
    { ngx_string("vmops_legacy"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_vmops_legacy,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_vmops_legacy_module_ctx = {
    NULL,                          /* preconfiguration */
    ngx_vmops_legacy_init,         /* postconfiguration */

    NULL,                          /* create main configuration */
    NULL,                          /* init main configuration */

    NULL,                          /* create server configuration */
    NULL,                          /* merge server configuration */

    ngx_vmops_legacy_create_conf,  /* create location configuration */
    ngx_vmops_legacy_merge_conf    /* merge location configuration */
};


ngx_module_t  ngx_vmops_legacy_module = {
    NGX_MODULE_V1,
    &ngx_vmops_legacy_module_ctx,  /* module context */
    ngx_vmops_legacy_commands,     /* module directives */
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


static const ngx_str_t  ngx_vmops_legacy_ours[] = {
    ngx_string("x-request-id"),
    ngx_string("cache-control"),
    ngx_string("expires"),
    ngx_string("pragma"),
    ngx_string("deprecation"),
    ngx_string("sunset"),
    ngx_null_string
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_request_body_filter_pt   ngx_http_next_request_body_filter;


ngx_uint_t
ngx_vmops_legacy_location(ngx_http_request_t *r)
{
    ngx_vmops_legacy_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_vmops_legacy_module);

    return conf->deprecation.len != 0;
}


static ngx_int_t
ngx_vmops_legacy_handler(ngx_http_request_t *r)
{
    if (!ngx_vmops_legacy_location(r)) {
        return NGX_DECLINED;
    }

    return ngx_vmops_gate(r, ngx_vmops_legacy_begin);
}


static void
ngx_vmops_legacy_begin(ngx_vmops_op_t *op)
{
    op->admitted = ngx_vmops_legacy_known;

    ngx_vmops_authenticate(op, ngx_vmops_admit);
}


static void
ngx_vmops_legacy_known(ngx_vmops_op_t *op)
{
    ngx_vmops_who_e  role;

    role = op->principal->role;

    if (role == NGX_VMOPS_FOR_PLATFORM) {
        ngx_vmops_legacy_pass(op);
        return;
    }

    if (role > NGX_VMOPS_FOR_OWNER || role < NGX_VMOPS_FOR_VIEWER) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_forbidden);
        return;
    }

    ngx_vmops_invoke(op, tenant_get, ngx_vmops_legacy_decide);
}


static void
ngx_vmops_legacy_decide(ngx_vmops_op_t *op, redisReply *reply)
{
    if (!ngx_vmops_legacy_open(op, ngx_vmops_item(reply, 1))) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_forbidden);
        return;
    }

    ngx_vmops_legacy_pass(op);
}


static ngx_uint_t
ngx_vmops_legacy_open(ngx_vmops_op_t *op, redisReply *tenant)
{
    int64_t          until;
    ngx_uint_t       reads;
    ngx_vmops_who_e  role;

    reads = op->request->method & (NGX_HTTP_GET|NGX_HTTP_HEAD);
    role = op->principal->role;

    if (!ngx_vmops_legacy_admin_only(tenant)) {
        return reads || role == NGX_VMOPS_FOR_OWNER;
    }

    /* the window in which a tenant takes its old settings along */

    until = ngx_vmops_field_int(tenant, "legacy_read_until");

    return reads && role == NGX_VMOPS_FOR_OWNER
           && (uint64_t) until > ngx_vmops_now();
}


/* the tenant's own flag, its cohort's, the global one; on if nobody said so */

static ngx_uint_t
ngx_vmops_legacy_admin_only(redisReply *tenant)
{
    ngx_str_t     cohort;
    vmops_span_t  own;

    own = ngx_vmops_field(tenant, "flag:INFRA_LEGACY_ADMIN_ONLY");

    if (own.n) {
        return !vmops_span_is(own, "0");
    }

    own = ngx_vmops_field(tenant, "cohort");
    cohort.data = (u_char *) own.p;
    cohort.len = own.n;

    return vmops_beat_flag(ngx_vmops_worker.beat, &cohort,
                           VMOPS_FLAG_LEGACY_ADMIN_ONLY)
           != VMOPS_FLAG_FALSE;
}


/* without our credentials, and with the word of who it is */

static void
ngx_vmops_legacy_pass(ngx_vmops_op_t *op)
{
    ngx_http_request_t     *r;
    ngx_vmops_principal_t  *p;

    r = op->request;
    p = op->principal;

    if (ngx_vmops_legacy_too_large(r)) {
        /* as nginx does: a client may stop sending it when it is told */
        r->keepalive = 0;

        ngx_vmops_problem(op, VMOPS_PROBLEM_body_too_large);
        return;
    }

    if (ngx_vmops_headers_in_drop(r, ngx_vmops_legacy_dropped) != NGX_OK
        || (p->kind != NGX_VMOPS_PLATFORM
            && ngx_vmops_legacy_say(r, "x-vmops-tenant", p->tenant) != NGX_OK)
        || ngx_vmops_legacy_say(r, "x-vmops-subject", p->subject) != NGX_OK
        || ngx_vmops_legacy_say(r, "x-vmops-role", p->role_name) != NGX_OK
        || (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))
            && ngx_vmops_legacy_note(op) != NGX_OK))
    {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    r->headers_in.authorization = NULL;

    ngx_vmops_proceed(op);
}


/* by what has been said of it, or has come of one that says nothing */

static ngx_uint_t
ngx_vmops_legacy_too_large(ngx_http_request_t *r)
{
    off_t                     size;
    ngx_vmops_legacy_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_vmops_legacy_module);

    /* of chunks nginx keeps the sum there */

    size = r->headers_in.content_length_n;

    if (size == -1 && r->request_body) {
        size = r->request_body->received;
    }

    return conf->body_max && size > conf->body_max;
}


static ngx_int_t
ngx_vmops_legacy_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    if (ngx_vmops_legacy_too_large(r)) {
        r->lingering_close = 1;
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    return ngx_http_next_request_body_filter(r, in);
}


/* the operation ends here; the note lasts until the request does */

static ngx_int_t
ngx_vmops_legacy_note(ngx_vmops_op_t *op)
{
    ngx_http_request_t       *r;
    ngx_http_cleanup_t       *cln;
    ngx_vmops_legacy_note_t  *note;

    r = op->request;

    cln = ngx_http_cleanup_add(r, sizeof(ngx_vmops_legacy_note_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    note = cln->data;

    note->request = r;
    note->kind = op->principal->kind;
    note->tenant = ngx_vmops_dup(r->pool, op->principal->tenant);
    note->actor = ngx_vmops_dup(r->pool, op->principal->actor);
    note->method = vmops_span(r->method_name.data,
                              ngx_min(r->method_name.len,
                                      VMOPS_AUDIT_METHOD_MAX));
    note->path = vmops_span(r->uri.data,
                            ngx_min(r->uri.len, VMOPS_AUDIT_PATH_MAX));

    if (note->tenant.p == NULL || note->actor.p == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_vmops_legacy_over;

    return NGX_OK;
}


static void
ngx_vmops_legacy_over(void *data)
{
    ngx_vmops_legacy_note_t *note = data;

    u_char        text[NGX_INT_T_LEN], *last;
    vmops_span_t  args[4];

    last = ngx_sprintf(text, "%ui", ngx_vmops_legacy_status(note->request));

    args[0] = note->actor;
    args[1] = note->method;
    args[2] = note->path;
    args[3] = vmops_span(text, last - text);

    if (ngx_vmops_store_call(note->kind == NGX_VMOPS_PLATFORM
                             ? NGX_VMOPS_FN_platform_legacy_noted
                             : NGX_VMOPS_FN_legacy_noted,
                             note->tenant, args, 4, ngx_vmops_legacy_noted,
                             NULL)
        == NULL)
    {
        ngx_vmops_legacy_noted(NULL, NULL);
    }
}


/* the backend's, which may not be the one that the client has seen */

static ngx_uint_t
ngx_vmops_legacy_status(ngx_http_request_t *r)
{
    ngx_http_upstream_state_t  *state;

    if (r->upstream_states && r->upstream_states->nelts) {
        state = r->upstream_states->elts;
        state += r->upstream_states->nelts - 1;

        if (state->status) {
            return state->status;
        }
    }

    return r->headers_out.status;
}


static void
ngx_vmops_legacy_noted(void *data, redisReply *reply)
{
    if (ngx_vmops_store_code(reply) != NGX_VMOPS_STORE_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_vmops_worker.log, 0,
                      "a request to the legacy backend is not in the audit: "
                      "see the access log");
    }
}


/* the principal's memory does not last as long as the request */

static ngx_int_t
ngx_vmops_legacy_say(ngx_http_request_t *r, const char *name,
    vmops_span_t value)
{
    value = ngx_vmops_dup(r->pool, value);

    return value.p ? ngx_vmops_headers_in_add(r, name, value) : NGX_ERROR;
}


static ngx_uint_t
ngx_vmops_legacy_dropped(ngx_table_elt_t *h)
{
    size_t        i;
    u_char        c;
    vmops_span_t  name;

    static const char  prefix[] = "x-vmops-";

    name = vmops_span(h->lowcase_key, h->key.len);

    if (vmops_span_is(name, "authorization")
        || vmops_span_is(name, "proxy-authorization")
        || vmops_span_is(name, "signature")
        || vmops_span_is(name, "signature-input")
        || vmops_span_is(name, "x-csrf-token"))
    {
        return 1;
    }

    if (vmops_span_is(name, "cookie")) {
        ngx_vmops_legacy_cookies(&h->value);
        return h->value.len == 0;
    }

    /* some backends take an underscore for a hyphen */

    for (i = 0; i < sizeof(prefix) - 1; i++) {
        c = i < name.n ? name.p[i] : '\0';

        if ((c == '_' ? '-' : c) != (u_char) prefix[i]) {
            return 0;
        }
    }

    return 1;
}


/* a Cookie line without the console's session */

static void
ngx_vmops_legacy_cookies(ngx_str_t *value)
{
    size_t         n;
    u_char        *p, *end, *next, *to;
    vmops_span_t   name;

    to = value->data;
    end = value->data + value->len;

    for (p = value->data; p < end; p = next) {

        while (p < end && (*p == ' ' || *p == ';')) {
            p++;
        }

        next = ngx_strlchr(p, end, ';');
        next = next ? next : end;

        name.p = p;

        for (n = 0; p + n < next && p[n] != '=' && p[n] != ' '; n++) {
            /* void */
        }

        name.n = n;

        if (p == next || vmops_span_is(name, "__Host-vmops")
            || vmops_span_is(name, "vmops"))
        {
            continue;
        }

        if (to > value->data) {
            *to++ = ';';

            /* there may have been no room for it in the line as it came */
            if (to < p) {
                *to++ = ' ';
            }
        }

        to = ngx_movemem(to, p, next - p);
    }

    value->len = to - value->data;
}


/* on every answer of the location, also on those of ours */

static ngx_int_t
ngx_vmops_legacy_header_filter(ngx_http_request_t *r)
{
    ngx_vmops_op_t           *op;
    ngx_vmops_legacy_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_vmops_legacy_module);

    if (conf->deprecation.len == 0 || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    if (r->err_status == NGX_HTTP_GATEWAY_TIME_OUT) {
        /* a backend that is late is one that does not answer */
        r->err_status = NGX_HTTP_BAD_GATEWAY;
        r->headers_out.status = NGX_HTTP_BAD_GATEWAY;
    }

    op = ngx_http_get_module_ctx(r, ngx_vmops_module);

    if (op && op->passed && r->err_status == 0) {

        /* the backend's own; a problem has these already */

        ngx_vmops_headers_out_drop(r, ngx_vmops_legacy_ours);

        if (ngx_vmops_common_headers(r) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_vmops_push_header(r, "Deprecation",
                              ngx_vmops_span(&conf->deprecation))
        != NGX_OK
        || ngx_vmops_push_header(r, "Sunset", ngx_vmops_span(&conf->sunset))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static char *
ngx_vmops_legacy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_vmops_legacy_conf_t *lcf = conf;

    u_char                 *p;
    int64_t                 ms[2];
    ngx_str_t              *value;
    ngx_uint_t              i;
    vmops_span_t            text;
    ngx_vmops_main_conf_t  *vmcf;

    static ngx_str_t  names[] = {
        ngx_string("deprecated="),
        ngx_string("sunset=")
    };

    if (lcf->deprecation.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 0; i < 2; i++) {
        text = ngx_vmops_span(&value[i + 1]);

        if (text.n < names[i].len
            || ngx_strncmp(text.p, names[i].data, names[i].len) != 0
            || vmops_time_parse(&ms[i], vmops_span(text.p + names[i].len,
                                                   text.n - names[i].len))
               != 0)
        {
            return "takes deprecated= and sunset=, each with a time like "
                   "2026-01-31T00:00:00Z";
        }
    }

    if (ms[1] < ms[0]) {
        return "has a sunset before it is deprecated";
    }

    p = ngx_pnalloc(cf->pool, sizeof("@") + NGX_INT64_LEN
                              + sizeof("Mon, 28 Sep 1970 06:00:00 GMT"));
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    lcf->deprecation.data = p;
    p = ngx_sprintf(p, "@%L", ms[0] / 1000);
    lcf->deprecation.len = p - lcf->deprecation.data;

    lcf->sunset.data = p;
    lcf->sunset.len = ngx_http_time(p, ms[1] / 1000) - p;

    vmcf = ngx_http_conf_get_module_main_conf(cf, ngx_vmops_module);
    vmcf->has_api = "vmops_legacy";

    return NGX_CONF_OK;
}


static void *
ngx_vmops_legacy_create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_vmops_legacy_conf_t));
}


/* what is inside of such a location, an "if" for one, is no way around it */

static char *
ngx_vmops_legacy_merge_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_vmops_legacy_conf_t *prev = parent;
    ngx_vmops_legacy_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    if (conf->deprecation.data == NULL) {
        *conf = *prev;
        return NGX_CONF_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == NULL || clcf->handler == ngx_vmops_handler) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"vmops_legacy\" leads to no backend in location "
                      "\"%V\": it needs a \"proxy_pass\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    /* nginx would refuse by it before anybody knows who asks */

    conf->body_max = clcf->client_max_body_size;
    clcf->client_max_body_size = 0;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_vmops_legacy_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_vmops_legacy_handler;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_vmops_legacy_header_filter;

    ngx_http_next_request_body_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = ngx_vmops_legacy_body_filter;

    return NGX_OK;
}
