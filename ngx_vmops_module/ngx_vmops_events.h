
/* the tenant's events: their ids, and how they are shown in a stream */


#ifndef _NGX_VMOPS_EVENTS_H_INCLUDED_
#define _NGX_VMOPS_EVENTS_H_INCLUDED_


#include "ngx_vmops.h"


#pragma GCC visibility push(hidden)


/* "<ms>-<n>", as Redis' streams have them */

#define NGX_VMOPS_EVENT_ID  (2 * NGX_INT64_LEN + 1)

typedef struct {
    uint64_t             ms;
    uint64_t             n;
} ngx_vmops_event_id_t;


/* NGX_ERROR: it has another form, or nothing can come after it */
ngx_int_t ngx_vmops_event_parse(ngx_vmops_event_id_t *id, vmops_span_t text);

/* text has NGX_VMOPS_EVENT_ID bytes */
vmops_span_t ngx_vmops_event_text(u_char *text, ngx_vmops_event_id_t id);

/* the greatest id below; 0-0 for itself */
ngx_vmops_event_id_t ngx_vmops_event_before(ngx_vmops_event_id_t id);

ngx_uint_t ngx_vmops_event_older(ngx_vmops_event_id_t a,
    ngx_vmops_event_id_t b);


/* "id: ", "event: " and "data: "; JSON on one line and _end() follow */
void ngx_vmops_event_begin(vmops_jw_t *w, ngx_vmops_event_id_t id,
    vmops_span_t name);
void ngx_vmops_event_end(vmops_jw_t *w);

/* {command_id, status, at} */
void ngx_vmops_event_status(vmops_jw_t *w, vmops_span_t command_id,
    vmops_span_t status, int64_t ms);

/* an event of a command's stream, but for `done`; one of the tenant's */
void ngx_vmops_event_command(ngx_pool_t *pool, vmops_jw_t *w,
    ngx_vmops_event_id_t id, redisReply *event);
void ngx_vmops_event_change(ngx_pool_t *pool, vmops_jw_t *w,
    ngx_vmops_event_id_t id, redisReply *event);


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_EVENTS_H_INCLUDED_ */
