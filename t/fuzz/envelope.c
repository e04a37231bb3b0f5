/*
 * Any plaintext, sealed and opened again: one that is authentic is taken if
 * and only if it can be decoded, one with a changed bit never, and what is
 * refused leaves nothing behind.  The first byte is the kind, the next two
 * name the bit to change (0: none); the rest is the plaintext before padding.
 */

#include <sodium.h>
#include <stdlib.h>

#include "vmops_envelope.h"


#define SEALED_MAX  (VMOPS_SECRET_PLAINTEXT_MAX + VMOPS_ENVELOPE_TAG)


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static size_t
pad(uint8_t padded[VMOPS_SECRET_PLAINTEXT_MAX], const uint8_t *p, size_t n)
{
    size_t  block = n <= VMOPS_SECRET_PAD_SMALL_MAX ? VMOPS_SECRET_PAD
                                                   : VMOPS_SECRET_PAD_LARGE;
    size_t  size = (n / block + 1) * block;

    memset(padded, 0, size);
    if (n > 0) {
        memcpy(padded, p, n);
    }
    padded[n] = 0x80;

    return size;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    size_t                  size, sealed_n, bit;
    uint8_t                 key[32] = { 1 };
    uint8_t                 nonce[VMOPS_ENVELOPE_NONCE] = { 2 };
    vmops_secret_t          s, decoded;
    vmops_envelope_rc_t     rc, wanted;
    vmops_envelope_head_t   head;
    static uint8_t          padded[VMOPS_SECRET_PLAINTEXT_MAX];
    static uint8_t          sealed[SEALED_MAX];
    static uint8_t          plain[VMOPS_SECRET_PLAINTEXT_MAX];

    if (n < 3 || n > VMOPS_SECRET_PLAINTEXT_MAX - VMOPS_SECRET_PAD_LARGE
        || sodium_init() < 0)
    {
        return 0;
    }

    memset(&head, 0, sizeof(head));
    head.kind = p[0] % VMOPS_KIND_MAX_;
    head.version = 1;
    head.aad_meta = vmops_span_str("{}");
    vmops_envelope_kid(head.kid, key);
    size = pad(padded, p + 3, n - 3);

    if (vmops_envelope_seal_nonce(sealed, sizeof(sealed), &sealed_n, &head,
                                  key, nonce, vmops_span(padded, size))
        != VMOPS_ENV_OK)
    {
        if (head.kind != 0) {
            abort();
        }
        return 0;
    }

    wanted = vmops_secret_decode(&decoded, head.kind,
                                 vmops_span(padded, size));

    bit = (size_t) (p[1] << 8 | p[2]) % (sealed_n * 8);
    if (bit != 0) {
        sealed[bit / 8] ^= (uint8_t) (1 << bit % 8);
        wanted = VMOPS_ENV_TAMPERED;
    }

    memset(plain, 0xaa, sizeof(plain));
    rc = vmops_envelope_open(&s, plain, sizeof(plain),
                             vmops_span_str(VMOPS_ENVELOPE_ALG), &head, key,
                             vmops_span(nonce, sizeof(nonce)),
                             vmops_span(sealed, sealed_n));

    if (rc != wanted
        || (rc == VMOPS_ENV_OK ? memcmp(plain, padded, size) != 0
                               : !sodium_is_zero(plain, size)))
    {
        abort();
    }

    return 0;
}
