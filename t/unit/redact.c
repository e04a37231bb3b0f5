/*
 * Masking JSON as it streams: the same whole, and one byte at a time into one
 * byte of room.
 */

#include "unit.h"

#include "vmops_redact.h"


#define M  VMOPS_REDACT_MASK

static uint8_t  hold[VMOPS_REDACT_STRING_MAX];
static uint8_t  out[1 << 20];
static char     text[1 << 20];


/* how much is fed at once, and into how much room */

static vmops_redact_rc_t
run(vmops_span_t in, size_t step, size_t room, vmops_span_t *result)
{
    size_t             n;
    vmops_buf_t        b;
    vmops_span_t       part;
    vmops_redact_t     s;
    vmops_redact_rc_t  rc;

    vmops_redact_init(&s, hold);

    n = 0;
    rc = VMOPS_REDACT_OK;

    while (in.n > 0 && rc == VMOPS_REDACT_OK) {
        part = vmops_span(in.p, in.n < step ? in.n : step);
        in.p += part.n;
        in.n -= part.n;

        do {
            assert_true(n + room <= sizeof(out));
            vmops_buf_init(&b, out + n, room);
            rc = vmops_redact_feed(&s, &part, &b);
            assert_false(b.overflow);
            n += b.n;
        } while (rc == VMOPS_REDACT_OK && b.n == room);

        assert_true(rc != VMOPS_REDACT_OK || part.n == 0);
    }

    *result = vmops_span(out, n);

    return rc == VMOPS_REDACT_OK ? vmops_redact_end(&s) : rc;
}


static void
masked_n(vmops_span_t in, const char *expected)
{
    size_t        i;
    vmops_span_t  result;

    static const size_t  how[][2] = {
        { 1 << 20, 1 << 19 }, { 1, 1 }, { 1, 1 << 10 }, { 1 << 20, 1 },
        { 3, 7 }, { 7, 3 }
    };

    for (i = 0; i < COUNT(how); i++) {
        if (run(in, how[i][0], how[i][1], &result) != VMOPS_REDACT_OK) {
            fail_msg("refused: %.80s", (const char *) in.p);
        }
        assert_span(result, expected);
    }
}


static void
masked(const char *in, const char *expected)
{
    masked_n(vmops_span_str(in), expected);
}


static void
untouched(void **state UNUSED)
{
    size_t  i;

    static const char *const  cases[] = {
        "null", "true", "false", "0", "-0", "-1.5e-3", "1E+2", "10.25", "\"\"",
        "[]", "{}", " { \"a\" : [ 1 , 2 , -3.0 ] }\r\n\t ", "1e400",
        "\"\\u00e9\\ud83d\\ude00\\ud800\\u0000\"", "[[3,{}],{\"\":\"\"}]",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\xf0\x9f\x98\x80\"", "\"\x7f\"",
        "{\"a\":{\"a\":1},\"a\":2}", "[true,false,null]",
        "{\"secret_ref\":\"sec_1\",\"key_id\":\"k1\",\"url\":\"http://h/\"}"
    };

    for (i = 0; i < COUNT(cases); i++) {
        masked(cases[i], cases[i]);
    }
}


static void
members(void **state UNUSED)
{
    masked("{\"password\":\"x\"}", "{\"password\":" M "}");
    masked("{ \"password\" : \"x\" , \"a\" : 1 }",
           "{ \"password\" : " M " , \"a\" : 1 }");
    masked("{\"token\":1,\"secret\":-1.5e3,\"ticket\":true,\"cookie\":null}",
           "{\"token\":" M ",\"secret\":" M ",\"ticket\":" M ",\"cookie\":" M
           "}");
    masked("{\"secret\":1 }", "{\"secret\":" M " }");
    masked("{\"apiKey\":{\"a\":[1,{\"b\":\"\\u0041\"}]},\"c\":[]}",
           "{\"apiKey\":" M ",\"c\":[]}");
    masked("{\"apiKey\":[[],{}, \"x\", 1],\"c\":[{\"Token\":{}}]}",
           "{\"apiKey\":" M ",\"c\":[{\"Token\":" M "}]}");
    masked("{\"pass\\u0077ord\":\"x\",\"pass\\u0057ord\":1}",
           "{\"pass\\u0077ord\":" M ",\"pass\\u0057ord\":" M "}");
    masked("{\"a\":\"password\",\"b\":[\"token\"]}",
           "{\"a\":\"password\",\"b\":[\"token\"]}");
    masked("[[{\"a\":{\"tinyFmPassword\":\"x\"}}],{\"PWD\":0}]",
           "[[{\"a\":{\"tinyFmPassword\":" M "}}],{\"PWD\":" M "}]");
    masked("{\"secret\":{\"secret_ref\":\"x\"},\"secret_ref\":{\"a\":1}}",
           "{\"secret\":" M ",\"secret_ref\":{\"a\":1}}");
}


static void
strings(void **state UNUSED)
{
    masked("\"PVEAPIToken=a\"", M);
    masked("[\"x\",\"PVEAPIToken=a\",1]", "[\"x\"," M ",1]");
    masked("[\"\\u0050VEAPI\\u0054oken\\u003da\"]", "[" M "]");
    masked("{\"a\":\"https:\\/\\/u:p@h\"}", "{\"a\":" M "}");
    masked("[\"http://h:80/\\u0040\"]", "[\"http://h:80/\\u0040\"]");
    masked("{\"pem\":\"-----BEGIN RSA PRIVATE KEY-----\\nMII\"}",
           "{\"pem\":" M "}");
    masked("{\"pem\":\"-----BEGIN CERTIFICATE-----\\nMII\"}",
           "{\"pem\":\"-----BEGIN CERTIFICATE-----\\nMII\"}");
    masked("{\"PVEAPIToken=x\":\"y\",\"b\":2}", "{" M ":" M ",\"b\":2}");
    masked("{\"http://u:p@h\":{\"a\":1}}", "{" M ":" M "}");
    masked("[\"PVEAPI\",\"Token=x\"]", "[\"PVEAPI\",\"Token=x\"]");
}


/* a string that is too long to be looked at as a whole */

static void
long_strings(void **state UNUSED)
{
    size_t        n;
    vmops_span_t  result;
    static char   document[4 * VMOPS_REDACT_STRING_MAX];

    n = VMOPS_REDACT_STRING_MAX;        /* with both quotes */

    memset(text, 'x', n);
    text[0] = '"';
    text[n - 1] = '"';
    text[n] = '\0';

    masked_n(vmops_span(text, n), text);

    /* one byte more; also as a name, and where one is masked anyway */

    memcpy(text + n - 1, "x\"", 3);
    masked_n(vmops_span(text, n + 1), M);

    (void) snprintf(document, sizeof(document), "{%s:1,\"a\":2}", text);
    masked(document, "{" M ":" M ",\"a\":2}");
    (void) snprintf(document, sizeof(document), "{\"token\":%s,\"a\":%s}", text,
                    text);
    masked(document, "{\"token\":" M ",\"a\":" M "}");

    /* its end is a secret's */

    memcpy(text + n - 13, "PVEAPIToken=\"", 13);
    assert_int_equal(run(vmops_span(text, n), 1, 100, &result),
                     VMOPS_REDACT_OK);
    assert_span(result, M);
}


static void
deep(void **state UNUSED)
{
    size_t        n;
    vmops_span_t  result;

    n = VMOPS_REDACT_DEPTH_MAX;

    memset(text, '[', n);
    memset(text + n, ']', n);
    text[2 * n] = '\0';
    masked(text, text);

    memset(text, '[', n + 1);
    assert_int_equal(run(vmops_span(text, n + 1), 1, 1, &result),
                     VMOPS_REDACT_DEPTH);

    /* below what is masked, too */

    (void) snprintf(text + 64, 128, "{\"token\":");
    memset(text + 64 + 9, '[', n);
    assert_int_equal(run(vmops_span(text + 64, 9 + n), 3, 9, &result),
                     VMOPS_REDACT_DEPTH);
}


static void
refused(void **state UNUSED)
{
    size_t        i, step;
    vmops_span_t  result;

    static const char *const  syntax[] = {
        "", " ", "{", "[", "}", "]", "[}", "{]", "[1,]", "[,1]", "{\"a\":1,}",
        "{\"a\"}", "{a:1}", "{1:1}", "{\"a\" 1}", "'a'", "\"a", "\"a\nb\"",
        "\"\x01\"", "\"\\x41\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\", "1 2",
        "{}{}", "[1 2]", "01", "-", "-a", "1.", "1.a", ".1", "+1", "1e", "1e+",
        "1ea", "00", "-01", "tru", "truex", "nul", "True", "nan", "Infinity",
        "[true false]", "/* */1", "1//", "\xef\xbb\xbf{}", "{\"a\":}",
        "{\"password\":}", "{\"password\":\"x}", "{\"password\":[1}",
        "{\"password\":{\"a\"}}", "{\"password\":1.}", "<html>"
    };

    static const char *const  utf8[] = {
        "\"\x80\"", "\"\xc3\"", "\"\xc3(\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"", "\"\xc3\\u0041\"", "\"a\xff\"",
        "[\"\xe2\x82\"]",
        "{\"password\":\"\xff\"}", "\"\xc3\n\""
    };

    for (step = 1; step < 100; step += 98) {
        for (i = 0; i < COUNT(syntax); i++) {
            if (run(vmops_span_str(syntax[i]), step, step, &result)
                != VMOPS_REDACT_SYNTAX)
            {
                fail_msg("taken: %s", syntax[i]);
            }
        }

        for (i = 0; i < COUNT(utf8); i++) {
            if (run(vmops_span_str(utf8[i]), step, step, &result)
                != VMOPS_REDACT_UTF8)
            {
                fail_msg("taken: UTF-8, %zu", i);
            }
        }
    }

    assert_int_equal(run(vmops_span("\"\0\"", 3), 9, 9, &result),
                     VMOPS_REDACT_SYNTAX);
    assert_int_equal(run(vmops_span("1\0", 2), 9, 9, &result),
                     VMOPS_REDACT_SYNTAX);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(untouched),
        cmocka_unit_test(members),
        cmocka_unit_test(strings),
        cmocka_unit_test(long_strings),
        cmocka_unit_test(deep),
        cmocka_unit_test(refused)
    };

    return RUN(tests);
}
