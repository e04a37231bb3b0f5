
/* The handlers as a table. */

#ifndef VMOPS_ACTIONS_H
#define VMOPS_ACTIONS_H


#include "act.h"


typedef void (*act_handler_t)(act_t *act);

act_handler_t act_handler(const vmops_action_t *action);

/* Bits 1 << vmops_service_t: the families that have handlers. */
unsigned act_capabilities(void);


#endif /* VMOPS_ACTIONS_H */
