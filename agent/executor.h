
/*
 * A small pool of threads that carries out commands: those on the same guest
 * one after the other, others side by side.
 */

#ifndef VMOPS_EXECUTOR_H
#define VMOPS_EXECUTOR_H


#include "job.h"


typedef struct executor_s  executor_t;

/* NULL: no threads, or no memory. */
executor_t *executor_new(agent_t *agent);

/*
 * Takes a command that the journal has, as job_new() made it: from here on
 * nothing that its end needs can be missing.
 */
void executor_submit(executor_t *x, job_t *job);

/* Asks one to stop; unknown ids are ignored. */
void executor_cancel(executor_t *x, const vmops_uuid_t *id);

/*
 * Lets go of followed tasks, waits at most ms for the rest.  0 and everything
 * is freed; -1: a thread is still at work, and nothing is.
 */
int executor_stop(executor_t *x, uint64_t ms);


#endif /* VMOPS_EXECUTOR_H */
