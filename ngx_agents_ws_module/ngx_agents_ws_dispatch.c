
/*
 * Commands to the agent: handed over as they are submitted, or taken from the
 * queue; checked, signed, sent.  In the store both are delivered already, so
 * what does not leave is given back.
 */


#include "ngx_agents_ws.h"

#include "vmops_banned.h"


#define NGX_AGENTS_WS_HANDED  8     /* elements of what is handed over */


static void ngx_agents_ws_take_handler(ngx_agents_ws_call_t *call,
    redisReply *reply);
static ngx_int_t ngx_agents_ws_handed_whole(ngx_pool_t *pool,
    redisReply *order, redisReply *taken);
static ngx_uint_t ngx_agents_ws_handed_send(ngx_agents_ws_session_t *s,
    redisReply *agent, redisReply *taken);
static ngx_uint_t ngx_agents_ws_may(ngx_agents_ws_session_t *s,
    redisReply *record);
static ngx_int_t ngx_agents_ws_dispatch(ngx_agents_ws_session_t *s,
    redisReply *taken, ngx_uint_t may);
static void ngx_agents_ws_return(ngx_agents_ws_tenant_t *t,
    const vmops_uuid_t *agent, const vmops_uuid_t *session,
    redisReply *taken);
static uint64_t ngx_agents_ws_turn(redisReply *taken);
static ngx_int_t ngx_agents_ws_command(ngx_agents_ws_session_t *s,
    vmops_span_t payload, const ngx_agents_ws_taken_t *command);
static void ngx_agents_ws_invalid(ngx_agents_ws_session_t *s,
    const vmops_uuid_t *command, const char *why);


void
ngx_agents_ws_take(ngx_agents_ws_session_t *s)
{
    char                     agent[VMOPS_UUID_TEXT + 1];
    char                     session[VMOPS_UUID_TEXT + 1];
    u_char                   limit[NGX_INT64_LEN], seen[NGX_INT64_LEN];
    vmops_span_t             argv[4];
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    if (s->state != NGX_AGENTS_WS_READY || !s->approved || s->closing
        || s->dead)
    {
        return;
    }

    if (s->taking) {
        s->again = 1;
        return;
    }

    /* one that is to be registered takes after it */

    if (ngx_exiting || !vmops_beat_fresh(w->beat) || s->reg.next
        || !ngx_agents_ws_room(s, 0))
    {
        return;
    }

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_uuid(session, &s->id);
    argv[2] = ngx_agents_ws_number(limit, NGX_AGENTS_WS_TAKE);
    argv[3] = ngx_agents_ws_number(seen, s->last_seq);

    if (ngx_agents_ws_call(s, "take", ngx_agents_ws_take_handler, 4, argv)
        == NULL)
    {
        ngx_agents_ws_register_again(s);
        return;
    }

    s->taking = 1;
    s->again = 0;
    s->behind = 0;
}


/*
 * What vmops_submit hands over: the agent's commands stay in their order, so
 * one that comes while others are being taken is taken after them, and one
 * behind what was given back is given back.
 */

void
ngx_agents_ws_handed(void *data, u_char *p, size_t n)
{
    ngx_agents_ws_tenant_t *t = data;

    ngx_pool_t               *pool;
    redisReply               *order, taken;
    vmops_span_t              id;
    vmops_uuid_t              agent, session;
    ngx_agents_ws_session_t  *s;

    static const char *const  names[] = { "agent_id" };

    pool = ngx_create_pool(NGX_AGENTS_WS_ORDER, ngx_agents_ws_worker->log);
    if (pool == NULL) {
        return;
    }

    order = vmops_redis_unpack(pool, p, n);

    if (order == NULL
        || ngx_agents_ws_handed_whole(pool, order, &taken) != NGX_OK)
    {
        goto done;
    }

    ngx_agents_ws_fields(order->element[1], names, 1, &id);

    if (vmops_uuid_parse(&agent, id) != 0
        || vmops_uuid_parse(&session, ngx_agents_ws_reply_span(order, 0)) != 0)
    {
        goto done;
    }

    for (s = ngx_agents_ws_find(t, &agent, NULL);
         s && !vmops_uuid_eq(&s->id, &session);
         s = ngx_agents_ws_find(t, &agent, s))
    {
        /* void */
    }

    if (s == NULL || !ngx_agents_ws_handed_send(s, order->element[1], &taken)) {
        ngx_agents_ws_return(t, &agent, &session, &taken);
    }

done:

    ngx_destroy_pool(pool);
}


/*
 * [session agent {command} vm own bot principal {origin}], of what their MACs
 * are over without names; and what was asked is one packed field of the
 * command's record: taken is as if it had been taken, the agent's with names
 */

static ngx_int_t
ngx_agents_ws_handed_whole(ngx_pool_t *pool, redisReply *order,
    redisReply *taken)
{
    size_t         i, n;
    redisReply   **e;
    vmops_span_t   field[2];

    const char *const         *fields;
    static const char *const   names[] = { "intent", "pkind" };

    vmops_record_t  types[] = {
        VMOPS_RECORD_agent, VMOPS_RECORD_MAX_, VMOPS_RECORD_vm,
        VMOPS_RECORD_binding, VMOPS_RECORD_binding, VMOPS_RECORD_token
    };

    if (order->type != REDIS_REPLY_ARRAY
        || order->elements != NGX_AGENTS_WS_HANDED
        || ngx_agents_ws_reply_array(order, 2) == NULL)
    {
        return NGX_DECLINED;
    }

    e = order->element;

    ngx_agents_ws_fields(e[2], names, 1, field);

    e[2] = vmops_redis_joined(pool, e[2],
                              vmops_redis_unpack(pool, (u_char *) field[0].p,
                                                 field[0].n));
    if (e[2] == NULL) {
        return NGX_DECLINED;
    }

    ngx_agents_ws_fields(e[2], names, 2, field);

    if (vmops_span_is(field[1], "session")) {
        types[5] = VMOPS_RECORD_session;
    }

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {

        if (types[i] == VMOPS_RECORD_MAX_) {
            continue;
        }

        fields = vmops_record_fields(types[i], &n);

        e[i + 1] = vmops_redis_named(pool, e[i + 1], fields, n, "mac");

        if (e[i + 1] == NULL) {
            return NGX_DECLINED;
        }
    }

    *taken = *order;
    taken->element = e + 2;
    taken->elements = order->elements - 2;

    return NGX_OK;
}


/* 0: it is to be given back */

static ngx_uint_t
ngx_agents_ws_handed_send(ngx_agents_ws_session_t *s, redisReply *agent,
    redisReply *taken)
{
    uint64_t                  seq;
    vmops_span_t              number;

    static const char *const  names[] = { "seq" };

    ngx_agents_ws_fields(ngx_agents_ws_reply_array(taken, 0), names, 1,
                         &number);

    if (vmops_dec_parse(number, INT64_MAX, &seq) == 0 && seq <= s->last_seq) {
        /* somebody says again what was said before */
        return 1;
    }

    if (s->taking) {
        s->again = 1;
        return 1;
    }

    if (s->state == NGX_AGENTS_WS_READY && s->approved && !s->closing
        && !s->dead && !s->behind && !s->reg.next && !ngx_exiting
        && vmops_beat_fresh(ngx_agents_ws_worker->beat)
        && ngx_agents_ws_dispatch(s, taken, ngx_agents_ws_may(s, agent))
           == NGX_OK)
    {
        return 1;
    }

    s->behind = 1;

    return 0;
}


static void
ngx_agents_ws_take_handler(ngx_agents_ws_call_t *call, redisReply *reply)
{
    size_t                    i;
    redisReply               *list;
    ngx_uint_t                may;
    ngx_agents_ws_session_t  *s = call->session;

    if (reply == NULL || !ngx_agents_ws_reply_is(reply, "OK")) {

        if (s) {
            s->taking = 0;

            if (reply == NULL) {
                ngx_agents_ws_register_again(s);

            } else if (!s->closing && !s->dead) {
                ngx_agents_ws_refused(s, reply);
            }
        }

        return;
    }

    list = ngx_agents_ws_reply_array(reply, 2);

    if (list == NULL) {

        if (s) {
            s->taking = 0;
        }

        return;
    }

    i = 0;

    if (s && !s->closing && !s->dead && !ngx_exiting
        && vmops_beat_fresh(ngx_agents_ws_worker->beat))
    {
        may = list->elements
              && ngx_agents_ws_may(s, ngx_agents_ws_reply_array(reply, 1));

        while (i < list->elements
               && ngx_agents_ws_dispatch(s, list->element[i], may) == NGX_OK)
        {
            i++;
        }
    }

    /* the first that could not be sent, and all behind it */

    while (i < list->elements) {
        ngx_agents_ws_return(call->tenant, &call->agent, &call->id,
                             list->element[i++]);
    }

    if (s) {
        s->taking = 0;

        if (s->again
            || vmops_span_is(ngx_agents_ws_reply_span(reply, 3), "1"))
        {
            ngx_agents_ws_take(s);
        }
    }
}


static ngx_uint_t
ngx_agents_ws_may(ngx_agents_ws_session_t *s, redisReply *record)
{
    ngx_agents_ws_identity_t  id;

    return ngx_agents_ws_identity(s->tenant, &s->agent, record, &id) == NGX_OK
           && vmops_span_is(id.approved, "1")
           && !vmops_span_is(id.revoked, "1");
}


/* NGX_DECLINED: there is no room for it, or the session is closing */

static ngx_int_t
ngx_agents_ws_dispatch(ngx_agents_ws_session_t *s, redisReply *taken,
    ngx_uint_t may)
{
    ngx_int_t                rc;
    uint64_t                 seq;
    const char              *why;
    vmops_span_t             payload;
    ngx_agents_ws_taken_t    command;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    rc = ngx_agents_ws_build(s->tenant, &s->agent, taken, &command.id, &seq,
                             w->payload, VMOPS_CMD_PAYLOAD_MAX, &payload,
                             &why);

    if (rc == NGX_OK && !may) {
        rc = NGX_DECLINED;
        why = "the agent's record";
    }

    if (rc != NGX_OK) {
        ngx_agents_ws_invalid(s, &command.id, why);
        return NGX_OK;
    }

    if (!ngx_agents_ws_room(s, VMOPS_B64U_LEN(payload.n))) {
        return NGX_DECLINED;
    }

    command.turn = ngx_agents_ws_turn(taken);

    rc = ngx_agents_ws_command(s, payload, &command);

    if (rc == NGX_OK) {
        s->last_seq = ngx_max(s->last_seq, seq);
        s->busy = (uint32_t) ngx_current_msec;
    }

    return rc;
}


static ngx_int_t
ngx_agents_ws_command(ngx_agents_ws_session_t *s, vmops_span_t payload,
    const ngx_agents_ws_taken_t *command)
{
    vmops_msg_t            msg;
    ngx_agents_ws_keys_t  *keys;

    keys = ngx_agents_ws_worker->conf->keys;

    msg.type = VMOPS_MSG_CMD;
    msg.u.cmd.payload = payload;
    msg.u.cmd.key_id = vmops_span(keys->id, VMOPS_KEY_ID_TEXT);

    if (s->closing || s->dead
        || vmops_payload_sign(msg.u.cmd.sig, VMOPS_SIGNED_CMD, s->tenant->id,
                              &s->agent, NULL, payload, keys->command)
           != 0)
    {
        return NGX_DECLINED;
    }

    return ngx_agents_ws_send_msg(s, &msg, command);
}


/* which of the times that it was taken; what was handed over has none */

static uint64_t
ngx_agents_ws_turn(redisReply *taken)
{
    uint64_t                  turn;
    vmops_span_t              value;

    static const char *const  names[] = { "turn" };

    ngx_agents_ws_fields(ngx_agents_ws_reply_array(taken, 0), names, 1,
                         &value);

    return vmops_dec_parse(value, INT64_MAX, &turn) == 0 ? turn : 0;
}


/* it was taken in vain */

static void
ngx_agents_ws_return(ngx_agents_ws_tenant_t *t, const vmops_uuid_t *agent,
    const vmops_uuid_t *session, redisReply *taken)
{
    vmops_span_t              value;
    ngx_agents_ws_taken_t     command;

    static const char *const  names[] = { "command_id" };

    ngx_agents_ws_fields(ngx_agents_ws_reply_array(taken, 0), names, 1,
                         &value);

    if (vmops_uuid_parse(&command.id, value) == 0) {
        command.turn = ngx_agents_ws_turn(taken);
        ngx_agents_ws_untake(t, agent, session, &command);
    }
}


void
ngx_agents_ws_untake(ngx_agents_ws_tenant_t *t, const vmops_uuid_t *agent,
    const vmops_uuid_t *session, const ngx_agents_ws_taken_t *command)
{
    char          text[3][VMOPS_UUID_TEXT + 1];
    u_char        turn[NGX_INT64_LEN];
    vmops_span_t  argv[4];

    argv[0] = ngx_agents_ws_uuid(text[0], agent);
    argv[1] = ngx_agents_ws_uuid(text[1], session);
    argv[2] = ngx_agents_ws_uuid(text[2], &command->id);
    argv[3] = ngx_agents_ws_number(turn, command->turn);

    ngx_agents_ws_tell(t, "untake", 4, argv);
}


/* somebody wrote to the store who must not: nothing is sent */

static void
ngx_agents_ws_invalid(ngx_agents_ws_session_t *s, const vmops_uuid_t *command,
    const char *why)
{
    char          agent[VMOPS_UUID_TEXT + 1], session[VMOPS_UUID_TEXT + 1];
    char          id[VMOPS_UUID_TEXT + 1];
    ngx_uint_t    i;
    vmops_span_t  argv[NGX_AGENTS_WS_FINISH];

    for (i = 0; i < NGX_AGENTS_WS_FINISH; i++) {
        argv[i] = vmops_span("", 0);
    }

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_uuid(session, &s->id);
    argv[2] = ngx_agents_ws_uuid(id, command);
    argv[3] = vmops_span_str("failed");
    argv[5] = vmops_span_str("command_invalid");

    ngx_log_error(NGX_LOG_ERR, s->connection->log, 0,
                  "command %s of tenant \"%V\" is not sent, what it was made "
                  "of does not hold: %s", id, &s->tenant->sn.str, why);

    ngx_agents_ws_tell(s->tenant, "finish", NGX_AGENTS_WS_FINISH, argv);
}
