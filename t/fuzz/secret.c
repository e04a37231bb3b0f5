/*
 * Any bytes as the plaintext of a secret, for each kind: what is taken
 * encodes to the same bytes.  The first byte is the kind.
 */

#include <stdlib.h>

#include "vmops_envelope.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    size_t           padded, block;
    unsigned         kind;
    vmops_secret_t   s;
    static uint8_t   in[VMOPS_SECRET_PLAINTEXT_MAX + 1024];
    static uint8_t   out[VMOPS_SECRET_PLAINTEXT_MAX];

    if (n < 1 || n > VMOPS_SECRET_PLAINTEXT_MAX) {
        return 0;
    }

    kind = p[0] & 15;
    n--;
    memcpy(in, p + 1, n);

    /* ISO/IEC 7816-4, so that the fuzzer need not find it */
    block = n <= VMOPS_SECRET_PAD_SMALL_MAX ? VMOPS_SECRET_PAD
                                            : VMOPS_SECRET_PAD_LARGE;
    padded = (n / block + 1) * block;
    memset(in + n, 0, padded - n);
    in[n] = 0x80;

    if (vmops_secret_decode(&s, kind, vmops_span(in, padded))
        != VMOPS_ENV_OK)
    {
        return 0;
    }

    if (vmops_secret_encode(out, sizeof(out), &n, kind, &s) != VMOPS_ENV_OK
        || n != padded || memcmp(in, out, n) != 0)
    {
        abort();
    }

    return 0;
}
