/*
 * SHA-1 (FIPS 180-4 section 6.1), one shot.
 */

#include "vmops_sha1.h"
#include "vmops_banned.h"


static uint32_t
rotl(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}


static void
block(uint32_t h[5], const uint8_t p[64])
{
    uint32_t  w[80], a, b, c, d, e, f, k, t;
    unsigned  i;

    for (i = 0; i < 16; i++) {
        w[i] = vmops_get_u32(p + 4 * i);
    }

    for ( ; i < 80; i++) {
        w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }

    a = h[0];
    b = h[1];
    c = h[2];
    d = h[3];
    e = h[4];

    for (i = 0; i < 80; i++) {
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;

        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;

        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;

        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }

        t = rotl(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotl(b, 30);
        b = a;
        a = t;
    }

    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}


void
vmops_sha1(uint8_t out[20], vmops_span_t s)
{
    size_t    i, n;
    uint8_t   tail[128];
    uint32_t  h[5] = {
        0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0
    };

    for (i = 0; s.n - i >= 64; i += 64) {
        block(h, s.p + i);
    }

    memset(tail, 0, sizeof(tail));

    if (s.n > i) {
        memcpy(tail, s.p + i, s.n - i);
    }

    tail[s.n - i] = 0x80;
    n = s.n - i < 56 ? 64 : 128;
    vmops_put_u64(tail + n - 8, (uint64_t) s.n * 8);

    block(h, tail);

    if (n == 128) {
        block(h, tail + 64);
    }

    for (i = 0; i < 5; i++) {
        vmops_put_u32(out + 4 * i, h[i]);
    }
}
