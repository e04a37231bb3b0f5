/*
 * The signed payloads: cmd, result, ctl (docs/protocol.md).
 */

#include "vmops_codec.h"
#include "vmops_banned.h"


static const char *const  ctl_names[] = {
    "cancel", "rotate", "probe", "rekey", "approved", "bye", NULL
};


static const vmops_codec_field_t  cmd_secret[] = {
    VMOPS_C_LINE("ref", STR, vmops_secret_use_t, ref,
                 .max = VMOPS_SECRET_REF_TEXT, .pattern = VMOPS_P_SECRET_REF),
    VMOPS_C_LINE("version", U64, vmops_secret_use_t, version, .min = 1),
    VMOPS_C_LINE("family", ENUM, vmops_secret_use_t, family,
                 .values = vmops_codec_services),
    VMOPS_C_END
};


static const vmops_codec_field_t  result_secret[] = {
    VMOPS_C_LINE("ref", STR, vmops_secret_use_t, ref,
                 .max = VMOPS_SECRET_REF_TEXT, .pattern = VMOPS_P_SECRET_REF),
    VMOPS_C_LINE("version", U64, vmops_secret_use_t, version, .min = 1),
    VMOPS_C_END
};


static const vmops_codec_field_t  target[] = {
    VMOPS_C_PLAIN("vm_uuid", UUID, vmops_target_t, vm_uuid),
    VMOPS_C_LINE("guest", ENUM, vmops_target_t, guest,
                 .values = vmops_codec_guests),
    VMOPS_C_LINE("node", STR, vmops_target_t, node, .max = VMOPS_NODE_MAX,
                 .pattern = VMOPS_P_NODE),
    VMOPS_C_LINE("vmid", U32, vmops_target_t, vmid, .min = VMOPS_VMID_MIN,
                 .max = VMOPS_VMID_MAX),
    VMOPS_C_END
};


static const vmops_codec_field_t  by[] = {
    VMOPS_C_LINE("subject", STR, vmops_cmd_t, by_subject,
                 .max = VMOPS_SUBJECT_MAX, .pattern = VMOPS_P_SUBJECT),
    VMOPS_C_LINE("role", STR, vmops_cmd_t, by_role, .max = VMOPS_ROLE_MAX,
                 .pattern = VMOPS_P_CODE),
    VMOPS_C_END
};


static const vmops_codec_field_t  cmd[] = {
    { .name = "v", .kind = VMOPS_C_VERSION },
    VMOPS_C_PLAIN("id", UUID, vmops_cmd_t, id),
    VMOPS_C_LINE("seq", U64, vmops_cmd_t, seq, .min = 1),
    VMOPS_C_PLAIN("iat", U64, vmops_cmd_t, iat),
    VMOPS_C_PLAIN("exp", U64, vmops_cmd_t, exp),
    VMOPS_C_LINE("service", STR, vmops_cmd_t, service,
                 .max = VMOPS_ACTION_NAME_MAX, .pattern = VMOPS_P_ACTION),
    VMOPS_C_LINE("action", STR, vmops_cmd_t, action,
                 .max = VMOPS_ACTION_NAME_MAX, .pattern = VMOPS_P_ACTION),
    VMOPS_C_LINE("target", OBJ, vmops_cmd_t, target, .of = target,
                 .flags = VMOPS_C_EMPTY | VMOPS_C_HAS,
                 VMOPS_C_AUX(vmops_cmd_t, target.present)),
    VMOPS_C_PLAIN("params", VALUE, vmops_cmd_t, params),
    VMOPS_C_LINE("secrets", LIST, vmops_cmd_t, secrets, .of = cmd_secret,
                 .size = sizeof(vmops_secret_use_t),
                 .max = VMOPS_CMD_SECRETS_MAX,
                 VMOPS_C_AUX(vmops_cmd_t, secrets_n)),
    VMOPS_C_LINE("timeout_s", U32, vmops_cmd_t, timeout_s,
                 .min = VMOPS_TIMEOUT_MIN_S, .max = VMOPS_TIMEOUT_MAX_S),
    { .name = "by", .kind = VMOPS_C_OBJ, .of = by },
    VMOPS_C_LINE("idem", FIXED, vmops_cmd_t, idem, .max = 32,
                 .flags = VMOPS_C_NULLABLE | VMOPS_C_HAS,
                 VMOPS_C_AUX(vmops_cmd_t, has_idem)),
    VMOPS_C_END
};


static const vmops_codec_field_t  error[] = {
    VMOPS_C_LINE("code", STR, vmops_result_t, error_code,
                 .max = VMOPS_CODE_MAX, .pattern = VMOPS_P_CODE),
    VMOPS_C_LINE("stage", STR, vmops_result_t, error_stage,
                 .max = VMOPS_STAGE_MAX, .pattern = VMOPS_P_TEXT,
                 .flags = VMOPS_C_NULLABLE),
    VMOPS_C_LINE("detail_code", STR, vmops_result_t, error_detail_code,
                 .max = VMOPS_CODE_MAX, .pattern = VMOPS_P_CODE,
                 .flags = VMOPS_C_NULLABLE),
    VMOPS_C_END
};


static const vmops_codec_field_t  result[] = {
    { .name = "v", .kind = VMOPS_C_VERSION },
    VMOPS_C_PLAIN("id", UUID, vmops_result_t, id),
    VMOPS_C_LINE("status", ENUM, vmops_result_t, status,
                 .values = vmops_codec_statuses, .min = VMOPS_ST_SUCCEEDED),
    VMOPS_C_PLAIN("started", U64, vmops_result_t, started),
    VMOPS_C_PLAIN("finished", U64, vmops_result_t, finished),
    VMOPS_C_LINE("result", VALUE, vmops_result_t, result,
                 .flags = VMOPS_C_NULLABLE),
    { .name = "error", .kind = VMOPS_C_OBJ, .of = error,
      .flags = VMOPS_C_NULLABLE | VMOPS_C_BY_SPAN,
      VMOPS_C_AUX(vmops_result_t, error_code) },
    VMOPS_C_LINE("secrets", LIST, vmops_result_t, secrets, .of = result_secret,
                 .size = sizeof(vmops_secret_use_t),
                 .max = VMOPS_CMD_SECRETS_MAX,
                 VMOPS_C_AUX(vmops_result_t, secrets_n)),
    VMOPS_C_LINE("cmd_hash", FIXED, vmops_result_t, cmd_hash, .max = 32),
    VMOPS_C_END
};


/* every ctl begins with these; one table for each `do` */

#define CTL_COMMON                                                            \
    { .name = "v", .kind = VMOPS_C_VERSION },                                 \
    VMOPS_C_LINE("n", U64, vmops_ctl_t, n, .min = 1),                         \
    VMOPS_C_LINE("do", ENUM, vmops_ctl_t, what, .values = ctl_names)

#define CTL_REF                                                               \
    VMOPS_C_LINE("ref", STR, vmops_ctl_t, ref,                                \
                 .max = VMOPS_SECRET_REF_TEXT, .pattern = VMOPS_P_SECRET_REF)


static const vmops_codec_field_t  ctl_cancel[] = {
    CTL_COMMON, VMOPS_C_PLAIN("id", UUID, vmops_ctl_t, id), VMOPS_C_END
};

static const vmops_codec_field_t  ctl_ref[] = {
    CTL_COMMON, CTL_REF, VMOPS_C_END
};

static const vmops_codec_field_t  ctl_rekey[] = {
    CTL_COMMON, VMOPS_C_LINE("key", FIXED, vmops_ctl_t, key, .max = 32),
    VMOPS_C_LINE("key_id", STR, vmops_ctl_t, key_id,
                 .max = VMOPS_KEY_ID_TEXT, .pattern = VMOPS_P_COMMAND_KEY_ID),
    VMOPS_C_END
};

static const vmops_codec_field_t  ctl_approved[] = {
    CTL_COMMON, VMOPS_C_END
};

static const vmops_codec_field_t  ctl_bye[] = {
    CTL_COMMON, VMOPS_C_LINE("code", U32, vmops_ctl_t, code, .min = 1000,
                             .max = 4999),
    VMOPS_C_END
};

static const vmops_codec_field_t *const  ctls[VMOPS_CTL_MAX_] = {
    [VMOPS_CTL_CANCEL] = ctl_cancel,
    [VMOPS_CTL_ROTATE] = ctl_ref,
    [VMOPS_CTL_PROBE] = ctl_ref,
    [VMOPS_CTL_REKEY] = ctl_rekey,
    [VMOPS_CTL_APPROVED] = ctl_approved,
    [VMOPS_CTL_BYE] = ctl_bye
};


static int
write_payload(uint8_t *buf, size_t cap, vmops_span_t *out, size_t max,
    const vmops_codec_field_t *fields, const void *from)
{
    vmops_jw_t  w;

    vmops_jw_init(&w, buf, cap < max ? cap : max);
    vmops_jw_obj(&w);

    if (vmops_codec_write(&w, fields, from) != 0) {
        return -1;
    }

    vmops_jw_obj_end(&w);

    return vmops_jw_done(&w, out);
}


/* exp = iat + 1000 * timeout_s = the deadline */

static int
times_agree(const vmops_cmd_t *c)
{
    return c->exp >= c->iat
           && c->exp - c->iat == (uint64_t) c->timeout_s * 1000;
}


int
vmops_cmd_write(uint8_t *buf, size_t cap, vmops_span_t *out,
    const vmops_cmd_t *c)
{
    return times_agree(c) ? write_payload(buf, cap, out,
                                          VMOPS_CMD_PAYLOAD_MAX, cmd, c)
                          : -1;
}


int
vmops_result_write(uint8_t *buf, size_t cap, vmops_span_t *out,
    const vmops_result_t *r)
{
    return write_payload(buf, cap, out, VMOPS_RESULT_PAYLOAD_MAX, result, r);
}


int
vmops_ctl_write(uint8_t *buf, size_t cap, vmops_span_t *out,
    const vmops_ctl_t *c)
{
    return c->what < VMOPS_CTL_MAX_
           ? write_payload(buf, cap, out, VMOPS_CTL_PAYLOAD_MAX,
                           ctls[c->what], c)
           : -1;
}


int
vmops_cmd_parse(vmops_cmd_t *c, vmops_arena_t *a, vmops_span_t payload)
{
    if (payload.n > VMOPS_CMD_PAYLOAD_MAX
        || vmops_codec_parse(c, sizeof(*c), cmd, a, payload) != 0)
    {
        return -1;
    }

    return times_agree(c) ? 0 : -1;
}


int
vmops_result_parse(vmops_result_t *r, vmops_arena_t *a, vmops_span_t payload)
{
    return payload.n <= VMOPS_RESULT_PAYLOAD_MAX
           ? vmops_codec_parse(r, sizeof(*r), result, a, payload) : -1;
}


int
vmops_ctl_parse(vmops_ctl_t *c, vmops_arena_t *a, vmops_span_t payload)
{
    int                  i;
    vmops_span_t         what;
    const vmops_json_t  *root;

    memset(c, 0, sizeof(*c));

    if (payload.n > VMOPS_CTL_PAYLOAD_MAX
        || vmops_json_parse(&root, a, payload) != VMOPS_JSON_OK
        || vmops_json_str(vmops_json_get(root, "do"), &what) != 0)
    {
        return -1;
    }

    for (i = 0; i < VMOPS_CTL_MAX_; i++) {
        if (vmops_span_is(what, ctl_names[i])) {
            return vmops_codec_read(c, ctls[i], root, a, 1);
        }
    }

    return -1;
}
