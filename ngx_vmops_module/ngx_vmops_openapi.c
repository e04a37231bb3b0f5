
/*
 * GET /openapi.json: the API as OpenAPI 3.1, drawn from the tables that serve
 * it (routes, bodies, actions, problems) when the configuration is read, so
 * that it cannot say anything else than they do.
 */


#include "ngx_vmops_openapi.h"


#define NGX_VMOPS_OPENAPI_SIZE  (256 * 1024)
#define NGX_VMOPS_OPENAPI_MAX   (16 * 1024 * 1024)


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
static void ngx_vmops_draw_components(vmops_jw_t *w);


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
    ngx_vmops_draw_headers(w);

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
