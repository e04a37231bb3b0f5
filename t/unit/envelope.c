/*
 * Secret envelope v1: the vectors seal and open to the byte, and nothing that
 * differs in a bit does.
 */

#include "unit.h"

#include <sodium.h>

#include "vmops_envelope.h"
#include "vmops_keys.h"


typedef struct {
    vmops_envelope_head_t  head;
    uint8_t                vault_key[32];
    uint8_t                subkey[32];
    uint8_t                aad[VMOPS_ENVELOPE_AAD];
    uint8_t                floor[32];
    uint8_t                nonce[24];
    uint8_t                unpadded[VMOPS_SECRET_PLAINTEXT_MAX];
    size_t                 unpadded_n;
    size_t                 padded_n;
    uint8_t                sealed[VMOPS_SECRET_CIPHERTEXT_MAX];
    size_t                 sealed_n;
} vector_t;


static const vmops_json_t  *all;
static vector_t             vec;
static uint8_t              plain[VMOPS_SECRET_PLAINTEXT_MAX];
static uint8_t              out[VMOPS_SECRET_CIPHERTEXT_MAX];

static const vmops_span_t   alg = VMOPS_SPAN(VMOPS_ENVELOPE_ALG);


static int64_t
int_of(const vmops_json_t *node, const char *name)
{
    int64_t  i;

    assert_int_equal(vmops_json_int(vmops_json_get(node, name), &i), 0);
    return i;
}


static void
load(const vmops_json_t *j)
{
    memset(&vec, 0, sizeof(vec));

    hex_of(vec.head.tenant16, 16, j, "tenant16");
    hex_of(vec.head.secret.b, 16, j, "secret_id");
    hex_of(vec.head.kid, 32, j, "kid");
    vec.head.kind = (uint16_t) int_of(j, "kind");
    vec.head.version = (uint64_t) int_of(j, "version");
    vec.head.created_ms = (uint64_t) int_of(j, "created_ms");
    vec.head.aad_meta = text_of(j, "aad_meta");

    hex_of(vec.vault_key, 32, j, "vault_key");
    hex_of(vec.subkey, 32, j, "subkey");
    hex_of(vec.aad, sizeof(vec.aad), j, "aad");
    hex_of(vec.floor, 32, j, "floor_hash");
    hex_of(vec.nonce, 24, j, "nonce");
    vec.unpadded_n = hex_of(vec.unpadded, sizeof(vec.unpadded), j,
                            "plaintext_unpadded").n;
    vec.padded_n = (size_t) int_of(j, "padded_length");
    vec.sealed_n = hex_of(vec.sealed, sizeof(vec.sealed), j,
                          "ciphertext").n;
}


static vmops_envelope_rc_t
open_with(const vmops_envelope_head_t *head, const uint8_t *key,
    const uint8_t *nonce, const uint8_t *sealed, size_t n)
{
    vmops_secret_t  s;

    return vmops_envelope_open(&s, plain, sizeof(plain), alg, head, key,
                               vmops_span(nonce, 24), vmops_span(sealed, n));
}


static void
vectors_to_the_byte(void **state UNUSED)
{
    size_t               n, seen;
    uint8_t              got[VMOPS_ENVELOPE_AAD];
    vmops_secret_t       s;
    const vmops_json_t  *j;

    seen = 0;

    for (j = vmops_json_get(all, "vectors")->child; j; j = j->next, seen++) {
        load(j);

        vmops_tenant16(got, text_of(j, "tenant"));
        assert_memory_equal(got, vec.head.tenant16, 16);
        vmops_envelope_kid(got, vec.vault_key);
        assert_memory_equal(got, vec.head.kid, 32);
        vmops_envelope_subkey(got, vec.vault_key, vec.head.tenant16,
                              &vec.head.secret);
        assert_memory_equal(got, vec.subkey, 32);
        vmops_envelope_aad(got, &vec.head);
        assert_memory_equal(got, vec.aad, sizeof(vec.aad));
        vmops_envelope_floor(got, vec.nonce,
                             vmops_span(vec.sealed, vec.sealed_n));
        assert_memory_equal(got, vec.floor, 32);

        /* open, then encode and seal what came out */
        assert_int_equal(vmops_envelope_open(&s, plain, sizeof(plain), alg,
                             &vec.head, vec.vault_key,
                             vmops_span(vec.nonce, 24),
                             vmops_span(vec.sealed, vec.sealed_n)),
                         VMOPS_ENV_OK);
        assert_memory_equal(plain, vec.unpadded, vec.unpadded_n);
        assert_int_equal(vec.sealed_n, vec.padded_n + 16);

        assert_int_equal(vmops_secret_encode(out, sizeof(out), &n,
                             vec.head.kind, &s), VMOPS_ENV_OK);
        assert_int_equal(n, vec.padded_n);
        assert_memory_equal(out, plain, n);

        assert_int_equal(vmops_envelope_seal_nonce(out, sizeof(out), &n,
                             &vec.head, vec.vault_key, vec.nonce,
                             vmops_span(plain, vec.padded_n)), VMOPS_ENV_OK);
        assert_int_equal(n, vec.sealed_n);
        assert_memory_equal(out, vec.sealed, n);
    }

    assert_int_equal(seen, 4);
}


static void
fields_of_the_first(void **state UNUSED)
{
    vmops_secret_t  s;

    load(vmops_json_get(all, "vectors")->child);
    assert_int_equal(vmops_envelope_open(&s, plain, sizeof(plain), alg,
                         &vec.head, vec.vault_key, vmops_span(vec.nonce, 24),
                         vmops_span(vec.sealed, vec.sealed_n)), VMOPS_ENV_OK);

    assert_span(s.user, "bot@pve!agent");
    assert_span(s.secret, "11111111-2222-3333-4444-555555555555");
    assert_span(s.host, "pve1.lan");
    assert_int_equal(s.port, 8006);
    assert_int_equal(s.tls_pin.n, 32);
    assert_null(s.via.p);
    assert_true(s.has_classes);
    assert_int_equal(s.classes, 7);
    assert_false(s.has_not_after);

    assert_true(vmops_secret_allows_class(&s, VMOPS_CLASS_POWER));
    assert_false(vmops_secret_allows_class(&s, VMOPS_CLASS_DELETE));
    assert_true(vmops_secret_allows_vmid(&s, 100));
    assert_true(vmops_secret_allows_time(&s, UINT64_MAX));
}


/* every bit that goes in, turned: none opens, and nothing is left behind */

static void
mutations(void **state UNUSED)
{
    size_t                 i, bit, tried, accepted, left;
    uint8_t                nonce[24], key[32];
    vmops_envelope_head_t  head;
    const vmops_json_t    *j;

    struct {
        void    *p;
        size_t   n;
    } parts[7];

    tried = accepted = left = 0;

    for (j = vmops_json_get(all, "vectors")->child; j; j = j->next) {
        load(j);
        assert_int_equal(open_with(&vec.head, vec.vault_key, vec.nonce,
                                   vec.sealed, vec.sealed_n), VMOPS_ENV_OK);

        for (i = 0; i < vec.sealed_n; i++) {
            for (bit = 0; bit < 8; bit += 1 + (i >= 300) * 7) {
                vec.sealed[i] ^= (uint8_t) (1u << bit);
                accepted += open_with(&vec.head, vec.vault_key, vec.nonce,
                                      vec.sealed, vec.sealed_n)
                            == VMOPS_ENV_OK;
                left += !sodium_is_zero(plain, sizeof(plain));
                vec.sealed[i] ^= (uint8_t) (1u << bit);
                tried++;
            }
        }

        parts[0].p = head.tenant16;     parts[0].n = 16;
        parts[1].p = head.secret.b;     parts[1].n = 16;
        parts[2].p = &head.kind;        parts[2].n = 2;
        parts[3].p = &head.version;     parts[3].n = 8;
        parts[4].p = &head.created_ms;  parts[4].n = 8;
        parts[5].p = head.kid;          parts[5].n = 32;
        parts[6].p = nonce;             parts[6].n = 24;

        for (i = 0; i < COUNT(parts); i++) {
            for (bit = 0; bit < 8 * parts[i].n; bit++) {
                head = vec.head;
                memcpy(nonce, vec.nonce, 24);
                ((uint8_t *) parts[i].p)[bit / 8]
                    ^= (uint8_t) (1u << bit % 8);
                accepted += open_with(&head, vec.vault_key, nonce,
                                      vec.sealed, vec.sealed_n)
                            == VMOPS_ENV_OK;
                tried++;
            }
        }

        for (bit = 0; bit < 256; bit++) {
            memcpy(key, vec.vault_key, 32);
            key[bit / 8] ^= (uint8_t) (1u << bit % 8);
            accepted += open_with(&vec.head, key, vec.nonce, vec.sealed,
                                  vec.sealed_n) == VMOPS_ENV_OK;
            tried++;
        }

        for (i = 0; i < vec.sealed_n; i++) {
            accepted += open_with(&vec.head, vec.vault_key, vec.nonce,
                                  vec.sealed, i) == VMOPS_ENV_OK;
            tried++;
        }

        assert_int_equal(open_with(&vec.head, vec.vault_key, vec.nonce,
                                   vec.sealed, vec.sealed_n), VMOPS_ENV_OK);
    }

    print_message("# %zu mutations, %zu accepted\n", tried, accepted);
    assert_true(tried >= 3000);
    assert_int_equal(accepted, 0);
    assert_int_equal(left, 0);
}


static void
meta_is_bound(void **state UNUSED)
{
    static char            meta[VMOPS_AAD_META_MAX + 1];
    vmops_envelope_head_t  head;

    load(vmops_json_get(all, "vectors")->child);

    head = vec.head;
    head.aad_meta = vmops_span_str("{\"label\":\"pve2\"}");
    assert_int_equal(open_with(&head, vec.vault_key, vec.nonce, vec.sealed,
                               vec.sealed_n), VMOPS_ENV_TAMPERED);
    head.aad_meta = vmops_span(NULL, 0);
    assert_int_equal(open_with(&head, vec.vault_key, vec.nonce, vec.sealed,
                               vec.sealed_n), VMOPS_ENV_TAMPERED);
    head.aad_meta = vmops_span(meta, sizeof(meta));
    assert_int_equal(open_with(&head, vec.vault_key, vec.nonce, vec.sealed,
                               vec.sealed_n), VMOPS_ENV_MALFORMED);
}


static void
each_refusal_has_its_code(void **state UNUSED)
{
    size_t                 n;
    uint8_t                key[32];
    vmops_secret_t         s;
    vmops_envelope_head_t  head;

    load(vmops_json_get(all, "vectors")->child);

    assert_int_equal(vmops_envelope_open(&s, plain, sizeof(plain),
                         vmops_span_str("xc20p-blake2b-v2"), &vec.head,
                         vec.vault_key, vmops_span(vec.nonce, 24),
                         vmops_span(vec.sealed, vec.sealed_n)),
                     VMOPS_ENV_ALG);

    fill(key, 32, 0x55);
    assert_int_equal(open_with(&vec.head, key, vec.nonce, vec.sealed,
                               vec.sealed_n), VMOPS_ENV_KEY);

    assert_int_equal(vmops_envelope_open(&s, plain, sizeof(plain), alg,
                         &vec.head, vec.vault_key, vmops_span(vec.nonce, 23),
                         vmops_span(vec.sealed, vec.sealed_n)),
                     VMOPS_ENV_SIZE);
    assert_int_equal(vmops_envelope_open(&s, plain, vec.padded_n - 1, alg,
                         &vec.head, vec.vault_key, vmops_span(vec.nonce, 24),
                         vmops_span(vec.sealed, vec.sealed_n)),
                     VMOPS_ENV_SIZE);

    head = vec.head;
    head.version = 0;
    assert_int_equal(open_with(&head, vec.vault_key, vec.nonce, vec.sealed,
                               vec.sealed_n), VMOPS_ENV_MALFORMED);
    assert_int_equal(vmops_envelope_seal_nonce(out, sizeof(out), &n, &head,
                         vec.vault_key, vec.nonce, vmops_span(plain, 256)),
                     VMOPS_ENV_MALFORMED);
    head.version = 1;
    head.kind = 8;
    assert_int_equal(vmops_envelope_seal_nonce(out, sizeof(out), &n, &head,
                         vec.vault_key, vec.nonce, vmops_span(plain, 256)),
                     VMOPS_ENV_MALFORMED);
    assert_int_equal(vmops_envelope_seal_nonce(out, sizeof(out), &n,
                         &vec.head, key, vec.nonce, vmops_span(plain, 256)),
                     VMOPS_ENV_KEY);
    assert_int_equal(vmops_envelope_seal_nonce(out, 271, &n, &vec.head,
                         vec.vault_key, vec.nonce, vmops_span(plain, 256)),
                     VMOPS_ENV_SIZE);
    assert_int_equal(vmops_envelope_seal_nonce(out, sizeof(out), &n,
                         &vec.head, vec.vault_key, vec.nonce,
                         vmops_span(plain, 255)), VMOPS_ENV_SIZE);
}


static void
a_nonce_is_drawn_each_time(void **state UNUSED)
{
    size_t   n;
    uint8_t  first[24], second[24];

    load(vmops_json_get(all, "vectors")->child);
    assert_int_equal(open_with(&vec.head, vec.vault_key, vec.nonce,
                               vec.sealed, vec.sealed_n), VMOPS_ENV_OK);

    assert_int_equal(vmops_envelope_seal(out, sizeof(out), &n, first,
                         &vec.head, vec.vault_key,
                         vmops_span(plain, vec.padded_n)), VMOPS_ENV_OK);
    assert_int_equal(vmops_envelope_seal(out, sizeof(out), &n, second,
                         &vec.head, vec.vault_key,
                         vmops_span(plain, vec.padded_n)), VMOPS_ENV_OK);
    assert_memory_not_equal(first, second, 24);
    assert_int_equal(open_with(&vec.head, vec.vault_key, second, out, n),
                     VMOPS_ENV_OK);
}


static int
setup(void **state UNUSED)
{
    assert_int_not_equal(sodium_init(), -1);
    all = vectors("t/vectors/envelope-v1.json");
    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(vectors_to_the_byte),
        cmocka_unit_test(fields_of_the_first),
        cmocka_unit_test(mutations),
        cmocka_unit_test(meta_is_bound),
        cmocka_unit_test(each_refusal_has_its_code),
        cmocka_unit_test(a_nonce_is_drawn_each_time)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, NULL);
}
