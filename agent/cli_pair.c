
/* pair, unpair. */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "journal.h"
#include "run_state.h"
#include "vmops_banned.h"


typedef struct {
    const char    *server;
    const char    *code;
    const char    *name;
    const char    *ca_file;
    const char    *yes;
} options_t;

typedef struct {
    vmops_span_t   tenant;
    vmops_span_t   created_by;
    vmops_span_t   status;
} answer_t;


static int
not_running(cli_t *cli)
{
    int           rc;
    plat_lock_t  *lock = NULL;

    rc = run_lock(&cli->home, &lock);
    plat_unlock(lock);

    return rc == 0 ? EXIT_OK
           : rc == PLAT_EBUSY
             ? cli_fail(EXIT_RUNNING, "already_running",
                        "The agent is running: stop it first. vmops-agent "
                        "--json status names its pid.")
             : cli_storage_fail(&cli->home);
}


static int
take_ca_file(identity_t *id, const char *path)
{
    size_t   n;
    uint8_t  byte;

    if (plat_full_path(path, id->ca_file) != 0
        || plat_read_file(path, &byte, sizeof(byte), &n) == PLAT_E)
    {
        return cli_fail(EXIT_USAGE, "usage",
                        "%s cannot be read: --ca-file is a PEM file with the "
                        "server's CA.", path);
    }

    return net_ca_usable(path)
           ? EXIT_OK
           : cli_fail(EXIT_USAGE, "usage",
                      "%s has no certificate in PEM: --ca-file is a PEM file "
                      "with the server's CA.", path);
}


static int
fill_identity(identity_t *id, const options_t *o)
{
    char   hostname[VMOPS_HOSTNAME_MAX + 1];
    url_t  url;

    switch (url_parse(&url, vmops_span_str(o->server))) {

    case 0:
        break;

    case URL_NOT_TLS:
        return cli_fail(EXIT_USAGE, "not_tls",
                        "Plain http:// is for this machine only: the server "
                        "needs https://.");
    default:
        return cli_fail(EXIT_USAGE, "usage",
                        "--server is https://HOST[:PORT], nothing after it.");
    }

    text_copy(id->server, sizeof(id->server), vmops_span_str(url.base));

    plat_hostname(hostname, sizeof(hostname));
    if (o->name == NULL) {
        text_copy(id->name, sizeof(id->name),
                  vmops_span(hostname, strnlen(hostname, VMOPS_NAME_MAX)));

    } else if (o->name[0] == '\0'
               || text_copy(id->name, sizeof(id->name),
                            vmops_span_str(o->name)) != 0)
    {
        return cli_fail(EXIT_USAGE, "usage", "--name is 1 to 64 bytes.");
    }

    return o->ca_file != NULL ? take_ca_file(id, o->ca_file) : EXIT_OK;
}


static int
read_code(const options_t *o, char code[VMOPS_PAIRING_CODE + 1])
{
    int     rc = 0;
    char    typed[64];
    size_t  n;

    if (o->code != NULL) {
        rc = text_copy(typed, sizeof(typed), vmops_span_str(o->code));

    } else if (plat_has_terminal()) {
        rc = plat_ask("Pairing code: ", typed, sizeof(typed));

    } else {
        rc = plat_read_stdin(typed, sizeof(typed), &n);
    }

    if (rc != 0
        || vmops_pairing_code_normalise(code, vmops_span_str(typed)) != 0)
    {
        return cli_fail(EXIT_USAGE, "bad_code",
                        "A pairing code looks like XXXX-XXXX-XXXX.");
    }

    return EXIT_OK;
}


static int
write_request(uint8_t *buf, size_t cap, vmops_span_t *body,
    const identity_t *id, const char *code, const uint8_t kid[32])
{
    char              hostname[VMOPS_HOSTNAME_MAX + 1];
    uint8_t           sig[VMOPS_SIG];
    vmops_jw_t        w;
    vmops_register_t  r;

    plat_hostname(hostname, sizeof(hostname));

    r.code = vmops_span_str(code);
    r.ed_pk = id->ed_pk;
    r.x_pk = id->x_pk;
    r.kid = kid;
    r.platform = vmops_span_str(plat_name());
    r.name = vmops_span_str(id->name);
    r.hostname = vmops_span_str(hostname);

    if (vmops_register_sign(sig, &r, id->ed_sk) != 0) {
        return -1;
    }

    vmops_jw_init(&w, buf, cap);
    vmops_jw_obj(&w);
    vmops_jw_kstr(&w, "code", r.code);
    vmops_jw_kb64u(&w, "ed25519_pk", id->ed_pk, 32);
    vmops_jw_kb64u(&w, "x25519_pk", id->x_pk, 32);
    vmops_jw_kb64u(&w, "kid", kid, 32);
    vmops_jw_kstr(&w, "platform", r.platform);
    vmops_jw_kstr(&w, "name", r.name);
    vmops_jw_kstr(&w, "hostname", r.hostname);
    vmops_jw_kcstr(&w, "version", AGENT_VERSION);
    vmops_jw_kb64u(&w, "signature", sig, sizeof(sig));
    vmops_jw_obj_end(&w);

    return vmops_jw_done(&w, body);
}


/*
 * The server's answer: the command key is pinned from here on.  Its
 * fingerprint has to be the one this side computes.
 */

static int
take_answer(identity_t *id, const vmops_json_t *root, answer_t *a)
{
    char          fingerprint[VMOPS_FINGERPRINT_TEXT + 1];
    vmops_span_t  agent, key, key_id, told;

    if (vmops_json_str(vmops_json_get(root, "agent_id"), &agent) != 0
        || vmops_uuid_parse(&id->agent, agent) != 0
        || vmops_json_str(vmops_json_get(root, "tenant"), &a->tenant) != 0
        || !vmops_pattern_match(VMOPS_P_TENANT, a->tenant)
        || text_copy(id->tenant, sizeof(id->tenant), a->tenant) != 0
        || vmops_json_str(vmops_json_get(root, "command_key"), &key) != 0
        || vmops_b64u_decode_exact(id->command_pk, 32, key) != 0
        || vmops_json_str(vmops_json_get(root, "command_key_id"), &key_id)
           != 0
        || vmops_json_str(vmops_json_get(root, "created_by"), &a->created_by)
           != 0
        || vmops_json_str(vmops_json_get(root, "status"), &a->status) != 0
        || vmops_json_str(vmops_json_get(root, "fingerprint"), &told) != 0)
    {
        return -1;
    }

    identity_compute(id);
    identity_fingerprint(fingerprint, id);

    return vmops_span_is(key_id, id->command_key_id)
           && vmops_span_is(told, fingerprint) ? 0 : -1;
}


static int
report(const identity_t *id, const answer_t *a, const char *key_id)
{
    char        fingerprint[VMOPS_FINGERPRINT_TEXT + 1];
    vmops_jw_t  w;

    identity_fingerprint(fingerprint, id);

    cli_say("Paired with tenant %s at %s.\n", id->tenant, id->server);
    cli_say("Fingerprint: %s\n", fingerprint);
    if (vmops_span_is(a->status, "pending_approval")) {
        cli_say("Compare it with the one the console shows; then an owner "
                "approves this agent.\n");
    }
    cli_say("Start it by: vmops-agent run\n");

    cli_begin(&w);
    vmops_jw_kuuid(&w, "agent_id", &id->agent);
    vmops_jw_kcstr(&w, "tenant", id->tenant);
    vmops_jw_kcstr(&w, "name", id->name);
    vmops_jw_kcstr(&w, "server", id->server);
    vmops_jw_kstr(&w, "status", a->status);
    vmops_jw_kstr(&w, "created_by", a->created_by);
    vmops_jw_kcstr(&w, "fingerprint", fingerprint);
    vmops_jw_kcstr(&w, "key_id", key_id);

    return cli_end(&w);
}


static int
register_agent(cli_agent_t *a, const char *code, rest_reply_t *reply)
{
    int                  rc;
    char                 key_id[VMOPS_KEY_ID_TEXT + 1];
    uint8_t              buf[4096], memory[65536], kid[32];
    answer_t             answer;
    vmops_span_t         body;
    vmops_arena_t        arena;
    const vmops_json_t  *root;

    if (vault_keys(a->vault, kid) != 0) {
        return cli_keystore_fail(a->home);
    }

    if (write_request(buf, sizeof(buf), &body, a->id, code, kid) != 0) {
        return cli_fail(EXIT_USAGE, "usage", "The name is not valid UTF-8.");
    }

    rc = rest_post(&a->net, NULL, "/api/v1/agents/register", 0, body, reply);
    if (rc != 0) {
        return cli_rest_fail(rc, reply, &a->net);
    }

    vmops_arena_init(&arena, memory, sizeof(memory));

    if (vmops_json_parse(&root, &arena, vmops_span(reply->body, reply->n))
        != VMOPS_JSON_OK
        || take_answer(a->id, root, &answer) != 0)
    {
        return cli_fail(EXIT_REFUSED, "bad_answer",
                        "The answer is not what a server of this service "
                        "says; nothing was kept. Look whether %s is the right "
                        "address, and whether a sign-in page or a proxy "
                        "answers in its place; then try again, with a new code "
                        "if this one is refused.", a->net.url.base);
    }

    /* the journal is the new one's only when the identity is: an old one with
     * its epoch forgotten would pass for a copy */
    if (journal_pairing(a->db, &a->id->agent) != 0
        || identity_save(a->id, a->home) != 0
        || journal_paired(a->db, &a->id->agent) != 0)
    {
        return cli_fail(EXIT_INTERNAL, "internal",
                        "The identity cannot be written.");
    }

    run_state_set(a->home, RUN_STOPPED, NULL);
    vmops_key_id(key_id, kid);

    return report(a->id, &answer, key_id);
}


/* Who is here already, if anybody; its keys are replaced by new ones. */

static int
may_replace(cli_agent_t *a, const options_t *o)
{
    int          rc = EXIT_OK;
    sealed_rc_t  found;

    found = identity_load(a->id, a->home);

    if (found == SEALED_ERROR) {
        return cli_identity_fail(a->home, found);
    }

    if (found == SEALED_OK && o->yes == NULL) {
        cli_say("This agent is paired with tenant %s at %s.\n",
                a->id->tenant, a->id->server);
        rc = cli_confirm("Replace that by a new pairing? [y/N] ", "--yes");
    }

    sodium_memzero(a->id, sizeof(*a->id));

    return rc;
}


static int
pair(cli_agent_t *a, const options_t *o)
{
    int            rc;
    char           code[VMOPS_PAIRING_CODE + 1];
    rest_reply_t  *reply;

    rc = may_replace(a, o);
    if (rc == EXIT_OK) {
        rc = fill_identity(a->id, o);
    }
    if (rc == EXIT_OK) {
        rc = read_code(o, code);
    }
    if (rc != EXIT_OK) {
        return rc;
    }

    identity_make_keys(a->id);
    net_init(&a->net, a->id, &a->settings);

    a->vault = vault_new(a->home, a->db, a->id);
    reply = malloc(sizeof(*reply));

    rc = a->vault != NULL && reply != NULL
         ? register_agent(a, code, reply)
         : cli_no_memory();

    free(reply);

    return rc;
}


int
cli_pair(cli_t *cli)
{
    int          rc;
    size_t       n;
    options_t    o = { NULL, NULL, NULL, NULL, NULL };
    cli_agent_t  a;

    const cli_option_t  options[] = {
        { "server", "a URL", &o.server },
        { "code", "a code", &o.code },
        { "name", "a name", &o.name },
        { "ca-file", "a file", &o.ca_file },
        { "yes", NULL, &o.yes },
        { NULL, NULL, NULL }
    };

    rc = cli_options(cli, options, NULL, 0, &n);
    if (rc != EXIT_OK) {
        return rc;
    }
    if (o.server == NULL) {
        return cli_fail(EXIT_USAGE, "usage", "pair needs --server URL.");
    }

    rc = cli_home_make(&cli->home);
    if (rc == EXIT_OK) {
        rc = not_running(cli);
    }
    if (rc != EXIT_OK) {
        return rc;
    }

    rc = cli_agent_open(&a, cli, CLI_ANY);
    if (rc == EXIT_OK) {
        rc = pair(&a, &o);
    }

    cli_agent_close(&a);

    return rc;
}


int
cli_unpair(cli_t *cli)
{
    int          rc;
    size_t       n;
    vmops_jw_t   w;
    const char  *yes = NULL;
    cli_agent_t  a;

    const cli_option_t  options[] = {
        { "yes", NULL, &yes },
        { NULL, NULL, NULL }
    };

    rc = cli_options(cli, options, NULL, 0, &n);
    if (rc == EXIT_OK) {
        rc = cli_home_paired(&cli->home);
    }
    if (rc == EXIT_OK) {
        rc = not_running(cli);
    }
    if (rc != EXIT_OK) {
        return rc;
    }

    rc = cli_agent_open(&a, cli, CLI_CHANGE);

    if (rc == EXIT_OK && yes == NULL) {
        cli_show("The keys of this agent will be deleted; every secret made "
                 "here has to be entered again elsewhere.\n");
        rc = cli_confirm("Delete them? [y/N] ", "--yes");
    }

    if (rc == EXIT_OK
        && (identity_remove(a.home) != 0 || keystore_remove(a.home) != 0))
    {
        rc = cli_storage_fail(a.home);
    }

    cli_agent_close(&a);

    if (rc != EXIT_OK) {
        return rc;
    }

    cli_say("Unpaired. An owner can revoke the agent in the console.\n");
    cli_begin(&w);
    vmops_jw_kbool(&w, "unpaired", 1);

    return cli_end(&w);
}
