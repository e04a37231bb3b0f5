
/* What Proxmox VE's refusals mean, and where a guest has gone. */

#include <stdio.h>
#include <string.h>

#include "actions/pve.h"
#include "vmops_banned.h"


typedef struct {
    const char            *text;        /* part of what it says */
    int                    code;        /* -1: as it was */
    const char            *detail;
} phrase_t;

/* the first that fits; texts are those of qemu-server, pve-container and
 * pve-guest-common */

static const phrase_t  phrases[] = {
    { "is locked (", VMOPS_CMDERR_vm_locked, NULL },
    { "is locked", VMOPS_CMDERR_vm_locked, "locked" },
    { "can't lock file", VMOPS_CMDERR_vm_locked, "config_lock" },
    { "Permission check failed", VMOPS_CMDERR_permission_denied, NULL },
    { "No QEMU guest agent", VMOPS_CMDERR_guest_agent_missing, NULL },
    { "guest agent is not running", VMOPS_CMDERR_guest_agent_missing, NULL },
    { "No space left", VMOPS_CMDERR_storage_full, NULL },
    { "not enough space", VMOPS_CMDERR_storage_full, NULL },
    { "out of space", VMOPS_CMDERR_storage_full, NULL },
    { "hostname lookup", -1, "unknown_node" },
    { "no such cluster node", -1, "unknown_node" },
    { "already running", -1, "already_running" },
    { "not running", -1, "not_running" },
    { "is paused", -1, "paused" },
    { "got timeout", -1, "timeout" },
    { "unexpected status", -1, "interrupted" },
    { "interrupted by signal", -1, "interrupted" },
};


/* "VM is locked (backup)": the lock's name is the detail */

static void
lock_name(const char *text, char detail[VMOPS_CODE_MAX + 1])
{
    size_t       i, n;
    const char  *name = strstr(text, "is locked (");

    name = strchr(name, '(') + 1;
    n = strcspn(name, ")");

    for (i = 0; i < n && i < VMOPS_CODE_MAX; i++) {
        detail[i] = name[i] == '-' ? '_' : name[i];
    }
    detail[i] = '\0';

    if (!vmops_pattern_match(VMOPS_P_CODE, vmops_span_str(detail))) {
        snprintf(detail, VMOPS_CODE_MAX + 1, "locked");
    }
}


void
pve_judge(const char *text, vmops_command_error_t *code,
    char detail[VMOPS_CODE_MAX + 1])
{
    size_t  i;

    for (i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (strstr(text, phrases[i].text) == NULL) {
            continue;
        }

        if (phrases[i].code >= 0) {
            *code = (vmops_command_error_t) phrases[i].code;
        }

        if (i == 0) {
            lock_name(text, detail);

        } else {
            snprintf(detail, VMOPS_CODE_MAX + 1, "%s",
                     phrases[i].detail != NULL ? phrases[i].detail : "");
        }

        return;
    }
}


static int
is_missing(const char *reason)
{
    return strstr(reason, "onfiguration file") != NULL
           && strstr(reason, "does not exist") != NULL;
}


static int
is_elsewhere(const char *reason)
{
    return is_missing(reason) || strstr(reason, "hostname lookup") != NULL
           || strstr(reason, "no such cluster node") != NULL;
}


/* The node of the target's guest among all that this account can see. */

static int
find_node(pve_t *pve, char node[VMOPS_NODE_MAX + 1])
{
    int64_t                vmid;
    pve_rc_t               rc;
    pve_reply_t            reply;
    vmops_span_t           type, name;
    const vmops_json_t    *g;
    const vmops_target_t  *t = &pve->act->cmd->target;

    rc = pve_call(pve, PVE_READ, "GET", "/cluster/resources?type=vm", NULL,
                  &reply);
    if (rc != PVE_OK) {
        if (rc == PVE_REFUSED) {
            pve_refused(pve, &reply);
        }
        return -1;
    }

    if (!vmops_json_is(reply.data, VMOPS_JSON_ARRAY)) {
        return 0;
    }

    for (g = reply.data->child; g != NULL; g = g->next) {
        if (vmops_json_int(vmops_json_get(g, "vmid"), &vmid) == 0
            && vmid == t->vmid
            && vmops_json_str(vmops_json_get(g, "type"), &type) == 0
            && vmops_span_is(type, vmops_guest_name(t->guest))
            && vmops_json_str(vmops_json_get(g, "node"), &name) == 0
            && vmops_pattern_match(VMOPS_P_NODE, name))
        {
            return text_copy(node, VMOPS_NODE_MAX + 1, name) == 0;
        }
    }

    return 0;
}


int
pve_moved(pve_t *pve, const char *text)
{
    int   rc;
    char  node[VMOPS_NODE_MAX + 1];

    if (!is_elsewhere(text)) {
        return 0;
    }

    rc = find_node(pve, node);
    if (rc < 0) {
        return -1;
    }

    /* the end, unless the next try finds it there */
    act_fail(pve->act, VMOPS_CMDERR_vm_not_found, VMOPS_STAGE_HTTP, NULL);

    if (rc == 0 || strcmp(node, pve->node) == 0) {
        return -1;
    }

    memcpy(pve->node, node, sizeof(node));

    return 1;
}


/* The parameter that a 400 names first, as a detail. */

static void
bad_parameter(const pve_reply_t *reply, char detail[VMOPS_CODE_MAX + 1])
{
    size_t        i;
    vmops_span_t  name;

    if (!vmops_json_is(reply->errors, VMOPS_JSON_OBJECT)
        || reply->errors->child == NULL)
    {
        return;
    }

    name = reply->errors->child->key;
    if (text_copy(detail, VMOPS_CODE_MAX + 1, name) != 0) {
        return;
    }

    for (i = 0; i < name.n; i++) {
        if (detail[i] == '-') {
            detail[i] = '_';
        }
    }

    if (!vmops_pattern_match(VMOPS_P_CODE, vmops_span_str(detail))) {
        detail[0] = '\0';
    }
}


/*
 * Answers of something in between, which may have passed the request on: a
 * reverse proxy, or pveproxy for another node (AnyEvent::HTTP: 595 is no
 * connection, what is above it a connection that failed later).
 */

int
pve_may_have_begun(const pve_reply_t *reply)
{
    return reply->status == 502 || reply->status == 504
           || reply->status >= 596;
}


/*
 * The network, a node's daemon or memory here may be away for a while: the task
 * is not.  One answer that did not come is no deadline of the command.
 */

int
pve_passing(const outcome_t *end)
{
    switch (end->error) {

    case VMOPS_CMDERR_dns_failed:
    case VMOPS_CMDERR_no_route:
    case VMOPS_CMDERR_connection_refused:
    case VMOPS_CMDERR_connect_timeout:
    case VMOPS_CMDERR_tls_failed:
    case VMOPS_CMDERR_target_error:
    case VMOPS_CMDERR_timeout:
    case VMOPS_CMDERR_internal:
        return 1;

    default:
        return 0;
    }
}


void
pve_refused(pve_t *pve, const pve_reply_t *reply)
{
    int                     stage = VMOPS_STAGE_HTTP;
    char                    detail[VMOPS_CODE_MAX + 1] = "";
    net_fail_t              fail;
    vmops_command_error_t   code = VMOPS_CMDERR_target_error;

    if (reply->status == 401) {
        code = VMOPS_CMDERR_auth_failed;
        stage = VMOPS_STAGE_AUTH;
        fail = NET_FAIL(VMOPS_STAGE_AUTH, code);
        act_route(pve->act, &fail, -1);

    } else if (reply->status == 403) {
        code = VMOPS_CMDERR_permission_denied;

    } else if (reply->status == 400) {
        code = VMOPS_CMDERR_invalid_target_params;
        bad_parameter(reply, detail);

    } else if (reply->status == 501) {
        snprintf(detail, sizeof(detail), "not_implemented");

    } else if (reply->status >= 595) {
        snprintf(detail, sizeof(detail), "node_unreachable");

    } else if (is_missing(reply->reason)) {
        code = VMOPS_CMDERR_vm_not_found;

    } else {
        pve_judge(reply->reason, &code, detail);
    }

    act_fail(pve->act, code, stage, detail[0] != '\0' ? detail : NULL);
}
