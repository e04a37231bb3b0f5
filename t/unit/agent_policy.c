/*
 * The local policy, and what people write for a secret's restrictions: taken
 * as written, or refused whole.
 */

#include "agent_home.h"

#include <sys/stat.h>

#include "endpoint.h"
#include "policy.h"


static void
write_policy(const char *text)
{
    char  path[PLAT_PATH_MAX];

    assert_int_equal(home_path(path, home.config, "policy.json"), 0);
    assert_int_equal(plat_write_file(path, text, strlen(text)), 0);
}


static void
without_a_file_it_is_the_standard(UNUSED void **state)
{
    policy_t  p;

    assert_int_equal(policy_load(&p, &home), POLICY_OK);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_READ, 0), POLICY_ALLOW);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_POWER, 100), POLICY_ALLOW);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_SNAPSHOT, 100),
                     POLICY_ALLOW);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_CREATE, 0), POLICY_ALLOW);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_CONFIGURE, 100),
                     POLICY_ALLOW);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_MIGRATE, 100),
                     POLICY_ALLOW);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_DELETE, 100), POLICY_ASK);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_ROLLBACK, 100),
                     POLICY_ASK);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_RESTORE, 100), POLICY_ASK);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_EXEC, 100), POLICY_ASK);
    assert_int_equal(policy_decide(&p, 1u << 20, 100), POLICY_DENY);
}


static void
what_is_saved_is_loaded(UNUSED void **state)
{
    policy_t  p;

    memset(&p, 0, sizeof(p));
    assert_int_equal(policy_preset(&p, "read-only"), 0);
    assert_int_equal(policy_set(&p, vmops_span_str("exec"),
                                vmops_span_str("ask")), 0);
    assert_int_equal(policy_save(&p, &home), 0);

    memset(&p, 0xff, sizeof(p));
    assert_int_equal(policy_load(&p, &home), POLICY_OK);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_READ, 1), POLICY_ALLOW);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_EXEC, 1), POLICY_ASK);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_POWER, 1), POLICY_DENY);
}


static void
guests_outside_its_ranges_are_denied(UNUSED void **state)
{
    policy_t  p;

    write_policy("{\"classes\":{\"read\":\"allow\"},"
                 "\"vmids\":[[100,199],[300,300]]}");
    assert_int_equal(policy_load(&p, &home), POLICY_OK);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_READ, 0), POLICY_ALLOW);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_READ, 199), POLICY_ALLOW);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_READ, 300), POLICY_ALLOW);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_READ, 200), POLICY_DENY);
    assert_int_equal(policy_decide(&p, VMOPS_CLASS_POWER, 100), POLICY_DENY);
}


static void
what_cannot_be_read_denies_everything(UNUSED void **state)
{
    size_t    i;
    policy_t  p;

    static const char *const  bad[] = {
        "", "{", "[]", "{}", "{\"classes\":{\"read\":\"maybe\"}}",
        "{\"classes\":{\"reed\":\"allow\"}}", "{\"classes\":{\"read\":1}}",
        "{\"classes\":{\"read\":\"allow\"},\"vmids\":[[200,100]]}",
        "{\"classes\":{\"read\":\"allow\"},\"vmids\":[[100]]}",
        "{\"classes\":{\"read\":\"allow\"},\"more\":1}",
        "{\"classes\":{\"read\":\"allow\",\"read\":\"deny\"}}",
    };

    for (i = 0; i < COUNT(bad); i++) {
        write_policy(bad[i]);
        assert_int_equal(policy_load(&p, &home), POLICY_BAD);
        assert_int_equal(policy_decide(&p, VMOPS_CLASS_READ, 0), POLICY_DENY);
    }
}


static void
what_others_may_write_denies_everything(UNUSED void **state)
{
    char      path[PLAT_PATH_MAX];
    size_t    i;
    policy_t  p;

    static const mode_t  open[] = { 0020, 0002 };

    for (i = 0; i < COUNT(open); i++) {
        assert_int_equal(chmod(home.config, 0700 | open[i]), 0);
        assert_int_equal(policy_load(&p, &home), POLICY_HOME_OPEN);
        assert_int_equal(policy_decide(&p, VMOPS_CLASS_READ, 0), POLICY_DENY);
    }

    assert_int_equal(chmod(home.config, 0755), 0);
    write_policy("{\"classes\":{\"read\":\"allow\"}}");
    assert_int_equal(home_path(path, home.config, "policy.json"), 0);

    for (i = 0; i < COUNT(open); i++) {
        assert_int_equal(chmod(path, 0600 | open[i]), 0);
        assert_int_equal(policy_load(&p, &home), POLICY_OPEN);
        assert_int_equal(policy_decide(&p, VMOPS_CLASS_READ, 0), POLICY_DENY);
    }

    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(policy_load(&p, &home), POLICY_OK);
}


static void
lists_of_guests(UNUSED void **state)
{
    size_t      i;
    endpoint_t  ep;

    static const char *const  bad[] = {
        "", ",", "100,", "99", "100-", "-100", "200-100", "a", "100-199-300",
        "1000000000", " 100", "0100",
    };

    memset(&ep, 0, sizeof(ep));
    assert_int_equal(endpoint_set_vmids(&ep, "100-199,300"), 0);
    assert_int_equal(ep.vmids_n, 2);
    assert_int_equal(vmops_get_u32(ep.vmids), 100);
    assert_int_equal(vmops_get_u32(ep.vmids + 4), 199);
    assert_int_equal(vmops_get_u32(ep.vmids + 8), 300);
    assert_int_equal(vmops_get_u32(ep.vmids + 12), 300);

    for (i = 0; i < COUNT(bad); i++) {
        if (endpoint_set_vmids(&ep, bad[i]) == 0) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
}


static void
pins_and_classes(UNUSED void **state)
{
    char        text[ENDPOINT_PIN_TEXT + 1];
    uint8_t     pin[32], back[32];
    endpoint_t  ep;

    memset(pin, 0xa5, sizeof(pin));
    endpoint_pin_format(text, pin);
    assert_int_equal(endpoint_pin_parse(back, vmops_span_str(text)), 0);
    assert_memory_equal(pin, back, 32);
    text[ENDPOINT_PIN_TEXT - 1] = 'A';
    assert_int_equal(endpoint_pin_parse(back, vmops_span_str(text)), -1);
    assert_int_equal(endpoint_pin_parse(back, vmops_span_str("sha256//")),
                     -1);

    memset(&ep, 0, sizeof(ep));
    assert_int_equal(endpoint_set_classes(&ep, "read,power"), 0);
    assert_int_equal(ep.classes, VMOPS_CLASS_READ | VMOPS_CLASS_POWER);
    assert_int_equal(endpoint_set_classes(&ep, "read,"), -1);
    assert_int_equal(endpoint_set_classes(&ep, "all"), -1);
}


int
main(void)
{
#define T(f)  cmocka_unit_test_setup_teardown(f, home_setup, home_teardown)

    const struct CMUnitTest  tests[] = {
        T(without_a_file_it_is_the_standard),
        T(what_is_saved_is_loaded),
        T(guests_outside_its_ranges_are_denied),
        T(what_cannot_be_read_denies_everything),
        T(what_others_may_write_denies_everything),
        T(lists_of_guests),
        T(pins_and_classes),
    };

    return RUN(tests);
}
