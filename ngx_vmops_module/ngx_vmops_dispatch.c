
/*
 * From a request to its handler, in the order of the document: who it is
 * (401, 429), whether that one may (403), the form of the request (400, 404,
 * 405, 413, 415, 422).
 */


#include "ngx_vmops_openapi.h"


static void ngx_vmops_choose(ngx_vmops_op_t *op);
static void ngx_vmops_not_allowed(ngx_vmops_op_t *op, ngx_uint_t methods);
static ngx_uint_t ngx_vmops_has_body(ngx_http_request_t *r);
static ngx_uint_t ngx_vmops_media_ok(ngx_http_request_t *r);
static void ngx_vmops_parse(ngx_vmops_op_t *op);
static void ngx_vmops_run(ngx_vmops_op_t *op);


void
ngx_vmops_begin(ngx_vmops_op_t *op)
{
    ngx_uint_t  methods;

    op->route = ngx_vmops_route_find(op);

    /* what anybody may, or a path of which anybody may know the methods */

    if (op->route
        && (op->route->who == NGX_VMOPS_FOR_ANYONE
            || ngx_vmops_route_choose(op->route, op->request->method, NULL,
                                      &methods)))
    {
        ngx_vmops_choose(op);
        return;
    }

    ngx_vmops_authenticate(op, ngx_vmops_admit);
}


/* what holds for every request of somebody, whatever serves it */

void
ngx_vmops_admit(ngx_vmops_op_t *op)
{
    ngx_vmops_principal_t  *p;

    p = op->principal;

    ngx_vmops_log_principal(op->request, p->kind, p->tenant, p->actor);

    if (p->kind != NGX_VMOPS_PLATFORM) {

        /* whatever the request says: the keys are those of its principal */

        op->tenant = ngx_vmops_dup(op->request->pool, p->tenant);

        if (p->kind == NGX_VMOPS_SESSION && !ngx_vmops_session_same_site(op)) {
            ngx_vmops_problem(op, VMOPS_PROBLEM_csrf);
            return;
        }

        if (p->suspended) {
            ngx_vmops_problem(op, VMOPS_PROBLEM_tenant_suspended);
            return;
        }

        if (p->revoked) {
            ngx_vmops_problem(op, VMOPS_PROBLEM_agent_revoked);
            return;
        }

    } else {
        /* an administrator's requests name the tenant */
        op->tenant = op->path[0];
    }

    if (op->admitted) {
        op->admitted(op);
        return;
    }

    ngx_vmops_choose(op);
}


static void
ngx_vmops_choose(ngx_vmops_op_t *op)
{
    ngx_uint_t                methods, method;
    ngx_http_request_t       *r;
    const ngx_vmops_route_t  *route;

    r = op->request;

    if (op->route == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_not_found);
        return;
    }

    method = r->method == NGX_HTTP_HEAD ? NGX_HTTP_GET : r->method;

    route = ngx_vmops_route_choose(op->route, method, op->principal, &methods);

    if (route == NULL) {

        if (methods & method) {
            ngx_vmops_problem(op, VMOPS_PROBLEM_forbidden);

        } else {
            ngx_vmops_not_allowed(op, methods);
        }

        return;
    }

    op->route = route;

    if (route->body == NULL
        || (route->body->optional && !ngx_vmops_has_body(r)))
    {
        ngx_vmops_run(op);
        return;
    }

    if (!ngx_vmops_media_ok(r)) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_unsupported_media_type);
        return;
    }

    if (op->httpsig) {
        /* it was read to be authenticated */
        ngx_vmops_parse(op);
        return;
    }

    ngx_vmops_read_body(op, ngx_vmops_parse);
}


static void
ngx_vmops_not_allowed(ngx_vmops_op_t *op, ngx_uint_t methods)
{
    ngx_vmops_header(op, "Allow",
                     ngx_vmops_route_allow(op->request->pool, methods));
    ngx_vmops_problem(op, VMOPS_PROBLEM_method_not_allowed);
}


static ngx_uint_t
ngx_vmops_has_body(ngx_http_request_t *r)
{
    return r->headers_in.content_length_n > 0 || r->headers_in.chunked;
}


/* one type, application/json, perhaps with charset=utf-8; no content coding */

static ngx_uint_t
ngx_vmops_media_ok(ngx_http_request_t *r)
{
    u_char        *p, *last, *end;
    ngx_uint_t     i;
    vmops_span_t   coding, type;

    static const u_char  json[] = "application/json";

    static const ngx_str_t  charsets[] = {
        ngx_string("charset=utf-8"),
        ngx_string("charset=\"utf-8\"")
    };

    if (ngx_vmops_header_in(r, "content-encoding", &coding) != NGX_DECLINED) {
        return 0;
    }

    if (ngx_vmops_header_in(r, "content-type", &type) != NGX_OK
        || type.n < sizeof(json) - 1
        || ngx_strncasecmp((u_char *) type.p, (u_char *) json,
                           sizeof(json) - 1)
           != 0)
    {
        return 0;
    }

    end = (u_char *) type.p + sizeof(json) - 1;
    last = (u_char *) type.p + type.n;
    p = end;

    while (p < last && (*p == ' ' || *p == '\t' || *p == ';')) {
        p++;
    }

    if (p == last) {
        return 1;
    }

    if (ngx_strlchr(end, p, ';') == NULL) {
        return 0;
    }

    for (i = 0; i < sizeof(charsets) / sizeof(charsets[0]); i++) {
        if ((size_t) (last - p) == charsets[i].len
            && ngx_strncasecmp(p, charsets[i].data, charsets[i].len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static void
ngx_vmops_parse(ngx_vmops_op_t *op)
{
    void                    *memory;
    size_t                   size;
    vmops_arena_t            arena;
    vmops_json_error_t       err;
    const ngx_vmops_body_t  *body;

    size = vmops_json_arena_size(op->body.len);

    memory = ngx_palloc(op->request->pool, size);
    if (memory == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    vmops_arena_init(&arena, memory, size);

    if (vmops_json_parse(&op->json, &arena, ngx_vmops_span(&op->body))
        != VMOPS_JSON_OK)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_invalid_json);
        return;
    }

    body = op->route->body;

    vmops_json_error_init(&err, "");

    if (body->no_secrets && ngx_vmops_plaintext(op->json, body, &err)) {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_plaintext_secret_rejected,
                             err.pointer, "plaintext_secret");
        return;
    }

    if (!body->by_handler
        && vmops_json_check(op->json, body->fields, body->n, 0, &err) != 0)
    {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_invalid_params, err.pointer,
                             vmops_json_error_name(err.code));
        return;
    }

    ngx_vmops_run(op);
}


static void
ngx_vmops_run(ngx_vmops_op_t *op)
{
    /* the command bus' own flag is one of the gates of a submission */

    if (op->route->operation->flag == VMOPS_FLAG_SECRETS_E2E
        && !ngx_vmops_flag(op->principal, VMOPS_FLAG_SECRETS_E2E))
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_feature_disabled);
        return;
    }

    op->route->handler(op);
}
