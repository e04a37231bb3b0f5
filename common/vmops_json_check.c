/*
 * Shape checks of JSON by table.
 */

#include "vmops_json.h"
#include "vmops_banned.h"


const char *
vmops_json_error_name(vmops_json_error_code_t code)
{
    static const char *const  names[] = {
        "none", "unknown_field", "required", "type", "range", "length",
        "pattern", "value"
    };

    return (size_t) code < sizeof(names) / sizeof(names[0]) ? names[code]
                                                            : names[0];
}


void
vmops_json_error_init(vmops_json_error_t *err, const char *pointer)
{
    size_t  n;

    n = strlen(pointer);
    n = n > VMOPS_JSON_POINTER_MAX ? 0 : n;

    memcpy(err->pointer, pointer, n);
    err->pointer[n] = '\0';
    err->code = VMOPS_JE_NONE;
}


void
vmops_json_error_push(vmops_json_error_t *err, vmops_span_t name)
{
    size_t       i, start;
    vmops_buf_t  b;

    start = strlen(err->pointer);

    vmops_buf_init(&b, err->pointer, VMOPS_JSON_POINTER_MAX);
    b.n = start;
    vmops_buf_u8(&b, '/');

    for (i = 0; i < name.n; i++) {
        if (name.p[i] == '~') {
            vmops_buf_str(&b, "~0");

        } else if (name.p[i] == '/') {
            vmops_buf_str(&b, "~1");

        } else {
            vmops_buf_u8(&b, name.p[i]);
        }
    }

    err->pointer[b.overflow ? start : b.n] = '\0';
}


void
vmops_json_error_push_index(vmops_json_error_t *err, size_t index)
{
    uint8_t       digits[20];
    vmops_buf_t   b;

    vmops_buf_init(&b, digits, sizeof(digits));
    vmops_buf_dec(&b, index);
    vmops_json_error_push(err, vmops_span(b.p, b.n));
}


static int
fail(vmops_json_error_t *err, vmops_json_error_code_t code)
{
    err->code = code;
    return -1;
}


/*
 * One step down: the pointer grows while a value is looked at and shrinks
 * again if it was right.
 */

static int
check_at(const vmops_json_t *node, const vmops_json_field_t *field,
    vmops_span_t name, vmops_json_error_t *err)
{
    size_t  n;

    n = strlen(err->pointer);
    vmops_json_error_push(err, name);

    if (vmops_json_check_value(node, field, err) != 0) {
        return -1;
    }

    err->pointer[n] = '\0';
    return 0;
}


static int
within(const vmops_json_field_t *f, int64_t v)
{
    return (f->min == 0 && f->max == 0) || (v >= f->min && v <= f->max);
}


static int
check_string(const vmops_json_t *node, const vmops_json_field_t *f,
    vmops_json_error_t *err)
{
    const char *const  *v;

    if (!within(f, (int64_t) node->str.n)) {
        return fail(err, VMOPS_JE_LENGTH);
    }

    if (!vmops_pattern_match(f->pattern, node->str)) {
        return fail(err, VMOPS_JE_PATTERN);
    }

    if (f->values == NULL) {
        return 0;
    }

    for (v = f->values; *v != NULL; v++) {
        if (vmops_span_is(node->str, *v)) {
            return 0;
        }
    }

    return fail(err, VMOPS_JE_VALUE);
}


static int
check_array(const vmops_json_t *node, const vmops_json_field_t *f,
    vmops_json_error_t *err)
{
    size_t               i, n;
    const vmops_json_t  *item;

    if (!within(f, node->count)) {
        return fail(err, VMOPS_JE_LENGTH);
    }

    if (f->of == NULL) {
        return 0;
    }

    n = strlen(err->pointer);

    for (item = node->child, i = 0; item != NULL; item = item->next, i++) {
        vmops_json_error_push_index(err, i);

        if (vmops_json_check_value(item, f->of, err) != 0) {
            return -1;
        }

        err->pointer[n] = '\0';
    }

    return 0;
}


int
vmops_json_check_value(const vmops_json_t *node, const vmops_json_field_t *f,
    vmops_json_error_t *err)
{
    static const uint8_t  types[] = {
        [VMOPS_FT_STRING] = VMOPS_JSON_STRING,
        [VMOPS_FT_INT] = VMOPS_JSON_NUMBER,
        [VMOPS_FT_NUMBER] = VMOPS_JSON_NUMBER,
        [VMOPS_FT_BOOL] = VMOPS_JSON_BOOL,
        [VMOPS_FT_OBJECT] = VMOPS_JSON_OBJECT,
        [VMOPS_FT_ARRAY] = VMOPS_JSON_ARRAY
    };

    if (f->type == VMOPS_FT_ANY
        || (node->type == VMOPS_JSON_NULL && (f->flags & VMOPS_F_NULLABLE)))
    {
        return 0;
    }

    if (node->type != types[f->type]) {
        return fail(err, VMOPS_JE_TYPE);
    }

    switch (f->type) {

    case VMOPS_FT_STRING:
        return check_string(node, f, err);

    case VMOPS_FT_INT:
        /* 1.0 and 1e3 are integers in some eyes, but not here */
        if (!node->integral) {
            return fail(err, memchr(node->str.p, '.', node->str.n)
                             || memchr(node->str.p, 'e', node->str.n)
                             || memchr(node->str.p, 'E', node->str.n)
                             ? VMOPS_JE_TYPE : VMOPS_JE_RANGE);
        }

        return within(f, node->i) ? 0 : fail(err, VMOPS_JE_RANGE);

    case VMOPS_FT_ARRAY:
        return check_array(node, f, err);

    case VMOPS_FT_OBJECT:
        if (f->of != NULL) {
            return vmops_json_check(node, f->of, f->of_n, f->flags, err);
        }

        return within(f, node->count) ? 0 : fail(err, VMOPS_JE_LENGTH);

    default:
        return 0;
    }
}


static int
is_known(vmops_span_t name, const vmops_json_field_t *fields, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (vmops_span_is(name, fields[i].name)) {
            return 1;
        }
    }

    return 0;
}


int
vmops_json_check(const vmops_json_t *node, const vmops_json_field_t *fields,
    size_t n, unsigned flags, vmops_json_error_t *err)
{
    size_t               i;
    const vmops_json_t  *member;

    if (!vmops_json_is(node, VMOPS_JSON_OBJECT)) {
        return fail(err, VMOPS_JE_TYPE);
    }

    if (!(flags & VMOPS_F_OPEN)) {
        for (member = node->child; member != NULL; member = member->next) {
            if (!is_known(member->key, fields, n)) {
                vmops_json_error_push(err, member->key);
                return fail(err, VMOPS_JE_UNKNOWN_FIELD);
            }
        }
    }

    for (i = 0; i < n; i++) {
        member = vmops_json_get(node, fields[i].name);

        if (member == NULL) {
            if (fields[i].flags & VMOPS_F_OPTIONAL) {
                continue;
            }

            vmops_json_error_push(err, vmops_span_str(fields[i].name));
            return fail(err, VMOPS_JE_REQUIRED);
        }

        if (check_at(member, &fields[i], vmops_span_str(fields[i].name), err)
            != 0)
        {
            return -1;
        }
    }

    return 0;
}
