/*
 * The agent channel's messages, by table (docs/protocol.md).
 */

#include "vmops_codec.h"
#include "vmops_banned.h"


static const char *const  cb_names[] = { "none", "tls-exporter", NULL };
static const char *const  platform_names[] = { "linux", "windows", NULL };
static const char *const  approval_names[] = {
    "pending_approval", "approved", NULL
};
static const char *const  ack_names[] = { "rejected", "accepted", NULL };
static const char *const  keystore_names[] = { "ok", "unreadable", NULL };


#define LINE           VMOPS_C_LINE
#define PLAIN          VMOPS_C_PLAIN
#define SIG(type, member)  LINE("sig", FIXED, type, member, .max = 64)
#define REF(type)      LINE("ref", STR, type, ref,                            \
                            .max = VMOPS_SECRET_REF_TEXT,                     \
                            .pattern = VMOPS_P_SECRET_REF)
#define REQUEST(type)  LINE("id", STR, type, id, .min = 1,                    \
                            .max = VMOPS_REQUEST_ID_MAX,                      \
                            .pattern = VMOPS_P_SUBJECT)
#define SEAL(type)     LINE("audit_head", OBJ, type, audit_head,              \
                            .of = vmops_codec_seal,                           \
                            .flags = VMOPS_C_NULLABLE | VMOPS_C_HAS,          \
                            VMOPS_C_AUX(type, has_audit_head))


static const vmops_codec_field_t  hello[] = {
    LINE("nonce", FIXED, vmops_msg_hello_t, nonce, .max = 32),
    PLAIN("time", U64, vmops_msg_hello_t, time),
    VMOPS_C_END
};


static const vmops_codec_field_t  auth[] = {
    LINE("tenant", STR, vmops_msg_auth_t, tenant, .max = VMOPS_TENANT_MAX,
         .pattern = VMOPS_P_TENANT),
    PLAIN("agent", UUID, vmops_msg_auth_t, agent),
    LINE("nonce", FIXED, vmops_msg_auth_t, nonce, .max = 32),
    PLAIN("epoch", U64, vmops_msg_auth_t, epoch),
    LINE("cb", ENUM, vmops_msg_auth_t, cb, .values = cb_names),
    SIG(vmops_msg_auth_t, sig),
    LINE("version", STR, vmops_msg_auth_t, version, .max = VMOPS_VERSION_MAX,
         .pattern = VMOPS_P_VERSION),
    LINE("platform", ENUM, vmops_msg_auth_t, platform,
         .values = platform_names),
    VMOPS_C_END
};


static const vmops_codec_field_t  welcome[] = {
    PLAIN("session", UUID, vmops_msg_welcome_t, session),
    PLAIN("epoch", U64, vmops_msg_welcome_t, epoch),
    PLAIN("time", U64, vmops_msg_welcome_t, time),
    LINE("ping_s", U32, vmops_msg_welcome_t, ping_s, .min = 1, .max = 3600),
    LINE("status", ENUM, vmops_msg_welcome_t, status,
         .values = approval_names),
    SEAL(vmops_msg_welcome_t),
    LINE("command_key_id", STR, vmops_msg_welcome_t, command_key_id,
         .max = VMOPS_KEY_ID_TEXT, .pattern = VMOPS_P_COMMAND_KEY_ID),
    SIG(vmops_msg_welcome_t, sig),
    VMOPS_C_END
};


static const vmops_codec_field_t  ready[] = {
    PLAIN("last_seq", U64, vmops_msg_ready_t, last_seq),
    VMOPS_C_END
};


static const vmops_codec_field_t  cmd[] = {
    LINE("p", BYTES, vmops_signed_frame_t, payload, .min = 2,
         .max = VMOPS_CMD_PAYLOAD_MAX),
    LINE("k", STR, vmops_signed_frame_t, key_id, .max = VMOPS_KEY_ID_TEXT,
         .pattern = VMOPS_P_COMMAND_KEY_ID),
    LINE("s", FIXED, vmops_signed_frame_t, sig, .max = 64),
    VMOPS_C_END
};


static const vmops_codec_field_t  ctl[] = {
    LINE("p", BYTES, vmops_signed_frame_t, payload, .min = 2,
         .max = VMOPS_CTL_PAYLOAD_MAX),
    LINE("k", STR, vmops_signed_frame_t, key_id, .max = VMOPS_KEY_ID_TEXT,
         .pattern = VMOPS_P_COMMAND_KEY_ID),
    LINE("s", FIXED, vmops_signed_frame_t, sig, .max = 64),
    VMOPS_C_END
};


static const vmops_codec_field_t  ack[] = {
    PLAIN("id", UUID, vmops_msg_ack_t, id),
    LINE("status", ENUM, vmops_msg_ack_t, accepted, .values = ack_names),
    LINE("code", STR, vmops_msg_ack_t, code, .max = VMOPS_CODE_MAX,
         .pattern = VMOPS_P_CODE, .flags = VMOPS_C_OPTIONAL | VMOPS_C_NULLABLE),
    VMOPS_C_END
};


static const vmops_codec_field_t  secret_get[] = {
    REQUEST(vmops_msg_secret_get_t),
    REF(vmops_msg_secret_get_t),
    LINE("version", U64, vmops_msg_secret_get_t, version, .min = 1),
    VMOPS_C_END
};


static const vmops_codec_field_t  secret[] = {
    REQUEST(vmops_msg_secret_t),
    REF(vmops_msg_secret_t),
    LINE("version", U64, vmops_msg_secret_t, version, .min = 1),
    LINE("kind", ENUM, vmops_msg_secret_t, kind, .min = 1,
         .values = vmops_codec_kinds),
    LINE("alg", STR, vmops_msg_secret_t, alg, .min = 1, .max = 32,
         .pattern = VMOPS_P_SUBJECT),
    LINE("key_id", STR, vmops_msg_secret_t, key_id, .max = VMOPS_KEY_ID_TEXT,
         .pattern = VMOPS_P_KEY_ID),
    PLAIN("created_ms", U64, vmops_msg_secret_t, created_ms),
    LINE("nonce", BYTES, vmops_msg_secret_t, nonce, .min = 24, .max = 24),
    LINE("ciphertext", BYTES, vmops_msg_secret_t, ciphertext,
         .min = VMOPS_SECRET_CIPHERTEXT_MIN,
         .max = VMOPS_SECRET_CIPHERTEXT_MAX),
    LINE("aad_meta", STR, vmops_msg_secret_t, aad_meta,
         .max = VMOPS_AAD_META_MAX),
    VMOPS_C_END
};


static const vmops_codec_field_t  secret_error[] = {
    REQUEST(vmops_msg_secret_t),
    LINE("error", STR, vmops_msg_secret_t, error, .max = VMOPS_CODE_MAX,
         .pattern = VMOPS_P_CODE),
    VMOPS_C_END
};


static const vmops_codec_field_t  progress[] = {
    PLAIN("id", UUID, vmops_msg_progress_t, id),
    LINE("percent", U8, vmops_msg_progress_t, percent, .max = 100),
    LINE("stage", STR, vmops_msg_progress_t, stage, .max = VMOPS_STAGE_MAX,
         .pattern = VMOPS_P_TEXT),
    LINE("message", STR, vmops_msg_progress_t, message,
         .max = VMOPS_MESSAGE_MAX),
    VMOPS_C_END
};


static const vmops_codec_field_t  log_line[] = {
    PLAIN("id", UUID, vmops_msg_log_t, id),
    LINE("line", STR, vmops_msg_log_t, line, .max = VMOPS_LINE_MAX),
    VMOPS_C_END
};


static const vmops_codec_field_t  result[] = {
    PLAIN("id", UUID, vmops_msg_result_t, id),
    LINE("p", BYTES, vmops_msg_result_t, signed_.payload, .min = 2,
         .max = VMOPS_RESULT_PAYLOAD_MAX),
    LINE("s", FIXED, vmops_msg_result_t, signed_.sig, .max = 64),
    LINE("cmd", OBJ, vmops_msg_result_t, cmd, .of = cmd,
         .flags = VMOPS_C_OPTIONAL | VMOPS_C_HAS,
         VMOPS_C_AUX(vmops_msg_result_t, has_cmd)),
    VMOPS_C_END
};


static const vmops_codec_field_t  result_ok[] = {
    PLAIN("id", UUID, vmops_msg_id_t, id),
    VMOPS_C_END
};


static const vmops_codec_field_t  bye[] = {
    LINE("code", STR, vmops_msg_bye_t, code, .max = VMOPS_CODE_MAX,
         .pattern = VMOPS_P_CODE),
    PLAIN("retry_after_ms", U32, vmops_msg_bye_t, retry_after_ms),
    VMOPS_C_END
};


static const vmops_codec_field_t  status[] = {
    PLAIN("routes", ROUTES, vmops_msg_status_t, routes),
    LINE("keystore", ENUM, vmops_msg_status_t, keystore,
         .values = keystore_names),
    LINE("key_id", STR, vmops_msg_status_t, key_id, .max = VMOPS_KEY_ID_TEXT,
         .pattern = VMOPS_P_KEY_ID, .flags = VMOPS_C_NULLABLE),
    LINE("capabilities", SET, vmops_msg_status_t, capabilities,
         .values = vmops_codec_services),
    SEAL(vmops_msg_status_t),
    VMOPS_C_END
};


static const struct {
    const char                 *name;
    const vmops_codec_field_t  *fields;
} messages[VMOPS_MSG_MAX_] = {
    [VMOPS_MSG_HELLO] = { "hello", hello },
    [VMOPS_MSG_AUTH] = { "auth", auth },
    [VMOPS_MSG_WELCOME] = { "welcome", welcome },
    [VMOPS_MSG_READY] = { "ready", ready },
    [VMOPS_MSG_CMD] = { "cmd", cmd },
    [VMOPS_MSG_ACK] = { "ack", ack },
    [VMOPS_MSG_SECRET_GET] = { "secret.get", secret_get },
    [VMOPS_MSG_SECRET] = { "secret", secret },
    [VMOPS_MSG_PROGRESS] = { "progress", progress },
    [VMOPS_MSG_LOG] = { "log", log_line },
    [VMOPS_MSG_RESULT] = { "result", result },
    [VMOPS_MSG_RESULT_OK] = { "result.ok", result_ok },
    [VMOPS_MSG_CTL] = { "ctl", ctl },
    [VMOPS_MSG_BYE] = { "bye", bye },
    [VMOPS_MSG_STATUS] = { "status", status }
};


const char *
vmops_msg_name(unsigned type)
{
    return type < VMOPS_MSG_MAX_ ? messages[type].name : NULL;
}


int
vmops_msg_write(uint8_t *buf, size_t cap, vmops_span_t *out,
    const vmops_msg_t *m)
{
    vmops_jw_t                  w;
    const vmops_codec_field_t  *fields;

    if (m->type >= VMOPS_MSG_MAX_) {
        return -1;
    }

    fields = m->type == VMOPS_MSG_SECRET && m->u.secret.error.p != NULL
             ? secret_error : messages[m->type].fields;

    vmops_jw_init(&w, buf, cap < VMOPS_WS_MESSAGE_MAX ? cap
                                                      : VMOPS_WS_MESSAGE_MAX);
    vmops_jw_obj(&w);
    vmops_jw_kcstr(&w, "t", messages[m->type].name);

    if (vmops_codec_write(&w, fields, &m->u) != 0) {
        return -1;
    }

    vmops_jw_obj_end(&w);

    return vmops_jw_done(&w, out);
}


vmops_msg_rc_t
vmops_msg_parse(vmops_msg_t *m, vmops_arena_t *a, vmops_span_t text)
{
    unsigned                    i;
    vmops_span_t                t;
    const vmops_json_t         *root;
    const vmops_codec_field_t  *fields;

    memset(m, 0, sizeof(*m));

    if (text.n > VMOPS_WS_MESSAGE_MAX
        || vmops_json_parse(&root, a, text) != VMOPS_JSON_OK
        || vmops_json_str(vmops_json_get(root, "t"), &t) != 0)
    {
        return VMOPS_MSG_MALFORMED;
    }

    for (i = 0; i < VMOPS_MSG_MAX_; i++) {
        if (vmops_span_is(t, messages[i].name)) {
            break;
        }
    }

    if (i == VMOPS_MSG_MAX_) {
        return VMOPS_MSG_UNKNOWN;
    }

    m->type = (vmops_msg_type_t) i;
    fields = i == VMOPS_MSG_SECRET && vmops_json_get(root, "error") != NULL
             ? secret_error : messages[i].fields;

    return vmops_codec_read(&m->u, fields, root, a, 0) == 0
           ? VMOPS_MSG_OK : VMOPS_MSG_MALFORMED;
}
