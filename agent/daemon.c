
/* The running agent: opens everything, runs the session, ends in order. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "daemon.h"
#include "executor.h"
#include "journal.h"
#include "log.h"
#include "prober.h"
#include "recover.h"
#include "run_state.h"
#include "session.h"
#include "vmops_banned.h"


#define STOP_MS        10000
#define LOCK_TRIES     10
#define LOCK_TRY_MS    100
#define ROOM_MS        2000


static void
agent_close(agent_t *a)
{
    channel_free(a->channel);
    routes_free(a->routes);
    vault_free(a->vault);
    db_close(a->db);
    identity_free(a->id);
    plat_waker_free(a->waker);
}


/* Who this is: an exit code. */

static int
agent_open(agent_t *a, const home_t *home)
{
    char         fault[VMOPS_JSON_POINTER_MAX + 1];
    sealed_rc_t  rc;

    memset(a, 0, sizeof(*a));
    a->home = home;
    a->id = identity_new();
    a->waker = plat_waker_new();

    if (a->id == NULL || a->waker == NULL) {
        return cli_no_memory();
    }

    if (settings_load(&a->settings, home, fault) != 0) {
        return cli_config_fail(home, fault);
    }

    rc = identity_load(a->id, home);
    if (rc != SEALED_OK) {
        return cli_identity_fail(home, rc);
    }

    if (net_init(&a->net, a->id, &a->settings) != 0) {
        return cli_fail(EXIT_INTERNAL, "internal",
                        "The identity names no usable server.");
    }

    return a->net.via.bad ? cli_proxy_fail(&a->net.via) : EXIT_OK;
}


/* The journal, if it is a whole one and this agent's. */

static int
open_journal(agent_t *a)
{
    int  rc = db_open(&a->db, a->home);

    if (rc == 0) {
        rc = journal_belongs(a->db, &a->id->agent);
    }

    return rc == 0 ? db_check(a->db) : rc;
}


static int
journal_fail(agent_t *a, int rc)
{
    log_event(LOG_ERROR, "journal_unusable", LOG_CODE("why",
              rc == DB_DAMAGED ? "damaged" : rc == JOURNAL_LOST ? "lost"
                                                                : "not_now"));
    if (rc == DB_DAMAGED || rc == JOURNAL_LOST) {
        run_state_set(a->home, RUN_DAMAGED, NULL);
    }

    return cli_journal_fail(a->home, rc);
}


/*
 * While somebody may still be told.  It is closed again: SQLite does not
 * survive a fork.  What is not possible now, like without room, is waited for.
 */

static int
look_at_journal(agent_t *a)
{
    int  rc = open_journal(a);

    db_close(a->db);
    a->db = NULL;

    return rc == DB_DAMAGED || rc == JOURNAL_LOST ? journal_fail(a, rc)
                                                  : EXIT_OK;
}


/* The rest, in the process that goes on. */

static int
agent_open_store(agent_t *a)
{
    int  rc = open_journal(a);

    if (rc != 0) {
        return journal_fail(a, rc);
    }

    a->routes = routes_new();
    a->channel = channel_new(a->waker);
    a->vault = vault_new(a->home, a->db, a->id);

    return a->routes != NULL && a->channel != NULL && a->vault != NULL
           ? EXIT_OK : cli_no_memory();
}


static const char *const  end_names[] = {
    [SESSION_STOPPED] = "asked_to",
    [SESSION_REVOKED] = "agent_revoked",
    [SESSION_LOCKED] = "agent_locked",
    [SESSION_DAMAGED] = "journal_damaged",
    [SESSION_ERROR] = "no_memory",
};


static int
end_say(agent_t *a, session_end_t end)
{
    switch (end) {

    case SESSION_STOPPED:
        run_state_set(a->home, RUN_STOPPED, NULL);
        return EXIT_OK;

    case SESSION_REVOKED:
        run_state_set(a->home, RUN_REVOKED, NULL);
        return cli_fail(EXIT_REVOKED, "agent_revoked",
                        "This agent was revoked. Its data is kept; pair it "
                        "again to use it.");
    case SESSION_LOCKED:
        run_state_set(a->home, RUN_LOCKED, NULL);
        return cli_fail(EXIT_LOCKED, "agent_locked",
                        "This agent is locked, as a copy of it may exist. "
                        "Its owner can unlock it; then start it again.");
    case SESSION_DAMAGED:
        return journal_fail(a, DB_DAMAGED);

    case SESSION_ERROR:
        break;
    }

    run_state_set(a->home, RUN_STOPPED, NULL);

    return cli_no_memory();
}


/* What was left open before is told before anything new is taken in: 0, or -1
 * when asked to stop. */

static int
recover(agent_t *a)
{
    while (recover_open(a) != 0 && !db_damaged(a->db)) {
        plat_wait(PLAT_NO_SOCKET, 0, a->waker, ROOM_MS);
        if (plat_stop_asked()) {
            return -1;
        }
    }

    return 0;
}


static int
serve(agent_t *a)
{
    int             rc, stuck = 0;
    prober_t       *prober;
    executor_t     *executor;
    session_end_t   end = SESSION_ERROR;

    executor = executor_new(a);
    prober = prober_new(a);

    if (executor != NULL && prober != NULL) {
        end = recover(a) == 0 ? session_run(a, executor, prober)
                              : SESSION_STOPPED;
    }

    rc = end_say(a, end);

    prober_stop(prober);
    if (executor != NULL) {
        stuck = executor_stop(executor, STOP_MS) != 0;
    }

    log_event(LOG_INFO, "stopped", LOG_CODE("end", end_names[end]),
              LOG_NUM("stuck", stuck));

    /* a thread that cannot be had back still uses all of it; the journal
     * knows what it was doing */
    if (stuck) {
        _Exit(rc);
    }

    return rc;
}


/* `status` holds the lock for a moment to see whether another one does. */

static int
take_lock(const home_t *home, plat_lock_t **lock)
{
    int  i, rc = PLAT_EBUSY;

    for (i = 0; i < LOCK_TRIES && rc == PLAT_EBUSY; i++) {
        if (i > 0) {
            plat_sleep(LOCK_TRY_MS);
        }
        rc = run_lock(home, lock);
    }

    return rc;
}


/* Without a journal nothing may be done: 0, or -1 when asked to stop. */

static int
wait_for_room(agent_t *a)
{
    int  said = 0;

    while (home_room(a->home) != 0) {
        if (!said) {
            log_event(LOG_ERROR, "storage_unwritable");
            said = 1;
        }
        plat_wait(PLAT_NO_SOCKET, 0, a->waker, ROOM_MS);
        if (plat_stop_asked()) {
            return -1;
        }
    }

    return 0;
}


static int
run(agent_t *a, int foreground)
{
    int         rc;
    char        path[PLAT_PATH_MAX];
    vmops_jw_t  w;

    if (home_path(path, a->home->state, "agent.log") != 0
        || log_open(path, foreground) != 0)
    {
        return cli_storage_fail(a->home);
    }

    rc = look_at_journal(a);
    if (rc != EXIT_OK) {
        log_close();
        return rc;
    }

    if (!foreground) {
        cli_say("The agent runs in the background: vmops-agent status.\n");
        cli_begin(&w);
        vmops_jw_kbool(&w, "background", 1);
        cli_end(&w);

        if (plat_detach() != 0) {
            log_close();
            return cli_fail(EXIT_INTERNAL, "internal",
                            "The agent cannot leave the terminal.");
        }
    }

    plat_watch_stop(a->waker);
    plat_watch_network(a->waker);
    log_event(LOG_INFO, "started", LOG_CODE("version", AGENT_VERSION));

    plat_remove_left(a->home->state);
    plat_remove_left(a->home->config);

    if (wait_for_room(a) == 0) {
        rc = agent_open_store(a);
        if (rc == EXIT_OK) {
            rc = serve(a);
        }
    }

    log_close();

    return rc;
}


int
daemon_run(const home_t *home, int foreground)
{
    int           rc;
    agent_t       a;
    plat_lock_t  *lock;

    rc = cli_home_paired(home);
    if (rc != EXIT_OK) {
        return rc;
    }

    rc = take_lock(home, &lock);
    if (rc != 0) {
        return rc == PLAT_EBUSY
               ? cli_fail(EXIT_RUNNING, "already_running",
                          "The agent of this home is running already.")
               : cli_storage_fail(home);
    }

    rc = agent_open(&a, home);
    if (rc == EXIT_OK) {
        rc = run(&a, foreground);
    }

    agent_close(&a);
    plat_unlock(lock);

    return rc;
}
