
/* The search for open secrets in what goes out. */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "redact.h"
#include "vmops_json.h"
#include "vmops_utf8.h"
#include "vmops_banned.h"


#define FORMS_MAX  17

typedef struct {
    size_t     at;
    size_t     n;
} form_t;

struct redact_s {
    redact_t  *next;
    uint8_t   *memory;          /* sodium_malloc: all forms */
    form_t     forms[FORMS_MAX];
    size_t     forms_n;
};

static plat_mutex_t  *mutex;
static redact_t      *open_secrets;


int
redact_init(void)
{
    if (mutex == NULL) {
        mutex = plat_mutex_new();
    }

    return mutex != NULL ? 0 : -1;
}


/* A form is what was written to the buffer since the last one. */

static void
form_end(redact_t *r, vmops_buf_t *b, size_t from)
{
    size_t   i, n;
    form_t  *f;

    n = b->n - from;

    for (i = 0; i < r->forms_n; i++) {
        f = &r->forms[i];
        if (f->n == n && memcmp(b->p + f->at, b->p + from, n) == 0) {
            return;
        }
    }

    r->forms[r->forms_n++] = (form_t) { from, n };
}


/*
 * base64 of the secret when `skip` bytes stand before it: only those
 * characters which depend on the secret alone.
 */

static void
form_base64(redact_t *r, vmops_buf_t *b, vmops_span_t s, unsigned skip,
    const char *alphabet)
{
    size_t    i, bit, from, first, last;
    unsigned  v;

    from = b->n;
    first = (skip * 8 + 5) / 6;
    last = (skip + s.n) * 8 / 6;

    for (i = first; i < last; i++) {
        bit = i * 6 - skip * 8;
        v = (unsigned) s.p[bit / 8] << 8;
        if (bit / 8 + 1 < s.n) {
            v |= s.p[bit / 8 + 1];
        }
        vmops_buf_u8(b, (uint8_t) alphabet[v >> (10 - bit % 8) & 63]);
    }

    form_end(r, b, from);
}


static void
form_hex(redact_t *r, vmops_buf_t *b, vmops_span_t s, const char *digits)
{
    size_t  i, from = b->n;

    for (i = 0; i < s.n; i++) {
        vmops_buf_u8(b, (uint8_t) digits[s.p[i] >> 4]);
        vmops_buf_u8(b, (uint8_t) digits[s.p[i] & 15]);
    }

    form_end(r, b, from);
}


static int
unreserved(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')
           || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_'
           || c == '~';
}


static void
form_url(redact_t *r, vmops_buf_t *b, vmops_span_t s, const char *digits,
    int plus)
{
    size_t   i, from = b->n;
    uint8_t  c;

    for (i = 0; i < s.n; i++) {
        c = s.p[i];

        if (unreserved(c)) {
            vmops_buf_u8(b, c);

        } else if (c == ' ' && plus) {
            vmops_buf_u8(b, '+');

        } else {
            vmops_buf_u8(b, '%');
            vmops_buf_u8(b, (uint8_t) digits[c >> 4]);
            vmops_buf_u8(b, (uint8_t) digits[c & 15]);
        }
    }

    form_end(r, b, from);
}


/* The UTF-16 units of valid UTF-8: of one character, at p; how many bytes. */

static size_t
units(uint16_t unit[2], size_t *n, const uint8_t *p)
{
    size_t    bytes, i;
    uint32_t  c;

    bytes = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    c = bytes == 1 ? p[0] : p[0] & (0x7fu >> bytes);
    for (i = 1; i < bytes; i++) {
        c = c << 6 | (p[i] & 0x3f);
    }

    if (c < 0x10000) {
        unit[0] = (uint16_t) c;
        *n = 1;

    } else {
        unit[0] = (uint16_t) (0xd7c0 + (c >> 10));
        unit[1] = (uint16_t) (0xdc00 + (c & 0x3ff));
        *n = 2;
    }

    return bytes;
}


static void
escape(vmops_buf_t *b, uint16_t unit)
{
    static const char  digits[] = "0123456789abcdef";

    int  shift;

    vmops_buf_str(b, "\\u");
    for (shift = 12; shift >= 0; shift -= 4) {
        vmops_buf_u8(b, (uint8_t) digits[unit >> shift & 15]);
    }
}


/* slash: `/` is escaped; ascii: what is not ASCII is, for valid UTF-8 */

static void
form_json(redact_t *r, vmops_buf_t *b, vmops_span_t s, int slash, int ascii)
{
    static const char  plain[] = "\b\t\n\f\r", letter[] = "btnfr";

    size_t       i = 0, k, n, from = b->n;
    uint8_t      c;
    uint16_t     unit[2];
    const char  *p;

    while (i < s.n) {
        c = s.p[i];
        p = c != 0 ? strchr(plain, c) : NULL;

        if (c >= 0x80 && ascii) {
            i += units(unit, &n, s.p + i);
            for (k = 0; k < n; k++) {
                escape(b, unit[k]);
            }
            continue;
        }

        if (p != NULL) {
            vmops_buf_u8(b, '\\');
            vmops_buf_u8(b, (uint8_t) letter[p - plain]);

        } else if (c < 0x20) {
            escape(b, c);

        } else {
            if (c == '"' || c == '\\' || (c == '/' && slash)) {
                vmops_buf_u8(b, '\\');
            }
            vmops_buf_u8(b, c);
        }

        i++;
    }

    form_end(r, b, from);
}


/* UTF-16LE; of what is no text as if each byte were a character */

static void
form_utf16(redact_t *r, vmops_buf_t *b, vmops_span_t s, int text)
{
    size_t    i = 0, k, n = 1, from = b->n;
    uint16_t  unit[2];

    while (i < s.n) {
        if (text) {
            i += units(unit, &n, s.p + i);
        } else {
            unit[0] = s.p[i++];
        }

        for (k = 0; k < n; k++) {
            vmops_buf_u8(b, (uint8_t) unit[k]);
            vmops_buf_u8(b, (uint8_t) (unit[k] >> 8));
        }
    }

    form_end(r, b, from);
}


static void
forms_make(redact_t *r, vmops_buf_t *b, vmops_span_t s)
{
#define LETTERS                                                               \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

    static const char  lower[] = "0123456789abcdef";
    static const char  upper[] = "0123456789ABCDEF";

    int       text = vmops_utf8_valid(s);
    unsigned  skip;

    vmops_buf_span(b, s);
    form_end(r, b, 0);

    for (skip = 0; skip < 3; skip++) {
        form_base64(r, b, s, skip, LETTERS "+/");
        form_base64(r, b, s, skip, LETTERS "-_");
    }

    form_hex(r, b, s, lower);
    form_hex(r, b, s, upper);
    form_url(r, b, s, lower, 0);
    form_url(r, b, s, upper, 0);
    form_url(r, b, s, upper, 1);
    form_json(r, b, s, 0, 0);
    form_json(r, b, s, 1, 0);
    form_json(r, b, s, 0, text);
    form_json(r, b, s, 1, text);
    form_utf16(r, b, s, text);

#undef LETTERS
}


redact_t *
redact_add(vmops_span_t secret, int *failed)
{
    size_t       cap;
    redact_t    *r;
    vmops_buf_t  b;

    *failed = 0;

    if (secret.n < VMOPS_LEAK_MIN) {
        return NULL;
    }

    /* 1 raw, 6 base64 of at most 2, 2 hex of 2, 3 URL of 3, 4 JSON of 6,
     * 1 UTF-16 of 2 bytes per byte */
    cap = secret.n * 52 + 64;

    r = mem_new(sizeof(*r));
    if (r != NULL) {
        r->memory = sodium_malloc(cap);
    }

    if (r == NULL || r->memory == NULL) {
        redact_remove(r);
        *failed = 1;
        return NULL;
    }

    vmops_buf_init(&b, r->memory, cap);
    forms_make(r, &b, secret);

    plat_mutex_lock(mutex);
    r->next = open_secrets;
    open_secrets = r;
    plat_mutex_unlock(mutex);

    return r;
}


void
redact_remove(redact_t *r)
{
    redact_t  **p;

    if (r == NULL) {
        return;
    }

    plat_mutex_lock(mutex);

    for (p = &open_secrets; *p != NULL; p = &(*p)->next) {
        if (*p == r) {
            *p = r->next;
            break;
        }
    }

    plat_mutex_unlock(mutex);

    sodium_free(r->memory);
    free(r);
}


static int
contains(vmops_span_t bytes, const uint8_t *form, size_t n)
{
    const uint8_t  *p = bytes.p, *end = bytes.p + bytes.n;

    while ((size_t) (end - p) >= n) {
        p = memchr(p, form[0], (size_t) (end - p) - n + 1);
        if (p == NULL) {
            return 0;
        }
        if (memcmp(p, form, n) == 0) {
            return 1;
        }
        p++;
    }

    return 0;
}


int
redact_found(vmops_span_t bytes)
{
    int              found = 0;
    size_t           i;
    const redact_t  *r;

    plat_mutex_lock(mutex);

    for (r = open_secrets; r != NULL && !found; r = r->next) {
        for (i = 0; i < r->forms_n && !found; i++) {
            found = contains(bytes, r->memory + r->forms[i].at,
                             r->forms[i].n);
        }
    }

    plat_mutex_unlock(mutex);

    return found;
}


static int
found_in(const vmops_json_t *node)
{
    const vmops_json_t  *child;

    if (redact_found(node->key)
        || (node->type == VMOPS_JSON_STRING && redact_found(node->str)))
    {
        return 1;
    }

    /* as deep as VMOPS_JSON_DEPTH_MAX */
    for (child = node->child; child != NULL; child = child->next) {
        if (found_in(child)) {
            return 1;
        }
    }

    return 0;
}


static int
nothing_open(void)
{
    int  nothing;

    plat_mutex_lock(mutex);
    nothing = open_secrets == NULL;
    plat_mutex_unlock(mutex);

    return nothing;
}


int
redact_found_json(vmops_span_t json)
{
    int                  found = 1;
    size_t               size = vmops_json_arena_size(json.n);
    uint8_t             *memory;
    vmops_arena_t        arena;
    const vmops_json_t  *root;

    if (nothing_open()) {
        return 0;
    }

    if (redact_found(json)) {
        return 1;
    }

    memory = malloc(size);

    if (memory != NULL) {
        vmops_arena_init(&arena, memory, size);
        if (vmops_json_parse(&root, &arena, json) == VMOPS_JSON_OK) {
            found = found_in(root);
        }
        sodium_memzero(memory, size);
        free(memory);
    }

    return found;
}
