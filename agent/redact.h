
/*
 * While a secret is open, nothing that leaves the agent may contain it:
 * every outgoing frame and every log line is searched for it in all forms a
 * library or a target may have given it.
 */

#ifndef VMOPS_REDACT_H
#define VMOPS_REDACT_H


#include "vmops_bytes.h"


typedef struct redact_s  redact_t;

/* Once, before any thread is started.  0, or -1. */
int redact_init(void);

/*
 * Begins to search for a secret: raw, base64 in its 3 alignments, base64url,
 * hex, URL-encoded, JSON-escaped and UTF-16LE.  NULL and nothing to search
 * for if it is shorter than VMOPS_LEAK_MIN; *failed is set when there was no
 * memory, and then the secret must not be used.
 */
redact_t *redact_add(vmops_span_t secret, int *failed);

/* Ends it and clears all forms; NULL is allowed. */
void redact_remove(redact_t *r);

/* 1 if the bytes contain one of the open secrets. */
int redact_found(vmops_span_t bytes);

/*
 * The same for a JSON document, as it is and in each of its strings decoded:
 * a text that had the secret in an encoding has it in two here.  A document
 * that cannot be read counts as found.
 */
int redact_found_json(vmops_span_t json);


#endif /* VMOPS_REDACT_H */
