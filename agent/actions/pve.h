
/*
 * Proxmox VE's REST API as the agent uses it: signing in, one call, one task
 * (facts and versions: docs of the API viewer, /api2/json).
 */

#ifndef VMOPS_PVE_H
#define VMOPS_PVE_H


#include "act.h"
#include "http_target.h"


#define PVE_PATH_MAX   512
#define PVE_FORM_MAX   1024
#define PVE_NODES_MAX  65536    /* of one JSON answer: some 2,500 guests */

typedef struct {
    act_t              *act;
    http_t             *http;
    struct curl_slist  *headers;        /* what signs a request in */
    redact_t           *redact[2];      /* ticket, CSRF token */
    uint64_t            signed_in;      /* plat_boot_ms(); 0: by token */
    uint8_t             proven;         /* this ticket has been taken */
    uint8_t            *memory;         /* of the last answer's JSON */
    size_t              memory_n;
    char                node[VMOPS_NODE_MAX + 1];
} pve_t;

typedef struct {
    unsigned             status;
    char                 reason[HTTP_REASON_MAX + 1];
    const vmops_json_t  *data;          /* may be NULL */
    const vmops_json_t  *errors;        /* of a 400, or NULL */
    const vmops_json_t  *total;         /* of a log, or NULL: its lines */
} pve_reply_t;

typedef enum {
    PVE_OK = 0,
    PVE_REFUSED,            /* an answer that is no 2xx: pve_judge() */
    PVE_ENDED               /* none; the end of the act is set */
} pve_rc_t;

typedef enum {
    PVE_READ = 0,           /* ends when the command is not wanted; while a
                               task is followed, after some silence, too */
    PVE_CHANGE              /* sent once, and then waited for */
} pve_mode_t;

/* Signs in where that is needed.  -1: the end is set; close it all the same. */
int pve_open(pve_t *pve, act_t *act);
void pve_close(pve_t *pve);

/*
 * One call; path is what follows /api2/json, form NULL for none.  reply's
 * JSON is valid until the next call.
 */
pve_rc_t pve_call(pve_t *pve, pve_mode_t mode, const char *method,
    const char *path, const char *form, pve_reply_t *reply);

/* "/nodes/<node>/<qemu|lxc>/<vmid><rest>" of the command's target. */
void pve_guest_path(char path[PVE_PATH_MAX], const pve_t *pve,
    const char *rest);

/*
 * A reason or an exit status: if it says that the guest is not on this node, 1
 * when it is on another one, which pve->node is from now on, or -1 with the
 * end set.  0: it says something else.
 */
int pve_moved(pve_t *pve, const char *text);

/* Sets the end from a refusal. */
void pve_refused(pve_t *pve, const pve_reply_t *reply);

/* Whether a change that was refused so may have been made all the same. */
int pve_may_have_begun(const pve_reply_t *reply);

/* Whether what a call came to may be over at the next one. */
int pve_passing(const outcome_t *end);

/*
 * What a text of the target means: a reason, or a task's exit status.  `code`
 * and detail are left as they are where nothing is known of it.
 */
void pve_judge(const char *text, vmops_command_error_t *code,
    char detail[VMOPS_CODE_MAX + 1]);

/*
 * The whole of an action that is a task: the POST, again while the guest is
 * locked, its UPID, its progress and log, its exit status.  After a restart it
 * only follows.  Sets the end and the result.
 */
void pve_task(pve_t *pve, const char *rest, const char *form);

/* Appends "name=value" with & and encoding; -1 if it does not fit. */
int pve_form_add(char form[PVE_FORM_MAX], const char *name,
    vmops_span_t value);
int pve_form_int(char form[PVE_FORM_MAX], const char *name, int64_t value);


#endif /* VMOPS_PVE_H */
