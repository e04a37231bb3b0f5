/*
 * HTTP message signatures (RFC 9421) in the one form of docs/protocol.md.
 */

#include <sodium.h>

#include "vmops_httpsig.h"
#include "vmops_banned.h"


#define PARTS  "(\"@method\" \"@target-uri\" \"content-digest\")"

#define METHOD_MAX  16

#define BASE_MAX  (METHOD_MAX + VMOPS_TARGET_URI_MAX                          \
                   + VMOPS_HTTPSIG_DIGEST_TEXT + VMOPS_HTTPSIG_INPUT_MAX + 128)


void
vmops_httpsig_digest(char out[VMOPS_HTTPSIG_DIGEST_TEXT + 1],
    vmops_span_t body)
{
    uint8_t  hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, body.p, body.n);

    memcpy(out, "sha-256=:", 9);
    vmops_b64_encode(out + 9, hash, sizeof(hash));
    memcpy(out + VMOPS_HTTPSIG_DIGEST_TEXT - 1, ":", 2);
}


/* @signature-params, which is Signature-Input without its label */

static void
params(vmops_buf_t *b, const vmops_httpsig_t *h)
{
    char  nonce[VMOPS_B64U_LEN(16)], agent[VMOPS_UUID_TEXT + 1];

    if (h->created_s < 0 || !vmops_pattern_match(VMOPS_P_TENANT, h->tenant)) {
        b->overflow = 1;
        return;
    }

    vmops_b64u_encode(nonce, h->nonce, sizeof(h->nonce));
    vmops_uuid_format(agent, &h->agent);

    vmops_buf_str(b, PARTS ";created=");
    vmops_buf_dec(b, (uint64_t) h->created_s);
    vmops_buf_str(b, ";nonce=\"");
    vmops_buf_put(b, nonce, sizeof(nonce));
    vmops_buf_str(b, "\";keyid=\"");
    vmops_buf_span(b, h->tenant);
    vmops_buf_u8(b, '/');
    vmops_buf_str(b, agent);
    vmops_buf_str(b, "\";alg=\"ed25519\"");
}


/* the signature base (RFC 9421 section 2.5) */

static void
base(vmops_buf_t *b, const vmops_httpsig_t *h)
{
    if (h->method.n > METHOD_MAX || h->target_uri.n > VMOPS_TARGET_URI_MAX
        || h->digest.n != VMOPS_HTTPSIG_DIGEST_TEXT)
    {
        b->overflow = 1;
        return;
    }

    vmops_buf_str(b, "\"@method\": ");
    vmops_buf_span(b, h->method);
    vmops_buf_str(b, "\n\"@target-uri\": ");
    vmops_buf_span(b, h->target_uri);
    vmops_buf_str(b, "\n\"content-digest\": ");
    vmops_buf_span(b, h->digest);
    vmops_buf_str(b, "\n\"@signature-params\": ");
    params(b, h);
}


int
vmops_httpsig_sign(char input[VMOPS_HTTPSIG_INPUT_MAX + 1],
    char signature[VMOPS_HTTPSIG_SIG_TEXT + 1], vmops_httpsig_t *h,
    const uint8_t sk[64])
{
    uint8_t       bytes[BASE_MAX];
    vmops_buf_t   b;
    vmops_span_t  text;

    vmops_buf_init(&b, bytes, sizeof(bytes));
    base(&b, h);

    if (vmops_buf_done(&b, &text) != 0
        || crypto_sign_detached(h->sig, NULL, text.p, text.n, sk) != 0)
    {
        return -1;
    }

    vmops_buf_init(&b, input, VMOPS_HTTPSIG_INPUT_MAX);
    vmops_buf_str(&b, "sig1=");
    params(&b, h);

    if (vmops_buf_done(&b, &text) != 0) {
        return -1;
    }

    input[text.n] = '\0';

    memcpy(signature, "sig1=:", 6);
    vmops_b64_encode(signature + 6, h->sig, sizeof(h->sig));
    memcpy(signature + VMOPS_HTTPSIG_SIG_TEXT - 1, ":", 2);

    return 0;
}


/* literal text at the front of s */

static int
skip(vmops_span_t *s, const char *text)
{
    size_t  n;

    n = strlen(text);

    if (s->n < n || memcmp(s->p, text, n) != 0) {
        return -1;
    }

    *s = vmops_span(s->p + n, s->n - n);
    return 0;
}


/* what comes before the next `end`, which is skipped, too */

static int
until(vmops_span_t *s, char end, vmops_span_t *out)
{
    const uint8_t  *at;

    at = s->n > 0 ? memchr(s->p, end, s->n) : NULL;

    if (at == NULL) {
        return -1;
    }

    *out = vmops_span(s->p, (size_t) (at - s->p));
    *s = vmops_span(at + 1, s->n - out->n - 1);
    return 0;
}


static int
parse_input(vmops_httpsig_t *h, vmops_span_t s)
{
    uint64_t      created;
    vmops_span_t  digits, nonce, tenant, agent;

    if (s.n > VMOPS_HTTPSIG_INPUT_MAX
        || skip(&s, "sig1=" PARTS ";created=") != 0
        || until(&s, ';', &digits) != 0
        || skip(&s, "nonce=\"") != 0
        || until(&s, '"', &nonce) != 0
        || skip(&s, ";keyid=\"") != 0
        || until(&s, '/', &tenant) != 0
        || until(&s, '"', &agent) != 0
        || !vmops_span_is(s, ";alg=\"ed25519\""))
    {
        return -1;
    }

    /* created: at most 15 digits, a structured field's integer (RFC 8941) */

    if (vmops_dec_parse(digits, 999999999999999, &created) != 0
        || vmops_b64u_decode_exact(h->nonce, sizeof(h->nonce), nonce) != 0
        || !vmops_pattern_match(VMOPS_P_TENANT, tenant)
        || vmops_uuid_parse(&h->agent, agent) != 0)
    {
        return -1;
    }

    h->created_s = (int64_t) created;
    h->tenant = tenant;

    return 0;
}


vmops_httpsig_rc_t
vmops_httpsig_parse(vmops_httpsig_t *h, vmops_span_t input,
    vmops_span_t signature)
{
    size_t        len;
    vmops_span_t  text;

    if (parse_input(h, input) != 0
        || signature.n != VMOPS_HTTPSIG_SIG_TEXT
        || skip(&signature, "sig1=:") != 0
        || until(&signature, ':', &text) != 0
        || signature.n != 0
        || vmops_b64_decode(h->sig, sizeof(h->sig), &len, text) != 0
        || len != sizeof(h->sig))
    {
        return VMOPS_HTTPSIG_FORM;
    }

    return VMOPS_HTTPSIG_OK;
}


vmops_httpsig_rc_t
vmops_httpsig_verify(const vmops_httpsig_t *h, vmops_span_t body,
    int64_t now_s, const uint8_t pk[32])
{
    char          digest[VMOPS_HTTPSIG_DIGEST_TEXT + 1];
    int64_t       age;
    uint8_t       bytes[BASE_MAX];
    vmops_buf_t   b;
    vmops_span_t  text;

    age = now_s - h->created_s;

    if (age > VMOPS_HTTPSIG_WINDOW_S || age < -VMOPS_HTTPSIG_WINDOW_S) {
        return VMOPS_HTTPSIG_STALE;
    }

    vmops_httpsig_digest(digest, body);

    if (!vmops_span_is(h->digest, digest)) {
        return VMOPS_HTTPSIG_DIGEST;
    }

    vmops_buf_init(&b, bytes, sizeof(bytes));
    base(&b, h);

    if (vmops_buf_done(&b, &text) != 0) {
        return VMOPS_HTTPSIG_FORM;
    }

    return crypto_sign_verify_detached(h->sig, text.p, text.n, pk) == 0
           ? VMOPS_HTTPSIG_OK : VMOPS_HTTPSIG_SIGNATURE;
}
