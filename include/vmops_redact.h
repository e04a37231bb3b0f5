/*
 * Masks secrets in JSON while it streams, in memory of fixed size
 * (docs/legacy.md).
 *
 * The value of a member with a secret's name is replaced by "[redacted]",
 * whatever it is: text, number, null, all of an object or an array.  So is
 * every string, and every name of a member, which is like a secret, and a
 * string longer than VMOPS_REDACT_STRING_MAX: what could not be looked at as
 * a whole is not shown.  Everything else comes out byte by byte as it came.
 *
 * What is no JSON (RFC 8259: one value, UTF-8, no byte order mark), or deeper
 * than VMOPS_REDACT_DEPTH_MAX, is an error at the first byte that shows it.
 */

#ifndef VMOPS_REDACT_JSON_H
#define VMOPS_REDACT_JSON_H

#include "vmops_sensitive.h"
#include "vmops_utf8.h"

#pragma GCC visibility push(hidden)

#define VMOPS_REDACT_MASK  "\"[redacted]\""

typedef enum {
    VMOPS_REDACT_OK = 0,
    VMOPS_REDACT_SYNTAX,
    VMOPS_REDACT_UTF8,
    VMOPS_REDACT_DEPTH
} vmops_redact_rc_t;

typedef struct {
    uint8_t                  *hold;     /* of VMOPS_REDACT_STRING_MAX */
    size_t                    held;
    vmops_span_t              waiting;  /* to go out before anything else */
    const char               *rest;     /* of true, false or null */
    uint64_t                  objects;  /* a bit for each level that is one */
    vmops_utf8_t              utf8;
    vmops_sensitive_name_t    name;
    vmops_sensitive_value_t   value;
    uint16_t                  code;     /* of \uXXXX */
    uint8_t                   state;
    uint8_t                   depth;
    uint8_t                   digits;   /* of XXXX that came */
    uint8_t                   muted;    /* inside of what is masked, */
    uint8_t                   level;    /* from this depth on */
    uint8_t                   is_name;  /* the string is a member's name */
    uint8_t                   over;     /* it is too long to be held */
    uint8_t                   secret;   /* the next value is one */
} vmops_redact_t;

/* hold: VMOPS_REDACT_STRING_MAX bytes which stay the scanner's. */
void vmops_redact_init(vmops_redact_t *s, uint8_t *hold);

/*
 * Takes bytes from the front of *in and appends to out, until in is used up
 * and nothing waits or out is full: if it is full, call again with room.  An
 * empty *in lets out what waits.  After an error there is no way on.
 */
vmops_redact_rc_t vmops_redact_feed(vmops_redact_t *s, vmops_span_t *in,
    vmops_buf_t *out);

/* VMOPS_REDACT_OK if what was fed is a whole document. */
vmops_redact_rc_t vmops_redact_end(const vmops_redact_t *s);

#pragma GCC visibility pop

#endif /* VMOPS_REDACT_JSON_H */
