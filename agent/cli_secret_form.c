
/* Kinds, endpoints and pins as people give them. */

#include <string.h>

#include "cli_secret_form.h"
#include "vmops_banned.h"


static const secret_kind_t  kinds[] = {
    { VMOPS_KIND_PROXMOX_TOKEN, "user@realm!name", "8006",
      "Token (the UUID): " },
    { VMOPS_KIND_PROXMOX_PASSWORD, "user@realm", "8006", "Password: " },
    { VMOPS_KIND_SYNCTHING_API_KEY, NULL, "8384", "API key: " },
    { VMOPS_KIND_SYNCTHING_PASSWORD, "user", "8384", "Password: " },
    { VMOPS_KIND_OPAQUE, NULL, NULL, "Secret: " },
};


const secret_kind_t *
secret_kind(unsigned kind)
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
user_fits(const secret_kind_t *k, const char *user)
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


int
secret_form_fits(const secret_kind_t *k, const secret_form_t *o)
{
    return k->port != NULL
           || (o->host == NULL && o->port == NULL && o->pin == NULL
               && o->accept == NULL && o->classes == NULL && o->vmids == NULL)
           ? EXIT_OK
           : cli_fail(EXIT_USAGE, "usage", "This kind has no endpoint.");
}


int
secret_form_user(endpoint_t *ep, const secret_kind_t *k, const char *user)
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


int
secret_form_endpoint(endpoint_t *ep, const secret_kind_t *k,
    const secret_form_t *o)
{
    if (k->port == NULL) {
        return secret_form_fits(k, o);
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
                        "--classes is a list like read,power: vmops-agent "
                        "policy show.");
    }

    if (o->vmids != NULL && endpoint_set_vmids(ep, o->vmids) != 0) {
        return cli_fail(EXIT_USAGE, "usage",
                        "--vmids is a list like 100-199,300; a VMID has "
                        "three digits or more.");
    }

    return EXIT_OK;
}


/* Whoever is asked has to see it, with --json, too. */

static void
say_shown(const endpoint_t *ep, unsigned kind, const shown_t *shown,
    const char *pin, int asked)
{
    char    cert[ROUTE_CERT_TEXT + 1], before[ENDPOINT_PIN_TEXT + 1];
    void  (*say)(const char *format, ...) = asked ? cli_show : cli_say;

    route_cert_format(cert, shown->cert);

    say("%s:%u shows this key:\n  %s\n", ep->host, ep->port, pin);
    if (ep->pins_n > 0 && memcmp(ep->pins[0], shown->spki, 32) != 0) {
        endpoint_pin_format(before, ep->pins[0]);
        say("It is not the one that was confirmed before:\n  %s\n", before);
    }
    if (vmops_kind_family(kind) == VMOPS_FAMILY_PROXMOX) {
        say("Its certificate, as Proxmox VE's own pages show it "
            "(node, System, Certificates):\n  %s\n", cert);
    }
}


int
secret_form_pin(endpoint_t *ep, unsigned kind, const secret_form_t *o,
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
    endpoint_pin_format(pin, shown->spki);
    say_shown(ep, kind, shown, pin, o->pin == NULL && o->accept == NULL);

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


int
secret_form_read(const secret_kind_t *k, const secret_form_t *o, char *secret,
    size_t *n)
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
