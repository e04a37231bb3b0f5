/*
 * An export of the audit (docs/audit.md): its lines, and the check of the
 * whole, line by line.
 */

#ifndef VMOPS_AUDIT_H
#define VMOPS_AUDIT_H

#include "vmops_proto.h"

#pragma GCC visibility push(hidden)

/* One line; spans point into what it was parsed from. */

typedef enum {
    VMOPS_AUDIT_BEGIN = 0,  /* {audit: 1, tenant, command_key_id, start} */
    VMOPS_AUDIT_ENTRY,      /* {n, ms, entry, h} */
    VMOPS_AUDIT_SEAL,       /* {seal} */
    VMOPS_AUDIT_END         /* {end}: the last number, 0 of an empty log */
} vmops_audit_type_t;

typedef struct {
    uint64_t        version;
    vmops_span_t    tenant;
    vmops_span_t    command_key_id;
    uint8_t         has_start;
    vmops_seal_t    start;          /* what came before was trimmed */
} vmops_audit_begin_t;

typedef struct {
    uint64_t        n;
    uint64_t        ms;
    vmops_span_t    entry;
    uint8_t         h[VMOPS_HASH];
} vmops_audit_entry_t;

typedef struct {
    vmops_audit_type_t       type;
    union {
        vmops_audit_begin_t  begin;
        vmops_audit_entry_t  entry;
        struct {
            vmops_seal_t     seal;
        }                    seal;
        struct {
            uint64_t         n;
        }                    end;
    } u;
} vmops_audit_line_t;

/* With its line feed.  What is out of its limits makes the writer `bad`. */
void vmops_audit_write(vmops_jw_t *w, const vmops_audit_line_t *line);

/* Without its line feed.  0, or -1: it is no line of an export. */
int vmops_audit_parse(vmops_audit_line_t *line, vmops_arena_t *a,
    vmops_span_t text) VMOPS_CHECKED;


/* What is wrong with an export; the number of the first bad entry with it. */

typedef enum {
    VMOPS_AUDIT_OK = 0,
    VMOPS_AUDIT_FORM,       /* no line of an export, or not where it may be */
    VMOPS_AUDIT_TENANT,     /* another tenant's */
    VMOPS_AUDIT_ORDER,      /* n does not follow the one before */
    VMOPS_AUDIT_CONTENT,    /* h is not that of the content and the chain */
    VMOPS_AUDIT_SIGNATURE,  /* a seal is not signed by the command key */
    VMOPS_AUDIT_CHAIN,      /* the entries are not the ones that were sealed */
    VMOPS_AUDIT_UNSEALED,   /* entries under no seal */
    VMOPS_AUDIT_START,      /* the beginning is missing, and the log does not
                               say that it was trimmed */
    VMOPS_AUDIT_INCOMPLETE  /* no end */
} vmops_audit_fault_t;

typedef struct {
    /* set by vmops_audit_check_init() */
    vmops_span_t         tenant;
    uint8_t              tenant16[16];
    const uint8_t       *pk;

    /* how far it is */
    unsigned             began:1;
    unsigned             ended:1;
    unsigned             trimmed:1;     /* an entry vouches for the start */
    uint64_t             start;         /* the number before the first one */
    uint64_t             n;             /* the last entry, */
    uint64_t             ms;
    uint8_t              head[VMOPS_HASH];
    uint64_t             from;          /* the first one after the last seal */
    uint64_t             sealed;        /* the last one under a seal */

    /* what was counted */
    uint64_t             entries;
    uint64_t             seals;
    uint64_t             lost;          /* numbers missing where a seal says */
    uint64_t             lost_from;     /* so; the first of them */

    /* what is wrong */
    vmops_audit_fault_t  fault;
    uint64_t             at;            /* the first bad entry */
    uint64_t             line;
} vmops_audit_check_t;

/* tenant and pk stay the caller's, as long as it is used. */
void vmops_audit_check_init(vmops_audit_check_t *c, vmops_span_t tenant,
    const uint8_t pk[32]);

/*
 * The next line; *line is what it was.  0, or -1: fault, at and line say what
 * is wrong, and nothing of the rest can be believed.
 */
int vmops_audit_check(vmops_audit_check_t *c, vmops_audit_line_t *line,
    vmops_arena_t *a, vmops_span_t text) VMOPS_CHECKED;

/* There are no more lines. */
int vmops_audit_check_end(vmops_audit_check_t *c) VMOPS_CHECKED;

/* A line that is too long to be one. */
void vmops_audit_check_form(vmops_audit_check_t *c);

#pragma GCC visibility pop

#endif /* VMOPS_AUDIT_H */
