
/* commands: reading, drawing, and what of their records is kept */


#ifndef _NGX_VMOPS_COMMANDS_H_INCLUDED_
#define _NGX_VMOPS_COMMANDS_H_INCLUDED_


#include "ngx_vmops.h"


#pragma GCC visibility push(hidden)


/* one command, read and drawn */

struct ngx_vmops_command_s {
    ngx_pool_t          *pool;     /* where it is drawn */
    vmops_span_t         id;
    ngx_vmops_step_pt    next;
    ngx_vmops_refusal_pt refused;  /* as op->refusal, of each call; or NULL */

    vmops_span_t         json;     /* AgentCommand */
    vmops_span_t         first;    /* id of its first event */
    ngx_uint_t           final;

    /* of its receipt, on the way */
    vmops_span_t         payload;
    vmops_span_t         signature;
    vmops_span_t         agent_id;
    vmops_span_t         verdict;
    vmops_span_t         status;
    vmops_span_t         result;
    vmops_span_t         error;
};


/* a final status? */
ngx_uint_t ngx_vmops_command_final(vmops_span_t status);

/*
 * Reads op->command's id, with its agent's key if there is a receipt; ends the
 * step, and goes on with next.
 */
void ngx_vmops_command_fetch(ngx_vmops_op_t *op);

/*
 * The same of a record that is here already, with the agent's; ends the step.
 * Where its receipt does not hold it is read all the same.
 */
void ngx_vmops_command_told(ngx_vmops_op_t *op, redisReply *record,
    redisReply *agent);

/* answers with op->command */
void ngx_vmops_command_answer(ngx_vmops_op_t *op);

/* ngx_vmops_command_draw.c */

/* of command_get; the object is left open: the receipt is its last member */
void ngx_vmops_command_open_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);

/* one that was just made: it has no log and no receipt yet */
void ngx_vmops_command_new_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);

/* in lists: without the log and the receipt, which are read one by one */
void ngx_vmops_command_list_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);

/* ngx_vmops_record.c */

/* a new record as it is stored, where what was asked is one packed field */
redisReply *ngx_vmops_record_whole(ngx_pool_t *pool, redisReply *record);

/* a copy of a flat array: a reply lasts no longer than its callback */
redisReply *ngx_vmops_record_keep(ngx_pool_t *pool, redisReply *record);


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_COMMANDS_H_INCLUDED_ */
