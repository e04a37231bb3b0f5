
/* Handlers of the family proxmox that only look. */

#include <string.h>

#include "actions/pve.h"
#include "vmops_banned.h"


#define LIST_ROOM  2048     /* for what the payload has around it */
#define LIST_MAX   350      /* guests: VMOPS_JSON_NODES_MAX of one payload */



typedef struct {
    const char         *from;
    const char         *to;
    vmops_json_type_t   type;
} allowed_t;

/* Everything else of an answer stays here. */

static const allowed_t  list_members[] = {
    { "vmid", "vmid", VMOPS_JSON_NUMBER },
    { "name", "name", VMOPS_JSON_STRING },
    { "type", "guest", VMOPS_JSON_STRING },
    { "node", "node", VMOPS_JSON_STRING },
    { "status", "status", VMOPS_JSON_STRING },
    { "lock", "lock", VMOPS_JSON_STRING },
    { "template", "template", VMOPS_JSON_NUMBER },
    { "maxcpu", "cpus", VMOPS_JSON_NUMBER },
    { "maxmem", "memory", VMOPS_JSON_NUMBER },
    { "uptime", "uptime", VMOPS_JSON_NUMBER },
    { NULL, NULL, VMOPS_JSON_NULL }
};

static const allowed_t  status_members[] = {
    { "name", "name", VMOPS_JSON_STRING },
    { "status", "status", VMOPS_JSON_STRING },
    { "qmpstatus", "qmpstatus", VMOPS_JSON_STRING },
    { "lock", "lock", VMOPS_JSON_STRING },
    { "cpus", "cpus", VMOPS_JSON_NUMBER },
    { "maxmem", "memory", VMOPS_JSON_NUMBER },
    { "mem", "memory_used", VMOPS_JSON_NUMBER },
    { "uptime", "uptime", VMOPS_JSON_NUMBER },
    { NULL, NULL, VMOPS_JSON_NULL }
};


static void
copy_members(vmops_jw_t *w, const vmops_json_t *from, const allowed_t *a)
{
    const vmops_json_t  *v;

    for ( ; a->from != NULL; a++) {
        v = vmops_json_get(from, a->from);
        if (vmops_json_is(v, a->type)) {
            vmops_jw_key(w, a->to);
            vmops_jw_node(w, v);
        }
    }
}


/* Whether this secret may say anything of that guest. */

static int
visible(const act_t *act, const vmops_json_t *guest)
{
    int64_t  vmid;

    return vmops_json_int(vmops_json_get(guest, "vmid"), &vmid) == 0
           && vmid >= VMOPS_VMID_MIN && vmid <= VMOPS_VMID_MAX
           && vmops_secret_allows_vmid(&act->secret->s, (uint32_t) vmid);
}


static void
write_list(act_t *act, const vmops_json_t *data)
{
    int                  truncated = 0;
    size_t               n = 0;
    vmops_jw_t           before, *w = &act->result;
    const vmops_json_t  *g;

    vmops_jw_obj(w);
    vmops_jw_key(w, "guests");
    vmops_jw_arr(w);

    for (g = data->child; g != NULL; g = g->next) {
        if (!visible(act, g)) {
            continue;
        }

        if (truncated || n++ == LIST_MAX) {
            truncated = 1;
            continue;
        }

        before = *w;
        vmops_jw_obj(w);
        copy_members(w, g, list_members);
        vmops_jw_obj_end(w);

        if (w->buf.overflow || w->buf.n + LIST_ROOM > w->buf.cap) {
            *w = before;
            truncated = 1;
        }
    }

    vmops_jw_arr_end(w);
    vmops_jw_kbool(w, "truncated", truncated);
    vmops_jw_obj_end(w);
}


void
vmops_do_proxmox_list(act_t *act)
{
    pve_t        pve;
    pve_reply_t  reply;

    if (pve_open(&pve, act) == 0) {

        switch (pve_call(&pve, PVE_READ, "GET", "/cluster/resources?type=vm",
                         NULL, &reply))
        {
        case PVE_OK:
            if (vmops_json_is(reply.data, VMOPS_JSON_ARRAY)) {
                write_list(act, reply.data);
                act_done(act);
            } else {
                act_fail(act, VMOPS_CMDERR_target_error, VMOPS_STAGE_HTTP,
                         "bad_answer");
            }
            break;

        case PVE_REFUSED:
            pve_refused(&pve, &reply);
            break;

        case PVE_ENDED:
            break;
        }
    }

    pve_close(&pve);
}


static void
write_status(act_t *act, const pve_t *pve, const vmops_json_t *data)
{
    vmops_jw_t  *w = &act->result;

    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "guest", vmops_guest_name(act->cmd->target.guest));
    vmops_jw_kint(w, "vmid", act->cmd->target.vmid);
    vmops_jw_kcstr(w, "node", pve->node);
    copy_members(w, data, status_members);
    vmops_jw_obj_end(w);
}


void
vmops_do_proxmox_status(act_t *act)
{
    int          again = 1;
    char         path[PVE_PATH_MAX];
    pve_t        pve;
    pve_rc_t     rc;
    pve_reply_t  reply;

    again = pve_open(&pve, act) == 0;

    while (again) {
        again = 0;
        pve_guest_path(path, &pve, "/status/current");
        rc = pve_call(&pve, PVE_READ, "GET", path, NULL, &reply);

        if (rc == PVE_OK) {
            write_status(act, &pve, reply.data);
            act_done(act);

        } else if (rc == PVE_REFUSED) {
            pve_refused(&pve, &reply);
            again = pve_moved(&pve, reply.reason) == 1;
        }
    }

    pve_close(&pve);
}
