
/* One command in the pool; between executor.c and job.c. */

#ifndef VMOPS_JOB_H
#define VMOPS_JOB_H


#include <stdatomic.h>

#include "act.h"


struct job_s {
    job_t          *next;
    vmops_cmd_t     cmd;            /* points into payload and memory */
    vmops_span_t    payload;
    uint8_t        *memory;
    uint64_t        deadline;
    vmops_span_t    upid;
    char            host[VMOPS_HOSTNAME_MAX + 1];
    uint16_t        port;           /* 0: where it will go is not known */
    uint8_t         running;
    atomic_int      cancelled;
    atomic_int     *stopping;       /* of the executor */
};

/*
 * Copies and parses a command (upid.p NULL: it has none): all that can fail
 * before it is in the journal.  deadline is plat_boot_ms().  NULL: no memory,
 * or not a command.
 */
job_t *job_new(vmops_span_t payload, uint64_t deadline, vmops_span_t upid);
void job_free(job_t *job);

/* What the end of any command needs, made before the first one is taken in. */

typedef struct {
    receipt_t  *receipt;
    uint8_t    *result;         /* VMOPS_RESULT_PAYLOAD_MAX */
} job_room_t;

/* 0, or -1: no memory.  To be closed all the same. */
int job_room_open(job_room_t *room);
void job_room_close(job_room_t *room);

/* Where it will go, as far as that is known before its secret is opened. */
void job_locate(job_t *job, vault_t *vault);

/* 1 if both are on the same guest, whatever their secrets. */
int job_same_guest(const job_t *a, const job_t *b);

/* From the policy to the receipt. */
void job_run(agent_t *agent, job_t *job, const job_room_t *room);


#endif /* VMOPS_JOB_H */
