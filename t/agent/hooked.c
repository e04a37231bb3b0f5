
/*
 * An agent for tests, which dies where a test says, forgets, or lacks memory.
 * The linker leads calls of the functions below here (--wrap): nothing of this,
 * and no place for it, is in the program that is released.
 *
 *     VMOPS_TEST_DIE     "before" or "after" and the name of a function of
 *                        the first list: SIGKILL there
 *     VMOPS_TEST_STOP    the same: SIGSTOP
 *     VMOPS_TEST_KEEP    a copy of each secret that is closed stays in memory
 *     VMOPS_TEST_FORGET  the journal's states are not looked at: what a new
 *                        start finds open is carried out, as if it had not
 *                        been begun
 *     VMOPS_TEST_NOMEM   a file with a moment and numbers M and N: from then on
 *                        the Mth to Nth allocation of the agent's own code, or
 *                        thread, is refused; once, and the file is removed.
 *                        Moments: an order is about to be in the journal
 *                        (before) or is (after), a start ends what was left
 *                        (recover) or follows it again (resume)
 *     VMOPS_TEST_CLOCKS  a file with what is added to the clocks, in ms: to
 *                        Unix time, and to the time spent in suspend
 *     VMOPS_TEST_CORRUPT while that file exists, what is read of the database
 *                        is found damaged
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "http_target.h"
#include "identity.h"
#include "job.h"
#include "journal.h"
#include "recover.h"
#include "rest.h"
#include "session_parts.h"
#include "vault.h"
#include "vmops_banned.h"


static int
is_here(const char *var, const char *when, const char *name)
{
    size_t       n = strlen(when);
    const char  *here = getenv(var);

    return here != NULL && strncmp(here, when, n) == 0 && here[n] == ' '
           && strcmp(here + n + 1, name) == 0;
}


static void
point(const char *when, const char *name)
{
    if (is_here("VMOPS_TEST_DIE", when, name)) {
        kill(getpid(), SIGKILL);
    }
    if (is_here("VMOPS_TEST_STOP", when, name)) {
        kill(getpid(), SIGSTOP);
    }
}


/* The makefile reads the names: one HOOK() a line. */

#define HOOK(type, name, params, args)                                        \
    type __real_##name params;                                                \
    type __wrap_##name params;                                                \
                                                                              \
    type __wrap_##name params                                                 \
    {                                                                         \
        type  rc;                                                             \
                                                                              \
        point("before", #name);                                               \
        rc = __real_##name args;                                              \
        point("after", #name);                                                \
        return rc;                                                            \
    }

HOOK(int, journal_started, (db_t *db, const vmops_uuid_t *id), (db, id))
HOOK(int, journal_followed, (db_t *db, const vmops_uuid_t *id,
    vmops_span_t upid), (db, id, upid))
HOOK(int, journal_ended, (db_t *db, const vmops_uuid_t *id,
    const journal_row_t *end), (db, id, end))
HOOK(int, journal_confirmed, (db_t *db, const vmops_uuid_t *id), (db, id))
HOOK(int, journal_paired, (db_t *db, const vmops_uuid_t *agent), (db, agent))
HOOK(int, identity_save, (const identity_t *id, const home_t *home),
    (id, home))
HOOK(int, vault_seal, (vault_t *v, vault_entry_t *e, vmops_span_t secret,
    vmops_span_t passphrase, sealed_secret_t *out),
    (v, e, secret, passphrase, out))
HOOK(int, vault_stored, (vault_t *v, vault_entry_t *e), (v, e))
HOOK(int, rest_post, (const net_t *net, const identity_t *id, const char *path,
    uint64_t if_match, vmops_span_t body, rest_reply_t *reply),
    (net, id, path, if_match, body, reply))

HOOK(int, rename, (const char *from, const char *to), (from, to))

#undef HOOK


/* The request that changes something is the one that is sent once. */

#define HOOK(type, name)  type __real_##name; type __wrap_##name

HOOK(int, http_do(http_t *h, const http_request_t *req, http_reply_t *reply,
    net_fail_t *fail));

int
__wrap_http_do(http_t *h, const http_request_t *req, http_reply_t *reply,
    net_fail_t *fail)
{
    int  rc;

    if (!req->once) {
        return __real_http_do(h, req, reply, fail);
    }

    point("before", "http_do");
    rc = __real_http_do(h, req, reply, fail);
    point("after", "http_do");

    return rc;
}


HOOK(void, vault_close(opened_t *o));

void
__wrap_vault_close(opened_t *o)
{
    static void  *kept;

    if (getenv("VMOPS_TEST_KEEP") != NULL && o->s.secret.n > 0) {
        free(kept);
        kept = malloc(o->s.secret.n);
        if (kept != NULL) {
            memcpy(kept, o->s.secret.p, o->s.secret.n);
        }
    }

    __real_vault_close(o);
}


/* All that a command of the command line had in memory is given back. */

HOOK(void, cli_agent_close(cli_agent_t *a));

void
__wrap_cli_agent_close(cli_agent_t *a)
{
    point("before", "cli_agent_close");
    __real_cli_agent_close(a);
    point("after", "cli_agent_close");
}


typedef struct {
    journal_walk_t   walk;
    void            *data;
} forget_t;


/* A task that is followed, and then has no name: it is begun. */

static const char  forgotten[] = "UPID:forgotten:";

static int
forget(void *data, const journal_row_t *row)
{
    forget_t       *f = data;
    journal_row_t   open = *row;

    if (getenv("VMOPS_TEST_FORGET") != NULL) {
        open.state = JOURNAL_FOLLOWED;
        open.upid = vmops_span_str(forgotten);
    }

    return f->walk(f->data, &open);
}


HOOK(int, journal_open_ones(db_t *db, journal_walk_t walk, void *data));

int
__wrap_journal_open_ones(db_t *db, journal_walk_t walk, void *data)
{
    forget_t  f = { walk, data };

    return __real_journal_open_ones(db, forget, &f);
}


HOOK(job_t *, job_new(vmops_span_t payload, uint64_t deadline,
    vmops_span_t upid));

job_t *
__wrap_job_new(vmops_span_t payload, uint64_t deadline, vmops_span_t upid)
{
    return __real_job_new(payload, deadline, vmops_span_is(upid, forgotten)
                                             ? vmops_span(NULL, 0) : upid);
}


static atomic_int  allocations, refused_from, refused_to;


static void
memory_read(const char *when)
{
    int          fd;
    char         text[32] = "", *from;
    size_t       n = strlen(when);
    const char  *path = getenv("VMOPS_TEST_NOMEM");

    fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }

    if (read(fd, text, sizeof(text) - 1) > 0 && strncmp(text, when, n) == 0) {
        unlink(path);
        refused_from = 0;
        allocations = 0;
        n = strtoul(text + n, &from, 10);
        refused_to = (int) strtoul(from, NULL, 10);
        refused_from = (int) n;
    }

    close(fd);
}


static int
refused(void)
{
    int  n;

    if (refused_from == 0) {
        return 0;
    }

    n = ++allocations;

    return n >= refused_from && n <= refused_to;
}


HOOK(void *, malloc(size_t n));
HOOK(void *, calloc(size_t n, size_t size));
HOOK(void *, sodium_malloc(size_t n));
HOOK(int, pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*run)(void *), void *arg));

void *
__wrap_malloc(size_t n)
{
    return refused() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return refused() ? NULL : __real_calloc(n, size);
}

void *
__wrap_sodium_malloc(size_t n)
{
    return refused() ? NULL : __real_sodium_malloc(n);
}

int
__wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*run)(void *), void *arg)
{
    return refused() ? EAGAIN : __real_pthread_create(t, attr, run, arg);
}


HOOK(intake_t, journal_intake(db_t *db, const vmops_cmd_t *cmd,
    const vmops_signed_frame_t *frame, int fit));

intake_t
__wrap_journal_intake(db_t *db, const vmops_cmd_t *cmd,
    const vmops_signed_frame_t *frame, int fit)
{
    intake_t  rc;

    point("before", "journal_intake");
    rc = __real_journal_intake(db, cmd, frame, fit);
    point("after", "journal_intake");

    if (rc == INTAKE_NEW) {
        memory_read("after");
    }

    return rc;
}


HOOK(int, session_on_cmd(session_t *s, const vmops_signed_frame_t *m));

int
__wrap_session_on_cmd(session_t *s, const vmops_signed_frame_t *m)
{
    memory_read("before");

    return __real_session_on_cmd(s, m);
}


HOOK(void, session_resume_tasks(session_t *s));

void
__wrap_session_resume_tasks(session_t *s)
{
    memory_read("resume");
    __real_session_resume_tasks(s);
}


HOOK(int, recover_open(agent_t *agent));

int
__wrap_recover_open(agent_t *agent)
{
    memory_read("recover");

    return __real_recover_open(agent);
}


/* The disk gives back what was never written, and takes what is. */

HOOK(int, sqlite3_step(sqlite3_stmt *st));

int
__wrap_sqlite3_step(sqlite3_stmt *st)
{
    const char  *path = getenv("VMOPS_TEST_CORRUPT");

    return path != NULL && access(path, F_OK) == 0 && sqlite3_stmt_readonly(st)
           ? SQLITE_CORRUPT : __real_sqlite3_step(st);
}


/* Clocks that somebody sets, and suspend: it counts in two of them. */

static void
clocks(int64_t *wall, int64_t *asleep)
{
    int          fd;
    char         text[64] = "", *next;
    const char  *path = getenv("VMOPS_TEST_CLOCKS");

    *wall = *asleep = 0;

    fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }

    if (read(fd, text, sizeof(text) - 1) > 0) {
        *wall = strtoll(text, &next, 10);
        *asleep = strtoll(next, NULL, 10);
    }

    close(fd);
}


HOOK(uint64_t, plat_wall_ms(void));
HOOK(uint64_t, plat_boot_ms(void));
HOOK(uint64_t, plat_suspended_ms(void));

uint64_t
__wrap_plat_wall_ms(void)
{
    int64_t  wall, asleep;

    clocks(&wall, &asleep);

    return __real_plat_wall_ms() + (uint64_t) (wall + asleep);
}

uint64_t
__wrap_plat_boot_ms(void)
{
    int64_t  wall, asleep;

    clocks(&wall, &asleep);

    return __real_plat_boot_ms() + (uint64_t) asleep;
}

uint64_t
__wrap_plat_suspended_ms(void)
{
    int64_t  wall, asleep;

    clocks(&wall, &asleep);

    return __real_plat_suspended_ms() + (uint64_t) asleep;
}
