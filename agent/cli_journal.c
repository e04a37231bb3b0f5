
/* journal: the commands of this agent, the last ones first to be changed. */

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "job.h"
#include "journal.h"
#include "vmops_banned.h"


#define SHOWN      50
#define FOLLOW_MS  250

typedef struct {
    vmops_jw_t  *w;         /* NULL: one line of JSON each */
    uint64_t     changed;   /* of the last one that was shown */
} show_t;

static const char *const  states[] = {
    "accepted", "started", "followed", "ended"
};


static void
write_target(vmops_jw_t *w, const vmops_target_t *t)
{
    vmops_jw_key(w, "target");

    if (!t->present) {
        vmops_jw_null(w);
        return;
    }

    vmops_jw_obj(w);
    vmops_jw_kuuid(w, "vm_uuid", &t->vm_uuid);
    vmops_jw_kcstr(w, "guest", vmops_guest_name(t->guest));
    vmops_jw_kstr(w, "node", t->node);
    vmops_jw_kint(w, "vmid", t->vmid);
    vmops_jw_obj_end(w);
}


static void
write_row(vmops_jw_t *w, const journal_row_t *row, const vmops_target_t *target)
{
    vmops_jw_kuuid(w, "command_id", &row->id);
    vmops_jw_kint(w, "seq", (int64_t) row->seq);
    vmops_jw_kstr(w, "service", row->service);
    vmops_jw_kstr(w, "action", row->action);
    write_target(w, target);
    vmops_jw_kcstr(w, "state", states[row->state]);
    vmops_jw_key(w, "status");
    vmops_jw_str(w, row->status);
    vmops_jw_key(w, "error");
    vmops_jw_str(w, row->error);
    vmops_jw_key(w, "upid");
    vmops_jw_str(w, row->upid);
    vmops_jw_ktime(w, "received_at", (int64_t) row->received);
    vmops_jw_ktime(w, "started_at",
                   row->started != 0 ? (int64_t) row->started : -1);
    vmops_jw_ktime(w, "finished_at",
                   row->finished != 0 ? (int64_t) row->finished : -1);
    vmops_jw_kbool(w, "confirmed",
                   row->state == JOURNAL_ENDED && !row->outbox);
}


/* time, id, what, on which guest, how it ended and why */

static void
say_row(const journal_row_t *row, const vmops_target_t *t)
{
    char          time[VMOPS_TIME_TEXT + 1], id[VMOPS_UUID_TEXT + 1];
    char          guest[32] = "";
    vmops_span_t  status = row->status;

    if (status.n == 0) {
        status = vmops_span_str(states[row->state]);
    }
    if (t->present) {
        snprintf(guest, sizeof(guest), " %s/%u", vmops_guest_name(t->guest),
                 t->vmid);
    }

    vmops_time_format(time, (int64_t) row->received);
    vmops_uuid_format(id, &row->id);

    cli_say("%s  %s  %.*s %.*s%s  %.*s%s%.*s\n", time, id,
            (int) row->service.n, (const char *) row->service.p,
            (int) row->action.n, (const char *) row->action.p, guest,
            (int) status.n, (const char *) status.p,
            row->error.n > 0 ? " " : "", (int) row->error.n,
            row->error.n > 0 ? (const char *) row->error.p : "");
}


static int
show_row(void *data, const journal_row_t *row)
{
    job_t       *job = NULL;
    show_t      *show = data;
    vmops_jw_t   w;

    show->changed = row->changed;

    if (row->whole) {
        job = job_new(row->payload, 0, vmops_span("", 0));
    }

    /* the running agent, or its next start, sets it aside */
    if (job == NULL) {
        cli_say("(an entry that is damaged)\n");
        return 0;
    }

    say_row(row, &job->cmd.target);

    if (show->w != NULL) {
        vmops_jw_obj(show->w);
        write_row(show->w, row, &job->cmd.target);
        vmops_jw_obj_end(show->w);

    } else if (cli_json) {
        cli_begin(&w);
        write_row(&w, row, &job->cmd.target);
        cli_end(&w);
    }

    job_free(job);

    return 0;
}


static int
read_fail(cli_agent_t *a)
{
    return cli_journal_fail(a->home, db_damaged(a->db) ? DB_DAMAGED : PLAT_E);
}


static int
follow(cli_agent_t *a)
{
    int            rc = 0;
    show_t         show = { NULL, 0 };
    plat_waker_t  *waker = plat_waker_new();

    if (waker == NULL) {
        return cli_no_memory();
    }

    plat_watch_stop(waker);

    while (rc == 0 && !plat_stop_asked()) {
        rc = journal_changes(a->db, show.changed, SHOWN, show_row, &show);
        plat_wait(PLAT_NO_SOCKET, 0, waker, FOLLOW_MS);
    }

    return rc == 0 ? EXIT_OK : read_fail(a);
}


static int
print(cli_agent_t *a)
{
    show_t      show;
    vmops_jw_t  w;

    show.w = &w;
    cli_begin(&w);
    vmops_jw_key(&w, "items");
    vmops_jw_arr(&w);

    if (journal_changes(a->db, 0, SHOWN, show_row, &show) != 0) {
        return read_fail(a);
    }

    vmops_jw_arr_end(&w);

    return cli_end(&w);
}


int
cli_journal(cli_t *cli)
{
    int          rc;
    size_t       n;
    cli_agent_t  a;
    const char  *following = NULL;

    const cli_option_t  options[] = {
        { "follow", NULL, &following },
        { NULL, NULL, NULL }
    };

    rc = cli_options(cli, options, NULL, 0, &n);
    if (rc != EXIT_OK) {
        return rc;
    }

    rc = cli_agent_open(&a, cli, CLI_READ);
    if (rc == EXIT_OK) {
        rc = following != NULL ? follow(&a) : print(&a);
    }

    cli_agent_close(&a);

    return rc;
}
