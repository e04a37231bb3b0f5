
/* vmops-agent: the command table. */

#include <curl/curl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "redact.h"
#include "vmops_banned.h"


static const cli_command_t  commands[] = {
    { "pair",
      "--server URL [--code CODE] [--name NAME] [--ca-file PEM] [--yes]",
      cli_pair },
    { "run", "[--foreground]", cli_run },
    { "status", "", cli_status },
    { "unpair", "[--yes]", cli_unpair },
    { "secret", "add | list | rotate | remove ...", cli_secret },
    { "policy", "show | set CLASS=allow|ask|deny ... | preset "
      "full|standard|read-only", cli_policy },
    { "journal", "[--follow]", cli_journal },
    { "audit", "verify FILE|-", cli_audit },
    { "version", "", cli_version },
    { NULL, NULL, NULL }
};


int
main(int argc, char **argv)
{
    int          i;
    cli_t        cli;
    const char  *dir = NULL;

    for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {

        if (strcmp(argv[i], "--json") == 0) {
            cli_json = 1;

        } else if (strcmp(argv[i], "--home") == 0 && i + 1 < argc) {
            dir = argv[++i];

        } else {
            break;
        }
    }

    cli.argc = argc - i;
    cli.argv = argv + i;

    if (plat_init() != 0 || wipe_alloc_init() != 0 || sodium_init() < 0
        || redact_init() != 0)
    {
        return cli_fail(EXIT_INTERNAL, "internal",
                        "The program cannot start here.");
    }

    if (home_open(&cli.home, dir) != 0) {
        return cli_fail(EXIT_INTERNAL, "internal",
                        "The agent's folders cannot be made.");
    }

    i = cli_dispatch(&cli, commands, "[--home DIR] [--json] ");
    curl_global_cleanup();

    return i;
}
