
/*
 * The session with the gateway (docs/protocol.md): connects, proves itself
 * and has the gateway prove itself, takes in commands, sends what they come
 * to; again and again until it is told to end.
 */

#ifndef VMOPS_SESSION_H
#define VMOPS_SESSION_H


#include "daemon.h"
#include "executor.h"
#include "prober.h"


typedef enum {
    SESSION_STOPPED = 0,    /* the program is asked to stop */
    SESSION_REVOKED,        /* for good, and signed */
    SESSION_LOCKED,
    SESSION_DAMAGED,        /* the journal is */
    SESSION_ERROR
} session_end_t;

session_end_t session_run(agent_t *agent, executor_t *executor,
    prober_t *prober);


#endif /* VMOPS_SESSION_H */
