
/* the route table */


#include "ngx_vmops_openapi.h"


typedef struct {
    const char       *name;
    vmops_pattern_t   pattern;
    const char       *values;      /* or one of these, joined with "|" */
    const char       *but;         /* and none of these */
} ngx_vmops_capture_t;


static ngx_uint_t ngx_vmops_route_match(ngx_vmops_op_t *op, const char *pattern,
    vmops_span_t path);
static ngx_uint_t ngx_vmops_capture_ok(const char *name, size_t len,
    vmops_span_t value);
static ngx_uint_t ngx_vmops_among(const char *values, vmops_span_t value);


/* what may stand for a {name}; anything else is no such path */

static const ngx_vmops_capture_t  ngx_vmops_captures[] = {
    { "tenant", VMOPS_P_TENANT, NULL, NULL },
    { "uuid", VMOPS_P_UUID, NULL, NULL },
    { "secret", VMOPS_P_SECRET_REF, NULL, NULL },
    { "scope", VMOPS_P_NONE, "bot|vm", NULL },
    /* any UUID has that form, too */
    { "scope_id", VMOPS_P_BOT_ID, NULL, NULL },
    /* below "commands" what is no command's id is nothing, and no service */
    { "service", VMOPS_P_NONE, NULL, "commands" },
    { "action", VMOPS_P_NONE, NULL, NULL },
    { "cohort", VMOPS_P_NONE, "internal|beta|production", NULL },
    { "family", VMOPS_P_NONE, "proxmox|ssh|syncthing", NULL },
    { NULL, VMOPS_P_NONE, NULL, NULL }
};


const ngx_vmops_body_t  ngx_vmops_no_body = { .optional = 1 };


#define NGX_VMOPS_GET     NGX_HTTP_GET
#define NGX_VMOPS_POST    NGX_HTTP_POST
#define NGX_VMOPS_PUT     NGX_HTTP_PUT
#define NGX_VMOPS_PATCH   NGX_HTTP_PATCH
#define NGX_VMOPS_DELETE  NGX_HTTP_DELETE

#define NGX_VMOPS_ROUTE(method, path, who, body, handler)                     \
    { NGX_VMOPS_##method, path, NGX_VMOPS_FOR_##who, body, handler,           \
      &ngx_vmops_operation_##handler }


static const struct {
    ngx_uint_t    method;
    const char   *name;
} ngx_vmops_methods[] = {
    { NGX_HTTP_GET, "GET, HEAD" },
    { NGX_HTTP_POST, "POST" },
    { NGX_HTTP_PUT, "PUT" },
    { NGX_HTTP_PATCH, "PATCH" },
    { NGX_HTTP_DELETE, "DELETE" },
    { 0, NULL }
};

#define NGX_VMOPS_ALLOW_MAX  sizeof("GET, HEAD, POST, PUT, PATCH, DELETE")


/* what the API document says of each handler */

#define NGX_VMOPS_FLAG_NONE                       NGX_VMOPS_NO_FLAG
#define NGX_VMOPS_FLAG_AGENT_COMMAND_BUS_ENABLED  VMOPS_FLAG_COMMAND_BUS
#define NGX_VMOPS_FLAG_SECRETS_E2E_ENABLED        VMOPS_FLAG_SECRETS_E2E
#define NGX_VMOPS_FLAG_INFRA_LEGACY_ADMIN_ONLY    VMOPS_FLAG_LEGACY_ADMIN_ONLY

enum { VMOPS_PROBLEM_NONE = -1 };

#define A(status, kind, schema, headers)                                      \
    { status, NGX_VMOPS_ANSWER_##kind, NGX_VMOPS_SCHEMA_##schema, headers },
#define P(code)                                                               \
    VMOPS_PROBLEM_##code + 1,
#define NGX_VMOPS_OPERATION(handler, tag, summary, flag, params, answers,     \
    problems)                                                                 \
    static const ngx_vmops_operation_t  ngx_vmops_operation_##handler = {     \
        #handler, NGX_VMOPS_TAG_##tag, summary, NGX_VMOPS_FLAG_##flag,        \
        params, { answers { 0 } }, { problems 0 }                             \
    };

#include "ngx_vmops_operations.def"

#undef NGX_VMOPS_OPERATION
#undef A
#undef P


/*
 * Rows of one path stand together; of two paths that fit, the first one is
 * meant: words before {captures}.  Two rows of one method differ in who.
 */

const ngx_vmops_route_t  ngx_vmops_routes[] = {

    NGX_VMOPS_ROUTE(GET, "/openapi.json", ANYONE, NULL, ngx_vmops_openapi),

    /* who is in charge of all */

    NGX_VMOPS_ROUTE(GET, "/admin/tenants", PLATFORM, NULL,
                    ngx_vmops_tenant_list),
    NGX_VMOPS_ROUTE(POST, "/admin/tenants", PLATFORM,
                    &ngx_vmops_tenant_create_body, ngx_vmops_tenant_create),

    NGX_VMOPS_ROUTE(GET, "/admin/tenants/{tenant}", PLATFORM, NULL,
                    ngx_vmops_tenant_get),
    NGX_VMOPS_ROUTE(PATCH, "/admin/tenants/{tenant}", PLATFORM,
                    &ngx_vmops_tenant_patch_body, ngx_vmops_tenant_patch),
    NGX_VMOPS_ROUTE(DELETE, "/admin/tenants/{tenant}", PLATFORM, NULL,
                    ngx_vmops_tenant_delete),

    NGX_VMOPS_ROUTE(POST, "/admin/tenants/{tenant}/owner-tokens", PLATFORM,
                    &ngx_vmops_owner_token_body, ngx_vmops_owner_token_create),

    NGX_VMOPS_ROUTE(PUT, "/admin/tenants/{tenant}/license", PLATFORM,
                    &ngx_vmops_license_body, ngx_vmops_license_put),

    NGX_VMOPS_ROUTE(GET, "/admin/tenants/{tenant}/flags", PLATFORM, NULL,
                    ngx_vmops_tenant_flags_get),
    NGX_VMOPS_ROUTE(PUT, "/admin/tenants/{tenant}/flags", PLATFORM,
                    &ngx_vmops_flags_body, ngx_vmops_tenant_flags_put),

    NGX_VMOPS_ROUTE(GET, "/admin/tokens", PLATFORM, NULL,
                    ngx_vmops_platform_token_list),

    NGX_VMOPS_ROUTE(GET, "/admin/flags", PLATFORM, NULL, ngx_vmops_flags_get),
    NGX_VMOPS_ROUTE(PUT, "/admin/flags", PLATFORM, &ngx_vmops_flags_body,
                    ngx_vmops_flags_put),

    NGX_VMOPS_ROUTE(GET, "/admin/flags/{cohort}", PLATFORM, NULL,
                    ngx_vmops_flags_get),
    NGX_VMOPS_ROUTE(PUT, "/admin/flags/{cohort}", PLATFORM,
                    &ngx_vmops_flags_body, ngx_vmops_flags_put),

    /* the tenant itself */

    NGX_VMOPS_ROUTE(GET, "/license", VIEWER, NULL, ngx_vmops_license_get),

    NGX_VMOPS_ROUTE(GET, "/audit", OWNER, NULL, ngx_vmops_audit_list),

    NGX_VMOPS_ROUTE(GET, "/audit/head", OWNER, NULL, ngx_vmops_audit_head),

    NGX_VMOPS_ROUTE(GET, "/audit/export", OWNER, NULL,
                    ngx_vmops_audit_export),

    NGX_VMOPS_ROUTE(GET, "/settings/infra", VIEWER, NULL,
                    ngx_vmops_settings_get),
    NGX_VMOPS_ROUTE(PUT, "/settings/infra", OWNER, &ngx_vmops_settings_body,
                    ngx_vmops_settings_put),

    NGX_VMOPS_ROUTE(GET, "/tokens", OWNER, NULL, ngx_vmops_token_list),
    NGX_VMOPS_ROUTE(POST, "/tokens", OWNER, &ngx_vmops_token_body,
                    ngx_vmops_token_create),

    NGX_VMOPS_ROUTE(DELETE, "/tokens/{uuid}", OWNER, NULL,
                    ngx_vmops_token_delete),

    /* the console: signs in with a token */

    NGX_VMOPS_ROUTE(GET, "/session", VIEWER, NULL, ngx_vmops_session_get),
    NGX_VMOPS_ROUTE(POST, "/session", ANYONE, &ngx_vmops_session_body,
                    ngx_vmops_session_create),
    NGX_VMOPS_ROUTE(DELETE, "/session", VIEWER, NULL,
                    ngx_vmops_session_delete),

    /* agents */

    NGX_VMOPS_ROUTE(POST, "/agents/pairings", OWNER, &ngx_vmops_pairing_body,
                    ngx_vmops_pairing_create),

    NGX_VMOPS_ROUTE(GET, "/agents/pairings/{uuid}", OWNER, NULL,
                    ngx_vmops_pairing_get),
    NGX_VMOPS_ROUTE(DELETE, "/agents/pairings/{uuid}", OWNER, NULL,
                    ngx_vmops_pairing_delete),

    NGX_VMOPS_ROUTE(POST, "/agents/register", ANYONE, &ngx_vmops_register_body,
                    ngx_vmops_register),

    NGX_VMOPS_ROUTE(POST, "/agents/heartbeat", AGENT,
                    &ngx_vmops_heartbeat_body, ngx_vmops_heartbeat),

    NGX_VMOPS_ROUTE(GET, "/agents", VIEWER, NULL, ngx_vmops_agent_list),

    NGX_VMOPS_ROUTE(GET, "/agents/{uuid}", VIEWER, NULL, ngx_vmops_agent_get),
    NGX_VMOPS_ROUTE(PATCH, "/agents/{uuid}", OWNER,
                    &ngx_vmops_agent_patch_body, ngx_vmops_agent_patch),

    NGX_VMOPS_ROUTE(POST, "/agents/{uuid}/approve", OWNER,
                    &ngx_vmops_approve_body, ngx_vmops_agent_approve),
    NGX_VMOPS_ROUTE(POST, "/agents/{uuid}/revoke", OWNER, &ngx_vmops_no_body,
                    ngx_vmops_agent_revoke),
    NGX_VMOPS_ROUTE(POST, "/agents/{uuid}/unlock", OWNER, &ngx_vmops_no_body,
                    ngx_vmops_agent_unlock),

    /* VMs */

    NGX_VMOPS_ROUTE(GET, "/vms", VIEWER, NULL, ngx_vmops_vm_list),
    NGX_VMOPS_ROUTE(POST, "/vms", OWNER, &ngx_vmops_vm_body,
                    ngx_vmops_vm_create),

    NGX_VMOPS_ROUTE(GET, "/vms/{uuid}", VIEWER, NULL, ngx_vmops_vm_get),
    NGX_VMOPS_ROUTE(PATCH, "/vms/{uuid}", OWNER, &ngx_vmops_vm_patch_body,
                    ngx_vmops_vm_patch),
    NGX_VMOPS_ROUTE(DELETE, "/vms/{uuid}", OWNER, NULL, ngx_vmops_vm_delete),

    /* secrets */

    NGX_VMOPS_ROUTE(GET, "/secrets", VIEWER, NULL, ngx_vmops_secret_list),
    NGX_VMOPS_ROUTE(POST, "/secrets", AGENT, &ngx_vmops_secret_body,
                    ngx_vmops_secret_add),

    NGX_VMOPS_ROUTE(GET, "/secrets/bindings/{scope}/{scope_id}/{family}",
                    OWNER, NULL, ngx_vmops_binding_get),
    NGX_VMOPS_ROUTE(PUT, "/secrets/bindings/{scope}/{scope_id}/{family}",
                    OWNER, &ngx_vmops_binding_body, ngx_vmops_binding_put),
    NGX_VMOPS_ROUTE(DELETE, "/secrets/bindings/{scope}/{scope_id}/{family}",
                    OWNER, NULL, ngx_vmops_binding_delete),

    NGX_VMOPS_ROUTE(DELETE, "/secrets/{secret}", OWNER, NULL,
                    ngx_vmops_secret_delete),

    NGX_VMOPS_ROUTE(GET, "/secrets/{secret}/meta", VIEWER, NULL,
                    ngx_vmops_secret_meta),

    NGX_VMOPS_ROUTE(POST, "/secrets/{secret}/rotate", AGENT,
                    &ngx_vmops_rotate_body, ngx_vmops_secret_rotate),
    NGX_VMOPS_ROUTE(POST, "/secrets/{secret}/rotate", OPERATOR,
                    &ngx_vmops_no_body, ngx_vmops_secret_ask_rotate),

    /* the command bus */

    NGX_VMOPS_ROUTE(GET, "/events", VIEWER, NULL, ngx_vmops_events),

    NGX_VMOPS_ROUTE(GET, "/vm-ops/actions", VIEWER, NULL, ngx_vmops_actions),

    NGX_VMOPS_ROUTE(GET, "/vm-ops/commands", VIEWER, NULL,
                    ngx_vmops_command_list),

    NGX_VMOPS_ROUTE(GET, "/vm-ops/commands/{uuid}", VIEWER, NULL,
                    ngx_vmops_command_get),

    NGX_VMOPS_ROUTE(POST, "/vm-ops/commands/{uuid}/cancel", OPERATOR,
                    &ngx_vmops_no_body, ngx_vmops_command_cancel),

    NGX_VMOPS_ROUTE(GET, "/vm-ops/commands/{uuid}/events", VIEWER, NULL,
                    ngx_vmops_command_events),

    NGX_VMOPS_ROUTE(POST, "/vm-ops/" NGX_VMOPS_ACTION_PATH, OPERATOR,
                    &ngx_vmops_submit_body, ngx_vmops_submit),

    { 0, NULL, NGX_VMOPS_FOR_ANYONE, NULL, NULL, NULL }
};


/* outside of the API */

const ngx_vmops_route_t  ngx_vmops_root_routes[] = {

    NGX_VMOPS_ROUTE(GET, "/healthz", ANYONE, NULL, ngx_vmops_healthz),
    NGX_VMOPS_ROUTE(GET, "/readyz", ANYONE, NULL, ngx_vmops_readyz),
    NGX_VMOPS_ROUTE(GET, "/metrics", ANYONE, NULL, ngx_vmops_metrics),

    { 0, NULL, NGX_VMOPS_FOR_ANYONE, NULL, NULL, NULL }
};


const ngx_vmops_route_t *
ngx_vmops_route_find(ngx_vmops_op_t *op)
{
    size_t                    n;
    vmops_span_t              path;
    const ngx_vmops_route_t  *route;

    path = ngx_vmops_span(&op->request->uri);
    route = ngx_vmops_root_routes;

    n = sizeof(NGX_VMOPS_BASE) - 1;

    if (path.n > n && ngx_memcmp(path.p, NGX_VMOPS_BASE "/", n + 1) == 0) {
        path.p += n;
        path.n -= n;
        route = ngx_vmops_routes;
    }

    for ( /* void */ ; route->path; route++) {
        if (ngx_vmops_route_match(op, route->path, path)) {
            return route;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_vmops_route_match(ngx_vmops_op_t *op, const char *pattern,
    vmops_span_t path)
{
    const char     *end;
    ngx_uint_t      n;
    vmops_span_t    value;
    const uint8_t  *p, *last;

    n = 0;
    p = path.p;
    last = path.p + path.n;

    while (*pattern) {

        if (*pattern != '{') {
            if (p == last || *p != (uint8_t) *pattern) {
                return 0;
            }

            p++;
            pattern++;
            continue;
        }

        value.p = p;

        while (p < last && *p != '/') {
            p++;
        }

        value.n = p - value.p;

        end = strchr(pattern, '}');

        if (!ngx_vmops_capture_ok(pattern + 1, end - pattern - 1, value)) {
            return 0;
        }

        op->path[n++] = value;
        pattern = end + 1;
    }

    return p == last;
}


static ngx_uint_t
ngx_vmops_capture_ok(const char *name, size_t len, vmops_span_t value)
{
    const ngx_vmops_capture_t  *c;

    for (c = ngx_vmops_captures; c->name; c++) {

        if (ngx_strlen(c->name) != len || ngx_memcmp(c->name, name, len) != 0) {
            continue;
        }

        if (c->values) {
            return ngx_vmops_among(c->values, value);
        }

        if (c->but && ngx_vmops_among(c->but, value)) {
            return 0;
        }

        return c->pattern == VMOPS_P_NONE
               || vmops_pattern_match(c->pattern, value);
    }

    return 0;
}


void
ngx_vmops_capture_schema(vmops_jw_t *w, vmops_span_t name)
{
    size_t                      n;
    const char                 *p, *regex;
    const ngx_vmops_capture_t  *c;

    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "type", "string");

    for (c = ngx_vmops_captures; c->name; c++) {

        if (!vmops_span_is(name, c->name)) {
            continue;
        }

        regex = vmops_pattern_regex(c->pattern);

        if (regex) {
            vmops_jw_kcstr(w, "pattern", regex);
        }

        if (c->values) {
            vmops_jw_key(w, "enum");
            vmops_jw_arr(w);

            for (p = c->values; *p; p += n + (p[n] == '|')) {
                n = strcspn(p, "|");
                vmops_jw_str(w, vmops_span(p, n));
            }

            vmops_jw_arr_end(w);
        }
    }

    vmops_jw_obj_end(w);
}


static ngx_uint_t
ngx_vmops_among(const char *values, vmops_span_t value)
{
    size_t       n;
    const char  *end;

    for ( ;; ) {
        end = strchr(values, '|');
        n = end ? (size_t) (end - values) : ngx_strlen(values);

        if (n == value.n && ngx_memcmp(values, value.p, n) == 0) {
            return 1;
        }

        if (end == NULL) {
            return 0;
        }

        values = end + 1;
    }
}


const ngx_vmops_route_t *
ngx_vmops_route_choose(const ngx_vmops_route_t *route, ngx_uint_t method,
    ngx_vmops_principal_t *p, ngx_uint_t *methods)
{
    const char               *path;
    const ngx_vmops_route_t  *found;

    found = NULL;
    *methods = 0;

    for (path = route->path; route->path; route++) {

        if (ngx_strcmp(route->path, path) != 0) {
            break;
        }

        *methods |= route->method;

        if (found == NULL && route->method == method
            && ngx_vmops_route_open(route, p))
        {
            found = route;
        }
    }

    return found;
}


vmops_span_t
ngx_vmops_route_allow(ngx_pool_t *pool, ngx_uint_t methods)
{
    u_char      *p, *last;
    ngx_uint_t   i;

    p = ngx_pnalloc(pool, NGX_VMOPS_ALLOW_MAX);
    if (p == NULL) {
        return vmops_span(NULL, 0);
    }

    last = p;

    for (i = 0; ngx_vmops_methods[i].name; i++) {
        if (methods & ngx_vmops_methods[i].method) {
            last = ngx_slprintf(last, p + NGX_VMOPS_ALLOW_MAX, "%s%s",
                                last == p ? "" : ", ",
                                ngx_vmops_methods[i].name);
        }
    }

    return vmops_span(p, last - p);
}


ngx_uint_t
ngx_vmops_route_open(const ngx_vmops_route_t *route, ngx_vmops_principal_t *p)
{
    if (route->who == NGX_VMOPS_FOR_ANYONE) {
        return 1;
    }

    if (p == NULL) {
        return 0;
    }

    if (route->who == NGX_VMOPS_FOR_AGENT
        || route->who == NGX_VMOPS_FOR_PLATFORM)
    {
        return p->role == route->who;
    }

    return p->role <= NGX_VMOPS_FOR_OWNER && p->role >= route->who;
}
