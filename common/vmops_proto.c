/*
 * Names and shared pieces of the agent channel.
 */

#include "vmops_codec.h"
#include "vmops_banned.h"


#define VMOPS_X(id, name)  name,
const char *const  vmops_codec_services[] = { VMOPS_SERVICES(VMOPS_X) NULL };
#undef VMOPS_X

const char *const  vmops_codec_guests[] = { "qemu", "lxc", NULL };

#define VMOPS_X(number, id, name, family)  name,
const char *const  vmops_codec_kinds[] = {
    "", VMOPS_SECRET_KINDS(VMOPS_X) NULL
};
#undef VMOPS_X

const char *const  vmops_codec_statuses[] = {
    "queued", "delivered", "running", "succeeded", "failed", "rejected",
    "cancelled", "timed_out", "indeterminate", NULL
};

static const char *const  stages[] = {
    "dns", "tcp", "tls", "pin", "auth", "http", NULL
};


const vmops_codec_field_t  vmops_codec_seal[] = {
    VMOPS_C_LINE("from", U64, vmops_seal_t, from, .min = 1),
    VMOPS_C_LINE("n", U64, vmops_seal_t, to, .min = 1),
    VMOPS_C_LINE("h", FIXED, vmops_seal_t, head, .max = VMOPS_HASH),
    VMOPS_C_PLAIN("ms", U64, vmops_seal_t, ms),
    VMOPS_C_LINE("sig", FIXED, vmops_seal_t, sig, .max = VMOPS_SIG),
    VMOPS_C_END
};


const char *
vmops_status_name(unsigned status)
{
    return status < VMOPS_ST_MAX_ ? vmops_codec_statuses[status] : NULL;
}


int
vmops_status_find(vmops_span_t name)
{
    int  i;

    for (i = 0; i < VMOPS_ST_MAX_; i++) {
        if (vmops_span_is(name, vmops_codec_statuses[i])) {
            return i;
        }
    }

    return -1;
}


const char *
vmops_stage_name(unsigned stage)
{
    return stage < VMOPS_STAGE_MAX_ ? stages[stage] : NULL;
}


int
vmops_routes_check(const vmops_json_t *node, vmops_json_error_t *err)
{
    static const vmops_json_field_t  members[] = {
        { .name = "secret_ref", .type = VMOPS_FT_STRING,
          .pattern = VMOPS_P_SECRET_REF },
        { .name = "ok", .type = VMOPS_FT_BOOL },
        { .name = "stage", .type = VMOPS_FT_STRING, .values = stages },
        { .name = "code", .type = VMOPS_FT_STRING, .pattern = VMOPS_P_CODE,
          .flags = VMOPS_F_NULLABLE },
        { .name = "latency_ms", .type = VMOPS_FT_INT, .min = 0,
          .max = 86400000, .flags = VMOPS_F_NULLABLE },
        { .name = "checked_at", .type = VMOPS_FT_STRING,
          .pattern = VMOPS_P_TIME }
    };
    static const vmops_json_field_t  route = {
        .type = VMOPS_FT_OBJECT, .of = members,
        .of_n = sizeof(members) / sizeof(members[0])
    };
    static const vmops_json_field_t  routes = {
        .type = VMOPS_FT_ARRAY, .of = &route, .min = 0,
        .max = VMOPS_ROUTES_MAX
    };

    return vmops_json_check_value(node, &routes, err);
}


void
vmops_route_write(vmops_jw_t *w, const vmops_route_t *r)
{
    vmops_jw_obj(w);
    vmops_jw_kstr(w, "secret_ref", r->secret_ref);
    vmops_jw_kbool(w, "ok", r->ok);
    vmops_jw_kcstr(w, "stage", vmops_stage_name(r->stage));
    vmops_jw_kstr(w, "code", r->code);

    if (r->latency_ms < 0) {
        vmops_jw_knull(w, "latency_ms");
    } else {
        vmops_jw_kint(w, "latency_ms", r->latency_ms);
    }

    vmops_jw_ktime(w, "checked_at", r->checked_ms);
    vmops_jw_obj_end(w);
}


void
vmops_seal_write(vmops_jw_t *w, const vmops_seal_t *s)
{
    if (s == NULL) {
        vmops_jw_null(w);
        return;
    }

    vmops_jw_obj(w);

    if (vmops_codec_write(w, vmops_codec_seal, s) != 0) {
        w->bad = 1;
    }

    vmops_jw_obj_end(w);
}


int
vmops_seal_parse(vmops_seal_t *s, const vmops_json_t *node)
{
    memset(s, 0, sizeof(*s));

    return vmops_codec_read(s, vmops_codec_seal, node, NULL, 1);
}


void
vmops_capabilities_write(vmops_jw_t *w, unsigned bits)
{
    unsigned  i;

    vmops_jw_arr(w);

    for (i = 0; i < VMOPS_SERVICE_MAX_; i++) {
        if (bits & (1u << i)) {
            vmops_jw_cstr(w, vmops_codec_services[i]);
        }
    }

    vmops_jw_arr_end(w);
}


int
vmops_capabilities_parse(unsigned *bits, const vmops_json_t *node)
{
    int                  i;
    const vmops_json_t  *item;

    if (!vmops_json_is(node, VMOPS_JSON_ARRAY)) {
        return -1;
    }

    *bits = 0;

    for (item = node->child; item != NULL; item = item->next) {
        i = vmops_json_is(item, VMOPS_JSON_STRING)
            ? vmops_service_find(item->str) : -1;

        if (i < 0 || (*bits & (1u << i))) {
            return -1;
        }

        *bits |= 1u << i;
    }

    return 0;
}
