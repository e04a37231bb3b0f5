
/* run, status, version. */

#include <string.h>

#include "cli.h"
#include "daemon.h"
#include "journal.h"
#include "run_state.h"
#include "vmops_banned.h"


int
cli_run(cli_t *cli)
{
    int          rc;
    size_t       n;
    const char  *foreground = NULL;

    const cli_option_t  options[] = {
        { "foreground", NULL, &foreground },
        { NULL, NULL, NULL }
    };

    rc = cli_options(cli, options, NULL, 0, &n);

    return rc == EXIT_OK ? daemon_run(&cli->home, foreground != NULL) : rc;
}


int
cli_version(cli_t *cli)
{
    int         rc;
    size_t      n;
    vmops_jw_t  w;

    const cli_option_t  options[] = { { NULL, NULL, NULL } };

    rc = cli_options(cli, options, NULL, 0, &n);
    if (rc != EXIT_OK) {
        return rc;
    }

    cli_say("vmops-agent %s (%s)\n", AGENT_VERSION, plat_name());
    cli_begin(&w);
    vmops_jw_kcstr(&w, "version", AGENT_VERSION);
    vmops_jw_kcstr(&w, "platform", plat_name());

    return cli_end(&w);
}


typedef struct {
    int64_t  open;
    int64_t  outbox;
} counts_t;


static int
count(void *data, const journal_row_t *row)
{
    counts_t  *c = data;

    c->open += row->state != JOURNAL_ENDED;
    c->outbox += row->outbox;

    return 0;
}


/* What its user can do about it. */

static const char *
state_hint(const char *state)
{
    size_t  i;

    static const struct {
        run_state_t   state;
        const char   *hint;
    } hints[] = {
        { RUN_STOPPED, ": vmops-agent run" },
        { RUN_PENDING, ": an owner compares the fingerprint and approves it" },
        { RUN_LOCKED, ": a copy of it may exist; its owner can unlock it" },
        { RUN_REVOKED, ": pair it again to use it" },
        { RUN_DAMAGED, ": its journal is; vmops-agent run says more" },
    };

    for (i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (strcmp(state, run_state_name(hints[i].state)) == 0) {
            return hints[i].hint;
        }
    }

    return "";
}


static int
status(cli_agent_t *a)
{
    int                readable;
    char               state[32], why[VMOPS_CODE_MAX + 1];
    char               key_id[VMOPS_KEY_ID_TEXT + 1];
    char               fingerprint[VMOPS_FINGERPRINT_TEXT + 1];
    char               fault[CLI_FAULT_MAX];
    counts_t           c = { 0, 0 };
    policy_t           policy;
    uint64_t           last_seq;
    vmops_jw_t         w;
    const identity_t  *id = a->id;

    identity_fingerprint(fingerprint, id);
    readable = vault_readable(a->vault, key_id);
    cli_policy_load(&policy, a->home, fault);

    if (journal_last_seq(a->db, &last_seq) != 0
        || journal_open_ones(a->db, count, &c) != 0
        || journal_outbox(a->db, count, &c) != 0)
    {
        return cli_journal_fail(a->home,
                                db_damaged(a->db) ? DB_DAMAGED : PLAT_E);
    }

    cli_begin(&w);
    run_state_write(&w, a->home, state, why);
    vmops_jw_kcstr(&w, "version", AGENT_VERSION);
    vmops_jw_kbool(&w, "paired", 1);
    vmops_jw_kuuid(&w, "agent_id", &id->agent);
    vmops_jw_kcstr(&w, "tenant", id->tenant);
    vmops_jw_kcstr(&w, "name", id->name);
    vmops_jw_kcstr(&w, "server", id->server);
    vmops_jw_kcstr(&w, "fingerprint", fingerprint);
    vmops_jw_kcstr(&w, "command_key_id", id->command_key_id);
    vmops_jw_kcstr(&w, "keystore", readable ? "ok" : "unreadable");
    vmops_jw_kcstr(&w, "key_id", key_id[0] != '\0' ? key_id : NULL);
    vmops_jw_kcstr(&w, "policy", fault[0] == '\0' ? "ok" : "unreadable");
    vmops_jw_kcstr(&w, "policy_fault", fault[0] != '\0' ? fault : NULL);
    vmops_jw_kint(&w, "last_seq", (int64_t) last_seq);
    vmops_jw_kint(&w, "open", c.open);
    vmops_jw_kint(&w, "outbox", c.outbox);

    cli_say("%s: %s%s%s%s%s\n"
            "tenant %s at %s\n"
            "fingerprint %s\n"
            "keystore %s\n"
            "policy %s%s\n", id->name, state,
            why[0] != '\0' ? " (" : "", why, why[0] != '\0' ? ")" : "",
            state_hint(state), id->tenant, id->server,
            fingerprint, readable ? "ok"
            : "unreadable: every secret has to be entered again",
            fault[0] == '\0' ? "ok" : "unreadable: ", fault);

    return cli_end(&w);
}


int
cli_status(cli_t *cli)
{
    int          rc;
    size_t       n;
    cli_agent_t  a;

    const cli_option_t  options[] = { { NULL, NULL, NULL } };

    rc = cli_options(cli, options, NULL, 0, &n);
    if (rc != EXIT_OK) {
        return rc;
    }

    rc = cli_agent_open(&a, cli, CLI_READ);
    if (rc == EXIT_OK) {
        rc = status(&a);
    }

    cli_agent_close(&a);

    return rc;
}
