/*
 * Any bytes through the scanner that masks secrets: whole and in pieces it
 * says the same; what it takes is JSON, as another parser sees it; and what
 * comes out is the same JSON, but for a mask exactly where a name or a string
 * of it, decoded by that parser, is a secret's.
 */

#include <stdlib.h>

#include <yajl/yajl_parse.h>

#include "vmops_redact.h"
#include "vmops_utf8.h"


#define INPUT_MAX   60000       /* no string is too long to be looked at */
#define OUTPUT_MAX  (INPUT_MAX * 8)


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


typedef enum {
    NIL, BOOL, NUMBER, STRING, NAME, OBJECT, OBJECT_END, ARRAY, ARRAY_END
} kind_t;

typedef struct {
    kind_t        kind;
    vmops_span_t  text;
} token_t;

typedef struct {
    size_t   n;
    size_t   depth;
    size_t   deepest;
    size_t   used;
    token_t  tokens[OUTPUT_MAX + 1];
    uint8_t  texts[OUTPUT_MAX];
} document_t;


static uint8_t     hold[VMOPS_REDACT_STRING_MAX];
static uint8_t     whole[OUTPUT_MAX], pieces[OUTPUT_MAX];
static document_t  before, after;


static void
check(int ok)
{
    if (!ok) {
        abort();
    }
}


/* what yajl reads */

static int
add(void *ctx, kind_t kind, const void *p, size_t n)
{
    document_t  *d = ctx;

    check(d->n < OUTPUT_MAX && n <= sizeof(d->texts) - d->used);

    if (n > 0) {
        memcpy(d->texts + d->used, p, n);
    }

    d->tokens[d->n].kind = kind;
    d->tokens[d->n].text = vmops_span(d->texts + d->used, n);
    d->n++;
    d->used += n;

    if (kind == OBJECT || kind == ARRAY) {
        d->depth++;
        d->deepest = d->depth > d->deepest ? d->depth : d->deepest;
    }

    if (kind == OBJECT_END || kind == ARRAY_END) {
        d->depth--;
    }

    return 1;
}


static int on_null(void *c) { return add(c, NIL, "", 0); }
static int on_bool(void *c, int v) { return add(c, BOOL, v ? "1" : "0", 1); }
static int on_object(void *c) { return add(c, OBJECT, "", 0); }
static int on_object_end(void *c) { return add(c, OBJECT_END, "", 0); }
static int on_array(void *c) { return add(c, ARRAY, "", 0); }
static int on_array_end(void *c) { return add(c, ARRAY_END, "", 0); }

static int
on_number(void *c, const char *p, size_t n)
{
    return add(c, NUMBER, p, n);
}

static int
on_string(void *c, const unsigned char *p, size_t n)
{
    return add(c, STRING, p, n);
}

static int
on_name(void *c, const unsigned char *p, size_t n)
{
    return add(c, NAME, p, n);
}


static const yajl_callbacks  callbacks = {
    on_null, on_bool, NULL, NULL, on_number, on_string, on_object, on_name,
    on_object_end, on_array, on_array_end
};


/* what yajl takes: white space that is none, a string that does not end */

static int
lenient(vmops_span_t text)
{
    int     quoted;
    size_t  i;

    for (i = 0, quoted = 0; i < text.n; i++) {
        if (text.p[i] == '\v' || text.p[i] == '\f') {
            return 1;
        }

        quoted ^= text.p[i] == '"';
        i += quoted && text.p[i] == '\\';
    }

    return quoted;
}


static int
read_document(document_t *d, vmops_span_t text)
{
    int          ok;
    yajl_handle  h;

    d->n = 0;
    d->used = 0;
    d->depth = 0;
    d->deepest = 0;

    h = yajl_alloc(&callbacks, NULL, d);
    check(h != NULL);

    ok = yajl_parse(h, text.p, text.n) == yajl_status_ok
         && yajl_complete_parse(h) == yajl_status_ok && d->n > 0;

    yajl_free(h);

    return ok && !lenient(text) && vmops_utf8_valid(text);
}


/* the value at i of what was before, and behind it */

static size_t
skip(size_t i)
{
    int     depth = 0;
    kind_t  kind;

    do {
        kind = before.tokens[i++].kind;
        depth += (kind == OBJECT || kind == ARRAY)
                 - (kind == OBJECT_END || kind == ARRAY_END);
    } while (depth > 0 || kind == NAME);

    return i;
}


static int
is_mask(const token_t *t)
{
    return vmops_span_is(t->text, "[redacted]");
}


static void
compare(void)
{
    int             hide;
    size_t          i, j;
    const token_t  *a, *b;

    for (i = 0, j = 0; i < before.n; j++) {
        a = &before.tokens[i++];
        b = &after.tokens[j];

        check(j < after.n && a->kind == b->kind);

        hide = (a->kind == STRING || a->kind == NAME)
               && vmops_sensitive_value(a->text);

        check(hide ? is_mask(b) : vmops_span_eq(a->text, b->text));

        if (a->kind == NAME && (hide || vmops_sensitive_name(a->text))) {
            b = &after.tokens[++j];
            check(j < after.n && b->kind == STRING && is_mask(b));
            i = skip(i);
        }
    }

    check(j == after.n);
}


static vmops_redact_rc_t
scan(vmops_span_t in, size_t step, size_t room, uint8_t *to, size_t *n)
{
    vmops_buf_t        b;
    vmops_span_t       part;
    vmops_redact_t     s;
    vmops_redact_rc_t  rc = VMOPS_REDACT_OK;

    vmops_redact_init(&s, hold);
    *n = 0;

    while (in.n > 0 && rc == VMOPS_REDACT_OK) {
        part = vmops_span(in.p, in.n < step ? in.n : step);
        in.p += part.n;
        in.n -= part.n;

        do {
            vmops_buf_init(&b, to + *n, room < OUTPUT_MAX - *n
                                        ? room : OUTPUT_MAX - *n);
            rc = vmops_redact_feed(&s, &part, &b);
            *n += b.n;
            check(*n < OUTPUT_MAX);
        } while (rc == VMOPS_REDACT_OK && b.n == b.cap);
    }

    return rc == VMOPS_REDACT_OK ? vmops_redact_end(&s) : rc;
}


/* half of a surrogate pair: JSON by its grammar, and everybody's own guess */

static int
has_surrogates(vmops_span_t in)
{
    size_t  i;

    for (i = 0; i + 3 < in.n; i++) {
        if (in.p[i] == '\\' && in.p[i + 1] == 'u' && (in.p[i + 2] | 0x20) == 'd'
            && in.p[i + 3] >= '8')
        {
            return 1;
        }
    }

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int                json;
    size_t             n_whole, n_pieces;
    vmops_span_t       in;
    vmops_redact_rc_t  rc;

    if (n < 1 || n > INPUT_MAX) {
        return 0;
    }

    in = vmops_span(p + 1, n - 1);

    rc = scan(in, SIZE_MAX, SIZE_MAX, whole, &n_whole);

    check(rc == scan(in, 1 + p[0] % 17, 1 + p[0] / 17, pieces, &n_pieces));
    check(n_whole == n_pieces && memcmp(whole, pieces, n_whole) == 0);

    json = read_document(&before, in);

    check(rc == VMOPS_REDACT_OK ? json
          : !json || before.deepest > VMOPS_REDACT_DEPTH_MAX);

    if (rc == VMOPS_REDACT_OK && !has_surrogates(in)) {
        check(read_document(&after, vmops_span(whole, n_whole)));
        compare();
    }

    return 0;
}
