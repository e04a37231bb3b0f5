
/*
 * What an agent reports of its commands: acknowledged, under way, done
 * (docs/protocol.md).
 */


#include "ngx_agents_ws.h"

#include "vmops_banned.h"


static void ngx_agents_ws_accepted(ngx_agents_ws_session_t *s,
    const vmops_uuid_t *command);
static void ngx_agents_ws_rejected(ngx_agents_ws_session_t *s,
    const vmops_msg_ack_t *ack);
static uint64_t ngx_agents_ws_ack_take(ngx_agents_ws_session_t *s,
    const vmops_uuid_t *command);
static void ngx_agents_ws_ack_tell(ngx_agents_ws_ack_t *ack);
static void ngx_agents_ws_ack_free(ngx_agents_ws_ack_t *ack);
static void ngx_agents_ws_progress(ngx_agents_ws_session_t *s,
    const vmops_uuid_t *command, uint64_t accepted, vmops_span_t percent,
    vmops_span_t stage, vmops_span_t message);

static ngx_int_t ngx_agents_ws_finish(ngx_agents_ws_session_t *s,
    const vmops_msg_result_t *m, const vmops_result_t *r, ngx_uint_t proven);
static void ngx_agents_ws_finish_handler(ngx_agents_ws_call_t *call,
    redisReply *reply);
static ngx_uint_t ngx_agents_ws_lost(ngx_agents_ws_call_t *call,
    redisReply *reply);
static vmops_span_t ngx_agents_ws_uses(vmops_buf_t *buf,
    const vmops_result_t *r);
static vmops_span_t ngx_agents_ws_b64u(vmops_buf_t *buf, const void *p,
    size_t n);


void
ngx_agents_ws_on_ack(ngx_agents_ws_session_t *s, const vmops_msg_t *msg)
{
    if (msg->u.ack.accepted) {
        ngx_agents_ws_accepted(s, &msg->u.ack.id);

    } else {
        ngx_agents_ws_rejected(s, &msg->u.ack);
    }
}


/*
 * Most results come within milliseconds: "running" is told only of a command
 * that has none after a moment.
 */

static void
ngx_agents_ws_accepted(ngx_agents_ws_session_t *s, const vmops_uuid_t *command)
{
    ngx_agents_ws_ack_t     *ack;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    ack = ngx_alloc(sizeof(ngx_agents_ws_ack_t), s->connection->log);
    if (ack == NULL) {
        ngx_agents_ws_drop(s);
        return;
    }

    ack->session = s;
    ack->command = *command;
    ack->accepted = ngx_agents_ws_now();
    ack->due = ngx_current_msec + NGX_AGENTS_WS_ACK_DELAY;

    ngx_queue_insert_tail(&w->acks, &ack->queue);
    ngx_queue_insert_tail(&s->acks, &ack->link);

    if (++s->nacks > NGX_AGENTS_WS_ACKS) {
        ngx_agents_ws_ack_tell(ngx_queue_data(ngx_queue_head(&s->acks),
                                              ngx_agents_ws_ack_t, link));
    }

    if (!w->ack_timer.timer_set) {
        ngx_add_timer(&w->ack_timer, NGX_AGENTS_WS_ACK_DELAY);
    }
}


void
ngx_agents_ws_ack_handler(ngx_event_t *ev)
{
    ngx_msec_int_t           left;
    ngx_agents_ws_ack_t     *ack;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    while (!ngx_queue_empty(&w->acks)) {

        ack = ngx_queue_data(ngx_queue_head(&w->acks), ngx_agents_ws_ack_t,
                             queue);

        left = (ngx_msec_int_t) (ack->due - ngx_current_msec);

        if (left > 0) {
            ngx_add_timer(ev, left);
            return;
        }

        ngx_agents_ws_ack_tell(ack);
    }
}


static void
ngx_agents_ws_ack_tell(ngx_agents_ws_ack_t *ack)
{
    vmops_span_t  none = vmops_span("", 0);

    ngx_agents_ws_progress(ack->session, &ack->command, ack->accepted, none,
                           none, none);
    ngx_agents_ws_ack_free(ack);
}


static void
ngx_agents_ws_ack_free(ngx_agents_ws_ack_t *ack)
{
    ngx_queue_remove(&ack->queue);
    ngx_queue_remove(&ack->link);
    ack->session->nacks--;

    ngx_free(ack);
}


/* when it was accepted, if that has not been told yet; 0 otherwise */

static uint64_t
ngx_agents_ws_ack_take(ngx_agents_ws_session_t *s, const vmops_uuid_t *command)
{
    uint64_t              accepted;
    ngx_queue_t          *q;
    ngx_agents_ws_ack_t  *ack;

    for (q = ngx_queue_head(&s->acks);
         q != ngx_queue_sentinel(&s->acks);
         q = ngx_queue_next(q))
    {
        ack = ngx_queue_data(q, ngx_agents_ws_ack_t, link);

        if (vmops_uuid_eq(&ack->command, command)) {
            accepted = ack->accepted;
            ngx_agents_ws_ack_free(ack);

            return accepted;
        }
    }

    return 0;
}


void
ngx_agents_ws_acks_tell(ngx_agents_ws_session_t *s)
{
    while (!ngx_queue_empty(&s->acks)) {
        ngx_agents_ws_ack_tell(ngx_queue_data(ngx_queue_head(&s->acks),
                                              ngx_agents_ws_ack_t, link));
    }
}


static void
ngx_agents_ws_rejected(ngx_agents_ws_session_t *s, const vmops_msg_ack_t *ack)
{
    char                   agent[VMOPS_UUID_TEXT + 1];
    char                   session[VMOPS_UUID_TEXT + 1];
    char                   id[VMOPS_UUID_TEXT + 1];
    ngx_uint_t             i;
    vmops_span_t           argv[NGX_AGENTS_WS_FINISH];
    ngx_agents_ws_call_t  *call;

    for (i = 0; i < NGX_AGENTS_WS_FINISH; i++) {
        argv[i] = vmops_span("", 0);
    }

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_uuid(session, &s->id);
    argv[2] = ngx_agents_ws_uuid(id, &ack->id);
    argv[3] = vmops_span_str("rejected");
    argv[5] = vmops_command_error_find(ack->code) < 0
              ? vmops_span_str("command_invalid") : ack->code;

    call = ngx_agents_ws_call(s, "finish", NULL, NGX_AGENTS_WS_FINISH, argv);

    if (call == NULL) {
        ngx_agents_ws_refused(s, NULL);
    }
}


void
ngx_agents_ws_on_progress(ngx_agents_ws_session_t *s, const vmops_msg_t *msg)
{
    u_char                       percent[NGX_INT64_LEN];
    const vmops_msg_progress_t  *m = &msg->u.progress;

    ngx_agents_ws_progress(s, &m->id, ngx_agents_ws_ack_take(s, &m->id),
                           ngx_agents_ws_number(percent, m->percent),
                           m->stage, m->message);
}


static void
ngx_agents_ws_progress(ngx_agents_ws_session_t *s, const vmops_uuid_t *command,
    uint64_t accepted, vmops_span_t percent, vmops_span_t stage,
    vmops_span_t message)
{
    char          agent[VMOPS_UUID_TEXT + 1];
    char          session[VMOPS_UUID_TEXT + 1];
    char          id[VMOPS_UUID_TEXT + 1];
    u_char        time[NGX_INT64_LEN];
    vmops_span_t  argv[7];

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_uuid(session, &s->id);
    argv[2] = ngx_agents_ws_uuid(id, command);
    argv[3] = accepted ? ngx_agents_ws_number(time, accepted)
                       : vmops_span("", 0);
    argv[4] = percent;
    argv[5] = stage;
    argv[6] = message;

    (void) ngx_agents_ws_call(s, "progress", ngx_agents_ws_reported, 7, argv);
}


void
ngx_agents_ws_on_log(ngx_agents_ws_session_t *s, const vmops_msg_t *msg)
{
    char          agent[VMOPS_UUID_TEXT + 1];
    char          session[VMOPS_UUID_TEXT + 1];
    char          id[VMOPS_UUID_TEXT + 1];
    vmops_span_t  argv[4];

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_uuid(session, &s->id);
    argv[2] = ngx_agents_ws_uuid(id, &msg->u.log.id);
    argv[3] = msg->u.log.line;

    (void) ngx_agents_ws_call(s, "log", ngx_agents_ws_reported, 4, argv);
}


/* of what nobody waits for: an unknown command is ignored, an end is not */

void
ngx_agents_ws_reported(ngx_agents_ws_call_t *call, redisReply *reply)
{
    ngx_agents_ws_session_t *s = call->session;

    if (s && !s->closing && !s->dead && reply
        && !ngx_agents_ws_reply_is(reply, "OK")
        && !ngx_agents_ws_reply_is(reply, "not_found"))
    {
        ngx_agents_ws_refused(s, reply);
    }
}


/*
 * The signed result is stored as it is, and its signature verified when it is
 * first read: here it has to be well-formed, and of one of this agent's
 * commands, which the function sees to.
 */

void
ngx_agents_ws_on_result(ngx_agents_ws_session_t *s, const vmops_msg_t *msg)
{
    ngx_uint_t                 proven;
    vmops_result_t             r;
    const vmops_msg_result_t  *m = &msg->u.result;

    if (vmops_result_parse(&r, &ngx_agents_ws_worker->arena,
                           m->signed_.payload)
        != 0
        || !vmops_uuid_eq(&r.id, &m->id))
    {
        ngx_agents_ws_fail(s, VMOPS_CLOSE_POLICY, "malformed result");
        return;
    }

    proven = m->has_cmd && ngx_agents_ws_recover(s, m, &r) == NGX_OK;

    if (ngx_agents_ws_finish(s, m, &r, proven) != NGX_OK) {
        ngx_agents_ws_refused(s, NULL);
    }
}


static ngx_int_t
ngx_agents_ws_finish(ngx_agents_ws_session_t *s, const vmops_msg_result_t *m,
    const vmops_result_t *r, ngx_uint_t proven)
{
    char                     agent[VMOPS_UUID_TEXT + 1];
    char                     id[VMOPS_UUID_TEXT + 1];
    u_char                   times[3][NGX_INT64_LEN];
    uint64_t                 accepted;
    ngx_pool_t              *pool;
    vmops_jw_t               result;
    vmops_buf_t              buf;
    vmops_span_t             argv[NGX_AGENTS_WS_FINISH], none;
    vmops_span_t             outcome[8];
    ngx_agents_ws_call_t    *call;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    static const char *const  names[] = {
        "started", "finished", "result", "error_stage", "error_detail",
        "secrets", "receipt_payload", "receipt_signature"
    };

    none = vmops_span("", 0);
    accepted = ngx_agents_ws_ack_take(s, &m->id);

    vmops_jw_init(&result, w->payload, NGX_AGENTS_WS_TEXT);
    vmops_buf_init(&buf, w->text, NGX_AGENTS_WS_TEXT);

    outcome[0] = r->started ? ngx_agents_ws_number(times[1], r->started) : none;
    outcome[1] = ngx_agents_ws_number(times[2], r->finished);
    outcome[2] = none;
    outcome[3] = r->error_stage.p ? r->error_stage : none;
    outcome[4] = r->error_detail_code.p ? r->error_detail_code : none;
    outcome[5] = ngx_agents_ws_uses(&buf, r);
    outcome[6] = ngx_agents_ws_b64u(&buf, m->signed_.payload.p,
                                    m->signed_.payload.n);
    outcome[7] = ngx_agents_ws_b64u(&buf, m->signed_.sig, VMOPS_SIG);

    if (vmops_json_is(r->result.node, VMOPS_JSON_OBJECT)) {
        vmops_jw_node(&result, r->result.node);

        if (vmops_jw_done(&result, &outcome[2]) != 0) {
            return NGX_ERROR;
        }
    }

    pool = ngx_create_pool(NGX_AGENTS_WS_ORDER, w->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = none;
    argv[2] = ngx_agents_ws_uuid(id, &m->id);
    argv[3] = vmops_span_str(vmops_status_name(r->status));
    argv[4] = accepted ? ngx_agents_ws_number(times[0], accepted) : none;
    argv[5] = r->error_code.p ? r->error_code : none;
    argv[6] = vmops_span_str("1");
    argv[7] = vmops_redis_pack(pool, names, outcome, 8);

    call = argv[7].p ? ngx_agents_ws_call(s, "finish",
                                          ngx_agents_ws_finish_handler,
                                          NGX_AGENTS_WS_FINISH, argv)
                     : NULL;

    ngx_destroy_pool(pool);

    if (call == NULL) {
        return NGX_ERROR;
    }

    call->command = m->id;
    call->proven = proven;

    return NGX_OK;
}


/*
 * Known before or not known at all: in either case the agent need not keep it.
 * Not stored: it keeps it, and sends it again in its next session.
 */

static void
ngx_agents_ws_finish_handler(ngx_agents_ws_call_t *call, redisReply *reply)
{
    vmops_msg_t               msg;
    ngx_agents_ws_session_t  *s = call->session;

    if (s == NULL || s->closing || s->dead) {
        return;
    }

    if (reply == NULL || !ngx_agents_ws_reply_is(reply, "OK")
        || ngx_agents_ws_lost(call, reply))
    {
        ngx_agents_ws_refused(s, reply);
        return;
    }

    s->busy = (uint32_t) ngx_current_msec;

    msg.type = VMOPS_MSG_RESULT_OK;
    msg.u.result_ok.id = call->command;

    (void) ngx_agents_ws_send_msg(s, &msg, NULL);
}


/*
 * A command that the store does not know, before it is clear whether the store
 * has just lost it: after a reconnect its result comes with its order.
 */

static ngx_uint_t
ngx_agents_ws_lost(ngx_agents_ws_call_t *call, redisReply *reply)
{
    return !call->proven
           && (!call->tenant->subscribed || call->session->reg.next)
           && vmops_span_is(ngx_agents_ws_reply_span(reply, 1), "unknown");
}


/* [{"ref", "version"}, ...] as it was in the payload */

static vmops_span_t
ngx_agents_ws_uses(vmops_buf_t *buf, const vmops_result_t *r)
{
    size_t        i;
    vmops_jw_t    jw;
    vmops_span_t  json;

    vmops_jw_init(&jw, buf->p + buf->n, buf->cap - buf->n);

    vmops_jw_arr(&jw);

    for (i = 0; i < r->secrets_n; i++) {
        vmops_jw_obj(&jw);
        vmops_jw_kstr(&jw, "ref", r->secrets[i].ref);
        vmops_jw_kint(&jw, "version", r->secrets[i].version);
        vmops_jw_obj_end(&jw);
    }

    vmops_jw_arr_end(&jw);

    if (vmops_jw_done(&jw, &json) != 0) {
        return vmops_span("", 0);
    }

    buf->n += json.n;

    return json;
}


static vmops_span_t
ngx_agents_ws_b64u(vmops_buf_t *buf, const void *p, size_t n)
{
    u_char  *start;

    if (VMOPS_B64U_LEN(n) > buf->cap - buf->n) {
        return vmops_span("", 0);
    }

    start = buf->p + buf->n;
    buf->n += vmops_b64u_encode((char *) start, p, n);

    return vmops_span(start, buf->p + buf->n - start);
}
