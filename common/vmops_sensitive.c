/*
 * What looks like a secret: names and strings, byte by byte.
 */

#include "vmops_sensitive.h"
#include "vmops_banned.h"


typedef enum { ANY, END, WHOLE } where_t;


#define VMOPS_SENSITIVE_PUBLIC(word)
#define VMOPS_SENSITIVE_VALUE(text)

static const struct {
    vmops_span_t  word;
    where_t       where;
} names[] = {
#define VMOPS_SENSITIVE_NAME(word, where)  { VMOPS_SPAN(word), where },
#include "vmops_sensitive.def"
#undef VMOPS_SENSITIVE_NAME
};

#define VMOPS_SENSITIVE_NAME(word, where)
#undef VMOPS_SENSITIVE_PUBLIC

static const vmops_span_t  publics[] = {
#define VMOPS_SENSITIVE_PUBLIC(word)  VMOPS_SPAN(word),
#include "vmops_sensitive.def"
#undef VMOPS_SENSITIVE_PUBLIC
};

#define VMOPS_SENSITIVE_PUBLIC(word)
#undef VMOPS_SENSITIVE_VALUE

static const vmops_span_t  values[] = {
#define VMOPS_SENSITIVE_VALUE(text)  VMOPS_SPAN(text),
#include "vmops_sensitive.def"
};

#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))


static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}


/* names */

void
vmops_sensitive_name_reset(vmops_sensitive_name_t *s)
{
    s->n = 0;
}


void
vmops_sensitive_name_feed(vmops_sensitive_name_t *s, const uint8_t *p, size_t n)
{
    size_t   i;
    uint8_t  c;

    for (i = 0; i < n; i++) {
        c = lower(p[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9')) {
            continue;
        }

        if (s->n < sizeof(s->text)) {
            s->text[s->n] = (char) c;
        }

        s->n++;
    }
}


static int
ends_with(const vmops_sensitive_name_t *s, vmops_span_t word)
{
    return s->n >= word.n
           && memcmp(s->text + s->n - word.n, word.p, word.n) == 0;
}


static int
holds(const vmops_sensitive_name_t *s, vmops_span_t word)
{
    size_t       left;
    const char  *p, *end;

    end = s->text + s->n;

    for (p = s->text; (size_t) (end - p) >= word.n; p++) {
        left = (size_t) (end - p) - word.n + 1;

        p = memchr(p, word.p[0], left);

        if (p == NULL) {
            return 0;
        }

        if (memcmp(p, word.p, word.n) == 0) {
            return 1;
        }
    }

    return 0;
}


int
vmops_sensitive_name_found(const vmops_sensitive_name_t *s)
{
    size_t  i;

    if (s->n > sizeof(s->text)) {
        return 1;
    }

    for (i = 0; i < COUNT(publics); i++) {
        if (ends_with(s, publics[i])) {
            return 0;
        }
    }

    for (i = 0; i < COUNT(names); i++) {
        if (names[i].where == ANY ? holds(s, names[i].word)
            : ends_with(s, names[i].word)
              && (names[i].where == END || s->n == names[i].word.n))
        {
            return 1;
        }
    }

    return 0;
}


int
vmops_sensitive_name(vmops_span_t name)
{
    vmops_sensitive_name_t  s;

    s.n = 0;
    vmops_sensitive_name_feed(&s, name.p, name.n);

    return vmops_sensitive_name_found(&s);
}


/* strings */

/* how much of a text is matched by its first n bytes and c */

static size_t
advance(vmops_span_t text, size_t n, uint8_t c)
{
    size_t  k;

    if (text.p[n] == c) {
        return n + 1;
    }

    /* the longest end of what was matched that the text begins with */

    for (k = n; k > 0; k--) {
        if (text.p[k - 1] == c
            && memcmp(text.p, text.p + n - (k - 1), k - 1) == 0)
        {
            return k;
        }
    }

    return 0;
}


/*
 * `://`, a user, a colon, something, `@`.  A colon followed by digits up to a
 * slash is a port; in brackets it is an address.  A password may hold slashes
 * that nobody encoded, and a user's name an `@`, as Proxmox's all do.
 */

enum {
    U_NONE = 0, U_COLON, U_SLASH, U_USER, U_BRACKET, U_PASS, U_PORT, U_MORE,
    U_FOUND
};


static int
ends_url(uint8_t c)
{
    return c <= ' ' || c == '"' || c == '<' || c == '>';
}


static uint8_t
url(uint8_t state, uint8_t c)
{
    switch (state) {

    case U_COLON:
        return c == '/' ? U_SLASH : c == ':' ? U_COLON : U_NONE;

    case U_SLASH:
        return c == '/' ? U_USER : c == ':' ? U_COLON : U_NONE;

    case U_USER:
        return c == ':' ? U_PASS
               : c == '[' ? U_BRACKET
               : ends_url(c) || c == '/' || c == '?' || c == '#' ? U_NONE
               : U_USER;

    case U_BRACKET:
        return c == ']' ? U_USER : ends_url(c) || c == '/' ? U_NONE : U_BRACKET;

    case U_PASS:
    case U_PORT:
        if (c >= '0' && c <= '9') {
            return U_PORT;
        }

        if (c == '/' || c == '?' || c == '#') {
            /* `a://b://c`: the colon was the beginning of another one */
            return state == U_PASS && c == '/' ? U_SLASH : U_NONE;
        }

        return c == '@' ? U_FOUND : ends_url(c) ? U_NONE : U_MORE;

    case U_MORE:
        return c == '@' ? U_FOUND : ends_url(c) ? U_NONE : U_MORE;

    default: /* U_NONE */
        return c == ':' ? U_COLON : U_NONE;
    }
}


static void
value_byte(vmops_sensitive_value_t *s, uint8_t c)
{
    size_t  i;

    s->url = url(s->url, c);
    s->busy = s->url;
    s->found |= s->url == U_FOUND;

    for (i = 0; i < VMOPS_SENSITIVE_VALUES; i++) {
        s->at[i] = (uint8_t) advance(values[i], s->at[i], c);
        s->busy |= s->at[i];

        if (s->at[i] == values[i].n) {
            s->found = 1;
            return;
        }
    }
}


void
vmops_sensitive_value_feed(vmops_sensitive_value_t *s, const uint8_t *p,
    size_t n)
{
    size_t   i;
    uint8_t  c;

    for (i = 0; i < n && !s->found; i++) {
        c = lower(p[i]);

        /* a text of the list begins with p, the other thing with a colon */

        if (s->busy || c == 'p' || c == ':') {
            value_byte(s, c);
        }
    }
}


int
vmops_sensitive_value(vmops_span_t value)
{
    vmops_sensitive_value_t  s;

    memset(&s, 0, sizeof(s));
    vmops_sensitive_value_feed(&s, value.p, value.n);

    return s.found;
}


/* in a tree */

int
vmops_sensitive_find(const vmops_json_t *node, vmops_json_error_t *err)
{
    size_t               i, end;
    const vmops_json_t  *m;

    if (node->type == VMOPS_JSON_STRING) {
        return vmops_sensitive_value(node->str);
    }

    end = strlen(err->pointer);

    for (m = node->child, i = 0; m != NULL; m = m->next, i++) {

        if (node->type == VMOPS_JSON_ARRAY) {
            vmops_json_error_push_index(err, i);

        } else if (vmops_sensitive_value(m->key)) {
            return 1;

        } else {
            vmops_json_error_push(err, m->key);

            if (vmops_sensitive_name(m->key)) {
                return 1;
            }
        }

        if (vmops_sensitive_find(m, err)) {
            return 1;
        }

        err->pointer[end] = '\0';
    }

    return 0;
}
