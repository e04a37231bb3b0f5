
/*
 * GET /openapi.json: the API as OpenAPI 3.1, drawn from the tables that serve
 * it (routes, bodies, actions, problems) when the configuration is read, so
 * that it cannot say anything else than they do.
 */


#include "ngx_vmops_openapi.h"


#define NGX_VMOPS_OPENAPI_SIZE  (256 * 1024)
#define NGX_VMOPS_OPENAPI_MAX   (16 * 1024 * 1024)
#define NGX_VMOPS_ROWS_MAX      2          /* of one path and method */


/* the rows of one path and method, which differ in who may use them */

typedef struct {
    const ngx_vmops_route_t  *rows[NGX_VMOPS_ROWS_MAX];
    ngx_uint_t                n;
    const vmops_action_t     *action;      /* NULL: it is of none */
} ngx_vmops_call_t;


typedef struct {
    const char               *name;
    const char               *in;
    const char               *about;
    vmops_json_field_t        value;
} ngx_vmops_param_info_t;


static void ngx_vmops_openapi_draw(vmops_jw_t *w);
static void ngx_vmops_draw_info(vmops_jw_t *w);
static void ngx_vmops_draw_routes(vmops_jw_t *w,
    const ngx_vmops_route_t *route, ngx_uint_t root);
static const ngx_vmops_route_t *ngx_vmops_draw_path(vmops_jw_t *w,
    const ngx_vmops_route_t *route, ngx_uint_t root,
    const vmops_action_t *action);
static vmops_span_t ngx_vmops_next_capture(const char **path);
static void ngx_vmops_draw_captures(vmops_jw_t *w, const char *path);
static void ngx_vmops_draw_call(vmops_jw_t *w, ngx_vmops_call_t *call);
static void ngx_vmops_draw_id(vmops_jw_t *w, ngx_vmops_call_t *call);
static void ngx_vmops_draw_security(vmops_jw_t *w, ngx_vmops_call_t *call);
static void ngx_vmops_draw_params(vmops_jw_t *w, ngx_vmops_call_t *call);
static void ngx_vmops_draw_body(vmops_jw_t *w, ngx_vmops_call_t *call);
static void ngx_vmops_draw_answers(vmops_jw_t *w, ngx_vmops_call_t *call);
static void ngx_vmops_draw_answer(vmops_jw_t *w,
    const ngx_vmops_answer_info_t *a);
static void ngx_vmops_call_problems(const ngx_vmops_route_t *route,
    u_char *set);
static void ngx_vmops_draw_problem(vmops_jw_t *w, const u_char *set,
    unsigned status);
static void ngx_vmops_draw_components(vmops_jw_t *w);
static void ngx_vmops_draw_header(vmops_jw_t *w, const char *name);


static const ngx_vmops_param_info_t  ngx_vmops_params[] = {
    { "limit", "query", "How many at most; 50 where it is absent",
      { .type = VMOPS_FT_INT, .min = VMOPS_LIST_LIMIT_MIN,
        .max = VMOPS_LIST_LIMIT_MAX } },
    { "cursor", "query", "next_cursor of the page before",
      { .type = VMOPS_FT_STRING } },
    { "status", "query", "Only commands with this status",
      { .type = VMOPS_FT_STRING } },
    { "vm_uuid", "query", "Only commands for this VM",
      { .type = VMOPS_FT_STRING, .pattern = VMOPS_P_UUID } },
    { "agent_id", "query", "Only commands of this agent",
      { .type = VMOPS_FT_STRING, .pattern = VMOPS_P_UUID } },
    { "force", "query", "true: also while it is bound",
      { .type = VMOPS_FT_BOOL } },
    { "Idempotency-Key", "header", "The same key and body within 24 hours: "
      "the same command, as it is then",
      { .type = VMOPS_FT_STRING, .min = 1, .max = VMOPS_IDEMPOTENCY_KEY_MAX } },
    { "Prefer", "header", "wait=N: the answer comes when the command has "
      "ended, or after N seconds (60 at most)",
      { .type = VMOPS_FT_STRING } },
    { "If-Match", "header", "The version that is replaced, as the ETag of its "
      "GET says; an agent has to send it",
      { .type = VMOPS_FT_STRING } },
    { "Last-Event-ID", "header", "The stream goes on after this event",
      { .type = VMOPS_FT_STRING } },
    { NULL, NULL, NULL, { .type = VMOPS_FT_ANY } }
};

static const struct {
    const char   *name;
    const char   *about;
    ngx_uint_t    always;
} ngx_vmops_answer_headers[] = {
    { "X-Request-Id", "Names the request in our logs", 1 },
    { "Location", "Where to find what was made", 1 },
    { "ETag", "The version, in quotes", 1 },
    { "VMOps-License", "grace;until=\"<time>\": the license has run out, and "
      "until then commands are accepted all the same", 0 },
    { "WWW-Authenticate", "Bearer", 1 },
    { "Retry-After", "Seconds to wait", 1 },
    { "RateLimit-Limit", "What a window of a minute allows", 1 },
    { "RateLimit-Remaining", "What is left of it", 1 },
    { "RateLimit-Reset", "Seconds until the next window", 1 },
    { NULL, NULL, 0 }
};

static const struct {
    ngx_uint_t    method;
    const char   *name;
} ngx_vmops_openapi_methods[] = {
    { NGX_HTTP_GET, "get" },
    { NGX_HTTP_POST, "post" },
    { NGX_HTTP_PUT, "put" },
    { NGX_HTTP_PATCH, "patch" },
    { NGX_HTTP_DELETE, "delete" },
    { 0, NULL }
};

static const struct {
    const char   *name;
    const char   *about;
} ngx_vmops_tags[] = {
#define NGX_VMOPS_X(name, about)  { #name, about },
    NGX_VMOPS_TAGS(NGX_VMOPS_X)
#undef NGX_VMOPS_X
};

static const char *const  ngx_vmops_whos[] = {
    NULL, "viewer", "operator", "owner", "platform_admin", "agent"
};


void
ngx_vmops_openapi(ngx_vmops_op_t *op)
{
    ngx_vmops_answer_raw(op, "application/json",
                         ngx_vmops_worker.conf->openapi);
}


ngx_int_t
ngx_vmops_openapi_create(ngx_conf_t *cf, vmops_span_t *out)
{
    size_t        size;
    u_char       *p;
    vmops_jw_t    w;
    vmops_span_t  text;

    for (size = NGX_VMOPS_OPENAPI_SIZE; size <= NGX_VMOPS_OPENAPI_MAX;
         size *= 2)
    {
        p = ngx_alloc(size, cf->log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        vmops_jw_init(&w, p, size);
        ngx_vmops_openapi_draw(&w);

        if (vmops_jw_done(&w, &text) == 0) {
            *out = ngx_vmops_dup(cf->pool, text);
            ngx_free(p);
            return out->p ? NGX_OK : NGX_ERROR;
        }

        ngx_free(p);
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "the API document cannot be written as JSON");

    return NGX_ERROR;
}


static void
ngx_vmops_openapi_draw(vmops_jw_t *w)
{
    ngx_uint_t  i;

    vmops_jw_obj(w);

    ngx_vmops_draw_info(w);

    vmops_jw_key(w, "tags");
    vmops_jw_arr(w);

    for (i = 0; i < NGX_VMOPS_TAG_MAX; i++) {
        vmops_jw_obj(w);
        vmops_jw_kcstr(w, "name", ngx_vmops_tags[i].name);
        vmops_jw_kcstr(w, "description", ngx_vmops_tags[i].about);
        vmops_jw_obj_end(w);
    }

    vmops_jw_arr_end(w);

    vmops_jw_key(w, "paths");
    vmops_jw_obj(w);
    ngx_vmops_draw_routes(w, ngx_vmops_root_routes, 1);
    ngx_vmops_draw_routes(w, ngx_vmops_routes, 0);
    vmops_jw_obj_end(w);

    ngx_vmops_draw_components(w);

    vmops_jw_obj_end(w);
}


static void
ngx_vmops_draw_info(vmops_jw_t *w)
{
    vmops_jw_kcstr(w, "openapi", "3.1.0");

    vmops_jw_key(w, "info");
    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "title", "vmops");
    vmops_jw_kcstr(w, "version", "1");
    vmops_jw_kcstr(w, "description",
        "Times are RFC 3339 in UTC. Unknown members of a request are refused. "
        "HEAD is answered wherever GET is. What is not one of these calls is "
        "404, a method that a path does not have 405, and what nginx itself "
        "refuses is a problem, too. What is below /infra is a legacy backend's "
        "own, where there is one.");
    vmops_jw_obj_end(w);

    vmops_jw_key(w, "servers");
    vmops_jw_arr(w);
    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "url", NGX_VMOPS_BASE);
    vmops_jw_obj_end(w);
    vmops_jw_arr_end(w);
}


static void
ngx_vmops_draw_routes(vmops_jw_t *w, const ngx_vmops_route_t *route,
    ngx_uint_t root)
{
    unsigned                  i;
    const ngx_vmops_route_t  *first;

    while (route->path) {

        if (strstr(route->path, NGX_VMOPS_ACTION_PATH) == NULL) {
            route = ngx_vmops_draw_path(w, route, root, NULL);
            continue;
        }

        first = route;

        for (i = 0; i < VMOPS_ACT_MAX_; i++) {
            route = ngx_vmops_draw_path(w, first, root, vmops_action_at(i));
        }
    }
}


/* all rows of one path; the row after them */

static const ngx_vmops_route_t *
ngx_vmops_draw_path(vmops_jw_t *w, const ngx_vmops_route_t *route,
    ngx_uint_t root, const vmops_action_t *action)
{
    u_char                    text[256], *last;
    ngx_uint_t                i;
    const ngx_vmops_route_t  *first, *row;
    ngx_vmops_call_t          call;

    first = route;

    while (route->path && ngx_strcmp(route->path, first->path) == 0) {
        route++;
    }

    last = action ? ngx_snprintf(text, sizeof(text), "/vm-ops/%s/%s",
                                 vmops_service_name(action->service),
                                 action->name)
                  : ngx_snprintf(text, sizeof(text), "%s", first->path);

    vmops_jw_key_span(w, vmops_span(text, last - text));
    vmops_jw_obj(w);

    if (root) {
        vmops_jw_key(w, "servers");
        vmops_jw_arr(w);
        vmops_jw_obj(w);
        vmops_jw_kcstr(w, "url", "/");
        vmops_jw_obj_end(w);
        vmops_jw_arr_end(w);
    }

    if (action == NULL) {
        ngx_vmops_draw_captures(w, first->path);
    }

    for (i = 0; ngx_vmops_openapi_methods[i].name; i++) {
        call.n = 0;
        call.action = action;

        for (row = first; row < route && call.n < NGX_VMOPS_ROWS_MAX; row++) {
            if (row->method == ngx_vmops_openapi_methods[i].method) {
                call.rows[call.n++] = row;
            }
        }

        if (call.n) {
            vmops_jw_key(w, ngx_vmops_openapi_methods[i].name);
            ngx_vmops_draw_call(w, &call);
        }
    }

    vmops_jw_obj_end(w);

    return route;
}


/* the name of the next {capture}, and the path after it; empty: none */

static vmops_span_t
ngx_vmops_next_capture(const char **path)
{
    const char  *first, *last;

    first = strchr(*path, '{');
    if (first == NULL) {
        return vmops_span("", 0);
    }

    last = strchr(first, '}');
    *path = last + 1;

    return vmops_span(first + 1, last - first - 1);
}


static void
ngx_vmops_draw_captures(vmops_jw_t *w, const char *path)
{
    vmops_span_t  name;

    name = ngx_vmops_next_capture(&path);

    if (name.n == 0) {
        return;
    }

    vmops_jw_key(w, "parameters");
    vmops_jw_arr(w);

    while (name.n) {
        vmops_jw_obj(w);
        vmops_jw_kstr(w, "name", name);
        vmops_jw_kcstr(w, "in", "path");
        vmops_jw_kbool(w, "required", 1);
        vmops_jw_key(w, "schema");
        ngx_vmops_capture_schema(w, name);
        vmops_jw_obj_end(w);

        name = ngx_vmops_next_capture(&path);
    }

    vmops_jw_arr_end(w);
}


static void
ngx_vmops_draw_call(vmops_jw_t *w, ngx_vmops_call_t *call)
{
    u_char                        text[256], *last;
    const ngx_vmops_operation_t  *o;

    o = call->rows[0]->operation;

    vmops_jw_obj(w);

    vmops_jw_key(w, "tags");
    vmops_jw_arr(w);
    vmops_jw_cstr(w, ngx_vmops_tags[o->tag].name);
    vmops_jw_arr_end(w);

    ngx_vmops_draw_id(w, call);

    if (call->action) {
        last = ngx_snprintf(text, sizeof(text), "%s: %s of %s", o->summary,
                            call->action->name,
                            vmops_service_name(call->action->service));
        vmops_jw_kstr(w, "summary", vmops_span(text, last - text));

    } else {
        vmops_jw_kcstr(w, "summary", o->summary);
    }

    if (o->flag != NGX_VMOPS_NO_FLAG) {
        vmops_jw_kcstr(w, "x-vmops-flag",
                       (char *) vmops_beat_flag_name(o->flag)->data);
    }

    ngx_vmops_draw_security(w, call);
    ngx_vmops_draw_params(w, call);
    ngx_vmops_draw_body(w, call);
    ngx_vmops_draw_answers(w, call);

    vmops_jw_obj_end(w);
}


/* the handler's name; where it has another path before, with the capture's */

static void
ngx_vmops_draw_id(vmops_jw_t *w, ngx_vmops_call_t *call)
{
    u_char                    text[256], *p, *last, *end;
    const char               *path;
    vmops_span_t              name, capture;
    const ngx_vmops_route_t  *row, *r;

    row = call->rows[0];
    end = text + sizeof(text);

    if (call->action) {
        last = ngx_slprintf(text, end, "%s_%s",
                            vmops_service_name(call->action->service),
                            call->action->name);
    } else {
        last = ngx_slprintf(text, end, "%s",
                            row->operation->name + sizeof("ngx_vmops_") - 1);
    }

    for (r = ngx_vmops_routes; r->path && r != row; r++) {

        if (r->handler != row->handler) {
            continue;
        }

        path = row->path;
        name = vmops_span("", 0);

        while ((capture = ngx_vmops_next_capture(&path)).n) {
            name = capture;
        }

        last = ngx_slprintf(last, end, "_%*s", name.n, name.p);
        break;
    }

    for (p = text; p < last; p++) {
        if (*p == '-') {
            *p = '_';
        }
    }

    vmops_jw_kstr(w, "operationId", vmops_span(text, last - text));
}


static void
ngx_vmops_draw_security(vmops_jw_t *w, ngx_vmops_call_t *call)
{
    ngx_uint_t       i;
    ngx_vmops_who_e  who;

    vmops_jw_key(w, "security");
    vmops_jw_arr(w);

    for (i = 0; i < call->n; i++) {
        who = call->rows[i]->who;

        if (who == NGX_VMOPS_FOR_ANYONE) {
            continue;
        }

        vmops_jw_obj(w);
        vmops_jw_key(w, who == NGX_VMOPS_FOR_AGENT ? "signature" : "bearer");
        vmops_jw_arr(w);
        vmops_jw_cstr(w, ngx_vmops_whos[who]);
        vmops_jw_arr_end(w);
        vmops_jw_obj_end(w);

        if (who > NGX_VMOPS_FOR_OWNER) {
            continue;
        }

        /* a session has the role of the token it was opened with */

        vmops_jw_obj(w);
        vmops_jw_key(w, "session");
        vmops_jw_arr(w);
        vmops_jw_cstr(w, ngx_vmops_whos[who]);
        vmops_jw_arr_end(w);
        vmops_jw_obj_end(w);
    }

    vmops_jw_arr_end(w);
}


static void
ngx_vmops_draw_params(vmops_jw_t *w, ngx_vmops_call_t *call)
{
    u_char      text[128], *last;
    ngx_uint_t  i, set;

    set = 0;

    for (i = 0; i < call->n; i++) {
        set |= call->rows[i]->operation->params;
    }

    if (set == 0) {
        return;
    }

    vmops_jw_key(w, "parameters");
    vmops_jw_arr(w);

    for (i = 0; ngx_vmops_params[i].name; i++) {

        if (set & ((ngx_uint_t) 1 << i)) {
            last = ngx_snprintf(text, sizeof(text),
                                "#/components/parameters/%s",
                                ngx_vmops_params[i].name);

            vmops_jw_obj(w);
            vmops_jw_kstr(w, "$ref", vmops_span(text, last - text));
            vmops_jw_obj_end(w);
        }
    }

    vmops_jw_arr_end(w);
}


static void
ngx_vmops_draw_body(vmops_jw_t *w, ngx_vmops_call_t *call)
{
    ngx_uint_t               i, required;
    const ngx_vmops_body_t  *b, *body;

    body = NULL;
    required = 1;

    for (i = 0; i < call->n; i++) {
        b = call->rows[i]->body;

        required = required && b && !b->optional;

        if (b && (b->n || b->by_handler)) {
            body = b;
        }
    }

    if (body == NULL) {
        return;
    }

    vmops_jw_key(w, "requestBody");
    vmops_jw_obj(w);
    vmops_jw_kbool(w, "required", required);
    vmops_jw_key(w, "content");
    vmops_jw_obj(w);
    vmops_jw_key(w, "application/json");
    vmops_jw_obj(w);
    vmops_jw_key(w, "schema");

    if (call->action) {
        ngx_vmops_schema_object(w, ngx_vmops_submit_fields[call->action->scope],
                                NGX_VMOPS_SUBMIT_FIELD_N, call->action);

    } else if (body->n) {
        ngx_vmops_schema_object(w, body->fields, body->n, NULL);

    } else {
        vmops_jw_obj(w);
        vmops_jw_kcstr(w, "type", "object");
        vmops_jw_obj_end(w);
    }

    vmops_jw_obj_end(w);
    vmops_jw_obj_end(w);
    vmops_jw_obj_end(w);
}


static void
ngx_vmops_draw_answers(vmops_jw_t *w, ngx_vmops_call_t *call)
{
    u_char                          set[VMOPS_PROBLEM_MAX_];
    ngx_uint_t                      i, k;
    unsigned                        status;
    const ngx_vmops_answer_info_t  *a;

    ngx_memzero(set, sizeof(set));

    vmops_jw_key(w, "responses");
    vmops_jw_obj(w);

    for (i = 0; i < call->n; i++) {
        a = call->rows[i]->operation->answers;

        for ( /* void */ ; a->status; a++) {
            ngx_vmops_draw_answer(w, a);
        }

        ngx_vmops_call_problems(call->rows[i], set);
    }

    for (i = 0; i < VMOPS_PROBLEM_MAX_; i++) {

        if (set[i] == 0) {
            continue;
        }

        status = vmops_problem_info(i)->status;
        ngx_vmops_draw_problem(w, set, status);

        for (k = i; k < VMOPS_PROBLEM_MAX_; k++) {
            if (vmops_problem_info(k)->status == status) {
                set[k] = 0;
            }
        }
    }

    vmops_jw_obj_end(w);
}


static void
ngx_vmops_status_key(vmops_jw_t *w, ngx_uint_t status)
{
    u_char  text[NGX_INT_T_LEN];

    vmops_jw_key_span(w, vmops_span(text,
                                    ngx_sprintf(text, "%ui", status) - text));
}


static void
ngx_vmops_draw_answer(vmops_jw_t *w, const ngx_vmops_answer_info_t *a)
{
    static const char *const  types[] = {
        "application/json", "application/json", NULL, "text/event-stream",
        "text/plain", "application/json", "application/x-ndjson",
        "application/json"
    };
    static const char *const  abouts[] = {
        "The answer", "A page", "Done", "The events", "The text",
        "The answer, or null", "Lines of JSON (docs/audit.md)", "The document"
    };

    ngx_vmops_status_key(w, a->status);
    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "description", abouts[a->kind]);

    vmops_jw_key(w, "headers");
    vmops_jw_obj(w);
    ngx_vmops_draw_header(w, "X-Request-Id");

    if (a->headers & NGX_VMOPS_ANSWER_LOCATION) {
        ngx_vmops_draw_header(w, "Location");
    }

    if (a->headers & NGX_VMOPS_ANSWER_ETAG) {
        ngx_vmops_draw_header(w, "ETag");
    }

    if (a->headers & NGX_VMOPS_ANSWER_LICENSE) {
        ngx_vmops_draw_header(w, "VMOps-License");
    }

    vmops_jw_obj_end(w);

    if (types[a->kind]) {
        vmops_jw_key(w, "content");
        vmops_jw_obj(w);
        vmops_jw_key(w, types[a->kind]);
        vmops_jw_obj(w);
        vmops_jw_key(w, "schema");
        vmops_jw_obj(w);

        switch (a->kind) {

        case NGX_VMOPS_ANSWER_ITEM:
            ngx_vmops_schema_ref(w, a->schema);
            break;

        case NGX_VMOPS_ANSWER_MAYBE:
            vmops_jw_key(w, "anyOf");
            vmops_jw_arr(w);
            vmops_jw_obj(w);
            ngx_vmops_schema_ref(w, a->schema);
            vmops_jw_obj_end(w);
            vmops_jw_raw(w, vmops_span_str("{\"type\":\"null\"}"));
            vmops_jw_arr_end(w);
            break;

        case NGX_VMOPS_ANSWER_LIST:
            vmops_jw_kcstr(w, "type", "object");
            vmops_jw_kraw(w, "required",
                          vmops_span_str("[\"items\",\"next_cursor\"]"));
            vmops_jw_kbool(w, "additionalProperties", 0);
            vmops_jw_key(w, "properties");
            vmops_jw_obj(w);
            vmops_jw_kraw(w, "next_cursor",
                          vmops_span_str("{\"type\":[\"string\",\"null\"]}"));
            vmops_jw_key(w, "items");
            vmops_jw_obj(w);
            vmops_jw_kcstr(w, "type", "array");
            vmops_jw_key(w, "items");
            vmops_jw_obj(w);
            ngx_vmops_schema_ref(w, a->schema);
            vmops_jw_obj_end(w);
            vmops_jw_obj_end(w);
            vmops_jw_obj_end(w);
            break;

        case NGX_VMOPS_ANSWER_ANY:
            vmops_jw_kcstr(w, "type", "object");
            break;

        default:
            vmops_jw_kcstr(w, "type", "string");
        }

        vmops_jw_obj_end(w);
        vmops_jw_obj_end(w);
        vmops_jw_obj_end(w);
    }

    vmops_jw_obj_end(w);
}


/* what a row can be answered with, by all that the way to its handler checks */

static void
ngx_vmops_call_problems(const ngx_vmops_route_t *route, u_char *set)
{
    ngx_uint_t                    i;
    const ngx_vmops_operation_t  *o;

    o = route->operation;

    for (i = 0; o->problems[i]; i++) {
        set[o->problems[i] - 1] = 1;
    }

    if (route->who != NGX_VMOPS_FOR_ANYONE) {
        set[VMOPS_PROBLEM_unauthenticated] = 1;
        set[VMOPS_PROBLEM_rate_limited] = 1;
        set[VMOPS_PROBLEM_forbidden] = 1;
        set[VMOPS_PROBLEM_internal_error] = 1;
        set[VMOPS_PROBLEM_store_unavailable] = 1;

        if (route->who != NGX_VMOPS_FOR_PLATFORM) {
            set[VMOPS_PROBLEM_tenant_suspended] = 1;
        }

        if (route->who == NGX_VMOPS_FOR_AGENT) {
            set[VMOPS_PROBLEM_agent_revoked] = 1;
        }

        if (route->who <= NGX_VMOPS_FOR_OWNER
            && route->method != NGX_HTTP_GET)
        {
            set[VMOPS_PROBLEM_csrf] = 1;
        }
    }

    if (route->body) {
        set[VMOPS_PROBLEM_invalid_json] = 1;
        set[VMOPS_PROBLEM_body_too_large] = 1;
        set[VMOPS_PROBLEM_unsupported_media_type] = 1;
        set[VMOPS_PROBLEM_invalid_params] = 1;

        if (route->body->no_secrets) {
            set[VMOPS_PROBLEM_plaintext_secret_rejected] = 1;
        }
    }

    if (strchr(route->path, '{')
        && strstr(route->path, NGX_VMOPS_ACTION_PATH) == NULL)
    {
        set[VMOPS_PROBLEM_not_found] = 1;
    }

    if (o->params & NGX_VMOPS_PARAM_PAGE) {
        set[VMOPS_PROBLEM_bad_request] = 1;
    }

    if (o->params & NGX_VMOPS_PARAM_IF_MATCH) {
        set[VMOPS_PROBLEM_version_mismatch] = 1;
        set[VMOPS_PROBLEM_invalid_header] = 1;
    }

    if (o->params & NGX_VMOPS_PARAM_LAST_EVENT_ID) {
        set[VMOPS_PROBLEM_invalid_header] = 1;
    }

    if (o->params & NGX_VMOPS_PARAM_IDEMPOTENCY_KEY) {
        set[VMOPS_PROBLEM_invalid_header] = 1;
        set[VMOPS_PROBLEM_idempotency_mismatch] = 1;
    }

    if (o->flag != NGX_VMOPS_NO_FLAG) {
        set[VMOPS_PROBLEM_feature_disabled] = 1;
    }
}


/* the answer of one status, for all its codes of the set */

static void
ngx_vmops_draw_problem(vmops_jw_t *w, const u_char *set, unsigned status)
{
    u_char       text[1024], *last, *end;
    ngx_uint_t   i;

    last = text;
    end = text + sizeof(text);

    for (i = 0; i < VMOPS_PROBLEM_MAX_; i++) {
        if (set[i] && vmops_problem_info(i)->status == status) {
            last = ngx_slprintf(last, end, "%s%s", last == text ? "" : "; ",
                                vmops_problem_info(i)->title);
        }
    }

    ngx_vmops_status_key(w, status);
    vmops_jw_obj(w);
    vmops_jw_kstr(w, "description", vmops_span(text, last - text));

    vmops_jw_key(w, "headers");
    vmops_jw_obj(w);
    ngx_vmops_draw_header(w, "X-Request-Id");

    if (status == 401) {
        ngx_vmops_draw_header(w, "WWW-Authenticate");
    }

    if (status == 429) {
        ngx_vmops_draw_header(w, "RateLimit-Limit");
        ngx_vmops_draw_header(w, "RateLimit-Remaining");
        ngx_vmops_draw_header(w, "RateLimit-Reset");
    }

    if (status == 429 || status == 503) {
        ngx_vmops_draw_header(w, "Retry-After");
    }

    vmops_jw_obj_end(w);

    vmops_jw_key(w, "content");
    vmops_jw_obj(w);
    vmops_jw_key(w, "application/problem+json");
    vmops_jw_obj(w);
    vmops_jw_key(w, "schema");
    vmops_jw_obj(w);
    ngx_vmops_schema_ref(w, NGX_VMOPS_SCHEMA_Problem);
    vmops_jw_key(w, "properties");
    vmops_jw_obj(w);
    vmops_jw_key(w, "code");
    vmops_jw_obj(w);
    vmops_jw_key(w, "enum");
    vmops_jw_arr(w);

    for (i = 0; i < VMOPS_PROBLEM_MAX_; i++) {
        if (set[i] && vmops_problem_info(i)->status == status) {
            vmops_jw_cstr(w, vmops_problem_info(i)->code);
        }
    }

    vmops_jw_arr_end(w);
    vmops_jw_obj_end(w);
    vmops_jw_obj_end(w);
    vmops_jw_obj_end(w);
    vmops_jw_obj_end(w);
    vmops_jw_obj_end(w);
    vmops_jw_obj_end(w);
}


static void
ngx_vmops_draw_header(vmops_jw_t *w, const char *name)
{
    u_char  text[128], *last;

    last = ngx_snprintf(text, sizeof(text), "#/components/headers/%s", name);

    vmops_jw_key(w, name);
    vmops_jw_obj(w);
    vmops_jw_kstr(w, "$ref", vmops_span(text, last - text));
    vmops_jw_obj_end(w);
}


static void
ngx_vmops_draw_components(vmops_jw_t *w)
{
    ngx_uint_t  i;

    static const char  security[] =
        "{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\","
        "\"description\":\"An API token\"},"
        "\"session\":{\"type\":\"apiKey\",\"in\":\"cookie\","
        "\"name\":\"__Host-vmops\",\"description\":\"The console's; any call "
        "but GET needs Sec-Fetch-Site: same-origin or the Origin, and the "
        "session's csrf in X-CSRF-Token\"},"
        "\"signature\":{\"type\":\"apiKey\",\"in\":\"header\","
        "\"name\":\"Signature\",\"description\":\"An agent's: RFC 9421 with "
        "Signature-Input and Content-Digest\"}}";

    vmops_jw_key(w, "components");
    vmops_jw_obj(w);

    vmops_jw_kraw(w, "securitySchemes", vmops_span_str(security));

    vmops_jw_key(w, "parameters");
    vmops_jw_obj(w);

    for (i = 0; ngx_vmops_params[i].name; i++) {
        vmops_jw_key(w, ngx_vmops_params[i].name);
        vmops_jw_obj(w);
        vmops_jw_kcstr(w, "name", ngx_vmops_params[i].name);
        vmops_jw_kcstr(w, "in", ngx_vmops_params[i].in);
        vmops_jw_kcstr(w, "description", ngx_vmops_params[i].about);
        vmops_jw_key(w, "schema");
        ngx_vmops_schema_value(w, &ngx_vmops_params[i].value);
        vmops_jw_obj_end(w);
    }

    vmops_jw_obj_end(w);

    vmops_jw_key(w, "headers");
    vmops_jw_obj(w);

    for (i = 0; ngx_vmops_answer_headers[i].name; i++) {
        vmops_jw_key(w, ngx_vmops_answer_headers[i].name);
        vmops_jw_obj(w);
        vmops_jw_kcstr(w, "description", ngx_vmops_answer_headers[i].about);
        vmops_jw_kbool(w, "required", ngx_vmops_answer_headers[i].always);
        vmops_jw_kraw(w, "schema", vmops_span_str("{\"type\":\"string\"}"));
        vmops_jw_obj_end(w);
    }

    vmops_jw_obj_end(w);

    vmops_jw_key(w, "schemas");
    vmops_jw_obj(w);

    for (i = 0; ngx_vmops_schemas[i].name; i++) {
        vmops_jw_key(w, ngx_vmops_schemas[i].name);
        ngx_vmops_schema_object(w, ngx_vmops_schemas[i].fields,
                                ngx_vmops_schemas[i].n, NULL);
    }

    vmops_jw_obj_end(w);

    vmops_jw_obj_end(w);
}
