
/*
 * The end of a command: its result, signed, in the journal and the outbox
 * (agent-channel.md, Payloads).
 */

#ifndef VMOPS_RECEIPT_H
#define VMOPS_RECEIPT_H


#include "daemon.h"


typedef struct {
    vmops_status_t  status;
    int             error;          /* vmops_command_error_t, or -1 */
    int             stage;          /* vmops_stage_t, or -1 */
    const char     *detail;         /* a stable code of the target's, or NULL */
    uint64_t        started;        /* Unix ms; 0: never */
    vmops_span_t    result;         /* a JSON object; p NULL: null */
} outcome_t;

/*
 * Writes it.  A result that contains an open secret, or is too big, is left
 * out, and says so.  0, or -1: nothing could be written.
 */
int receipt_write(agent_t *agent, const vmops_cmd_t *cmd,
    vmops_span_t payload, const outcome_t *outcome);

/*
 * After a start: what was taken in and had no effect yet ends as failed,
 * what may have had one as indeterminate; tasks that were followed stay.
 */
void receipt_recover(agent_t *agent);


#endif /* VMOPS_RECEIPT_H */
