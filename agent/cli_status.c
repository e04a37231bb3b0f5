
/* status: what the running agent says of itself, and what the home has. */

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "journal.h"
#include "run_state.h"
#include "vmops_banned.h"


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
        { RUN_STOPPED, "; start it: vmops-agent run" },
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


typedef struct {
    const char  *code;
    const char  *sentence;      /* with at most one %s: the server's host */
} reason_t;

static const reason_t  reasons[] = {
    { "proxy_unreachable",
      "The proxy (HTTPS_PROXY, or config.json) was not reached: is it up, is "
      "its address right?" },
    { "certificate_untrusted",
      "The certificate of %s is not trusted here. One by a CA of your own: "
      "vmops-agent pair with --ca-file PEM." },
    { "http_status",
      "%s answered, but not as this service does: is it down, or is there a "
      "proxy or a sign-in page of this network?" },
    { "bad_handshake",
      "%s did not answer as this service does: is there a proxy, or a sign-in "
      "page of this network?" },
    { "no_channel_binding",
      "config.json asks for channel_binding, and the connection to %s has no "
      "TLS of its own to be bound to." },
    { "authentication_failed",
      "%s does not take what this agent signs: it was paired again elsewhere, "
      "or is not known there any more. Then pair it again." },
    { "server_not_verified",
      "%s does not prove that it has this tenant's command key: is something "
      "in between? Ask the operator of this service." },
    { "replaced",
      "Another session of this agent took its place: is a copy of it "
      "running?" },
    { "disconnected",
      "The connection to %s broke off; the agent makes it again." },
};


/* Why it is not connected, and what to do about that. */

static void
say_reason(const cli_agent_t *a, const char *code)
{
    int         n;
    char        text[512];
    size_t      i;
    net_fail_t  fail;

    for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (strcmp(code, reasons[i].code) == 0) {
            snprintf(text, sizeof(text), reasons[i].sentence, a->net.url.host);
            cli_say(" (%s): %s\n", code, text);
            return;
        }
    }

    n = vmops_problem_find(vmops_span_str(code));
    if (n >= 0) {
        cli_say(" (%s): %s\n", code, vmops_problem_info((unsigned) n)->detail);
        return;
    }

    n = vmops_command_error_find(vmops_span_str(code));
    if (n >= 0) {
        fail = NET_FAIL(VMOPS_STAGE_TCP, (vmops_command_error_t) n);
        net_sentence(text, sizeof(text), &fail, a->net.url.host);
        cli_say(" (%s): %s\n", code, text);
        return;
    }

    cli_say(" (%s): agent.log in %s says more.\n", code, a->home->state);
}


static void
write_identity(vmops_jw_t *w, const identity_t *id, const char *fingerprint)
{
    vmops_jw_kuuid(w, "agent_id", &id->agent);
    vmops_jw_kcstr(w, "tenant", id->tenant);
    vmops_jw_kcstr(w, "name", id->name);
    vmops_jw_kcstr(w, "server", id->server);
    vmops_jw_kcstr(w, "fingerprint", fingerprint);
    vmops_jw_kcstr(w, "command_key_id", id->command_key_id);
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
    write_identity(&w, id, fingerprint);
    vmops_jw_kcstr(&w, "keystore", readable ? "ok" : "unreadable");
    vmops_jw_kcstr(&w, "key_id", key_id[0] != '\0' ? key_id : NULL);
    vmops_jw_kcstr(&w, "policy", fault[0] == '\0' ? "ok" : "unreadable");
    vmops_jw_kcstr(&w, "policy_fault", fault[0] != '\0' ? fault : NULL);
    vmops_jw_kint(&w, "last_seq", (int64_t) last_seq);
    vmops_jw_kint(&w, "open", c.open);
    vmops_jw_kint(&w, "outbox", c.outbox);

    cli_say("%s: %s", id->name, state);
    if (why[0] != '\0') {
        say_reason(a, why);
    } else {
        cli_say("%s\n", state_hint(state));
    }
    cli_say("tenant %s at %s\n"
            "fingerprint %s\n"
            "keystore %s\n"
            "policy %s%s\n", id->tenant, id->server, fingerprint,
            readable ? "ok"
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
