/*
 * The JSON reader: yajl's event parser builds a tree in the caller's arena.
 *
 * yajl is lenient in places: it knows UTF-8 by structure only, turns a lone
 * surrogate into `?`, and keeps U+0000.  The text is scanned for these first,
 * so that yajl sees none of them.
 */

#include <yajl/yajl_parse.h>

#include "vmops_json.h"
#include "vmops_json_parts.h"
#include "vmops_banned.h"


typedef struct {
    vmops_arena_t      *arena;
    vmops_span_t        text;
    vmops_json_rc_t     rc;
    vmops_json_t       *root;
    vmops_json_t       *open[VMOPS_JSON_DEPTH_MAX];     /* containers */
    vmops_json_t       *last[VMOPS_JSON_DEPTH_MAX];     /* their last child */
    size_t              depth;
    size_t              nodes;
    size_t              nodes_max;
    vmops_span_t        key;
} build_t;


/* building the tree */

static int
stop(build_t *b, vmops_json_rc_t rc)
{
    b->rc = rc;
    return 0;
}


static vmops_json_t *
add(build_t *b, vmops_json_type_t type)
{
    vmops_json_t  *node, *parent;

    if (b->nodes == b->nodes_max) {
        b->rc = VMOPS_JSON_TOO_MANY;
        return NULL;
    }

    node = vmops_arena_alloc(b->arena, sizeof(*node));
    if (node == NULL) {
        b->rc = VMOPS_JSON_MEMORY;
        return NULL;
    }

    memset(node, 0, sizeof(*node));
    node->type = (uint8_t) type;
    b->nodes++;

    if (b->depth == 0) {
        b->root = node;
        return node;
    }

    parent = b->open[b->depth - 1];

    if (parent->type == VMOPS_JSON_OBJECT) {
        node->key = b->key;
    }

    if (parent->child == NULL) {
        parent->child = node;
    } else {
        b->last[b->depth - 1]->next = node;
    }

    b->last[b->depth - 1] = node;
    parent->count++;

    return node;
}


/* a string's bytes where they are, or a copy if yajl had to decode them */

static int
keep(build_t *b, const unsigned char *p, size_t n, vmops_span_t *out)
{
    uint8_t    *copy;
    uintptr_t   at, from;

    at = (uintptr_t) p;
    from = (uintptr_t) b->text.p;

    if (at >= from && at + n <= from + b->text.n) {
        *out = vmops_span(p, n);
        return 0;
    }

    copy = vmops_arena_alloc(b->arena, n);
    if (copy == NULL) {
        b->rc = VMOPS_JSON_MEMORY;
        return -1;
    }

    if (n != 0) {
        memcpy(copy, p, n);
    }

    *out = vmops_span(copy, n);
    return 0;
}


static int
on_null(void *ctx)
{
    return add(ctx, VMOPS_JSON_NULL) != NULL;
}


static int
on_boolean(void *ctx, int value)
{
    vmops_json_t  *node;

    node = add(ctx, VMOPS_JSON_BOOL);
    if (node == NULL) {
        return 0;
    }

    node->i = value != 0;
    return 1;
}


static void
read_integer(vmops_json_t *node)
{
    int           negative;
    uint64_t      v;
    vmops_span_t  digits;

    digits = node->str;
    negative = digits.p[0] == '-';

    if (negative) {
        digits = vmops_span(digits.p + 1, digits.n - 1);
    }

    if (vmops_dec_parse(digits, (uint64_t) INT64_MAX + (negative ? 1 : 0), &v)
        != 0)
    {
        return;
    }

    node->integral = 1;
    node->i = negative ? (int64_t) (0 - v) : (int64_t) v;
}


static int
on_number(void *ctx, const char *p, size_t n)
{
    build_t       *b;
    vmops_json_t  *node;

    b = ctx;

    if (n > VMOPS_JSON_NUMBER_MAX) {
        return stop(b, VMOPS_JSON_TOO_MANY);
    }

    node = add(b, VMOPS_JSON_NUMBER);

    if (node == NULL || keep(b, (const uint8_t *) p, n, &node->str) != 0) {
        return 0;
    }

    read_integer(node);
    return 1;
}


static int
on_string(void *ctx, const unsigned char *p, size_t n)
{
    vmops_json_t  *node;

    node = add(ctx, VMOPS_JSON_STRING);

    return node != NULL && keep(ctx, p, n, &node->str) == 0;
}


static int
on_key(void *ctx, const unsigned char *p, size_t n)
{
    build_t             *b;
    vmops_json_t        *parent;
    const vmops_json_t  *member;

    b = ctx;
    parent = b->open[b->depth - 1];

    if (parent->count == VMOPS_JSON_MEMBERS_MAX) {
        return stop(b, VMOPS_JSON_TOO_MANY);
    }

    for (member = parent->child; member != NULL; member = member->next) {
        if (vmops_span_eq(member->key, vmops_span(p, n))) {
            return stop(b, VMOPS_JSON_DUPLICATE);
        }
    }

    return keep(b, p, n, &b->key) == 0;
}


static int
on_open(build_t *b, vmops_json_type_t type)
{
    vmops_json_t  *node;

    if (b->depth == VMOPS_JSON_DEPTH_MAX) {
        return stop(b, VMOPS_JSON_DEPTH);
    }

    node = add(b, type);
    if (node == NULL) {
        return 0;
    }

    b->open[b->depth++] = node;
    return 1;
}


static int
on_start_map(void *ctx)
{
    return on_open(ctx, VMOPS_JSON_OBJECT);
}


static int
on_start_array(void *ctx)
{
    return on_open(ctx, VMOPS_JSON_ARRAY);
}


static int
on_end(void *ctx)
{
    build_t  *b;

    b = ctx;
    b->depth--;
    return 1;
}


static const yajl_callbacks  callbacks = {
    on_null,
    on_boolean,
    NULL,                   /* yajl_integer, yajl_double: on_number instead */
    NULL,
    on_number,
    on_string,
    on_start_map,
    on_key,
    on_end,
    on_start_array,
    on_end
};


static vmops_json_rc_t
run(build_t *b, vmops_bump_t *bump)
{
    yajl_handle       h;
    yajl_status       st;
    yajl_alloc_funcs  alloc;

    alloc.malloc = vmops_bump_alloc;
    alloc.realloc = vmops_bump_realloc;
    alloc.free = vmops_bump_free;
    alloc.ctx = bump;

    h = yajl_alloc(&callbacks, &alloc, b);

    st = yajl_parse(h, b->text.p, b->text.n);

    if (st == yajl_status_ok) {
        st = yajl_complete_parse(h);
    }

    if (b->rc != VMOPS_JSON_OK) {
        return b->rc;
    }

    return st == yajl_status_ok && b->root != NULL && b->depth == 0
           ? VMOPS_JSON_OK : VMOPS_JSON_SYNTAX;
}


vmops_json_rc_t
vmops_json_parse(const vmops_json_t **root, vmops_arena_t *arena,
    vmops_span_t text)
{
    return vmops_json_parse_nodes(root, arena, text, VMOPS_JSON_NODES_MAX);
}


vmops_json_rc_t
vmops_json_parse_nodes(const vmops_json_t **root, vmops_arena_t *arena,
    vmops_span_t text, size_t nodes)
{
    vmops_bump_t     bump;
    build_t          b;
    uint8_t         *lo;
    vmops_json_rc_t  rc;

    if (text.n == 0) {
        return VMOPS_JSON_SYNTAX;
    }

    rc = vmops_json_scan(text);
    if (rc != VMOPS_JSON_OK) {
        return rc;
    }

    lo = arena->lo;

    if (vmops_bump_init(&bump, arena, text.n) != 0) {
        return VMOPS_JSON_MEMORY;
    }

    memset(&b, 0, sizeof(b));
    b.arena = arena;
    b.text = text;
    b.nodes_max = nodes;

    rc = run(&b, &bump);
    arena->lo = lo;

    if (rc == VMOPS_JSON_OK) {
        *root = b.root;
    }

    return rc;
}


const vmops_json_t *
vmops_json_get(const vmops_json_t *obj, const char *name)
{
    const vmops_json_t  *member;

    if (!vmops_json_is(obj, VMOPS_JSON_OBJECT)) {
        return NULL;
    }

    for (member = obj->child; member != NULL; member = member->next) {
        if (vmops_span_is(member->key, name)) {
            return member;
        }
    }

    return NULL;
}


int
vmops_json_str(const vmops_json_t *node, vmops_span_t *out)
{
    if (!vmops_json_is(node, VMOPS_JSON_STRING)) {
        return -1;
    }

    *out = node->str;
    return 0;
}


int
vmops_json_int(const vmops_json_t *node, int64_t *out)
{
    if (!vmops_json_is(node, VMOPS_JSON_NUMBER) || !node->integral) {
        return -1;
    }

    *out = node->i;
    return 0;
}


int
vmops_json_bool(const vmops_json_t *node, int *out)
{
    if (!vmops_json_is(node, VMOPS_JSON_BOOL)) {
        return -1;
    }

    *out = (int) node->i;
    return 0;
}
