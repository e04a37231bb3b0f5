
/*
 * The list of tenants that may have entries of the audit to be sealed
 * (docs/audit.md): a worker puts a tenant there before it calls a function that
 * may write one, and remembers that for VMOPS_AUDIT_MARK_MS.
 */


#ifndef _VMOPS_UNSEALED_H_INCLUDED_
#define _VMOPS_UNSEALED_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "vmops_bytes.h"
#include "vmops_redis.h"


#pragma GCC visibility push(hidden)


typedef struct vmops_unsealed_s  vmops_unsealed_t;


/* in init_process, after the client; lives as long as the cycle.  NULL: no
   memory */
vmops_unsealed_t *vmops_unsealed_create(ngx_cycle_t *cycle,
    vmops_redis_t *redis);

/*
 * To be called right before a call of the tenant's function (its name in
 * vmops_functions.def): both go out together, in this order.
 */
void vmops_unsealed_tell(vmops_unsealed_t *u, vmops_span_t tenant,
    const char *function);


#pragma GCC visibility pop


#endif /* _VMOPS_UNSEALED_H_INCLUDED_ */
