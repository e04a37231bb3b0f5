
/* the API document: what a call answers, and what it may be refused with */


#include "ngx_vmops_openapi.h"


static void ngx_vmops_status_key(vmops_jw_t *w, ngx_uint_t status);
static void ngx_vmops_draw_answer(vmops_jw_t *w,
    const ngx_vmops_answer_info_t *a);
static void ngx_vmops_draw_content(vmops_jw_t *w,
    const ngx_vmops_answer_info_t *a);
static void ngx_vmops_call_problems(const ngx_vmops_route_t *route,
    const vmops_action_t *action, u_char *set);
static void ngx_vmops_draw_problem(vmops_jw_t *w, const u_char *set,
    unsigned status);
static void ngx_vmops_draw_header(vmops_jw_t *w, const char *name);


static const struct {
    const char   *name;
    const char   *about;
    ngx_uint_t    always;
    ngx_uint_t    answer;          /* NGX_VMOPS_ANSWER_..., or 0 */
} ngx_vmops_answer_headers[] = {
    { "X-Request-Id", "Names the request in our logs", 1, 0 },
    { "Location", "Where to find what was made", 1,
      NGX_VMOPS_ANSWER_LOCATION },
    { "ETag", "The version, in quotes", 1, NGX_VMOPS_ANSWER_ETAG },
    { "VMOps-License", "grace;until=\"<time>\": the license has run out, and "
      "until then commands are accepted all the same", 0,
      NGX_VMOPS_ANSWER_LICENSE },
    { "Preference-Applied", "wait=<seconds>: what of Prefer was heeded", 0,
      NGX_VMOPS_ANSWER_PREFERENCE },
    { "Set-Cookie", "The session's, or its end", 1, NGX_VMOPS_ANSWER_COOKIE },
    { "WWW-Authenticate", "Bearer", 1, 0 },
    { "Retry-After", "Seconds to wait", 1, 0 },
    { "RateLimit-Limit", "What a window of a minute allows", 1, 0 },
    { "RateLimit-Remaining", "What is left of it", 1, 0 },
    { "RateLimit-Reset", "Seconds until the next window", 1, 0 },
    { NULL, NULL, 0, 0 }
};


void
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

        ngx_vmops_call_problems(call->rows[i], call->action, set);
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
    ngx_uint_t  i;

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

    for (i = 0; ngx_vmops_answer_headers[i].name; i++) {
        if (a->headers & ngx_vmops_answer_headers[i].answer) {
            ngx_vmops_draw_header(w, ngx_vmops_answer_headers[i].name);
        }
    }

    vmops_jw_obj_end(w);

    if (types[a->kind]) {
        vmops_jw_key(w, "content");
        vmops_jw_obj(w);
        vmops_jw_key(w, types[a->kind]);
        vmops_jw_obj(w);
        vmops_jw_key(w, "schema");
        vmops_jw_obj(w);
        ngx_vmops_draw_content(w, a);
        vmops_jw_obj_end(w);
        vmops_jw_obj_end(w);
        vmops_jw_obj_end(w);
    }

    vmops_jw_obj_end(w);
}


/* members of the schema of what is answered */

static void
ngx_vmops_draw_content(vmops_jw_t *w, const ngx_vmops_answer_info_t *a)
{
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
}


/* what a row can be answered with, by all that the way to its handler checks */

static void
ngx_vmops_call_problems(const ngx_vmops_route_t *route,
    const vmops_action_t *action, u_char *set)
{
    ngx_uint_t                    i;
    const ngx_vmops_operation_t  *o;

    o = route->operation;

    for (i = 0; o->problems[i]; i++) {
        set[o->problems[i] - 1] = 1;
    }

    if (action && action->scope != VMOPS_SCOPE_VM) {
        /* an agent has made the secret, whatever is assigned to it */
        set[VMOPS_PROBLEM_vm_unassigned] = 0;
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


void
ngx_vmops_draw_headers(vmops_jw_t *w)
{
    ngx_uint_t  i;

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
}
