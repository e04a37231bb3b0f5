
/* Tasks: begun, followed by UPID, and their exit status. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actions/pve.h"
#include "vmops_utf8.h"
#include "vmops_banned.h"


#define POLL_MIN_MS    100
#define POLL_MAX_MS    2000
#define LOCK_MIN_MS    500
#define LOCK_MAX_MS    8000
#define LOG_LIMIT      100
#define LOG_PAGES      (1 + (VMOPS_LOG_LINES_MAX + LOG_LIMIT - 1) / LOG_LIMIT)
#define LOG_AFTER_MS   1000     /* a short task's log is read at its end */
#define STOP_WAIT_MS   10000
#define EXIT_MAX       512
#define MOVES_MAX      4        /* a guest that moves again and again */

typedef enum {
    TASK_ENDED = 0,         /* task->exit says how */
    TASK_LOST               /* the end of the act is set */
} task_rc_t;

typedef struct {
    char      path[PVE_PATH_MAX];       /* /nodes/<node>/tasks/<upid> */
    uint64_t  begun;
    int64_t   lines;                    /* read so far, or passed over */
    int       percent;
    uint8_t   stopped;                  /* by us */
    char      exit[EXIT_MAX];
} task_t;


/* Its node is its second field; only what a UPID has goes into a path. */

static int
task_open(task_t *t, pve_t *pve, vmops_span_t upid)
{
    size_t          i;
    vmops_span_t    node;
    const uint8_t  *end;

    memset(t, 0, sizeof(*t));
    t->begun = plat_boot_ms();
    t->percent = -1;

    if (upid.n < 6 || upid.n > 255 || memcmp(upid.p, "UPID:", 5) != 0) {
        return -1;
    }

    end = memchr(upid.p + 5, ':', upid.n - 5);
    if (end == NULL) {
        return -1;
    }

    node = vmops_span(upid.p + 5, (size_t) (end - upid.p) - 5);
    if (!vmops_pattern_match(VMOPS_P_NODE, node)) {
        return -1;
    }

    for (i = 0; i < upid.n; i++) {
        if (upid.p[i] <= ' ' || upid.p[i] > '~'
            || strchr("/?#%\\\"", upid.p[i]) != NULL)
        {
            return -1;
        }
    }

    snprintf(t->path, sizeof(t->path), "/nodes/%.*s/tasks/%.*s", (int) node.n,
             (const char *) node.p, (int) upid.n, (const char *) upid.p);

    /* the guest is there, wherever the command thought it was */
    return text_copy(pve->node, sizeof(pve->node), node);
}


/* "... 45% ..." or "(45.50%)": the last one of a line */

static int
percent_of(vmops_span_t line)
{
    int     value = -1;
    size_t  i, from;

    for (i = 1; i < line.n; i++) {
        if (line.p[i] != '%') {
            continue;
        }

        from = i;
        while (from > 0 && ((line.p[from - 1] >= '0' && line.p[from - 1] <= '9')
                            || line.p[from - 1] == '.'))
        {
            from--;
        }

        for (value = 0; from < i && line.p[from] != '.'; from++) {
            value = value * 10 + (line.p[from] - '0');
            if (value > 100) {
                return -1;
            }
        }
    }

    return value;
}


/* Where the lines of a log begin that are kept: those at its end, which tell
 * how it went.  0: it does not say how long it is. */

static int64_t
kept_from(const pve_reply_t *reply)
{
    int64_t  total;

    if (vmops_json_int(reply->total, &total) != 0
        || total < VMOPS_LOG_LINES_MAX || total > INT32_MAX)
    {
        return 0;
    }

    return total - VMOPS_LOG_LINES_MAX;
}


static int
read_log(pve_t *pve, task_t *t)
{
    int                  n = 0, percent;
    char                 path[PVE_PATH_MAX + 64];
    pve_reply_t          reply;
    vmops_span_t         line;
    const vmops_json_t  *e;

    snprintf(path, sizeof(path), "%s/log?start=%lld&limit=%d", t->path,
             (long long) t->lines, LOG_LIMIT);

    if (pve_call(pve, PVE_READ, "GET", path, NULL, &reply) != PVE_OK
        || !vmops_json_is(reply.data, VMOPS_JSON_ARRAY))
    {
        return 0;
    }

    for (e = reply.data->child; e != NULL; e = e->next, n++) {
        if (vmops_json_str(vmops_json_get(e, "t"), &line) != 0) {
            continue;
        }

        /* an empty log is told as one line with this text */
        if (t->lines == 0 && n == 0 && vmops_span_is(line, "no content")) {
            return 0;
        }

        act_log(pve->act, line);
        percent = percent_of(line);
        if (percent >= 0) {
            t->percent = percent;
        }
    }

    t->lines += n;

    if (kept_from(&reply) > t->lines) {
        t->lines = kept_from(&reply);
    }

    return n;
}


static void
read_rest_of_log(pve_t *pve, task_t *t)
{
    int        pages = 0;
    outcome_t  end = pve->act->end;

    while (read_log(pve, t) == LOG_LIMIT && ++pages < LOG_PAGES) { /* void */ }

    /* the task's end stands, whether its log could be had or not */
    pve->act->end = end;
}


/* 1: it has ended, 0: not yet, -1: the end of the act is set */

static int
poll(pve_t *pve, task_t *t)
{
    char          path[PVE_PATH_MAX + 16];
    size_t        n;
    pve_reply_t   reply;
    vmops_span_t  status, text;

    snprintf(path, sizeof(path), "%s/status", t->path);

    switch (pve_call(pve, PVE_READ, "GET", path, NULL, &reply)) {

    case PVE_ENDED:
        return -1;

    case PVE_REFUSED:
        pve_refused(pve, &reply);
        return -1;

    case PVE_OK:
        break;
    }

    if (vmops_json_str(vmops_json_get(reply.data, "status"), &status) != 0
        || !vmops_span_is(status, "stopped"))
    {
        return 0;
    }

    if (vmops_json_str(vmops_json_get(reply.data, "exitstatus"), &text) != 0) {
        text = vmops_span_str("unexpected status");
    }

    n = vmops_utf8_clean((uint8_t *) t->exit, sizeof(t->exit) - 1, text);
    t->exit[n] = '\0';

    return 1;
}


/*
 * Cancelled: the task is asked to stop, and its end is still waited for.  The
 * act's flag would end every further call: it has done its work.
 */

static void
stop_task(pve_t *pve, task_t *t)
{
    uint64_t     limit = plat_boot_ms() + STOP_WAIT_MS;
    pve_reply_t  reply;

    t->stopped = 1;
    act_progress(pve->act, t->percent, "stopping", vmops_span_str(""));
    act_cancel_taken(pve->act);
    pve_call(pve, PVE_CHANGE, "DELETE", t->path, NULL, &reply);

    if (limit < pve->act->deadline) {
        pve->act->deadline = limit;
    }
}


static task_rc_t
follow(pve_t *pve, task_t *t)
{
    int        rc;
    act_t     *act = pve->act;
    uint64_t   wait = POLL_MIN_MS;

    for ( ;; ) {

        if (act_cancelled(act) && !t->stopped) {
            stop_task(pve, t);
            wait = POLL_MIN_MS;
        }

        act_task_keep(act);
        rc = poll(pve, t);

        if (rc == 1) {
            read_rest_of_log(pve, t);
            return TASK_ENDED;
        }

        if (rc < 0) {
            if (act_cancelled(act) && !t->stopped) {
                continue;
            }
            if (act_interrupted(act) != 0 || !pve_passing(&act->end)) {
                return TASK_LOST;
            }

        } else if (plat_boot_ms() - t->begun > LOG_AFTER_MS) {
            read_log(pve, t);
        }

        act_progress(act, t->percent, "running", vmops_span_str(""));

        if (act_wait(act, wait) != 0
            && (!act_cancelled(act) || t->stopped))
        {
            return TASK_LOST;
        }

        wait = wait * 3 / 2 < POLL_MAX_MS ? wait * 3 / 2 : POLL_MAX_MS;
    }
}


static void
write_result(pve_t *pve, const task_t *t)
{
    act_t       *act = pve->act;
    vmops_jw_t  *w = &act->result;

    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "guest", vmops_guest_name(act->cmd->target.guest));
    vmops_jw_kint(w, "vmid", act->cmd->target.vmid);
    vmops_jw_kcstr(w, "node", pve->node);
    vmops_jw_kstr(w, "upid", act->upid);
    vmops_jw_kcstr(w, "exitstatus",
                   strcmp(t->exit, "OK") == 0
                   || strncmp(t->exit, "WARNINGS", 8) == 0 ? t->exit : NULL);
    vmops_jw_obj_end(w);
}


/* What a task, or the request for one, came to. */

typedef enum {
    TRY_ENDED = 0,          /* the end is set */
    TRY_LOCKED,             /* the guest is locked: again, a little later */
    TRY_ELSEWHERE,          /* the guest is on another node: again, there */
    TRY_BEGUN               /* act->upid is the task */
} try_t;


static try_t
judge_exit(pve_t *pve, const task_t *t)
{
    char                    detail[VMOPS_CODE_MAX + 1] = "";
    act_t                  *act = pve->act;
    vmops_command_error_t   code = VMOPS_CMDERR_task_failed;

    if (strcmp(t->exit, "OK") == 0) {
        act_done(act);

    } else if (strncmp(t->exit, "WARNINGS", 8) == 0) {
        act_done(act);
        act->end.error = VMOPS_CMDERR_task_warnings;

    } else if (t->stopped) {
        act_fail(act, VMOPS_CMDERR_cancelled, -1, NULL);

    } else {
        switch (pve_moved(pve, t->exit)) {

        case 1:
            return TRY_ELSEWHERE;

        case 0:
            pve_judge(t->exit, &code, detail);
            act_fail(act, code, -1, detail[0] != '\0' ? detail : NULL);
        }

        if (code == VMOPS_CMDERR_vm_locked) {
            return TRY_LOCKED;
        }
    }

    write_result(pve, t);

    return TRY_ENDED;
}


/* Nobody here knows how it ended. */

static void
lost(act_t *act, const task_t *t)
{
    if (act->detached) {
        return;
    }

    if (t->stopped) {
        act_fail(act, VMOPS_CMDERR_cancelled, -1, "still_running");
    }

    if (t->stopped || act->end.status == VMOPS_ST_FAILED) {
        act->end.status = VMOPS_ST_INDETERMINATE;
    }
}


/* Follows what act->upid names. */

static try_t
task_end(pve_t *pve)
{
    task_t  t;

    if (task_open(&t, pve, pve->act->upid) != 0) {
        act_fail(pve->act, VMOPS_CMDERR_target_error, VMOPS_STAGE_HTTP,
                 "bad_upid");
        pve->act->end.status = VMOPS_ST_INDETERMINATE;
        return TRY_ENDED;
    }

    if (follow(pve, &t) == TASK_LOST) {
        lost(pve->act, &t);
        return TRY_ENDED;
    }

    return judge_exit(pve, &t);
}


/* The POST. */

static try_t
begin(pve_t *pve, const char *rest, const char *form)
{
    char          path[PVE_PATH_MAX];
    act_t        *act = pve->act;
    pve_reply_t   reply;
    vmops_span_t  upid;

    if (act_interrupted(act) != 0 || act_effect(act) != 0) {
        return TRY_ENDED;
    }

    pve_guest_path(path, pve, rest);

    switch (pve_call(pve, PVE_CHANGE, "POST", path, form, &reply)) {

    case PVE_OK:
        if (vmops_json_str(reply.data, &upid) == 0) {
            if (act_task(act, upid) == 0) {
                return TRY_BEGUN;
            }
        } else {
            act_fail(act, VMOPS_CMDERR_target_error, VMOPS_STAGE_HTTP,
                     "no_upid");
        }

        /* it was done, and what it has become nobody here can ask */
        act->end.status = VMOPS_ST_INDETERMINATE;
        return TRY_ENDED;

    case PVE_REFUSED:
        pve_refused(pve, &reply);
        if (pve_may_have_begun(&reply)) {
            act->end.status = VMOPS_ST_INDETERMINATE;
            return TRY_ENDED;
        }
        if (act->end.error == VMOPS_CMDERR_vm_locked) {
            return TRY_LOCKED;
        }
        return pve_moved(pve, reply.reason) == 1 ? TRY_ELSEWHERE : TRY_ENDED;

    case PVE_ENDED:
        break;
    }

    return TRY_ENDED;
}


/* Waits for the next try; -1: the end is set, vm_locked where time is over. */

static int
wait_for_lock(act_t *act, uint64_t *wait)
{
    uint64_t   now = plat_boot_ms();
    outcome_t  locked = act->end;

    if (act->deadline < now + *wait * 2) {
        return -1;
    }

    act_progress(act, -1, "locked", vmops_span_str(act->detail));

    if (act_wait(act, *wait) != 0) {
        return -1;
    }

    act->end = locked;
    *wait = *wait * 2 < LOCK_MAX_MS ? *wait * 2 : LOCK_MAX_MS;

    return 0;
}


void
pve_task(pve_t *pve, const char *rest, const char *form)
{
    int        moves = 0;
    try_t      came;
    uint64_t   wait = LOCK_MIN_MS;
    act_t     *act = pve->act;

    for ( ;; ) {
        came = act->upid.p != NULL ? TRY_BEGUN : begin(pve, rest, form);

        if (came == TRY_BEGUN) {
            came = task_end(pve);
        }

        if (came == TRY_ENDED
            || (came == TRY_LOCKED && wait_for_lock(act, &wait) != 0)
            || (came == TRY_ELSEWHERE && moves++ == MOVES_MAX))
        {
            return;
        }

        act->upid = vmops_span(NULL, 0);
    }
}
