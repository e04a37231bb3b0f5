/*
 * Structs and JSON objects by table.
 */

#include "vmops_codec.h"
#include "vmops_banned.h"


typedef vmops_codec_field_t  field_t;


static const void *
at(const void *base, size_t off)
{
    return (const uint8_t *) base + off;
}


static void *
at_rw(void *base, size_t off)
{
    return (uint8_t *) base + off;
}


static int
within(const field_t *f, uint64_t v)
{
    uint64_t  max;

    max = f->max != 0 ? (uint64_t) f->max : (uint64_t) INT64_MAX;

    return v >= (uint64_t) f->min && v <= max;
}


static size_t
values_count(const field_t *f)
{
    size_t  n;

    for (n = 0; f->values[n] != NULL; n++) { /* void */ }

    return n;
}


static int
is_there(const field_t *f, const void *from)
{
    const vmops_span_t   *s;
    const vmops_value_t  *v;

    if (f->flags & VMOPS_C_HAS) {
        return *(const uint8_t *) at(from, f->aux);
    }

    if (f->flags & VMOPS_C_BY_SPAN) {
        s = at(from, f->aux);
        return s->p != NULL;
    }

    switch (f->kind) {

    case VMOPS_C_STR:
    case VMOPS_C_BYTES:
        s = at(from, f->off);
        return s->p != NULL;

    case VMOPS_C_VALUE:
    case VMOPS_C_ROUTES:
        v = at(from, f->off);
        return v->text.p != NULL || v->node != NULL;

    default:
        return 1;
    }
}


/* writing */

static int
write_str(vmops_jw_t *w, const field_t *f, const vmops_span_t *s)
{
    if (!within(f, s->n) || !vmops_pattern_match(f->pattern, *s)) {
        return -1;
    }

    vmops_jw_str(w, *s);
    return 0;
}


static int
write_bytes(vmops_jw_t *w, const field_t *f, const vmops_span_t *s)
{
    if (!within(f, s->n)) {
        return -1;
    }

    vmops_jw_b64u(w, s->p, s->n);
    return 0;
}


static int
write_uint(vmops_jw_t *w, const field_t *f, uint64_t v)
{
    if (!within(f, v)) {
        return -1;
    }

    vmops_jw_uint(w, v);
    return 0;
}


static int
write_enum(vmops_jw_t *w, const field_t *f, uint8_t v)
{
    if (v < f->min || v >= values_count(f)) {
        return -1;
    }

    vmops_jw_cstr(w, f->values[v]);
    return 0;
}


static int
write_set(vmops_jw_t *w, const field_t *f, uint8_t bits)
{
    size_t  i, n;

    n = values_count(f);

    if (bits >> n != 0) {
        return -1;
    }

    vmops_jw_arr(w);

    for (i = 0; i < n; i++) {
        if (bits & (1u << i)) {
            vmops_jw_cstr(w, f->values[i]);
        }
    }

    vmops_jw_arr_end(w);
    return 0;
}


static int
write_value(vmops_jw_t *w, const field_t *f, const vmops_value_t *v)
{
    char  open;

    open = f->kind == VMOPS_C_ROUTES ? '[' : '{';

    if (v->text.p == NULL) {
        vmops_jw_node(w, v->node);
        return 0;
    }

    if (v->text.n < 2 || v->text.p[0] != (uint8_t) open) {
        return -1;
    }

    vmops_jw_raw(w, v->text);
    return 0;
}


static int
write_obj(vmops_jw_t *w, const field_t *f, const void *from)
{
    int  rc;

    vmops_jw_obj(w);
    rc = vmops_codec_write(w, f->of, from);
    vmops_jw_obj_end(w);

    return rc;
}


static int
write_list(vmops_jw_t *w, const field_t *f, const void *from)
{
    size_t  i, n;

    n = *(const size_t *) at(from, f->aux);

    if (n > (size_t) f->max) {
        return -1;
    }

    vmops_jw_arr(w);

    for (i = 0; i < n; i++) {
        if (write_obj(w, f, at(from, f->off + i * f->size)) != 0) {
            return -1;
        }
    }

    vmops_jw_arr_end(w);
    return 0;
}


static int
write_field(vmops_jw_t *w, const field_t *f, const void *from)
{
    const void  *p;

    p = at(from, f->off);

    switch (f->kind) {

    case VMOPS_C_VERSION:
        vmops_jw_int(w, 1);
        return 0;

    case VMOPS_C_STR:
        return write_str(w, f, p);

    case VMOPS_C_FIXED:
        vmops_jw_b64u(w, p, (size_t) f->max);
        return 0;

    case VMOPS_C_BYTES:
        return write_bytes(w, f, p);

    case VMOPS_C_U64:
        return write_uint(w, f, *(const uint64_t *) p);

    case VMOPS_C_U32:
        return write_uint(w, f, *(const uint32_t *) p);

    case VMOPS_C_U8:
        return write_uint(w, f, *(const uint8_t *) p);

    case VMOPS_C_UUID:
        vmops_jw_uuid(w, p);
        return 0;

    case VMOPS_C_ENUM:
        return write_enum(w, f, *(const uint8_t *) p);

    case VMOPS_C_SET:
        return write_set(w, f, *(const uint8_t *) p);

    case VMOPS_C_VALUE:
    case VMOPS_C_ROUTES:
        return write_value(w, f, p);

    case VMOPS_C_OBJ:
        return write_obj(w, f, p);

    case VMOPS_C_LIST:
        return write_list(w, f, from);
    }

    return -1;
}


int
vmops_codec_write(vmops_jw_t *w, const field_t *f, const void *from)
{
    for ( ; f->name != NULL; f++) {

        if (is_there(f, from)) {
            vmops_jw_key(w, f->name);

            if (write_field(w, f, from) != 0) {
                return -1;
            }

        } else if (f->flags & VMOPS_C_OPTIONAL) {
            continue;

        } else if (f->flags & VMOPS_C_NULLABLE) {
            vmops_jw_knull(w, f->name);

        } else if (f->flags & VMOPS_C_EMPTY) {
            vmops_jw_kraw(w, f->name, vmops_span_str("{}"));

        } else {
            return -1;
        }
    }

    return 0;
}


/* reading */

static int
read_str(const field_t *f, const vmops_json_t *node, vmops_span_t *s)
{
    if (vmops_json_str(node, s) != 0 || !within(f, s->n)
        || !vmops_pattern_match(f->pattern, *s))
    {
        return -1;
    }

    return 0;
}


static int
read_bytes(const field_t *f, const vmops_json_t *node, vmops_arena_t *a,
    vmops_span_t *s)
{
    size_t        len;
    uint8_t      *p;
    vmops_span_t  text;

    if (vmops_json_str(node, &text) != 0
        || text.n > VMOPS_B64U_LEN((size_t) f->max))
    {
        return -1;
    }

    p = vmops_arena_alloc(a, text.n);

    if (p == NULL
        || vmops_b64u_decode(p, text.n, &len, text) != 0
        || !within(f, len))
    {
        return -1;
    }

    *s = vmops_span(p, len);
    return 0;
}


static int
read_uint(const field_t *f, const vmops_json_t *node, uint64_t *v)
{
    int64_t  i;

    if (vmops_json_int(node, &i) != 0 || i < 0 || !within(f, (uint64_t) i)) {
        return -1;
    }

    *v = (uint64_t) i;
    return 0;
}


static int
value_index(const field_t *f, const vmops_json_t *node)
{
    size_t        i;
    vmops_span_t  s;

    if (vmops_json_str(node, &s) != 0) {
        return -1;
    }

    for (i = (size_t) f->min; i < values_count(f); i++) {
        if (vmops_span_is(s, f->values[i])) {
            return (int) i;
        }
    }

    return -1;
}


static int
read_enum(const field_t *f, const vmops_json_t *node, uint8_t *v)
{
    int  i;

    i = value_index(f, node);

    if (i < 0) {
        return -1;
    }

    *v = (uint8_t) i;
    return 0;
}


static int
read_set(const field_t *f, const vmops_json_t *node, uint8_t *bits)
{
    int                  i;
    const vmops_json_t  *item;

    if (!vmops_json_is(node, VMOPS_JSON_ARRAY)) {
        return -1;
    }

    *bits = 0;

    for (item = node->child; item != NULL; item = item->next) {
        i = value_index(f, item);

        if (i < 0 || (*bits & (1u << i))) {
            return -1;
        }

        *bits |= (uint8_t) (1u << i);
    }

    return 0;
}


static int
read_value(const field_t *f, const vmops_json_t *node, vmops_value_t *v)
{
    vmops_json_error_t  err;

    if (f->kind == VMOPS_C_ROUTES) {
        vmops_json_error_init(&err, "");

        if (vmops_routes_check(node, &err) != 0) {
            return -1;
        }

    } else if (!vmops_json_is(node, VMOPS_JSON_OBJECT)) {
        return -1;
    }

    v->node = node;
    return 0;
}


static int
read_list(const field_t *f, const vmops_json_t *node, void *to,
    vmops_arena_t *a, int strict)
{
    size_t               i;
    const vmops_json_t  *item;

    if (!vmops_json_is(node, VMOPS_JSON_ARRAY)
        || node->count > (size_t) f->max)
    {
        return -1;
    }

    i = 0;

    for (item = node->child; item != NULL; item = item->next, i++) {
        if (vmops_codec_read(at_rw(to, f->off + i * f->size), f->of, item, a,
                             strict)
            != 0)
        {
            return -1;
        }
    }

    *(size_t *) at_rw(to, f->aux) = i;
    return 0;
}


static int
read_number(const field_t *f, const vmops_json_t *node, void *p)
{
    uint64_t  v;

    if (read_uint(f, node, &v) != 0) {
        return -1;
    }

    switch (f->kind) {

    case VMOPS_C_U64:
        *(uint64_t *) p = v;
        return 0;

    case VMOPS_C_U32:
        *(uint32_t *) p = (uint32_t) v;
        return v <= UINT32_MAX ? 0 : -1;

    default:
        *(uint8_t *) p = (uint8_t) v;
        return v <= UINT8_MAX ? 0 : -1;
    }
}


static int
read_field(void *to, const field_t *f, const vmops_json_t *node,
    vmops_arena_t *a, int strict)
{
    void          *p;
    int64_t        one;
    vmops_span_t   text;

    p = at_rw(to, f->off);

    switch (f->kind) {

    case VMOPS_C_VERSION:
        return vmops_json_int(node, &one) == 0 && one == 1 ? 0 : -1;

    case VMOPS_C_STR:
        return read_str(f, node, p);

    case VMOPS_C_FIXED:
        return vmops_json_str(node, &text) != 0
               ? -1 : vmops_b64u_decode_exact(p, (size_t) f->max, text);

    case VMOPS_C_BYTES:
        return read_bytes(f, node, a, p);

    case VMOPS_C_U64:
    case VMOPS_C_U32:
    case VMOPS_C_U8:
        return read_number(f, node, p);

    case VMOPS_C_UUID:
        return vmops_json_str(node, &text) != 0 ? -1
                                                : vmops_uuid_parse(p, text);

    case VMOPS_C_ENUM:
        return read_enum(f, node, p);

    case VMOPS_C_SET:
        return read_set(f, node, p);

    case VMOPS_C_VALUE:
    case VMOPS_C_ROUTES:
        return read_value(f, node, p);

    case VMOPS_C_OBJ:
        return vmops_codec_read(p, f->of, node, a, strict);

    case VMOPS_C_LIST:
        return read_list(f, node, to, a, strict);
    }

    return -1;
}


int
vmops_codec_read(void *to, const field_t *f, const vmops_json_t *node,
    vmops_arena_t *a, int strict)
{
    size_t               known;
    const vmops_json_t  *member;

    if (!vmops_json_is(node, VMOPS_JSON_OBJECT)) {
        return -1;
    }

    known = 0;

    for ( ; f->name != NULL; f++) {
        member = vmops_json_get(node, f->name);
        known += member != NULL;

        if (member == NULL) {
            if (f->flags & VMOPS_C_OPTIONAL) {
                continue;
            }
            return -1;
        }

        if ((member->type == VMOPS_JSON_NULL
             && (f->flags & VMOPS_C_NULLABLE))
            || (vmops_json_is(member, VMOPS_JSON_OBJECT) && member->count == 0
                && (f->flags & VMOPS_C_EMPTY)))
        {
            continue;
        }

        if (read_field(to, f, member, a, strict) != 0) {
            return -1;
        }

        if (f->flags & VMOPS_C_HAS) {
            *(uint8_t *) at_rw(to, f->aux) = 1;
        }
    }

    return strict && known != node->count ? -1 : 0;
}


int
vmops_codec_parse(void *to, size_t size, const field_t *fields,
    vmops_arena_t *a, vmops_span_t text)
{
    const vmops_json_t  *root;

    memset(to, 0, size);

    if (vmops_json_parse(&root, a, text) != VMOPS_JSON_OK) {
        return -1;
    }

    return vmops_codec_read(to, fields, root, a, 1);
}
