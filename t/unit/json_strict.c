/*
 * The JSON reader takes RFC 8259 and nothing more, within fixed memory.
 */

#include "unit.h"

#include "vmops_utf8.h"


static uint8_t              memory[4 << 20];
static uint8_t              text[1 << 20];
static const vmops_json_t  *root;


static vmops_json_rc_t
parse_n(const void *p, size_t n)
{
    vmops_arena_t    a;
    vmops_json_rc_t  rc;

    root = NULL;
    vmops_arena_init(&a, memory, vmops_json_arena_size(n));
    rc = vmops_json_parse(&root, &a, vmops_span(p, n));

    assert_true((rc == VMOPS_JSON_OK) == (root != NULL));
    assert_true(rc != VMOPS_JSON_MEMORY);       /* as the size promises */

    return rc;
}


static vmops_json_rc_t
parse(const char *s)
{
    return parse_n(s, strlen(s));
}


static void
accepted(void **state UNUSED)
{
    size_t  i;

    static const char *const  cases[] = {
        "null", "true", "false", "0", "-0", "12", "-1.5e-3", "1E+2", "\"\"",
        "\"a\"", "[]", "{}", " { \"a\" : [ 1 , 2 ] }\r\n\t ", "1e400",
        "123456789012345678901234567890", "\"\\u00e9\\ud83d\\ude00\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\xf0\x9f\x98\x80\"",
        "{\"\":1}", "{\"a\":{\"a\":1}}", "\"\x7f\"",
        "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", "\"\\\\u0000\"", "\"\\\\\\\\\""
    };

    for (i = 0; i < COUNT(cases); i++) {
        if (parse(cases[i]) != VMOPS_JSON_OK) {
            fail_msg("refused: %s", cases[i]);
        }
    }
}


static void
refused(void **state UNUSED)
{
    size_t  i;

    static const struct {
        const char       *text;
        vmops_json_rc_t   rc;
    } cases[] = {
        { "", VMOPS_JSON_SYNTAX }, { " ", VMOPS_JSON_SYNTAX },
        { "{", VMOPS_JSON_SYNTAX }, { "[", VMOPS_JSON_SYNTAX },
        { "}", VMOPS_JSON_SYNTAX }, { "[}", VMOPS_JSON_SYNTAX },
        { "[1,]", VMOPS_JSON_SYNTAX }, { "[,1]", VMOPS_JSON_SYNTAX },
        { "{\"a\":1,}", VMOPS_JSON_SYNTAX }, { "{\"a\"}", VMOPS_JSON_SYNTAX },
        { "{a:1}", VMOPS_JSON_SYNTAX }, { "{1:1}", VMOPS_JSON_SYNTAX },
        { "'a'", VMOPS_JSON_SYNTAX }, { "\"a", VMOPS_JSON_SYNTAX },
        { "\"a\nb\"", VMOPS_JSON_SYNTAX }, { "\"a\tb\"", VMOPS_JSON_SYNTAX },
        { "\"\x01\"", VMOPS_JSON_SYNTAX },
        { "\"\\x41\"", VMOPS_JSON_SYNTAX }, { "\"\\u12\"", VMOPS_JSON_SYNTAX },
        { "\"\\u12g4\"", VMOPS_JSON_SYNTAX }, { "\"\\", VMOPS_JSON_SYNTAX },
        { "\"\\u", VMOPS_JSON_SYNTAX }, { "\"\\u00", VMOPS_JSON_SYNTAX },
        { "01", VMOPS_JSON_SYNTAX }, { "-", VMOPS_JSON_SYNTAX },
        { "+1", VMOPS_JSON_SYNTAX }, { "1.", VMOPS_JSON_SYNTAX },
        { ".5", VMOPS_JSON_SYNTAX }, { "1e", VMOPS_JSON_SYNTAX },
        { "1e+", VMOPS_JSON_SYNTAX }, { "0x10", VMOPS_JSON_SYNTAX },
        { "NaN", VMOPS_JSON_SYNTAX }, { "Infinity", VMOPS_JSON_SYNTAX },
        { "nul", VMOPS_JSON_SYNTAX }, { "nulll", VMOPS_JSON_SYNTAX },
        { "True", VMOPS_JSON_SYNTAX }, { "1 2", VMOPS_JSON_SYNTAX },
        { "\v1", VMOPS_JSON_SYNTAX }, { "[1,\f2]", VMOPS_JSON_SYNTAX },
        { "{} \"x", VMOPS_JSON_SYNTAX }, { "1\"", VMOPS_JSON_SYNTAX },
        { "\"\" \"}", VMOPS_JSON_SYNTAX }, { "[]\"\\\"", VMOPS_JSON_SYNTAX },
        { "{} {}", VMOPS_JSON_SYNTAX }, { "{}x", VMOPS_JSON_SYNTAX },
        { "[1]]", VMOPS_JSON_SYNTAX }, { "1,", VMOPS_JSON_SYNTAX },
        { "/* c */ 1", VMOPS_JSON_SYNTAX }, { "1 // c", VMOPS_JSON_SYNTAX },
        { "1 /* c */", VMOPS_JSON_SYNTAX },
        { "\xef\xbb\xbf{}", VMOPS_JSON_SYNTAX },        /* BOM */
        { "\xc2\xa0{}", VMOPS_JSON_SYNTAX },            /* no white space */

        { "\"\xff\"", VMOPS_JSON_UTF8 }, { "\"\xc3\"", VMOPS_JSON_UTF8 },
        { "\"\xc0\xaf\"", VMOPS_JSON_UTF8 },            /* overlong */
        { "\"\xe0\x80\xaf\"", VMOPS_JSON_UTF8 },
        { "\"\xed\xa0\x80\"", VMOPS_JSON_UTF8 },        /* surrogate */
        { "\"\xf4\x90\x80\x80\"", VMOPS_JSON_UTF8 },    /* above 10FFFF */
        { "\"\\ud800\"", VMOPS_JSON_UTF8 },
        { "\"\\ud800x\"", VMOPS_JSON_UTF8 },
        { "\"\\ud800\\n\"", VMOPS_JSON_UTF8 },
        { "\"\\ud800\\u0041\"", VMOPS_JSON_UTF8 },
        { "\"\\ud800\\ud800\"", VMOPS_JSON_UTF8 },
        { "\"\\udc00\"", VMOPS_JSON_UTF8 },
        { "\"\\udc00\\ud800\"", VMOPS_JSON_UTF8 },
        { "\"\\ud83d\\ude00\\ude00\"", VMOPS_JSON_UTF8 },
        { "{\"\\ud800\":1}", VMOPS_JSON_UTF8 },

        { "\"\\u0000\"", VMOPS_JSON_NUL },
        { "\"a\\u0000b\"", VMOPS_JSON_NUL },
        { "{\"\\u0000\":1}", VMOPS_JSON_NUL },

        { "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", VMOPS_JSON_DEPTH },

        { "{\"a\":1,\"a\":2}", VMOPS_JSON_DUPLICATE },
        { "{\"a\":1,\"b\":2,\"\\u0061\":3}", VMOPS_JSON_DUPLICATE },
        { "{\"\":1,\"\":2}", VMOPS_JSON_DUPLICATE },
        { "[{\"x\":{\"a\":1,\"a\":1}}]", VMOPS_JSON_DUPLICATE },

        { "1000000000000000000000000000000000000000000000000000000000000000"
          "0", VMOPS_JSON_TOO_MANY }
    };

    for (i = 0; i < COUNT(cases); i++) {
        if (parse(cases[i].text) != cases[i].rc) {
            fail_msg("case %zu, %s: %d", i, cases[i].text,
                     parse(cases[i].text));
        }
    }

    assert_int_equal(parse_n("{}\0", 3), VMOPS_JSON_NUL);
    assert_int_equal(parse_n("\"a\0b\"", 5), VMOPS_JSON_NUL);
    assert_int_equal(parse_n("\0", 1), VMOPS_JSON_NUL);
}


/* an input may be large in each of its dimensions; the answer is fixed */

static void
bombs(void **state UNUSED)
{
    size_t         i;
    vmops_buf_t    b;
    vmops_arena_t  a;

    memset(text, '[', 1000000);
    assert_int_equal(parse_n(text, 1000000), VMOPS_JSON_DEPTH);

    for (i = 0; i + 5 <= 1000000; i += 5) {
        memcpy(text + i, "{\"a\":", 5);
    }
    assert_int_equal(parse_n(text, i), VMOPS_JSON_DEPTH);

    /* as many nodes as are allowed, and one more */
    vmops_buf_init(&b, text, sizeof(text));
    vmops_buf_str(&b, "[0");
    for (i = 2; i < VMOPS_JSON_NODES_MAX; i++) {
        vmops_buf_str(&b, ",0");
    }
    vmops_buf_str(&b, "]");
    assert_int_equal(parse_n(text, b.n), VMOPS_JSON_OK);
    assert_int_equal(root->count, VMOPS_JSON_NODES_MAX - 1);
    b.n--;
    vmops_buf_str(&b, ",0]");
    assert_int_equal(parse_n(text, b.n), VMOPS_JSON_TOO_MANY);

    /* unless the caller allows just that one */
    vmops_arena_init(&a, memory, sizeof(memory));
    assert_int_equal(vmops_json_parse_nodes(&root, &a,
                         vmops_span(b.p, b.n), VMOPS_JSON_NODES_MAX + 1),
                     VMOPS_JSON_OK);

    vmops_buf_init(&b, text, sizeof(text));
    for (i = 0; i < VMOPS_JSON_MEMBERS_MAX; i++) {
        vmops_buf_str(&b, i == 0 ? "{\"" : ",\"");
        vmops_buf_dec(&b, i);
        vmops_buf_str(&b, "\":0");
    }
    vmops_buf_str(&b, "}");
    assert_int_equal(parse_n(text, b.n), VMOPS_JSON_OK);
    b.n--;
    vmops_buf_str(&b, ",\"x\":0}");
    assert_int_equal(parse_n(text, b.n), VMOPS_JSON_TOO_MANY);
}


/*
 * yajl cannot be refused memory: the worst it can want is a long string that
 * has to be decoded, and one that is cut off at the end.
 */

static void
memory_is_enough(void **state UNUSED)
{
    size_t       i, n, split;
    vmops_buf_t  b;

    static const size_t  sizes[] = {
        1, 2, 10, 100, 2000, 2040, 2047, 2048, 4095, 8191, 16384, 65536,
        262144
    };

    for (i = 0; i < COUNT(sizes); i++) {
        n = sizes[i];

        for (split = 0; split <= 4; split++) {
            vmops_buf_init(&b, text, sizeof(text));
            vmops_buf_str(&b, "[\"\\n");
            memset(text + b.n, 'a', n);
            b.n += n * split / 4;
            vmops_buf_str(&b, "\",\"\\n");
            memset(text + b.n, 'a', n - n * split / 4);
            b.n += n - n * split / 4;

            assert_int_equal(parse_n(text, b.n), VMOPS_JSON_SYNTAX);
            vmops_buf_str(&b, "\"]");
            assert_int_equal(parse_n(text, b.n), VMOPS_JSON_OK);
        }
    }

    /* many short strings, each decoded */
    vmops_buf_init(&b, text, sizeof(text));
    for (i = 0; i < 500; i++) {
        vmops_buf_str(&b, i == 0 ? "{\"\\n" : ",\"\\n");
        vmops_buf_dec(&b, i);
        vmops_buf_str(&b, "\":\"\\t\"");
    }
    vmops_buf_str(&b, "}");
    assert_int_equal(parse_n(text, b.n), VMOPS_JSON_OK);
}


static void
small_arenas(void **state UNUSED)
{
    size_t               n, full;
    unsigned             ok;
    vmops_arena_t        a;
    const vmops_json_t  *tree;

    static const char  doc[] = "{\"a\":[1,\"\\n\",{\"b\":null}],\"c\":true}";

    full = vmops_json_arena_size(sizeof(doc) - 1);
    ok = 0;

    for (n = 0; n <= full; n++) {
        vmops_arena_init(&a, memory, n);
        ok += vmops_json_parse(&tree, &a, vmops_span_str(doc))
              == VMOPS_JSON_OK;
    }

    assert_true(ok > 0 && ok < n);

    /* one arena for several documents, until it is full */
    vmops_arena_init(&a, memory, 2 * full);
    for (n = 0; vmops_json_parse(&tree, &a, vmops_span_str(doc))
                == VMOPS_JSON_OK; n++)
    {
        assert_int_equal(tree->count, 2);
    }
    assert_true(n >= 2);
}


static void
values(void **state UNUSED)
{
    int                  flag;
    int64_t              i;
    vmops_span_t         s;
    const vmops_json_t  *node;

    assert_int_equal(parse("{\"max\":9223372036854775807,"
                           "\"min\":-9223372036854775808,"
                           "\"over\":9223372036854775808,"
                           "\"under\":-9223372036854775809,"
                           "\"real\":1.0,\"exp\":1e2,\"huge\":1e400,"
                           "\"zero\":-0,\"yes\":true,"
                           "\"s\":\"a\\u00e9\\ud83d\\ude00\\/\"}"),
                     VMOPS_JSON_OK);

    assert_int_equal(vmops_json_int(vmops_json_get(root, "max"), &i), 0);
    assert_true(i == INT64_MAX);
    assert_int_equal(vmops_json_int(vmops_json_get(root, "min"), &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(vmops_json_int(vmops_json_get(root, "zero"), &i), 0);
    assert_true(i == 0);

    assert_int_equal(vmops_json_int(vmops_json_get(root, "over"), &i), -1);
    assert_int_equal(vmops_json_int(vmops_json_get(root, "under"), &i), -1);
    assert_int_equal(vmops_json_int(vmops_json_get(root, "real"), &i), -1);
    assert_int_equal(vmops_json_int(vmops_json_get(root, "exp"), &i), -1);
    assert_int_equal(vmops_json_int(vmops_json_get(root, "yes"), &i), -1);
    assert_int_equal(vmops_json_int(vmops_json_get(root, "none"), &i), -1);

    node = vmops_json_get(root, "huge");
    assert_span(node->str, "1e400");
    assert_span(node->key, "huge");

    assert_int_equal(vmops_json_bool(vmops_json_get(root, "yes"), &flag), 0);
    assert_int_equal(flag, 1);
    assert_int_equal(vmops_json_bool(vmops_json_get(root, "s"), &flag), -1);
    assert_int_equal(vmops_json_str(vmops_json_get(root, "s"), &s), 0);
    assert_span(s, "a\xc3\xa9\xf0\x9f\x98\x80/");
    assert_int_equal(vmops_json_str(vmops_json_get(root, "max"), &s), -1);

    /* lookups chain over what is not there */
    assert_null(vmops_json_get(vmops_json_get(root, "none"), "x"));
    assert_null(vmops_json_get(vmops_json_get(root, "max"), "x"));
}


/* what the reader took, the writer gives back, and the same once more */

static void
serialised_again(void **state UNUSED)
{
    size_t         i;
    uint8_t        out[512], again[512];
    vmops_jw_t     w;
    vmops_span_t   first, second;

    static const struct {
        const char  *in;
        const char  *out;
    } cases[] = {
        { " { \"b\" : [ 1 , -2.50 , 1E400 ] , \"a\" : { } } ",
          "{\"b\":[1,-2.50,1E400],\"a\":{}}" },
        { "\"\\u0041\\/\\u00e9\\u001f\\\"\\\\\\n\\u007f\"",
          "\"A/\xc3\xa9\\u001f\\\"\\\\\\n\x7f\"" },
        { "[null,true,false,[],\"\"]", "[null,true,false,[],\"\"]" },
        { "{\"k\\n\":{\"\":0}}", "{\"k\\n\":{\"\":0}}" }
    };

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(parse(cases[i].in), VMOPS_JSON_OK);
        vmops_jw_init(&w, out, sizeof(out));
        vmops_jw_node(&w, root);
        assert_int_equal(vmops_jw_done(&w, &first), 0);
        assert_span(first, cases[i].out);

        assert_int_equal(parse_n(first.p, first.n), VMOPS_JSON_OK);
        vmops_jw_init(&w, again, sizeof(again));
        vmops_jw_node(&w, root);
        assert_int_equal(vmops_jw_done(&w, &second), 0);
        assert_true(vmops_span_eq(first, second));
    }
}


/* in the order of names, at every depth, whatever order they came in */

static void
serialised_sorted(void **state UNUSED)
{
    size_t        i;
    uint8_t       out[512];
    vmops_jw_t    w;
    vmops_span_t  s;

    static const char *const  cases[] = {
        "{\"b\":[2,1,{\"y\":\"\\u0041\",\"x\":{}}],\"a\":1.0,\"ab\":null,"
        "\"\":true,\"B\":\"\"}",
        " { \"ab\" : null, \"a\":1.0, \"\":true, \"B\":\"\",\n"
        "\"b\":[2,1,{\"x\":{},\"y\":\"A\"}] }"
    };

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(parse(cases[i]), VMOPS_JSON_OK);
        vmops_jw_init(&w, out, sizeof(out));
        vmops_jw_sorted(&w, root);
        assert_int_equal(vmops_jw_done(&w, &s), 0);
        assert_span(s, "{\"\":true,\"B\":\"\",\"a\":1.0,\"ab\":null,"
                       "\"b\":[2,1,{\"x\":{},\"y\":\"A\"}]}");
    }
}


/* as many members as the reader takes */

static void
sorted_full(void **state UNUSED)
{
    size_t        i, n;
    char          doc[8 * VMOPS_JSON_MEMBERS_MAX + 3];
    uint8_t       out[sizeof(doc)];
    vmops_jw_t    w;
    vmops_span_t  s;

    n = 0;

    for (i = 0; i < VMOPS_JSON_MEMBERS_MAX; i++) {
        n += (size_t) snprintf(doc + n, sizeof(doc) - n, "%c\"%03zu\":0",
                               i == 0 ? '{' : ',',
                               VMOPS_JSON_MEMBERS_MAX - 1 - i);
    }

    doc[n++] = '}';

    assert_int_equal(parse_n(doc, n), VMOPS_JSON_OK);
    vmops_jw_init(&w, out, sizeof(out));
    vmops_jw_sorted(&w, root);
    assert_int_equal(vmops_jw_done(&w, &s), 0);
    assert_int_equal(s.n, n);
    assert_memory_equal(s.p, "{\"000\":0,\"001\":0,", 17);
    assert_memory_equal(s.p + n - 9, ",\"511\":0}", 9);
}


/* every prefix and every one-byte change of a document: no crash, and what
 * is accepted is written and read again */

static void
mangled(void **state UNUSED)
{
    size_t        i, n, tried, ok;
    unsigned      byte;
    uint8_t       doc[256], out[1024];
    vmops_jw_t    w;
    vmops_span_t  s;

    static const char  good[] =
        "{\"a\":[1,2.5e-3,\"\\u00e9\\ud83d\\ude00\",{\"b\":null,\"c\":true}],"
        "\"d\\n\":\"\xc3\xa9\",\"e\":-12,\"f\":{}}";

    n = sizeof(good) - 1;
    tried = ok = 0;

    for (i = 0; i < n; i++) {
        assert_int_not_equal(parse_n(good, i), VMOPS_JSON_OK);

        for (byte = 0; byte < 256; byte++) {
            memcpy(doc, good, n);
            doc[i] = (uint8_t) byte;
            tried++;

            if (parse_n(doc, n) != VMOPS_JSON_OK) {
                continue;
            }

            ok++;
            vmops_jw_init(&w, out, sizeof(out));
            vmops_jw_node(&w, root);
            assert_int_equal(vmops_jw_done(&w, &s), 0);
            assert_true(vmops_utf8_valid(s));
            assert_int_equal(parse_n(s.p, s.n), VMOPS_JSON_OK);
        }
    }

    print_message("# %zu changes, %zu still JSON\n", tried, ok);
    assert_int_equal(parse_n(good, n), VMOPS_JSON_OK);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(bombs),
        cmocka_unit_test(memory_is_enough),
        cmocka_unit_test(small_arenas),
        cmocka_unit_test(values),
        cmocka_unit_test(serialised_again),
        cmocka_unit_test(serialised_sorted),
        cmocka_unit_test(sorted_full),
        cmocka_unit_test(mangled)
    };

    return RUN(tests);
}
