/*
 * While a secret is open it is found in every form it could leave in; when
 * it is closed, and for other texts, nothing is.
 */

#include "agent_home.h"


/* every character that an encoding could trip over */

static const char  secret[] = "pa\"ss\\w/o rd&+%=\xc3\xa4#1";

typedef struct {
    const char  *name;
    const char  *text;      /* NULL: made by the test */
} form_t;


/* from other programs than ours: base64, xxd, python3's json and urllib */

static const form_t  forms[] = {
    { "raw", "x pa\"ss\\w/o rd&+%=\xc3\xa4#1 y" },
    { "base64", "cGEic3Ncdy9vIHJkJislPcOkIzE=" },
    { "base64, after one byte", "eHBhInNzXHcvbyByZCYrJT3DpCMx" },
    { "base64, after two bytes", "eHlwYSJzc1x3L28gcmQmKyU9w6QjMQ==" },
    { "base64url", "cGEic3Ncdy9vIHJkJislPcOkIzE" },
    { "hex", "70612273735c772f6f207264262b253dc3a42331" },
    { "hex, upper case", "70612273735C772F6F207264262B253DC3A42331" },
    { "URL", "p=pa%22ss%5Cw%2Fo%20rd%26%2B%25%3D%C3%A4%231&x" },
    { "URL, lower case", "pa%22ss%5cw%2fo%20rd%26%2b%25%3d%c3%a4%231" },
    { "a form", "pa%22ss%5Cw%2Fo+rd%26%2B%25%3D%C3%A4%231" },
    { "JSON", "{\"m\":\"pa\\\"ss\\\\w/o rd&+%=\xc3\xa4#1\"}" },
    { "JSON with \\/", "pa\\\"ss\\\\w\\/o rd&+%=\xc3\xa4#1" },
    { "JSON in ASCII", "pa\\\"ss\\\\w/o rd&+%=\\u00e4#1" },
    { "JSON in ASCII with \\/", "pa\\\"ss\\\\w\\/o rd&+%=\\u00e4#1" },
};


static void
each_form_is_found(UNUSED void **state)
{
    int        failed;
    size_t     i;
    redact_t  *r = redact_add(vmops_span_str(secret), &failed);

    assert_non_null(r);
    assert_false(failed);

    for (i = 0; i < COUNT(forms); i++) {
        if (!redact_found(vmops_span_str(forms[i].text))) {
            fail_msg("%s is not found", forms[i].name);
        }
    }

    redact_remove(r);

    for (i = 0; i < COUNT(forms); i++) {
        assert_false(redact_found(vmops_span_str(forms[i].text)));
    }
}


static void
utf_16_is_found(UNUSED void **state)
{
    int        failed;
    char       wide[64];
    size_t     i;
    redact_t  *r = redact_add(vmops_span_str("hunter22"), &failed);

    for (i = 0; i < 8; i++) {
        wide[2 + 2 * i] = "hunter22"[i];
        wide[3 + 2 * i] = '\0';
    }
    wide[0] = 'x';
    wide[1] = '\0';

    assert_true(redact_found(vmops_span(wide, 18)));
    assert_false(redact_found(vmops_span(wide, 17)));
    redact_remove(r);
}


/* characters of one to four bytes; python3 says what they become */

static void
characters_of_any_length_are_found(UNUSED void **state)
{
    static const char  utf_16[] = "k\0\xe4\0\xac \x3d\xd8\x11\xdd/\0";

    int        failed;
    redact_t  *r = redact_add(vmops_span_str("k\xc3\xa4\xe2\x82\xac"
                                             "\xf0\x9f\x94\x91/"), &failed);

    assert_true(redact_found(vmops_span(utf_16, sizeof(utf_16) - 1)));
    assert_false(redact_found(vmops_span(utf_16, sizeof(utf_16) - 2)));
    assert_true(redact_found(
        vmops_span_str("\"k\\u00e4\\u20ac\\ud83d\\udd11\\/\"")));
    redact_remove(r);
}


/* what is no UTF-8 is taken as it is */

static void
bytes_are_found(UNUSED void **state)
{
    int        failed;
    redact_t  *r = redact_add(vmops_span_str("\xff\xc3\x01 ab\xf0\x9f"),
                              &failed);

    assert_true(redact_found(vmops_span_str("x\xff\xc3\x01 ab\xf0\x9f")));
    assert_true(redact_found(vmops_span_str("ffc301206162f09f")));
    assert_true(redact_found(
        vmops_span_str("\xff\xc3\\u0001 ab\xf0\x9f")));
    assert_true(redact_found(
        vmops_span("\xff\0\xc3\0\1\0 \0a\0b\0\xf0\0\x9f\0", 16)));
    redact_remove(r);
}


static void
other_texts_are_not_found(UNUSED void **state)
{
    int        failed;
    redact_t  *r = redact_add(vmops_span_str(secret), &failed);

    assert_false(redact_found(vmops_span_str("")));
    assert_false(redact_found(vmops_span_str("pa\"ss\\w/o rd&+%=\xc3\xa4#2")));
    assert_false(redact_found(vmops_span(secret, sizeof(secret) - 2)));
    redact_remove(r);
}


static void
it_is_found_at_every_place(UNUSED void **state)
{
    int        failed;
    char       text[128];
    size_t     at;
    redact_t  *r = redact_add(vmops_span_str("0123456789"), &failed);

    for (at = 0; at + 10 <= sizeof(text); at++) {
        memset(text, '0', sizeof(text));
        memcpy(text + at, "0123456789", 10);
        assert_true(redact_found(vmops_span(text, sizeof(text))));
        assert_false(redact_found(vmops_span(text, at + 9)));
    }

    redact_remove(r);
}


static void
short_secrets_are_not_searched_for(UNUSED void **state)
{
    int  failed;

    assert_null(redact_add(vmops_span_str("1234567"), &failed));
    assert_false(failed);
    assert_false(redact_found(vmops_span_str("1234567")));
}


static void
all_open_secrets_are_searched_for(UNUSED void **state)
{
    int        failed;
    redact_t  *a = redact_add(vmops_span_str("first secret"), &failed);
    redact_t  *b = redact_add(vmops_span_str("second secret"), &failed);

    assert_true(redact_found(vmops_span_str("the first secret")));
    assert_true(redact_found(vmops_span_str("the second secret")));
    redact_remove(a);
    assert_false(redact_found(vmops_span_str("the first secret")));
    assert_true(redact_found(vmops_span_str("the second secret")));
    redact_remove(b);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(each_form_is_found),
        cmocka_unit_test(utf_16_is_found),
        cmocka_unit_test(characters_of_any_length_are_found),
        cmocka_unit_test(bytes_are_found),
        cmocka_unit_test(other_texts_are_not_found),
        cmocka_unit_test(it_is_found_at_every_place),
        cmocka_unit_test(short_secrets_are_not_searched_for),
        cmocka_unit_test(all_open_secrets_are_searched_for),
    };

    if (sodium_init() < 0 || redact_init() != 0) {
        return 1;
    }

    return RUN(tests);
}
