/*
 * Channel messages and signed payloads: what is written is read back the
 * same; payloads take no other form; limits hold both ways.
 */

#include "unit.h"

#include "vmops_proto.h"


#define ID    "0190a2b3-c4d5-7e6f-8a9b-abcdef012345"
#define REF   "sec_0190a2b3c4d57e6f8a9babcdef012345"
#define KEY   "k1000102030405060708090a0b0c0d0e0f"
#define CKEY  "c1000102030405060708090a0b0c0d0e0f"


static uint8_t        memory[4 << 20];
static uint8_t        out[VMOPS_WS_MESSAGE_MAX + 1024];
static uint8_t        again[VMOPS_WS_MESSAGE_MAX + 1024];
static vmops_arena_t  arena;


static vmops_arena_t *
fresh(void)
{
    vmops_arena_init(&arena, memory, sizeof(memory));
    return &arena;
}


static vmops_uuid_t
uuid(void)
{
    vmops_uuid_t  u;

    assert_int_equal(vmops_uuid_parse(&u, vmops_span_str(ID)), 0);
    return u;
}


static vmops_cmd_t
command(void)
{
    vmops_cmd_t  c;

    memset(&c, 0, sizeof(c));
    c.id = uuid();
    c.seq = 17;
    c.iat = 1767225600000;
    c.exp = 1767225720000;
    c.timeout_s = 120;
    c.service = vmops_span_str("proxmox");
    c.action = vmops_span_str("start");
    c.target.present = 1;
    c.target.vm_uuid = uuid();
    c.target.guest = VMOPS_GUEST_LXC;
    c.target.node = vmops_span_str("pve1");
    c.target.vmid = 100;
    c.params.text = vmops_span_str("{\"timeout\":60}");
    c.secrets_n = 2;
    c.secrets[0].ref = vmops_span_str(REF);
    c.secrets[0].version = 3;
    c.secrets[0].family = VMOPS_FAMILY_SYNCTHING;
    c.secrets[1].ref = vmops_span_str(REF);
    c.secrets[1].version = 1;
    c.secrets[1].family = VMOPS_FAMILY_SSH;
    c.by_subject = vmops_span_str("alice@example.org");
    c.by_role = vmops_span_str("operator");
    c.has_idem = 1;
    fill(c.idem, 32, 0);

    return c;
}


static const char  command_text[] =
    "{\"v\":1,\"id\":\"" ID "\",\"seq\":17,\"iat\":1767225600000,"
    "\"exp\":1767225720000,\"service\":\"proxmox\",\"action\":\"start\","
    "\"target\":{\"vm_uuid\":\"" ID "\",\"guest\":\"lxc\",\"node\":\"pve1\","
    "\"vmid\":100},\"params\":{\"timeout\":60},\"secrets\":[{\"ref\":\"" REF
    "\",\"version\":3,\"family\":\"syncthing\"},{\"ref\":\"" REF
    "\",\"version\":1,\"family\":\"ssh\"}],\"timeout_s\":120,"
    "\"by\":{\"subject\":\"alice@example.org\",\"role\":\"operator\"},"
    "\"idem\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}";


static void
command_round_trip(void **state UNUSED)
{
    int64_t       i;
    vmops_cmd_t   c, got;
    vmops_span_t  s, t;

    c = command();
    assert_int_equal(vmops_cmd_write(out, sizeof(out), &s, &c), 0);
    assert_span(s, command_text);

    assert_int_equal(vmops_cmd_parse(&got, fresh(), s), 0);
    assert_true(vmops_uuid_eq(&got.id, &c.id));
    assert_int_equal(got.seq, 17);
    assert_int_equal(got.target.guest, VMOPS_GUEST_LXC);
    assert_int_equal(got.secrets_n, 2);
    assert_int_equal(got.secrets[1].family, VMOPS_FAMILY_SSH);
    assert_memory_equal(got.idem, c.idem, 32);
    assert_int_equal(vmops_json_int(vmops_json_get(got.params.node,
                                                   "timeout"), &i), 0);
    assert_int_equal(i, 60);

    /* written from the tree: the same bytes */
    assert_int_equal(vmops_cmd_write(again, sizeof(again), &t, &got), 0);
    assert_true(vmops_span_eq(s, t));

    /* an endpoint's: no target, no idem, one secret */
    c.target.present = 0;
    c.has_idem = 0;
    c.secrets_n = 1;
    assert_int_equal(vmops_cmd_write(out, sizeof(out), &s, &c), 0);
    assert_int_equal(vmops_cmd_parse(&got, fresh(), s), 0);
    assert_false(got.target.present);
    assert_false(got.has_idem);
    assert_int_equal(got.secrets_n, 1);

    assert_int_equal(vmops_cmd_write(out, s.n - 1, &t, &c), -1);
    assert_int_equal(vmops_cmd_write(out, s.n, &t, &c), 0);
}


/* replaces the first `from` by `to` in the command's text */

static int
parses_with(const char *from, const char *to)
{
    const char   *at;
    vmops_cmd_t   c;
    vmops_buf_t   b;

    at = strstr(command_text, from);
    assert_non_null(at);

    vmops_buf_init(&b, out, sizeof(out));
    vmops_buf_put(&b, command_text, (size_t) (at - command_text));
    vmops_buf_str(&b, to);
    vmops_buf_str(&b, at + strlen(from));

    return vmops_cmd_parse(&c, fresh(), vmops_span(b.p, b.n)) == 0;
}


static void
command_refusals(void **state UNUSED)
{
    size_t        i, n;
    vmops_cmd_t   c;

    static const struct {
        const char  *from;
        const char  *to;
    } cases[] = {
        { "\"v\":1", "\"v\":2" }, { "\"v\":1,", "" },
        { "\"v\":1", "\"v\":\"1\"" },
        { "\"v\":1", "\"v\":1,\"w\":1" },                   /* unknown */
        { "\"v\":1", "\"v\":1,\"v\":1" },
        { "\"seq\":17", "\"seq\":0" }, { "\"seq\":17", "\"seq\":-1" },
        { "\"seq\":17", "\"seq\":17.0" }, { "\"seq\":17,", "" },
        { "\"seq\":17", "\"seq\":null" },
        { "\"exp\":1767225720000", "\"exp\":1767225720001" },
        { "\"exp\":1767225720000", "\"exp\":1767225599999" },
        { "\"timeout_s\":120", "\"timeout_s\":121" },
        { "\"timeout_s\":120", "\"timeout_s\":0" },
        { "\"service\":\"proxmox\"", "\"service\":\"Proxmox\"" },
        { "\"action\":\"start\"", "\"action\":\"\"" },
        { "\"action\":\"start\"", "\"action\":\"../start\"" },
        { "\"node\":\"pve1\"", "\"node\":\"pve1/..\"" },
        { "\"node\":\"pve1\",", "" },
        { "\"vmid\":100", "\"vmid\":99" },
        { "\"vmid\":100", "\"vmid\":1000000000" },
        { "\"vmid\":100", "\"vmid\":100,\"host\":\"evil\"" },
        { "\"guest\":\"lxc\"", "\"guest\":\"host\"" },
        { "\"params\":{\"timeout\":60}", "\"params\":[]" },
        { "\"params\":{\"timeout\":60}", "\"params\":null" },
        { "\"version\":3", "\"version\":0" },
        { "\"family\":\"ssh\"", "\"family\":\"vnc\"" },
        { "\"ref\":\"" REF "\"", "\"ref\":\"" ID "\"" },
        { "\"secrets\":[", "\"secrets\":[{\"ref\":\"" REF
          "\",\"version\":3,\"family\":\"ssh\"}," },        /* three */
        { "\"role\":\"operator\"", "\"role\":\"\"" },
        { "\"subject\":\"alice@example.org\"", "\"subject\":\"a b\"" },
        { "\"idem\":\"AAEC", "\"idem\":\"AAE" },
        { "GxwdHh8\"", "GxwdHh9\"" },              /* not canonical */
        { "\"id\":\"" ID "\"", "\"id\":\"\"" }
    };

    assert_true(parses_with("\"v\":1", "\"v\":1"));
    assert_true(parses_with("\"params\":{\"timeout\":60}", "\"params\":{}"));
    assert_true(parses_with("AAECAw", "AAECBA"));

    for (i = 0; i < COUNT(cases); i++) {
        if (parses_with(cases[i].from, cases[i].to)) {
            fail_msg("accepted: %s", cases[i].to);
        }
    }

    n = sizeof(command_text) - 1;
    for (i = 0; i < n; i++) {
        assert_int_equal(vmops_cmd_parse(&c, fresh(),
                             vmops_span(command_text, i)), -1);
    }
}


static void
command_write_limits(void **state UNUSED)
{
    size_t        i;
    vmops_cmd_t   c;
    vmops_span_t  s;

    for (i = 0; i < 10; i++) {
        c = command();
        switch (i) {
        case 0: c.seq = 0; break;
        case 1: c.exp++; break;
        case 2: c.target.node = vmops_span_str("PVE"); break;
        case 3: c.target.vmid = 99; break;
        case 4: c.params.text = vmops_span_str("[]"); break;
        case 5: c.secrets_n = 3; break;
        case 6: c.secrets[0].family = VMOPS_FAMILY_NONE; break;
        case 7: c.by_subject = vmops_span(NULL, 0); break;
        case 8: c.params.text = vmops_span(NULL, 0); break;
        default: c.seq = UINT64_MAX;
        }
        assert_int_equal(vmops_cmd_write(out, sizeof(out), &s, &c), -1);
    }
}


static void
result_round_trip(void **state UNUSED)
{
    vmops_span_t    s, t;
    vmops_result_t  r, got;

    memset(&r, 0, sizeof(r));
    r.id = uuid();
    r.status = VMOPS_ST_FAILED;
    r.started = 1767225600001;
    r.finished = 1767225600002;
    r.error_code = vmops_span_str("task_failed");
    r.error_stage = vmops_span_str("http");
    r.secrets_n = 1;
    r.secrets[0].ref = vmops_span_str(REF);
    r.secrets[0].version = 9;

    assert_int_equal(vmops_result_write(out, sizeof(out), &s, &r), 0);
    assert_span(s,
        "{\"v\":1,\"id\":\"" ID "\",\"status\":\"failed\","
        "\"started\":1767225600001,\"finished\":1767225600002,"
        "\"result\":null,\"error\":{\"code\":\"task_failed\","
        "\"stage\":\"http\",\"detail_code\":null},\"secrets\":[{\"ref\":\""
        REF "\",\"version\":9}],\"cmd_hash\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}");
    assert_int_equal(vmops_result_parse(&got, fresh(), s), 0);
    assert_int_equal(got.status, VMOPS_ST_FAILED);
    assert_span(got.error_code, "task_failed");
    assert_null(got.error_detail_code.p);
    assert_null(got.result.node);
    assert_int_equal(vmops_result_write(again, sizeof(again), &t, &got), 0);
    assert_true(vmops_span_eq(s, t));

    r.status = VMOPS_ST_SUCCEEDED;
    r.error_code = vmops_span(NULL, 0);
    r.result.text = vmops_span_str("{\"upid\":\"UPID:x\"}");
    assert_int_equal(vmops_result_write(out, sizeof(out), &s, &r), 0);
    assert_int_equal(vmops_result_parse(&got, fresh(), s), 0);
    assert_null(got.error_code.p);
    assert_span(vmops_json_get(got.result.node, "upid")->str, "UPID:x");

    /* only final statuses are results */
    r.status = VMOPS_ST_RUNNING;
    assert_int_equal(vmops_result_write(out, sizeof(out), &s, &r), -1);
    r.status = VMOPS_ST_MAX_;
    assert_int_equal(vmops_result_write(out, sizeof(out), &s, &r), -1);
    assert_int_equal(vmops_result_parse(&got, fresh(), vmops_span_str(
        "{\"v\":1,\"id\":\"" ID "\",\"status\":\"queued\",\"started\":1,"
        "\"finished\":2,\"result\":null,\"error\":null,\"secrets\":[],"
        "\"cmd_hash\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}")),
        -1);
}


/* the largest result there may be, through its message and back */

static void
largest_result(void **state UNUSED)
{
    size_t                   n;
    vmops_msg_t              m, got;
    vmops_buf_t              b;
    vmops_span_t             s, text;
    vmops_result_t           r, back;
    static uint8_t           body[VMOPS_RESULT_PAYLOAD_MAX + 1];
    static vmops_msg_t       zero;

    memset(&r, 0, sizeof(r));
    r.id = uuid();
    r.status = VMOPS_ST_SUCCEEDED;
    r.result.text = vmops_span_str("{}");
    assert_int_equal(vmops_result_write(out, sizeof(out), &s, &r), 0);

    n = VMOPS_RESULT_PAYLOAD_MAX - (s.n - 2);
    vmops_buf_init(&b, body, sizeof(body));
    vmops_buf_str(&b, "{\"a\":\"");
    memset(body + b.n, 'a', n - 8);
    b.n += n - 8;
    vmops_buf_str(&b, "\"}");
    assert_int_equal(b.n, n);

    r.result.text = vmops_span(body, n);
    assert_int_equal(vmops_result_write(out, sizeof(out), &s, &r), 0);
    assert_int_equal(s.n, VMOPS_RESULT_PAYLOAD_MAX);

    m = zero;
    m.type = VMOPS_MSG_RESULT;
    m.u.result.id = r.id;
    m.u.result.signed_.payload = s;
    m.u.result.has_cmd = 1;
    m.u.result.cmd.payload = s;
    m.u.result.cmd.key_id = vmops_span_str(CKEY);
    assert_int_equal(vmops_msg_write(again, sizeof(again), &text, &m), 0);
    assert_true(text.n <= VMOPS_WS_MESSAGE_MAX);
    assert_int_equal(vmops_msg_parse(&got, fresh(), text), VMOPS_MSG_OK);
    assert_true(got.u.result.has_cmd);
    assert_true(vmops_span_eq(got.u.result.signed_.payload, s));
    assert_int_equal(vmops_result_parse(&back, &arena,
                                        got.u.result.signed_.payload), 0);

    memcpy(body + n - 2, "a\"}", 3);
    r.result.text = vmops_span(body, n + 1);
    assert_int_equal(vmops_result_write(out, sizeof(out), &s, &r), -1);
}


static void
ctl_round_trips(void **state UNUSED)
{
    unsigned      what;
    vmops_ctl_t   c, got;
    vmops_span_t  s;

    static const char *const  texts[VMOPS_CTL_MAX_] = {
        "{\"v\":1,\"n\":1,\"do\":\"cancel\",\"id\":\"" ID "\"}",
        "{\"v\":1,\"n\":2,\"do\":\"rotate\",\"ref\":\"" REF "\"}",
        "{\"v\":1,\"n\":3,\"do\":\"probe\",\"ref\":\"" REF "\"}",
        "{\"v\":1,\"n\":4,\"do\":\"rekey\",\"key\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"key_id\":\"" CKEY
        "\"}",
        "{\"v\":1,\"n\":5,\"do\":\"approved\"}",
        "{\"v\":1,\"n\":6,\"do\":\"bye\",\"code\":4403}"
    };

    static const char *const  refused[] = {
        "{\"v\":1,\"n\":0,\"do\":\"approved\"}",
        "{\"v\":1,\"do\":\"approved\"}",
        "{\"v\":1,\"n\":1,\"do\":\"reboot\"}",
        "{\"v\":1,\"n\":1,\"do\":\"approved\",\"id\":\"" ID "\"}",
        "{\"v\":1,\"n\":1,\"do\":\"cancel\"}",
        "{\"v\":1,\"n\":1,\"do\":\"cancel\",\"ref\":\"" REF "\"}",
        "{\"v\":1,\"n\":1,\"do\":\"bye\",\"code\":\"4403\"}",
        "{\"v\":1,\"n\":1,\"do\":\"bye\",\"code\":999}",
        "{\"v\":1,\"n\":1}", "[]", ""
    };

    for (what = 0; what < VMOPS_CTL_MAX_; what++) {
        memset(&c, 0, sizeof(c));
        c.what = (uint8_t) what;
        c.n = what + 1;
        c.id = uuid();
        c.ref = vmops_span_str(REF);
        c.key_id = vmops_span_str(CKEY);
        c.code = 4403;
        assert_int_equal(vmops_ctl_write(out, sizeof(out), &s, &c), 0);
        assert_span(s, texts[what]);
        assert_int_equal(vmops_ctl_parse(&got, fresh(), s), 0);
        assert_int_equal(got.what, what);
        assert_int_equal(got.n, what + 1);
    }

    c.what = VMOPS_CTL_MAX_;
    assert_int_equal(vmops_ctl_write(out, sizeof(out), &s, &c), -1);

    for (what = 0; what < COUNT(refused); what++) {
        assert_int_equal(vmops_ctl_parse(&got, fresh(),
                             vmops_span_str(refused[what])), -1);
    }
}


#define B32   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define SIG   B32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define SEAL  "{\"from\":1,\"n\":9,\"h\":\"" B32 "\",\"ms\":5,\"sig\":\"" SIG \
              "\"}"
#define ROUTE "{\"secret_ref\":\"" REF "\",\"ok\":true,\"stage\":\"http\"," \
              "\"code\":null,\"latency_ms\":12,\"checked_at\":"               \
              "\"2026-01-01T00:00:00.000Z\"}"


/* each message of the channel, in the form it is written */

static const char *const  messages[] = {
    "{\"t\":\"hello\",\"nonce\":\"" B32 "\",\"time\":1767225600000}",
    "{\"t\":\"auth\",\"tenant\":\"acme\",\"agent\":\"" ID "\",\"nonce\":\""
    B32 "\",\"epoch\":7,\"cb\":\"tls-exporter\",\"sig\":\"" SIG
    "\",\"version\":\"1.0.0\",\"platform\":\"windows\"}",
    "{\"t\":\"welcome\",\"session\":\"" ID "\",\"epoch\":8,\"time\":9,"
    "\"ping_s\":25,\"status\":\"approved\",\"audit_head\":" SEAL
    ",\"command_key_id\":\"" CKEY "\",\"sig\":\"" SIG "\"}",
    "{\"t\":\"welcome\",\"session\":\"" ID "\",\"epoch\":8,\"time\":9,"
    "\"ping_s\":25,\"status\":\"pending_approval\",\"audit_head\":null,"
    "\"command_key_id\":\"" CKEY "\",\"sig\":\"" SIG "\"}",
    "{\"t\":\"ready\",\"last_seq\":0}",
    "{\"t\":\"cmd\",\"p\":\"e30\",\"k\":\"" CKEY "\",\"s\":\"" SIG "\"}",
    "{\"t\":\"ack\",\"id\":\"" ID "\",\"status\":\"accepted\"}",
    "{\"t\":\"ack\",\"id\":\"" ID "\",\"status\":\"rejected\",\"code\":"
    "\"command_expired\"}",
    "{\"t\":\"secret.get\",\"id\":\"r-1\",\"ref\":\"" REF "\",\"version\":1}",
    "{\"t\":\"secret\",\"id\":\"r-1\",\"error\":\"not_found\"}",
    "{\"t\":\"progress\",\"id\":\"" ID "\",\"percent\":100,\"stage\":\"task\","
    "\"message\":\"\"}",
    "{\"t\":\"log\",\"id\":\"" ID "\",\"line\":\"a \\\"line\\\"\"}",
    "{\"t\":\"result\",\"id\":\"" ID "\",\"p\":\"e30\",\"s\":\"" SIG "\"}",
    "{\"t\":\"result\",\"id\":\"" ID "\",\"p\":\"e30\",\"s\":\"" SIG
    "\",\"cmd\":{\"p\":\"e30\",\"k\":\"" CKEY "\",\"s\":\"" SIG "\"}}",
    "{\"t\":\"result.ok\",\"id\":\"" ID "\"}",
    "{\"t\":\"ctl\",\"p\":\"e30\",\"k\":\"" CKEY "\",\"s\":\"" SIG "\"}",
    "{\"t\":\"bye\",\"code\":\"tenant_suspended\",\"retry_after_ms\":300000}",
    "{\"t\":\"status\",\"routes\":[" ROUTE "],\"keystore\":\"unreadable\","
    "\"key_id\":\"" KEY "\",\"capabilities\":[\"proxmox\",\"syncthing\"],"
    "\"audit_head\":" SEAL "}",
    "{\"t\":\"status\",\"routes\":[],\"keystore\":\"ok\",\"key_id\":null,"
    "\"capabilities\":[],\"audit_head\":null}"
};


static void
message_round_trips(void **state UNUSED)
{
    size_t        i, n;
    unsigned      seen;
    vmops_msg_t   m;
    vmops_span_t  s;

    seen = 0;

    for (i = 0; i < COUNT(messages); i++) {
        if (vmops_msg_parse(&m, fresh(), vmops_span_str(messages[i]))
            != VMOPS_MSG_OK)
        {
            fail_msg("refused: %s", messages[i]);
        }

        seen |= 1u << m.type;
        assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), 0);
        assert_span(s, messages[i]);

        for (n = 0; n < s.n; n++) {
            assert_int_equal(vmops_msg_write(again, n, &s, &m), -1);
            assert_int_equal(vmops_msg_parse(&m, fresh(),
                                 vmops_span(messages[i], n)),
                             VMOPS_MSG_MALFORMED);
            assert_int_equal(vmops_msg_parse(&m, fresh(),
                                 vmops_span_str(messages[i])), VMOPS_MSG_OK);
        }
    }

    assert_int_equal(seen, (1u << VMOPS_MSG_MAX_) - 1);
}


/* any one member taken away, or made a boolean: malformed, unless it may be
 * left out; anything added: ignored */

static void
members_of_messages(void **state UNUSED)
{
    size_t               i;
    vmops_jw_t           w;
    vmops_msg_t          m;
    vmops_span_t         s;
    const vmops_json_t  *root, *drop, *member;

    for (i = 0; i < COUNT(messages); i++) {
        assert_int_equal(vmops_json_parse(&root, fresh(),
                             vmops_span_str(messages[i])), VMOPS_JSON_OK);

        for (drop = root->child->next; drop != NULL; drop = drop->next) {
            if (vmops_span_is(drop->key, "error")) {
                continue;       /* without it, it is another message */
            }

            vmops_jw_init(&w, out, sizeof(out));
            vmops_jw_obj(&w);
            for (member = root->child; member; member = member->next) {
                vmops_jw_key_span(&w, member->key);
                if (member == drop) {
                    vmops_jw_bool(&w, 1);
                } else {
                    vmops_jw_node(&w, member);
                }
            }
            vmops_jw_obj_end(&w);
            assert_int_equal(vmops_jw_done(&w, &s), 0);
            assert_int_equal(vmops_msg_parse(&m, &arena, s),
                             VMOPS_MSG_MALFORMED);

            vmops_jw_init(&w, out, sizeof(out));
            vmops_jw_obj(&w);
            for (member = root->child; member; member = member->next) {
                if (member != drop) {
                    vmops_jw_key_span(&w, member->key);
                    vmops_jw_node(&w, member);
                }
            }
            vmops_jw_obj_end(&w);
            assert_int_equal(vmops_jw_done(&w, &s), 0);
            assert_int_equal(vmops_msg_parse(&m, &arena, s),
                             vmops_span_is(drop->key, "code")
                             && vmops_span_is(root->child->str, "ack")
                             ? VMOPS_MSG_OK
                             : vmops_span_is(drop->key, "cmd")
                             ? VMOPS_MSG_OK : VMOPS_MSG_MALFORMED);
        }

        vmops_jw_init(&w, out, sizeof(out));
        vmops_jw_obj(&w);
        vmops_jw_kcstr(&w, "later", "unknown member");
        for (member = root->child; member; member = member->next) {
            vmops_jw_key_span(&w, member->key);
            vmops_jw_node(&w, member);
        }
        vmops_jw_obj_end(&w);
        assert_int_equal(vmops_jw_done(&w, &s), 0);
        assert_int_equal(vmops_msg_parse(&m, &arena, s), VMOPS_MSG_OK);
    }
}


static void
secrets_and_limits(void **state UNUSED)
{
    char            line[VMOPS_LINE_MAX + 1];
    uint8_t         nonce[24] = { 1 };
    vmops_msg_t     m, got;
    vmops_span_t    s;
    static uint8_t  sealed[VMOPS_SECRET_CIPHERTEXT_MAX + 1];

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_SECRET;
    m.u.secret.id = vmops_span_str("1");
    m.u.secret.ref = vmops_span_str(REF);
    m.u.secret.version = 2;
    m.u.secret.kind = VMOPS_KIND_SSH_KEY;
    m.u.secret.alg = vmops_span_str("xc20p-blake2b-v1");
    m.u.secret.key_id = vmops_span_str(KEY);
    m.u.secret.created_ms = 5;
    m.u.secret.nonce = vmops_span(nonce, 24);
    m.u.secret.ciphertext = vmops_span(sealed, sizeof(sealed) - 1);
    m.u.secret.aad_meta = vmops_span_str("");

    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), 0);
    assert_int_equal(vmops_msg_parse(&got, fresh(), s), VMOPS_MSG_OK);
    assert_null(got.u.secret.error.p);
    assert_int_equal(got.u.secret.kind, VMOPS_KIND_SSH_KEY);
    assert_int_equal(got.u.secret.ciphertext.n, sizeof(sealed) - 1);
    assert_int_equal(got.u.secret.aad_meta.n, 0);

    m.u.secret.ciphertext = vmops_span(sealed, sizeof(sealed));
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), -1);
    m.u.secret.ciphertext = vmops_span(sealed, 271);
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), -1);
    m.u.secret.ciphertext = vmops_span(sealed, 272);
    m.u.secret.kind = 0;
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), -1);
    m.u.secret.kind = VMOPS_KIND_MAX_;
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), -1);

    memset(line, 'l', sizeof(line));
    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_LOG;
    m.u.log.line = vmops_span(line, VMOPS_LINE_MAX);
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), 0);
    assert_int_equal(vmops_msg_parse(&got, fresh(), s), VMOPS_MSG_OK);
    m.u.log.line = vmops_span(line, VMOPS_LINE_MAX + 1);
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), -1);
    m.u.log.line = vmops_span_str("\ttwo\nlines\x1b\x7f");
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), 0);
    assert_int_equal(vmops_msg_parse(&got, fresh(), s), VMOPS_MSG_OK);
    assert_true(vmops_span_is(got.u.log.line, "\ttwo\nlines\x1b\x7f"));
    m.u.log.line = vmops_span_str("\xff");
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), -1);

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_PROGRESS;
    m.u.progress.stage = vmops_span_str("a stage");
    m.u.progress.message = vmops_span_str("two\nlines");
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), 0);
    m.u.progress.stage = vmops_span_str("two\nlines");
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), -1);
    m.u.progress.stage = m.u.progress.message = vmops_span_str("");
    m.u.progress.percent = 101;
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), -1);

    m.type = VMOPS_MSG_MAX_;
    assert_int_equal(vmops_msg_write(out, sizeof(out), &s, &m), -1);
}


static void
unknown_and_malformed(void **state UNUSED)
{
    size_t       i;
    vmops_msg_t  m;

    static const struct {
        const char      *text;
        vmops_msg_rc_t   rc;
    } cases[] = {
        { "{\"t\":\"later\"}", VMOPS_MSG_UNKNOWN },
        { "{\"t\":\"Hello\"}", VMOPS_MSG_UNKNOWN },
        { "{\"t\":1}", VMOPS_MSG_MALFORMED },
        { "{}", VMOPS_MSG_MALFORMED }, { "[]", VMOPS_MSG_MALFORMED },
        { "", VMOPS_MSG_MALFORMED }, { "hello", VMOPS_MSG_MALFORMED },
        { "{\"t\":\"ready\",\"last_seq\":0}x", VMOPS_MSG_MALFORMED },
        { "{\"t\":\"ready\",\"last_seq\":-1}", VMOPS_MSG_MALFORMED },
        { "{\"t\":\"ready\",\"t\":\"ready\",\"last_seq\":0}",
          VMOPS_MSG_MALFORMED },
        { "{\"t\":\"cmd\",\"p\":\"e30\",\"k\":\"" CKEY "\",\"s\":\"" B32
          "\"}", VMOPS_MSG_MALFORMED },         /* 32 bytes are no signature */
        { "{\"t\":\"cmd\",\"p\":\"e31\",\"k\":\"" CKEY "\",\"s\":\"" SIG
          "\"}", VMOPS_MSG_MALFORMED },         /* not canonical */
        { "{\"t\":\"status\",\"routes\":[],\"keystore\":\"ok\",\"key_id\":"
          "null,\"capabilities\":[\"ssh\",\"ssh\"],\"audit_head\":null}",
          VMOPS_MSG_MALFORMED },
        { "{\"t\":\"status\",\"routes\":[{}],\"keystore\":\"ok\",\"key_id\":"
          "null,\"capabilities\":[],\"audit_head\":null}",
          VMOPS_MSG_MALFORMED }
    };

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(vmops_msg_parse(&m, fresh(),
                             vmops_span_str(cases[i].text)), cases[i].rc);
    }
}


static void
shared_pieces(void **state UNUSED)
{
    size_t               i;
    unsigned             bits, got;
    vmops_jw_t           w;
    vmops_seal_t         seal;
    vmops_span_t         s;
    vmops_route_t        r;
    vmops_json_error_t   err;
    const vmops_json_t  *root;

    for (i = 0; i < VMOPS_ST_MAX_; i++) {
        assert_int_equal(vmops_status_find(
                             vmops_span_str(vmops_status_name((unsigned) i))),
                         i);
    }
    assert_int_equal(vmops_status_find(vmops_span_str("done")), -1);
    assert_false(vmops_status_is_final(VMOPS_ST_RUNNING));
    assert_true(vmops_status_is_final(VMOPS_ST_INDETERMINATE));
    assert_false(vmops_status_is_final(VMOPS_ST_MAX_));

    for (bits = 0; bits < 8; bits++) {
        vmops_jw_init(&w, out, sizeof(out));
        vmops_capabilities_write(&w, bits);
        assert_int_equal(vmops_jw_done(&w, &s), 0);
        assert_int_equal(vmops_json_parse(&root, fresh(), s), VMOPS_JSON_OK);
        assert_int_equal(vmops_capabilities_parse(&got, root), 0);
        assert_int_equal(got, bits);
    }

    assert_int_equal(vmops_json_parse(&root, fresh(), vmops_span_str(SEAL)),
                     VMOPS_JSON_OK);
    assert_int_equal(vmops_seal_parse(&seal, root), 0);
    assert_int_equal(seal.to, 9);
    vmops_jw_init(&w, out, sizeof(out));
    vmops_seal_write(&w, &seal);
    assert_int_equal(vmops_jw_done(&w, &s), 0);
    assert_span(s, SEAL);

    r = (vmops_route_t) {
        .secret_ref = vmops_span_str(REF), .ok = 1,
        .stage = VMOPS_STAGE_HTTP, .latency_ms = 12,
        .checked_ms = 1767225600000
    };
    vmops_jw_init(&w, out, sizeof(out));
    vmops_jw_arr(&w);
    vmops_route_write(&w, &r);
    r.latency_ms = -1;
    r.ok = 0;
    r.stage = VMOPS_STAGE_DNS;
    r.code = vmops_span_str("dns_failed");
    vmops_route_write(&w, &r);
    vmops_jw_arr_end(&w);
    assert_int_equal(vmops_jw_done(&w, &s), 0);
    assert_int_equal(vmops_json_parse(&root, fresh(), s), VMOPS_JSON_OK);
    vmops_json_error_init(&err, "/routes");
    assert_int_equal(vmops_routes_check(root, &err), 0);

    assert_int_equal(vmops_json_parse(&root, fresh(), vmops_span_str(
                         "[" ROUTE ",{\"secret_ref\":1}]")), VMOPS_JSON_OK);
    assert_int_equal(vmops_routes_check(root, &err), -1);
    assert_string_equal(err.pointer, "/routes/1/secret_ref");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(command_round_trip),
        cmocka_unit_test(command_refusals),
        cmocka_unit_test(command_write_limits),
        cmocka_unit_test(result_round_trip),
        cmocka_unit_test(largest_result),
        cmocka_unit_test(ctl_round_trips),
        cmocka_unit_test(message_round_trips),
        cmocka_unit_test(members_of_messages),
        cmocka_unit_test(secrets_and_limits),
        cmocka_unit_test(unknown_and_malformed),
        cmocka_unit_test(shared_pieces)
    };

    return RUN(tests);
}
