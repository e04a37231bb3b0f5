/*
 * Strings of JSON that is masked while it streams: held back until their end,
 * and looked at in decoded form.
 */

#include "vmops_redact_parts.h"
#include "vmops_banned.h"


static void
keep(vmops_redact_t *s, const uint8_t *p, size_t n)
{
    if (s->muted || s->over) {
        return;
    }

    if (n > VMOPS_REDACT_STRING_MAX - s->held) {
        s->over = 1;
        return;
    }

    memcpy(s->hold + s->held, p, n);
    s->held += n;
}


/* characters of a string, decoded */

static void
look_at(vmops_redact_t *s, const uint8_t *p, size_t n)
{
    if (s->muted) {
        return;
    }

    vmops_sensitive_value_feed(&s->value, p, n);

    if (s->is_name) {
        vmops_sensitive_name_feed(&s->name, p, n);
    }
}


void
vmops_redact_string_begin(vmops_redact_t *s, int is_name)
{
    s->held = 0;
    s->over = 0;
    s->is_name = (uint8_t) is_name;
    s->state = S_STRING;

    memset(&s->value, 0, sizeof(s->value));
    vmops_sensitive_name_reset(&s->name);

    keep(s, (const uint8_t *) "\"", 1);
}


static void
string_end(vmops_redact_t *s)
{
    int  hide;

    keep(s, (const uint8_t *) "\"", 1);

    hide = s->over || s->value.found;

    if (!s->muted) {
        s->waiting = hide ? vmops_redact_mask() : vmops_span(s->hold, s->held);
    }

    if (!s->is_name) {
        vmops_redact_value_end(s);
        return;
    }

    s->secret = hide || vmops_sensitive_name_found(&s->name);
    s->state = S_COLON;
}


/* as many characters as stand for themselves; at least one is there */

static vmops_redact_rc_t
string_run(vmops_redact_t *s, vmops_span_t *in)
{
    size_t  n;

    for (n = 0; n < in->n; n++) {
        if (in->p[n] == '"' || in->p[n] == '\\' || in->p[n] < 0x20) {
            break;
        }
    }

    if (vmops_utf8_feed(&s->utf8, in->p, n) != 0
        || (n < in->n && !vmops_utf8_complete(&s->utf8)))
    {
        return VMOPS_REDACT_UTF8;
    }

    keep(s, in->p, n);
    look_at(s, in->p, n);

    in->p += n;
    in->n -= n;

    return VMOPS_REDACT_OK;
}


static vmops_redact_rc_t
string_special(vmops_redact_t *s, uint8_t c)
{
    if (c == '"') {
        string_end(s);
        return VMOPS_REDACT_OK;
    }

    if (c != '\\') {
        return VMOPS_REDACT_SYNTAX;         /* a control character */
    }

    keep(s, &c, 1);
    s->state = S_ESCAPE;

    return VMOPS_REDACT_OK;
}


static vmops_redact_rc_t
string_escape(vmops_redact_t *s, uint8_t c)
{
    uint8_t      decoded;
    const char  *at;

    static const char  letters[] = "\"\\/bfnrt";
    static const char  meant[] = "\"\\/\b\f\n\r\t";

    keep(s, &c, 1);

    if (c == 'u') {
        s->code = 0;
        s->digits = 0;
        s->state = S_HEX;
        return VMOPS_REDACT_OK;
    }

    at = memchr(letters, c, sizeof(letters) - 1);

    if (at == NULL) {
        return VMOPS_REDACT_SYNTAX;
    }

    decoded = (uint8_t) meant[at - letters];
    look_at(s, &decoded, 1);
    s->state = S_STRING;

    return VMOPS_REDACT_OK;
}


static vmops_redact_rc_t
string_hex(vmops_redact_t *s, uint8_t c)
{
    uint8_t  low, decoded;

    low = c | 0x20;

    if (vmops_redact_digit(c)) {
        s->code = (uint16_t) (s->code << 4 | (c - '0'));

    } else if (low >= 'a' && low <= 'f') {
        s->code = (uint16_t) (s->code << 4 | (low - 'a' + 10));

    } else {
        return VMOPS_REDACT_SYNTAX;
    }

    keep(s, &c, 1);

    if (++s->digits == 4) {
        decoded = s->code < 0x80 ? (uint8_t) s->code : 0x80;
        look_at(s, &decoded, 1);
        s->state = S_STRING;
    }

    return VMOPS_REDACT_OK;
}


vmops_redact_rc_t
vmops_redact_string(vmops_redact_t *s, vmops_span_t *in)
{
    uint8_t  c;

    c = *in->p;

    if (s->state == S_STRING && c >= 0x20 && c != '"' && c != '\\') {
        return string_run(s, in);
    }

    in->p++;
    in->n--;

    if (!vmops_utf8_complete(&s->utf8)) {
        return VMOPS_REDACT_UTF8;
    }

    return s->state == S_STRING ? string_special(s, c)
           : s->state == S_ESCAPE ? string_escape(s, c)
           : string_hex(s, c);
}
