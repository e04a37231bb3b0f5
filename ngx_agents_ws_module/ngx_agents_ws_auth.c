
/*
 * From "hello" to "ready" (docs/protocol.md): the agent proves its key, then
 * the gateway proves its own.  Nothing is written to the store before the
 * agent's signature has held, over a record whose MAC holds.
 */


#include "ngx_agents_ws.h"

#include <sodium.h>

#include "vmops_banned.h"


static ngx_int_t ngx_agents_ws_bind(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_record_handler(ngx_agents_ws_call_t *call,
    redisReply *reply);
static ngx_uint_t ngx_agents_ws_passed(ngx_agents_ws_session_t *s,
    redisReply *record);
static ngx_int_t ngx_agents_ws_prove(ngx_agents_ws_session_t *s,
    ngx_agents_ws_identity_t *id);
static void ngx_agents_ws_session_auth(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_auth_handler(ngx_agents_ws_call_t *call,
    redisReply *reply);
static void ngx_agents_ws_welcome(ngx_agents_ws_session_t *s,
    vmops_span_t audit_head);
static void ngx_agents_ws_audit_head(vmops_msg_welcome_t *welcome,
    vmops_span_t text);


void
ngx_agents_ws_auth(ngx_agents_ws_session_t *s, const vmops_msg_auth_t *m)
{
    char              agent[VMOPS_UUID_TEXT + 1];
    vmops_span_t      argv[2];
    vmops_ws_auth_t  *auth = &s->hello->auth;

    s->state = NGX_AGENTS_WS_AUTH;

    s->agent = m->agent;
    s->platform = m->platform;
    s->version_len = m->version.n;
    ngx_memcpy(s->version, m->version.p, m->version.n);

    auth->agent = m->agent;
    auth->epoch = m->epoch;
    auth->cb = m->cb;
    ngx_memcpy(auth->c_nonce, m->nonce, 32);
    ngx_memcpy(s->hello->sig, m->sig, VMOPS_SIG);

    ngx_agents_ws_attach(s, m->tenant);

    if (s->dead) {
        return;
    }

    if (ngx_agents_ws_bind(s) != NGX_OK) {
        ngx_agents_ws_close(s, VMOPS_CLOSE_AUTH, "no channel binding");
        return;
    }

    ngx_memcpy(auth->tenant16, s->tenant->id, 16);

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = vmops_span("", 0);

    if (ngx_agents_ws_call(s, "agent_get", ngx_agents_ws_record_handler, 2,
                           argv)
        == NULL)
    {
        ngx_agents_ws_refused(s, NULL);
        return;
    }

    ngx_agents_ws_pause(s);
}


/*
 * RFC 9266: the exporter of this very TLS connection.  Before TLS 1.3 it is
 * bound to the connection only by the extended master secret (RFC 7627).
 */

static ngx_int_t
ngx_agents_ws_bind(ngx_agents_ws_session_t *s)
{
    SSL                *ssl;
    ngx_connection_t   *c = s->connection;

    static const char   label[] = "EXPORTER-Channel-Binding";

    if (s->hello->auth.cb == VMOPS_CB_NONE) {
        ngx_memzero(s->hello->auth.cb32, 32);
        return NGX_OK;
    }

    if (c->ssl == NULL) {
        return NGX_DECLINED;
    }

    ssl = c->ssl->connection;

    if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1) {
        return NGX_DECLINED;
    }

    if (SSL_export_keying_material(ssl, s->hello->auth.cb32, 32, label,
                                   sizeof(label) - 1, NULL, 0, 0)
        != 1)
    {
        ngx_ssl_error(NGX_LOG_ERR, c->log, 0,
                      (char *) "SSL_export_keying_material() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_agents_ws_record_handler(ngx_agents_ws_call_t *call, redisReply *reply)
{
    redisReply                *record;
    ngx_agents_ws_session_t   *s = call->session;
    ngx_agents_ws_identity_t   id;

    if (s == NULL || s->closing || s->dead) {
        return;
    }

    if (reply == NULL || !ngx_agents_ws_reply_is(reply, "OK")) {
        ngx_agents_ws_refused(s, reply);
        return;
    }

    record = ngx_agents_ws_reply_array(reply, 1);

    if (ngx_agents_ws_identity(s->tenant, &s->agent, record, &id) != NGX_OK
        || ngx_agents_ws_prove(s, &id) != NGX_OK)
    {
        ngx_agents_ws_close(s, VMOPS_CLOSE_AUTH, "authentication failed");
        return;
    }

    if (vmops_span_is(id.revoked, "1")) {
        ngx_agents_ws_bye(s, VMOPS_CLOSE_REVOKED, "agent_revoked");
        return;
    }

    s->approved = vmops_span_is(id.approved, "1");
    s->hello->passed = ngx_agents_ws_passed(s, record);

    ngx_agents_ws_session_auth(s);
}


/*
 * Was a later epoch in use when this agent was asked for its own?  Only then an
 * old one is a copy's: an agent that was killed, or gave a slow line up, may
 * have come in by another socket since, and this is what it said before.
 *
 * The record was read after "hello" and before now, so its epoch is in use for
 * longer than the question is old only if it came first; neither clock has to
 * know the other's time.
 */

static ngx_uint_t
ngx_agents_ws_passed(ngx_agents_ws_session_t *s, redisReply *record)
{
    uint64_t            epoch, age;
    vmops_span_t        values[2];

    static const char *const  names[] = { "epoch", "epoch_age" };

    ngx_agents_ws_fields(record, names, 2, values);

    return vmops_dec_parse(values[0], INT64_MAX, &epoch) == 0
           && vmops_dec_parse(values[1], INT64_MAX, &age) == 0
           && s->hello->auth.epoch < epoch
           && age > ngx_current_msec - s->hello->asked;
}


static ngx_int_t
ngx_agents_ws_prove(ngx_agents_ws_session_t *s, ngx_agents_ws_identity_t *id)
{
    ngx_agents_ws_hello_t *hello = s->hello;

    if (vmops_b64u_decode_exact(hello->auth.ed_pk, 32, id->ed_pk) != 0
        || vmops_ws_auth_verify(hello->sig, &hello->auth) != 0
        || vmops_ws_auth_hash(hello->hash, &hello->auth, hello->sig) != 0)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_agents_ws_session_auth(ngx_agents_ws_session_t *s)
{
    char          agent[VMOPS_UUID_TEXT + 1];
    char          session[VMOPS_UUID_TEXT + 1];
    u_char        epoch[NGX_INT64_LEN], random[10];
    vmops_span_t  argv[4];

    randombytes_buf(random, sizeof(random));
    vmops_uuid_v7(&s->id, ngx_agents_ws_now(), random);

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_number(epoch, s->hello->auth.epoch);
    argv[2] = ngx_agents_ws_uuid(session, &s->id);
    argv[3] = vmops_span_str(s->hello->passed ? "1" : "0");

    if (ngx_agents_ws_call(s, "session_auth", ngx_agents_ws_auth_handler, 4,
                           argv)
        == NULL)
    {
        ngx_agents_ws_refused(s, NULL);
    }
}


static void
ngx_agents_ws_auth_handler(ngx_agents_ws_call_t *call, redisReply *reply)
{
    ngx_agents_ws_session_t *s = call->session;

    if (s == NULL || s->closing || s->dead) {
        return;
    }

    if (reply && ngx_agents_ws_reply_is(reply, "stale")) {
        ngx_agents_ws_replaced(s);
        return;
    }

    if (reply == NULL
        || !ngx_agents_ws_reply_is(reply, "OK")
        || vmops_dec_parse(ngx_agents_ws_reply_span(reply, 1), INT64_MAX,
                           &s->epoch)
           != 0)
    {
        ngx_agents_ws_refused(s, reply);
        return;
    }

    ngx_agents_ws_welcome(s, ngx_agents_ws_reply_span(reply, 3));
}


static void
ngx_agents_ws_welcome(ngx_agents_ws_session_t *s, vmops_span_t audit_head)
{
    vmops_msg_t            msg;
    vmops_msg_welcome_t   *welcome;
    ngx_agents_ws_keys_t  *keys;

    keys = ngx_agents_ws_worker->conf->keys;

    msg.type = VMOPS_MSG_WELCOME;
    welcome = &msg.u.welcome;

    welcome->session = s->id;
    welcome->epoch = s->epoch;
    welcome->time = ngx_agents_ws_now();
    welcome->ping_s = s->conf->ping / 1000;
    welcome->status = s->approved ? VMOPS_AGENT_APPROVED : VMOPS_AGENT_PENDING;
    welcome->command_key_id = vmops_span(keys->id, VMOPS_KEY_ID_TEXT);

    ngx_agents_ws_audit_head(welcome, audit_head);

    s->head = 0;

    if (welcome->has_audit_head) {
        ngx_memcpy(&s->head, welcome->audit_head.head, sizeof(s->head));
    }

    vmops_ws_welcome_sign(welcome->sig, s->hello->hash, &s->id, s->epoch,
                          welcome->time, keys->command);

    s->state = NGX_AGENTS_WS_WELCOME;

    (void) ngx_agents_ws_send_msg(s, &msg, NULL);

    ngx_agents_ws_resume(s);
}


/* the last seal, as the store has it; whoever gets it checks its signature */

static void
ngx_agents_ws_audit_head(vmops_msg_welcome_t *welcome, vmops_span_t text)
{
    const vmops_json_t      *root;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    vmops_arena_init(&w->arena, w->memory, w->memory_size);

    welcome->has_audit_head =
        (text.n && vmops_json_parse(&root, &w->arena, text) == VMOPS_JSON_OK
         && vmops_seal_parse(&welcome->audit_head, root) == 0);
}


void
ngx_agents_ws_agent_ready(ngx_agents_ws_session_t *s,
    const vmops_msg_ready_t *m)
{
    s->state = NGX_AGENTS_WS_READYING;
    s->last_seq = m->last_seq;

    ngx_agents_ws_pause(s);

    ngx_agents_ws_register(s);
}
