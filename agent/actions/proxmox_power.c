
/* Handlers of the family proxmox that are tasks of a guest's power. */

#include <string.h>

#include "actions/pve.h"
#include "vmops_banned.h"


/* A parameter of ours, the target's name for it, and whether it is an int or
 * a bool there (0 and 1, both). */

typedef struct {
    const char  *from;
    const char  *to;
} param_t;

static const param_t  timeout_params[] = {
    { "timeout", "timeout" },
    { NULL, NULL }
};

static const param_t  shutdown_params[] = {
    { "timeout", "timeout" },
    { "force_stop", "forceStop" },
    { NULL, NULL }
};


static int
form_make(char form[PVE_FORM_MAX], const vmops_json_t *params,
    const param_t *p)
{
    const vmops_json_t  *v;

    form[0] = '\0';

    for ( ; p != NULL && p->from != NULL; p++) {
        v = vmops_json_get(params, p->from);
        if (v != NULL && pve_form_int(form, p->to, v->i) != 0) {
            return -1;
        }
    }

    return 0;
}


static void
power(act_t *act, const char *rest, const param_t *params)
{
    char   form[PVE_FORM_MAX];
    pve_t  pve;

    if (pve_open(&pve, act) == 0) {
        if (form_make(form, act->cmd->params.node, params) == 0) {
            pve_task(&pve, rest, form);
        } else {
            act_fail(act, VMOPS_CMDERR_command_invalid, -1, NULL);
        }
    }

    pve_close(&pve);
}


void
vmops_do_proxmox_start(act_t *act)
{
    /* containers take no timeout for it */
    power(act, "/status/start",
          act->cmd->target.guest == VMOPS_GUEST_QEMU ? timeout_params : NULL);
}


void
vmops_do_proxmox_shutdown(act_t *act)
{
    power(act, "/status/shutdown", shutdown_params);
}


void
vmops_do_proxmox_stop(act_t *act)
{
    power(act, "/status/stop", NULL);
}


void
vmops_do_proxmox_reboot(act_t *act)
{
    power(act, "/status/reboot", timeout_params);
}
