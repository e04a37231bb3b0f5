
/* requests counted, and what is shown of it (ngx_vmops_metrics.c) */


#ifndef _NGX_VMOPS_METRICS_H_INCLUDED_
#define _NGX_VMOPS_METRICS_H_INCLUDED_


#include "ngx_vmops.h"


#pragma GCC visibility push(hidden)


/* in postconfiguration */
ngx_int_t ngx_vmops_metrics_conf(ngx_conf_t *cf);

/* in init_process, when the worker's clients are there */
ngx_int_t ngx_vmops_metrics_init(ngx_log_t *log);


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_METRICS_H_INCLUDED_ */
