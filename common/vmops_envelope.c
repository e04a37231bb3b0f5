/*
 * Secret envelope v1: keys, additional data, sealing and opening.
 */

#include <sodium.h>

#include "vmops_envelope.h"
#include "vmops_keys_parts.h"
#include "vmops_banned.h"


/* labels with `/` have no zero byte */

static const vmops_span_t  label_kid = VMOPS_SPAN("vmops/vault-key-id/v1");
static const vmops_span_t  label_subkey = VMOPS_SPAN("vmops/secret-subkey/v1");
static const vmops_span_t  label_meta = VMOPS_SPAN("vmops/meta/v1");


void
vmops_envelope_kid(uint8_t kid[32], const uint8_t vault_key[32])
{
    vmops_blake2b(kid, 32, vault_key, &label_kid, 1);
}


void
vmops_envelope_subkey(uint8_t subkey[32], const uint8_t vault_key[32],
    const uint8_t tenant16[16], const vmops_uuid_t *secret)
{
    vmops_span_t  parts[3] = {
        label_subkey, { tenant16, 16 }, { secret->b, 16 }
    };

    vmops_blake2b(subkey, 32, vault_key, parts, 3);
}


void
vmops_envelope_aad(uint8_t aad[VMOPS_ENVELOPE_AAD],
    const vmops_envelope_head_t *head)
{
    vmops_span_t  parts[2] = { label_meta, head->aad_meta };

    memset(aad, 0, VMOPS_ENVELOPE_AAD);
    memcpy(aad, "VMOPSEC1", 8);
    vmops_put_u16(aad + 8, 1);
    vmops_put_u16(aad + 10, head->kind);
    memcpy(aad + 16, head->tenant16, 16);
    memcpy(aad + 32, head->secret.b, 16);
    vmops_put_u64(aad + 48, head->version);
    vmops_put_u64(aad + 56, head->created_ms);
    memcpy(aad + 64, head->kid, 32);
    vmops_blake2b(aad + 96, 32, NULL, parts, 2);
}


void
vmops_envelope_floor(uint8_t out[32],
    const uint8_t nonce[VMOPS_ENVELOPE_NONCE], vmops_span_t ciphertext)
{
    vmops_span_t  parts[2] = { { nonce, VMOPS_ENVELOPE_NONCE }, ciphertext };

    vmops_blake2b(out, 32, NULL, parts, 2);
}


static int
key_is(const vmops_envelope_head_t *head, const uint8_t vault_key[32])
{
    uint8_t  kid[32];

    vmops_envelope_kid(kid, vault_key);

    return vmops_ct_eq(kid, head->kid, 32);
}


static int
head_is_valid(const vmops_envelope_head_t *head)
{
    return head->version >= 1 && vmops_kind_name(head->kind) != NULL
           && head->aad_meta.n <= VMOPS_AAD_META_MAX;
}


/* one of the lengths padding can give (docs/protocol.md) */

static int
padded_is_valid(size_t n)
{
    if (n == 0 || n > VMOPS_SECRET_PLAINTEXT_MAX) {
        return 0;
    }

    return n % (n <= VMOPS_SECRET_PAD_SMALL_MAX + VMOPS_SECRET_PAD
                ? VMOPS_SECRET_PAD : VMOPS_SECRET_PAD_LARGE)
           == 0;
}


vmops_envelope_rc_t
vmops_envelope_seal_nonce(uint8_t *out, size_t cap, size_t *n,
    const vmops_envelope_head_t *head, const uint8_t vault_key[32],
    const uint8_t nonce[VMOPS_ENVELOPE_NONCE], vmops_span_t padded)
{
    uint8_t             subkey[32], aad[VMOPS_ENVELOPE_AAD];
    unsigned long long  len;

    if (!head_is_valid(head)) {
        return VMOPS_ENV_MALFORMED;
    }

    if (!key_is(head, vault_key)) {
        return VMOPS_ENV_KEY;
    }

    if (!padded_is_valid(padded.n) || cap < padded.n + VMOPS_ENVELOPE_TAG) {
        return VMOPS_ENV_SIZE;
    }

    vmops_envelope_aad(aad, head);
    vmops_envelope_subkey(subkey, vault_key, head->tenant16, &head->secret);

    (void) crypto_aead_xchacha20poly1305_ietf_encrypt(out, &len, padded.p,
        padded.n, aad, sizeof(aad), NULL, nonce, subkey);

    sodium_memzero(subkey, sizeof(subkey));
    *n = (size_t) len;

    return VMOPS_ENV_OK;
}


vmops_envelope_rc_t
vmops_envelope_seal(uint8_t *out, size_t cap, size_t *n,
    uint8_t nonce[VMOPS_ENVELOPE_NONCE], const vmops_envelope_head_t *head,
    const uint8_t vault_key[32], vmops_span_t padded)
{
    randombytes_buf(nonce, VMOPS_ENVELOPE_NONCE);

    return vmops_envelope_seal_nonce(out, cap, n, head, vault_key, nonce,
                                     padded);
}


static vmops_envelope_rc_t
decrypt(uint8_t *plain, const vmops_envelope_head_t *head,
    const uint8_t vault_key[32], const uint8_t *nonce, vmops_span_t sealed)
{
    int      rc;
    uint8_t  subkey[32], aad[VMOPS_ENVELOPE_AAD];

    vmops_envelope_aad(aad, head);
    vmops_envelope_subkey(subkey, vault_key, head->tenant16, &head->secret);

    rc = crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL,
             sealed.p, sealed.n, aad, sizeof(aad), nonce, subkey);

    sodium_memzero(subkey, sizeof(subkey));

    return rc == 0 ? VMOPS_ENV_OK : VMOPS_ENV_TAMPERED;
}


vmops_envelope_rc_t
vmops_envelope_open(vmops_secret_t *s, uint8_t *plain, size_t cap,
    vmops_span_t alg, const vmops_envelope_head_t *head,
    const uint8_t vault_key[32], vmops_span_t nonce, vmops_span_t ciphertext)
{
    vmops_span_t         padded;
    vmops_envelope_rc_t  rc;

    memset(s, 0, sizeof(*s));
    sodium_memzero(plain, cap);

    if (!vmops_span_is(alg, VMOPS_ENVELOPE_ALG)) {
        return VMOPS_ENV_ALG;
    }

    if (!key_is(head, vault_key)) {
        return VMOPS_ENV_KEY;
    }

    if (!head_is_valid(head)) {
        return VMOPS_ENV_MALFORMED;
    }

    if (nonce.n != VMOPS_ENVELOPE_NONCE
        || ciphertext.n < VMOPS_ENVELOPE_TAG
        || !padded_is_valid(ciphertext.n - VMOPS_ENVELOPE_TAG)
        || cap < ciphertext.n - VMOPS_ENVELOPE_TAG)
    {
        return VMOPS_ENV_SIZE;
    }

    rc = decrypt(plain, head, vault_key, nonce.p, ciphertext);

    if (rc == VMOPS_ENV_OK) {
        padded = vmops_span(plain, ciphertext.n - VMOPS_ENVELOPE_TAG);
        rc = vmops_secret_decode(s, head->kind, padded);
    }

    if (rc != VMOPS_ENV_OK) {
        sodium_memzero(plain, cap);
        memset(s, 0, sizeof(*s));
    }

    return rc;
}
