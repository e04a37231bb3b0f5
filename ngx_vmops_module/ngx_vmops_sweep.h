
/*
 * What workers do by themselves: the sweep, the end of tenants, and revocations
 * a second time.
 */


#ifndef _NGX_VMOPS_SWEEP_H_INCLUDED_
#define _NGX_VMOPS_SWEEP_H_INCLUDED_


#include "ngx_vmops.h"


#pragma GCC visibility push(hidden)


ngx_int_t ngx_vmops_sweep_init(void);

/* before a submit: lists the tenant for the sweep, unless that is known */
void ngx_vmops_sweep_active(vmops_span_t tenant);

void ngx_vmops_purge_init(void);

/* goes on with the end of a tenant that has been deleted */
void ngx_vmops_purge(vmops_span_t tenant);

/* calls a tenant's function in VMOPS_REVOKE_AGAIN_MS, too; copies it all */
void ngx_vmops_again(ngx_vmops_function_e fn, vmops_span_t tenant,
    const vmops_span_t *args, ngx_uint_t nargs);

#define ngx_vmops_invoke_twice(op, fn, next, ...)                             \
    do {                                                                      \
        ngx_vmops_again(NGX_VMOPS_FN_##fn, (op)->tenant,                      \
                        (vmops_span_t []) { __VA_ARGS__ },                    \
                        sizeof((vmops_span_t []) { __VA_ARGS__ })             \
                        / sizeof(vmops_span_t));                              \
        ngx_vmops_invoke(op, fn, next, __VA_ARGS__);                          \
    } while (0)


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_SWEEP_H_INCLUDED_ */
