
/* Messages of the agent (docs/protocol.md) */


#include "ngx_agents_ws.h"

#include "vmops_banned.h"


typedef void (*ngx_agents_ws_message_pt)(ngx_agents_ws_session_t *s,
    const vmops_msg_t *msg);

typedef struct {
    ngx_agents_ws_message_pt   handler;
    ngx_agents_ws_state_e      state;      /* the only one it may come in */
} ngx_agents_ws_message_t;


static void ngx_agents_ws_on_auth(ngx_agents_ws_session_t *s,
    const vmops_msg_t *msg);
static void ngx_agents_ws_on_ready(ngx_agents_ws_session_t *s,
    const vmops_msg_t *msg);
static void ngx_agents_ws_on_secret_get(ngx_agents_ws_session_t *s,
    const vmops_msg_t *msg);
static void ngx_agents_ws_on_status(ngx_agents_ws_session_t *s,
    const vmops_msg_t *msg);

static ngx_uint_t ngx_agents_ws_expected(ngx_agents_ws_session_t *s,
    vmops_msg_rc_t rc, const vmops_msg_t *msg);

static void ngx_agents_ws_secret_handler(ngx_agents_ws_call_t *call,
    redisReply *reply);
static ngx_int_t ngx_agents_ws_secret(redisReply *record,
    vmops_msg_secret_t *secret, u_char *buf);


/* by type; what is not here does not come from an agent */

static const ngx_agents_ws_message_t
    ngx_agents_ws_messages[VMOPS_MSG_MAX_] =
{
    [VMOPS_MSG_AUTH] = { ngx_agents_ws_on_auth, NGX_AGENTS_WS_HELLO },
    [VMOPS_MSG_READY] = { ngx_agents_ws_on_ready, NGX_AGENTS_WS_WELCOME },
    [VMOPS_MSG_ACK] = { ngx_agents_ws_on_ack, NGX_AGENTS_WS_READY },
    [VMOPS_MSG_SECRET_GET] = { ngx_agents_ws_on_secret_get,
                               NGX_AGENTS_WS_READY },
    [VMOPS_MSG_PROGRESS] = { ngx_agents_ws_on_progress, NGX_AGENTS_WS_READY },
    [VMOPS_MSG_LOG] = { ngx_agents_ws_on_log, NGX_AGENTS_WS_READY },
    [VMOPS_MSG_RESULT] = { ngx_agents_ws_on_result, NGX_AGENTS_WS_READY },
    [VMOPS_MSG_STATUS] = { ngx_agents_ws_on_status, NGX_AGENTS_WS_READY },
};


void
ngx_agents_ws_message(ngx_agents_ws_session_t *s, ngx_uint_t opcode,
    const u_char *p, size_t n)
{
    vmops_msg_t              msg;
    vmops_msg_rc_t           rc;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    if (opcode != VMOPS_WS_TEXT) {
        ngx_agents_ws_fail(s, VMOPS_CLOSE_UNSUPPORTED, "not a text message");
        return;
    }

    vmops_arena_init(&w->arena, w->memory, w->memory_size);

    rc = vmops_msg_parse(&msg, &w->arena, vmops_span(p, n));

    if (rc == VMOPS_MSG_MALFORMED) {
        ngx_agents_ws_fail(s, VMOPS_CLOSE_POLICY, "malformed message");
        return;
    }

    if (ngx_agents_ws_expected(s, rc, &msg)) {
        ngx_agents_ws_messages[msg.type].handler(s, &msg);
    }
}


/*
 * An unknown message is ignored, but it counts where only two may come.  After
 * our Close a result is still stored, there is no better moment for it.
 */

static ngx_uint_t
ngx_agents_ws_expected(ngx_agents_ws_session_t *s, vmops_msg_rc_t rc,
    const vmops_msg_t *msg)
{
    if (s->hello && ++s->hello->frames > VMOPS_WS_PRE_READY_FRAMES) {
        ngx_agents_ws_fail(s, VMOPS_CLOSE_POLICY, "too many messages");
        return 0;
    }

    if (rc == VMOPS_MSG_UNKNOWN) {
        return 0;
    }

    if (s->closing
        && (msg->type != VMOPS_MSG_RESULT || s->state != NGX_AGENTS_WS_READY))
    {
        return 0;
    }

    if (ngx_agents_ws_messages[msg->type].handler == NULL
        || ngx_agents_ws_messages[msg->type].state != s->state)
    {
        ngx_agents_ws_fail(s, VMOPS_CLOSE_POLICY, "unexpected message");
        return 0;
    }

    return 1;
}


static void
ngx_agents_ws_on_auth(ngx_agents_ws_session_t *s, const vmops_msg_t *msg)
{
    ngx_agents_ws_auth(s, &msg->u.auth);
}


static void
ngx_agents_ws_on_ready(ngx_agents_ws_session_t *s, const vmops_msg_t *msg)
{
    ngx_agents_ws_agent_ready(s, &msg->u.ready);
}


static void
ngx_agents_ws_on_status(ngx_agents_ws_session_t *s, const vmops_msg_t *msg)
{
    char                       agent[VMOPS_UUID_TEXT + 1];
    char                       session[VMOPS_UUID_TEXT + 1];
    u_char                     names[VMOPS_SERVICE_MAX_ * 32];
    vmops_jw_t                 routes, capabilities;
    vmops_span_t               argv[6];
    ngx_agents_ws_worker_t    *w = ngx_agents_ws_worker;
    const vmops_msg_status_t  *m = &msg->u.status;

    if (m->has_audit_head) {
        ngx_agents_ws_witness(s, &m->audit_head);
    }

    vmops_jw_init(&routes, w->payload, NGX_AGENTS_WS_TEXT);
    vmops_jw_node(&routes, m->routes.node);

    vmops_jw_init(&capabilities, names, sizeof(names));
    vmops_capabilities_write(&capabilities, m->capabilities);

    if (vmops_jw_done(&routes, &argv[2]) != 0
        || vmops_jw_done(&capabilities, &argv[5]) != 0)
    {
        return;
    }

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_uuid(session, &s->id);
    argv[3] = vmops_span_str(m->keystore == VMOPS_KEYSTORE_OK
                             ? "ok" : "unreadable");
    argv[4] = m->key_id.p ? m->key_id : vmops_span("", 0);

    (void) ngx_agents_ws_call(s, "session_status", ngx_agents_ws_reported, 6,
                              argv);
}


static void
ngx_agents_ws_on_secret_get(ngx_agents_ws_session_t *s, const vmops_msg_t *msg)
{
    char                           agent[VMOPS_UUID_TEXT + 1];
    char                           session[VMOPS_UUID_TEXT + 1];
    u_char                         version[NGX_INT64_LEN];
    vmops_span_t                   argv[4];
    vmops_uuid_t                   ref;
    ngx_agents_ws_call_t          *call;
    const vmops_msg_secret_get_t  *m = &msg->u.secret_get;

    if (vmops_secret_ref_parse(&ref, m->ref) != 0) {
        return;
    }

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_uuid(session, &s->id);
    argv[2] = m->ref;
    argv[3] = ngx_agents_ws_number(version, m->version);

    call = ngx_agents_ws_call(s, "secret_read", ngx_agents_ws_secret_handler,
                              4, argv);
    if (call == NULL) {
        ngx_agents_ws_refused(s, NULL);
        return;
    }

    call->command = ref;
    call->version = m->version;
    call->len = m->id.n;
    ngx_memcpy(call->text, m->id.p, m->id.n);
}


static void
ngx_agents_ws_secret_handler(ngx_agents_ws_call_t *call, redisReply *reply)
{
    char                      ref[VMOPS_SECRET_REF_TEXT + 1];
    u_char                    buf[VMOPS_SECRET_CIPHERTEXT_MAX + 64];
    vmops_msg_t               msg;
    vmops_msg_secret_t       *secret = &msg.u.secret;
    ngx_agents_ws_session_t  *s = call->session;

    if (s == NULL || s->closing || s->dead) {
        return;
    }

    /* it asks again in its next session */

    if (reply == NULL
        || (!ngx_agents_ws_reply_is(reply, "OK")
            && !ngx_agents_ws_reply_is(reply, "not_found")))
    {
        s->owed = 1;
        ngx_agents_ws_refused(s, reply);
        return;
    }

    ngx_memzero(&msg, sizeof(vmops_msg_t));

    vmops_secret_ref_format(ref, &call->command);

    msg.type = VMOPS_MSG_SECRET;
    secret->id = vmops_span(call->text, call->len);
    secret->ref = vmops_span(ref, VMOPS_SECRET_REF_TEXT);
    secret->version = call->version;

    if (!ngx_agents_ws_reply_is(reply, "OK")
        || ngx_agents_ws_secret(ngx_agents_ws_reply_array(reply, 1), secret,
                                buf)
           != NGX_OK)
    {
        secret->error = vmops_span_str("not_found");
    }

    (void) ngx_agents_ws_send_msg(s, &msg, NULL);
}


static ngx_int_t
ngx_agents_ws_secret(redisReply *record, vmops_msg_secret_t *secret,
    u_char *buf)
{
    int           kind;
    size_t        n;
    vmops_span_t  v[7];

    static const char *const  names[] = {
        "kind", "alg", "key_id", "created_ms", "nonce", "ciphertext",
        "aad_meta"
    };

    ngx_agents_ws_fields(record, names, 7, v);

    kind = vmops_kind_find(v[0]);

    if (kind < 0
        || vmops_dec_parse(v[3], INT64_MAX, &secret->created_ms) != 0
        || vmops_b64u_decode(buf, 64, &n, v[4]) != 0)
    {
        return NGX_ERROR;
    }

    secret->kind = kind;
    secret->alg = v[1];
    secret->key_id = v[2];
    secret->nonce = vmops_span(buf, n);
    secret->aad_meta = v[6];

    if (vmops_b64u_decode(buf + 64, VMOPS_SECRET_CIPHERTEXT_MAX, &n, v[5])
        != 0)
    {
        return NGX_ERROR;
    }

    secret->ciphertext = vmops_span(buf + 64, n);

    return NGX_OK;
}
