
/* vmops_actions.def as a table of handlers: a missing one does not link. */

#include "actions/actions.h"
#include "vmops_banned.h"


static const act_handler_t  handlers[VMOPS_ACT_MAX_] = {
#define VMOPS_ACTION(service, id, ...)                                        \
    [VMOPS_ACT_##service##_##id] = vmops_do_##service##_##id,
#include "vmops_actions.def"
#undef VMOPS_ACTION
};


act_handler_t
act_handler(const vmops_action_t *action)
{
    return handlers[vmops_action_id(action)];
}


unsigned
act_capabilities(void)
{
    unsigned  id, bits = 0;

    for (id = 0; id < VMOPS_ACT_MAX_; id++) {
        bits |= 1u << vmops_action_at(id)->service;
    }

    return bits;
}
