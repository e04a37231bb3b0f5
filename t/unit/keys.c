/*
 * Hashes, MACs, signatures, tokens and codes are those of
 * t/vectors/keys-v1.json, which another implementation made
 * (t/vectors_keys.t); and nothing else verifies.
 */

#include "unit.h"

#include <sodium.h>

#include "vmops_keys.h"


static const vmops_json_t  *v;

static uint8_t              agent_sk[64], agent_pk[32];
static uint8_t              command_sk[64], command_pk[32];
static uint8_t              x_pk[32], kid[32], tenant16[16];
static uint8_t              mac_key[32], pepper[32];
static vmops_uuid_t         agent, session;

static const vmops_span_t   acme = VMOPS_SPAN("acme");


static void
assert_hex(const void *p, size_t n, const char *name)
{
    uint8_t       want[64];
    vmops_span_t  s;

    s = hex_of(want, sizeof(want), v, name);
    assert_int_equal(s.n, n);
    assert_memory_equal(p, want, n);
}


static int
setup(void **state UNUSED)
{
    uint8_t  seed[32];

    assert_int_not_equal(sodium_init(), -1);
    v = vectors("t/vectors/keys-v1.json");

    hex_of(seed, 32, v, "agent_seed");
    crypto_sign_seed_keypair(agent_pk, agent_sk, seed);
    hex_of(seed, 32, v, "command_seed");
    crypto_sign_seed_keypair(command_pk, command_sk, seed);

    hex_of(x_pk, 32, v, "x_pk");
    hex_of(kid, 32, v, "kid");
    hex_of(agent.b, 16, v, "agent");
    hex_of(session.b, 16, v, "session");
    hex_of(mac_key, 32, v, "mac_key");
    hex_of(pepper, 32, v, "pepper");
    vmops_tenant16(tenant16, acme);

    return 0;
}


static void
names_of_keys(void **state UNUSED)
{
    char  text[64];

    assert_hex(agent_pk, 32, "agent_pk");
    assert_hex(command_pk, 32, "command_pk");
    assert_hex(tenant16, 16, "tenant16");

    vmops_key_id(text, kid);
    assert_span(text_of(v, "key_id"), text);

    vmops_command_key_id(text, command_pk);
    assert_span(text_of(v, "command_key_id"), text);

    vmops_secret_key_id(text, VMOPS_MAC_KEY_PREFIX, mac_key);
    assert_span(text_of(v, "mac_key_id"), text);

    vmops_secret_key_id(text, VMOPS_PEPPER_KEY_PREFIX, pepper);
    assert_span(text_of(v, "pepper_key_id"), text);

    vmops_fingerprint(text, agent_pk, x_pk, command_pk);
    assert_span(text_of(v, "fingerprint"), text);
    assert_int_equal(strlen(text), VMOPS_FINGERPRINT_TEXT);
}


static vmops_register_t
registration(void)
{
    return (vmops_register_t) {
        .code = vmops_span_str("ABCD2345WXYZ"), .ed_pk = agent_pk,
        .x_pk = x_pk, .kid = kid, .platform = vmops_span_str("linux"),
        .name = vmops_span_str("office pc"),
        .hostname = vmops_span_str("pc1.lan")
    };
}


static void
register_signature(void **state UNUSED)
{
    char              long_name[VMOPS_NAME_MAX + 2];
    uint8_t           sig[64];
    vmops_register_t  r, other;

    r = registration();
    assert_int_equal(vmops_register_sign(sig, &r, agent_sk), 0);
    assert_hex(sig, 64, "register_sig");
    assert_int_equal(vmops_register_verify(sig, &r), 0);

    other = r;
    other.code = vmops_span_str("ABCD2345WXYY");
    assert_int_equal(vmops_register_verify(sig, &other), -1);
    other = r;
    other.x_pk = kid;
    assert_int_equal(vmops_register_verify(sig, &other), -1);
    other = r;
    other.kid = x_pk;
    assert_int_equal(vmops_register_verify(sig, &other), -1);
    other = r;
    other.ed_pk = command_pk;
    assert_int_equal(vmops_register_verify(sig, &other), -1);

    /* a byte that moves from one text to the next */
    other = r;
    other.name = vmops_span_str("office p");
    other.hostname = vmops_span_str("cpc1.lan");
    assert_int_equal(vmops_register_verify(sig, &other), -1);

    memset(long_name, 'n', sizeof(long_name));
    other = r;
    other.name = vmops_span(long_name, VMOPS_NAME_MAX + 1);
    assert_int_equal(vmops_register_sign(sig, &other, agent_sk), -1);
    other.name = vmops_span(long_name, 0);
    assert_int_equal(vmops_register_sign(sig, &other, agent_sk), -1);
    other.name = vmops_span(long_name, VMOPS_NAME_MAX);
    assert_int_equal(vmops_register_sign(sig, &other, agent_sk), 0);
}


static vmops_ws_auth_t
handshake(void)
{
    vmops_ws_auth_t  t;

    memset(&t, 0, sizeof(t));
    fill(t.s_nonce, 32, 1);
    fill(t.c_nonce, 32, 0x21);
    memcpy(t.tenant16, tenant16, 16);
    t.agent = agent;
    memcpy(t.ed_pk, agent_pk, 32);
    t.epoch = 7;
    t.cb = VMOPS_CB_TLS_EXPORTER;
    fill(t.cb32, 32, 0xe0);
    t.host = vmops_span_str("vmops.example:8443");

    return t;
}


static void
socket_handshake(void **state UNUSED)
{
    uint8_t          sig[64], hash[32], welcome[64];
    size_t           i;
    vmops_uuid_t     before;
    vmops_ws_auth_t  t, other;

    t = handshake();
    assert_int_equal(vmops_ws_auth_sign(sig, &t, agent_sk), 0);
    assert_hex(sig, 64, "auth_sig");
    assert_int_equal(vmops_ws_auth_verify(sig, &t), 0);

    assert_int_equal(vmops_ws_auth_hash(hash, &t, sig), 0);
    assert_hex(hash, 32, "auth_hash");
    vmops_ws_session_before(&before, hash);
    assert_hex(before.b, 16, "session_before");

    /* every part is covered */
    for (i = 0; i < 9; i++) {
        other = t;
        switch (i) {
        case 0: other.s_nonce[31] ^= 1; break;
        case 1: other.c_nonce[0] ^= 1; break;
        case 2: other.tenant16[3] ^= 1; break;
        case 3: other.agent.b[15] ^= 1; break;
        case 4: memcpy(other.ed_pk, command_pk, 32); break;
        case 5: other.epoch++; break;
        case 6: other.cb32[7] ^= 1; break;
        case 7: other.host = vmops_span_str("vmops.example"); break;
        default: other.cb = VMOPS_CB_NONE; memset(other.cb32, 0, 32);
        }
        assert_int_equal(vmops_ws_auth_verify(sig, &other), -1);
    }

    /* no binding, but bytes of one */
    other = t;
    other.cb = VMOPS_CB_NONE;
    assert_int_equal(vmops_ws_auth_sign(sig, &other, agent_sk), -1);
    other = t;
    other.host = vmops_span_str("");
    assert_int_equal(vmops_ws_auth_sign(sig, &other, agent_sk), -1);

    vmops_ws_welcome_sign(welcome, hash, &session, 8, 1767225600123,
                          command_sk);
    assert_hex(welcome, 64, "welcome_sig");
    assert_int_equal(vmops_ws_welcome_verify(welcome, hash, &session, 8,
                                             1767225600123, command_pk), 0);
    assert_int_equal(vmops_ws_welcome_verify(welcome, hash, &session, 9,
                                             1767225600123, command_pk), -1);
    assert_int_equal(vmops_ws_welcome_verify(welcome, hash, &session, 8,
                                             1767225600124, command_pk), -1);
    assert_int_equal(vmops_ws_welcome_verify(welcome, hash, &agent, 8,
                                             1767225600123, command_pk), -1);
    assert_int_equal(vmops_ws_welcome_verify(welcome, hash, &session, 8,
                                             1767225600123, agent_pk), -1);
}


static void
signed_payloads(void **state UNUSED)
{
    uint8_t         sig[64];
    unsigned        what, as;
    vmops_span_t    payload;
    static uint8_t  big[VMOPS_PAYLOAD_MAX + 1];

    static const struct {
        const char      *name;
        const uint8_t   *sk;
        const uint8_t   *pk;
    } cases[] = {
        { "cmd_sig", command_sk, command_pk },
        { "result_sig", agent_sk, agent_pk },
        { "ctl_sig", command_sk, command_pk }
    };

    payload = text_of(v, "payload");

    for (what = 0; what < COUNT(cases); what++) {
        assert_int_equal(vmops_payload_sign(sig, what, tenant16, &agent,
                                            &session, payload,
                                            cases[what].sk), 0);
        assert_hex(sig, 64, cases[what].name);

        /* a signature for one purpose is none for another */
        for (as = 0; as < COUNT(cases); as++) {
            assert_int_equal(vmops_payload_verify(sig, as, tenant16, &agent,
                                                  &session, payload,
                                                  cases[what].pk),
                             as == what ? 0 : -1);
        }

        assert_int_equal(vmops_payload_verify(sig, what, tenant16, &session,
                                              &session, payload,
                                              cases[what].pk), -1);
        assert_int_equal(vmops_payload_verify(sig, what, kid, &agent,
                                              &session, payload,
                                              cases[what].pk), -1);
        assert_int_equal(vmops_payload_verify(sig, what, tenant16, &agent,
                                              &session,
                                              vmops_span(payload.p,
                                                         payload.n - 1),
                                              cases[what].pk), -1);
    }

    assert_int_equal(vmops_payload_verify(sig, VMOPS_SIGNED_CTL, tenant16,
                                          &agent, &agent, payload,
                                          command_pk), -1);

    assert_int_equal(vmops_payload_sign(sig, VMOPS_SIGNED_CTL, tenant16,
                                        &agent, &session,
                                        vmops_span(big, sizeof(big) - 1),
                                        command_sk), 0);
    assert_int_equal(vmops_payload_sign(sig, VMOPS_SIGNED_CTL, tenant16,
                                        &agent, &session,
                                        vmops_span(big, sizeof(big)),
                                        command_sk), -1);
    assert_int_equal(vmops_payload_verify(sig, VMOPS_SIGNED_CTL, tenant16,
                                          &agent, &session,
                                          vmops_span(big, sizeof(big)),
                                          command_pk), -1);
}


static void
hashes(void **state UNUSED)
{
    uint8_t  hash[32], subject[256] = { 0 };

    vmops_hash(hash, text_of(v, "payload"));
    assert_hex(hash, 32, "payload_hash");

    assert_int_equal(vmops_idem_hash(hash, tenant16,
                                     vmops_span_str("alice@example.org"),
                                     vmops_span_str("order-17")), 0);
    assert_hex(hash, 32, "idem");
    assert_int_equal(vmops_idem_hash(hash, tenant16, vmops_span(subject, 256),
                                     vmops_span_str("k")), -1);
}


static void
tokens(void **state UNUSED)
{
    char           text[VMOPS_TOKEN_MAX + 1], other[VMOPS_TOKEN_MAX + 2];
    size_t         i, n;
    uint8_t        random[32];
    unsigned       accepted;
    vmops_token_t  t;

    fill(random, 32, 0);

    assert_int_equal(vmops_token_make(text, acme, random), 0);
    assert_span(text_of(v, "token_acme"), text);
    assert_int_equal(vmops_token_parse(&t, vmops_span_str(text)), 0);
    assert_span(t.tenant, "acme");
    assert_false(t.platform);

    /* any one character changed is no token: CRC-32 finds it */
    n = strlen(text);
    accepted = 0;
    for (i = 0; i < n; i++) {
        memcpy(other, text, n + 1);
        other[i] = text[i] == 'a' ? 'b' : 'a';
        accepted += vmops_token_parse(&t, vmops_span_str(other)) == 0;
    }
    assert_int_equal(accepted, 0);

    /* too short, too long, more after it */
    assert_int_equal(vmops_token_parse(&t, vmops_span(text, n - 1)), -1);
    assert_int_equal(vmops_token_parse(&t, vmops_span(text, 0)), -1);
    memcpy(other, text, n);
    other[n] = '0';
    assert_int_equal(vmops_token_parse(&t, vmops_span(other, n + 1)), -1);

    assert_int_equal(vmops_token_make(text, vmops_span_str("platform"),
                                      random), 0);
    assert_span(text_of(v, "token_platform"), text);
    assert_int_equal(vmops_token_parse(&t, vmops_span_str(text)), 0);
    assert_true(t.platform);

    assert_int_equal(vmops_token_make(text, vmops_span_str("Acme"), random),
                     -1);
    assert_int_equal(vmops_token_make(text, vmops_span_str(""), random), -1);

    /* the longest one */
    assert_int_equal(vmops_token_make(text, vmops_span_str(
                         "a23456789-123456789-123456789-12"), random), 0);
    assert_int_equal(strlen(text), VMOPS_TOKEN_MAX);
    assert_int_equal(vmops_token_parse(&t, vmops_span_str(text)), 0);
}


static void
cookies_and_lookups(void **state UNUSED)
{
    char          text[VMOPS_COOKIE_MAX + 1];
    uint8_t       random[32];
    vmops_span_t  tenant;

    memset(random, 0xff, 32);
    assert_int_equal(vmops_cookie_make(text, acme, random), 0);
    assert_span(text_of(v, "cookie"), text);
    assert_int_equal(vmops_cookie_parse(&tenant, vmops_span_str(text)), 0);
    assert_span(tenant, "acme");

    text[4] = '_';
    assert_int_equal(vmops_cookie_parse(&tenant, vmops_span_str(text)), -1);
    text[4] = '.';
    text[10] = '-';
    assert_int_equal(vmops_cookie_parse(&tenant, vmops_span_str(text)), -1);
    assert_int_equal(vmops_cookie_parse(&tenant, vmops_span_str("")), -1);
    assert_int_equal(vmops_cookie_make(text, vmops_span_str("platform"),
                                       random), -1);

    vmops_lookup_text(text, pepper, text_of(v, "token_acme"));
    assert_span(text_of(v, "lookup"), text);
}


static void
pairing_codes(void **state UNUSED)
{
    char     shown[VMOPS_PAIRING_TEXT + 1], code[VMOPS_PAIRING_CODE + 1];
    size_t   i;
    uint8_t  random[12];

    static const struct {
        const char  *typed;
        const char  *code;
    } cases[] = {
        { "ABCD-2345-WXYZ", "ABCD2345WXYZ" },
        { "abcd2345wxyz", "ABCD2345WXYZ" },
        { " a b c d-23 45--wxyz ", "ABCD2345WXYZ" },
        { "OoIi-LlZZ-ZZZZ", "001111ZZZZZZ" },
        { "ABCD-2345-WXY", NULL },          /* 11 */
        { "ABCD-2345-WXYZ0", NULL },        /* 13 */
        { "ABCD-2345-WXYU", NULL },         /* no U in the alphabet */
        { "ABCD_2345_WXYZ", NULL },
        { "", NULL },
        { "ABCD-2345-WX\xc3\xa9", NULL }
    };

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(vmops_pairing_code_normalise(code,
                             vmops_span_str(cases[i].typed)),
                         cases[i].code != NULL ? 0 : -1);
        if (cases[i].code != NULL) {
            assert_string_equal(code, cases[i].code);
        }
    }

    assert_int_equal(vmops_pairing_code_normalise(code,
                         vmops_span("ABCD2345WXY\0", 12)), -1);

    fill(random, 12, 10);
    vmops_pairing_code_make(shown, random);
    assert_string_equal(shown, "ABCD-EFGH-JKMN");
    assert_int_equal(vmops_pairing_code_normalise(code,
                         vmops_span_str(shown)), 0);
    assert_string_equal(code, "ABCDEFGHJKMN");

    for (i = 0; i < 256; i++) {
        memset(random, (int) i, 12);
        vmops_pairing_code_make(shown, random);
        assert_int_equal(vmops_pairing_code_normalise(code,
                             vmops_span_str(shown)), 0);
    }
}


static void
record_macs(void **state UNUSED)
{
    char                 mac[VMOPS_MAC_TEXT + 1], text[64], key[64];
    size_t               i, n;
    unsigned             type;
    vmops_span_t         values[VMOPS_RECORD_FIELDS_MAX];
    const vmops_json_t  *record, *field;
    const char *const   *names;
    static char          memory[VMOPS_RECORD_FIELDS_MAX][64];

    static const char *const  types[] = {
#define VMOPS_RECORD(type, ...)  #type,
#include "vmops_records.def"
#undef VMOPS_RECORD
    };

    for (type = 0; type < VMOPS_RECORD_MAX_; type++) {
        record = vmops_json_get(vmops_json_get(v, "records"), types[type]);
        field = vmops_json_get(record, "fields")->child;
        names = vmops_record_fields(type, &n);
        assert_true(n <= VMOPS_RECORD_FIELDS_MAX);

        for (i = 0; i < n; i++, field = field->next) {
            assert_span(field->str, names[i]);
            snprintf(memory[i], sizeof(memory[i]), "value of %s", names[i]);
            values[i] = vmops_span_str(memory[i]);
        }
        assert_null(field);

        snprintf(key, sizeof(key), "tenants/{acme}/x/%s", types[type]);
        vmops_record_mac_text(mac, mac_key, type, vmops_span_str(key),
                              values);
        assert_span(text_of(record, "mac"), mac);
        assert_int_equal(vmops_record_verify(vmops_span_str(mac), mac_key,
                             type, vmops_span_str(key), values), 0);

        /* another key of Redis, another MAC key, each field changed */
        assert_int_equal(vmops_record_verify(vmops_span_str(mac), mac_key,
                             type, vmops_span_str("tenants/{acme}/x/"),
                             values), -1);
        assert_int_equal(vmops_record_verify(vmops_span_str(mac), pepper,
                             type, vmops_span_str(key), values), -1);

        for (i = 0; i < n; i++) {
            snprintf(text, sizeof(text), "value of %s.", names[i]);
            values[i] = vmops_span_str(text);
            assert_int_equal(vmops_record_verify(vmops_span_str(mac), mac_key,
                                 type, vmops_span_str(key), values), -1);
            values[i] = vmops_span(NULL, 0);
            assert_int_equal(vmops_record_verify(vmops_span_str(mac), mac_key,
                                 type, vmops_span_str(key), values), -1);
            values[i] = vmops_span_str(memory[i]);
        }

        assert_int_equal(vmops_record_verify(vmops_span_str(""), mac_key,
                             type, vmops_span_str(key), values), -1);
        mac[5] = mac[5] == 'A' ? 'B' : 'A';
        assert_int_equal(vmops_record_verify(vmops_span_str(mac), mac_key,
                             type, vmops_span_str(key), values), -1);
    }
}


static void
intent_mac(void **state UNUSED)
{
    char            mac[VMOPS_MAC_TEXT + 1];
    size_t          i;
    uint8_t         idem[32];
    vmops_span_t   *field;
    vmops_intent_t  in, other;

    static const size_t  spans[] = {
        offsetof(vmops_intent_t, tenant),
        offsetof(vmops_intent_t, command_id),
        offsetof(vmops_intent_t, service),
        offsetof(vmops_intent_t, action),
        offsetof(vmops_intent_t, vm_uuid),
        offsetof(vmops_intent_t, secret_ref),
        offsetof(vmops_intent_t, target_command),
        offsetof(vmops_intent_t, params),
        offsetof(vmops_intent_t, principal_kind),
        offsetof(vmops_intent_t, principal_key),
        offsetof(vmops_intent_t, subject),
        offsetof(vmops_intent_t, role),
        offsetof(vmops_intent_t, idem)
    };

    fill(idem, 32, 9);

    in = (vmops_intent_t) {
        .tenant = acme, .command_id = vmops_span_str("command"),
        .service = vmops_span_str("proxmox"),
        .action = vmops_span_str("start"), .vm_uuid = vmops_span_str("vm"),
        .params = vmops_span_str("{\"timeout\":60}"),
        .principal_kind = vmops_span_str("token"),
        .principal_key = vmops_span_str("key"),
        .subject = vmops_span_str("alice"),
        .role = vmops_span_str("operator"),
        .iat = 1767225600000, .exp = 1767225720000, .timeout_s = 120,
        .idem = vmops_span(idem, 32)
    };

    vmops_intent_mac_text(mac, mac_key, &in);
    assert_span(text_of(v, "intent_mac"), mac);
    assert_int_equal(vmops_intent_verify(vmops_span_str(mac), mac_key, &in),
                     0);

    for (i = 0; i < COUNT(spans); i++) {
        other = in;
        field = (vmops_span_t *) (void *) ((char *) &other + spans[i]);
        *field = vmops_span_str("other");
        assert_int_equal(vmops_intent_verify(vmops_span_str(mac), mac_key,
                                             &other), -1);
    }

    for (i = 0; i < 3; i++) {
        other = in;
        other.iat += i == 0;
        other.exp += i == 1;
        other.timeout_s += i == 2;
        assert_int_equal(vmops_intent_verify(vmops_span_str(mac), mac_key,
                                             &other), -1);
    }
}


static void
audit_chain(void **state UNUSED)
{
    uint8_t       h[32] = { 0 };
    vmops_seal_t  seal, other;

    vmops_audit_link(h, h, 1, 1767225600000, vmops_span_str("{\"a\":1}"));
    vmops_audit_link(h, h, 2, 1767225600999, vmops_span_str(""));
    assert_hex(h, 32, "audit_head");

    seal = (vmops_seal_t) { .from = 1, .to = 2, .ms = 1767225601000 };
    memcpy(seal.head, h, 32);
    vmops_seal_sign(&seal, tenant16, command_sk);
    assert_hex(seal.sig, 64, "seal_sig");
    assert_int_equal(vmops_seal_verify(&seal, tenant16, command_pk), 0);

    other = seal;
    other.from = 2;
    assert_int_equal(vmops_seal_verify(&other, tenant16, command_pk), -1);
    other = seal;
    other.to = 3;
    assert_int_equal(vmops_seal_verify(&other, tenant16, command_pk), -1);
    other = seal;
    other.head[0] ^= 1;
    assert_int_equal(vmops_seal_verify(&other, tenant16, command_pk), -1);
    other = seal;
    other.ms++;
    assert_int_equal(vmops_seal_verify(&other, tenant16, command_pk), -1);
    assert_int_equal(vmops_seal_verify(&seal, kid, command_pk), -1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(names_of_keys),
        cmocka_unit_test(register_signature),
        cmocka_unit_test(socket_handshake),
        cmocka_unit_test(signed_payloads),
        cmocka_unit_test(hashes),
        cmocka_unit_test(tokens),
        cmocka_unit_test(cookies_and_lookups),
        cmocka_unit_test(pairing_codes),
        cmocka_unit_test(record_macs),
        cmocka_unit_test(intent_mac),
        cmocka_unit_test(audit_chain)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, NULL);
}
