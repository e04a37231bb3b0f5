
/*
 * Requests that wait for events of a tenant: Prefer: wait, and event streams.
 * A worker subscribes to a tenant's live channel once for all of them.
 */


#ifndef _NGX_VMOPS_LIVE_H_INCLUDED_
#define _NGX_VMOPS_LIVE_H_INCLUDED_


#include "ngx_vmops.h"


#pragma GCC visibility push(hidden)


typedef struct ngx_vmops_live_s  ngx_vmops_live_t;

typedef enum {
    NGX_VMOPS_END_TIME = 0,        /* what ngx_vmops_live_timer() asked for */
    NGX_VMOPS_END_EXIT,            /* the worker is about to exit */
    NGX_VMOPS_END_PRINCIPAL        /* it is revoked, or may no longer */
} ngx_vmops_end_e;

struct ngx_vmops_stream_s {
    ngx_queue_t         queue;     /* of the tenant's */
    ngx_queue_t         all;       /* of the worker's */
    ngx_vmops_live_t   *live;
    ngx_vmops_op_t     *op;
    ngx_event_t         timer;

    /* messages come from now on; again, if some may have been lost */
    ngx_vmops_step_pt   ready;

    void              (*message)(ngx_vmops_op_t *op, vmops_span_t message);
    void              (*end)(ngx_vmops_op_t *op, ngx_vmops_end_e why);

    unsigned            open:1;
};


void ngx_vmops_live_init(void);
void ngx_vmops_live_exit(void *data);

/* how many wait, in this worker */
ngx_uint_t ngx_vmops_live_streams(void);

/*
 * op->stream with its three handlers set.  Ends the step: ready runs, or end
 * where the worker is about to exit.
 */
void ngx_vmops_live_open(ngx_vmops_op_t *op);
void ngx_vmops_live_close(ngx_vmops_op_t *op);

/*
 * A word of a message, counted from 0: "ev <type> <event id>", or
 * "cmd <command_id> <status> <event id>" and, of its end, what that changed in
 * the command's record, packed: the rest, word NGX_VMOPS_LIVE_REST.
 */
#define NGX_VMOPS_LIVE_REST  4

vmops_span_t ngx_vmops_live_word(vmops_span_t message, ngx_uint_t i);

/*
 * Why NGX_VMOPS_END_PRINCIPAL came: what the last record that was found of the
 * principal says; one that speaks for it still is there no more.
 */
vmops_problem_t ngx_vmops_live_refusal(ngx_vmops_op_t *op);

/* end runs with NGX_VMOPS_END_TIME */
void ngx_vmops_live_timer(ngx_vmops_op_t *op, ngx_msec_t ms);


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_LIVE_H_INCLUDED_ */
