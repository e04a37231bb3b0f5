
/* run, version. */

#include "cli.h"
#include "daemon.h"
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
