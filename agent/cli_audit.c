
/*
 * audit verify: an export of the tenant's audit against the server's pinned
 * key and the seals that this agent has been shown.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "vmops_audit.h"
#include "witness.h"
#include "vmops_banned.h"


typedef struct {
    vmops_audit_check_t  check;
    char                 line[VMOPS_AUDIT_LINE_MAX + 1];
    void                *memory;
    size_t               size;

    vmops_seal_t         witness[WITNESSES_MAX];
    size_t               n;         /* witnesses, */
    size_t               next;      /* those compared, */
    size_t               held;      /* those that the log has */
    uint8_t              missing[WITNESSES_MAX];
} verify_t;

typedef enum {
    MISSING_NO = 0,
    MISSING,                /* not in the log */
    MISSING_SAID            /* and the log says so */
} missing_t;

/* codes are stable; each sentence is about the first bad entry */

static const struct {
    const char  *code;
    const char  *sentence;
} faults[] = {
    [VMOPS_AUDIT_FORM] = { "audit_form", "is no line of an export here" },
    [VMOPS_AUDIT_TENANT] = { "audit_tenant", "says that this is the log of "
                             "another tenant than this agent's" },
    [VMOPS_AUDIT_ORDER] = { "audit_order", "is not the next entry" },
    [VMOPS_AUDIT_CONTENT] = { "audit_content", "has an entry that is not what "
                              "its h was made of" },
    [VMOPS_AUDIT_SIGNATURE] = { "audit_signature", "has a seal that this "
                                "agent's server has not signed" },
    [VMOPS_AUDIT_CHAIN] = { "audit_chain", "has a seal of other entries than "
                            "the ones before it" },
    [VMOPS_AUDIT_UNSEALED] = { "audit_unsealed", "ends the log, but the last "
                               "entries are under no seal" },
    [VMOPS_AUDIT_START] = { "audit_start", "ends the log, but its beginning is "
                            "missing, and no entry says that it was trimmed" },
    [VMOPS_AUDIT_INCOMPLETE] = { "audit_incomplete", "is not followed by the "
                                 "end that an export has: export it again" }
};


/* Entries that the log has come to: what was witnessed of them. */

static void
compare(verify_t *v)
{
    vmops_seal_t               *w;
    const vmops_audit_check_t  *c = &v->check;

    for ( ; v->next < v->n && v->witness[v->next].to <= c->n; v->next++) {
        w = &v->witness[v->next];

        if (w->to < c->start) {
            continue;       /* trimmed */
        }

        if (w->to == c->n && memcmp(w->head, c->head, VMOPS_HASH) == 0) {
            v->held++;

        } else {
            v->missing[v->next] = MISSING;
        }
    }
}


/* {"event":"audit.forked","n":…,"h":…}: the log knows that it lost this one */

static void
said(verify_t *v, vmops_arena_t *arena, vmops_span_t entry)
{
    size_t               i;
    uint8_t              h[VMOPS_HASH];
    uint64_t             n;
    vmops_span_t         event, text;
    const vmops_json_t  *root;

    if (vmops_json_parse(&root, arena, entry) != VMOPS_JSON_OK
        || vmops_json_str(vmops_json_get(root, "event"), &event) != 0
        || !vmops_span_is(event, "audit.forked")
        || vmops_json_str(vmops_json_get(root, "n"), &text) != 0
        || vmops_dec_parse(text, INT64_MAX, &n) != 0
        || vmops_json_str(vmops_json_get(root, "h"), &text) != 0
        || vmops_b64u_decode_exact(h, VMOPS_HASH, text) != 0)
    {
        return;
    }

    for (i = 0; i < v->next; i++) {
        if (v->missing[i] == MISSING && v->witness[i].to == n
            && memcmp(v->witness[i].head, h, VMOPS_HASH) == 0)
        {
            v->missing[i] = MISSING_SAID;
        }
    }
}


static int
take_line(verify_t *v, size_t n)
{
    vmops_arena_t       arena;
    vmops_audit_line_t  line;

    vmops_arena_init(&arena, v->memory, v->size);

    if (vmops_audit_check(&v->check, &line, &arena, vmops_span(v->line, n))
        != 0)
    {
        return -1;
    }

    compare(v);

    if (line.type == VMOPS_AUDIT_ENTRY) {
        said(v, &arena, line.u.entry.entry);
    }

    return 0;
}


/* 0: to its end; -1: check says why not; PLAT_E: the file cannot be read. */

static int
take_file(verify_t *v, FILE *file)
{
    int     c;
    size_t  n = 0;

    while ((c = getc(file)) != EOF) {

        if (c != '\n') {
            if (n == VMOPS_AUDIT_LINE_MAX) {
                vmops_audit_check_form(&v->check);
                return -1;
            }
            v->line[n++] = (char) c;
            continue;
        }

        if (take_line(v, n) != 0) {
            return -1;
        }
        n = 0;
    }

    if (ferror(file)) {
        return PLAT_ENOENT;
    }

    return n > 0 && take_line(v, n) != 0 ? -1
                                         : vmops_audit_check_end(&v->check);
}


static int
fail(uint64_t n, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
fail(uint64_t n, const char *code, const char *format, ...)
{
    char        message[512];
    va_list     args;
    vmops_jw_t  w;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);

    if (!cli_json) {
        return cli_fail(EXIT_AUDIT, code, "%s", message);
    }

    cli_begin(&w);
    vmops_jw_key(&w, "error");
    vmops_jw_obj(&w);
    vmops_jw_kcstr(&w, "code", code);
    vmops_jw_kcstr(&w, "message", message);
    vmops_jw_kint(&w, "n", (int64_t) n);
    vmops_jw_obj_end(&w);
    cli_end(&w);

    return EXIT_AUDIT;
}


static int
fault_fail(const vmops_audit_check_t *c)
{
    if (c->line == 0) {
        return fail(c->at, faults[c->fault].code,
                    "The file is empty: export the audit again.");
    }

    if (c->line == 1 && c->fault == VMOPS_AUDIT_FORM) {
        return fail(c->at, faults[c->fault].code,
                    "This is no export of an audit: GET /api/v1/audit/export "
                    "makes one.");
    }

    return fail(c->at, faults[c->fault].code,
                "The log does not hold from entry %" PRIu64 " on: line %"
                PRIu64 " %s.", c->at, c->line, faults[c->fault].sentence);
}


static int
witness_fail(verify_t *v)
{
    size_t                      i;
    char                        shown[VMOPS_TIME_TEXT + 1];
    const vmops_audit_check_t  *c = &v->check;

    for (i = 0; i < v->next; i++) {
        if (v->missing[i] == MISSING) {
            vmops_time_format(shown, (int64_t) v->witness[i].ms);
            return fail(v->witness[i].from, "audit_witness",
                        "The log was changed at entry %" PRIu64 " or before: "
                        "on %s this agent was shown another seal of it.",
                        v->witness[i].to, shown);
        }
    }

    if (v->next == v->n) {
        return EXIT_OK;
    }

    i = v->n - 1;
    vmops_time_format(shown, (int64_t) v->witness[i].ms);

    return fail(c->n + 1, "audit_cut",
                "The log ends with entry %" PRIu64 ", but this agent was shown "
                "a seal of entry %" PRIu64 ", made on %s: the file is older "
                "than that, or its end was cut off.", c->n, v->witness[i].to,
                shown);
}


static int
good(const verify_t *v)
{
    char                        time[VMOPS_TIME_TEXT + 1];
    size_t                      i, lost = 0;
    vmops_jw_t                  w;
    const vmops_audit_check_t  *c = &v->check;

    for (i = 0; i < v->next; i++) {
        lost += v->missing[i] == MISSING_SAID;
    }

    vmops_time_format(time, (int64_t) c->ms);

    cli_say("The log holds: %" PRIu64 " entries up to number %" PRIu64 "%s%s, "
            "%" PRIu64 " seals, %zu of them shown to this agent before.\n",
            c->entries, c->n, c->entries > 0 ? " of " : "",
            c->entries > 0 ? time : "", c->seals, v->held);

    if (c->start > 0) {
        cli_say("Entries 1 to %" PRIu64 " were trimmed before.\n", c->start);
    }
    if (c->lost > 0) {
        cli_say("%" PRIu64 " numbers, the first of them %" PRIu64 ", have no "
                "entry: they were gone before they could be sealed.\n",
                c->lost, c->lost_from);
    }
    if (lost > 0) {
        cli_say("%zu seals that this agent was shown are not in the log any "
                "more, and the log says so: the server's store lost its last "
                "second, or somebody took them away.\n", lost);
    }

    cli_begin(&w);
    vmops_jw_kint(&w, "entries", (int64_t) c->entries);
    vmops_jw_kint(&w, "n", (int64_t) c->n);
    vmops_jw_kint(&w, "seals", (int64_t) c->seals);
    vmops_jw_kint(&w, "trimmed", (int64_t) c->start);
    vmops_jw_kint(&w, "lost", (int64_t) c->lost);
    vmops_jw_kint(&w, "forked", (int64_t) lost);
    vmops_jw_kint(&w, "witnesses", (int64_t) v->held);
    cli_end(&w);

    return c->lost > 0 || lost > 0 ? EXIT_AUDIT_LOST : EXIT_OK;
}


static int
verify(verify_t *v, cli_agent_t *a, FILE *file)
{
    int  rc;

    v->size = vmops_json_arena_size(VMOPS_AUDIT_LINE_MAX)
              + 2 * vmops_json_arena_size(VMOPS_AUDIT_ENTRY_MAX);
    v->memory = mem_new(v->size);

    if (v->memory == NULL || witness_list(a->db, v->witness, &v->n) != 0) {
        return cli_fail(EXIT_INTERNAL, "internal",
                        "The agent's database cannot be read.");
    }

    vmops_audit_check_init(&v->check, vmops_span_str(a->id->tenant),
                           a->id->command_pk);

    rc = take_file(v, file);

    if (rc == PLAT_ENOENT) {
        return cli_fail(EXIT_USAGE, "no_file", "The file cannot be read.");
    }
    if (rc != 0) {
        return fault_fail(&v->check);
    }

    rc = witness_fail(v);

    return rc == EXIT_OK ? good(v) : rc;
}


static int
verify_open(cli_t *cli, FILE *file)
{
    int          rc;
    verify_t    *v;
    cli_agent_t  a;

    v = mem_new(sizeof(*v));
    if (v == NULL) {
        return cli_no_memory();
    }

    rc = cli_agent_open(&a, cli, CLI_READ);
    if (rc == EXIT_OK) {
        rc = verify(v, &a, file);
        free(v->memory);
    }

    cli_agent_close(&a);
    free(v);

    return rc;
}


static int
audit_verify(cli_t *cli)
{
    int          rc;
    FILE        *file;
    size_t       n;
    const char  *path;

    const cli_option_t  options[] = { { NULL, NULL, NULL } };

    rc = cli_options(cli, options, &path, 1, &n);
    if (rc != EXIT_OK) {
        return rc;
    }
    if (n != 1) {
        return cli_fail(EXIT_USAGE, "usage", "FILE is needed; - is standard "
                        "input.");
    }

    file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (file == NULL) {
        return cli_fail(EXIT_USAGE, "no_file", "%s cannot be read: %s.", path,
                        strerror(errno));
    }

    rc = verify_open(cli, file);

    if (file != stdin) {
        fclose(file);
    }

    return rc;
}


static const cli_command_t  commands[] = {
    { "verify", "FILE|-", audit_verify, 0 },
    { NULL, NULL, NULL, 0 }
};


int
cli_audit(cli_t *cli)
{
    return cli_dispatch(cli, commands, "audit ");
}
