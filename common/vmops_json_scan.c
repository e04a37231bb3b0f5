/*
 * What yajl lets pass and we do not: bytes and escapes of a text that make
 * no UTF-8, U+0000, vertical tabs and form feeds, and a string without an end
 * behind the value.
 */

#include "vmops_json.h"
#include "vmops_json_parts.h"
#include "vmops_utf8.h"
#include "vmops_banned.h"


/* the four digits of \uXXXX; -1 leaves a wrong one to yajl */

static int32_t
hex4(vmops_span_t s, size_t at)
{
    size_t   i;
    int32_t  v;
    uint8_t  c;

    if (s.n < 4 || at > s.n - 4) {
        return -1;
    }

    v = 0;

    for (i = at; i < at + 4; i++) {
        c = s.p[i] | 0x20;

        if (s.p[i] >= '0' && s.p[i] <= '9') {
            v = v << 4 | (s.p[i] - '0');

        } else if (c >= 'a' && c <= 'f') {
            v = v << 4 | (c - 'a' + 10);

        } else {
            return -1;
        }
    }

    return v;
}


/* escapes inside strings; at points behind `\u`; *skip: bytes to go over */

static vmops_json_rc_t
scan_escape(vmops_span_t s, size_t at, size_t *skip)
{
    int32_t  first, second;

    first = hex4(s, at);
    *skip = 0;

    if (first == 0) {
        return VMOPS_JSON_NUL;
    }

    if (first < 0xd800 || first > 0xdfff) {
        return VMOPS_JSON_OK;
    }

    second = s.n - at >= 6 && s.p[at + 4] == '\\' && s.p[at + 5] == 'u'
             ? hex4(s, at + 6) : -1;

    if (first > 0xdbff || second < 0xdc00 || second > 0xdfff) {
        return VMOPS_JSON_UTF8;
    }

    *skip = 10;
    return VMOPS_JSON_OK;
}


vmops_json_rc_t
vmops_json_scan(vmops_span_t s)
{
    int              quoted;
    size_t           i, skip;
    vmops_json_rc_t  rc;

    if (s.n > 0 && memchr(s.p, 0, s.n) != NULL) {
        return VMOPS_JSON_NUL;
    }

    if (!vmops_utf8_valid(s)) {
        return VMOPS_JSON_UTF8;
    }

    quoted = 0;

    for (i = 0; i < s.n; i++) {

        if (s.p[i] == '"') {
            quoted = !quoted;

        } else if (s.p[i] == '\v' || s.p[i] == '\f') {
            /* white space for yajl, and nowhere allowed */
            return VMOPS_JSON_SYNTAX;

        } else if (quoted && s.p[i] == '\\' && ++i < s.n && s.p[i] == 'u') {
            rc = scan_escape(s, i + 1, &skip);
            if (rc != VMOPS_JSON_OK) {
                return rc;
            }
            i += skip;
        }
    }

    /* yajl does not see an unfinished string behind the value */
    return quoted ? VMOPS_JSON_SYNTAX : VMOPS_JSON_OK;
}
