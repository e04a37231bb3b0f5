/*
 * Between the parts of the JSON reader.
 */

#ifndef VMOPS_JSON_PARTS_H
#define VMOPS_JSON_PARTS_H

#include "vmops_json.h"

#pragma GCC visibility push(hidden)

/* U+0000 and bad UTF-8, raw or as \u escapes, other white space than JSON's,
 * and a string without an end; everything else is yajl's. */
vmops_json_rc_t vmops_json_scan(vmops_span_t text);

/* Memory for yajl, which gives nothing back. */

typedef struct {
    uint8_t  *p;
    uint8_t  *end;
    uint8_t  *last;     /* the newest block */
} vmops_bump_t;

/* Takes from the arena's lower end what a text of that many bytes needs at
 * most; -1 if the arena is too small. */
int vmops_bump_init(vmops_bump_t *b, vmops_arena_t *a, size_t text);

void *vmops_bump_alloc(void *ctx, size_t n);
void *vmops_bump_realloc(void *ctx, void *old, size_t n);
void vmops_bump_free(void *ctx, void *p);

#pragma GCC visibility pop

#endif /* VMOPS_JSON_PARTS_H */
