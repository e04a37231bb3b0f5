
/* policy show, set, preset; what is wrong with the policy. */

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "vmops_banned.h"


#define SETTINGS_MAX  POLICY_CLASSES


/* With one %s: the folder. */

static const char *const  faults[] = {
    [POLICY_OK] = "",
    [POLICY_BAD] =
        "policy.json in %s cannot be read, so everything is denied. Correct "
        "it, or begin anew: vmops-agent policy preset standard.",
    [POLICY_OPEN] =
        "policy.json in %s can be written by others: chmod 600. Until then "
        "everything is denied.",
    [POLICY_HOME_OPEN] =
        "%s can be written by others, and so can the policy in it: chmod 700. "
        "Until then everything is denied.",
};


int
cli_policy_load(policy_t *policy, const home_t *home,
    char fault[CLI_FAULT_MAX])
{
    policy_rc_t  rc = policy_load(policy, home);

    snprintf(fault, CLI_FAULT_MAX, faults[rc], home->config);

    return rc == POLICY_OK ? 0 : -1;
}


static int
load(cli_t *cli, policy_t *policy)
{
    int   rc = cli_home_look(&cli->home);
    char  fault[CLI_FAULT_MAX];

    if (rc == EXIT_OK
        && cli_policy_load(policy, &cli->home, fault) != 0)
    {
        rc = cli_fail(EXIT_USAGE, "bad_policy", "%s", fault);
    }

    return rc;
}


static int
show(const policy_t *policy)
{
    size_t         i;
    vmops_jw_t     w;

    static const char *const  names[] = {
#define VMOPS_X(id, name, bit)  name,
        VMOPS_CLASSES(VMOPS_X)
#undef VMOPS_X
    };

    for (i = 0; i < POLICY_CLASSES; i++) {
        cli_say("%-10s %s\n", names[i],
                policy_verdict_name(policy->verdicts[i]));
    }
    for (i = 0; i < policy->vmids_n; i++) {
        cli_say("vmids      %u-%u\n", policy->vmids[i][0],
                policy->vmids[i][1]);
    }

    cli_begin(&w);
    vmops_jw_key(&w, "policy");
    policy_write(&w, policy);

    return cli_end(&w);
}


/* What is shown is what holds now. */

static int
save(cli_t *cli, policy_t *policy)
{
    int  rc;

    if (policy_save(policy, &cli->home) != 0) {
        return cli_storage_fail(&cli->home);
    }

    rc = load(cli, policy);

    return rc == EXIT_OK ? show(policy) : rc;
}


static int
policy_cmd_show(cli_t *cli)
{
    int       rc;
    size_t    n;
    policy_t  policy;

    const cli_option_t  options[] = { { NULL, NULL, NULL } };

    rc = cli_options(cli, options, NULL, 0, &n);
    if (rc == EXIT_OK) {
        rc = load(cli, &policy);
    }

    return rc == EXIT_OK ? show(&policy) : rc;
}


static int
begin(cli_t *cli, plat_lock_t **lock)
{
    int  rc = cli_home_make(&cli->home);

    return rc == EXIT_OK ? cli_lock(&cli->home, lock) : rc;
}


static int
set_classes(policy_t *policy, const char *const *words, size_t n)
{
    size_t       i;
    const char  *equals;

    for (i = 0; i < n; i++) {
        equals = strchr(words[i], '=');
        if (equals == NULL
            || policy_set(policy,
                          vmops_span(words[i], (size_t) (equals - words[i])),
                          vmops_span_str(equals + 1)) != 0)
        {
            return cli_fail(EXIT_USAGE, "usage",
                            "%s is not CLASS=allow|ask|deny.", words[i]);
        }
    }

    return n > 0 ? EXIT_OK
                 : cli_fail(EXIT_USAGE, "usage",
                            "policy set needs CLASS=allow|ask|deny.");
}


static int
policy_cmd_set(cli_t *cli)
{
    int           rc;
    size_t        n;
    policy_t      policy;
    const char   *words[SETTINGS_MAX];
    plat_lock_t  *lock = NULL;

    const cli_option_t  options[] = { { NULL, NULL, NULL } };

    rc = cli_options(cli, options, words, SETTINGS_MAX, &n);

    /* what is wrong is said before anything is made */
    if (rc == EXIT_OK) {
        rc = set_classes(&policy, words, n);
    }
    if (rc == EXIT_OK) {
        rc = begin(cli, &lock);
    }
    if (rc == EXIT_OK) {
        rc = load(cli, &policy);
    }
    if (rc == EXIT_OK) {
        rc = set_classes(&policy, words, n);
    }
    if (rc == EXIT_OK) {
        rc = save(cli, &policy);
    }

    plat_unlock(lock);

    return rc;
}


/* Of the classes: ranges of guests stay, if they can be read. */

static int
policy_cmd_preset(cli_t *cli)
{
    int           rc;
    size_t        n;
    policy_t      policy;
    const char   *name = NULL;
    plat_lock_t  *lock = NULL;

    const cli_option_t  options[] = { { NULL, NULL, NULL } };

    rc = cli_options(cli, options, &name, 1, &n);
    if (rc == EXIT_OK && (n != 1 || policy_preset(&policy, name) != 0)) {
        rc = cli_fail(EXIT_USAGE, "usage",
                      "The presets are full, standard and read-only.");
    }
    if (rc == EXIT_OK) {
        rc = begin(cli, &lock);
    }

    if (rc == EXIT_OK) {
        if (policy_load(&policy, &cli->home) != POLICY_OK) {
            cli_say("policy.json could not be used: if it had ranges of "
                    "guests, they are gone.\n");
        }

        policy_preset(&policy, name);
        rc = save(cli, &policy);
    }

    plat_unlock(lock);

    return rc;
}


static const cli_command_t  commands[] = {
    { "show", "", policy_cmd_show, 0 },
    { "set", "CLASS=allow|ask|deny ...", policy_cmd_set, 0 },
    { "preset", "full|standard|read-only", policy_cmd_preset, 0 },
    { NULL, NULL, NULL, 0 }
};


int
cli_policy(cli_t *cli)
{
    return cli_dispatch(cli, commands, "policy ");
}
