
/* an answer that is written page by page: event streams, exports */


#ifndef _NGX_VMOPS_WRITER_H_INCLUDED_
#define _NGX_VMOPS_WRITER_H_INCLUDED_


#include "ngx_vmops.h"


#pragma GCC visibility push(hidden)


struct ngx_vmops_writer_s {
    const char              *type;         /* Content-Type */
    const char              *slow;         /* logged of who does not read */
    ngx_vmops_step_pt        next;         /* a page is written */

    ngx_pool_t              *pool;         /* of the page being written */
    ngx_chain_t             *free;
    ngx_chain_t             *busy;

    unsigned                 started:1;    /* the header is sent */
    unsigned                 writing:1;
    unsigned                 last:1;       /* what is written ends it */
};


/* as op->writer, for as long as the request is; NGX_ERROR: no memory */
ngx_int_t ngx_vmops_writer_init(ngx_vmops_op_t *op, ngx_vmops_writer_t *wr);

/*
 * Memory of a page: from _page() until it is written, or _forget() or the end
 * of the request.  NGX_ERROR: there is none.
 */
ngx_int_t ngx_vmops_writer_page(ngx_vmops_op_t *op);
void ngx_vmops_writer_forget(void *data);

/*
 * Ends the step; goes on with next when it is written.  text lives in the pool
 * of the page, or for ever; with last it is the end of the answer.  A client
 * that does not read is left after send_timeout.
 */
void ngx_vmops_write(ngx_vmops_op_t *op, vmops_span_t text);

/* the same for a page that could not be made: the answer breaks off */
void ngx_vmops_write_failed(ngx_vmops_op_t *op);


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_WRITER_H_INCLUDED_ */
