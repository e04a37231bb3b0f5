/*
 * Shape checks name the first fault by code and JSON pointer.
 */

#include "unit.h"


static uint8_t              memory[1 << 20];
static const vmops_json_t  *root;


static const vmops_json_t *
parse(const char *s)
{
    vmops_arena_t  a;

    vmops_arena_init(&a, memory, sizeof(memory));
    assert_int_equal(vmops_json_parse(&root, &a, vmops_span_str(s)),
                     VMOPS_JSON_OK);
    return root;
}


static const char *const  colours[] = { "red", "green", NULL };

static const vmops_json_field_t  inner[] = {
    { .name = "x", .type = VMOPS_FT_INT, .min = -5, .max = 5 },
    { .name = "a/b~c", .type = VMOPS_FT_BOOL, .flags = VMOPS_F_OPTIONAL }
};

static const vmops_json_field_t  item = {
    .type = VMOPS_FT_OBJECT, .of = inner, .of_n = 2
};

static const vmops_json_field_t  fields[] = {
    { .name = "id", .type = VMOPS_FT_STRING, .pattern = VMOPS_P_UUID },
    { .name = "name", .type = VMOPS_FT_STRING, .min = 1, .max = 4,
      .flags = VMOPS_F_OPTIONAL | VMOPS_F_NULLABLE,
      .pattern = VMOPS_P_TEXT },
    { .name = "n", .type = VMOPS_FT_INT, .min = 1, .max = 10,
      .flags = VMOPS_F_OPTIONAL },
    { .name = "any", .flags = VMOPS_F_OPTIONAL },
    { .name = "real", .type = VMOPS_FT_NUMBER, .flags = VMOPS_F_OPTIONAL },
    { .name = "colour", .type = VMOPS_FT_STRING, .values = colours,
      .flags = VMOPS_F_OPTIONAL },
    { .name = "free", .type = VMOPS_FT_OBJECT, .min = 0, .max = 2,
      .flags = VMOPS_F_OPTIONAL },
    { .name = "list", .type = VMOPS_FT_ARRAY, .min = 0, .max = 2,
      .of = &item, .flags = VMOPS_F_OPTIONAL }
};

#define ID  "\"id\":\"0190a2b3-c4d5-7e6f-8a9b-abcdef012345\""


static void
faults(void **state UNUSED)
{
    int                 rc;
    size_t              i;
    vmops_json_error_t  err;

    static const struct {
        const char  *text;
        const char  *code;          /* NULL: right */
        const char  *pointer;
    } cases[] = {
        { "{" ID "}", NULL, "" },
        { "{" ID ",\"name\":null,\"n\":10,\"any\":[1],\"real\":1e400}",
          NULL, "" },
        { "{" ID ",\"list\":[{\"x\":-5},{\"x\":5,\"a/b~c\":true}]}",
          NULL, "" },
        { "[]", "type", "" },
        { "{}", "required", "/id" },
        { "{" ID ",\"nope\":1}", "unknown_field", "/nope" },
        { "{" ID ",\"a/b~c\":1}", "unknown_field", "/a~1b~0c" },
        { "{" ID ",\"\":1}", "unknown_field", "/" },
        { "{\"id\":1}", "type", "/id" },
        { "{\"id\":null}", "type", "/id" },
        { "{\"id\":\"0190A2B3-C4D5-7E6F-8A9B-ABCDEF012345\"}", "pattern",
          "/id" },
        { "{" ID ",\"name\":\"\"}", "length", "/name" },
        { "{" ID ",\"name\":\"abcde\"}", "length", "/name" },
        { "{" ID ",\"name\":\"\xc3\xa9\xc3\xa9x\"}", "length", "/name" },
        { "{" ID ",\"name\":\"a\\nb\"}", "pattern", "/name" },
        { "{" ID ",\"n\":0}", "range", "/n" },
        { "{" ID ",\"n\":11}", "range", "/n" },
        { "{" ID ",\"n\":1.0}", "type", "/n" },
        { "{" ID ",\"n\":1e1}", "type", "/n" },
        { "{" ID ",\"n\":99999999999999999999}", "range", "/n" },
        { "{" ID ",\"n\":\"1\"}", "type", "/n" },
        { "{" ID ",\"n\":true}", "type", "/n" },
        { "{" ID ",\"real\":\"1\"}", "type", "/real" },
        { "{" ID ",\"colour\":\"blue\"}", "value", "/colour" },
        { "{" ID ",\"free\":{\"a\":1,\"b\":2,\"c\":3}}", "length",
          "/free" },
        { "{" ID ",\"free\":[]}", "type", "/free" },
        { "{" ID ",\"list\":[{\"x\":0},{\"x\":6}]}", "range", "/list/1/x" },
        { "{" ID ",\"list\":[{\"x\":0},{}]}", "required", "/list/1/x" },
        { "{" ID ",\"list\":[{\"x\":0,\"y\":1}]}", "unknown_field",
          "/list/0/y" },
        { "{" ID ",\"list\":[{\"x\":0,\"a/b~c\":0}]}", "type",
          "/list/0/a~1b~0c" },
        { "{" ID ",\"list\":[1]}", "type", "/list/0" },
        { "{" ID ",\"list\":[{\"x\":0},{\"x\":0},{\"x\":0}]}", "length",
          "/list" }
    };

    for (i = 0; i < COUNT(cases); i++) {
        vmops_json_error_init(&err, "");
        rc = vmops_json_check(parse(cases[i].text), fields, COUNT(fields), 0,
                              &err);

        assert_int_equal(rc, cases[i].code == NULL ? 0 : -1);
        assert_string_equal(err.pointer, cases[i].pointer);
        assert_string_equal(vmops_json_error_name(err.code),
                            cases[i].code != NULL ? cases[i].code : "none");
    }
}


static void
open_objects(void **state UNUSED)
{
    vmops_json_error_t  err;

    vmops_json_error_init(&err, "/body");
    assert_int_equal(vmops_json_check(parse("{" ID ",\"nope\":1}"), fields,
                                      COUNT(fields), VMOPS_F_OPEN, &err), 0);
    assert_int_equal(vmops_json_check(parse("{\"id\":1}"), fields,
                                      COUNT(fields), VMOPS_F_OPEN, &err), -1);
    assert_string_equal(err.pointer, "/body/id");

    vmops_json_error_init(&err, "");
    assert_int_equal(vmops_json_check(NULL, fields, 1, 0, &err), -1);
    assert_int_equal(err.code, VMOPS_JE_TYPE);
}


/* a long name is left out whole, and the pointer stays a pointer */

static void
bounded_pointer(void **state UNUSED)
{
    char                name[VMOPS_JSON_POINTER_MAX + 2];
    size_t              i;
    vmops_json_error_t  err;

    memset(name, '~', sizeof(name));
    vmops_json_error_init(&err, "/params");
    vmops_json_error_push(&err, vmops_span(name, sizeof(name)));
    assert_string_equal(err.pointer, "/params");

    vmops_json_error_push(&err, vmops_span(name, 10));
    assert_string_equal(err.pointer, "/params/~0~0~0~0~0~0~0~0~0~0");

    for (i = 0; i < 1000; i++) {
        vmops_json_error_push_index(&err, i);
        assert_true(strlen(err.pointer) <= VMOPS_JSON_POINTER_MAX);
    }

    vmops_json_error_init(&err, "");
    vmops_json_error_push(&err, vmops_span(name + 1,
                                           VMOPS_JSON_POINTER_MAX / 2));
    assert_int_equal(strlen(err.pointer), VMOPS_JSON_POINTER_MAX);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(faults),
        cmocka_unit_test(open_objects),
        cmocka_unit_test(bounded_pointer)
    };

    return RUN(tests);
}
