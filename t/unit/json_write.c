/*
 * The JSON writer: commas, escapes, text forms, and one verdict at the end.
 */

#include "unit.h"


static uint8_t       out[1024];
static vmops_jw_t    w;
static vmops_span_t  s;


static void
begin(void)
{
    vmops_jw_init(&w, out, sizeof(out));
}


static void
end(const char *text)
{
    assert_int_equal(vmops_jw_done(&w, &s), 0);
    assert_span(s, text);
}


static void
everything(void)
{
    static const uint8_t       bytes[] = { 0, 255, 128, 7 };
    static const vmops_uuid_t  u = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                                       13, 14, 15, 16 } };

    vmops_jw_obj(&w);
    vmops_jw_kstr(&w, "s", vmops_span_str("a\"\\\b\f\n\r\t\x01\xc3\xa9"));
    vmops_jw_kcstr(&w, "none", NULL);
    vmops_jw_kstr(&w, "null", vmops_span(NULL, 0));
    vmops_jw_kstr(&w, "empty", vmops_span("", 0));
    vmops_jw_kint(&w, "min", INT64_MIN);
    vmops_jw_kint(&w, "zero", 0);
    vmops_jw_key(&w, "max");
    vmops_jw_uint(&w, UINT64_MAX);
    vmops_jw_kbool(&w, "t", 1);
    vmops_jw_kbool(&w, "f", 0);
    vmops_jw_knull(&w, "n");
    vmops_jw_kb64u(&w, "b", bytes, sizeof(bytes));
    vmops_jw_kb64u(&w, "b0", bytes, 0);
    vmops_jw_ktime(&w, "at", 1767225600123);
    vmops_jw_ktime(&w, "never", -1);
    vmops_jw_kuuid(&w, "u", &u);
    vmops_jw_key(&w, "ref");
    vmops_jw_secret_ref(&w, &u);
    vmops_jw_kraw(&w, "raw", vmops_span_str("[1]"));
    vmops_jw_key(&w, "list");
    vmops_jw_arr(&w);
    vmops_jw_arr(&w);
    vmops_jw_arr_end(&w);
    vmops_jw_obj(&w);
    vmops_jw_obj_end(&w);
    vmops_jw_int(&w, 1);
    vmops_jw_cstr(&w, "x");
    vmops_jw_arr_end(&w);
    vmops_jw_obj_end(&w);
}


static const char  everything_text[] =
    "{\"s\":\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\xc3\xa9\",\"none\":null,"
    "\"null\":null,\"empty\":\"\",\"min\":-9223372036854775808,\"zero\":0,"
    "\"max\":18446744073709551615,\"t\":true,\"f\":false,\"n\":null,"
    "\"b\":\"AP-ABw\",\"b0\":\"\",\"at\":\"2026-01-01T00:00:00.123Z\","
    "\"never\":null,\"u\":\"01020304-0506-0708-090a-0b0c0d0e0f10\","
    "\"ref\":\"sec_0102030405060708090a0b0c0d0e0f10\",\"raw\":[1],"
    "\"list\":[[],{},1,\"x\"]}";


static void
one_of_each(void **state UNUSED)
{
    begin();
    everything();
    end(everything_text);
}


/* whatever does not fit: told once, nothing written beyond */

static void
every_size(void **state UNUSED)
{
    size_t   n;
    uint8_t  small[sizeof(everything_text)];

    for (n = 0; n < sizeof(everything_text) - 1; n++) {
        memset(small, 0xee, sizeof(small));
        vmops_jw_init(&w, small, n);
        everything();
        assert_int_equal(vmops_jw_done(&w, &s), -1);
        assert_int_equal(small[n], 0xee);
    }

    vmops_jw_init(&w, small, n);
    everything();
    end(everything_text);
}


static void
bad_bytes(void **state UNUSED)
{
    begin();
    vmops_jw_cstr(&w, "\xff");
    assert_int_equal(vmops_jw_done(&w, &s), -1);

    begin();
    vmops_jw_str(&w, vmops_span("a\0b", 3));
    assert_int_equal(vmops_jw_done(&w, &s), -1);

    begin();
    vmops_jw_obj(&w);
    vmops_jw_key_span(&w, vmops_span("\xc0\x80", 2));
    vmops_jw_null(&w);
    vmops_jw_obj_end(&w);
    assert_int_equal(vmops_jw_done(&w, &s), -1);
}


/* each byte at each place of a text that is written eight bytes at a time */

static void
every_place(void **state UNUSED)
{
    int      ok;
    char     from[26] = "", to[64];
    size_t   i, at;
    uint8_t  c;

    for (i = 0; i < (sizeof(from) - 1) * 256; i++) {
        at = i / 256;
        c = (uint8_t) i;
        memset(from, 'x', sizeof(from) - 1);
        from[at] = (char) c;
        ok = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

        begin();
        vmops_jw_str(&w, vmops_span(from, sizeof(from) - 1));

        if (c == 0 || c >= 0x80) {
            assert_int_equal(vmops_jw_done(&w, &s), -1);
            continue;
        }

        assert_int_equal(vmops_jw_done(&w, &s), 0);
        assert_true(ok ? s.n == sizeof(from) + 1 : s.n > sizeof(from) + 1);

        if (ok) {
            snprintf(to, sizeof(to), "\"%s\"", from);
            assert_span(s, to);

        } else {
            assert_int_equal(s.p[1 + at], '\\');
            assert_int_equal(s.p[s.n - 1], '"');
        }
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(one_of_each),
        cmocka_unit_test(every_size),
        cmocka_unit_test(bad_bytes),
        cmocka_unit_test(every_place)
    };

    return RUN(tests);
}
