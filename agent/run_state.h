
/*
 * What the running agent says of itself to `status` and to the tray: a small
 * file, run.json, and the lock of the one running instance.
 */

#ifndef VMOPS_RUN_STATE_H
#define VMOPS_RUN_STATE_H


#include "agent.h"
#include "vmops_json.h"


typedef enum {
    RUN_STOPPED = 0,
    RUN_CONNECTING,
    RUN_ONLINE,
    RUN_PENDING,            /* connected, and not approved yet */
    RUN_WAITING,            /* until the next try to connect */
    RUN_LOCKED,
    RUN_REVOKED,
    RUN_DAMAGED,            /* stopped, as the journal is */
    RUN_MAX_
} run_state_t;

const char *run_state_name(run_state_t state);

/* Written when it is another one than before; code: why, or NULL. */
void run_state_set(const home_t *home, run_state_t state, const char *code);

/*
 * The members state, code, since and pid into an open object; state is
 * "stopped" when no instance runs, but for locked, revoked and damaged.  code
 * is "" where there is none.
 */
void run_state_write(vmops_jw_t *w, const home_t *home, char state[32],
    char code[VMOPS_CODE_MAX + 1]);

/* The instance: 0, PLAT_EBUSY, or PLAT_E. */
int run_lock(const home_t *home, plat_lock_t **lock);


#endif /* VMOPS_RUN_STATE_H */
