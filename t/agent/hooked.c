
/*
 * An agent for tests, which dies where a test says, or forgets.  The linker
 * leads calls of the functions below here (--wrap): nothing of this, and no
 * place for it, is in the program that is released.
 *
 *     VMOPS_TEST_DIE     "before" or "after" and the name of a function of
 *                        the first list: SIGKILL there
 *     VMOPS_TEST_STOP    the same: SIGSTOP
 *     VMOPS_TEST_KEEP    a copy of each secret that is closed stays in memory
 *     VMOPS_TEST_FORGET  the journal's states are not looked at: what a new
 *                        start finds open is carried out, as if it had not
 *                        been begun
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "http_target.h"
#include "identity.h"
#include "journal.h"
#include "rest.h"
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

HOOK(intake_t, journal_intake, (db_t *db, const vmops_cmd_t *cmd,
    const vmops_signed_frame_t *frame, int fit), (db, cmd, frame, fit))
HOOK(int, journal_started, (db_t *db, const vmops_uuid_t *id), (db, id))
HOOK(int, journal_followed, (db_t *db, const vmops_uuid_t *id,
    vmops_span_t upid), (db, id, upid))
HOOK(int, journal_ended, (db_t *db, const vmops_uuid_t *id, const char *status,
    vmops_span_t error, vmops_span_t result, const uint8_t sig[VMOPS_SIG]),
    (db, id, status, error, result, sig))
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


/* A task that is followed, and has no name: it is begun. */

static int
forget(void *data, const journal_row_t *row)
{
    forget_t       *f = data;
    journal_row_t   open = *row;

    if (getenv("VMOPS_TEST_FORGET") != NULL) {
        open.state = JOURNAL_FOLLOWED;
        open.upid = vmops_span(NULL, 0);
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
