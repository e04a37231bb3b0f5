/*
 * Names of tenants and keys, fingerprints, hashes, pairing codes.
 */

#include <sodium.h>

#include "vmops_keys.h"
#include "vmops_keys_parts.h"
#include "vmops_banned.h"


void
vmops_blake2b(uint8_t *out, size_t n, const uint8_t *key,
    const vmops_span_t *parts, size_t count)
{
    size_t                    i;
    crypto_generichash_state  st;

    crypto_generichash_init(&st, key, key != NULL ? 32 : 0, n);

    for (i = 0; i < count; i++) {
        crypto_generichash_update(&st, parts[i].p, parts[i].n);
    }

    crypto_generichash_final(&st, out, n);
    sodium_memzero(&st, sizeof(st));
}


void
vmops_hash(uint8_t out[VMOPS_HASH], vmops_span_t s)
{
    vmops_blake2b(out, VMOPS_HASH, NULL, &s, 1);
}


void
vmops_tenant16(uint8_t out[16], vmops_span_t tenant)
{
    vmops_span_t  parts[2] = { VMOPS_SPAN("vmops/tenant/v1"), tenant };

    vmops_blake2b(out, 16, NULL, parts, 2);
}


static void
key_text(char out[VMOPS_KEY_ID_TEXT + 1], const char *prefix,
    const uint8_t id[16])
{
    memcpy(out, prefix, 2);
    vmops_hex_encode(out + 2, id, 16);
    out[VMOPS_KEY_ID_TEXT] = '\0';
}


void
vmops_key_id(char out[VMOPS_KEY_ID_TEXT + 1], const uint8_t kid[32])
{
    key_text(out, "k1", kid);
}


void
vmops_command_key_id(char out[VMOPS_KEY_ID_TEXT + 1], const uint8_t pk[32])
{
    uint8_t       id[16];
    vmops_span_t  part;

    part = vmops_span(pk, 32);
    vmops_blake2b(id, sizeof(id), NULL, &part, 1);
    key_text(out, "c1", id);
}


void
vmops_secret_key_id(char out[VMOPS_KEY_ID_TEXT + 1], const char *prefix,
    const uint8_t key[32])
{
    uint8_t       id[16];
    vmops_span_t  part = VMOPS_SPAN("vmops/key-id/v1");

    vmops_blake2b(id, sizeof(id), key, &part, 1);
    key_text(out, prefix, id);
}


void
vmops_fingerprint(char out[VMOPS_FINGERPRINT_TEXT + 1],
    const uint8_t ed_pk[32], const uint8_t x_pk[32],
    const uint8_t command_pk[32])
{
    char          *p;
    size_t         i, digit;
    uint8_t        hash[VMOPS_HASH];
    uint32_t       group;
    vmops_span_t   parts[4] = {
        VMOPS_LABEL("vmops-fingerprint-v1"),
        { ed_pk, 32 }, { x_pk, 32 }, { command_pk, 32 }
    };

    vmops_blake2b(hash, sizeof(hash), NULL, parts, 4);
    p = out;

    for (i = 0; i < 6; i++) {
        group = vmops_get_u32(hash + 4 * i) % 100000;

        for (digit = 5; digit > 0; digit--) {
            p[digit - 1] = (char) ('0' + group % 10);
            group /= 10;
        }

        p += 5;
        *p++ = i < 5 ? ' ' : '\0';
    }
}


int
vmops_idem_hash(uint8_t out[VMOPS_HASH], const uint8_t tenant16[16],
    vmops_span_t subject, vmops_span_t key)
{
    uint8_t       len;
    vmops_span_t  parts[5] = {
        VMOPS_LABEL("vmops-idem-v1"), { tenant16, 16 }, { &len, 1 },
        subject, key
    };

    if (subject.n > 255) {
        return -1;
    }

    len = (uint8_t) subject.n;
    vmops_blake2b(out, VMOPS_HASH, NULL, parts, 5);

    return 0;
}


/* Crockford base32: no I, L, O, U */

static const char  crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";


void
vmops_pairing_code_make(char out[VMOPS_PAIRING_TEXT + 1],
    const uint8_t random[12])
{
    char    *p;
    size_t   i;

    p = out;

    for (i = 0; i < VMOPS_PAIRING_CODE; i++) {
        if (i == 4 || i == 8) {
            *p++ = '-';
        }

        *p++ = crockford[random[i] & 31];
    }

    *p = '\0';
}


static char
code_char(uint8_t c)
{
    if (c >= 'a' && c <= 'z') {
        c = (uint8_t) (c - 'a' + 'A');
    }

    if (c == 'O') {
        return '0';
    }

    if (c == 'I' || c == 'L') {
        return '1';
    }

    return c != '\0' && strchr(crockford, c) != NULL ? (char) c : '\0';
}


int
vmops_pairing_code_normalise(char out[VMOPS_PAIRING_CODE + 1],
    vmops_span_t typed)
{
    char    c;
    size_t  i, n;

    n = 0;

    for (i = 0; i < typed.n; i++) {
        if (typed.p[i] == '-' || typed.p[i] == ' ') {
            continue;
        }

        c = code_char(typed.p[i]);

        if (c == '\0' || n == VMOPS_PAIRING_CODE) {
            return -1;
        }

        out[n++] = c;
    }

    out[n] = '\0';

    return n == VMOPS_PAIRING_CODE ? 0 : -1;
}
