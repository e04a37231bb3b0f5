
/* nginx variables for the access log */


#include "vmops_vars.h"


static ngx_int_t vmops_vars_empty(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_str_t  vmops_vars_names[VMOPS_VARS] = {
    ngx_string("vmops_code"),
    ngx_string("vmops_tenant"),
    ngx_string("vmops_actor")
};


/* a variable that is not changeable could be added by one module only */

ngx_int_t
vmops_vars_add(ngx_conf_t *cf, vmops_vars_t *vars)
{
    ngx_uint_t            i;
    ngx_http_variable_t  *v;

    for (i = 0; i < VMOPS_VARS; i++) {

        v = ngx_http_add_variable(cf, &vmops_vars_names[i],
                                  NGX_HTTP_VAR_CHANGEABLE);
        if (v == NULL) {
            return NGX_ERROR;
        }

        v->get_handler = vmops_vars_empty;

        vars->index[i] = ngx_http_get_variable_index(cf, &vmops_vars_names[i]);
        if (vars->index[i] == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
vmops_vars_empty(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    *v = ngx_http_variable_null_value;

    return NGX_OK;
}


void
vmops_vars_set(ngx_http_request_t *r, const vmops_vars_t *vars,
    vmops_var_e var, vmops_span_t value)
{
    u_char                     *p;
    ngx_http_variable_value_t  *v;

    p = ngx_pnalloc(r->pool, value.n + 1);
    if (p == NULL) {
        return;
    }

    v = &r->variables[vars->index[var]];

    v->data = p;
    v->len = ngx_cpymem(p, value.p, value.n) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->escape = 0;
}
