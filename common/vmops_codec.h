/*
 * Structs and JSON objects by one table: each line says how a member of the
 * one is a member of the other, and within which limits.  Both directions
 * hold the limits.
 */

#ifndef VMOPS_CODEC_H
#define VMOPS_CODEC_H

#include "vmops_proto.h"

#pragma GCC visibility push(hidden)

typedef enum {
    VMOPS_C_VERSION = 0,    /* the number 1, no member of the struct */
    VMOPS_C_STR,            /* vmops_span_t; min, max bytes; pattern */
    VMOPS_C_FIXED,          /* uint8_t[max], b64u */
    VMOPS_C_BYTES,          /* vmops_span_t of min ... max bytes, b64u */
    VMOPS_C_U64,            /* min ... max */
    VMOPS_C_U32,
    VMOPS_C_U8,
    VMOPS_C_UUID,           /* vmops_uuid_t */
    VMOPS_C_ENUM,           /* uint8_t: index into values, + min */
    VMOPS_C_SET,            /* uint8_t: one bit per value; an array */
    VMOPS_C_VALUE,          /* vmops_value_t: an object */
    VMOPS_C_ROUTES,         /* vmops_value_t: vmops_routes_check() */
    VMOPS_C_OBJ,            /* by the table `of`, at `off` */
    VMOPS_C_LIST            /* elements by the table `of`, `size` bytes each,
                               at most max; aux: size_t count */
} vmops_codec_kind_t;

#define VMOPS_C_OPTIONAL  1     /* left out when absent */
#define VMOPS_C_NULLABLE  2     /* null when absent */
#define VMOPS_C_EMPTY     4     /* an object: {} when absent */
#define VMOPS_C_HAS       8     /* aux: uint8_t, whether it is there */
#define VMOPS_C_BY_SPAN   16    /* aux: vmops_span_t, there if p is not NULL */

typedef struct vmops_codec_field_s  vmops_codec_field_t;

struct vmops_codec_field_s {
    const char                *name;    /* NULL ends a table */
    vmops_codec_kind_t         kind;
    unsigned                   flags;
    size_t                     off;
    size_t                     aux;
    int64_t                    min;
    int64_t                    max;
    vmops_pattern_t            pattern;
    const char *const         *values;
    const vmops_codec_field_t *of;
    size_t                     size;
};

/* Writes the members, not the braces.  -1 if a value is out of its limits;
 * room is the writer's own business. */
int vmops_codec_write(vmops_jw_t *w, const vmops_codec_field_t *fields,
    const void *from);

/* Reads them into a zeroed struct; strict: unknown members are a failure. */
int vmops_codec_read(void *to, const vmops_codec_field_t *fields,
    const vmops_json_t *node, vmops_arena_t *a, int strict);

/* An object on its own: parse, then read. */
int vmops_codec_parse(void *to, size_t size,
    const vmops_codec_field_t *fields, vmops_arena_t *a, vmops_span_t text);

/* Lines of tables; PLAIN has no limits beyond its kind's. */

#define VMOPS_C_PLAIN(name_, kind_, type_, member_)                           \
    { .name = name_, .kind = VMOPS_C_##kind_,                                 \
      .off = offsetof(type_, member_) }

#define VMOPS_C_LINE(name_, kind_, type_, member_, ...)                       \
    { .name = name_, .kind = VMOPS_C_##kind_,                                 \
      .off = offsetof(type_, member_), __VA_ARGS__ }

#define VMOPS_C_AUX(type_, member_)  .aux = offsetof(type_, member_)

#define VMOPS_C_END  { .name = NULL }

/* shared tables and names */

extern const vmops_codec_field_t  vmops_codec_seal[];
extern const char *const          vmops_codec_services[];
extern const char *const          vmops_codec_guests[];
extern const char *const          vmops_codec_kinds[];
extern const char *const          vmops_codec_statuses[];

#pragma GCC visibility pop

#endif /* VMOPS_CODEC_H */
