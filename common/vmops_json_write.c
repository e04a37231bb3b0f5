/*
 * The JSON writer.
 */

#include "vmops_json.h"
#include "vmops_utf8.h"
#include "vmops_banned.h"


void
vmops_jw_init(vmops_jw_t *w, void *p, size_t cap)
{
    vmops_buf_init(&w->buf, p, cap);
    w->comma = 0;
    w->bad = 0;
}


int
vmops_jw_done(const vmops_jw_t *w, vmops_span_t *out)
{
    return w->bad ? -1 : vmops_buf_done(&w->buf, out);
}


static void
before_value(vmops_jw_t *w)
{
    if (w->comma) {
        vmops_buf_u8(&w->buf, ',');
    }

    w->comma = 1;
}


void
vmops_jw_obj(vmops_jw_t *w)
{
    before_value(w);
    vmops_buf_u8(&w->buf, '{');
    w->comma = 0;
}


void
vmops_jw_obj_end(vmops_jw_t *w)
{
    vmops_buf_u8(&w->buf, '}');
    w->comma = 1;
}


void
vmops_jw_arr(vmops_jw_t *w)
{
    before_value(w);
    vmops_buf_u8(&w->buf, '[');
    w->comma = 0;
}


void
vmops_jw_arr_end(vmops_jw_t *w)
{
    vmops_buf_u8(&w->buf, ']');
    w->comma = 1;
}


static void
escape(vmops_buf_t *b, uint8_t c)
{
    char               hex[6] = { '\\', 'u', '0', '0', 0, 0 };
    const char        *at;
    static const char  from[] = "\"\\\b\f\n\r\t";
    static const char  to[] = "\"\\bfnrt";

    at = strchr(from, c);

    if (at != NULL) {
        vmops_buf_u8(b, '\\');
        vmops_buf_u8(b, (uint8_t) to[at - from]);
        return;
    }

    vmops_hex_encode(hex + 4, &c, 1);
    vmops_buf_put(b, hex, sizeof(hex));
}


/* how many bytes at its front stand for themselves: eight at a time */

static size_t
plain(vmops_span_t s)
{
    size_t          i;
    uint64_t        c, quote, slash;
    const uint64_t  ones = UINT64_C(0x0101010101010101), tops = ones << 7;

    for (i = 0; s.n - i >= sizeof(c); i += sizeof(c)) {

        memcpy(&c, s.p + i, sizeof(c));

        quote = c ^ ones * '"';
        slash = c ^ ones * '\\';

        /* a top bit is set where a byte is not ASCII, or below the other */

        if (((c | (c - ones * 0x20) | (quote - ones) | (slash - ones)) & tops)
            != 0)
        {
            break;
        }
    }

    return i;
}


static void
quoted(vmops_jw_t *w, vmops_span_t s)
{
    size_t  i, start;

    i = plain(s);

    if (!vmops_utf8_valid(vmops_span(s.p + i, s.n - i))) {
        w->bad = 1;
        return;
    }

    vmops_buf_u8(&w->buf, '"');
    start = 0;

    for ( /* void */ ; i < s.n; i++) {
        if (s.p[i] == 0) {          /* no reader of ours takes it */
            w->bad = 1;
            return;
        }

        if (s.p[i] < 0x20 || s.p[i] == '"' || s.p[i] == '\\') {
            vmops_buf_put(&w->buf, s.p + start, i - start);
            escape(&w->buf, s.p[i]);
            start = i + 1;
        }
    }

    vmops_buf_put(&w->buf, s.p + start, s.n - start);
    vmops_buf_u8(&w->buf, '"');
}


void
vmops_jw_key_span(vmops_jw_t *w, vmops_span_t name)
{
    before_value(w);
    quoted(w, name);
    vmops_buf_u8(&w->buf, ':');
    w->comma = 0;
}


void
vmops_jw_key(vmops_jw_t *w, const char *name)
{
    vmops_jw_key_span(w, vmops_span_str(name));
}


void
vmops_jw_str(vmops_jw_t *w, vmops_span_t s)
{
    if (s.p == NULL) {
        vmops_jw_null(w);
        return;
    }

    before_value(w);
    quoted(w, s);
}


void
vmops_jw_cstr(vmops_jw_t *w, const char *s)
{
    vmops_jw_str(w, vmops_span_str(s));
}


void
vmops_jw_uint(vmops_jw_t *w, uint64_t v)
{
    before_value(w);
    vmops_buf_dec(&w->buf, v);
}


void
vmops_jw_int(vmops_jw_t *w, int64_t v)
{
    before_value(w);

    if (v < 0) {
        vmops_buf_u8(&w->buf, '-');
    }

    vmops_buf_dec(&w->buf, v < 0 ? 0 - (uint64_t) v : (uint64_t) v);
}


void
vmops_jw_bool(vmops_jw_t *w, int v)
{
    before_value(w);
    vmops_buf_str(&w->buf, v ? "true" : "false");
}


void
vmops_jw_null(vmops_jw_t *w)
{
    before_value(w);
    vmops_buf_str(&w->buf, "null");
}


void
vmops_jw_raw(vmops_jw_t *w, vmops_span_t json)
{
    before_value(w);
    vmops_buf_span(&w->buf, json);
}


void
vmops_jw_b64u(vmops_jw_t *w, const void *p, size_t n)
{
    vmops_buf_t  *b;

    before_value(w);
    b = &w->buf;
    vmops_buf_u8(b, '"');

    if (b->overflow || n > b->cap || VMOPS_B64U_LEN(n) > b->cap - b->n) {
        b->overflow = 1;
        return;
    }

    b->n += vmops_b64u_encode((char *) b->p + b->n, p, n);
    vmops_buf_u8(b, '"');
}


void
vmops_jw_time(vmops_jw_t *w, int64_t ms)
{
    char  text[VMOPS_TIME_TEXT + 1];

    if (ms < 0) {
        vmops_jw_null(w);
        return;
    }

    vmops_time_format(text, ms);
    vmops_jw_cstr(w, text);
}


void
vmops_jw_uuid(vmops_jw_t *w, const vmops_uuid_t *u)
{
    char  text[VMOPS_UUID_TEXT + 1];

    vmops_uuid_format(text, u);
    vmops_jw_cstr(w, text);
}


void
vmops_jw_secret_ref(vmops_jw_t *w, const vmops_uuid_t *u)
{
    char  text[VMOPS_SECRET_REF_TEXT + 1];

    vmops_secret_ref_format(text, u);
    vmops_jw_cstr(w, text);
}


/* recursion ends at VMOPS_JSON_DEPTH_MAX: the reader made the tree */

void
vmops_jw_node(vmops_jw_t *w, const vmops_json_t *node)
{
    const vmops_json_t  *child;

    switch (node->type) {

    case VMOPS_JSON_BOOL:
        vmops_jw_bool(w, (int) node->i);
        return;

    case VMOPS_JSON_NUMBER:
        vmops_jw_raw(w, node->str);
        return;

    case VMOPS_JSON_STRING:
        vmops_jw_str(w, node->str);
        return;

    case VMOPS_JSON_ARRAY:
        vmops_jw_arr(w);
        for (child = node->child; child != NULL; child = child->next) {
            vmops_jw_node(w, child);
        }
        vmops_jw_arr_end(w);
        return;

    case VMOPS_JSON_OBJECT:
        vmops_jw_obj(w);
        for (child = node->child; child != NULL; child = child->next) {
            vmops_jw_key_span(w, child->key);
            vmops_jw_node(w, child);
        }
        vmops_jw_obj_end(w);
        return;

    default:
        vmops_jw_null(w);
    }
}


/* how many of these, in the order of names, come before that name */

static size_t
before_name(const vmops_json_t *const *members, size_t n, vmops_span_t name)
{
    int           rc;
    size_t        low, high, middle;
    vmops_span_t  key;

    low = 0;
    high = n;

    while (low < high) {
        middle = (low + high) / 2;
        key = members[middle]->key;

        rc = memcmp(key.p, name.p, key.n < name.n ? key.n : name.n);

        if (rc < 0 || (rc == 0 && key.n < name.n)) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return low;
}


static void
members_sorted(vmops_jw_t *w, const vmops_json_t *obj)
{
    size_t               i, n;
    const vmops_json_t  *member, *members[VMOPS_JSON_MEMBERS_MAX];

    n = 0;

    for (member = obj->child; member != NULL; member = member->next) {
        i = before_name(members, n, member->key);
        memmove(members + i + 1, members + i, (n - i) * sizeof(members[0]));
        members[i] = member;
        n++;
    }

    for (i = 0; i < n; i++) {
        vmops_jw_key_span(w, members[i]->key);
        vmops_jw_sorted(w, members[i]);
    }
}


void
vmops_jw_sorted(vmops_jw_t *w, const vmops_json_t *node)
{
    const vmops_json_t  *child;

    switch (node->type) {

    case VMOPS_JSON_ARRAY:
        vmops_jw_arr(w);
        for (child = node->child; child != NULL; child = child->next) {
            vmops_jw_sorted(w, child);
        }
        vmops_jw_arr_end(w);
        return;

    case VMOPS_JSON_OBJECT:
        vmops_jw_obj(w);
        members_sorted(w, node);
        vmops_jw_obj_end(w);
        return;

    default:
        vmops_jw_node(w, node);
    }
}


void
vmops_jw_kstr(vmops_jw_t *w, const char *key, vmops_span_t s)
{
    vmops_jw_key(w, key);
    vmops_jw_str(w, s);
}


void
vmops_jw_kcstr(vmops_jw_t *w, const char *key, const char *s)
{
    vmops_jw_key(w, key);
    vmops_jw_cstr(w, s);
}


void
vmops_jw_kint(vmops_jw_t *w, const char *key, int64_t v)
{
    vmops_jw_key(w, key);
    vmops_jw_int(w, v);
}


void
vmops_jw_kbool(vmops_jw_t *w, const char *key, int v)
{
    vmops_jw_key(w, key);
    vmops_jw_bool(w, v);
}


void
vmops_jw_knull(vmops_jw_t *w, const char *key)
{
    vmops_jw_key(w, key);
    vmops_jw_null(w);
}


void
vmops_jw_kraw(vmops_jw_t *w, const char *key, vmops_span_t json)
{
    vmops_jw_key(w, key);
    vmops_jw_raw(w, json);
}


void
vmops_jw_kb64u(vmops_jw_t *w, const char *key, const void *p, size_t n)
{
    vmops_jw_key(w, key);
    vmops_jw_b64u(w, p, n);
}


void
vmops_jw_ktime(vmops_jw_t *w, const char *key, int64_t ms)
{
    vmops_jw_key(w, key);
    vmops_jw_time(w, ms);
}


void
vmops_jw_kuuid(vmops_jw_t *w, const char *key, const vmops_uuid_t *u)
{
    vmops_jw_key(w, key);
    vmops_jw_uuid(w, u);
}
