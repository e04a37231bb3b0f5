
/*
 * What a gateway tells an agent besides commands: signed control messages, a
 * signed end, an unsigned pause (docs/protocol.md).
 */


#include "ngx_agents_ws.h"

#include "vmops_banned.h"


void
ngx_agents_ws_ctl(ngx_agents_ws_session_t *s, vmops_ctl_t *ctl)
{
    vmops_msg_t              msg;
    vmops_uuid_t             session;
    ngx_agents_ws_keys_t    *keys;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    keys = w->conf->keys;

    ctl->n = ++s->ctl;

    session = s->id;

    if (s->state < NGX_AGENTS_WS_WELCOME) {
        vmops_ws_session_before(&session, s->hello->hash);
    }

    msg.type = VMOPS_MSG_CTL;
    msg.u.ctl.key_id = vmops_span(keys->id, VMOPS_KEY_ID_TEXT);

    if (vmops_ctl_write(w->payload, NGX_AGENTS_WS_TEXT, &msg.u.ctl.payload,
                        ctl)
        != 0
        || vmops_payload_sign(msg.u.ctl.sig, VMOPS_SIGNED_CTL, s->tenant->id,
                              &s->agent, &session, msg.u.ctl.payload,
                              keys->command)
           != 0)
    {
        ngx_log_error(NGX_LOG_ERR, s->connection->log, 0,
                      "cannot write a control message");
        return;
    }

    (void) ngx_agents_ws_send_msg(s, &msg, NULL);
}


/* the agent asks its user for a new version of a secret */

void
ngx_agents_ws_rotate(ngx_agents_ws_session_t *s, vmops_span_t ref)
{
    vmops_ctl_t   ctl;
    vmops_uuid_t  secret;

    if (vmops_secret_ref_parse(&secret, ref) != 0) {
        return;
    }

    ngx_memzero(&ctl, sizeof(vmops_ctl_t));

    ctl.what = VMOPS_CTL_ROTATE;
    ctl.ref = ref;

    ngx_agents_ws_ctl(s, &ctl);
}


void
ngx_agents_ws_bye(ngx_agents_ws_session_t *s, ngx_uint_t close,
    const char *reason)
{
    vmops_ctl_t  ctl;

    ngx_memzero(&ctl, sizeof(vmops_ctl_t));

    ctl.what = VMOPS_CTL_BYE;
    ctl.code = close;

    ngx_agents_ws_ctl(s, &ctl);
    ngx_agents_ws_close(s, close, reason);
}


void
ngx_agents_ws_pause_bye(ngx_agents_ws_session_t *s, const char *code,
    ngx_msec_t retry, ngx_uint_t close)
{
    vmops_msg_t  msg;

    msg.type = VMOPS_MSG_BYE;
    msg.u.bye.code = vmops_span_str(code);
    msg.u.bye.retry_after_ms = retry;

    (void) ngx_agents_ws_send_msg(s, &msg, NULL);

    ngx_agents_ws_close(s, close, code);
}
