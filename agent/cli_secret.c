
/* secret list, secret remove; the table of all of them. */

#include <string.h>

#include "cli.h"
#include "vmops_banned.h"


static int
write_entry(void *data, const vault_entry_t *e)
{
    char           pin[ENDPOINT_PIN_TEXT + 1];
    char           ref[VMOPS_SECRET_REF_TEXT + 1];
    size_t         i;
    vmops_jw_t    *w = data;
    const char    *status;

    status = !e->readable ? "reentry_required"
             : e->current.version == 0 ? "not_confirmed"
             : e->rotate_asked ? "rotation_requested" : "ok";
    vmops_secret_ref_format(ref, &e->id);

    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "secret_ref", ref);
    vmops_jw_kcstr(w, "kind", vmops_kind_name(e->kind));
    vmops_jw_kcstr(w, "label", e->label);
    vmops_jw_kint(w, "version", (int64_t) e->current.version);
    vmops_jw_kcstr(w, "status", status);
    vmops_jw_kcstr(w, "host", e->endpoint.port != 0 ? e->endpoint.host : NULL);
    if (e->endpoint.port != 0) {
        vmops_jw_kint(w, "port", e->endpoint.port);
    } else {
        vmops_jw_knull(w, "port");
    }
    vmops_jw_kcstr(w, "user",
                   e->endpoint.user[0] != '\0' ? e->endpoint.user : NULL);

    vmops_jw_key(w, "pins");
    vmops_jw_arr(w);
    for (i = 0; i < e->endpoint.pins_n; i++) {
        endpoint_pin_format(pin, e->endpoint.pins[i]);
        vmops_jw_cstr(w, pin);
    }
    vmops_jw_arr_end(w);
    vmops_jw_obj_end(w);

    cli_say("%s  %-18s v%-3llu %-18s %s", ref, vmops_kind_name(e->kind),
            (unsigned long long) e->current.version, status, e->label);
    if (e->endpoint.port != 0) {
        cli_say("  %s:%u", e->endpoint.host, e->endpoint.port);
    }
    cli_say("\n");

    return 0;
}


static int
secret_list(cli_t *cli)
{
    int          rc;
    size_t       n;
    vmops_jw_t   w;
    cli_agent_t  a;

    const cli_option_t  options[] = { { NULL, NULL, NULL } };

    rc = cli_options(cli, options, NULL, 0, &n);
    if (rc != EXIT_OK) {
        return rc;
    }

    rc = cli_agent_open(&a, cli, CLI_READ);

    if (rc == EXIT_OK) {
        cli_begin(&w);
        vmops_jw_key(&w, "items");
        vmops_jw_arr(&w);
        rc = vault_each(a.vault, write_entry, &w) == 0
             ? EXIT_OK : cli_fail(EXIT_INTERNAL, "internal",
                                  "The agent's database cannot be read.");
    }

    cli_agent_close(&a);

    if (rc != EXIT_OK) {
        return rc;
    }

    vmops_jw_arr_end(&w);

    return cli_end(&w);
}


static int
secret_remove(cli_t *cli)
{
    int            rc;
    size_t         n;
    vmops_jw_t     w;
    const char    *ref = NULL;
    cli_agent_t    a;
    vmops_uuid_t   id;
    vault_entry_t  e;

    const cli_option_t  options[] = { { NULL, NULL, NULL } };

    rc = cli_options(cli, options, &ref, 1, &n);
    if (rc != EXIT_OK) {
        return rc;
    }
    if (n != 1 || vmops_secret_ref_parse(&id, vmops_span_str(ref)) != 0) {
        return cli_fail(EXIT_USAGE, "usage", "secret remove needs a REF: "
                        "vmops-agent secret list.");
    }

    rc = cli_agent_open(&a, cli, CLI_CHANGE);

    if (rc == EXIT_OK && vault_entry(a.vault, &id, &e) != 0) {
        rc = cli_fail(EXIT_NOT_FOUND, "not_found",
                      "This agent has no such secret: vmops-agent secret "
                      "list.");
    }
    if (rc == EXIT_OK && vault_forget(a.vault, &id) != 0) {
        rc = cli_fail(EXIT_INTERNAL, "internal",
                      "The agent's database cannot be written.");
    }

    cli_agent_close(&a);

    if (rc != EXIT_OK) {
        return rc;
    }

    cli_say("Removed: this agent will not open it again. An owner can delete "
            "what the server has of it.\n");
    cli_begin(&w);
    vmops_jw_kcstr(&w, "removed", ref);

    return cli_end(&w);
}


static const cli_command_t  commands[] = {
    { "add", "--kind proxmox_token|proxmox_password|syncthing_api_key|"
      "syncthing_password|opaque\n"
      "           --label L [--host H] [--port P] [--user U]\n"
      "           [--pin sha256//BASE64 | --accept-shown] [--classes LIST] "
      "[--vmids LIST] [--stdin]", cli_secret_add, 0 },
    { "list", "", secret_list, 0 },
    { "rotate", "REF [--user U] [--pin sha256//BASE64 | --accept-shown] "
      "[--stdin]", cli_secret_rotate, 0 },
    { "remove", "REF", secret_remove, 0 },
    { NULL, NULL, NULL, 0 }
};


int
cli_secret(cli_t *cli)
{
    return cli_dispatch(cli, commands, "secret ");
}
