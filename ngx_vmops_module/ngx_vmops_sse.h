
/* an event stream */


#ifndef _NGX_VMOPS_SSE_H_INCLUDED_
#define _NGX_VMOPS_SSE_H_INCLUDED_


#include "ngx_vmops_commands.h"
#include "ngx_vmops_events.h"
#include "ngx_vmops_live.h"


#pragma GCC visibility push(hidden)


typedef struct {
    ngx_vmops_stream_t       stream;
    ngx_vmops_command_t      command;      /* id empty: the tenant's stream */

    ngx_pool_t              *pool;         /* of the page being written */
    ngx_chain_t             *free;
    ngx_chain_t             *busy;
    ngx_msec_t               said;         /* when something was written */

    ngx_vmops_event_id_t     after;        /* the client has all up to it */
    ngx_vmops_event_id_t     floor;        /* the oldest that is to be kept */

    unsigned                 resumed:1;    /* by Last-Event-ID */
    unsigned                 from_now:1;   /* after is not known yet */
    unsigned                 final:1;      /* the command had ended before */
    unsigned                 started:1;    /* the header is sent */
    unsigned                 writing:1;
    unsigned                 behind:1;     /* there may be more to read */
    unsigned                 tell:1;       /* where the command stands */
    unsigned                 last:1;       /* what is written ends it */
} ngx_vmops_sse_t;


void ngx_vmops_sse_pump(ngx_vmops_op_t *op);

/*
 * Memory of a page: from _page() until it is written, or _forget() or the end
 * of the request.  NGX_ERROR: there is none.
 */
ngx_int_t ngx_vmops_sse_page(ngx_vmops_op_t *op);
void ngx_vmops_sse_forget(void *data);

/*
 * Ends the step; goes on with _pump() when it is written.  text lives in
 * sse->pool, or for ever; with sse->last it is the end of the answer.
 */
void ngx_vmops_sse_write(ngx_vmops_op_t *op, vmops_span_t text);


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_SSE_H_INCLUDED_ */
