/*
 * The TLVs of a secret's plaintext: which are required, allowed and refused
 * for each kind, their sizes and order, and the padding.
 */

#include "unit.h"

#include <sodium.h>

#include "vmops_envelope.h"


static uint8_t       pin[32] = { 1 };
static uint8_t       via[16] = { 2 };
static uint8_t       buf[VMOPS_SECRET_PLAINTEXT_MAX + 1024];
static vmops_buf_t   b;


static void
begin(void)
{
    vmops_buf_init(&b, buf, sizeof(buf));
    vmops_buf_u16(&b, 1);
}


static void
tlv(uint16_t tag, const void *p, size_t n)
{
    vmops_buf_u16(&b, tag);
    vmops_buf_u32(&b, (uint32_t) n);
    vmops_buf_put(&b, p, n);
}


static vmops_envelope_rc_t
decode(unsigned kind)
{
    size_t          n;
    vmops_secret_t  s;

    assert_false(b.overflow);
    assert_int_equal(sodium_pad(&n, buf, b.n, b.n <= 4096 ? 256 : 1024,
                                sizeof(buf)), 0);

    return vmops_secret_decode(&s, kind, vmops_span(buf, n));
}


/* what a kind needs, with one tag left out or added */

typedef struct {
    uint16_t     tag;
    const void  *p;
    size_t       n;
} field_t;


static vmops_envelope_rc_t
with(unsigned kind, uint16_t without, field_t extra)
{
    size_t   i;
    int      added;
    field_t  fields[] = {
        { 0x0001, "user", 4 }, { 0x0002, "secret", 6 },
        { 0x0010, "pve1.lan", 8 }, { 0x0011, "\x1f\x46", 2 },
        { 0x0012, pin, 32 }, { 0x0014, pin, 32 }
    };

    begin();
    added = extra.p == NULL;

    for (i = 0; i < COUNT(fields); i++) {
        if (!added && extra.tag <= fields[i].tag) {
            tlv(extra.tag, extra.p, extra.n);
            added = 1;

            if (extra.tag == fields[i].tag) {
                continue;
            }
        }

        if (fields[i].tag == without
            || (fields[i].tag == 0x0014 && kind != 3 && kind != 4)
            || (fields[i].tag == 0x0012 && (kind == 3 || kind == 4)))
        {
            continue;
        }

        tlv(fields[i].tag, fields[i].p, fields[i].n);
    }

    if (!added) {
        tlv(extra.tag, extra.p, extra.n);
    }

    return decode(kind);
}


#define NOTHING  ((field_t) { 0, NULL, 0 })
#define EXTRA(tag, p, n)  ((field_t) { tag, p, n })


static void
required_by_kind(void **state UNUSED)
{
    size_t    i;
    unsigned  kind, required;

    static const struct {
        uint16_t  tag;
        unsigned  kinds;        /* bit per kind */
    } tags[] = {
        { 0x0001, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 },
        { 0x0002, 0xfe },
        { 0x0010, 0x7e },
        { 0x0011, 0x7e },
        { 0x0012, 1 << 1 | 1 << 2 | 1 << 5 | 1 << 6 },
        { 0x0014, 1 << 3 | 1 << 4 }
    };

    for (kind = 1; kind <= 7; kind++) {
        assert_int_equal(with(kind, 0, NOTHING), VMOPS_ENV_OK);

        for (i = 0; i < COUNT(tags); i++) {
            required = tags[i].kinds >> kind & 1;
            assert_int_equal(with(kind, tags[i].tag, NOTHING),
                             required ? VMOPS_ENV_MALFORMED : VMOPS_ENV_OK);
        }
    }

    assert_int_equal(with(0, 0, NOTHING), VMOPS_ENV_MALFORMED);
    assert_int_equal(with(8, 0, NOTHING), VMOPS_ENV_MALFORMED);

    begin();
    tlv(0x0002, "tiny", 4);
    assert_int_equal(decode(7), VMOPS_ENV_OK);
}


static void
allowed_by_kind(void **state UNUSED)
{
    unsigned  kind;

    for (kind = 1; kind <= 7; kind++) {
        assert_int_equal(with(kind, 0, EXTRA(0x0003, "phrase", 6)),
                         kind == 4 ? VMOPS_ENV_OK : VMOPS_ENV_MALFORMED);
        assert_int_equal(with(kind, 0, EXTRA(0x0015, via, 16)),
                         kind == 5 || kind == 6 ? VMOPS_ENV_OK
                                                : VMOPS_ENV_MALFORMED);
        assert_int_equal(with(kind, 0, EXTRA(0x0016, "\0\1", 2)),
                         kind == 5 || kind == 6 ? VMOPS_ENV_OK
                                                : VMOPS_ENV_MALFORMED);
    }
}


static void
sizes_and_values(void **state UNUSED)
{
    size_t  i;

    static const struct {
        uint16_t     tag;
        const char  *p;
        size_t       n;
        int          ok;
    } cases[] = {
        { 0x0013, "12345678901234567890123456789012", 32, 1 },
        { 0x0013, "12345678901234567890123456789012", 31, 0 },
        { 0x0020, "\0\0\0\0\0\0\7\377", 8, 1 },
        { 0x0020, "\0\0\0\0\0\0\10\0", 8, 0 },          /* unknown bit */
        { 0x0020, "\200\0\0\0\0\0\0\1", 8, 0 },
        { 0x0020, "\0\0\0\0\0\0\1", 7, 0 },
        { 0x0021, "\0\0\1\233\166\332\250\0", 8, 1 },
        { 0x0021, "\0\0\0\0", 4, 0 },
        { 0x0022, "\0\0\0\144\0\0\0\307", 8, 1 },
        { 0x0022, "\0\0\0\144\0\0\0\144\0\0\1\0\0\0\1\1", 16, 1 },
        { 0x0022, "\0\0\0\307\0\0\0\144", 8, 0 },       /* from > to */
        { 0x0022, "\0\0\0\144", 4, 0 },
        { 0x0022, "", 0, 0 },
        { 0x0011, "\0\0", 2, 0 },                       /* port 0 */
        { 0x0011, "\1", 1, 0 },
        { 0x0002, "", 0, 0 },
        { 0x0010, "pve1\0.lan", 9, 0 },
        { 0x0001, "us\0er", 5, 0 },
        { 0x0002, "any \0 byte", 10, 1 },
        { 0x0030, "unknown tag", 11, 0 },
        { 0x0004, "unknown tag", 11, 0 }
    };

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(with(2, 0, EXTRA(cases[i].tag, cases[i].p,
                                          cases[i].n)),
                         cases[i].ok ? VMOPS_ENV_OK : VMOPS_ENV_MALFORMED);
    }
}


static void
order_and_lengths(void **state UNUSED)
{
    vmops_secret_t  s;

    begin();                                /* descending */
    tlv(0x0002, "secret", 6);
    tlv(0x0001, "user", 4);
    assert_int_equal(decode(7), VMOPS_ENV_MALFORMED);

    begin();                                /* twice */
    tlv(0x0002, "secret", 6);
    tlv(0x0002, "secret", 6);
    assert_int_equal(decode(7), VMOPS_ENV_MALFORMED);

    begin();                                /* longer than the rest */
    tlv(0x0002, "secret", 6);
    buf[7] = 7;
    assert_int_equal(decode(7), VMOPS_ENV_MALFORMED);

    begin();                                /* a length of 2^32 - 1 */
    tlv(0x0002, "secret", 6);
    memset(buf + 4, 0xff, 4);
    assert_int_equal(decode(7), VMOPS_ENV_MALFORMED);

    begin();                                /* something after the last one */
    tlv(0x0002, "secret", 6);
    vmops_buf_u8(&b, 0);
    assert_int_equal(decode(7), VMOPS_ENV_MALFORMED);

    begin();                                /* another version */
    tlv(0x0002, "secret", 6);
    buf[1] = 2;
    assert_int_equal(decode(7), VMOPS_ENV_MALFORMED);

    begin();
    b.n = 1;
    assert_int_equal(decode(7), VMOPS_ENV_MALFORMED);

    assert_int_equal(vmops_secret_decode(&s, 7, vmops_span(buf, 0)),
                     VMOPS_ENV_MALFORMED);
}


static void
plain_http(void **state UNUSED)
{
    size_t  i;

    static const struct {
        const char  *host;
        int          tunnel;
        int          ok;
    } cases[] = {
        { "127.0.0.1", 0, 1 }, { "127.255.0.9", 0, 1 }, { "::1", 0, 1 },
        { "[::1]", 0, 1 }, { "localhost", 0, 1 },
        { "10.0.0.1", 0, 0 }, { "127.0.0.1.example.org", 0, 0 },
        { "127.0.0", 0, 0 }, { "127.0.0.256", 0, 0 }, { "127.0.0.1x", 0, 0 },
        { "localhost.example.org", 0, 0 }, { "::2", 0, 0 },
        { "10.0.0.1", 1, 1 }
    };

    for (i = 0; i < COUNT(cases); i++) {
        begin();
        tlv(0x0002, "secret", 6);
        tlv(0x0010, cases[i].host, strlen(cases[i].host));
        tlv(0x0011, "\x20\xa0", 2);
        if (cases[i].tunnel) {
            tlv(0x0015, via, 16);
        }
        tlv(0x0016, "\0\2", 2);
        assert_int_equal(decode(5), cases[i].ok ? VMOPS_ENV_OK
                                                : VMOPS_ENV_MALFORMED);
    }

    /* https, said or not, asks for a pin; other schemes do not exist */
    begin();
    tlv(0x0002, "secret", 6);
    tlv(0x0010, "127.0.0.1", 9);
    tlv(0x0011, "\x20\xa0", 2);
    assert_int_equal(decode(5), VMOPS_ENV_MALFORMED);
    tlv(0x0016, "\0\1", 2);
    assert_int_equal(decode(5), VMOPS_ENV_MALFORMED);
    b.n -= 8;
    tlv(0x0016, "\0\3", 2);
    assert_int_equal(decode(5), VMOPS_ENV_MALFORMED);
}


static vmops_envelope_rc_t
encode_opaque(size_t secret, size_t *n)
{
    vmops_secret_t  s;
    static uint8_t  bytes[20000];

    memset(bytes, 's', sizeof(bytes));
    memset(&s, 0, sizeof(s));
    s.secret = vmops_span(bytes, secret);

    return vmops_secret_encode(buf, sizeof(buf), n, 7, &s);
}


static void
padding_borders(void **state UNUSED)
{
    size_t          i, n;
    vmops_secret_t  s;

    static const struct {
        size_t  unpadded;
        size_t  padded;
    } cases[] = {
        { 9, 256 }, { 255, 256 }, { 256, 512 }, { 4095, 4096 },
        { 4096, 4352 }, { 4097, 5120 }, { 5119, 5120 }, { 5120, 6144 },
        { 16383, 16384 }, { 16384, 0 }, { 17000, 0 }
    };

    for (i = 0; i < COUNT(cases); i++) {
        if (cases[i].padded == 0) {
            assert_int_equal(encode_opaque(cases[i].unpadded - 8, &n),
                             VMOPS_ENV_SIZE);
            continue;
        }

        assert_int_equal(encode_opaque(cases[i].unpadded - 8, &n),
                         VMOPS_ENV_OK);
        assert_int_equal(n, cases[i].padded);
        assert_int_equal(vmops_secret_decode(&s, 7, vmops_span(buf, n)),
                         VMOPS_ENV_OK);
        assert_int_equal(s.secret.n, cases[i].unpadded - 8);
    }

    /* not by the rule: blocks that are no multiple, another pad */
    assert_int_equal(encode_opaque(100, &n), VMOPS_ENV_OK);
    assert_int_equal(vmops_secret_decode(&s, 7, vmops_span(buf, n - 1)),
                     VMOPS_ENV_MALFORMED);
    assert_int_equal(vmops_secret_decode(&s, 7, vmops_span(buf, n + 256)),
                     VMOPS_ENV_MALFORMED);
    buf[n - 1] = 1;
    assert_int_equal(vmops_secret_decode(&s, 7, vmops_span(buf, n)),
                     VMOPS_ENV_MALFORMED);
}


static void
encode_holds_the_rules(void **state UNUSED)
{
    size_t          n;
    vmops_secret_t  s, back;

    memset(&s, 0, sizeof(s));
    s.user = vmops_span_str("root@pam");
    s.secret = vmops_span_str("secret");
    s.host = vmops_span_str("pve1");
    s.port = 8006;
    s.tls_pin = vmops_span(pin, 32);
    s.has_not_after = 1;
    s.not_after_ms = 1767225600000;
    s.vmids = vmops_span("\0\0\0\144\0\0\0\307", 8);

    assert_int_equal(vmops_secret_encode(buf, sizeof(buf), &n, 1, &s),
                     VMOPS_ENV_OK);
    assert_int_equal(vmops_secret_decode(&back, 1, vmops_span(buf, n)),
                     VMOPS_ENV_OK);
    assert_span(back.user, "root@pam");
    assert_int_equal(back.port, 8006);
    assert_false(back.has_classes);
    assert_true(vmops_secret_allows_vmid(&back, 100));
    assert_true(vmops_secret_allows_vmid(&back, 199));
    assert_false(vmops_secret_allows_vmid(&back, 99));
    assert_false(vmops_secret_allows_vmid(&back, 200));
    assert_true(vmops_secret_allows_time(&back, 1767225600000));
    assert_false(vmops_secret_allows_time(&back, 1767225600001));

    assert_int_equal(vmops_secret_encode(buf, 255, &n, 1, &s),
                     VMOPS_ENV_SIZE);
    s.tls_pin = vmops_span(pin, 31);
    assert_int_equal(vmops_secret_encode(buf, sizeof(buf), &n, 1, &s),
                     VMOPS_ENV_MALFORMED);
    s.tls_pin = vmops_span(NULL, 0);
    assert_int_equal(vmops_secret_encode(buf, sizeof(buf), &n, 1, &s),
                     VMOPS_ENV_MALFORMED);
    s.tls_pin = vmops_span(pin, 32);
    s.via = vmops_span(via, 16);
    assert_int_equal(vmops_secret_encode(buf, sizeof(buf), &n, 1, &s),
                     VMOPS_ENV_MALFORMED);
}


static void
via_in_the_clear(void **state UNUSED)
{
    vmops_uuid_t    same, other;
    vmops_secret_t  s;

    memcpy(same.b, via, 16);
    memcpy(other.b, pin, 16);
    memset(&s, 0, sizeof(s));

    assert_true(vmops_secret_via_is(&s, NULL));
    assert_false(vmops_secret_via_is(&s, &same));

    s.via = vmops_span(via, 16);
    assert_true(vmops_secret_via_is(&s, &same));
    assert_false(vmops_secret_via_is(&s, &other));
    assert_false(vmops_secret_via_is(&s, NULL));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(required_by_kind),
        cmocka_unit_test(allowed_by_kind),
        cmocka_unit_test(sizes_and_values),
        cmocka_unit_test(order_and_lengths),
        cmocka_unit_test(plain_http),
        cmocka_unit_test(padding_borders),
        cmocka_unit_test(encode_holds_the_rules),
        cmocka_unit_test(via_in_the_clear)
    };

    return RUN(tests);
}
