/*
 * The action catalogue and the tables of problems: lookup, parameters,
 * schema, documents.
 */

#include "unit.h"

#include "vmops_action.h"
#include "vmops_problem.h"


static uint8_t              memory[1 << 20];
static uint8_t              out[16384];
static const vmops_json_t  *root;


static const vmops_json_t *
parse(vmops_span_t s)
{
    vmops_arena_t  a;

    vmops_arena_init(&a, memory, sizeof(memory));
    assert_int_equal(vmops_json_parse(&root, &a, s), VMOPS_JSON_OK);
    return root;
}


static const vmops_action_t *
find(const char *service, const char *name)
{
    return vmops_action_find(vmops_span_str(service), vmops_span_str(name));
}


static void
lookup(void **state UNUSED)
{
    unsigned               i, j;
    const vmops_action_t  *a, *b;

    a = find("proxmox", "shutdown");
    assert_non_null(a);
    assert_int_equal(a->scope, VMOPS_SCOPE_VM);
    assert_int_equal(a->class_bit, VMOPS_CLASS_POWER);
    assert_true(a->long_running);
    assert_int_equal(vmops_action_id(a), VMOPS_ACT_proxmox_shutdown);

    assert_int_equal(find("proxmox", "list")->scope, VMOPS_SCOPE_ENDPOINT);
    assert_null(find("proxmox", "explode"));
    assert_null(find("vmware", "start"));
    assert_null(find("ssh", "shutdown"));
    assert_null(find("", ""));
    assert_null(vmops_action_at(VMOPS_ACT_MAX_));

    /* each is found under its own name, and no name comes twice */
    for (i = 0; i < VMOPS_ACT_MAX_; i++) {
        a = vmops_action_at(i);
        assert_ptr_equal(find(vmops_service_name(a->service), a->name), a);
        assert_true(vmops_pattern_match(VMOPS_P_ACTION,
                                        vmops_span_str(a->name)));
        for (j = 0; j < i; j++) {
            b = vmops_action_at(j);
            assert_false(a->service == b->service
                         && strcmp(a->name, b->name) == 0);
        }
    }
}


static void
params(void **state UNUSED)
{
    size_t                 i;
    int                    rc;
    vmops_json_error_t     err;
    const vmops_action_t  *a;

    static const struct {
        const char  *params;
        const char  *code;
        const char  *pointer;
    } cases[] = {
        { "{}", NULL, "/params" },
        { "{\"timeout\":1,\"force_stop\":true}", NULL, "/params" },
        { "{\"timeout\":600}", NULL, "/params" },
        { "[]", "type", "/params" }, { "null", "type", "/params" },
        { "{\"timeout\":0}", "range", "/params/timeout" },
        { "{\"timeout\":601}", "range", "/params/timeout" },
        { "{\"timeout\":\"60\"}", "type", "/params/timeout" },
        { "{\"timeout\":null}", "type", "/params/timeout" },
        { "{\"timeout\":1e400}", "type", "/params/timeout" },
        { "{\"force_stop\":1}", "type", "/params/force_stop" },
        { "{\"host\":\"evil\"}", "unknown_field", "/params/host" },
        { "{\"a/b\":1}", "unknown_field", "/params/a~1b" }
    };

    a = find("proxmox", "shutdown");

    assert_int_equal(vmops_action_check(a, NULL, &err), 0);

    for (i = 0; i < COUNT(cases); i++) {
        rc = vmops_action_check(a, parse(vmops_span_str(cases[i].params)),
                                &err);
        assert_int_equal(rc, cases[i].code == NULL ? 0 : -1);
        assert_string_equal(err.pointer, cases[i].pointer);
        if (cases[i].code != NULL) {
            assert_string_equal(vmops_json_error_name(err.code),
                                cases[i].code);
        }
    }

    assert_int_equal(vmops_action_check(find("proxmox", "stop"),
                         parse(vmops_span_str("{\"timeout\":1}")), &err), -1);

    parse(vmops_span_str("{\"timeout\":60,\"force_stop\":true}"));
    assert_int_equal(vmops_param_int(root, "timeout", 7), 60);
    assert_int_equal(vmops_param_int(root, "other", 7), 7);
    assert_int_equal(vmops_param_int(NULL, "timeout", 7), 7);
    assert_true(vmops_param_bool(root, "force_stop", 0));
    assert_true(vmops_param_bool(NULL, "force_stop", 1));
}


static void
schemas(void **state UNUSED)
{
    unsigned      i;
    vmops_jw_t    w;
    vmops_span_t  s;

    vmops_jw_init(&w, out, sizeof(out));
    vmops_action_entry(&w, find("proxmox", "shutdown"));
    assert_int_equal(vmops_jw_done(&w, &s), 0);
    assert_span(s,
        "{\"service\":\"proxmox\",\"action\":\"shutdown\",\"scope\":\"vm\","
        "\"class\":\"power\",\"long_running\":true,\"params\":{\"type\":"
        "\"object\",\"properties\":{\"timeout\":{\"type\":\"integer\","
        "\"minimum\":1,\"maximum\":600},\"force_stop\":{\"type\":"
        "\"boolean\"}},\"required\":[],\"additionalProperties\":false}}");

    for (i = 0; i < VMOPS_ACT_MAX_; i++) {
        vmops_jw_init(&w, out, sizeof(out));
        vmops_action_entry(&w, vmops_action_at(i));
        assert_int_equal(vmops_jw_done(&w, &s), 0);
        parse(s);
    }
}


static void
names(void **state UNUSED)
{
    int       kind;
    unsigned  i;

    static const vmops_family_t  families[] = {
        VMOPS_FAMILY_NONE, VMOPS_FAMILY_PROXMOX, VMOPS_FAMILY_PROXMOX,
        VMOPS_FAMILY_SSH, VMOPS_FAMILY_SSH, VMOPS_FAMILY_SYNCTHING,
        VMOPS_FAMILY_SYNCTHING, VMOPS_FAMILY_NONE, VMOPS_FAMILY_NONE
    };

    for (i = 0; i < COUNT(families); i++) {
        assert_int_equal(vmops_kind_family(i), families[i]);
    }

    for (kind = 1; kind < VMOPS_KIND_MAX_; kind++) {
        assert_int_equal(vmops_kind_find(vmops_span_str(
                             vmops_kind_name((unsigned) kind))), kind);
    }
    assert_null(vmops_kind_name(0));
    assert_null(vmops_kind_name(8));
    assert_int_equal(vmops_kind_find(vmops_span_str("")), -1);

    for (i = 1; i <= VMOPS_CLASSES_ALL; i *= 2) {
        assert_int_equal(vmops_class_find(vmops_span_str(
                             vmops_class_name(i))), i);
    }
    assert_null(vmops_class_name(VMOPS_CLASSES_ALL + 1));
    assert_null(vmops_class_name(3));

    assert_int_equal(vmops_service_find(vmops_span_str("ssh")),
                     VMOPS_SERVICE_SSH);
    assert_int_equal(vmops_service_find(vmops_span_str("sshx")), -1);
    assert_string_equal(vmops_family_name(VMOPS_FAMILY_SYNCTHING),
                        "syncthing");
    assert_null(vmops_family_name(VMOPS_FAMILY_NONE));
    assert_int_equal(vmops_guest_find(vmops_span_str("lxc")),
                     VMOPS_GUEST_LXC);
    assert_string_equal(vmops_scope_name(VMOPS_SCOPE_TASK), "task");
}


static void
problems(void **state UNUSED)
{
    unsigned      i;
    vmops_jw_t    w;
    vmops_span_t  s;

    static const vmops_problem_field_t  fields[] = {
        { "/params/vmid", "range" }
    };

    vmops_jw_init(&w, out, sizeof(out));
    vmops_problem_write(&w, VMOPS_PROBLEM_invalid_params, 0,
                        vmops_span_str("req-1"), fields, 1);
    assert_int_equal(vmops_jw_done(&w, &s), 0);
    assert_span(s,
        "{\"type\":\"urn:vmops:problem:invalid_params\","
        "\"title\":\"Invalid parameters\",\"status\":422,"
        "\"code\":\"invalid_params\",\"detail\":\"A field is missing, "
        "unknown or out of range; errors names it. Correct it and send the "
        "request again.\",\"instance\":\"req-1\","
        "\"errors\":[{\"pointer\":\"/params/vmid\",\"code\":\"range\"}]}");

    for (i = 0; i < VMOPS_PROBLEM_MAX_; i++) {
        assert_int_equal(vmops_problem_find(vmops_span_str(
                             vmops_problem_info(i)->code)), i);
        vmops_jw_init(&w, out, sizeof(out));
        vmops_problem_write(&w, i, 418, vmops_span_str("x"), NULL, 0);
        assert_int_equal(vmops_jw_done(&w, &s), 0);
        assert_int_equal(vmops_json_get(parse(s), "status")->i, 418);
        assert_null(vmops_json_get(root, "errors"));
    }

    assert_int_equal(vmops_problem_find(vmops_span_str("no_such")), -1);
    assert_ptr_equal(vmops_problem_info(9999),
                     vmops_problem_info(VMOPS_PROBLEM_internal_error));

    /* nginx's own answers */
    assert_int_equal(vmops_problem_for_status(404),
                     VMOPS_PROBLEM_not_found);
    assert_int_equal(vmops_problem_for_status(413),
                     VMOPS_PROBLEM_body_too_large);
    assert_int_equal(vmops_problem_for_status(401),
                     VMOPS_PROBLEM_unauthenticated);
    assert_int_equal(vmops_problem_for_status(502),
                     VMOPS_PROBLEM_bad_gateway);
    assert_int_equal(vmops_problem_for_status(400),
                     VMOPS_PROBLEM_bad_request);
    assert_int_equal(vmops_problem_for_status(431),
                     VMOPS_PROBLEM_bad_request);
    assert_int_equal(vmops_problem_for_status(504),
                     VMOPS_PROBLEM_internal_error);

    /* it switches no feature off, and asks no store */
    assert_int_equal(vmops_problem_for_status(501),
                     VMOPS_PROBLEM_bad_request);
    assert_int_equal(vmops_problem_for_status(505),
                     VMOPS_PROBLEM_bad_request);
    assert_int_equal(vmops_problem_for_status(503),
                     VMOPS_PROBLEM_internal_error);
}


static void
command_errors(void **state UNUSED)
{
    unsigned      i;
    vmops_jw_t    w;
    vmops_span_t  s;

    for (i = 0; i < VMOPS_CMDERR_MAX_; i++) {
        assert_int_equal(vmops_command_error_find(vmops_span_str(
                             vmops_command_error_info(i)->code)), i);
    }

    vmops_jw_init(&w, out, sizeof(out));
    vmops_command_error_write(&w, vmops_span_str("no_route"),
                              vmops_span_str("tcp"));
    assert_int_equal(vmops_jw_done(&w, &s), 0);
    parse(s);
    assert_span(vmops_json_get(root, "code")->str, "no_route");
    assert_span(vmops_json_get(root, "stage")->str, "tcp");
    assert_non_null(vmops_json_get(root, "next_action"));

    /* what an agent made up is not passed on */
    vmops_jw_init(&w, out, sizeof(out));
    vmops_command_error_write(&w, vmops_span_str("<script>"),
                              vmops_span(NULL, 0));
    assert_int_equal(vmops_jw_done(&w, &s), 0);
    assert_span(vmops_json_get(parse(s), "code")->str, "internal");
    assert_null(vmops_json_get(root, "stage"));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(lookup),
        cmocka_unit_test(params),
        cmocka_unit_test(schemas),
        cmocka_unit_test(names),
        cmocka_unit_test(problems),
        cmocka_unit_test(command_errors)
    };

    return RUN(tests);
}
