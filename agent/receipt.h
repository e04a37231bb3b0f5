
/*
 * The end of a command: its result, signed, in the journal and the outbox
 * (docs/protocol.md).
 */

#ifndef VMOPS_RECEIPT_H
#define VMOPS_RECEIPT_H


#include <stdatomic.h>

#include "daemon.h"
#include "journal.h"


typedef struct {
    vmops_status_t  status;
    int             error;          /* vmops_command_error_t, or -1 */
    int             stage;          /* vmops_stage_t, or -1 */
    const char     *detail;         /* a stable code of the target's, or NULL */
    uint64_t        started;        /* Unix ms; 0: never */
    vmops_span_t    result;         /* a JSON object; p NULL: null */
} outcome_t;

/* Room for one, made before it is needed: an end needs no memory then. */

typedef struct receipt_s  receipt_t;

receipt_t *receipt_new(void);
void receipt_free(receipt_t *receipt);

/*
 * Composes and signs it.  A result that contains an open secret, or is too
 * big, is left out, and says so.
 */
void receipt_make(receipt_t *receipt, agent_t *agent, const vmops_cmd_t *cmd,
    vmops_span_t payload, const outcome_t *outcome);

/*
 * Writes it to the journal.  While the disk cannot be written it is tried
 * again, until the agent is asked to stop, its journal is found damaged or
 * *stopping (which may be NULL) is set; then the next start says what it can.
 */
void receipt_keep(agent_t *agent, const receipt_t *receipt,
    const atomic_int *stopping);

/* The same as columns of a row; they point into the receipt. */
void receipt_row(const receipt_t *receipt, journal_row_t *row);


#endif /* VMOPS_RECEIPT_H */
