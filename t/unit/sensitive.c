/*
 * What looks like a secret, and what only looks a little like one.
 */

#include "unit.h"

#include "vmops_sensitive.h"


static void
names(void **state UNUSED)
{
    size_t  i;

    static const char *const  secret[] = {
        "password", "Password", "PASSWORD", "tinyFmPassword", "root-password",
        "password2", "passwd", "pass", "PWD", "db_pwd", "token", "accessToken",
        "CSRFPreventionToken", "secret", "client_secret", "privateKey",
        "private_key", "SSH-Private-Key", "private key", "apiKey", "api.key",
        "X-API-KEY", "cookie", "PVEAuthCookie", "Set-Cookie", "ticket",
        "credentials", "Authorization", "proxy-authorization", "psk", "w_psk",
        "otp", "sessionId", "p-a-s-s-w-o-r-d", "secret_ref_token",
        "pass\x80word"
    };

    static const char *const  open[] = {
        "", "name", "secret_ref", "secretRef", "vm_secret_refs", "key_id",
        "keyId", "token_key_id", "passed", "bypass", "compass", "public_key",
        "authorizations", "ports", "otpions", "note", "pwdx", "sess"
    };

    for (i = 0; i < COUNT(secret); i++) {
        if (!vmops_sensitive_name(vmops_span_str(secret[i]))) {
            fail_msg("no secret's name: %s", secret[i]);
        }
    }

    for (i = 0; i < COUNT(open); i++) {
        if (vmops_sensitive_name(vmops_span_str(open[i]))) {
            fail_msg("a secret's name: %s", open[i]);
        }
    }
}


static void
long_names(void **state UNUSED)
{
    char  name[VMOPS_SENSITIVE_NAME_MAX + 1];

    memset(name, 'a', sizeof(name));

    assert_false(vmops_sensitive_name(vmops_span(name, sizeof(name) - 1)));
    assert_true(vmops_sensitive_name(vmops_span(name, sizeof(name))));

    memcpy(name + sizeof(name) - 1 - 5, "token", 5);
    assert_true(vmops_sensitive_name(vmops_span(name, sizeof(name) - 1)));
}


static void
texts(void **state UNUSED)
{
    size_t  i;

    static const char *const  secret[] = {
        "PVEAPIToken=root@pam!x=0000", "Header: pveapitoken=a",
        "PVEPVEAPIToken=", "PVEAuthCookie=PVE:root", "?user=a&password=b",
        "-----BEGIN PRIVATE KEY-----\nMII", "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----", "x -----END EC PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----", "private private key-----",
        "PuTTY-User-Key-File-3: ssh-ed25519", "ppassword=",
        "https://user:pass@host/", "postgres://u:p@h", "redis://:x@h",
        "amqp://u:pa/ss@h", "see http://a/ or http://u:p@b/", "://a:1@",
        "http://h:80,http://u:p@h", "a://b://c:d@e", "x:://u:p@h",
        "http://[::1]:80/ http://u:p@[::1]/", "http://u:p:q@h", "ftp://u:@h",
        "https://root@pam:secret@pve:8006/", "https://a@b@c:1x@h"
    };

    static const char *const  open[] = {
        "", "PVEAPIToken", "PVEAPI Token=", "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----", "private key", "https://host/path",
        "https://host:8006/a@b", "https://user@host/", "http://host/a:b@c",
        "http://host?a:b@c", "http://host:80#a@b", "http://[fe80::1]:80/x@y",
        "http://[fe80::1]/x:y@z", "http://a b:c@d", "a@b:c", "12:30//x@y",
        "http://a: b@c", "ssh-ed25519 AAAA u@h", "passwords", "://", ":", "/",
        "http://h:80/ x@y", "https://u@h:8006/a@b", "ssh://git@h:owner/repo",
        "https://u@h/a:b@c"
    };

    for (i = 0; i < COUNT(secret); i++) {
        if (!vmops_sensitive_value(vmops_span_str(secret[i]))) {
            fail_msg("no secret: %s", secret[i]);
        }
    }

    for (i = 0; i < COUNT(open); i++) {
        if (vmops_sensitive_value(vmops_span_str(open[i]))) {
            fail_msg("a secret: %s", open[i]);
        }
    }
}


/* each text of the list is found by itself, behind any beginning of any */

static void
every_text(void **state UNUSED)
{
    char    text[128];
    size_t  i, k, n;

    static const char *const  list[] = {
#define VMOPS_SENSITIVE_NAME(word, where)
#define VMOPS_SENSITIVE_PUBLIC(word)
#define VMOPS_SENSITIVE_VALUE(text)  text,
#include "vmops_sensitive.def"
#undef VMOPS_SENSITIVE_VALUE
    };

    assert_int_equal(COUNT(list), VMOPS_SENSITIVE_VALUES);

    for (i = 0; i < COUNT(list); i++) {
        for (k = 0; k < COUNT(list); k++) {
            for (n = 0; n < strlen(list[k]); n++) {
                (void) snprintf(text, sizeof(text), "%.*s%s", (int) n, list[k],
                                list[i]);

                if (!vmops_sensitive_value(vmops_span_str(text))) {
                    fail_msg("not found: %s", text);
                }
            }
        }
    }
}


static void
in_a_tree(void **state UNUSED)
{
    size_t               i;
    vmops_arena_t        a;
    vmops_json_error_t   err;
    const vmops_json_t  *root;
    static uint8_t       memory[1 << 16];

    static const struct {
        const char  *json;
        const char  *pointer;       /* NULL: none */
    } cases[] = {
        { "{}", NULL },
        { "{\"a\":{\"secret_ref\":\"sec_1\",\"key_id\":[1,\"x\"]}}", NULL },
        { "{\"a\":[{\"b\":1},{\"my/pass~word\":0}]}", "/a/1/my~1pass~0word" },
        { "{\"a\":[1,[\"x\",\"http://u:p@h\"]],\"b\":1}", "/a/1/1" },
        { "{\"z\":{\"token\":{}},\"a\":1}", "/z/token" },
        { "{\"a\":{\"PVEAPIToken=x\":1}}", "/a" },
        { "{\"http://u:p@h\":1}", "" },
        { "{\"a\":\"\\u0050VEAPIToken=\"}", "/a" },
        { "{\"pass\\u0077ord\":1}", "/password" },
        { "[[[[{\"b\":[{\"ApiKey\":false}]}]]]]", "/0/0/0/0/b/0/ApiKey" }
    };

    for (i = 0; i < COUNT(cases); i++) {
        vmops_arena_init(&a, memory, sizeof(memory));
        assert_int_equal(vmops_json_parse(&root, &a,
                                          vmops_span_str(cases[i].json)),
                         VMOPS_JSON_OK);

        vmops_json_error_init(&err, "");
        assert_int_equal(vmops_sensitive_find(root, &err),
                         cases[i].pointer != NULL);
        assert_string_equal(err.pointer,
                            cases[i].pointer ? cases[i].pointer : "");
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(long_names),
        cmocka_unit_test(texts),
        cmocka_unit_test(every_text),
        cmocka_unit_test(in_a_tree)
    };

    return RUN(tests);
}
