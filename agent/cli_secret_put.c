
/*
 * secret add, secret rotate: the endpoint is looked at and its key confirmed,
 * the secret typed, sealed and uploaded.
 */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "route.h"
#include "vmops_banned.h"


#define SECRET_MAX    12288
#define BODY_MAX      (2 * VMOPS_SECRET_CIPHERTEXT_MAX + 4096)
#define UPLOAD_TRIES  3

typedef struct {
    const char  *kind;
    const char  *label;
    const char  *host;
    const char  *port;
    const char  *user;
    const char  *pin;
    const char  *accept;
    const char  *classes;
    const char  *vmids;
    const char  *from_stdin;
} options_t;

typedef struct {
    unsigned     kind;
    const char  *user;          /* what its user name looks like; NULL: none */
    const char  *port;          /* default; NULL: it has no endpoint */
    const char  *question;
} kind_t;

static const kind_t  kinds[] = {
    { VMOPS_KIND_PROXMOX_TOKEN, "user@realm!name", "8006",
      "Token (the UUID): " },
    { VMOPS_KIND_PROXMOX_PASSWORD, "user@realm", "8006", "Password: " },
    { VMOPS_KIND_SYNCTHING_API_KEY, NULL, "8384", "API key: " },
    { VMOPS_KIND_SYNCTHING_PASSWORD, "user", "8384", "Password: " },
    { VMOPS_KIND_OPAQUE, NULL, NULL, "Secret: " },
};


static const kind_t *
find_kind(unsigned kind)
{
    size_t  i;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].kind == kind) {
            return &kinds[i];
        }
    }

    return NULL;
}


static int
user_fits(const kind_t *k, const char *user)
{
    const char  *at = strchr(user, '@');

    switch (k->kind) {

    case VMOPS_KIND_PROXMOX_TOKEN:
        return at != NULL && strchr(at, '!') != NULL;

    case VMOPS_KIND_PROXMOX_PASSWORD:
        return at != NULL && strchr(at, '!') == NULL;

    default:
        return user[0] != '\0';
    }
}


static int
set_user(endpoint_t *ep, const kind_t *k, const char *user)
{
    if (k->user == NULL) {
        return user == NULL ? EXIT_OK
               : cli_fail(EXIT_USAGE, "usage", "This kind has no --user.");
    }

    if (user == NULL || !user_fits(k, user)
        || text_copy(ep->user, sizeof(ep->user), vmops_span_str(user)) != 0)
    {
        return cli_fail(EXIT_USAGE, "usage", "This kind needs --user %s.",
                        k->user);
    }

    return EXIT_OK;
}


static int
set_endpoint(endpoint_t *ep, const kind_t *k, const options_t *o)
{
    if (k->port == NULL) {
        return o->host == NULL && o->port == NULL && o->pin == NULL
               && o->accept == NULL ? EXIT_OK
               : cli_fail(EXIT_USAGE, "usage", "This kind has no endpoint.");
    }

    if (o->host == NULL || endpoint_set_host(ep, o->host) != 0) {
        return cli_fail(EXIT_USAGE, "usage",
                        "This kind needs --host, a name or an address.");
    }

    if (endpoint_set_port(ep, o->port != NULL ? o->port : k->port) != 0) {
        return cli_fail(EXIT_USAGE, "usage", "--port is 1 to 65535.");
    }

    if (o->classes != NULL && endpoint_set_classes(ep, o->classes) != 0) {
        return cli_fail(EXIT_USAGE, "usage",
                        "--classes is a list like read,power.");
    }

    if (o->vmids != NULL && endpoint_set_vmids(ep, o->vmids) != 0) {
        return cli_fail(EXIT_USAGE, "usage",
                        "--vmids is a list like 100-199,300.");
    }

    return EXIT_OK;
}


static void
say_shown(const endpoint_t *ep, unsigned kind, const shown_t *shown,
    char pin[ENDPOINT_PIN_TEXT + 1])
{
    char  cert[ROUTE_CERT_TEXT + 1];

    endpoint_pin_format(pin, shown->spki);
    route_cert_format(cert, shown->cert);

    cli_say("%s:%u shows this key:\n  %s\n", ep->host, ep->port, pin);
    if (vmops_kind_family(kind) == VMOPS_FAMILY_PROXMOX) {
        cli_say("Its certificate, as Proxmox VE's own pages show it "
                "(node, System, Certificates):\n  %s\n", cert);
    }
}


/* What the endpoint shows is looked at, and pinned if it is confirmed. */

static int
pin_endpoint(endpoint_t *ep, unsigned kind, const options_t *o,
    shown_t *shown)
{
    int      rc = EXIT_OK;
    char     pin[ENDPOINT_PIN_TEXT + 1];
    probe_t  probe;
    uint8_t  wanted[32];

    if (o->pin != NULL
        && endpoint_pin_parse(wanted, vmops_span_str(o->pin)) != 0)
    {
        return cli_fail(EXIT_USAGE, "usage",
                        "--pin is sha256// and 44 characters of base64.");
    }

    route_probe(&probe, ep, 0);
    if (!probe.ok) {
        return cli_route_fail(&probe.fail, ep->host);
    }

    *shown = probe.shown;
    say_shown(ep, kind, shown, pin);

    if (o->pin != NULL) {
        if (memcmp(wanted, shown->spki, 32) != 0) {
            return cli_fail(EXIT_NOT_CONFIRMED, "tls_pin_mismatch",
                            "The endpoint shows %s, not the key that --pin "
                            "names.", pin);
        }

    } else if (o->accept == NULL) {
        rc = cli_confirm("Is it the right one? [y/N] ",
                         "--accept-shown or --pin");
    }

    if (rc == EXIT_OK) {
        memcpy(ep->pins[0], shown->spki, 32);
        ep->pins_n = 1;
    }

    return rc;
}


static int
read_secret(const kind_t *k, const options_t *o, char *secret, size_t *n)
{
    int  rc;

    if (o->from_stdin != NULL) {
        rc = plat_read_stdin(secret, SECRET_MAX, n);

    } else {
        rc = plat_ask_secret(k->question, secret, SECRET_MAX);
        *n = rc == 0 ? strlen(secret) : 0;
    }

    if (rc == PLAT_ENOTTY) {
        return cli_fail(EXIT_USAGE, "usage",
                        "There is nobody to ask here: --stdin reads the "
                        "secret from standard input.");
    }
    if (rc == PLAT_ETOOBIG) {
        return cli_fail(EXIT_USAGE, "usage", "The secret is too long.");
    }
    if (rc != 0 || *n == 0) {
        return cli_fail(EXIT_USAGE, "usage", "No secret was given.");
    }

    if (k->kind != VMOPS_KIND_OPAQUE
        && strcspn(secret, "\r\n") != *n)
    {
        return cli_fail(EXIT_USAGE, "usage",
                        "The secret is one line, without control bytes.");
    }

    return EXIT_OK;
}


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

        if (i > 0 && rc == 1
            && reply->problem == (add ? (int) VMOPS_PROBLEM_conflict
                                      : (int) VMOPS_PROBLEM_version_mismatch))
        {
            return 0;
        }
    }

    return rc;
}


static int
store(cli_agent_t *a, vault_entry_t *e, const sealed_secret_t *sealed, int add)
{
    int            rc, exit = EXIT_OK;
    uint8_t       *buf;
    rest_reply_t  *reply;
    vmops_span_t   body;

    buf = malloc(BODY_MAX);
    reply = malloc(sizeof(*reply));

    if (buf == NULL || reply == NULL
        || write_body(buf, &body, e, sealed, add) != 0)
    {
        free(buf);
        free(reply);
        return cli_fail(EXIT_INTERNAL, "internal", "Out of memory.");
    }

    rc = upload(a, e, body, add, reply);

    if (rc == 0) {
        if (vault_stored(a->vault, e) != 0) {
            exit = cli_fail(EXIT_INTERNAL, "internal",
                            "The agent's database cannot be written.");
        }

    } else {
        exit = cli_rest_fail(rc, reply, &a->net.url);

        /* without an answer it may have arrived: it stays openable */
        if (rc == 1) {
            vault_not_stored(a->vault, e);
        }
    }

    free(buf);
    free(reply);

    return exit;
}


static int
seal_and_store(cli_agent_t *a, vault_entry_t *e, const kind_t *k,
    const options_t *o, int add, size_t *length)
{
    int               rc;
    char             *secret;
    uint8_t           kid[32];
    sealed_secret_t  *sealed;

    secret = sodium_malloc(SECRET_MAX);
    sealed = malloc(sizeof(*sealed));

    if (secret == NULL || sealed == NULL) {
        rc = cli_fail(EXIT_INTERNAL, "internal", "Out of memory.");

    } else {
        rc = read_secret(k, o, secret, length);
    }

    if (rc == EXIT_OK
        && (vault_keys(a->vault, kid) != 0
            || vault_seal(a->vault, e, vmops_span(secret, *length),
                          vmops_span(NULL, 0), sealed) != 0))
    {
        rc = cli_fail(EXIT_INTERNAL, "not_sealed",
                      "The secret could not be sealed.");
    }

    sodium_free(secret);

    if (rc == EXIT_OK) {
        rc = store(a, e, sealed, add);
    }

    free(sealed);

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
new_entry(vault_entry_t *e, const kind_t **k, const options_t *o)
{
    int      kind;
    uint8_t  random[10];

    kind = o->kind != NULL ? vmops_kind_find(vmops_span_str(o->kind)) : -1;
    *k = kind > 0 ? find_kind((unsigned) kind) : NULL;

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
    options_t       o;
    cli_agent_t     a;
    vault_entry_t   e;
    const kind_t   *k;

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
        rc = set_user(&e.endpoint, k, o.user);
    }
    if (rc == EXIT_OK) {
        rc = set_endpoint(&e.endpoint, k, &o);
    }
    if (rc != EXIT_OK) {
        return rc;
    }

    rc = cli_agent_open(&a, cli, CLI_CHANGE);
    if (rc == EXIT_OK && k->port != NULL) {
        rc = pin_endpoint(&e.endpoint, k->kind, &o, &shown);
    }
    if (rc == EXIT_OK) {
        rc = seal_and_store(&a, &e, k, &o, 1, &length);
    }

    cli_agent_close(&a);

    return rc == EXIT_OK ? report(&e, k->port != NULL ? &shown : NULL, length)
                         : rc;
}


/* The endpoint stays, but for what the options say anew. */

static int
rotate(cli_agent_t *a, vault_entry_t *e, const options_t *o)
{
    int            rc = EXIT_OK, again = o->pin != NULL || o->accept != NULL;
    size_t         length = 0;
    shown_t        shown;
    const kind_t  *k = find_kind(e->kind);

    if (k == NULL) {
        return cli_fail(EXIT_USAGE, "usage",
                        "This version cannot enter secrets of that kind.");
    }

    if (o->user != NULL) {
        rc = set_user(&e->endpoint, k, o->user);
    }
    if (rc == EXIT_OK && again) {
        rc = pin_endpoint(&e->endpoint, k->kind, o, &shown);
    }
    if (rc == EXIT_OK) {
        cli_say("%s, %s, for %s:%u\n", e->label, vmops_kind_name(e->kind),
                e->endpoint.host, e->endpoint.port);
        rc = seal_and_store(a, e, k, o, 0, &length);
    }

    return rc == EXIT_OK ? report(e, again ? &shown : NULL, length) : rc;
}


int
cli_secret_rotate(cli_t *cli)
{
    int             rc;
    size_t          n;
    options_t       o;
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
        return cli_fail(EXIT_USAGE, "usage", "secret rotate needs a REF.");
    }

    rc = cli_agent_open(&a, cli, CLI_CHANGE);

    if (rc == EXIT_OK) {
        rc = vault_entry(a.vault, &id, &e) == 0
             ? rotate(&a, &e, &o)
             : cli_fail(EXIT_NOT_FOUND, "not_found",
                        "This agent has no such secret.");
    }

    cli_agent_close(&a);

    return rc;
}
