/*
 * JSON: a strict reader into a tree, table-driven checks of shape, and a
 * bounded writer (RFC 8259).
 *
 * All memory is the caller's arena; yajl itself works inside it, too.
 */

#ifndef VMOPS_JSON_H
#define VMOPS_JSON_H

#include "vmops_bytes.h"

#pragma GCC visibility push(hidden)

/*
 * Memory given by the caller.  Results are taken from the upper end, the
 * parser's own short-lived needs from the lower one.  One arena can serve
 * several documents; all of them go when the caller's memory goes.
 */

typedef struct {
    uint8_t            *lo;
    uint8_t            *hi;
} vmops_arena_t;

void vmops_arena_init(vmops_arena_t *a, void *p, size_t n);

/* n bytes, aligned for any type, not cleared; NULL when there is no room. */
void *vmops_arena_alloc(vmops_arena_t *a, size_t n);


typedef enum {
    VMOPS_JSON_NULL = 0,
    VMOPS_JSON_BOOL,
    VMOPS_JSON_NUMBER,
    VMOPS_JSON_STRING,
    VMOPS_JSON_ARRAY,
    VMOPS_JSON_OBJECT
} vmops_json_type_t;

typedef struct vmops_json_s  vmops_json_t;

struct vmops_json_s {
    const vmops_json_t *next;       /* next sibling, or NULL */
    const vmops_json_t *child;      /* first element or member, or NULL */
    vmops_span_t        key;        /* member's name; { NULL, 0 } elsewhere */
    vmops_span_t        str;        /* string's bytes, or a number's raw text */
    int64_t             i;          /* number, if `integral`; bool: 0 or 1 */
    uint32_t            count;      /* elements or members */
    uint8_t             type;       /* vmops_json_type_t */
    uint8_t             integral;   /* no fraction, no exponent, in int64 */
};

typedef enum {
    VMOPS_JSON_OK = 0,
    VMOPS_JSON_SYNTAX,      /* not JSON, or something after it, or comments */
    VMOPS_JSON_UTF8,        /* not UTF-8, or a lone surrogate escape */
    VMOPS_JSON_NUL,         /* U+0000, raw or as an escape */
    VMOPS_JSON_DEPTH,       /* deeper than VMOPS_JSON_DEPTH_MAX */
    VMOPS_JSON_DUPLICATE,   /* the same name twice in one object */
    VMOPS_JSON_TOO_MANY,    /* nodes, members, or digits of a number */
    VMOPS_JSON_MEMORY       /* the arena is too small */
} vmops_json_rc_t;

/*
 * Parses all of `text`.  On success *root is the tree; its spans point into
 * `text` or into the arena: both must stay.  Numbers keep their raw text, so
 * 1e400 is no error here.
 */
vmops_json_rc_t vmops_json_parse(const vmops_json_t **root,
    vmops_arena_t *arena, vmops_span_t text);

/* The same with another limit than VMOPS_JSON_NODES_MAX: for an answer of a
 * target, which may be a long list. */
vmops_json_rc_t vmops_json_parse_nodes(const vmops_json_t **root,
    vmops_arena_t *arena, vmops_span_t text, size_t nodes);

/* An arena of this size is enough for vmops_json_parse() and n bytes. */
size_t vmops_json_arena_size(size_t n);

/* The member of that name; NULL when absent or when obj is no object (NULL
 * included), so that lookups can be chained. */
const vmops_json_t *vmops_json_get(const vmops_json_t *obj, const char *name);

/* Values by type: 0, or -1 if node is NULL or of another type. */

int vmops_json_str(const vmops_json_t *node, vmops_span_t *out);
int vmops_json_int(const vmops_json_t *node, int64_t *out);
int vmops_json_bool(const vmops_json_t *node, int *out);

static inline int
vmops_json_is(const vmops_json_t *node, vmops_json_type_t type)
{
    return node != NULL && node->type == type;
}


/* Shape checks. */

typedef enum {
    VMOPS_FT_ANY = 0,
    VMOPS_FT_STRING,        /* min, max: bytes; pattern */
    VMOPS_FT_INT,           /* min, max: value */
    VMOPS_FT_NUMBER,
    VMOPS_FT_BOOL,
    VMOPS_FT_OBJECT,        /* of: its members (NULL: free-form, and then
                               min, max: number of members) */
    VMOPS_FT_ARRAY          /* of: its one element type; min, max: elements */
} vmops_field_type_t;

#define VMOPS_F_OPTIONAL   1
#define VMOPS_F_NULLABLE   2
#define VMOPS_F_OPEN       4    /* unknown members of this object are ignored */

typedef struct vmops_json_field_s  vmops_json_field_t;

struct vmops_json_field_s {
    const char         *name;       /* NULL for an array's element type */
    vmops_field_type_t  type;
    unsigned            flags;
    int64_t             min;        /* min == max == 0: not checked */
    int64_t             max;
    vmops_pattern_t     pattern;
    const char *const  *values;     /* a string's allowed values, NULL-ended */
    const vmops_json_field_t *of;
    size_t              of_n;
};

typedef enum {
    VMOPS_JE_NONE = 0,
    VMOPS_JE_UNKNOWN_FIELD,     /* unknown_field */
    VMOPS_JE_REQUIRED,          /* required */
    VMOPS_JE_TYPE,              /* type */
    VMOPS_JE_RANGE,             /* range */
    VMOPS_JE_LENGTH,            /* length */
    VMOPS_JE_PATTERN,           /* pattern */
    VMOPS_JE_VALUE              /* value: not one of the allowed ones */
} vmops_json_error_code_t;

/*
 * What is wrong first, in the order of the table; unknown members come
 * first of all.  `pointer` is RFC 6901 (~0 and ~1 escaped), NUL-ended; a
 * segment that does not fit is left out, with all after it.
 */

typedef struct {
    vmops_json_error_code_t  code;
    char                     pointer[VMOPS_JSON_POINTER_MAX + 1];
} vmops_json_error_t;

const char *vmops_json_error_name(vmops_json_error_code_t code);

void vmops_json_error_init(vmops_json_error_t *err, const char *pointer);

/* Appends one reference token to the pointer: a name, or an index. */
void vmops_json_error_push(vmops_json_error_t *err, vmops_span_t name);
void vmops_json_error_push_index(vmops_json_error_t *err, size_t index);

/*
 * Checks that node is an object with these members.  err may hold a prefix
 * (vmops_json_error_init); it is always initialised by the caller.
 * 0, or -1 with err filled.  `flags`: 0 or VMOPS_F_OPEN.
 */
int vmops_json_check(const vmops_json_t *node, const vmops_json_field_t *fields,
    size_t n, unsigned flags, vmops_json_error_t *err);

/* The same for one value; on failure err->pointer names what is inside. */
int vmops_json_check_value(const vmops_json_t *node,
    const vmops_json_field_t *field, vmops_json_error_t *err);


/*
 * The writer.  Values follow keys, commas are its own business.  Bytes which
 * are no UTF-8 set `bad`; what does not fit sets `overflow`: both stay and
 * vmops_jw_done() reports them once.
 */

typedef struct {
    vmops_buf_t         buf;
    uint8_t             comma;      /* a comma is due before the next value */
    uint8_t             bad;
} vmops_jw_t;

void vmops_jw_init(vmops_jw_t *w, void *p, size_t cap);
int vmops_jw_done(const vmops_jw_t *w, vmops_span_t *out);

void vmops_jw_obj(vmops_jw_t *w);
void vmops_jw_obj_end(vmops_jw_t *w);
void vmops_jw_arr(vmops_jw_t *w);
void vmops_jw_arr_end(vmops_jw_t *w);
void vmops_jw_key(vmops_jw_t *w, const char *name);
void vmops_jw_key_span(vmops_jw_t *w, vmops_span_t name);

void vmops_jw_str(vmops_jw_t *w, vmops_span_t s);       /* p NULL: null */
void vmops_jw_cstr(vmops_jw_t *w, const char *s);       /* NULL: null */
void vmops_jw_int(vmops_jw_t *w, int64_t v);
void vmops_jw_uint(vmops_jw_t *w, uint64_t v);
void vmops_jw_bool(vmops_jw_t *w, int v);
void vmops_jw_null(vmops_jw_t *w);
void vmops_jw_raw(vmops_jw_t *w, vmops_span_t json);    /* already JSON */
void vmops_jw_b64u(vmops_jw_t *w, const void *p, size_t n);
void vmops_jw_time(vmops_jw_t *w, int64_t ms);          /* < 0: null */
void vmops_jw_uuid(vmops_jw_t *w, const vmops_uuid_t *u);
void vmops_jw_secret_ref(vmops_jw_t *w, const vmops_uuid_t *u);

/* A tree again, compact: the same values, order and number texts, minimal
 * escapes.  Equal trees give equal bytes. */
void vmops_jw_node(vmops_jw_t *w, const vmops_json_t *node);

/* The same with the members of each object in the order of their names:
 * objects that differ in nothing but that order give equal bytes. */
void vmops_jw_sorted(vmops_jw_t *w, const vmops_json_t *node);

/* key and value in one */

void vmops_jw_kstr(vmops_jw_t *w, const char *key, vmops_span_t s);
void vmops_jw_kcstr(vmops_jw_t *w, const char *key, const char *s);
void vmops_jw_kint(vmops_jw_t *w, const char *key, int64_t v);
void vmops_jw_kbool(vmops_jw_t *w, const char *key, int v);
void vmops_jw_knull(vmops_jw_t *w, const char *key);
void vmops_jw_kraw(vmops_jw_t *w, const char *key, vmops_span_t json);
void vmops_jw_kb64u(vmops_jw_t *w, const char *key, const void *p, size_t n);
void vmops_jw_ktime(vmops_jw_t *w, const char *key, int64_t ms);
void vmops_jw_kuuid(vmops_jw_t *w, const char *key, const vmops_uuid_t *u);

#pragma GCC visibility pop

#endif /* VMOPS_JSON_H */
