
/*
 * nginx variables for the access log: what a problem is called, and whose
 * request it was.  Empty until they are set, for the whole request from then
 * on, whatever it is redirected to.
 */


#ifndef _VMOPS_VARS_H_INCLUDED_
#define _VMOPS_VARS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "vmops_bytes.h"


#pragma GCC visibility push(hidden)


typedef enum {
    VMOPS_VAR_CODE = 0,                    /* $vmops_code */
    VMOPS_VAR_TENANT,                      /* $vmops_tenant */
    VMOPS_VAR_ACTOR,                       /* $vmops_actor */
    VMOPS_VARS
} vmops_var_e;

/* of a module's main configuration */

typedef struct {
    ngx_int_t                index[VMOPS_VARS];
} vmops_vars_t;


/* in preconfiguration; each module does it, for the same variables */
ngx_int_t vmops_vars_add(ngx_conf_t *cf, vmops_vars_t *vars);

/* the value is copied; without memory for that it stays as it was */
void vmops_vars_set(ngx_http_request_t *r, const vmops_vars_t *vars,
    vmops_var_e var, vmops_span_t value);


#pragma GCC visibility pop


#endif /* _VMOPS_VARS_H_INCLUDED_ */
