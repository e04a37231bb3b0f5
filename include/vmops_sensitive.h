/*
 * What looks like a secret: names of members, and strings (docs/legacy.md; the
 * list is vmops_sensitive.def).
 */

#ifndef VMOPS_SENSITIVE_H
#define VMOPS_SENSITIVE_H

#include "vmops_json.h"

#pragma GCC visibility push(hidden)

enum {
#define VMOPS_SENSITIVE_NAME(word, where)
#define VMOPS_SENSITIVE_PUBLIC(word)
#define VMOPS_SENSITIVE_VALUE(text)  + 1
    VMOPS_SENSITIVE_VALUES = 0
#include "vmops_sensitive.def"
#undef VMOPS_SENSITIVE_NAME
#undef VMOPS_SENSITIVE_PUBLIC
#undef VMOPS_SENSITIVE_VALUE
};

/*
 * A name and a string as they come: any number of feeds of decoded bytes, and
 * 1 from _found() if what was fed until then is a secret's.  All zero is the
 * initial state.  In what is fed any byte of 0x80 and above stands for
 * whatever is not ASCII.
 */

typedef struct {
    size_t          n;              /* letters and digits */
    char            text[VMOPS_SENSITIVE_NAME_MAX];
} vmops_sensitive_name_t;

typedef struct {
    uint8_t         at[VMOPS_SENSITIVE_VALUES];     /* matched of each text */
    uint8_t         url;            /* the state of `://user:pass@` */
    uint8_t         busy;           /* a text or the URL has begun */
    uint8_t         found;
} vmops_sensitive_value_t;

void vmops_sensitive_name_reset(vmops_sensitive_name_t *s);
void vmops_sensitive_name_feed(vmops_sensitive_name_t *s, const uint8_t *p,
    size_t n);
int vmops_sensitive_name_found(const vmops_sensitive_name_t *s);

void vmops_sensitive_value_feed(vmops_sensitive_value_t *s, const uint8_t *p,
    size_t n);

/* The same for all of a name, of a string. */
int vmops_sensitive_name(vmops_span_t name);
int vmops_sensitive_value(vmops_span_t value);

/*
 * 1 if a member at any depth has a secret's name, or if a string or a name is
 * like a secret: err->pointer names it then (in front of it stays what the
 * caller put there).  A name which is itself like a secret is not shown: the
 * pointer ends at the object that has it.  0 if there is none.
 */
int vmops_sensitive_find(const vmops_json_t *node, vmops_json_error_t *err);

#pragma GCC visibility pop

#endif /* VMOPS_SENSITIVE_H */
