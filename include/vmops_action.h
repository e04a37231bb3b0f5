/*
 * The action catalogue of vmops_actions.def as a table: lookup, check of
 * `params`, and its JSON Schema.
 */

#ifndef VMOPS_ACTION_H
#define VMOPS_ACTION_H

#include "vmops_json.h"
#include "vmops_kinds.h"

#pragma GCC visibility push(hidden)

typedef enum {
    VMOPS_PARAM_END = 0,
    VMOPS_PARAM_INT,
    VMOPS_PARAM_BOOL,
    VMOPS_PARAM_STRING,
    VMOPS_PARAM_ENUM
} vmops_param_kind_t;

typedef struct {
    const char         *name;
    vmops_param_kind_t  kind;
    int                 required;
    int64_t             min;        /* int: value; string: bytes */
    int64_t             max;
    vmops_pattern_t     pattern;    /* string */
    const char *const  *values;     /* enum, NULL-ended */
} vmops_param_t;

typedef struct {
    vmops_service_t      service;
    const char          *name;
    vmops_scope_t        scope;
    vmops_class_t        class_bit;
    int                  long_running;
    const vmops_param_t *params;    /* ends with VMOPS_PARAM_END */
} vmops_action_t;

/* VMOPS_ACT_proxmox_start, …: the index into the table. */

typedef enum {
#define VMOPS_ACTION(service, id, ...)  VMOPS_ACT_##service##_##id,
#include "vmops_actions.def"
#undef VMOPS_ACTION
    VMOPS_ACT_MAX_
} vmops_action_id_t;

/* The action, or NULL: unknown service and unknown action are one case,
 * `unknown_action`. */
const vmops_action_t *vmops_action_find(vmops_span_t service,
    vmops_span_t name);

/* By index 0 ... VMOPS_ACT_MAX_ - 1; NULL outside. */
const vmops_action_t *vmops_action_at(unsigned id);
unsigned vmops_action_id(const vmops_action_t *action);

/*
 * Checks `params` (NULL: absent, the same as {}) against the action's table.
 * 0, or -1 with err filled, its pointer beginning with /params.
 */
int vmops_action_check(const vmops_action_t *action,
    const vmops_json_t *params, vmops_json_error_t *err);

/* A checked parameter's value, or the default given. */
int64_t vmops_param_int(const vmops_json_t *params, const char *name,
    int64_t absent);
int vmops_param_bool(const vmops_json_t *params, const char *name,
    int absent);

/* The JSON Schema (2020-12) of `params`, as one value. */
void vmops_action_schema(vmops_jw_t *w, const vmops_action_t *action);

/* The catalogue's entry: {service, action, scope, class, long_running,
 * params}. */
void vmops_action_entry(vmops_jw_t *w, const vmops_action_t *action);

#pragma GCC visibility pop

#endif /* VMOPS_ACTION_H */
