/*
 * The caller's memory in two parts: what stays grows from the upper end, what
 * yajl needs while it parses from the lower one.
 */

#include "vmops_json.h"
#include "vmops_json_parts.h"
#include "vmops_banned.h"


#define ALIGN  16

/*
 * yajl does not look whether its allocations succeed, so all it can need is
 * set aside before: its handle and lexer, and two buffers that double until
 * they hold a string's decoded and its cut-off form (together no more than
 * the text), every time with a header of ours.
 */

#define YAJL_FIXED      8192
#define YAJL_NEED(n)    (YAJL_FIXED + 2 * (n))


static size_t
align_up(size_t n)
{
    return (n + ALIGN - 1) & ~(size_t) (ALIGN - 1);
}


void
vmops_arena_init(vmops_arena_t *a, void *p, size_t n)
{
    uintptr_t  lo, hi;

    lo = ((uintptr_t) p + ALIGN - 1) & ~(uintptr_t) (ALIGN - 1);
    hi = ((uintptr_t) p + n) & ~(uintptr_t) (ALIGN - 1);

    a->lo = (uint8_t *) lo;
    a->hi = hi > lo ? (uint8_t *) hi : a->lo;
}


void *
vmops_arena_alloc(vmops_arena_t *a, size_t n)
{
    size_t  room;

    room = (size_t) (a->hi - a->lo);

    if (n > room || align_up(n) > room) {
        return NULL;
    }

    a->hi -= align_up(n);
    return a->hi;
}


size_t
vmops_json_arena_size(size_t n)
{
    size_t  nodes;

    nodes = n / 2 + 2;

    if (nodes > VMOPS_JSON_NODES_MAX + 1) {
        nodes = VMOPS_JSON_NODES_MAX + 1;
    }

    /* beside each node: its name and its string, if they had to be decoded */
    return YAJL_NEED(n) + nodes * (sizeof(vmops_json_t) + 2 * ALIGN)
           + n + 4 * ALIGN;
}


/* the last block can grow where it is */

int
vmops_bump_init(vmops_bump_t *b, vmops_arena_t *a, size_t text)
{
    size_t  need, room;

    room = (size_t) (a->hi - a->lo);

    if (text > room || align_up(YAJL_NEED(text)) > room) {
        return -1;
    }

    need = align_up(YAJL_NEED(text));

    b->p = a->lo;
    b->end = a->lo + need;
    b->last = NULL;
    a->lo = b->end;

    return 0;
}


void *
vmops_bump_alloc(void *ctx, size_t n)
{
    uint8_t       *block;
    vmops_bump_t  *b;

    b = ctx;

    if (n > (size_t) (b->end - b->p)
        || align_up(n) + ALIGN > (size_t) (b->end - b->p))
    {
        return NULL;
    }

    block = b->p + ALIGN;
    memcpy(b->p, &n, sizeof(n));
    b->p = block + align_up(n);
    b->last = block;

    return block;
}


void *
vmops_bump_realloc(void *ctx, void *old, size_t n)
{
    void          *p;
    size_t         was;
    vmops_bump_t  *b;

    b = ctx;

    if (old == NULL) {
        return vmops_bump_alloc(b, n);
    }

    memcpy(&was, (uint8_t *) old - ALIGN, sizeof(was));

    if (old == b->last && align_up(n) <= (size_t) (b->end - b->last)) {
        memcpy((uint8_t *) old - ALIGN, &n, sizeof(n));
        b->p = b->last + align_up(n);
        return old;
    }

    p = vmops_bump_alloc(b, n);

    if (p != NULL) {
        memcpy(p, old, was < n ? was : n);
    }

    return p;
}


void
vmops_bump_free(void *ctx, void *p)
{
    (void) ctx;
    (void) p;
}
