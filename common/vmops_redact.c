/*
 * Masking JSON as it streams: one automaton for the grammar, byte by byte.
 *
 * A string is held back until its end, because what makes it a secret may be
 * its last character.  All else goes out at once.
 */

#include "vmops_redact_parts.h"
#include "vmops_banned.h"


void
vmops_redact_init(vmops_redact_t *s, uint8_t *hold)
{
    memset(s, 0, sizeof(*s));
    s->hold = hold;
}


static int
is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}


/* values */

void
vmops_redact_value_end(vmops_redact_t *s)
{
    if (s->muted && s->depth == s->level) {
        s->muted = 0;
    }

    s->state = S_AFTER;
}


static void
value_begin(vmops_redact_t *s)
{
    if (s->secret && !s->muted) {
        s->muted = 1;
        s->level = s->depth;
        s->waiting = vmops_redact_mask();
    }

    s->secret = 0;
}


static vmops_redact_rc_t
open_container(vmops_redact_t *s, uint8_t c)
{
    if (s->depth == VMOPS_REDACT_DEPTH_MAX) {
        return VMOPS_REDACT_DEPTH;
    }

    s->objects = s->objects << 1 | (c == '{');
    s->depth++;
    s->state = c == '{' ? S_MEMBER : S_ITEM;

    return VMOPS_REDACT_OK;
}


static void
close_container(vmops_redact_t *s)
{
    s->objects >>= 1;
    s->depth--;
    vmops_redact_value_end(s);
}


/* the first byte of a value */

static vmops_redact_rc_t
first(vmops_redact_t *s, uint8_t c)
{
    static const char *const  literals[] = { "true", "false", "null" };

    size_t  i;

    value_begin(s);

    if (c == '"') {
        vmops_redact_string_begin(s, 0);
        return VMOPS_REDACT_OK;
    }

    if (c == '{' || c == '[') {
        return open_container(s, c);
    }

    if (c == '-' || vmops_redact_digit(c)) {
        s->state = c == '-' ? S_MINUS : c == '0' ? S_ZERO : S_INTEGER;
        return VMOPS_REDACT_OK;
    }

    for (i = 0; i < 3; i++) {
        if (c == (uint8_t) literals[i][0]) {
            s->rest = literals[i] + 1;
            s->state = S_LITERAL;
            return VMOPS_REDACT_OK;
        }
    }

    return VMOPS_REDACT_SYNTAX;
}


/*
 * One more character of a number; 0: the number has ended before it, -1: it
 * cannot end here.
 */

static int
number(vmops_redact_t *s, uint8_t c)
{
    int  e;

    e = c == 'e' || c == 'E';

    switch (s->state) {

    case S_MINUS:
        s->state = c == '0' ? S_ZERO : S_INTEGER;
        return vmops_redact_digit(c) ? 1 : -1;

    case S_ZERO:
    case S_INTEGER:
        if (vmops_redact_digit(c)) {
            return s->state == S_INTEGER ? 1 : -1;
        }

        s->state = c == '.' ? S_POINT : e ? S_E : s->state;
        return c == '.' || e;

    case S_POINT:
        s->state = S_FRACTION;
        return vmops_redact_digit(c) ? 1 : -1;

    case S_FRACTION:
        s->state = e ? S_E : S_FRACTION;
        return vmops_redact_digit(c) || e;

    case S_E:
        if (c == '+' || c == '-') {
            s->state = S_E_SIGN;
            return 1;
        }
        /* fall through */

    case S_E_SIGN:
        s->state = S_EXPONENT;
        return vmops_redact_digit(c) ? 1 : -1;

    default: /* S_EXPONENT */
        return vmops_redact_digit(c);
    }
}


/* behind a value: what may follow it */

static vmops_redact_rc_t
after(vmops_redact_t *s, uint8_t c)
{
    int  in_object;

    in_object = s->objects & 1;

    if (s->depth == 0) {
        return VMOPS_REDACT_SYNTAX;
    }

    if (c == ',') {
        s->state = in_object ? S_NAME : S_VALUE;
        return VMOPS_REDACT_OK;
    }

    if (c != (in_object ? '}' : ']')) {
        return VMOPS_REDACT_SYNTAX;
    }

    close_container(s);

    return VMOPS_REDACT_OK;
}


/* between the tokens, and literals */

static vmops_redact_rc_t
token(vmops_redact_t *s, uint8_t c)
{
    if (s->state == S_LITERAL) {
        if (c != (uint8_t) *s->rest++) {
            return VMOPS_REDACT_SYNTAX;
        }

        if (*s->rest == '\0') {
            vmops_redact_value_end(s);
        }

        return VMOPS_REDACT_OK;
    }

    if (is_space(c)) {
        return VMOPS_REDACT_OK;
    }

    if (s->state == S_VALUE || (s->state == S_ITEM && c != ']')) {
        return first(s, c);
    }

    if ((s->state == S_NAME || s->state == S_MEMBER) && c == '"') {
        vmops_redact_string_begin(s, 1);
        return VMOPS_REDACT_OK;
    }

    if (s->state == S_ITEM || (s->state == S_MEMBER && c == '}')) {
        close_container(s);
        return VMOPS_REDACT_OK;
    }

    if (s->state == S_COLON && c == ':') {
        s->state = S_VALUE;
        return VMOPS_REDACT_OK;
    }

    return s->state == S_AFTER ? after(s, c) : VMOPS_REDACT_SYNTAX;
}


/* a byte outside of strings; out has room for it */

static vmops_redact_rc_t
outside(vmops_redact_t *s, uint8_t c, vmops_buf_t *out)
{
    int                rc, muted;
    vmops_redact_rc_t  err;

    if (s->state >= S_MINUS && s->state <= S_EXPONENT) {
        rc = number(s, c);

        if (rc < 0) {
            return VMOPS_REDACT_SYNTAX;
        }

        if (rc > 0) {
            if (!s->muted) {
                vmops_buf_u8(out, c);
            }
            return VMOPS_REDACT_OK;
        }

        vmops_redact_value_end(s);
    }

    /* the first and the last byte of what is masked are masked, too */

    muted = s->muted;

    err = token(s, c);

    if (err == VMOPS_REDACT_OK && !muted && !s->muted && s->state < S_STRING) {
        vmops_buf_u8(out, c);
    }

    return err;
}


vmops_redact_rc_t
vmops_redact_feed(vmops_redact_t *s, vmops_span_t *in, vmops_buf_t *out)
{
    size_t             n;
    vmops_redact_rc_t  rc;

    for ( ;; ) {
        n = s->waiting.n < out->cap - out->n ? s->waiting.n
                                             : out->cap - out->n;

        if (n > 0) {
            vmops_buf_put(out, s->waiting.p, n);
            s->waiting.p += n;
            s->waiting.n -= n;
        }

        if (in->n == 0 || out->n == out->cap) {
            return VMOPS_REDACT_OK;
        }

        if (s->state >= S_STRING) {
            rc = vmops_redact_string(s, in);

        } else {
            rc = outside(s, *in->p, out);
            in->p++;
            in->n--;
        }

        if (rc != VMOPS_REDACT_OK) {
            return rc;
        }
    }
}


vmops_redact_rc_t
vmops_redact_end(const vmops_redact_t *s)
{
    int  number_may_end;

    number_may_end = s->state == S_ZERO || s->state == S_INTEGER
                     || s->state == S_FRACTION || s->state == S_EXPONENT;

    return s->depth == 0 && (s->state == S_AFTER || number_may_end)
           ? VMOPS_REDACT_OK : VMOPS_REDACT_SYNTAX;
}
