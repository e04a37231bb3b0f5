
/* the answers of the API as JSON Schema; the requests have their own tables */


#include "ngx_vmops_openapi.h"


static void ngx_vmops_schema_type(vmops_jw_t *w, const char *type,
    unsigned nullable);
static void ngx_vmops_schema_string(vmops_jw_t *w,
    const vmops_json_field_t *f);
static void ngx_vmops_schema_of(vmops_jw_t *w, const vmops_json_field_t *f);


static const char *const  ngx_vmops_s_ok[] = { "ok", NULL };
static const char *const  ngx_vmops_s_cohorts[] = {
    "internal", "beta", "production", NULL
};
static const char *const  ngx_vmops_s_tenant_states[] = {
    "active", "suspended", "deleting", NULL
};
static const char *const  ngx_vmops_s_licenses[] = {
    "active", "grace", "expired", NULL
};
static const char *const  ngx_vmops_s_roles[] = {
    "viewer", "operator", "owner", NULL
};
static const char *const  ngx_vmops_s_pairings[] = {
    "pending", "used", "expired", "burned", NULL
};
static const char *const  ngx_vmops_s_agent_states[] = {
    "pending_approval", "offline", "online", "locked", "revoked", NULL
};
static const char *const  ngx_vmops_s_platforms[] = {
    "linux", "windows", NULL
};
static const char *const  ngx_vmops_s_keystores[] = {
    "ok", "unreadable", NULL
};
static const char *const  ngx_vmops_s_stages[] = {
    "dns", "tcp", "tls", "pin", "auth", "http", NULL
};
static const char *const  ngx_vmops_s_guests[] = { "qemu", "lxc", NULL };
static const char *const  ngx_vmops_s_vm_states[] = {
    "ready", "provisioning", NULL
};
static const char *const  ngx_vmops_s_secret_states[] = {
    "ok", "reentry_required", "rotation_requested", NULL
};
static const char *const  ngx_vmops_s_scopes[] = { "bot", "vm", NULL };
static const char *const  ngx_vmops_s_targets[] = {
    "vm", "endpoint", "task", NULL
};
static const char *const  ngx_vmops_s_commands[] = {
    "queued", "delivered", "running", "succeeded", "failed", "rejected",
    "cancelled", "timed_out", "indeterminate", NULL
};
static const char *const  ngx_vmops_s_services[] = {
#define VMOPS_X(id, name)  name,
    VMOPS_SERVICES(VMOPS_X)
#undef VMOPS_X
    NULL
};
static const char *const  ngx_vmops_s_classes[] = {
#define VMOPS_X(id, name, bit)  name,
    VMOPS_CLASSES(VMOPS_X)
#undef VMOPS_X
    NULL
};
static const char *const  ngx_vmops_s_kinds[] = {
#define VMOPS_X(number, id, name, family)  name,
    VMOPS_SECRET_KINDS(VMOPS_X)
#undef VMOPS_X
    NULL
};
static const char *const  ngx_vmops_s_algs[] = { VMOPS_ENVELOPE_ALG, NULL };
static const char *const  ngx_vmops_s_problems[] = {
#define VMOPS_PROBLEM(code, status, title, cause, todo)  #code,
#include "vmops_problems.def"
#undef VMOPS_PROBLEM
    NULL
};
static const char *const  ngx_vmops_s_errors[] = {
#define VMOPS_COMMAND_ERROR(code, title, next)  #code,
#include "vmops_command_errors.def"
#undef VMOPS_COMMAND_ERROR
    NULL
};


#define NULLABLE  VMOPS_F_NULLABLE
#define OPTIONAL  VMOPS_F_OPTIONAL

#define NGX_VMOPS_S(name_, flags_, pattern_)                                  \
    { .name = name_, .type = VMOPS_FT_STRING, .flags = flags_,                \
      .pattern = VMOPS_P_##pattern_ }
#define NGX_VMOPS_TEXT_S(name_, flags_, max_)                                 \
    { .name = name_, .type = VMOPS_FT_STRING, .flags = flags_, .max = max_,   \
      .pattern = VMOPS_P_TEXT }
#define NGX_VMOPS_ENUM_S(name_, flags_, values_)                              \
    { .name = name_, .type = VMOPS_FT_STRING, .flags = flags_,                \
      .values = ngx_vmops_s_##values_ }
#define NGX_VMOPS_INT_S(name_, flags_)                                        \
    { .name = name_, .type = VMOPS_FT_INT, .flags = flags_,                   \
      .min = 0, .max = INT64_MAX }
#define NGX_VMOPS_BOOL_S(name_, flags_)                                       \
    { .name = name_, .type = VMOPS_FT_BOOL, .flags = flags_ }
#define NGX_VMOPS_OBJECT_S(name_, flags_, fields_)                            \
    { .name = name_, .type = VMOPS_FT_OBJECT, .flags = flags_,                \
      .of = ngx_vmops_f_##fields_,                                            \
      .of_n = sizeof(ngx_vmops_f_##fields_) / sizeof(vmops_json_field_t) }
#define NGX_VMOPS_FREE_S(name_, flags_)                                       \
    { .name = name_, .type = VMOPS_FT_OBJECT, .flags = flags_ }
#define NGX_VMOPS_ARRAY_S(name_, element_)                                    \
    { .name = name_, .type = VMOPS_FT_ARRAY, .of = element_, .of_n = 1 }

/* a static table of fields, and one of them that is an element of an array */

#define NGX_VMOPS_FIELDS(name)                                                \
    static const vmops_json_field_t  ngx_vmops_f_##name[]
#define NGX_VMOPS_ELEMENT(name)                                               \
    static const vmops_json_field_t  ngx_vmops_e_##name =                     \
        NGX_VMOPS_OBJECT_S(NULL, 0, name)


NGX_VMOPS_FIELDS(problem_field) = {
    NGX_VMOPS_S("pointer", 0, NONE),
    NGX_VMOPS_S("code", 0, CODE)
};
NGX_VMOPS_ELEMENT(problem_field);

NGX_VMOPS_FIELDS(problem) = {
    NGX_VMOPS_S("type", 0, NONE),
    NGX_VMOPS_S("title", 0, NONE),
    { .name = "status", .type = VMOPS_FT_INT, .min = 400, .max = 599 },
    NGX_VMOPS_ENUM_S("code", 0, problems),
    NGX_VMOPS_S("detail", 0, NONE),
    NGX_VMOPS_S("instance", 0, NONE),
    { .name = "errors", .type = VMOPS_FT_ARRAY, .flags = OPTIONAL,
      .min = 1, .max = VMOPS_ERRORS_MAX, .of = &ngx_vmops_e_problem_field,
      .of_n = 1 }
};

NGX_VMOPS_FIELDS(health) = {
    NGX_VMOPS_ENUM_S("status", 0, ok)
};

/* the platform's */

NGX_VMOPS_FIELDS(tenant) = {
    NGX_VMOPS_S("tenant", 0, TENANT),
    NGX_VMOPS_TEXT_S("name", 0, VMOPS_NAME_MAX),
    NGX_VMOPS_ENUM_S("cohort", 0, cohorts),
    NGX_VMOPS_ENUM_S("status", 0, tenant_states),
    NGX_VMOPS_S("legacy_read_until", NULLABLE, TIME),
    NGX_VMOPS_S("created_at", 0, TIME)
};

NGX_VMOPS_FIELDS(new_tenant) = {
    NGX_VMOPS_S("tenant", 0, TENANT),
    NGX_VMOPS_S("owner_token", 0, NONE)
};

NGX_VMOPS_FIELDS(flags) = {
    NGX_VMOPS_BOOL_S("AGENT_COMMAND_BUS_ENABLED", NULLABLE),
    NGX_VMOPS_BOOL_S("SECRETS_E2E_ENABLED", NULLABLE),
    NGX_VMOPS_BOOL_S("INFRA_LEGACY_ADMIN_ONLY", NULLABLE)
};

NGX_VMOPS_FIELDS(lease) = {
    NGX_VMOPS_S("tenant", 0, TENANT),
    NGX_VMOPS_TEXT_S("plan", 0, VMOPS_PLAN_MAX),
    NGX_VMOPS_INT_S("max_agents", 0),
    NGX_VMOPS_INT_S("max_vms", 0),
    NGX_VMOPS_S("expires_at", 0, TIME),
    NGX_VMOPS_INT_S("grace_s", 0)
};

NGX_VMOPS_FIELDS(license) = {
    NGX_VMOPS_ENUM_S("status", 0, licenses),
    NGX_VMOPS_TEXT_S("plan", NULLABLE, VMOPS_PLAN_MAX),
    NGX_VMOPS_S("expires_at", NULLABLE, TIME),
    NGX_VMOPS_S("grace_until", NULLABLE, TIME),
    NGX_VMOPS_INT_S("max_agents", NULLABLE),
    NGX_VMOPS_INT_S("max_vms", NULLABLE),
    NGX_VMOPS_INT_S("agents", 0),
    NGX_VMOPS_INT_S("vms", 0)
};

/* the tenant's */

NGX_VMOPS_FIELDS(token) = {
    NGX_VMOPS_S("token_id", 0, UUID),
    NGX_VMOPS_TEXT_S("name", 0, VMOPS_NAME_MAX),
    NGX_VMOPS_ENUM_S("role", 0, roles),
    NGX_VMOPS_S("expires_at", NULLABLE, TIME),
    NGX_VMOPS_S("created_at", 0, TIME)
};

NGX_VMOPS_FIELDS(new_token) = {
    NGX_VMOPS_S("token_id", 0, UUID),
    NGX_VMOPS_S("token", 0, NONE),
    NGX_VMOPS_TEXT_S("name", 0, VMOPS_NAME_MAX),
    NGX_VMOPS_ENUM_S("role", 0, roles),
    NGX_VMOPS_S("expires_at", NULLABLE, TIME)
};

NGX_VMOPS_FIELDS(platform_token) = {
    NGX_VMOPS_S("token_id", 0, UUID),
    NGX_VMOPS_TEXT_S("name", 0, VMOPS_NAME_MAX),
    NGX_VMOPS_S("created_at", 0, TIME)
};

NGX_VMOPS_FIELDS(session_flags) = {
    NGX_VMOPS_BOOL_S("AGENT_COMMAND_BUS_ENABLED", 0),
    NGX_VMOPS_BOOL_S("SECRETS_E2E_ENABLED", 0),
    NGX_VMOPS_BOOL_S("INFRA_LEGACY_ADMIN_ONLY", 0)
};

NGX_VMOPS_FIELDS(session) = {
    NGX_VMOPS_S("tenant", 0, TENANT),
    NGX_VMOPS_S("subject", 0, SUBJECT),
    NGX_VMOPS_ENUM_S("role", 0, roles),
    NGX_VMOPS_S("csrf", NULLABLE, B64U),
    NGX_VMOPS_OBJECT_S("flags", 0, session_flags)
};

NGX_VMOPS_FIELDS(seal) = {
    NGX_VMOPS_INT_S("from", 0),
    NGX_VMOPS_INT_S("n", 0),
    NGX_VMOPS_S("h", 0, B64U),
    NGX_VMOPS_INT_S("ms", 0),
    NGX_VMOPS_S("sig", 0, B64U)
};
NGX_VMOPS_ELEMENT(seal);

NGX_VMOPS_FIELDS(audit_entry) = {
    NGX_VMOPS_INT_S("n", 0),
    NGX_VMOPS_INT_S("ms", 0),
    NGX_VMOPS_S("entry", 0, NONE),
    NGX_VMOPS_S("h", NULLABLE, B64U)
};
NGX_VMOPS_ELEMENT(audit_entry);

NGX_VMOPS_FIELDS(audit_page) = {
    NGX_VMOPS_ARRAY_S("items", &ngx_vmops_e_audit_entry),
    NGX_VMOPS_ARRAY_S("seals", &ngx_vmops_e_seal),
    NGX_VMOPS_S("next_cursor", NULLABLE, NONE)
};

/* agents */

NGX_VMOPS_FIELDS(new_pairing) = {
    NGX_VMOPS_S("pairing_id", 0, UUID),
    NGX_VMOPS_S("code", 0, NONE),
    NGX_VMOPS_S("expires_at", 0, TIME)
};

NGX_VMOPS_FIELDS(pairing) = {
    NGX_VMOPS_S("pairing_id", 0, UUID),
    NGX_VMOPS_ENUM_S("status", 0, pairings),
    NGX_VMOPS_S("agent_id", NULLABLE, UUID),
    NGX_VMOPS_S("expires_at", 0, TIME)
};

NGX_VMOPS_FIELDS(registered) = {
    NGX_VMOPS_S("agent_id", 0, UUID),
    NGX_VMOPS_S("tenant", 0, TENANT),
    NGX_VMOPS_S("created_by", 0, NONE),
    NGX_VMOPS_ENUM_S("status", 0, agent_states),
    NGX_VMOPS_S("command_key", 0, B64U),
    NGX_VMOPS_S("command_key_id", 0, COMMAND_KEY_ID),
    NGX_VMOPS_S("fingerprint", 0, NONE),
    NGX_VMOPS_S("server_time", 0, TIME)
};

NGX_VMOPS_FIELDS(heartbeat) = {
    NGX_VMOPS_ENUM_S("status", 0, agent_states),
    NGX_VMOPS_S("server_time", 0, TIME),
    NGX_VMOPS_OBJECT_S("audit_head", NULLABLE, seal)
};

static const vmops_json_field_t  ngx_vmops_e_service =
    NGX_VMOPS_ENUM_S(NULL, 0, services);

NGX_VMOPS_FIELDS(route) = {
    NGX_VMOPS_S("secret_ref", 0, SECRET_REF),
    NGX_VMOPS_BOOL_S("ok", 0),
    NGX_VMOPS_ENUM_S("stage", 0, stages),
    NGX_VMOPS_S("code", NULLABLE, CODE),
    NGX_VMOPS_INT_S("latency_ms", NULLABLE),
    NGX_VMOPS_S("checked_at", 0, TIME)
};
NGX_VMOPS_ELEMENT(route);

NGX_VMOPS_FIELDS(agent) = {
    NGX_VMOPS_S("agent_id", 0, UUID),
    NGX_VMOPS_TEXT_S("name", 0, VMOPS_NAME_MAX),
    NGX_VMOPS_ENUM_S("status", 0, agent_states),
    NGX_VMOPS_S("version", NULLABLE, VERSION),
    NGX_VMOPS_ENUM_S("platform", NULLABLE, platforms),
    NGX_VMOPS_TEXT_S("hostname", NULLABLE, VMOPS_HOSTNAME_MAX),
    NGX_VMOPS_ARRAY_S("capabilities", &ngx_vmops_e_service),
    NGX_VMOPS_S("key_id", NULLABLE, KEY_ID),
    NGX_VMOPS_ENUM_S("keystore", NULLABLE, keystores),
    NGX_VMOPS_S("last_seen", NULLABLE, TIME),
    NGX_VMOPS_S("connected_since", NULLABLE, TIME),
    NGX_VMOPS_ARRAY_S("routes", &ngx_vmops_e_route),
    NGX_VMOPS_S("created_at", 0, TIME),
    NGX_VMOPS_S("fingerprint", NULLABLE, NONE)
};

/* VMs */

NGX_VMOPS_FIELDS(vm) = {
    NGX_VMOPS_S("vm_uuid", 0, UUID),
    NGX_VMOPS_TEXT_S("name", 0, VMOPS_NAME_MAX),
    NGX_VMOPS_S("bot_id", NULLABLE, BOT_ID),
    NGX_VMOPS_S("agent_id", NULLABLE, UUID),
    NGX_VMOPS_ENUM_S("guest", NULLABLE, guests),
    NGX_VMOPS_S("node", NULLABLE, NODE),
    NGX_VMOPS_INT_S("vmid", NULLABLE),
    NGX_VMOPS_FREE_S("labels", 0),
    NGX_VMOPS_ENUM_S("state", 0, vm_states),
    NGX_VMOPS_S("created_at", 0, TIME)
};

/* secrets */

NGX_VMOPS_FIELDS(secret_ref) = {
    NGX_VMOPS_S("secret_ref", 0, SECRET_REF)
};

NGX_VMOPS_FIELDS(secret_version) = {
    NGX_VMOPS_S("secret_ref", 0, SECRET_REF),
    NGX_VMOPS_INT_S("version", 0)
};

NGX_VMOPS_FIELDS(secret_asked) = {
    NGX_VMOPS_S("secret_ref", 0, SECRET_REF),
    NGX_VMOPS_ENUM_S("status", 0, secret_states)
};

NGX_VMOPS_FIELDS(bound_to) = {
    NGX_VMOPS_ENUM_S("scope_type", 0, scopes),
    NGX_VMOPS_S("scope_id", 0, BOT_ID),
    NGX_VMOPS_ENUM_S("family", 0, services)
};
NGX_VMOPS_ELEMENT(bound_to);

NGX_VMOPS_FIELDS(secret) = {
    NGX_VMOPS_S("secret_ref", 0, SECRET_REF),
    NGX_VMOPS_ENUM_S("kind", 0, kinds),
    NGX_VMOPS_TEXT_S("label", 0, VMOPS_LABEL_MAX),
    NGX_VMOPS_ENUM_S("alg", 0, algs),
    NGX_VMOPS_S("key_id", 0, KEY_ID),
    NGX_VMOPS_INT_S("version", 0),
    NGX_VMOPS_INT_S("size", 0),
    NGX_VMOPS_S("agent_id", 0, UUID),
    NGX_VMOPS_ENUM_S("status", 0, secret_states),
    NGX_VMOPS_S("created_at", 0, TIME),
    NGX_VMOPS_S("rotated_at", NULLABLE, TIME),
    NGX_VMOPS_ARRAY_S("bindings", &ngx_vmops_e_bound_to)
};

NGX_VMOPS_FIELDS(binding) = {
    NGX_VMOPS_ENUM_S("scope_type", 0, scopes),
    NGX_VMOPS_S("scope_id", 0, BOT_ID),
    NGX_VMOPS_ENUM_S("family", 0, services),
    NGX_VMOPS_S("secret_ref", 0, SECRET_REF)
};

/* commands */

NGX_VMOPS_FIELDS(action) = {
    NGX_VMOPS_ENUM_S("service", 0, services),
    NGX_VMOPS_S("action", 0, ACTION),
    NGX_VMOPS_ENUM_S("scope", 0, targets),
    NGX_VMOPS_ENUM_S("class", 0, classes),
    NGX_VMOPS_BOOL_S("long_running", 0),
    NGX_VMOPS_FREE_S("params", 0)
};

/* of a VM, of an endpoint, of a task */

NGX_VMOPS_FIELDS(target) = {
    NGX_VMOPS_S("vm_uuid", OPTIONAL, UUID),
    NGX_VMOPS_ENUM_S("guest", OPTIONAL|NULLABLE, guests),
    NGX_VMOPS_S("node", OPTIONAL|NULLABLE, NODE),
    NGX_VMOPS_INT_S("vmid", OPTIONAL|NULLABLE),
    NGX_VMOPS_S("secret_ref", OPTIONAL, SECRET_REF),
    NGX_VMOPS_S("command_id", OPTIONAL, UUID)
};

NGX_VMOPS_FIELDS(progress) = {
    { .name = "percent", .type = VMOPS_FT_INT, .flags = NULLABLE,
      .min = 0, .max = 100 },
    NGX_VMOPS_TEXT_S("stage", NULLABLE, VMOPS_STAGE_MAX),
    NGX_VMOPS_TEXT_S("message", NULLABLE, VMOPS_MESSAGE_MAX)
};

NGX_VMOPS_FIELDS(command_error) = {
    NGX_VMOPS_ENUM_S("code", 0, errors),
    NGX_VMOPS_S("title", 0, NONE),
    NGX_VMOPS_TEXT_S("stage", OPTIONAL, VMOPS_STAGE_MAX),
    NGX_VMOPS_S("next_action", 0, NONE)
};

NGX_VMOPS_FIELDS(log_line) = {
    NGX_VMOPS_S("at", 0, TIME),
    NGX_VMOPS_TEXT_S("line", 0, VMOPS_LINE_MAX)
};
NGX_VMOPS_ELEMENT(log_line);

NGX_VMOPS_FIELDS(used_secret) = {
    NGX_VMOPS_S("secret_ref", 0, SECRET_REF),
    NGX_VMOPS_INT_S("version", 0)
};
NGX_VMOPS_ELEMENT(used_secret);

NGX_VMOPS_FIELDS(receipt) = {
    NGX_VMOPS_S("payload", 0, B64U),
    NGX_VMOPS_S("signature", 0, B64U),
    NGX_VMOPS_S("key", NULLABLE, B64U),
    NGX_VMOPS_BOOL_S("verified", 0)
};

#define NGX_VMOPS_LISTED_COMMAND                                              \
    NGX_VMOPS_S("command_id", 0, UUID),                                       \
    NGX_VMOPS_ENUM_S("service", 0, services),                                 \
    NGX_VMOPS_S("action", 0, ACTION),                                         \
    NGX_VMOPS_OBJECT_S("target", 0, target),                                  \
    NGX_VMOPS_S("agent_id", NULLABLE, UUID),                                  \
    NGX_VMOPS_FREE_S("params", 0),                                            \
    NGX_VMOPS_ENUM_S("status", 0, commands),                                  \
    NGX_VMOPS_OBJECT_S("progress", NULLABLE, progress),                       \
    NGX_VMOPS_FREE_S("result", NULLABLE),                                     \
    NGX_VMOPS_OBJECT_S("error", NULLABLE, command_error),                     \
    NGX_VMOPS_S("created_by", NULLABLE, NONE),                                \
    NGX_VMOPS_S("created_at", 0, TIME),                                       \
    NGX_VMOPS_S("delivered_at", NULLABLE, TIME),                              \
    NGX_VMOPS_S("accepted_at", NULLABLE, TIME),                               \
    NGX_VMOPS_S("finished_at", NULLABLE, TIME),                               \
    NGX_VMOPS_INT_S("timeout_s", 0),                                          \
    NGX_VMOPS_ARRAY_S("secrets", &ngx_vmops_e_used_secret),                   \
    NGX_VMOPS_BOOL_S("recovered", 0)

NGX_VMOPS_FIELDS(listed_command) = {
    NGX_VMOPS_LISTED_COMMAND
};

NGX_VMOPS_FIELDS(command) = {
    NGX_VMOPS_LISTED_COMMAND,
    NGX_VMOPS_ARRAY_S("log", &ngx_vmops_e_log_line),
    NGX_VMOPS_OBJECT_S("receipt", NULLABLE, receipt)
};


const ngx_vmops_schema_t  ngx_vmops_schemas[] = {
#define NGX_VMOPS_X(name, fields)                                             \
    { #name, ngx_vmops_f_##fields,                                            \
      sizeof(ngx_vmops_f_##fields) / sizeof(vmops_json_field_t) },
    NGX_VMOPS_SCHEMAS(NGX_VMOPS_X)
#undef NGX_VMOPS_X
    { NULL, NULL, 0 }
};


void
ngx_vmops_schema_object(vmops_jw_t *w, const vmops_json_field_t *fields,
    size_t n, const vmops_action_t *action)
{
    size_t  i;

    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "type", "object");

    vmops_jw_key(w, "properties");
    vmops_jw_obj(w);

    for (i = 0; i < n; i++) {
        vmops_jw_key(w, fields[i].name);

        if (action && ngx_strcmp(fields[i].name, "params") == 0) {
            vmops_action_schema(w, action);

        } else {
            ngx_vmops_schema_value(w, &fields[i]);
        }
    }

    vmops_jw_obj_end(w);

    vmops_jw_key(w, "required");
    vmops_jw_arr(w);

    for (i = 0; i < n; i++) {
        if (!(fields[i].flags & VMOPS_F_OPTIONAL)) {
            vmops_jw_cstr(w, fields[i].name);
        }
    }

    vmops_jw_arr_end(w);

    vmops_jw_kbool(w, "additionalProperties", 0);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_schema_ref(vmops_jw_t *w, ngx_vmops_schema_e schema)
{
    u_char  text[128], *last;

    last = ngx_snprintf(text, sizeof(text), "#/components/schemas/%s",
                        ngx_vmops_schemas[schema].name);

    vmops_jw_kstr(w, "$ref", vmops_span(text, last - text));
}


void
ngx_vmops_schema_value(vmops_jw_t *w, const vmops_json_field_t *f)
{
    unsigned  nullable;

    nullable = (f->flags & VMOPS_F_NULLABLE) != 0;

    if (f->type == VMOPS_FT_OBJECT && f->of) {
        ngx_vmops_schema_of(w, f);
        return;
    }

    vmops_jw_obj(w);

    switch (f->type) {

    case VMOPS_FT_STRING:
        ngx_vmops_schema_type(w, "string", nullable);
        ngx_vmops_schema_string(w, f);
        break;

    case VMOPS_FT_INT:
    case VMOPS_FT_NUMBER:
        ngx_vmops_schema_type(w, f->type == VMOPS_FT_INT ? "integer" : "number",
                              nullable);

        if (f->min || f->max) {
            vmops_jw_kint(w, "minimum", f->min);

            if (f->max != INT64_MAX) {
                vmops_jw_kint(w, "maximum", f->max);
            }
        }

        break;

    case VMOPS_FT_BOOL:
        ngx_vmops_schema_type(w, "boolean", nullable);
        break;

    case VMOPS_FT_ARRAY:
        ngx_vmops_schema_type(w, "array", nullable);

        if (f->min) {
            vmops_jw_kint(w, "minItems", f->min);
        }

        if (f->max) {
            vmops_jw_kint(w, "maxItems", f->max);
        }

        vmops_jw_key(w, "items");
        ngx_vmops_schema_value(w, f->of);
        break;

    case VMOPS_FT_OBJECT:
        ngx_vmops_schema_type(w, "object", nullable);

        if (f->max) {
            vmops_jw_kint(w, "maxProperties", f->max);
        }

        break;

    default: /* VMOPS_FT_ANY */
        break;
    }

    vmops_jw_obj_end(w);
}


static void
ngx_vmops_schema_type(vmops_jw_t *w, const char *type, unsigned nullable)
{
    vmops_jw_key(w, "type");

    if (!nullable) {
        vmops_jw_cstr(w, type);
        return;
    }

    vmops_jw_arr(w);
    vmops_jw_cstr(w, type);
    vmops_jw_cstr(w, "null");
    vmops_jw_arr_end(w);
}


/* the table counts bytes, JSON Schema characters: no less than it allows */

static void
ngx_vmops_schema_string(vmops_jw_t *w, const vmops_json_field_t *f)
{
    const char         *regex;
    const char *const  *v;

    if (f->values) {
        vmops_jw_key(w, "enum");
        vmops_jw_arr(w);

        for (v = f->values; *v; v++) {
            vmops_jw_cstr(w, *v);
        }

        if (f->flags & VMOPS_F_NULLABLE) {
            vmops_jw_null(w);
        }

        vmops_jw_arr_end(w);
        return;
    }

    if (f->max) {
        if (f->min) {
            vmops_jw_kint(w, "minLength", 1);
        }

        vmops_jw_kint(w, "maxLength", f->max);
    }

    regex = vmops_pattern_regex(f->pattern);

    if (regex) {
        vmops_jw_kcstr(w, "pattern", regex);
    }

    if (f->pattern == VMOPS_P_TIME) {
        vmops_jw_kcstr(w, "format", "date-time");
    }
}


/* an object with members: one of the named schemas, or drawn in its place */

static void
ngx_vmops_schema_of(vmops_jw_t *w, const vmops_json_field_t *f)
{
    ngx_uint_t  i, nullable;

    nullable = f->flags & VMOPS_F_NULLABLE;

    if (nullable) {
        vmops_jw_obj(w);
        vmops_jw_key(w, "anyOf");
        vmops_jw_arr(w);
    }

    for (i = 0; ngx_vmops_schemas[i].name; i++) {
        if (ngx_vmops_schemas[i].fields == f->of) {
            break;
        }
    }

    if (ngx_vmops_schemas[i].name) {
        vmops_jw_obj(w);
        ngx_vmops_schema_ref(w, i);
        vmops_jw_obj_end(w);

    } else {
        ngx_vmops_schema_object(w, f->of, f->of_n, NULL);
    }

    if (nullable) {
        vmops_jw_obj(w);
        vmops_jw_kcstr(w, "type", "null");
        vmops_jw_obj_end(w);
        vmops_jw_arr_end(w);
        vmops_jw_obj_end(w);
    }
}
