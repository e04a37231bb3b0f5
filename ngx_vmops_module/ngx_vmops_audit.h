
/* the audit: pages, the last seal, the export */


#ifndef _NGX_VMOPS_AUDIT_H_INCLUDED_
#define _NGX_VMOPS_AUDIT_H_INCLUDED_


#include "ngx_vmops_events.h"

#include "vmops_audit.h"


#pragma GCC visibility push(hidden)


/* where a reader stands: after this event, this number, this head */

typedef struct {
    ngx_vmops_event_id_t     after;
    uint64_t                 n;
    u_char                   head[VMOPS_HASH];
    unsigned                 begun:1;      /* head is known */
} ngx_vmops_audit_at_t;


/* NGX_OK; anything else: it is none */
ngx_int_t ngx_vmops_seal_read(ngx_pool_t *pool, vmops_span_t text,
    vmops_seal_t *seal);

/* {from, n, h, ms, sig} of the store's text, or null */
void ngx_vmops_seal_draw(ngx_pool_t *pool, vmops_jw_t *w, vmops_span_t text);

/*
 * The first page: at becomes where the log begins, and *start is the seal that
 * ends what was trimmed.  NGX_DECLINED: it begins with its first entry.
 */
ngx_int_t ngx_vmops_audit_start(ngx_pool_t *pool, redisReply *reply,
    ngx_vmops_audit_at_t *at, vmops_seal_t *start);

/* entry i of a page, and at after it; NGX_ERROR: it has not their form */
ngx_int_t ngx_vmops_audit_entry(redisReply *reply, ngx_uint_t i,
    ngx_vmops_audit_at_t *at, vmops_audit_entry_t *entry);

/* ends the step; next gets a page of at most limit entries */
void ngx_vmops_audit_read(ngx_vmops_op_t *op, const ngx_vmops_audit_at_t *at,
    vmops_span_t limit, ngx_vmops_reply_pt next);


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_AUDIT_H_INCLUDED_ */
