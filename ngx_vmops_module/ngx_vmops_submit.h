
/* a command that is submitted, and waited for */


#ifndef _NGX_VMOPS_SUBMIT_H_INCLUDED_
#define _NGX_VMOPS_SUBMIT_H_INCLUDED_


#include "ngx_vmops_commands.h"
#include "ngx_vmops_live.h"


#pragma GCC visibility push(hidden)


typedef struct {
    ngx_vmops_stream_t      stream;
    ngx_vmops_command_t     command;

    const vmops_action_t   *action;
    vmops_span_t            target;
    vmops_span_t            params;
    vmops_span_t            params_error;
    int64_t                 timeout_s;

    uint8_t                 idem[VMOPS_HASH];
    char                    idem_text[VMOPS_B64U_LEN(VMOPS_HASH)];
    char                    body_hash[VMOPS_B64U_LEN(VMOPS_HASH)];
    unsigned                has_idem:1;

    ngx_uint_t              wait_s;
    ngx_msec_t              until;
    redisReply             *record;        /* as it was accepted; NULL: of */
    redisReply             *agent;         /* another request, or not kept */
    vmops_span_t            known;         /* AgentCommand, as seen last */
    unsigned                submitted:1;
    unsigned                accepted:1;
    unsigned                ended:1;       /* the event of its end was seen */
    unsigned                over:1;        /* the time to wait */
} ngx_vmops_submit_t;


/* ngx_vmops_submit.c; ends the step */

void ngx_vmops_submit_send(ngx_vmops_op_t *op);


/* ngx_vmops_submit_wait.c */

/* handlers of op->stream; the first one submits, once the channel is there */
void ngx_vmops_submit_ready(ngx_vmops_op_t *op);
void ngx_vmops_submit_message(ngx_vmops_op_t *op, vmops_span_t message);
void ngx_vmops_submit_end(ngx_vmops_op_t *op, ngx_vmops_end_e why);

/* ends the step: what was accepted has not ended yet */
void ngx_vmops_submit_wait(ngx_vmops_op_t *op, redisReply *record,
    ngx_uint_t replay);

/* end the step: reads the command, and goes on; answers with it */
void ngx_vmops_submit_look(ngx_vmops_op_t *op, ngx_vmops_step_pt next);
void ngx_vmops_submit_answer(ngx_vmops_op_t *op);


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_SUBMIT_H_INCLUDED_ */
