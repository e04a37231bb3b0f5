
/*
 * What this agent does without asking: policy.json, changed only here.
 */

#ifndef VMOPS_POLICY_H
#define VMOPS_POLICY_H


#include "agent.h"
#include "vmops_json.h"
#include "vmops_kinds.h"


typedef enum {
    POLICY_DENY = 0,
    POLICY_ASK,
    POLICY_ALLOW
} policy_verdict_t;

#define POLICY_CLASSES    11        /* of VMOPS_CLASSES */
#define POLICY_VMIDS_MAX  32

typedef struct {
    policy_verdict_t  verdicts[POLICY_CLASSES];   /* in their order */
    size_t            vmids_n;                    /* 0: any guest */
    uint32_t          vmids[POLICY_VMIDS_MAX][2];
} policy_t;

/* "full", "standard" or "read-only"; -1: no such preset. */
int policy_preset(policy_t *policy, const char *name);

/* How the file is found; but for the first, policy denies everything. */
typedef enum {
    POLICY_OK = 0,
    POLICY_BAD,             /* it cannot be read, or is no policy */
    POLICY_OPEN,            /* others may write it */
    POLICY_HOME_OPEN        /* or its folder: they could put one there */
} policy_rc_t;

/* "standard" if there is no file. */
policy_rc_t policy_load(policy_t *policy, const home_t *home);

/* 0, or -1. */
int policy_save(const policy_t *policy, const home_t *home);

/* One class by name; -1: no such class or verdict. */
int policy_set(policy_t *policy, vmops_span_t class, vmops_span_t verdict);

/* vmid 0: the action is on no guest in particular. */
policy_verdict_t policy_decide(const policy_t *policy, unsigned class_bit,
    uint32_t vmid);

/* {"classes": {...}, "vmids": [[from, to], ...]} */
void policy_write(vmops_jw_t *w, const policy_t *policy);

const char *policy_verdict_name(policy_verdict_t verdict);


#endif /* VMOPS_POLICY_H */
