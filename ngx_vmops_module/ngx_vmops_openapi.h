
/* the API document: what it says of calls, and the schemas of answers */


#ifndef _NGX_VMOPS_OPENAPI_H_INCLUDED_
#define _NGX_VMOPS_OPENAPI_H_INCLUDED_


#include "ngx_vmops_routes.h"


#pragma GCC visibility push(hidden)


#define NGX_VMOPS_ANSWERS_MAX   2
#define NGX_VMOPS_PROBLEMS_MAX  12
#define NGX_VMOPS_ROWS_MAX      2          /* of one path and method */


/* X(tag, "what it is about") */

#define NGX_VMOPS_TAGS(X)                                                     \
    X(platform, "Tenants, licenses and flags: by platform administrators")    \
    X(tenant,   "The tenant itself")                                          \
    X(agents,   "Pairing and agents")                                         \
    X(vms,      "The VM registry")                                            \
    X(secrets,  "Secrets as ciphertext, and what uses them")                  \
    X(commands, "The command bus")                                            \
    X(console,  "The console's session")                                      \
    X(service,  "Health and this document")

/* X(name of the schema, its fields) */

#define NGX_VMOPS_SCHEMAS(X)                                                  \
    X(Problem,       problem)                                                 \
    X(Health,        health)                                                  \
    X(Tenant,        tenant)                                                  \
    X(NewTenant,     new_tenant)                                              \
    X(Flags,         flags)                                                   \
    X(Lease,         lease)                                                   \
    X(License,       license)                                                 \
    X(Token,         token)                                                   \
    X(NewToken,      new_token)                                               \
    X(PlatformToken, platform_token)                                          \
    X(Session,       session)                                                 \
    X(Seal,          seal)                                                    \
    X(AuditPage,     audit_page)                                              \
    X(NewPairing,    new_pairing)                                             \
    X(Pairing,       pairing)                                                 \
    X(Registered,    registered)                                              \
    X(Heartbeat,     heartbeat)                                               \
    X(Route,         route)                                                   \
    X(AgentRecord,   agent)                                                   \
    X(Vm,            vm)                                                      \
    X(SecretRef,     secret_ref)                                              \
    X(SecretVersion, secret_version)                                          \
    X(SecretAsked,   secret_asked)                                            \
    X(BoundTo,       bound_to)                                                \
    X(Secret,        secret)                                                  \
    X(Binding,       binding)                                                 \
    X(Action,        action)                                                  \
    X(Target,        target)                                                  \
    X(Progress,      progress)                                                \
    X(CommandError,  command_error)                                           \
    X(LogLine,       log_line)                                                \
    X(UsedSecret,    used_secret)                                             \
    X(Receipt,       receipt)                                                 \
    X(ListedCommand, listed_command)                                          \
    X(AgentCommand,  command)


typedef enum {
#define NGX_VMOPS_X(name, about)  NGX_VMOPS_TAG_##name,
    NGX_VMOPS_TAGS(NGX_VMOPS_X)
#undef NGX_VMOPS_X
    NGX_VMOPS_TAG_MAX
} ngx_vmops_tag_e;

typedef enum {
#define NGX_VMOPS_X(name, fields)  NGX_VMOPS_SCHEMA_##name,
    NGX_VMOPS_SCHEMAS(NGX_VMOPS_X)
#undef NGX_VMOPS_X
    NGX_VMOPS_SCHEMA_None
} ngx_vmops_schema_e;

typedef enum {
    NGX_VMOPS_ANSWER_ITEM = 0,
    NGX_VMOPS_ANSWER_LIST,         /* {items, next_cursor} */
    NGX_VMOPS_ANSWER_NOTHING,
    NGX_VMOPS_ANSWER_STREAM,       /* server-sent events */
    NGX_VMOPS_ANSWER_TEXT,
    NGX_VMOPS_ANSWER_MAYBE,        /* an item, or null */
    NGX_VMOPS_ANSWER_LINES,        /* a JSON object a line */
    NGX_VMOPS_ANSWER_ANY           /* some JSON object */
} ngx_vmops_answer_e;

#define NGX_VMOPS_ANSWER_LOCATION        1
#define NGX_VMOPS_ANSWER_ETAG            2
#define NGX_VMOPS_ANSWER_LICENSE         4
#define NGX_VMOPS_ANSWER_PREFERENCE      8
#define NGX_VMOPS_ANSWER_COOKIE          16

/* bits, in the order of the table of parameters */

#define NGX_VMOPS_PARAM_LIMIT            1
#define NGX_VMOPS_PARAM_CURSOR           2
#define NGX_VMOPS_PARAM_STATUS           4
#define NGX_VMOPS_PARAM_VM_UUID          8
#define NGX_VMOPS_PARAM_AGENT_ID         16
#define NGX_VMOPS_PARAM_FORCE            32
#define NGX_VMOPS_PARAM_IDEMPOTENCY_KEY  64
#define NGX_VMOPS_PARAM_PREFER           128
#define NGX_VMOPS_PARAM_IF_MATCH         256
#define NGX_VMOPS_PARAM_LAST_EVENT_ID    512

#define NGX_VMOPS_PARAM_PAGE                                                  \
    (NGX_VMOPS_PARAM_LIMIT|NGX_VMOPS_PARAM_CURSOR)
#define NGX_VMOPS_PARAM_COMMANDS                                              \
    (NGX_VMOPS_PARAM_STATUS|NGX_VMOPS_PARAM_VM_UUID|NGX_VMOPS_PARAM_AGENT_ID)


typedef struct {
    ngx_uint_t                 status;         /* 0: the last one was before */
    ngx_vmops_answer_e         kind;
    ngx_vmops_schema_e         schema;
    ngx_uint_t                 headers;
} ngx_vmops_answer_info_t;


#define NGX_VMOPS_NO_FLAG  VMOPS_FLAGS

struct ngx_vmops_operation_s {
    const char                *name;           /* of the handler */
    ngx_vmops_tag_e            tag;
    const char                *summary;
    ngx_uint_t                 flag;           /* vmops_flag_e, or NO_FLAG */
    ngx_uint_t                 params;
    ngx_vmops_answer_info_t    answers[NGX_VMOPS_ANSWERS_MAX + 1];
    /* one more than the problem; 0: the last one was before */
    u_char                     problems[NGX_VMOPS_PROBLEMS_MAX + 1];
};


/* the fields of an answer's schema */

typedef struct {
    const char                *name;
    const vmops_json_field_t  *fields;
    size_t                     n;
} ngx_vmops_schema_t;

extern const ngx_vmops_schema_t  ngx_vmops_schemas[];

/*
 * JSON Schema (2020-12) of an object with these fields and no others; those
 * that are not optional are required.  action: whose schema a field "params"
 * has, or NULL.
 */
void ngx_vmops_schema_object(vmops_jw_t *w, const vmops_json_field_t *fields,
    size_t n, const vmops_action_t *action);
void ngx_vmops_schema_value(vmops_jw_t *w, const vmops_json_field_t *f);
void ngx_vmops_schema_ref(vmops_jw_t *w, ngx_vmops_schema_e schema);

/* what may stand for a {name} of a path */
void ngx_vmops_capture_schema(vmops_jw_t *w, vmops_span_t name);


/* the rows of one path and method, which differ in who may use them */

typedef struct {
    const ngx_vmops_route_t   *rows[NGX_VMOPS_ROWS_MAX];
    ngx_uint_t                 n;
    const vmops_action_t      *action;         /* NULL: it is of none */
} ngx_vmops_call_t;


/* answers (ngx_vmops_openapi_answers.c): "responses", and all their headers */

void ngx_vmops_draw_answers(vmops_jw_t *w, ngx_vmops_call_t *call);
void ngx_vmops_draw_headers(vmops_jw_t *w);


/* the whole document, in memory of the pool; NGX_ERROR: logged */
ngx_int_t ngx_vmops_openapi_create(ngx_conf_t *cf, vmops_span_t *out);


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_OPENAPI_H_INCLUDED_ */
