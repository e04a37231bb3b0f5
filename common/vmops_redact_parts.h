/*
 * Between the parts of the scanner that masks JSON.
 */

#ifndef VMOPS_REDACT_PARTS_H
#define VMOPS_REDACT_PARTS_H

#include "vmops_redact.h"

#pragma GCC visibility push(hidden)

enum {
    S_VALUE = 0,        /* a value has to come */
    S_ITEM,             /* a value, or the end of the array */
    S_NAME,             /* a member's name has to come */
    S_MEMBER,           /* a name, or the end of the object */
    S_COLON,
    S_AFTER,            /* behind a value */
    S_LITERAL,
    S_MINUS,
    S_ZERO,
    S_INTEGER,
    S_POINT,
    S_FRACTION,
    S_E,
    S_E_SIGN,
    S_EXPONENT,
    S_STRING,           /* the states from here on are of a string */
    S_ESCAPE,
    S_HEX
};

static inline int
vmops_redact_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static inline vmops_span_t
vmops_redact_mask(void)
{
    return vmops_span(VMOPS_REDACT_MASK, sizeof(VMOPS_REDACT_MASK) - 1);
}

/* behind a value's last byte */
void vmops_redact_value_end(vmops_redact_t *s);

/* at the opening quote */
void vmops_redact_string_begin(vmops_redact_t *s, int is_name);

/* takes at least one byte inside of a string, the closing quote included */
vmops_redact_rc_t vmops_redact_string(vmops_redact_t *s, vmops_span_t *in);

#pragma GCC visibility pop

#endif /* VMOPS_REDACT_PARTS_H */
