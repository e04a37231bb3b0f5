
/* hello, auth, welcome, ready. */

#include <sodium.h>
#include <string.h>

#include "journal.h"
#include "log.h"
#include "run_state.h"
#include "session_parts.h"
#include "witness.h"
#include "vmops_banned.h"


static int
channel_binding(session_t *s)
{
    s->auth.cb = s->agent->settings.channel_binding;

    return s->auth.cb == VMOPS_CB_NONE
           ? 0 : ws_exporter(s->ws, s->auth.cb32);
}


static int
send_auth(session_t *s, const uint8_t sig[VMOPS_SIG])
{
    vmops_msg_t  m;

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_AUTH;
    m.u.auth.tenant = vmops_span_str(s->agent->id->tenant);
    m.u.auth.agent = s->agent->id->agent;
    memcpy(m.u.auth.nonce, s->auth.c_nonce, sizeof(m.u.auth.nonce));
    m.u.auth.epoch = s->auth.epoch;
    m.u.auth.cb = s->auth.cb;
    memcpy(m.u.auth.sig, sig, VMOPS_SIG);
    m.u.auth.version = vmops_span_str(AGENT_VERSION);
    m.u.auth.platform = vmops_span_is(vmops_span_str(plat_name()), "windows")
                        ? VMOPS_PLATFORM_WINDOWS : VMOPS_PLATFORM_LINUX;

    return session_send(s, &m);
}


int
session_on_hello(session_t *s, const vmops_msg_hello_t *m)
{
    uint8_t            sig[VMOPS_SIG];
    const identity_t  *id = s->agent->id;

    memset(&s->auth, 0, sizeof(s->auth));
    memcpy(s->auth.s_nonce, m->nonce, sizeof(s->auth.s_nonce));
    randombytes_buf(s->auth.c_nonce, sizeof(s->auth.c_nonce));
    memcpy(s->auth.tenant16, id->tenant16, sizeof(s->auth.tenant16));
    s->auth.agent = id->agent;
    memcpy(s->auth.ed_pk, id->ed_pk, sizeof(s->auth.ed_pk));
    s->auth.host = vmops_span_str(s->agent->net.url.host_header);

    if (journal_epoch(s->agent->db, &s->auth.epoch) != 0) {
        session_fail(s, VMOPS_CLOSE_INTERNAL, "epoch");
        return -1;
    }

    if (channel_binding(s) != 0) {
        session_fail(s, VMOPS_CLOSE_POLICY, "no_channel_binding");
        return -1;
    }

    if (vmops_ws_auth_sign(sig, &s->auth, id->ed_sk) != 0
        || vmops_ws_auth_hash(s->auth_hash, &s->auth, sig) != 0)
    {
        session_fail(s, VMOPS_CLOSE_INTERNAL, "internal");
        return -1;
    }

    vmops_ws_session_before(&s->session, s->auth_hash);
    s->ctl_n = 0;
    s->state = SESSION_WELCOME;

    return send_auth(s, sig);
}


/* The last seal of the audit log travels to agents, who keep it. */

static void
keep_head(session_t *s, const vmops_msg_welcome_t *m)
{
    s->has_head = witness_last(s->agent->db, &s->head) == 0;

    if (!m->has_audit_head
        || vmops_seal_verify(&m->audit_head, s->agent->id->tenant16,
                             s->agent->id->command_pk) != 0)
    {
        return;
    }

    /* a log that is shorter than it was, or another one */
    if (s->has_head
        && (m->audit_head.to < s->head.to
            || (m->audit_head.to == s->head.to
                && memcmp(m->audit_head.head, s->head.head, VMOPS_HASH) != 0)))
    {
        log_event(LOG_ERROR, "audit_head_went_back",
                  LOG_NUM("kept", s->head.to),
                  LOG_NUM("told", m->audit_head.to));
    }

    witness_keep(s->agent->db, &m->audit_head);
}


static int
send_ready(session_t *s)
{
    vmops_msg_t  m;

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_READY;
    m.u.ready.last_seq = s->seq_before;

    return session_send(s, &m);
}


int
session_on_welcome(session_t *s, const vmops_msg_welcome_t *m)
{
    agent_t  *agent = s->agent;

    if (vmops_ws_welcome_verify(m->sig, s->auth_hash, &m->session, m->epoch,
                                m->time, agent->id->command_pk) != 0)
    {
        session_fail(s, VMOPS_CLOSE_POLICY, "server_not_verified");
        return -1;
    }

    if (m->epoch <= s->auth.epoch
        || journal_set_epoch(agent->db, m->epoch) != 0
        || journal_last_seq(agent->db, &s->seq_before) != 0)
    {
        session_fail(s, VMOPS_CLOSE_INTERNAL, "epoch");
        return -1;
    }

    if (!s->seq_known) {
        s->resume_seq = s->seq_before;
        s->seq_known = 1;
    }

    s->attempts = 0;
    s->session = m->session;
    s->ctl_n = 0;
    s->server_ms = m->time;
    s->boot_ms = plat_boot_ms();
    s->approved = m->status == VMOPS_AGENT_APPROVED;
    s->state = SESSION_READY;
    s->why = NULL;
    keep_head(s, m);

    if (send_ready(s) != 0) {
        return -1;
    }

    journal_doubt(agent->db);
    s->outbox_due = 1;
    s->unconfirmed_n = 0;
    s->status_at = 0;
    channel_up(agent->channel);
    session_resume_tasks(s);

    run_state_set(agent->home, s->approved ? RUN_ONLINE : RUN_PENDING, NULL);
    log_event(LOG_INFO, "session_ready", LOG_UUID("session", &s->session),
              LOG_NUM("epoch", m->epoch), LOG_NUM("approved", s->approved));

    return 0;
}
