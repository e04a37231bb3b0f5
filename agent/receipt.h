
/*
 * The end of a command: its result, signed, in the journal and the outbox
 * (docs/protocol.md).
 */

#ifndef VMOPS_RECEIPT_H
#define VMOPS_RECEIPT_H


#include <stdatomic.h>

#include "daemon.h"


typedef struct {
    vmops_status_t  status;
    int             error;          /* vmops_command_error_t, or -1 */
    int             stage;          /* vmops_stage_t, or -1 */
    const char     *detail;         /* a stable code of the target's, or NULL */
    uint64_t        started;        /* Unix ms; 0: never */
    vmops_span_t    result;         /* a JSON object; p NULL: null */
} outcome_t;

typedef struct receipt_s  receipt_t;

/*
 * Composes and signs it.  A result that contains an open secret, or is too
 * big, is left out, and says so.  NULL: no memory.
 */
receipt_t *receipt_make(agent_t *agent, const vmops_cmd_t *cmd,
    vmops_span_t payload, const outcome_t *outcome);

/*
 * Writes it to the journal, and frees it.  While the disk cannot be written it
 * is tried again, until the agent is asked to stop or *stopping (which may be
 * NULL) is set; then the next start says what it can.
 */
void receipt_keep(agent_t *agent, receipt_t *receipt,
    const atomic_int *stopping);

/*
 * After a start: what was taken in and had no effect yet ends as failed,
 * what may have had one as indeterminate; tasks that were followed stay.
 */
void receipt_recover(agent_t *agent);


#endif /* VMOPS_RECEIPT_H */
