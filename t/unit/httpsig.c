/*
 * HTTP message signatures: one form, byte for byte; everything else is
 * refused, and each part is covered.
 */

#include "unit.h"

#include <sodium.h>

#include "vmops_httpsig.h"


static const vmops_json_t  *v;
static uint8_t              sk[64], pk[32];

static const vmops_span_t   body = VMOPS_SPAN("{\"version\":\"1\"}");
static const vmops_span_t   uri =
    VMOPS_SPAN("https://vmops.example/api/v1/agents/heartbeat");

#define NOW  1767225600


static int
setup(void **state UNUSED)
{
    uint8_t  seed[32];

    assert_int_not_equal(sodium_init(), -1);
    v = vectors("t/vectors/keys-v1.json");
    hex_of(seed, 32, v, "agent_seed");
    crypto_sign_seed_keypair(pk, sk, seed);
    return 0;
}


static vmops_httpsig_t
request(void)
{
    vmops_httpsig_t  h;

    memset(&h, 0, sizeof(h));
    h.method = vmops_span_str("POST");
    h.target_uri = uri;
    h.digest = text_of(v, "httpsig_digest");
    h.tenant = vmops_span_str("acme");
    hex_of(h.agent.b, 16, v, "agent");
    h.created_s = NOW;
    fill(h.nonce, 16, 0x30);

    return h;
}


static void
the_vector(void **state UNUSED)
{
    char             digest[VMOPS_HTTPSIG_DIGEST_TEXT + 1];
    char             input[VMOPS_HTTPSIG_INPUT_MAX + 1];
    char             sig[VMOPS_HTTPSIG_SIG_TEXT + 1];
    vmops_httpsig_t  h, got;

    vmops_httpsig_digest(digest, body);
    assert_span(text_of(v, "httpsig_digest"), digest);

    h = request();
    assert_int_equal(vmops_httpsig_sign(input, sig, &h, sk), 0);
    assert_span(text_of(v, "httpsig_input"), input);
    assert_span(text_of(v, "httpsig_signature"), sig);

    assert_int_equal(vmops_httpsig_parse(&got, vmops_span_str(input),
                                         vmops_span_str(sig)),
                     VMOPS_HTTPSIG_OK);
    assert_span(got.tenant, "acme");
    assert_memory_equal(got.agent.b, h.agent.b, 16);
    assert_memory_equal(got.nonce, h.nonce, 16);
    assert_int_equal(got.created_s, NOW);

    got.method = h.method;
    got.target_uri = h.target_uri;
    got.digest = h.digest;
    assert_int_equal(vmops_httpsig_verify(&got, body, NOW, pk),
                     VMOPS_HTTPSIG_OK);
}


static vmops_httpsig_t
signed_request(void)
{
    char             input[VMOPS_HTTPSIG_INPUT_MAX + 1];
    char             sig[VMOPS_HTTPSIG_SIG_TEXT + 1];
    vmops_httpsig_t  h;

    h = request();
    assert_int_equal(vmops_httpsig_sign(input, sig, &h, sk), 0);
    return h;
}


static void
each_part_is_covered(void **state UNUSED)
{
    size_t           i;
    uint8_t          other[32] = { 9 };
    vmops_httpsig_t  h;

    static const struct {
        int64_t             now;
        vmops_httpsig_rc_t  rc;
    } clock[] = {
        { NOW + 300, VMOPS_HTTPSIG_OK }, { NOW - 300, VMOPS_HTTPSIG_OK },
        { NOW + 301, VMOPS_HTTPSIG_STALE }, { NOW - 301, VMOPS_HTTPSIG_STALE },
        { 0, VMOPS_HTTPSIG_STALE }, { INT64_MAX, VMOPS_HTTPSIG_STALE }
    };

    h = signed_request();

    for (i = 0; i < COUNT(clock); i++) {
        assert_int_equal(vmops_httpsig_verify(&h, body, clock[i].now, pk),
                         clock[i].rc);
    }

    assert_int_equal(vmops_httpsig_verify(&h, vmops_span_str("{}"), NOW, pk),
                     VMOPS_HTTPSIG_DIGEST);
    assert_int_equal(vmops_httpsig_verify(&h, body, NOW, other),
                     VMOPS_HTTPSIG_SIGNATURE);

    for (i = 0; i < 7; i++) {
        h = signed_request();
        switch (i) {
        case 0: h.method = vmops_span_str("PUT"); break;
        case 1: h.target_uri = vmops_span(uri.p, uri.n - 1); break;
        case 2: h.tenant = vmops_span_str("acme2"); break;
        case 3: h.agent.b[0] ^= 1; break;
        case 4: h.created_s++; break;
        case 5: h.nonce[15] ^= 1; break;
        default: h.sig[0] ^= 1;
        }
        assert_int_equal(vmops_httpsig_verify(&h, body, NOW, pk),
                         VMOPS_HTTPSIG_SIGNATURE);
    }

    /* the header's digest is the one signed: no other algorithm beside it */
    h = signed_request();
    h.digest = vmops_span_str("sha-512=:AA==:, sha-256=:AA==:");
    assert_int_equal(vmops_httpsig_verify(&h, body, NOW, pk),
                     VMOPS_HTTPSIG_DIGEST);
}


static void
one_form_only(void **state UNUSED)
{
    size_t           i;
    vmops_span_t     input, sig;
    vmops_httpsig_t  h;

#define PARTS  "sig1=(\"@method\" \"@target-uri\" \"content-digest\")"
#define NONCE  "nonce=\"MDEyMzQ1Njc4OTo7PD0-Pw\""
#define KEYID  "keyid=\"acme/0190a2b3-c4d5-7e6f-8a9b-abcdef012345\""
#define ALG    "alg=\"ed25519\""

    static const struct {
        const char  *input;
        int          ok;
    } cases[] = {
        { PARTS ";created=1767225600;" NONCE ";" KEYID ";" ALG, 1 },
        { PARTS ";created=0;" NONCE ";" KEYID ";" ALG, 1 },
        { "", 0 },
        { PARTS ";created=1767225600;" NONCE ";" KEYID ";" ALG " ", 0 },
        { " " PARTS ";created=1767225600;" NONCE ";" KEYID ";" ALG, 0 },
        { PARTS ";created=1767225600;" NONCE ";" KEYID ";" ALG ", sig2=()",
          0 },
        { PARTS ";created=1767225600;" NONCE ";" KEYID, 0 },
        { PARTS ";" NONCE ";created=1767225600;" KEYID ";" ALG, 0 },
        { PARTS ";created=01767225600;" NONCE ";" KEYID ";" ALG, 0 },
        { PARTS ";created=-1;" NONCE ";" KEYID ";" ALG, 0 },
        { PARTS ";created=1767225600.0;" NONCE ";" KEYID ";" ALG, 0 },
        { PARTS ";created=9999999999999999;" NONCE ";" KEYID ";" ALG, 0 },
        { PARTS ";created=1767225600;expires=1;" NONCE ";" KEYID ";" ALG,
          0 },
        { PARTS ";created=1767225600;nonce=\"AA\";" KEYID ";" ALG, 0 },
        { PARTS ";created=1767225600;nonce=\"\";" KEYID ";" ALG, 0 },
        { PARTS ";created=1767225600;" NONCE ";keyid=\"acme\";" ALG, 0 },
        { PARTS ";created=1767225600;" NONCE
          ";keyid=\"platform/0190a2b3-c4d5-7e6f-8a9b-abcdef012345\";" ALG,
          0 },
        { PARTS ";created=1767225600;" NONCE
          ";keyid=\"acme/0190A2B3-c4d5-7e6f-8a9b-abcdef012345\";" ALG, 0 },
        { PARTS ";created=1767225600;" NONCE ";" KEYID ";alg=\"rsa\"", 0 },
        { "sig1=(\"@method\" \"@target-uri\");created=1767225600;" NONCE ";"
          KEYID ";" ALG, 0 },
        { "sig2=(\"@method\" \"@target-uri\" \"content-digest\");"
          "created=1767225600;" NONCE ";" KEYID ";" ALG, 0 }
    };

    sig = text_of(v, "httpsig_signature");

    for (i = 0; i < COUNT(cases); i++) {
        if (vmops_httpsig_parse(&h, vmops_span_str(cases[i].input), sig)
            != (cases[i].ok ? VMOPS_HTTPSIG_OK : VMOPS_HTTPSIG_FORM))
        {
            fail_msg("%s", cases[i].input);
        }
    }

    /* every cut of either header */
    input = text_of(v, "httpsig_input");
    for (i = 0; i < input.n; i++) {
        assert_int_equal(vmops_httpsig_parse(&h, vmops_span(input.p, i), sig),
                         VMOPS_HTTPSIG_FORM);
    }
    for (i = 0; i < sig.n; i++) {
        assert_int_equal(vmops_httpsig_parse(&h, input,
                                             vmops_span(sig.p, i)),
                         VMOPS_HTTPSIG_FORM);
    }
}


static void
limits(void **state UNUSED)
{
    char             input[VMOPS_HTTPSIG_INPUT_MAX + 1];
    char             sig[VMOPS_HTTPSIG_SIG_TEXT + 1];
    static char      far_uri[VMOPS_TARGET_URI_MAX + 1];
    vmops_httpsig_t  h;

    memset(far_uri, 'u', sizeof(far_uri));

    h = request();
    h.tenant = vmops_span_str("a23456789-123456789-123456789-12");
    h.created_s = 999999999999999;
    h.target_uri = vmops_span(far_uri, VMOPS_TARGET_URI_MAX);
    assert_int_equal(vmops_httpsig_sign(input, sig, &h, sk), 0);
    h.target_uri = vmops_span(far_uri, VMOPS_TARGET_URI_MAX + 1);
    assert_int_equal(vmops_httpsig_sign(input, sig, &h, sk), -1);

    h = request();
    h.tenant = vmops_span_str("Acme");
    assert_int_equal(vmops_httpsig_sign(input, sig, &h, sk), -1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(the_vector),
        cmocka_unit_test(each_part_is_covered),
        cmocka_unit_test(one_form_only),
        cmocka_unit_test(limits)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, NULL);
}
