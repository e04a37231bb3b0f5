/*
 * UTF-8: the automaton of RFC 3629 section 4.
 */

#include "vmops_utf8.h"
#include "vmops_banned.h"


/* the first byte: how many follow, and the range of the second byte */

static int
utf8_first(vmops_utf8_t *u, uint8_t c)
{
    u->lo = 0x80;
    u->hi = 0xbf;

    if (c < 0x80) {
        u->need = 0;

    } else if (c >= 0xc2 && c <= 0xdf) {
        u->need = 1;

    } else if (c >= 0xe0 && c <= 0xef) {
        u->need = 2;
        u->lo = c == 0xe0 ? 0xa0 : 0x80;        /* overlong */
        u->hi = c == 0xed ? 0x9f : 0xbf;        /* surrogates */

    } else if (c >= 0xf0 && c <= 0xf4) {
        u->need = 3;
        u->lo = c == 0xf0 ? 0x90 : 0x80;        /* overlong */
        u->hi = c == 0xf4 ? 0x8f : 0xbf;        /* above U+10FFFF */

    } else {
        return -1;
    }

    return 0;
}


int
vmops_utf8_feed(vmops_utf8_t *u, const uint8_t *p, size_t n)
{
    size_t    i;
    uint64_t  eight;

    for (i = 0; i < n; i++) {

        if (u->need == 0) {

            while (n - i > sizeof(eight)) {     /* mostly it is ASCII */
                memcpy(&eight, p + i, sizeof(eight));
                if ((eight & UINT64_C(0x8080808080808080)) != 0) {
                    break;
                }
                i += sizeof(eight);
            }

            if (p[i] >= 0x80 && utf8_first(u, p[i]) != 0) {
                return -1;
            }
            continue;
        }

        if (p[i] < u->lo || p[i] > u->hi) {
            return -1;
        }

        u->need--;
        u->lo = 0x80;
        u->hi = 0xbf;
    }

    return 0;
}


int
vmops_utf8_complete(const vmops_utf8_t *u)
{
    return u->need == 0;
}


int
vmops_utf8_valid(vmops_span_t s)
{
    vmops_utf8_t  u = { 0, 0, 0 };

    return vmops_utf8_feed(&u, s.p, s.n) == 0 && u.need == 0;
}


/* bytes of the character at the front of s; 0: there is none */

static size_t
utf8_char(vmops_span_t s)
{
    size_t        n;
    vmops_utf8_t  u = { 0, 0, 0 };

    for (n = 0; n < s.n && n < 4; n++) {
        if (vmops_utf8_feed(&u, s.p + n, 1) != 0) {
            return 0;
        }

        if (u.need == 0) {
            return n + 1;
        }
    }

    return 0;
}


size_t
vmops_utf8_clean(uint8_t *dst, size_t cap, vmops_span_t s)
{
    size_t       n, len;
    const char  *from;

    n = 0;

    while (s.n > 0) {
        len = utf8_char(s);
        from = (const char *) s.p;

        if (len == 0) {
            from = "\xef\xbf\xbd";

        } else if (len == 1 && (s.p[0] < 0x20 || s.p[0] == 0x7f)) {
            from = " ";

        } else if (len == 2 && s.p[0] == 0xc2 && s.p[1] < 0xa0) {
            from = "  ";            /* C1 controls */
        }

        if ((len ? len : 3) > cap - n) {
            break;
        }

        memcpy(dst + n, from, len ? len : 3);
        n += len ? len : 3;
        s.p += len ? len : 1;
        s.n -= len ? len : 1;
    }

    return n;
}


size_t
vmops_utf8_cut(vmops_span_t s, size_t max)
{
    size_t  n;

    if (s.n <= max) {
        return s.n;
    }

    for (n = max; n > 0 && (s.p[n] & 0xc0) == 0x80; n--) {
        /* step back to the first byte of a character */
    }

    return n;
}
