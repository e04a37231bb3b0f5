
/*
 * Console sessions (docs/principals.md): a token is turned into a cookie that
 * no script can read.  A browser sends it by itself, so a request that changes
 * something has to prove that the console made it.
 *
 * __Host-vmops is for HTTPS, as vmops_public_url says it; without, a browser on
 * this machine gets the plain name.  Anybody else's cookie would travel in the
 * clear: there is no session then.
 */


#include "ngx_vmops_routes.h"
#include "ngx_vmops_sweep.h"

#include <sodium.h>


#define NGX_VMOPS_CSRF_HEADER  "x-csrf-token"
#define NGX_VMOPS_CSRF_TEXT    VMOPS_B64U_LEN(32)


typedef struct {
    char            cookie[VMOPS_COOKIE_MAX + 1];
    char            token[VMOPS_LOOKUP_TEXT + 1];
    char            lookup[VMOPS_LOOKUP_TEXT + 1];
    char            csrf[NGX_VMOPS_CSRF_TEXT];
} ngx_vmops_session_t;


static ngx_int_t ngx_vmops_session_row(ngx_http_request_t *r, ngx_uint_t *row);
static ngx_uint_t ngx_vmops_session_loopback(ngx_http_request_t *r);
static ngx_int_t ngx_vmops_session_origin(ngx_http_request_t *r);
static void ngx_vmops_session_known(ngx_vmops_op_t *op);
static vmops_span_t ngx_vmops_session_mac(ngx_vmops_op_t *op,
    vmops_span_t expires);
static void ngx_vmops_session_opened(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_session_closed(ngx_vmops_op_t *op, redisReply *reply);
static ngx_int_t ngx_vmops_session_set(ngx_vmops_op_t *op, vmops_span_t value,
    const char *more);
static void ngx_vmops_session_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);


static const vmops_json_field_t  ngx_vmops_session_fields[] = {
    { .name = "token", .type = VMOPS_FT_STRING, .min = 1,
      .max = VMOPS_TOKEN_MAX }
};

const ngx_vmops_body_t  ngx_vmops_session_body =
    ngx_vmops_body(ngx_vmops_session_fields);


/* by whether it is secure: its name, and its attributes */

static const struct {
    const char  *name;
    const char  *attributes;
} ngx_vmops_cookies[] = {
    { "vmops", "; Path=/; HttpOnly; SameSite=Strict" },
    { "__Host-vmops", "; Path=/; Secure; HttpOnly; SameSite=Strict" }
};


/* NGX_OK: the row of the table above, NGX_DECLINED: no session here */

static ngx_int_t
ngx_vmops_session_row(ngx_http_request_t *r, ngx_uint_t *row)
{
    ngx_str_t  url;

    static const u_char  https[] = "https://";

    if (ngx_vmops_public_url(r, &url) != NGX_OK) {
        return NGX_DECLINED;
    }

    *row = url.len > sizeof(https) - 1
           && ngx_strncasecmp(url.data, (u_char *) https, sizeof(https) - 1)
              == 0;

    return *row || ngx_vmops_session_loopback(r) ? NGX_OK : NGX_DECLINED;
}


static ngx_uint_t
ngx_vmops_session_loopback(ngx_http_request_t *r)
{
    struct sockaddr      *sa;
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;

    if (ngx_connection_local_sockaddr(r->connection, NULL, 0) != NGX_OK) {
        return 0;
    }

    sa = r->connection->local_sockaddr;

    switch (sa->sa_family) {

    case AF_UNIX:
        return 1;

    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;
        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);

    default: /* AF_INET */
        sin = (struct sockaddr_in *) sa;
        return (ntohl(sin->sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    }
}


/* one cookie of that name, in one header line (RFC 6265, section 5.4) */

ngx_int_t
ngx_vmops_session_cookie(ngx_http_request_t *r, vmops_span_t *value)
{
    size_t          n;
    ngx_int_t       rc;
    ngx_uint_t      row;
    vmops_span_t    line;
    const char     *name;
    const uint8_t  *p, *end, *last;

    rc = ngx_vmops_header_in(r, "cookie", &line);

    if (rc != NGX_OK || ngx_vmops_session_row(r, &row) != NGX_OK) {
        return rc == NGX_ERROR ? NGX_ERROR : NGX_DECLINED;
    }

    name = ngx_vmops_cookies[row].name;
    n = ngx_strlen(name);

    rc = NGX_DECLINED;
    last = line.p + line.n;

    for (p = line.p; p < last; p = end + 1) {

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        end = ngx_strlchr((u_char *) p, (u_char *) last, ';');

        if (end == NULL) {
            end = last;
        }

        if ((size_t) (end - p) <= n || ngx_memcmp(p, name, n) != 0
            || p[n] != '=')
        {
            continue;
        }

        if (rc == NGX_OK) {
            /* which one is ours, and which somebody else's? */
            return NGX_ERROR;
        }

        *value = vmops_span(p + n + 1, end - p - n - 1);
        rc = NGX_OK;
    }

    return rc;
}


/* NGX_OK: ours, NGX_DECLINED: nobody says, NGX_ERROR: another site's */

static ngx_int_t
ngx_vmops_session_origin(ngx_http_request_t *r)
{
    ngx_int_t     site, origin;
    ngx_str_t     url;
    vmops_span_t  value;

    site = ngx_vmops_header_in(r, "sec-fetch-site", &value);

    if (site == NGX_OK && !vmops_span_is(value, "same-origin")) {
        return NGX_ERROR;
    }

    origin = ngx_vmops_header_in(r, "origin", &value);

    if (origin == NGX_OK
        && (ngx_vmops_public_url(r, &url) != NGX_OK
            || !vmops_span_eq(value, ngx_vmops_span(&url))))
    {
        return NGX_ERROR;
    }

    if (site == NGX_ERROR || origin == NGX_ERROR) {
        return NGX_ERROR;
    }

    return site == NGX_OK || origin == NGX_OK ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_vmops_session_same_site(ngx_vmops_op_t *op)
{
    vmops_span_t         value, csrf;
    ngx_http_request_t  *r;

    r = op->request;

    if (r->method == NGX_HTTP_GET || r->method == NGX_HTTP_HEAD) {
        return 1;
    }

    csrf = op->principal->csrf;

    return ngx_vmops_session_origin(r) == NGX_OK
           && ngx_vmops_header_in(r, NGX_VMOPS_CSRF_HEADER, &value) == NGX_OK
           && csrf.n == NGX_VMOPS_CSRF_TEXT && value.n == csrf.n
           && sodium_memcmp(value.p, csrf.p, csrf.n) == 0;
}


/* signs in */

void
ngx_vmops_session_create(ngx_vmops_op_t *op)
{
    ngx_uint_t            row;
    ngx_vmops_claim_t     claim;
    ngx_vmops_session_t  *s;

    /* nobody signs somebody in to a tenant of his own; programs say nothing */

    if (ngx_vmops_session_origin(op->request) == NGX_ERROR) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_csrf);
        return;
    }

    if (ngx_vmops_session_row(op->request, &row) != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, op->request->connection->log, 0,
                      "no console session without HTTPS: serve it, or say so "
                      "by \"vmops_public_url\" if it ends before nginx");
        ngx_vmops_problem(op, VMOPS_PROBLEM_forbidden);
        return;
    }

    s = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_session_t));
    if (s == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    op->data = s;

    if (ngx_vmops_token_claim(&claim, s->token, ngx_vmops_value(op, "token"))
        != NGX_OK)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_unauthenticated);
        return;
    }

    ngx_vmops_principal_get(op, &claim, ngx_vmops_session_known);
}


static void
ngx_vmops_session_known(ngx_vmops_op_t *op)
{
    ngx_vmops_session_t *s = op->data;

    int64_t                 expires;
    uint8_t                 random[32];
    ngx_pool_t             *pool;
    vmops_span_t            until, mac;
    ngx_vmops_principal_t  *p;

    pool = op->request->pool;
    p = op->principal;

    if (p->kind == NGX_VMOPS_PLATFORM) {
        /* a cookie names a tenant: an administrator has none */
        ngx_vmops_problem(op, VMOPS_PROBLEM_forbidden);
        return;
    }

    op->tenant = ngx_vmops_dup(pool, p->tenant);

    if (p->suspended) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_tenant_suspended);
        return;
    }

    randombytes_buf(random, sizeof(random));

    if (op->tenant.p == NULL
        || vmops_cookie_make(s->cookie, op->tenant, random) != 0)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    vmops_lookup_text(s->lookup, ngx_vmops_worker.conf->pepper,
                      vmops_span_str(s->cookie));

    randombytes_buf(random, sizeof(random));
    vmops_b64u_encode(s->csrf, random, sizeof(random));
    sodium_memzero(random, sizeof(random));

    expires = ngx_vmops_now() + (int64_t) VMOPS_SESSION_ABSOLUTE_S * 1000;

    if (p->expires_ms) {
        expires = ngx_min(expires, p->expires_ms);
    }

    until = ngx_vmops_decimal(pool, expires);
    mac = ngx_vmops_session_mac(op, until);

    ngx_vmops_invoke(op, console_open, ngx_vmops_session_opened, p->actor,
                     vmops_span(s->token, VMOPS_LOOKUP_TEXT),
                     vmops_span(s->lookup, VMOPS_LOOKUP_TEXT), p->subject,
                     p->role_name, until,
                     vmops_span(s->csrf, NGX_VMOPS_CSRF_TEXT), mac);
}


static vmops_span_t
ngx_vmops_session_mac(ngx_vmops_op_t *op, vmops_span_t expires)
{
    ngx_vmops_session_t *s = op->data;

    u_char        key[VMOPS_REDIS_KEY_MAX];
    vmops_span_t  values[VMOPS_RECORD_FIELDS_MAX];

    ngx_memzero(values, sizeof(values));

    ngx_vmops_mac_set(VMOPS_RECORD_session, values, "subject",
                      op->principal->subject);
    ngx_vmops_mac_set(VMOPS_RECORD_session, values, "role",
                      op->principal->role_name);
    ngx_vmops_mac_set(VMOPS_RECORD_session, values, "expires_at", expires);
    ngx_vmops_mac_set(VMOPS_RECORD_session, values, "csrf",
                      vmops_span(s->csrf, NGX_VMOPS_CSRF_TEXT));

    return ngx_vmops_mac(op->request->pool, VMOPS_RECORD_session,
                         ngx_vmops_key(key, &op->tenant, "sessions",
                                       vmops_span(s->lookup,
                                                  VMOPS_LOOKUP_TEXT)),
                         values);
}


static void
ngx_vmops_session_opened(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_session_t *s = op->data;

    if (ngx_vmops_session_set(op, vmops_span_str(s->cookie), "") != NGX_OK) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    ngx_vmops_location(op, "/session", vmops_span("", 0));

    ngx_vmops_answer(op, NGX_HTTP_CREATED, ngx_vmops_session_draw, NULL);
}


void
ngx_vmops_session_get(ngx_vmops_op_t *op)
{
    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_session_draw, NULL);
}


void
ngx_vmops_session_delete(ngx_vmops_op_t *op)
{
    if (op->principal->kind != NGX_VMOPS_SESSION) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_not_found);
        return;
    }

    ngx_vmops_invoke_twice(op, console_close, ngx_vmops_session_closed,
                           op->principal->actor, op->principal->key);
}


static void
ngx_vmops_session_closed(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_principal_forget(op);

    if (ngx_vmops_session_set(op, vmops_span("", 0), "; Max-Age=0")
        != NGX_OK)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    ngx_vmops_no_content(op, reply);
}


static ngx_int_t
ngx_vmops_session_set(ngx_vmops_op_t *op, vmops_span_t value, const char *more)
{
    size_t       len;
    u_char      *p;
    ngx_uint_t   row;
    const char  *name, *attributes;

    if (ngx_vmops_session_row(op->request, &row) != NGX_OK) {
        return NGX_ERROR;
    }

    name = ngx_vmops_cookies[row].name;
    attributes = ngx_vmops_cookies[row].attributes;

    len = ngx_strlen(name) + 1 + value.n + ngx_strlen(attributes)
          + ngx_strlen(more);

    p = ngx_pnalloc(op->request->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_snprintf(p, len, "%s=%*s%s%s", name, value.n, value.p, attributes,
                 more);

    ngx_vmops_header(op, "Set-Cookie", vmops_span(p, len));

    return NGX_OK;
}


/* who one is, and what to show; csrf is null for who needs none */

static void
ngx_vmops_session_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_vmops_session_t *s = op->data;

    ngx_str_t              *name;
    vmops_flag_e            flag;
    vmops_span_t            csrf;
    ngx_vmops_principal_t  *p;

    p = op->principal;

    csrf = s ? vmops_span(s->csrf, NGX_VMOPS_CSRF_TEXT) : p->csrf;

    vmops_jw_obj(w);
    vmops_jw_kstr(w, "tenant", p->tenant);
    vmops_jw_kstr(w, "subject", p->subject);
    vmops_jw_kstr(w, "role", p->role_name);
    vmops_jw_key(w, "csrf");
    ngx_vmops_draw_value(w, NGX_VMOPS_TEXT, csrf);
    vmops_jw_key(w, "flags");
    vmops_jw_obj(w);

    for (flag = 0; flag < VMOPS_FLAGS; flag++) {
        name = vmops_beat_flag_name(flag);

        vmops_jw_key(w, (char *) name->data);
        ngx_vmops_draw_value(w, NGX_VMOPS_BOOL,
                             ngx_vmops_bool(ngx_vmops_flag(p, flag)));
    }

    vmops_jw_obj_end(w);
    vmops_jw_obj_end(w);
}
