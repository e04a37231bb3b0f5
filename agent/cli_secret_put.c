
/* secret add, secret rotate: sealed here, uploaded, recorded. */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_secret_form.h"
#include "vmops_banned.h"


#define BODY_MAX      (2 * VMOPS_SECRET_CIPHERTEXT_MAX + 4096)
#define UPLOAD_TRIES  3


static int
write_body(uint8_t *buf, vmops_span_t *body, const vault_entry_t *e,
    const sealed_secret_t *s, int add)
{
    vmops_jw_t  w;

    vmops_jw_init(&w, buf, BODY_MAX);
    vmops_jw_obj(&w);

    if (add) {
        vmops_jw_kuuid(&w, "secret_id", &e->id);
        vmops_jw_kcstr(&w, "kind", vmops_kind_name(e->kind));
        vmops_jw_kcstr(&w, "label", e->label);
        vmops_jw_knull(&w, "via");
    }

    vmops_jw_kcstr(&w, "alg", s->alg);
    vmops_jw_kcstr(&w, "key_id", s->key_id);
    vmops_jw_kint(&w, "version", (int64_t) s->version);
    vmops_jw_kint(&w, "created_ms", (int64_t) s->created_ms);
    vmops_jw_kb64u(&w, "nonce", s->nonce, s->nonce_n);
    vmops_jw_kb64u(&w, "ciphertext", s->ciphertext, s->ciphertext_n);
    vmops_jw_kstr(&w, "aad_meta", vmops_span(s->aad_meta, s->aad_meta_n));
    vmops_jw_obj_end(&w);

    return vmops_jw_done(&w, body);
}


/* A 2xx of something in between stores nothing. */

static int
is_answer(const rest_reply_t *reply, const char *ref)
{
    uint8_t              memory[16384];
    vmops_span_t         told;
    vmops_arena_t        arena;
    const vmops_json_t  *root;

    vmops_arena_init(&arena, memory, sizeof(memory));

    return vmops_json_parse(&root, &arena, vmops_span(reply->body, reply->n))
           == VMOPS_JSON_OK
           && vmops_json_str(vmops_json_get(root, "secret_ref"), &told) == 0
           && vmops_span_is(told, ref);
}


/*
 * Uploads; a try whose answer was lost shows at the next one, as the id (or
 * the version) is there already.  0, or what rest_post() says.
 */

static int
upload(cli_agent_t *a, const vault_entry_t *e, vmops_span_t body, int add,
    rest_reply_t *reply)
{
    int   i, rc = -1;
    char  ref[VMOPS_SECRET_REF_TEXT + 1], path[128];

    vmops_secret_ref_format(ref, &e->id);
    if (add) {
        snprintf(path, sizeof(path), "/api/v1/secrets");
    } else {
        snprintf(path, sizeof(path), "/api/v1/secrets/%s/rotate", ref);
    }

    for (i = 0; i < UPLOAD_TRIES && rc < 0; i++) {
        rc = rest_post(&a->net, a->id, path,
                       add ? 0 : e->current.version, body, reply);

        if (rc == 0 && !is_answer(reply, ref)) {
            reply->fail = NET_FAIL(VMOPS_STAGE_HTTP,
                                   VMOPS_CMDERR_target_error);
            rc = -1;
        }

        if (i > 0 && rc == 1
            && reply->problem == (add ? (int) VMOPS_PROBLEM_conflict
                                      : (int) VMOPS_PROBLEM_version_mismatch))
        {
            return 0;
        }
    }

    return rc;
}


/* Uploads and records it: 0, or what rest_post() says. */

static int
store(cli_agent_t *a, vault_entry_t *e, const sealed_secret_t *sealed, int add,
    rest_reply_t *reply)
{
    int            rc;
    uint8_t       *buf;
    vmops_span_t   body;

    buf = malloc(BODY_MAX);
    if (buf == NULL || write_body(buf, &body, e, sealed, add) != 0) {
        free(buf);
        memset(reply, 0, sizeof(*reply));
        reply->fail = NET_FAIL(VMOPS_STAGE_HTTP, VMOPS_CMDERR_internal);
        return -1;
    }

    rc = upload(a, e, body, add, reply);
    free(buf);

    /* without an answer it may have arrived: it stays openable */
    if (rc == 1) {
        vault_not_stored(a->vault, e);
    }

    return rc;
}


/*
 * Seals and stores.  Where the answer to an earlier upload was lost, the
 * server has either that version or the one before: both are tried.
 */

static int
put(cli_agent_t *a, vault_entry_t *e, vmops_span_t secret, int add,
    sealed_secret_t *sealed, rest_reply_t *reply)
{
    int            rc, unsure = !add && e->next.version != 0;
    vault_entry_t  before = *e;

    if (unsure && vault_stored(a->vault, e) != 0) {
        return cli_fail(EXIT_INTERNAL, "internal",
                        "The agent's database cannot be written.");
    }

    for ( ;; ) {
        rc = vault_seal(a->vault, e, secret, vmops_span(NULL, 0), sealed);
        if (rc != 0) {
            return rc == 1 ? cli_storage_fail(a->home)
                   : cli_fail(EXIT_INTERNAL, "not_sealed",
                              "The secret could not be sealed, so nothing was "
                              "stored: this PC may have too little memory left "
                              "for the agent. Close some programs, then try "
                              "again.");
        }

        rc = store(a, e, sealed, add, reply);

        if (rc != 1 || !unsure
            || reply->problem != VMOPS_PROBLEM_version_mismatch)
        {
            break;
        }

        unsure = 0;
        *e = before;
    }

    if (rc != 0) {
        return cli_rest_fail(rc, reply, &a->net);
    }

    return vault_stored(a->vault, e) == 0
           ? EXIT_OK : cli_fail(EXIT_INTERNAL, "internal",
                                "The agent's database cannot be written.");
}


static int
seal_and_store(cli_agent_t *a, vault_entry_t *e, const secret_kind_t *k,
    const secret_form_t *o, int add, size_t *length)
{
    int               rc;
    char             *secret;
    uint8_t           kid[32];
    rest_reply_t     *reply;
    sealed_secret_t  *sealed;

    secret = sodium_malloc(SECRET_MAX);
    sealed = malloc(sizeof(*sealed));
    reply = malloc(sizeof(*reply));

    if (secret == NULL || sealed == NULL || reply == NULL) {
        rc = cli_no_memory();

    } else {
        rc = secret_form_read(k, o, secret, length);
    }

    if (rc == EXIT_OK) {
        rc = vault_keys(a->vault, kid) == 0
             ? put(a, e, vmops_span(secret, *length), add, sealed, reply)
             : cli_keystore_fail(a->home);
    }

    sodium_free(secret);
    free(sealed);
    free(reply);

    return rc;
}


static int
report(const vault_entry_t *e, const shown_t *shown, size_t length)
{
    char        ref[VMOPS_SECRET_REF_TEXT + 1];
    char        pin[ENDPOINT_PIN_TEXT + 1], cert[ROUTE_CERT_TEXT + 1];
    vmops_jw_t  w;

    vmops_secret_ref_format(ref, &e->id);

    cli_say("Stored as %s, version %llu.\n", ref,
            (unsigned long long) e->current.version);
    if (length < VMOPS_LEAK_MIN) {
        cli_say("It is so short that outgoing messages cannot be searched for "
                "it.\n");
    }

    cli_begin(&w);
    vmops_jw_kcstr(&w, "secret_ref", ref);
    vmops_jw_kcstr(&w, "kind", vmops_kind_name(e->kind));
    vmops_jw_kcstr(&w, "label", e->label);
    vmops_jw_kint(&w, "version", (int64_t) e->current.version);

    if (e->endpoint.port != 0) {
        endpoint_pin_format(pin, e->endpoint.pins[0]);
        vmops_jw_kcstr(&w, "host", e->endpoint.host);
        vmops_jw_kint(&w, "port", e->endpoint.port);
        vmops_jw_kcstr(&w, "pin", pin);
    }
    if (shown != NULL) {
        route_cert_format(cert, shown->cert);
        vmops_jw_kcstr(&w, "certificate_sha256", cert);
    }

    vmops_jw_key(&w, "warnings");
    vmops_jw_arr(&w);
    if (length < VMOPS_LEAK_MIN) {
        vmops_jw_cstr(&w, "short_secret");
    }
    vmops_jw_arr_end(&w);

    return cli_end(&w);
}


static int
new_entry(vault_entry_t *e, const secret_kind_t **k, const secret_form_t *o)
{
    int      kind;
    uint8_t  random[10];

    kind = o->kind != NULL ? vmops_kind_find(vmops_span_str(o->kind)) : -1;
    *k = kind > 0 ? secret_kind((unsigned) kind) : NULL;

    if (*k == NULL) {
        return cli_fail(EXIT_USAGE, "usage",
                        "--kind is proxmox_token, proxmox_password, "
                        "syncthing_api_key, syncthing_password or opaque.");
    }

    memset(e, 0, sizeof(*e));
    e->kind = (unsigned) kind;
    randombytes_buf(random, sizeof(random));
    vmops_uuid_v7(&e->id, plat_wall_ms(), random);

    if (o->label == NULL || o->label[0] == '\0'
        || !vmops_pattern_match(VMOPS_P_TEXT, vmops_span_str(o->label))
        || text_copy(e->label, sizeof(e->label), vmops_span_str(o->label))
           != 0)
    {
        return cli_fail(EXIT_USAGE, "usage",
                        "--label is 1 to %d bytes on one line.",
                        VMOPS_LABEL_MAX);
    }

    return EXIT_OK;
}


int
cli_secret_add(cli_t *cli)
{
    int             rc;
    size_t          n, length = 0;
    shown_t         shown;
    secret_form_t       o;
    cli_agent_t     a;
    vault_entry_t   e;
    const secret_kind_t   *k;

    const cli_option_t  options[] = {
        { "kind", "a kind", &o.kind },
        { "label", "a label", &o.label },
        { "host", "a host", &o.host },
        { "port", "a port", &o.port },
        { "user", "a user", &o.user },
        { "pin", "a pin", &o.pin },
        { "accept-shown", NULL, &o.accept },
        { "classes", "a list", &o.classes },
        { "vmids", "a list", &o.vmids },
        { "stdin", NULL, &o.from_stdin },
        { NULL, NULL, NULL }
    };

    memset(&o, 0, sizeof(o));
    rc = cli_options(cli, options, NULL, 0, &n);
    if (rc == EXIT_OK) {
        rc = new_entry(&e, &k, &o);
    }
    if (rc == EXIT_OK) {
        rc = secret_form_user(&e.endpoint, k, o.user);
    }
    if (rc == EXIT_OK) {
        rc = secret_form_endpoint(&e.endpoint, k, &o);
    }
    if (rc != EXIT_OK) {
        return rc;
    }

    rc = cli_agent_open(&a, cli, CLI_CHANGE);
    if (rc == EXIT_OK && k->port != NULL) {
        rc = secret_form_pin(&e.endpoint, k->kind, &o, &shown);
    }
    if (rc == EXIT_OK) {
        rc = seal_and_store(&a, &e, k, &o, 1, &length);
    }

    cli_agent_close(&a);

    return rc == EXIT_OK ? report(&e, k->port != NULL ? &shown : NULL, length)
                         : rc;
}


/* Another key than the one that was confirmed; 0 where it cannot be seen. */

static int
key_changed(const endpoint_t *ep)
{
    probe_t  probe;

    route_probe(&probe, ep, 1);

    return !probe.ok && probe.fail.code == VMOPS_CMDERR_tls_pin_mismatch;
}


/* The endpoint stays, but for what the options say anew, and a new key. */

static int
rotate(cli_agent_t *a, vault_entry_t *e, const secret_form_t *o)
{
    int            rc, again = 0;
    size_t         length = 0;
    shown_t        shown;
    const secret_kind_t  *k = secret_kind(e->kind);

    if (k == NULL) {
        return cli_fail(EXIT_USAGE, "usage",
                        "This version cannot enter secrets of that kind.");
    }

    rc = secret_form_fits(k, o);

    if (rc == EXIT_OK && o->user != NULL) {
        rc = secret_form_user(&e->endpoint, k, o->user);
    }
    if (rc == EXIT_OK && k->port != NULL) {
        again = o->pin != NULL || o->accept != NULL
                || key_changed(&e->endpoint);
    }
    if (rc == EXIT_OK && again) {
        rc = secret_form_pin(&e->endpoint, k->kind, o, &shown);
    }
    if (rc == EXIT_OK) {
        cli_say("%s, %s", e->label, vmops_kind_name(e->kind));
        if (k->port != NULL) {
            cli_say(", for %s:%u", e->endpoint.host, e->endpoint.port);
        }
        cli_say("\n");
        rc = seal_and_store(a, e, k, o, 0, &length);
    }

    return rc == EXIT_OK ? report(e, again ? &shown : NULL, length) : rc;
}


int
cli_secret_rotate(cli_t *cli)
{
    int             rc;
    size_t          n;
    secret_form_t       o;
    const char     *ref = NULL;
    cli_agent_t     a;
    vmops_uuid_t    id;
    vault_entry_t   e;

    const cli_option_t  options[] = {
        { "user", "a user", &o.user },
        { "pin", "a pin", &o.pin },
        { "accept-shown", NULL, &o.accept },
        { "stdin", NULL, &o.from_stdin },
        { NULL, NULL, NULL }
    };

    memset(&o, 0, sizeof(o));
    rc = cli_options(cli, options, &ref, 1, &n);
    if (rc != EXIT_OK) {
        return rc;
    }
    if (n != 1 || vmops_secret_ref_parse(&id, vmops_span_str(ref)) != 0) {
        return cli_fail(EXIT_USAGE, "usage", "secret rotate needs a REF: "
                        "vmops-agent secret list.");
    }

    rc = cli_agent_open(&a, cli, CLI_CHANGE);

    if (rc == EXIT_OK) {
        rc = vault_entry(a.vault, &id, &e) == 0
             ? rotate(&a, &e, &o)
             : cli_fail(EXIT_NOT_FOUND, "not_found",
                        "This agent has no such secret: vmops-agent secret "
                        "list.");
    }

    cli_agent_close(&a);

    return rc;
}
