/*
 * Any bytes as the two headers of an HTTP message signature, with a line feed
 * between them: what is taken is, byte for byte, what an agent would have
 * sent for it, and such a signature holds.
 */

#include <sodium.h>
#include <stdlib.h>

#include "vmops_httpsig.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static void
sign_again(vmops_httpsig_t *h, vmops_span_t input)
{
    char           made[VMOPS_HTTPSIG_INPUT_MAX + 1];
    char           sig[VMOPS_HTTPSIG_SIG_TEXT + 1];
    char           digest[VMOPS_HTTPSIG_DIGEST_TEXT + 1];
    uint8_t        pk[32], sk[64];
    vmops_span_t   body = vmops_span_str("{}");
    const uint8_t  seed[32] = { 1 };

    crypto_sign_seed_keypair(pk, sk, seed);
    vmops_httpsig_digest(digest, body);

    h->method = vmops_span_str("POST");
    h->target_uri = vmops_span_str("https://host.example/api/v1/agents");
    h->digest = vmops_span_str(digest);

    if (vmops_httpsig_verify(h, body, h->created_s, pk) == VMOPS_HTTPSIG_OK
        || vmops_httpsig_sign(made, sig, h, sk) != 0
        || !vmops_span_is(input, made)
        || vmops_httpsig_parse(h, vmops_span_str(made), vmops_span_str(sig))
           != VMOPS_HTTPSIG_OK
        || vmops_httpsig_verify(h, body, h->created_s, pk)
           != VMOPS_HTTPSIG_OK)
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    vmops_span_t     input, signature;
    const uint8_t   *cut;
    vmops_httpsig_t  h;

    cut = n > 0 ? memchr(p, '\n', n) : NULL;
    if (cut == NULL) {
        return 0;
    }

    input = vmops_span(p, (size_t) (cut - p));
    signature = vmops_span(cut + 1, n - input.n - 1);

    if (vmops_httpsig_parse(&h, input, signature) == VMOPS_HTTPSIG_OK) {
        sign_again(&h, input);
    }

    return 0;
}
