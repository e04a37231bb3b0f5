
/*
 * Looks after the routes to the endpoints of stored secrets: one thread, one
 * probe at a time, every few minutes and when asked.
 */

#ifndef VMOPS_PROBER_H
#define VMOPS_PROBER_H


#include "daemon.h"


typedef struct prober_s  prober_t;

/* NULL: no memory, or no thread. */
prober_t *prober_new(agent_t *agent);

/* That one next. */
void prober_ask(prober_t *p, const vmops_uuid_t *secret);

/* Waits for a probe under way to give up, which a stop signal makes it do. */
void prober_stop(prober_t *p);


#endif /* VMOPS_PROBER_H */
