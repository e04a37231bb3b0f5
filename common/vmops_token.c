/*
 * API tokens, session cookies, and the names they are stored under.
 */

#include <sodium.h>

#include "vmops_keys.h"
#include "vmops_banned.h"


static const char  base62[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";


/* 32 bytes as a number in base 62: 43 digits, most significant first */

static void
base62_bytes(char out[VMOPS_TOKEN_SECRET], const uint8_t bytes[32])
{
    size_t    i, digit;
    uint8_t   n[32];
    unsigned  rest;

    memcpy(n, bytes, sizeof(n));

    for (digit = VMOPS_TOKEN_SECRET; digit > 0; digit--) {
        rest = 0;

        for (i = 0; i < sizeof(n); i++) {
            rest = rest << 8 | n[i];
            n[i] = (uint8_t) (rest / 62);
            rest %= 62;
        }

        out[digit - 1] = base62[rest];
    }

    sodium_memzero(n, sizeof(n));
}


static void
base62_crc(char out[VMOPS_TOKEN_CRC], uint32_t crc)
{
    size_t  digit;

    for (digit = VMOPS_TOKEN_CRC; digit > 0; digit--) {
        out[digit - 1] = base62[crc % 62];
        crc /= 62;
    }
}


static int
is_base62(vmops_span_t s)
{
    size_t  i;

    for (i = 0; i < s.n; i++) {
        if (s.p[i] == '\0' || strchr(base62, s.p[i]) == NULL) {
            return 0;
        }
    }

    return 1;
}


int
vmops_token_make(char out[VMOPS_TOKEN_MAX + 1], vmops_span_t tenant,
    const uint8_t random[32])
{
    size_t  n;

    if (!vmops_span_is(tenant, "platform")
        && !vmops_pattern_match(VMOPS_P_TENANT, tenant))
    {
        return -1;
    }

    memcpy(out, "vmo_", 4);
    memcpy(out + 4, tenant.p, tenant.n);
    n = 4 + tenant.n;
    out[n++] = '_';

    base62_bytes(out + n, random);
    n += VMOPS_TOKEN_SECRET;

    base62_crc(out + n, vmops_crc32(vmops_span(out, n)));
    n += VMOPS_TOKEN_CRC;
    out[n] = '\0';

    return 0;
}


int
vmops_token_parse(vmops_token_t *t, vmops_span_t text)
{
    char    crc[VMOPS_TOKEN_CRC];
    size_t  tail;

    tail = 1 + VMOPS_TOKEN_SECRET + VMOPS_TOKEN_CRC;

    if (text.n < 4 + 1 + tail || text.n > VMOPS_TOKEN_MAX
        || memcmp(text.p, "vmo_", 4) != 0)
    {
        return -1;
    }

    t->tenant = vmops_span(text.p + 4, text.n - 4 - tail);
    t->platform = vmops_span_is(t->tenant, "platform");

    if (text.p[text.n - tail] != '_'
        || !is_base62(vmops_span(text.p + text.n - tail + 1, tail - 1))
        || (!t->platform && !vmops_pattern_match(VMOPS_P_TENANT, t->tenant)))
    {
        return -1;
    }

    text.n -= VMOPS_TOKEN_CRC;
    base62_crc(crc, vmops_crc32(text));

    return memcmp(crc, text.p + text.n, VMOPS_TOKEN_CRC) == 0 ? 0 : -1;
}


int
vmops_cookie_make(char out[VMOPS_COOKIE_MAX + 1], vmops_span_t tenant,
    const uint8_t random[32])
{
    if (!vmops_pattern_match(VMOPS_P_TENANT, tenant)) {
        return -1;
    }

    memcpy(out, tenant.p, tenant.n);
    out[tenant.n] = '.';
    base62_bytes(out + tenant.n + 1, random);
    out[tenant.n + 1 + VMOPS_TOKEN_SECRET] = '\0';

    return 0;
}


int
vmops_cookie_parse(vmops_span_t *tenant, vmops_span_t text)
{
    if (text.n < 2 + VMOPS_TOKEN_SECRET || text.n > VMOPS_COOKIE_MAX) {
        return -1;
    }

    *tenant = vmops_span(text.p, text.n - 1 - VMOPS_TOKEN_SECRET);

    return text.p[tenant->n] == '.'
           && vmops_pattern_match(VMOPS_P_TENANT, *tenant)
           && is_base62(vmops_span(text.p + tenant->n + 1,
                                   VMOPS_TOKEN_SECRET))
           ? 0 : -1;
}


void
vmops_lookup(uint8_t out[VMOPS_HASH], const uint8_t pepper[32],
    vmops_span_t text)
{
    crypto_auth_hmacsha256(out, text.p, text.n, pepper);
}


void
vmops_lookup_text(char out[VMOPS_LOOKUP_TEXT + 1], const uint8_t pepper[32],
    vmops_span_t text)
{
    uint8_t  mac[VMOPS_HASH];

    vmops_lookup(mac, pepper, text);
    vmops_b64u_encode(out, mac, sizeof(mac));
    out[VMOPS_LOOKUP_TEXT] = '\0';
}
