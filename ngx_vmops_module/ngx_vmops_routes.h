
/* the route table, and what a route's handler and body are */


#ifndef _NGX_VMOPS_ROUTES_H_INCLUDED_
#define _NGX_VMOPS_ROUTES_H_INCLUDED_


#include "ngx_vmops.h"


#pragma GCC visibility push(hidden)


/* the shape of a request's body */

typedef struct {
    const vmops_json_field_t  *fields;
    size_t                     n;
    unsigned                   optional:1;     /* no body at all will do */
    unsigned                   no_secrets:1;   /* ngx_vmops_plaintext() */
    unsigned                   by_handler:1;   /* it checks the shape itself */
} ngx_vmops_body_t;

#define ngx_vmops_body(list)                                                  \
    { .fields = list, .n = sizeof(list) / sizeof(list[0]) }
#define ngx_vmops_body_optional(list)                                         \
    { .fields = list, .n = sizeof(list) / sizeof(list[0]), .optional = 1 }
#define ngx_vmops_body_no_secrets(list)                                       \
    { .fields = list, .n = sizeof(list) / sizeof(list[0]), .no_secrets = 1 }


struct ngx_vmops_route_s {
    ngx_uint_t                 method;
    const char                *path;           /* below NGX_VMOPS_BASE */
    ngx_vmops_who_e            who;
    const ngx_vmops_body_t    *body;           /* NULL: none is read */
    ngx_vmops_step_pt          handler;
    const ngx_vmops_operation_t  *operation;   /* what the document says */
};


/* what stands for an action of the catalogue in a row's path */

#define NGX_VMOPS_ACTION_PATH  "{service}/{action}"

/* the rows of the API, and those outside of it; the last one has no path */

extern const ngx_vmops_route_t  ngx_vmops_routes[];
extern const ngx_vmops_route_t  ngx_vmops_root_routes[];


/*
 * The first row of the request's path, its {captures} in op->path; NULL: there
 * is no such path.  Rows of one path stand together.
 */
const ngx_vmops_route_t *ngx_vmops_route_find(ngx_vmops_op_t *op);

/*
 * The row for a method and a principal among those of the same path; NULL if
 * there is none.  *methods are those that the path has, for whomever.
 */
const ngx_vmops_route_t *ngx_vmops_route_choose(const ngx_vmops_route_t *route,
    ngx_uint_t method, ngx_vmops_principal_t *p, ngx_uint_t *methods);

/* methods as the header Allow has them; p NULL: no memory */
vmops_span_t ngx_vmops_route_allow(ngx_pool_t *pool, ngx_uint_t methods);

/* may this principal use a row? */
ngx_uint_t ngx_vmops_route_open(const ngx_vmops_route_t *route,
    ngx_vmops_principal_t *p);


/*
 * Of a body with no_secrets: 1, and err has the pointer of a member that looks
 * like a secret in the clear.
 */
ngx_uint_t ngx_vmops_plaintext(const vmops_json_t *json,
    const ngx_vmops_body_t *body, vmops_json_error_t *err);


/* handlers and bodies, by resource */

void ngx_vmops_healthz(ngx_vmops_op_t *op);
void ngx_vmops_readyz(ngx_vmops_op_t *op);
void ngx_vmops_metrics(ngx_vmops_op_t *op);
void ngx_vmops_openapi(ngx_vmops_op_t *op);

void ngx_vmops_tenant_create(ngx_vmops_op_t *op);
void ngx_vmops_tenant_list(ngx_vmops_op_t *op);
void ngx_vmops_tenant_get(ngx_vmops_op_t *op);
void ngx_vmops_tenant_patch(ngx_vmops_op_t *op);
void ngx_vmops_tenant_delete(ngx_vmops_op_t *op);
void ngx_vmops_owner_token_create(ngx_vmops_op_t *op);
void ngx_vmops_flags_get(ngx_vmops_op_t *op);
void ngx_vmops_flags_put(ngx_vmops_op_t *op);
void ngx_vmops_tenant_flags_get(ngx_vmops_op_t *op);
void ngx_vmops_tenant_flags_put(ngx_vmops_op_t *op);

extern const ngx_vmops_body_t  ngx_vmops_tenant_create_body;
extern const ngx_vmops_body_t  ngx_vmops_tenant_patch_body;
extern const ngx_vmops_body_t  ngx_vmops_owner_token_body;
extern const ngx_vmops_body_t  ngx_vmops_flags_body;

void ngx_vmops_license_get(ngx_vmops_op_t *op);
void ngx_vmops_license_put(ngx_vmops_op_t *op);

extern const ngx_vmops_body_t  ngx_vmops_license_body;

void ngx_vmops_audit_list(ngx_vmops_op_t *op);
void ngx_vmops_audit_head(ngx_vmops_op_t *op);
void ngx_vmops_audit_export(ngx_vmops_op_t *op);

void ngx_vmops_settings_get(ngx_vmops_op_t *op);
void ngx_vmops_settings_put(ngx_vmops_op_t *op);

extern const ngx_vmops_body_t  ngx_vmops_settings_body;

void ngx_vmops_token_create(ngx_vmops_op_t *op);
void ngx_vmops_token_list(ngx_vmops_op_t *op);
void ngx_vmops_token_delete(ngx_vmops_op_t *op);
void ngx_vmops_platform_token_list(ngx_vmops_op_t *op);

extern const ngx_vmops_body_t  ngx_vmops_token_body;

void ngx_vmops_session_create(ngx_vmops_op_t *op);
void ngx_vmops_session_get(ngx_vmops_op_t *op);
void ngx_vmops_session_delete(ngx_vmops_op_t *op);

extern const ngx_vmops_body_t  ngx_vmops_session_body;

void ngx_vmops_pairing_create(ngx_vmops_op_t *op);
void ngx_vmops_pairing_get(ngx_vmops_op_t *op);
void ngx_vmops_pairing_delete(ngx_vmops_op_t *op);
void ngx_vmops_register(ngx_vmops_op_t *op);

extern const ngx_vmops_body_t  ngx_vmops_pairing_body;
extern const ngx_vmops_body_t  ngx_vmops_register_body;

void ngx_vmops_agent_list(ngx_vmops_op_t *op);
void ngx_vmops_agent_get(ngx_vmops_op_t *op);
void ngx_vmops_agent_patch(ngx_vmops_op_t *op);
void ngx_vmops_agent_approve(ngx_vmops_op_t *op);
void ngx_vmops_agent_revoke(ngx_vmops_op_t *op);
void ngx_vmops_agent_unlock(ngx_vmops_op_t *op);
void ngx_vmops_heartbeat(ngx_vmops_op_t *op);

extern const ngx_vmops_body_t  ngx_vmops_agent_patch_body;
extern const ngx_vmops_body_t  ngx_vmops_approve_body;
extern const ngx_vmops_body_t  ngx_vmops_heartbeat_body;

void ngx_vmops_vm_create(ngx_vmops_op_t *op);
void ngx_vmops_vm_list(ngx_vmops_op_t *op);
void ngx_vmops_vm_get(ngx_vmops_op_t *op);
void ngx_vmops_vm_patch(ngx_vmops_op_t *op);
void ngx_vmops_vm_delete(ngx_vmops_op_t *op);

extern const ngx_vmops_body_t  ngx_vmops_vm_body;
extern const ngx_vmops_body_t  ngx_vmops_vm_patch_body;

void ngx_vmops_secret_add(ngx_vmops_op_t *op);
void ngx_vmops_secret_list(ngx_vmops_op_t *op);
void ngx_vmops_secret_meta(ngx_vmops_op_t *op);
void ngx_vmops_secret_rotate(ngx_vmops_op_t *op);
void ngx_vmops_secret_ask_rotate(ngx_vmops_op_t *op);
void ngx_vmops_secret_delete(ngx_vmops_op_t *op);

extern const ngx_vmops_body_t  ngx_vmops_secret_body;
extern const ngx_vmops_body_t  ngx_vmops_rotate_body;

void ngx_vmops_binding_put(ngx_vmops_op_t *op);
void ngx_vmops_binding_get(ngx_vmops_op_t *op);
void ngx_vmops_binding_delete(ngx_vmops_op_t *op);

extern const ngx_vmops_body_t  ngx_vmops_binding_body;

void ngx_vmops_actions(ngx_vmops_op_t *op);
void ngx_vmops_submit(ngx_vmops_op_t *op);
void ngx_vmops_command_list(ngx_vmops_op_t *op);
void ngx_vmops_command_get(ngx_vmops_op_t *op);
void ngx_vmops_command_cancel(ngx_vmops_op_t *op);
void ngx_vmops_command_events(ngx_vmops_op_t *op);
void ngx_vmops_events(ngx_vmops_op_t *op);

/* a submission's members, by vmops_scope_t */

#define NGX_VMOPS_SUBMIT_FIELD_N  3

extern const vmops_json_field_t
    ngx_vmops_submit_fields[][NGX_VMOPS_SUBMIT_FIELD_N];

extern const ngx_vmops_body_t  ngx_vmops_submit_body;

extern const ngx_vmops_body_t  ngx_vmops_no_body;


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_ROUTES_H_INCLUDED_ */
