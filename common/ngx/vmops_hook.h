
/*
 * The start of a worker's graceful exit, which nginx has no module hook for.
 *
 * nginx calls the read handler of every connection marked idle as the first
 * thing of a graceful exit (ngx_close_idle_connections()): one end of a pipe,
 * never polled, is such a connection.
 */


#ifndef _VMOPS_HOOK_H_INCLUDED_
#define _VMOPS_HOOK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


#pragma GCC visibility push(hidden)


typedef struct vmops_hook_s  vmops_hook_t;


/*
 * init_process also runs in cache helpers: 1 in a worker, or in the only
 * process, where clients and hooks belong.
 */
ngx_uint_t vmops_hook_worker(void);

/* in init_process, in cycle->pool; NULL: logged */
vmops_hook_t *vmops_hook_create(ngx_cycle_t *cycle);

/* handlers run once, in the order they came; NGX_ERROR: no memory */
ngx_int_t vmops_hook_on_exit(vmops_hook_t *h, void (*handler)(void *data),
    void *data);

/* in exit_process: closes the pipe if no graceful exit has done so */
void vmops_hook_close(vmops_hook_t *h);


#pragma GCC visibility pop


#endif /* _VMOPS_HOOK_H_INCLUDED_ */
