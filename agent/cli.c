
/* What the commands share. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "journal.h"
#include "vmops_banned.h"


#define OUT_MAX         262144
#define CHANGE_TRIES    50
#define CHANGE_TRY_MS   100

int  cli_json;

static uint8_t  out[OUT_MAX];


void
cli_say(const char *format, ...)
{
    va_list  args;

    if (cli_json) {
        return;
    }

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fflush(stdout);
}


void
cli_show(const char *format, ...)
{
    FILE    *to = cli_json ? stderr : stdout;
    va_list  args;

    va_start(args, format);
    vfprintf(to, format, args);
    va_end(args);
    fflush(to);
}


void
cli_begin(vmops_jw_t *w)
{
    vmops_jw_init(w, out, sizeof(out));
    vmops_jw_obj(w);
}


int
cli_end(vmops_jw_t *w)
{
    vmops_span_t  text;

    vmops_jw_obj_end(w);

    if (vmops_jw_done(w, &text) != 0) {
        return cli_fail(EXIT_INTERNAL, "internal", "Too much to print.");
    }

    if (cli_json) {
        fwrite(text.p, 1, text.n, stdout);
        fputc('\n', stdout);
        fflush(stdout);
    }

    return EXIT_OK;
}


int
cli_fail(int exit, const char *code, const char *format, ...)
{
    char        message[1024];
    va_list     args;
    vmops_jw_t  w;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);

    if (!cli_json) {
        fprintf(stderr, "vmops-agent: %s (%s)\n", message, code);
        return exit;
    }

    cli_begin(&w);
    vmops_jw_key(&w, "error");
    vmops_jw_obj(&w);
    vmops_jw_kcstr(&w, "code", code);
    vmops_jw_kcstr(&w, "message", message);
    vmops_jw_obj_end(&w);
    cli_end(&w);

    return exit;
}


/* No memory, or no thread. */

int
cli_no_memory(void)
{
    return cli_fail(EXIT_INTERNAL, "internal",
                    "This PC has too little memory left for the agent: close "
                    "some programs, then try again.");
}


/* Whose files they are, or that they are everybody's, is the usual reason. */

static int
identity_error(const home_t *home)
{
    int      rc;
    char     path[PLAT_PATH_MAX];
    size_t   n;
    uint8_t  byte;

    if (home_path(path, home->config, "wrap.key") == 0
        && plat_read_private(path, &byte, sizeof(byte), &n) == PLAT_EOPEN)
    {
        return cli_fail(EXIT_INTERNAL, "key_open",
                        "Others than its owner may read %s, so it is not used. "
                        "If nobody can have copied it, take that right away "
                        "(chmod 600); otherwise remove it and pair the agent "
                        "again.", path);
    }

    rc = home_path(path, home->state, "identity.bin") == 0
         ? plat_read_file(path, &byte, sizeof(byte), &n) : PLAT_E;

    return cli_fail(EXIT_INTERNAL, "identity_error", rc == PLAT_E
                    ? "This user cannot read %s, or its key: was the agent "
                      "paired by another one?"
                    : "%s cannot be opened: its key is not this user's to "
                      "read, or a later version made it.", path);
}


int
cli_identity_fail(const home_t *home, sealed_rc_t rc)
{
    switch (rc) {

    case SEALED_NONE:
        return cli_fail(EXIT_UNPAIRED, "not_paired",
                        "There is no paired agent in %s. If it is in another "
                        "folder: --home DIR, or run this as its user. "
                        "Otherwise an owner makes a code: vmops-agent pair "
                        "--server URL.", home->state);
    case SEALED_UNREADABLE:
        return cli_fail(EXIT_UNREADABLE, "identity_unreadable",
                        "The identity could not be read and was set aside as "
                        "identity.bin.unreadable; pair the agent again.");
    default:
        return identity_error(home);
    }
}


int
cli_config_fail(const home_t *home, const char *fault)
{
    return fault[0] != '\0'
           ? cli_fail(EXIT_USAGE, "bad_config",
                      "config.json in %s has a wrong value, or one too many, "
                      "at %s: correct it.", home->config, fault)
           : cli_fail(EXIT_USAGE, "bad_config",
                      "config.json in %s is not JSON, or cannot be read: "
                      "correct or remove it.", home->config);
}


int
cli_route_fail(const net_fail_t *fail, const char *host)
{
    char  sentence[512];

    net_sentence(sentence, sizeof(sentence), fail, host);

    return cli_fail(EXIT_CONNECT,
                    vmops_command_error_info(fail->code)->code, "%s",
                    sentence);
}


int
cli_storage_fail(const home_t *home)
{
    const char  *also = strcmp(home->config, home->state) != 0
                        ? home->config : "";

    return cli_fail(EXIT_INTERNAL, "agent_storage",
                    "The agent cannot write to %s%s%s: there is no space, or "
                    "no right to. Nothing was done or sent.", home->state,
                    also[0] != '\0' ? " or " : "", also);
}


int
cli_keystore_fail(const home_t *home)
{
    return cli_fail(EXIT_UNREADABLE, "keystore_error",
                    "The agent's keys, keystore.bin in %s, can neither be read "
                    "nor made. Look whether the disk is full and whether the "
                    "file is this user's, then try again.", home->state);
}


int
cli_journal_fail(const home_t *home, int rc)
{
    if (rc != DB_DAMAGED && rc != JOURNAL_LOST) {
        return cli_fail(EXIT_INTERNAL, "db_error",
                        "The agent's database, state.db in %s, cannot be used "
                        "now. Look whether the disk is full and whether the "
                        "file is this user's, then try again.",
                        home->state);
    }

    return cli_fail(EXIT_UNREADABLE,
                    rc == DB_DAMAGED ? "journal_damaged" : "journal_lost",
                    "The agent's journal, state.db in %s, %s. Without it "
                    "something could be done twice, so nothing is done. Do not "
                    "put an old copy in its place: pair the agent again "
                    "(vmops-agent pair), which keeps the file under another "
                    "name, and enter its secrets again.", home->state,
                    rc == DB_DAMAGED ? "is damaged"
                    : "is not that of this agent, or empty");
}


int
cli_proxy_fail(const proxy_t *proxy)
{
    return cli_fail(EXIT_USAGE, "bad_proxy",
                    "%s is no address of a proxy: http://HOST:PORT.",
                    proxy->name);
}


int
cli_rest_fail(int rc, const rest_reply_t *reply, const net_t *net)
{
    char                         now[VMOPS_TIME_TEXT + 1];
    const vmops_problem_info_t  *info;

    if (rc < 0) {
        return net->via.bad ? cli_proxy_fail(&net->via)
               : cli_route_fail(&reply->fail,
                                net_fail_at(&reply->fail, net));
    }

    if (reply->problem < 0) {
        return cli_fail(EXIT_REFUSED, "unexpected_answer",
                        "%s answered with HTTP status %ld, and not as this "
                        "service does: is it the right address?",
                        net->url.base, reply->status);
    }

    if (reply->problem == VMOPS_PROBLEM_unauthenticated) {
        vmops_time_format(now, (int64_t) plat_wall_ms());
        return cli_fail(EXIT_REFUSED, "unauthenticated",
                        "The server does not take what this agent signs. Is "
                        "the clock of this PC right? It says %s. Otherwise "
                        "the agent was paired again elsewhere: then pair this "
                        "one again.", now);
    }

    info = vmops_problem_info((unsigned) reply->problem);

    /* its own text names a header, which nobody sees here */
    if (reply->problem == VMOPS_PROBLEM_rate_limited
        && reply->retry_after_s > 0)
    {
        return cli_fail(EXIT_REFUSED, info->code,
                        "%s. Wait %lld s, then try again.", info->title,
                        (long long) reply->retry_after_s);
    }

    return cli_fail(EXIT_REFUSED, info->code, "%s. %s", info->title,
                    info->detail);
}


static const cli_option_t *
find_option(const cli_option_t *o, const char *name)
{
    for ( ; o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0) {
            return o;
        }
    }

    return NULL;
}


int
cli_options(cli_t *cli, const cli_option_t *options, const char **words,
    size_t max, size_t *n)
{
    int                  i;
    const char          *arg;
    const cli_option_t  *o;

    *n = 0;

    for (i = 0; i < cli->argc; i++) {
        arg = cli->argv[i];

        if (strncmp(arg, "--", 2) != 0) {
            if (*n == max) {
                return cli_fail(EXIT_USAGE, "usage", "Too many arguments.");
            }
            words[(*n)++] = arg;
            continue;
        }

        if (strcmp(arg, "--json") == 0) {
            cli_json = 1;
            continue;
        }

        if (strcmp(arg, "--home") == 0) {
            return cli_fail(EXIT_USAGE, "usage",
                            "--home DIR comes before the command.");
        }

        o = find_option(options, arg + 2);
        if (o == NULL) {
            return cli_fail(EXIT_USAGE, "usage", "Unknown option %s; "
                            "--help in its place lists those there are.", arg);
        }
        if (o->arg == NULL) {
            *o->value = "";
            continue;
        }
        if (++i == cli->argc) {
            return cli_fail(EXIT_USAGE, "usage", "%s needs %s.", arg, o->arg);
        }

        *o->value = cli->argv[i];
    }

    return EXIT_OK;
}


static void
usage_line(FILE *out, const char *before, const cli_command_t *c,
    const char *prefix)
{
    fprintf(out, "%s vmops-agent %s%s%s%s\n", before, prefix, c->name,
            c->usage[0] != '\0' ? " " : "", c->usage);
}


static void
usage(FILE *out, const cli_command_t *commands, const char *prefix)
{
    const cli_command_t  *c;

    for (c = commands; c->name != NULL; c++) {
        usage_line(out, c == commands ? "usage:" : "      ", c, prefix);
    }
}


static int
asks_for_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0
           || strcmp(arg, "help") == 0;
}


int
cli_dispatch(cli_t *cli, const cli_command_t *commands, const char *prefix)
{
    const char           *name;
    const cli_command_t  *c;

    while (cli->argc > 0 && strcmp(cli->argv[0], "--json") == 0) {
        cli_json = 1;
        cli->argc--;
        cli->argv++;
    }

    name = cli->argc > 0 ? cli->argv[0] : "";

    for (c = commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) {
            cli->argc--;
            cli->argv++;

            if (!c->group && cli->argc > 0 && asks_for_help(cli->argv[0])) {
                usage_line(stdout, "usage:", c, prefix);
                return EXIT_OK;
            }

            return c->run(cli);
        }
    }

    if (asks_for_help(name)) {
        usage(stdout, commands, prefix);
        return EXIT_OK;
    }

    if (!cli_json) {
        usage(stderr, commands, prefix);
    }

    return *name ? cli_fail(EXIT_USAGE, "usage", "Unknown command %s.", name)
                 : cli_fail(EXIT_USAGE, "usage", "A command is needed.");
}


int
cli_confirm(const char *question, const char *option)
{
    int   rc;
    char  answer[16];

    rc = plat_ask(question, answer, sizeof(answer));

    if (rc == PLAT_ENOTTY) {
        return cli_fail(EXIT_NOT_CONFIRMED, "not_confirmed",
                        "There is nobody to ask here: use a terminal, or %s "
                        "to say yes.",
                        option);
    }

    if (rc == 0 && (strcmp(answer, "y") == 0 || strcmp(answer, "yes") == 0)) {
        return EXIT_OK;
    }

    return cli_fail(EXIT_NOT_CONFIRMED, "not_confirmed", "Nothing was done.");
}


static int
look(const char *folder)
{
    return plat_look_dir(folder) != PLAT_E
           ? EXIT_OK
           : cli_fail(EXIT_INTERNAL, "home_unreadable",
                      "%s cannot be read: run this as the agent's own user.",
                      folder);
}


int
cli_home_look(const home_t *home)
{
    int  rc = look(home->config);

    return rc == EXIT_OK ? look(home->state) : rc;
}


int
cli_home_make(const home_t *home)
{
    int  config = plat_make_dirs(home->config);

    if (config != 0 || plat_make_dirs(home->state) != 0) {
        return cli_fail(EXIT_INTERNAL, "no_home",
                        "%s is no folder, and cannot be made one: --home DIR "
                        "names another.",
                        config != 0 ? home->config : home->state);
    }

    return cli_home_look(home);
}


int
cli_home_paired(const home_t *home)
{
    int  rc = cli_home_look(home);

    if (rc == EXIT_OK && !identity_there(home)) {
        rc = cli_identity_fail(home, SEALED_NONE);
    }

    return rc;
}


int
cli_lock(const home_t *home, plat_lock_t **lock)
{
    int   i, rc = PLAT_EBUSY;
    char  path[PLAT_PATH_MAX];

    if (home_room(home) != 0
        || home_path(path, home->state, "change.lock") != 0)
    {
        return cli_storage_fail(home);
    }

    for (i = 0; i < CHANGE_TRIES && rc == PLAT_EBUSY; i++) {
        if (i > 0) {
            plat_sleep(CHANGE_TRY_MS);
        }
        rc = plat_lock(path, lock);
    }

    return rc == 0 ? EXIT_OK
                   : cli_fail(EXIT_RUNNING, "busy",
                              "Another command is changing this home: try "
                              "again when it has ended.");
}


/* A new pairing needs nothing of what is there; it is kept all the same. */

static int
open_any_journal(cli_agent_t *a)
{
    int  rc = db_open(&a->db, a->home);

    if (rc == 0) {
        rc = db_check(a->db);
    }

    if (rc != DB_DAMAGED) {
        return rc;
    }

    db_close(a->db);
    a->db = NULL;

    if (db_set_aside(a->home) != 0) {
        return PLAT_E;
    }

    cli_say("The journal was damaged and was set aside: state.db.damaged.\n");

    return db_open(&a->db, a->home);
}


static int
open_home(cli_agent_t *a, cli_open_t how)
{
    int   rc;
    char  fault[VMOPS_JSON_POINTER_MAX + 1];

    if (how != CLI_READ) {
        rc = cli_lock(a->home, &a->lock);
        if (rc != EXIT_OK) {
            return rc;
        }
    }

    if (settings_load(&a->settings, a->home, fault) != 0) {
        return cli_config_fail(a->home, fault);
    }

    a->id = identity_new();
    if (a->id == NULL) {
        return cli_no_memory();
    }

    rc = how == CLI_ANY ? open_any_journal(a) : db_open(&a->db, a->home);

    return rc == 0 ? EXIT_OK : cli_journal_fail(a->home, rc);
}


int
cli_agent_open(cli_agent_t *a, cli_t *cli, cli_open_t how)
{
    int          rc;
    sealed_rc_t  found;

    memset(a, 0, sizeof(*a));
    a->home = &cli->home;

    rc = how == CLI_ANY ? EXIT_OK : cli_home_paired(a->home);
    if (rc == EXIT_OK) {
        rc = open_home(a, how);
    }
    if (rc != EXIT_OK || how == CLI_ANY) {
        return rc;
    }

    found = identity_load(a->id, a->home);
    if (found != SEALED_OK) {
        return cli_identity_fail(a->home, found);
    }

    rc = journal_belongs(a->db, &a->id->agent);
    if (rc != 0) {
        return cli_journal_fail(a->home, rc);
    }

    a->vault = vault_new(a->home, a->db, a->id);
    if (a->vault == NULL || net_init(&a->net, a->id, &a->settings) != 0) {
        return cli_no_memory();
    }

    return EXIT_OK;
}


void
cli_agent_close(cli_agent_t *a)
{
    vault_free(a->vault);
    db_close(a->db);
    identity_free(a->id);
    plat_unlock(a->lock);
}
