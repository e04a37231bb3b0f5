/*
 * The action catalogue: lookup, check of params, JSON Schema.
 */

#include "vmops_action.h"
#include "vmops_banned.h"


#define REQUIRED  1
#define OPTIONAL  0

#define VMOPS_NO_PARAMS  { .kind = VMOPS_PARAM_END }

#define VMOPS_INT(name_, min_, max_, required_)                               \
    { .name = name_, .kind = VMOPS_PARAM_INT, .required = required_,          \
      .min = min_, .max = max_ }

#define VMOPS_BOOL(name_, required_)                                          \
    { .name = name_, .kind = VMOPS_PARAM_BOOL, .required = required_ }

#define VMOPS_STRING(name_, min_, max_, pattern_, required_)                  \
    { .name = name_, .kind = VMOPS_PARAM_STRING, .required = required_,       \
      .min = min_, .max = max_, .pattern = VMOPS_P_##pattern_ }

#define VMOPS_ENUM(name_, required_, ...)                                     \
    { .name = name_, .kind = VMOPS_PARAM_ENUM, .required = required_,         \
      .values = (const char *const []) { __VA_ARGS__, NULL } }

#define SERVICE_proxmox    VMOPS_SERVICE_PROXMOX
#define SERVICE_ssh        VMOPS_SERVICE_SSH
#define SERVICE_syncthing  VMOPS_SERVICE_SYNCTHING


#define VMOPS_ACTION(service, id, name, scope, class, lng, ...)               \
    static const vmops_param_t  params_##service##_##id[] = {                 \
        __VA_ARGS__, { .kind = VMOPS_PARAM_END }                              \
    };
#include "vmops_actions.def"
#undef VMOPS_ACTION


static const vmops_action_t  actions[] = {
#define VMOPS_ACTION(service, id, name, scope, class, lng, ...)               \
    { SERVICE_##service, name, VMOPS_SCOPE_##scope, VMOPS_CLASS_##class, lng, \
      params_##service##_##id },
#include "vmops_actions.def"
#undef VMOPS_ACTION
};


const vmops_action_t *
vmops_action_find(vmops_span_t service, vmops_span_t name)
{
    size_t  i;

    for (i = 0; i < VMOPS_ACT_MAX_; i++) {
        if (vmops_span_is(name, actions[i].name)
            && vmops_span_is(service, vmops_service_name(actions[i].service)))
        {
            return &actions[i];
        }
    }

    return NULL;
}


const vmops_action_t *
vmops_action_at(unsigned id)
{
    return id < VMOPS_ACT_MAX_ ? &actions[id] : NULL;
}


unsigned
vmops_action_id(const vmops_action_t *action)
{
    return (unsigned) (action - actions);
}


static const vmops_param_t *
param_find(const vmops_action_t *action, vmops_span_t name)
{
    const vmops_param_t  *p;

    for (p = action->params; p->kind != VMOPS_PARAM_END; p++) {
        if (vmops_span_is(name, p->name)) {
            return p;
        }
    }

    return NULL;
}


static int
param_check(const vmops_param_t *p, const vmops_json_t *value,
    vmops_json_error_t *err)
{
    vmops_json_field_t  f;

    memset(&f, 0, sizeof(f));
    f.min = p->min;
    f.max = p->max;
    f.pattern = p->pattern;
    f.values = p->values;
    f.type = p->kind == VMOPS_PARAM_INT ? VMOPS_FT_INT
             : p->kind == VMOPS_PARAM_BOOL ? VMOPS_FT_BOOL
             : VMOPS_FT_STRING;

    vmops_json_error_push(err, vmops_span_str(p->name));

    return vmops_json_check_value(value, &f, err);
}


int
vmops_action_check(const vmops_action_t *action, const vmops_json_t *params,
    vmops_json_error_t *err)
{
    const vmops_json_t   *value;
    const vmops_param_t  *p;

    vmops_json_error_init(err, "/params");

    if (params != NULL && params->type != VMOPS_JSON_OBJECT) {
        err->code = VMOPS_JE_TYPE;
        return -1;
    }

    value = params != NULL ? params->child : NULL;

    for ( ; value != NULL; value = value->next) {
        if (param_find(action, value->key) == NULL) {
            vmops_json_error_push(err, value->key);
            err->code = VMOPS_JE_UNKNOWN_FIELD;
            return -1;
        }
    }

    for (p = action->params; p->kind != VMOPS_PARAM_END; p++) {
        value = vmops_json_get(params, p->name);

        if (value == NULL && p->required) {
            vmops_json_error_push(err, vmops_span_str(p->name));
            err->code = VMOPS_JE_REQUIRED;
            return -1;
        }

        if (value != NULL && param_check(p, value, err) != 0) {
            return -1;
        }

        vmops_json_error_init(err, "/params");
    }

    return 0;
}


int64_t
vmops_param_int(const vmops_json_t *params, const char *name, int64_t absent)
{
    int64_t  v;

    return vmops_json_int(vmops_json_get(params, name), &v) == 0 ? v : absent;
}


int
vmops_param_bool(const vmops_json_t *params, const char *name, int absent)
{
    int  v;

    return vmops_json_bool(vmops_json_get(params, name), &v) == 0 ? v : absent;
}


static void
schema_string(vmops_jw_t *w, const vmops_param_t *p)
{
    const char  *regex;

    vmops_jw_kcstr(w, "type", "string");
    vmops_jw_kint(w, "minLength", p->min > 0 ? 1 : 0);
    vmops_jw_kint(w, "maxLength", p->max);

    regex = vmops_pattern_regex(p->pattern);

    if (regex != NULL) {
        vmops_jw_kcstr(w, "pattern", regex);
    }
}


static void
schema_enum(vmops_jw_t *w, const vmops_param_t *p)
{
    const char *const  *v;

    vmops_jw_key(w, "enum");
    vmops_jw_arr(w);

    for (v = p->values; *v != NULL; v++) {
        vmops_jw_cstr(w, *v);
    }

    vmops_jw_arr_end(w);
}


static void
schema_param(vmops_jw_t *w, const vmops_param_t *p)
{
    vmops_jw_key(w, p->name);
    vmops_jw_obj(w);

    switch (p->kind) {

    case VMOPS_PARAM_INT:
        vmops_jw_kcstr(w, "type", "integer");
        vmops_jw_kint(w, "minimum", p->min);
        vmops_jw_kint(w, "maximum", p->max);
        break;

    case VMOPS_PARAM_BOOL:
        vmops_jw_kcstr(w, "type", "boolean");
        break;

    case VMOPS_PARAM_STRING:
        schema_string(w, p);
        break;

    default:
        schema_enum(w, p);
    }

    vmops_jw_obj_end(w);
}


void
vmops_action_schema(vmops_jw_t *w, const vmops_action_t *action)
{
    const vmops_param_t  *p;

    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "type", "object");

    vmops_jw_key(w, "properties");
    vmops_jw_obj(w);
    for (p = action->params; p->kind != VMOPS_PARAM_END; p++) {
        schema_param(w, p);
    }
    vmops_jw_obj_end(w);

    vmops_jw_key(w, "required");
    vmops_jw_arr(w);
    for (p = action->params; p->kind != VMOPS_PARAM_END; p++) {
        if (p->required) {
            vmops_jw_cstr(w, p->name);
        }
    }
    vmops_jw_arr_end(w);

    vmops_jw_kbool(w, "additionalProperties", 0);
    vmops_jw_obj_end(w);
}


void
vmops_action_entry(vmops_jw_t *w, const vmops_action_t *action)
{
    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "service", vmops_service_name(action->service));
    vmops_jw_kcstr(w, "action", action->name);
    vmops_jw_kcstr(w, "scope", vmops_scope_name(action->scope));
    vmops_jw_kcstr(w, "class", vmops_class_name(action->class_bit));
    vmops_jw_kbool(w, "long_running", action->long_running);
    vmops_jw_key(w, "params");
    vmops_action_schema(w, action);
    vmops_jw_obj_end(w);
}
