
/*
 * What a start finds in the journal, and rows of it that are damaged: those are
 * set aside, and their orders end as nobody knows how (docs/protocol.md).
 */

#ifndef VMOPS_RECOVER_H
#define VMOPS_RECOVER_H


#include "receipt.h"


/*
 * After a start: what was taken in and had no effect yet ends as failed, what
 * may have had one as indeterminate; tasks that were followed stay.  0, or -1:
 * not all of it could be done, and has to be tried again.
 */
int recover_open(agent_t *agent);

/*
 * Whether an ended row has a result that this agent signed: 1, 0, or -1 (no
 * memory to tell).  *order: and, byte for byte, the order it belongs to.
 */
int recover_holds(const agent_t *agent, const journal_row_t *row, int *order);

/* Sets aside the rows of the outbox which do not hold: 0, or -1, as above. */
int recover_outbox(agent_t *agent);


#endif /* VMOPS_RECOVER_H */
