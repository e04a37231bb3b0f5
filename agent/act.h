
/*
 * One command while it is carried out: what a handler of actions/ may see
 * and do.  A handler sets the end by act_done() or act_fail() and returns.
 */

#ifndef VMOPS_ACT_H
#define VMOPS_ACT_H


#include "daemon.h"
#include "receipt.h"
#include "vmops_action.h"


typedef struct job_s  job_t;

typedef struct {
    const vmops_cmd_t     *cmd;
    const vmops_action_t  *action;
    const opened_t        *secret;
    uint64_t               deadline;    /* plat_boot_ms() */
    vmops_span_t           upid;        /* to be followed again, after a
                                           restart; otherwise p NULL */
    vmops_jw_t             result;      /* one JSON object, or nothing */
    outcome_t              end;
    uint8_t                detached;    /* the agent stops: no end yet */

    /* for executor.c */
    agent_t               *agent;
    job_t                 *job;
    char                   detail[VMOPS_CODE_MAX + 1];
    uint8_t                upid_text[256];
    uint8_t                unwritten;   /* upid, in the journal */
    uint64_t               progress_at;
    uint8_t                percent;
} act_t;

/* The handlers, one for each line of vmops_actions.def. */

#define VMOPS_ACTION(service, id, ...)                                        \
    void vmops_do_##service##_##id(act_t *act);
#include "vmops_actions.def"
#undef VMOPS_ACTION

/* 1 when it was cancelled or the agent stops: for http_request_t. */
int act_unwanted(void *act);

/*
 * Waits; -1 when it was cancelled, the agent stops or the deadline is over,
 * with the end set to say so.
 */
int act_wait(act_t *act, uint64_t ms);
int act_interrupted(act_t *act);

/* Whether it was cancelled; and that this has been dealt with, so that it
 * ends no further call. */
int act_cancelled(act_t *act);
void act_cancel_taken(act_t *act);

/*
 * To be called right before the first request that changes something: -1 if
 * that could not be written to the disk, and it must not be sent.
 */
int act_effect(act_t *act);

/* The target made a task of it. */
int act_task(act_t *act, vmops_span_t upid);

/* From time to time while it is followed: if it could not be written to the
 * disk, it is tried again. */
void act_task_keep(act_t *act);

/* News; percent -1: unknown.  Any text: it is cleaned, cut and searched for
 * open secrets. */
void act_progress(act_t *act, int percent, const char *stage,
    vmops_span_t message);
void act_log(act_t *act, vmops_span_t line);

/* What the connection to the endpoint came to; fail NULL: it stands. */
void act_route(act_t *act, const net_fail_t *fail, int64_t latency_ms);

/* The end.  stage: vmops_stage_t or -1; detail: a stable code or NULL. */
void act_done(act_t *act);
void act_fail(act_t *act, vmops_command_error_t error, int stage,
    const char *detail);


#endif /* VMOPS_ACT_H */
