
/*
 * The command line: every command's own file, and what they share.  With
 * --json each prints one JSON document (or lines where it follows), also for
 * a failure: {"error": {"code", "message"}}.
 */

#ifndef VMOPS_CLI_H
#define VMOPS_CLI_H


#include "agent.h"
#include "db.h"
#include "identity.h"
#include "policy.h"
#include "rest.h"
#include "vault.h"
#include "vmops_json.h"


/* Exit codes: stable, listed in agent/README.md. */

enum {
    EXIT_OK = 0,
    EXIT_INTERNAL = 1,      /* out of resources, a file that cannot be used */
    EXIT_USAGE = 2,         /* wrong arguments or configuration */
    EXIT_UNPAIRED = 3,      /* this home has no identity */
    EXIT_RUNNING = 4,       /* not while the agent is running */
    EXIT_CONNECT = 5,       /* the server or the target was not reached */
    EXIT_REFUSED = 6,       /* the server refused: the code is the problem's */
    EXIT_NOT_CONFIRMED = 7, /* a key or fingerprint was not confirmed */
    EXIT_UNREADABLE = 8,    /* identity, keystore or journal: damaged, lost */
    EXIT_NOT_FOUND = 9,     /* no such secret */
    EXIT_REVOKED = 10,
    EXIT_LOCKED = 11,
    EXIT_AUDIT = 12,        /* a log that does not hold, or not all of it */
    EXIT_AUDIT_LOST = 13    /* it holds, and says that entries were lost */
};

typedef struct {
    home_t   home;
    int      argc;          /* of the command, its name not included */
    char   **argv;
} cli_t;

extern int  cli_json;

typedef struct {
    const char  *name;
    const char  *usage;
    int        (*run)(cli_t *cli);
    uint8_t      group;         /* has commands of its own */
} cli_command_t;

int cli_pair(cli_t *cli);
int cli_unpair(cli_t *cli);
int cli_run(cli_t *cli);
int cli_status(cli_t *cli);
int cli_secret(cli_t *cli);
int cli_policy(cli_t *cli);
int cli_journal(cli_t *cli);
int cli_audit(cli_t *cli);
int cli_version(cli_t *cli);

/* secret's own: cli_secret.c, cli_secret_put.c */
int cli_secret_add(cli_t *cli);
int cli_secret_rotate(cli_t *cli);


/*
 * Options "--name VALUE" and "--name"; arg NULL: without a value, and *value
 * becomes "".  Ended by a NULL name.
 */
typedef struct {
    const char   *name;
    const char   *arg;
    const char  **value;
} cli_option_t;

/*
 * Reads all arguments; what is no option goes to words (at most max, *n of
 * them).  EXIT_OK or EXIT_USAGE, said.
 */
int cli_options(cli_t *cli, const cli_option_t *options, const char **words,
    size_t max, size_t *n);

/* Runs the one of a table that the first argument names. */
int cli_dispatch(cli_t *cli, const cli_command_t *commands,
    const char *prefix);


/* Says what went wrong and returns the exit code. */
int cli_fail(int exit, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int cli_no_memory(void);
int cli_identity_fail(const home_t *home, sealed_rc_t rc);
int cli_config_fail(const home_t *home, const char *fault);
int cli_storage_fail(const home_t *home);
int cli_keystore_fail(const home_t *home);
int cli_journal_fail(const home_t *home, int rc);   /* PLAT_E, DB_DAMAGED,
                                                       JOURNAL_LOST */
int cli_rest_fail(int rc, const rest_reply_t *reply, const net_t *net);
int cli_proxy_fail(const proxy_t *proxy);
int cli_route_fail(const net_fail_t *fail, const char *host);

/* For people only: nothing with --json. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a question is about: with --json, too, and then on standard error. */
void cli_show(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The document: an object is open between these. */
void cli_begin(vmops_jw_t *w);
int cli_end(vmops_jw_t *w);


/*
 * Asks for a yes; no terminal: EXIT_NOT_CONFIRMED, with the option that would
 * say it.  EXIT_OK, or said.
 */
int cli_confirm(const char *question, const char *option);


/*
 * Of the home, before anything in it is used: made if it does not exist; there
 * and readable, if it exists; paired, with nothing made.  EXIT_OK, or said.
 */
int cli_home_make(const home_t *home);
int cli_home_look(const home_t *home);
int cli_home_paired(const home_t *home);


/* The policy: 0, or -1 and what is wrong with it and to be done. */

#define CLI_FAULT_MAX  (PLAT_PATH_MAX + 256)

int cli_policy_load(policy_t *policy, const home_t *home,
    char fault[CLI_FAULT_MAX]);


/* What commands on a paired home need. */

typedef struct {
    home_t       *home;
    settings_t    settings;
    identity_t   *id;
    net_t         net;
    db_t         *db;
    vault_t      *vault;
    plat_lock_t  *lock;     /* one change at a time */
} cli_agent_t;

typedef enum {
    CLI_READ = 0,
    CLI_CHANGE,             /* other changes wait */
    CLI_ANY                 /* the same, for a home that need not be paired:
                               id is new and there are no net and vault */
} cli_open_t;

/*
 * One command at a time changes a home; the next one waits a little.  EXIT_OK,
 * or said; unlock it all the same.
 */
int cli_lock(const home_t *home, plat_lock_t **lock);

/* EXIT_OK, or said; close it all the same. */
int cli_agent_open(cli_agent_t *a, cli_t *cli, cli_open_t how);
void cli_agent_close(cli_agent_t *a);


#endif /* VMOPS_CLI_H */
