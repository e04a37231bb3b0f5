
/* Handlers of the family proxmox that are tasks of a guest's power. */

#include <string.h>

#include "actions/pve.h"
#include "vmops_banned.h"


#define RUNNING_POLL_MS  250
#define OPEN_RETRY_MS    1000


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


/*
 * A reboot's task ends when the guest is down; it comes up by itself a little
 * later.  What is done to it in between would meet a guest that starts.
 */

static void
wait_running(pve_t *pve)
{
    char          path[PVE_PATH_MAX];
    act_t        *act = pve->act;
    outcome_t     done = act->end;
    pve_reply_t   reply;
    vmops_span_t  status;

    do {
        pve_guest_path(path, pve, "/status/current");

        if (pve_call(pve, PVE_READ, "GET", path, NULL, &reply) != PVE_OK
            || vmops_json_str(vmops_json_get(reply.data, "status"), &status)
               != 0
            || vmops_span_is(status, "running"))
        {
            /* it runs, or this account may not see whether it does */
            break;
        }

        act_progress(act, -1, "restarting", vmops_span_str(""));

    } while (act_wait(act, RUNNING_POLL_MS) == 0);

    /* a cancel, or the deadline, is too late for what has taken place */
    if (!act->detached) {
        act->end = done;
    }
}


/*
 * A task that was begun before a restart: the way to it may come later than
 * the agent, and where it does not come nothing is known of the task.
 */

static int
open_pve(pve_t *pve, act_t *act)
{
    while (pve_open(pve, act) != 0) {

        if (act->upid.p == NULL) {
            return -1;
        }

        if (!pve_passing(&act->end) || act_wait(act, OPEN_RETRY_MS) != 0) {
            if (act->end.status != VMOPS_ST_TIMED_OUT) {
                act->end.status = VMOPS_ST_INDETERMINATE;
            }
            return -1;
        }

        pve_close(pve);
    }

    return 0;
}


static void
power(act_t *act, const char *rest, const param_t *params, int runs_after)
{
    char   form[PVE_FORM_MAX];
    pve_t  pve;

    if (open_pve(&pve, act) == 0) {
        if (form_make(form, act->cmd->params.node, params) == 0) {
            pve_task(&pve, rest, form);
        } else {
            act_fail(act, VMOPS_CMDERR_command_invalid, -1, NULL);
        }

        if (runs_after && act->end.status == VMOPS_ST_SUCCEEDED) {
            wait_running(&pve);
        }
    }

    pve_close(&pve);
}


void
vmops_do_proxmox_start(act_t *act)
{
    /* containers take no timeout for it */
    power(act, "/status/start",
          act->cmd->target.guest == VMOPS_GUEST_QEMU ? timeout_params : NULL,
          0);
}


void
vmops_do_proxmox_shutdown(act_t *act)
{
    power(act, "/status/shutdown", shutdown_params, 0);
}


void
vmops_do_proxmox_stop(act_t *act)
{
    power(act, "/status/stop", NULL, 0);
}


void
vmops_do_proxmox_reboot(act_t *act)
{
    power(act, "/status/reboot", timeout_params, 1);
}
