/*
 * Spans, bounded buffers, integers, base64, hex, decimal, CRC-32.
 */

#include <sodium.h>

#include "vmops_bytes.h"
#include "vmops_banned.h"


int
vmops_span_eq(vmops_span_t a, vmops_span_t b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}


int
vmops_span_is(vmops_span_t a, const char *s)
{
    return vmops_span_eq(a, vmops_span_str(s));
}


int
vmops_ct_eq(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}


void
vmops_buf_init(vmops_buf_t *b, void *p, size_t cap)
{
    b->p = p;
    b->n = 0;
    b->cap = cap;
    b->overflow = 0;
}


void
vmops_buf_put(vmops_buf_t *b, const void *p, size_t n)
{
    if (b->overflow || n > b->cap - b->n) {
        b->overflow = 1;
        return;
    }

    if (n != 0) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    }
}


void
vmops_buf_span(vmops_buf_t *b, vmops_span_t s)
{
    vmops_buf_put(b, s.p, s.n);
}


void
vmops_buf_str(vmops_buf_t *b, const char *s)
{
    vmops_buf_put(b, s, strlen(s));
}


void
vmops_buf_u8(vmops_buf_t *b, uint8_t v)
{
    vmops_buf_put(b, &v, 1);
}


void
vmops_buf_u16(vmops_buf_t *b, uint16_t v)
{
    uint8_t  be[2];

    vmops_put_u16(be, v);
    vmops_buf_put(b, be, sizeof(be));
}


void
vmops_buf_u32(vmops_buf_t *b, uint32_t v)
{
    uint8_t  be[4];

    vmops_put_u32(be, v);
    vmops_buf_put(b, be, sizeof(be));
}


void
vmops_buf_u64(vmops_buf_t *b, uint64_t v)
{
    uint8_t  be[8];

    vmops_put_u64(be, v);
    vmops_buf_put(b, be, sizeof(be));
}


void
vmops_buf_dec(vmops_buf_t *b, uint64_t v)
{
    char    digits[20];
    size_t  i;

    i = sizeof(digits);

    do {
        digits[--i] = (char) ('0' + v % 10);
        v /= 10;
    } while (v != 0);

    vmops_buf_put(b, digits + i, sizeof(digits) - i);
}


int
vmops_buf_done(const vmops_buf_t *b, vmops_span_t *out)
{
    if (b->overflow) {
        return -1;
    }

    *out = vmops_span(b->p, b->n);
    return 0;
}


void
vmops_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t) (v >> 8);
    p[1] = (uint8_t) v;
}


void
vmops_put_u32(uint8_t *p, uint32_t v)
{
    vmops_put_u16(p, (uint16_t) (v >> 16));
    vmops_put_u16(p + 2, (uint16_t) v);
}


void
vmops_put_u64(uint8_t *p, uint64_t v)
{
    vmops_put_u32(p, (uint32_t) (v >> 32));
    vmops_put_u32(p + 4, (uint32_t) v);
}


uint16_t
vmops_get_u16(const uint8_t *p)
{
    return (uint16_t) (p[0] << 8 | p[1]);
}


uint32_t
vmops_get_u32(const uint8_t *p)
{
    return (uint32_t) vmops_get_u16(p) << 16 | vmops_get_u16(p + 2);
}


uint64_t
vmops_get_u64(const uint8_t *p)
{
    return (uint64_t) vmops_get_u32(p) << 32 | vmops_get_u32(p + 4);
}


static const char  base64_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char  base64_std[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";


static size_t
base64_encode(char *dst, const uint8_t *s, size_t n, const char *alphabet)
{
    char      *d;
    size_t     i;
    uint32_t   v;

    d = dst;

    for (i = 0; i + 3 <= n; i += 3) {
        v = (uint32_t) s[i] << 16 | (uint32_t) s[i + 1] << 8 | s[i + 2];
        *d++ = alphabet[v >> 18];
        *d++ = alphabet[v >> 12 & 63];
        *d++ = alphabet[v >> 6 & 63];
        *d++ = alphabet[v & 63];
    }

    if (n - i == 1) {
        *d++ = alphabet[s[i] >> 2];
        *d++ = alphabet[(s[i] & 3) << 4];

    } else if (n - i == 2) {
        *d++ = alphabet[s[i] >> 2];
        *d++ = alphabet[(s[i] & 3) << 4 | s[i + 1] >> 4];
        *d++ = alphabet[(s[i + 1] & 15) << 2];
    }

    return (size_t) (d - dst);
}


/* from '+' to 'z', of both alphabets: no processor predicts branches on it */

static const int8_t  base64_values[] = {
    62, -1, 62, -1, 63,                                         /* + , - . / */
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61,
    -1, -1, -1, -1, -1, -1, -1,                                 /* : ... @ */
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    -1, -1, -1, -1, 63, -1,                                     /* [ ... ` */
    26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
    39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51
};


static int
base64_value(uint8_t c, const char *alphabet)
{
    int  v;

    if (c < '+' || c > 'z') {
        return -1;
    }

    v = base64_values[c - '+'];

    return v < 62 || (uint8_t) alphabet[v] == c ? v : -1;
}


/* unpadded text; in place is fine: output never overtakes input */

static int
base64_decode(uint8_t *dst, size_t cap, size_t *len, vmops_span_t s,
    const char *alphabet)
{
    int       v, w, x, y;
    size_t    i, n, bits;
    uint32_t  acc;

    if (s.n % 4 == 1 || s.n / 4 * 3 + (s.n % 4 ? s.n % 4 - 1 : 0) > cap) {
        return -1;
    }

    n = 0;

    for (i = 0; i + 4 <= s.n; i += 4) {
        v = base64_value(s.p[i], alphabet);
        w = base64_value(s.p[i + 1], alphabet);
        x = base64_value(s.p[i + 2], alphabet);
        y = base64_value(s.p[i + 3], alphabet);

        if ((v | w | x | y) < 0) {
            return -1;
        }

        dst[n++] = (uint8_t) (v << 2 | w >> 4);
        dst[n++] = (uint8_t) (w << 4 | x >> 2);
        dst[n++] = (uint8_t) (x << 6 | y);
    }

    acc = 0;
    bits = 0;

    for ( /* void */ ; i < s.n; i++) {
        v = base64_value(s.p[i], alphabet);
        if (v < 0) {
            return -1;
        }

        acc = (acc << 6 | (uint32_t) v) & 0xffff;
        bits += 6;

        if (bits >= 8) {
            bits -= 8;
            dst[n++] = (uint8_t) (acc >> bits);
        }
    }

    if ((acc & ((1u << bits) - 1)) != 0) {
        return -1;
    }

    *len = n;
    return 0;
}


size_t
vmops_b64u_encode(char *dst, const void *src, size_t n)
{
    return base64_encode(dst, src, n, base64_url);
}


int
vmops_b64u_decode(uint8_t *dst, size_t cap, size_t *len, vmops_span_t text)
{
    return base64_decode(dst, cap, len, text, base64_url);
}


int
vmops_b64u_decode_exact(uint8_t *dst, size_t n, vmops_span_t text)
{
    size_t  len;

    if (text.n != VMOPS_B64U_LEN(n)) {
        return -1;
    }

    return base64_decode(dst, n, &len, text, base64_url);
}


size_t
vmops_b64_encode(char *dst, const void *src, size_t n)
{
    size_t  len;

    len = base64_encode(dst, src, n, base64_std);

    while (len % 4 != 0) {
        dst[len++] = '=';
    }

    return len;
}


int
vmops_b64_decode(uint8_t *dst, size_t cap, size_t *len, vmops_span_t text)
{
    size_t  pad;

    if (text.n % 4 != 0) {
        return -1;
    }

    for (pad = 0; pad < 2 && text.n > 0; pad++) {
        if (text.p[text.n - 1] != '=') {
            break;
        }
        text.n--;
    }

    return base64_decode(dst, cap, len, text, base64_std);
}


void
vmops_hex_encode(char *dst, const void *src, size_t n)
{
    size_t             i;
    const uint8_t     *s;
    static const char  digits[] = "0123456789abcdef";

    s = src;

    for (i = 0; i < n; i++) {
        dst[2 * i] = digits[s[i] >> 4];
        dst[2 * i + 1] = digits[s[i] & 15];
    }
}


static int
hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}


int
vmops_hex_decode(uint8_t *dst, size_t n, vmops_span_t text)
{
    int     hi, lo;
    size_t  i;

    if (text.n != 2 * n) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        hi = hex_value(text.p[2 * i]);
        lo = hex_value(text.p[2 * i + 1]);

        if (hi < 0 || lo < 0) {
            return -1;
        }

        dst[i] = (uint8_t) (hi << 4 | lo);
    }

    return 0;
}


int
vmops_dec_parse(vmops_span_t text, uint64_t max, uint64_t *out)
{
    size_t    i;
    uint64_t  v, digit;

    if (text.n == 0 || (text.n > 1 && text.p[0] == '0')) {
        return -1;
    }

    v = 0;

    for (i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return -1;
        }

        digit = (uint64_t) (text.p[i] - '0');

        if (v > (UINT64_MAX - digit) / 10) {
            return -1;
        }

        v = v * 10 + digit;
    }

    if (v > max) {
        return -1;
    }

    *out = v;
    return 0;
}


uint32_t
vmops_crc32(vmops_span_t s)
{
    size_t    i;
    uint32_t  crc;
    unsigned  bit;

    crc = 0xffffffff;

    for (i = 0; i < s.n; i++) {
        crc ^= s.p[i];

        for (bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0xedb88320 & (0 - (crc & 1)));
        }
    }

    return ~crc;
}
