/*
 * Text forms of binary values are read in one form only; patterns; UTF-8.
 */

#include "unit.h"

#include "vmops_utf8.h"


static void
base64url(void **state UNUSED)
{
    char      text[64];
    size_t    i, n, len;
    uint8_t   bytes[40], back[40];
    unsigned  c, ok;

    static const char *const  refused[] = {
        "A", "AAAAA", "AA==", "AA=", "A+AA", "A/AA", "AA A", "AA\n",
        "AB", "AAB", "A\xc3\xa9", "____\x80"
    };

    for (n = 0; n <= sizeof(bytes); n++) {
        fill(bytes, n, (uint8_t) (n * 7));
        len = vmops_b64u_encode(text, bytes, n);
        assert_int_equal(len, VMOPS_B64U_LEN(n));
        assert_int_equal(vmops_b64u_decode(back, n, &len,
                             vmops_span(text, VMOPS_B64U_LEN(n))), 0);
        assert_int_equal(len, n);
        assert_memory_equal(back, bytes, n);

        if (n > 0) {
            assert_int_equal(vmops_b64u_decode(back, n - 1, &len,
                                 vmops_span(text, VMOPS_B64U_LEN(n))), -1);
        }
    }

    for (i = 0; i < COUNT(refused); i++) {
        assert_int_equal(vmops_b64u_decode(back, sizeof(back), &len,
                             vmops_span_str(refused[i])), -1);
    }

    /* of all second characters, 4 are canonical for one byte */
    ok = 0;
    for (c = 0; c < 256; c++) {
        text[0] = 'Q';
        text[1] = (char) c;
        ok += vmops_b64u_decode_exact(back, 1, vmops_span(text, 2)) == 0;
    }
    assert_int_equal(ok, 4);

    /* RFC 4648 section 10 */
    n = vmops_b64_encode(text, "foob", 4);
    assert_span(vmops_span(text, n), "Zm9vYg==");
    assert_int_equal(vmops_b64_decode(back, 40, &len,
                         vmops_span_str("Zm9vYmE=")), 0);
    assert_span(vmops_span(back, len), "fooba");
    assert_int_equal(vmops_b64_decode(back, 40, &len,
                         vmops_span_str("Zm9vYmE")), -1);
    assert_int_equal(vmops_b64_decode(back, 40, &len,
                         vmops_span_str("Zm9vYg=")), -1);
    assert_int_equal(vmops_b64_decode(back, 40, &len,
                         vmops_span_str("Zg===")), -1);
    assert_int_equal(vmops_b64_decode(back, 40, &len,
                         vmops_span_str("Z===")), -1);
    assert_int_equal(vmops_b64_decode(back, 40, &len,
                         vmops_span_str("")), 0);
    assert_int_equal(len, 0);
}


static void
numbers(void **state UNUSED)
{
    size_t       i;
    uint8_t      buf[32], be[8];
    uint64_t     v;
    vmops_buf_t  b;

    static const char *const  refused[] = {
        "", "-1", "+1", "01", "00", " 1", "1 ", "1a", "0x1",
        "18446744073709551616", "99999999999999999999", "1.0"
    };

    for (i = 0; i < COUNT(refused); i++) {
        assert_int_equal(vmops_dec_parse(vmops_span_str(refused[i]),
                                         UINT64_MAX, &v), -1);
    }

    assert_int_equal(vmops_dec_parse(vmops_span_str("18446744073709551615"),
                                     UINT64_MAX, &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(vmops_dec_parse(vmops_span_str("0"), 0, &v), 0);
    assert_int_equal(vmops_dec_parse(vmops_span_str("256"), 255, &v), -1);

    vmops_buf_init(&b, buf, sizeof(buf));
    vmops_buf_dec(&b, UINT64_MAX);
    vmops_buf_dec(&b, 0);
    assert_span(vmops_span(b.p, b.n), "184467440737095516150");

    vmops_put_u64(be, UINT64_C(0x0102030405060708));
    assert_memory_equal(be, "\1\2\3\4\5\6\7\10", 8);
    assert_true(vmops_get_u64(be) == UINT64_C(0x0102030405060708));
    assert_int_equal(vmops_get_u32(be + 4), 0x05060708);
    assert_int_equal(vmops_get_u16(be + 6), 0x0708);
    vmops_put_u64(be, UINT64_MAX - 1);
    assert_true(vmops_get_u64(be) == UINT64_MAX - 1);

    /* full, then one more */
    vmops_buf_init(&b, buf, 8);
    vmops_buf_u64(&b, 1);
    assert_false(b.overflow);
    vmops_buf_u8(&b, 1);
    assert_true(b.overflow);
    assert_int_equal(b.n, 8);
    vmops_buf_put(&b, buf, 0);
    assert_true(b.overflow);

    assert_int_equal(vmops_crc32(vmops_span_str("123456789")), 0xcbf43926);
}


static void
uuids(void **state UNUSED)
{
    char          text[64];
    size_t        i;
    uint8_t       random[10];
    unsigned      c, ok;
    vmops_uuid_t  u, back;

    fill(random, 10, 0xf6);
    vmops_uuid_v7(&u, UINT64_C(0x0190a2b3c4d5), random);
    vmops_uuid_format(text, &u);
    assert_string_equal(text, "0190a2b3-c4d5-76f7-b8f9-fafbfcfdfeff");
    assert_int_equal(vmops_uuid_parse(&back, vmops_span_str(text)), 0);
    assert_true(vmops_uuid_eq(&u, &back));

    for (i = 0; i < VMOPS_UUID_TEXT; i++) {
        ok = 0;
        for (c = 0; c < 256; c++) {
            vmops_uuid_format(text, &u);
            text[i] = (char) c;
            ok += vmops_uuid_parse(&back, vmops_span(text, 36)) == 0;
        }
        assert_int_equal(ok, i == 8 || i == 13 || i == 18 || i == 23 ? 1
                                                                     : 16);
    }

    vmops_secret_ref_format(text, &u);
    assert_string_equal(text, "sec_0190a2b3c4d576f7b8f9fafbfcfdfeff");
    assert_int_equal(vmops_secret_ref_parse(&back, vmops_span_str(text)), 0);
    assert_true(vmops_uuid_eq(&u, &back));
    text[4] = 'A';
    assert_int_equal(vmops_secret_ref_parse(&back, vmops_span_str(text)),
                     -1);
    assert_int_equal(vmops_secret_ref_parse(&back, vmops_span(text, 35)),
                     -1);
}


static void
times(void **state UNUSED)
{
    char     text[VMOPS_TIME_TEXT + 1];
    size_t   i;
    int64_t  ms, back;

    static const struct {
        const char  *text;
        int64_t      ms;            /* -1: refused */
    } cases[] = {
        { "1970-01-01T00:00:00.000Z", 0 },
        { "1970-01-01T00:00:00Z", 0 },
        { "2026-01-01T00:00:00.123Z", 1767225600123 },
        { "2026-01-01T00:00:00.123456789Z", 1767225600123 },
        { "2026-01-01T00:00:00.1Z", 1767225600100 },
        { "2026-01-01T02:30:00+02:30", 1767225600000 },
        { "2025-12-31T19:00:00-05:00", 1767225600000 },
        { "2024-02-29T12:00:00Z", 1709208000000 },
        { "2000-02-29T00:00:00Z", 951782400000 },
        { "9999-12-31T23:59:59.999Z", 253402300799999 },
        { "2100-02-29T00:00:00Z", -1 }, { "2025-02-29T00:00:00Z", -1 },
        { "2025-13-01T00:00:00Z", -1 }, { "2025-00-01T00:00:00Z", -1 },
        { "2025-04-31T00:00:00Z", -1 }, { "2025-01-00T00:00:00Z", -1 },
        { "2025-01-01T24:00:00Z", -1 }, { "2025-01-01T00:60:00Z", -1 },
        { "2016-12-31T23:59:60Z", -1 }, { "1969-12-31T23:59:59Z", -1 },
        { "1970-01-01T00:00:00+00:01", -1 },
        { "9999-12-31T23:59:59-00:01", -1 },
        { "2025-01-01t00:00:00Z", -1 }, { "2025-01-01T00:00:00z", -1 },
        { "2025-01-01 00:00:00Z", -1 }, { "2025-01-01T00:00:00", -1 },
        { "2025-01-01T00:00:00.Z", -1 }, { "2025-01-01T00:00Z", -1 },
        { "2025-01-01T00:00:00.1234567890Z", -1 },
        { "2025-01-01T00:00:00+24:00", -1 }, { "2025-1-1T00:00:00Z", -1 },
        { "2025-01-01T00:00:00+0200", -1 }, { "", -1 },
        { "2025-01-01T00:00:00ZZ", -1 }
    };

    for (i = 0; i < COUNT(cases); i++) {
        if (cases[i].ms < 0) {
            assert_int_equal(vmops_time_parse(&ms,
                                 vmops_span_str(cases[i].text)), -1);
            continue;
        }

        assert_int_equal(vmops_time_parse(&ms, vmops_span_str(cases[i].text)),
                         0);
        assert_true(ms == cases[i].ms);
    }

    /* there and back, over leap years and ends of months */
    for (ms = 0; ms < INT64_C(4102444800000); ms += INT64_C(86399999) * 7) {
        vmops_time_format(text, ms);
        assert_int_equal(vmops_time_parse(&back, vmops_span_str(text)), 0);
        assert_true(back == ms);
    }

    vmops_time_format(text, -1);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    vmops_time_format(text, INT64_MAX);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}


static void
patterns(void **state UNUSED)
{
    char    longest[300];
    size_t  i;

    static const struct {
        vmops_pattern_t  pattern;
        const char      *text;
        int              ok;
    } cases[] = {
        { VMOPS_P_UUID, "01890000-0000-4000-0000-000000000000", 1 },
        { VMOPS_P_UUID7, "01890000-0000-7000-8000-000000000000", 1 },
        { VMOPS_P_UUID7, "01890000-0000-7fff-bfff-000000000000", 1 },
        { VMOPS_P_UUID7, "01890000-0000-4000-8000-000000000000", 0 },
        { VMOPS_P_UUID7, "01890000-0000-7000-7000-000000000000", 0 },
        { VMOPS_P_UUID7, "01890000-0000-7000-c000-000000000000", 0 },
        { VMOPS_P_UUID7, "01890000-0000-7000-A000-000000000000", 0 },
        { VMOPS_P_TENANT, "a", 1 }, { VMOPS_P_TENANT, "acme-2", 1 },
        { VMOPS_P_TENANT, "", 0 }, { VMOPS_P_TENANT, "-a", 0 },
        { VMOPS_P_TENANT, "a-", 0 }, { VMOPS_P_TENANT, "A", 0 },
        { VMOPS_P_TENANT, "a_b", 0 }, { VMOPS_P_TENANT, "platform", 0 },
        { VMOPS_P_TENANT, "{t}", 0 },
        { VMOPS_P_TENANT, "a23456789-123456789-123456789-12", 1 },
        { VMOPS_P_TENANT, "a23456789-123456789-123456789-123", 0 },
        { VMOPS_P_NODE, "pve1", 1 }, { VMOPS_P_NODE, "-", 1 },
        { VMOPS_P_NODE, "pve1/..", 0 }, { VMOPS_P_NODE, "PVE", 0 },
        { VMOPS_P_NODE, "pve.1", 0 }, { VMOPS_P_NODE, "", 0 },
        { VMOPS_P_BOT_ID, "Bot_1.x-y", 1 }, { VMOPS_P_BOT_ID, "a:b", 0 },
        { VMOPS_P_BOT_ID, "a/b", 0 }, { VMOPS_P_BOT_ID, "", 0 },
        { VMOPS_P_HOSTNAME, "pve1.lan", 1 },
        { VMOPS_P_HOSTNAME, "10.0.0.1", 1 },
        { VMOPS_P_HOSTNAME, "fe80::1", 1 },
        { VMOPS_P_HOSTNAME, "DESKTOP_1", 1 },
        { VMOPS_P_HOSTNAME, "a..b", 0 }, { VMOPS_P_HOSTNAME, "-a", 0 },
        { VMOPS_P_HOSTNAME, "a b", 0 }, { VMOPS_P_HOSTNAME, "a.", 0 },
        { VMOPS_P_VM_NAME, "web-1.example", 1 }, { VMOPS_P_VM_NAME, "x", 1 },
        { VMOPS_P_VM_NAME, "a..b", 0 }, { VMOPS_P_VM_NAME, "web_1", 0 },
        { VMOPS_P_KEY_ID, "k1000102030405060708090a0b0c0d0e0f", 1 },
        { VMOPS_P_KEY_ID, "c1000102030405060708090a0b0c0d0e0f", 0 },
        { VMOPS_P_COMMAND_KEY_ID, "c1000102030405060708090a0b0c0d0e0f", 1 },
        { VMOPS_P_COMMAND_KEY_ID, "c1000102030405060708090A0b0c0d0e0f", 0 },
        { VMOPS_P_ACTION, "next-id", 1 }, { VMOPS_P_ACTION, "next_id", 0 },
        { VMOPS_P_ACTION, "-x", 0 }, { VMOPS_P_ACTION, "1x", 0 },
        { VMOPS_P_CODE, "no_route", 1 }, { VMOPS_P_CODE, "No", 0 },
        { VMOPS_P_CODE, "a-b", 0 }, { VMOPS_P_CODE, "", 0 },
        { VMOPS_P_SUBJECT, "alice@example.org", 1 },
        { VMOPS_P_SUBJECT, "al ice", 0 }, { VMOPS_P_SUBJECT, "\xc3\xa9", 0 },
        { VMOPS_P_SUBJECT, "", 0 },
        { VMOPS_P_VERSION, "1.2.3-rc1+g12", 1 }, { VMOPS_P_VERSION, "1", 1 },
        { VMOPS_P_VERSION, "-1", 0 }, { VMOPS_P_VERSION, "1 2", 0 },
        { VMOPS_P_TEXT, "any \xc3\xa9 text", 1 }, { VMOPS_P_TEXT, "", 1 },
        { VMOPS_P_TEXT, "two\nlines", 0 }, { VMOPS_P_TEXT, "\x7f", 0 },
        { VMOPS_P_TEXT, "\xc2\x85", 0 }, { VMOPS_P_TEXT, "\xc2\xa0", 1 },
        { VMOPS_P_TEXT, "\xff", 0 },
        { VMOPS_P_B64U, "", 1 }, { VMOPS_P_B64U, "AA", 1 },
        { VMOPS_P_B64U, "AB", 0 }, { VMOPS_P_B64U, "AAAA", 1 },
        { VMOPS_P_B64U, "AAAAA", 0 }, { VMOPS_P_B64U, "AA==", 0 },
        { VMOPS_P_TIME, "2026-01-01T00:00:00Z", 1 },
        { VMOPS_P_TIME, "2026-01-01", 0 },
        { VMOPS_P_NONE, "\xff anything", 1 }
    };

    for (i = 0; i < COUNT(cases); i++) {
        if (vmops_pattern_match(cases[i].pattern,
                                vmops_span_str(cases[i].text))
            != cases[i].ok)
        {
            fail_msg("pattern %d: %s", (int) cases[i].pattern,
                     cases[i].text);
        }
    }

    memset(longest, 'a', sizeof(longest));
    for (i = 63; i < 253; i += 64) {
        longest[i] = '.';
    }
    assert_true(vmops_pattern_match(VMOPS_P_HOSTNAME,
                                    vmops_span(longest, 253)));
    assert_false(vmops_pattern_match(VMOPS_P_HOSTNAME,
                                     vmops_span(longest, 254)));
    longest[63] = 'a';
    assert_false(vmops_pattern_match(VMOPS_P_HOSTNAME,
                                     vmops_span(longest, 253)));

    for (i = 0; i < VMOPS_P_MAX_; i++) {
        assert_false(vmops_pattern_match(i, vmops_span("a\0b", 3))
                     && i != VMOPS_P_NONE);
    }
}


/* against a decoder that goes by numbers, for every code point */

static size_t
encode(uint8_t *p, uint32_t c)
{
    if (c < 0x80) {
        p[0] = (uint8_t) c;
        return 1;
    }

    if (c < 0x800) {
        p[0] = (uint8_t) (0xc0 | c >> 6);
        p[1] = (uint8_t) (0x80 | (c & 63));
        return 2;
    }

    if (c < 0x10000) {
        p[0] = (uint8_t) (0xe0 | c >> 12);
        p[1] = (uint8_t) (0x80 | (c >> 6 & 63));
        p[2] = (uint8_t) (0x80 | (c & 63));
        return 3;
    }

    p[0] = (uint8_t) (0xf0 | c >> 18);
    p[1] = (uint8_t) (0x80 | (c >> 12 & 63));
    p[2] = (uint8_t) (0x80 | (c >> 6 & 63));
    p[3] = (uint8_t) (0x80 | (c & 63));
    return 4;
}


static void
utf8(void **state UNUSED)
{
    size_t        n, i;
    uint8_t       p[4], dst[32];
    uint8_t       ascii[25];
    uint32_t      c, valid;
    vmops_utf8_t  u;

    for (c = 0; c < 0x120000; c++) {
        n = encode(p, c);
        assert_int_equal(vmops_utf8_valid(vmops_span(p, n)),
                         c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));
    }

    /* all pairs of bytes: 128 * 128 of ASCII and 30 * 64 characters */
    valid = 0;
    for (c = 0; c < 0x10000; c++) {
        p[0] = (uint8_t) (c >> 8);
        p[1] = (uint8_t) c;
        valid += (uint32_t) vmops_utf8_valid(vmops_span(p, 2));
    }
    assert_int_equal(valid, 128 * 128 + 30 * 64);

    /* eight bytes of ASCII are one step */
    for (i = 0; i < sizeof(ascii); i++) {
        memset(ascii, 'x', sizeof(ascii));
        assert_true(vmops_utf8_valid(vmops_span(ascii, i)));
        ascii[i] = 0xc3;
        assert_false(vmops_utf8_valid(vmops_span(ascii, sizeof(ascii))));
        if (i + 1 < sizeof(ascii)) {
            ascii[i + 1] = 0xa9;
            assert_true(vmops_utf8_valid(vmops_span(ascii, sizeof(ascii))));
        }
    }

    /* as it arrives: bad at the first byte that cannot be */
    memset(&u, 0, sizeof(u));
    assert_int_equal(vmops_utf8_feed(&u, (const uint8_t *) "\xf4", 1), 0);
    assert_false(vmops_utf8_complete(&u));
    assert_int_equal(vmops_utf8_feed(&u, (const uint8_t *) "\x90", 1), -1);

    n = vmops_utf8_clean(dst, sizeof(dst),
                         vmops_span_str("a\xff\n\xc3\xa9\xe2\x82"));
    assert_span(vmops_span(dst, n), "a\xef\xbf\xbd \xc3\xa9\xef\xbf\xbd"
                                    "\xef\xbf\xbd");
    for (i = 0; i < 16; i++) {
        n = vmops_utf8_clean(dst, i, vmops_span_str("\xc3\xa9\xff\xc2\x85x"));
        assert_true(n <= i);
        assert_true(vmops_pattern_match(VMOPS_P_TEXT, vmops_span(dst, n)));
    }

    assert_int_equal(vmops_utf8_cut(vmops_span_str("a\xc3\xa9z"), 2), 1);
    assert_int_equal(vmops_utf8_cut(vmops_span_str("a\xc3\xa9z"), 3), 3);
    assert_int_equal(vmops_utf8_cut(vmops_span_str("a\xc3\xa9z"), 9), 4);
    assert_int_equal(vmops_utf8_cut(vmops_span_str("\xf0\x9f\x98\x80"), 3),
                     0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(base64url),
        cmocka_unit_test(numbers),
        cmocka_unit_test(uuids),
        cmocka_unit_test(times),
        cmocka_unit_test(patterns),
        cmocka_unit_test(utf8)
    };

    return RUN(tests);
}
