
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
      cli_pair, 0 },
    { "run", "[--foreground]", cli_run, 0 },
    { "status", "", cli_status, 0 },
    { "unpair", "[--yes]", cli_unpair, 0 },
    { "secret", "add | list | rotate | remove ...", cli_secret, 1 },
    { "policy", "show | set CLASS=allow|ask|deny ... | preset "
      "full|standard|read-only", cli_policy, 1 },
    { "journal", "[--follow]", cli_journal, 0 },
    { "audit", "verify FILE|-", cli_audit, 1 },
    { "version", "", cli_version, 0 },
    { NULL, NULL, NULL, 0 }
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

        } else if (strncmp(argv[i], "--home=", 7) == 0) {
            dir = argv[i] + 7;

        } else if (strcmp(argv[i], "--home") == 0 && i + 1 < argc) {
            dir = argv[++i];

        } else if (strcmp(argv[i], "--home") == 0) {
            return cli_fail(EXIT_USAGE, "usage", "--home needs a folder.");

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
        return cli_fail(EXIT_INTERNAL, "no_home", dir != NULL
                        ? "The path that --home names is too long."
                        : "This user has no home: --home DIR names a folder.");
    }

    i = cli_dispatch(&cli, commands, "[--home DIR] [--json] ");
    curl_global_cleanup();

    return i;
}
