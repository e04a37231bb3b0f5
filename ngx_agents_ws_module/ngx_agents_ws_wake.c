
/*
 * Wake messages of a tenant's channel, and the ends they bring.
 *
 * Who can publish to Redis can send any of them.  So none is believed further
 * than a nuisance goes: the agent's record is read, and its MAC decides whether
 * an agent is told, signed, that it is revoked or approved.
 */


#include "ngx_agents_ws.h"

#include <sodium.h>

#include "vmops_banned.h"


#define NGX_AGENTS_WS_WORDS       3
#define NGX_AGENTS_WS_AGAIN_MS    2000     /* most of a pause without a store */


typedef void (*ngx_agents_ws_wake_pt)(ngx_agents_ws_session_t *s,
    vmops_span_t arg);

typedef struct {
    const char             *name;
    ngx_agents_ws_wake_pt   handler;
} ngx_agents_ws_wake_t;

typedef struct {
    const char             *code;
    void                  (*handler)(ngx_agents_ws_session_t *s);
} ngx_agents_ws_end_t;


static size_t ngx_agents_ws_words(u_char *p, size_t n, vmops_span_t *words);
static void ngx_agents_ws_wake_cmd(ngx_agents_ws_session_t *s,
    vmops_span_t arg);
static void ngx_agents_ws_wake_cancel(ngx_agents_ws_session_t *s,
    vmops_span_t arg);
static void ngx_agents_ws_wake_rotate(ngx_agents_ws_session_t *s,
    vmops_span_t arg);
static void ngx_agents_ws_wake_look(ngx_agents_ws_session_t *s,
    vmops_span_t arg);
static void ngx_agents_ws_wake_replaced(ngx_agents_ws_session_t *s,
    vmops_span_t arg);
static void ngx_agents_ws_wake_repaired(ngx_agents_ws_session_t *s,
    vmops_span_t arg);
static void ngx_agents_ws_wake_suspend(ngx_agents_ws_tenant_t *t);

static void ngx_agents_ws_look_handler(ngx_agents_ws_call_t *call,
    redisReply *reply);
static void ngx_agents_ws_approve(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_displaced_handler(ngx_agents_ws_call_t *call,
    redisReply *reply);

static void ngx_agents_ws_end_auth(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_end_revoked(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_end_locked(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_end_suspended(ngx_agents_ws_session_t *s);


static const ngx_agents_ws_wake_t  ngx_agents_ws_wakes[] = {
    { "cmd", ngx_agents_ws_wake_cmd },
    { "cancel", ngx_agents_ws_wake_cancel },
    { "rotate", ngx_agents_ws_wake_rotate },
    { "revoke", ngx_agents_ws_wake_look },
    { "approved", ngx_agents_ws_wake_look },
    { "locked", ngx_agents_ws_wake_look },
    { "replaced", ngx_agents_ws_wake_replaced },
    { "repaired", ngx_agents_ws_wake_repaired },
};


static const ngx_agents_ws_end_t  ngx_agents_ws_ends[] = {
    { "unauthenticated", ngx_agents_ws_end_auth },
    { "not_found", ngx_agents_ws_end_auth },
    { "agent_revoked", ngx_agents_ws_end_revoked },
    { "agent_locked", ngx_agents_ws_end_locked },
    { "stale", ngx_agents_ws_register_again },
    { "tenant_suspended", ngx_agents_ws_end_suspended },
};


#define ngx_agents_ws_nelts(a)  (sizeof(a) / sizeof((a)[0]))


/* "<word> <agent_id> [<argument>]", or "suspend" */

void
ngx_agents_ws_wake(void *data, u_char *p, size_t n)
{
    ngx_agents_ws_tenant_t *t = data;

    size_t                    i, nwords;
    vmops_span_t              words[NGX_AGENTS_WS_WORDS];
    vmops_uuid_t              agent;
    ngx_agents_ws_session_t  *s, *next;

    nwords = ngx_agents_ws_words(p, n, words);

    if (nwords == 1 && vmops_span_is(words[0], "suspend")) {
        ngx_agents_ws_wake_suspend(t);
        return;
    }

    if (nwords < 2 || vmops_uuid_parse(&agent, words[1]) != 0) {
        return;
    }

    for (i = 0; i < ngx_agents_ws_nelts(ngx_agents_ws_wakes); i++) {
        if (vmops_span_is(words[0], ngx_agents_ws_wakes[i].name)) {
            break;
        }
    }

    if (i == ngx_agents_ws_nelts(ngx_agents_ws_wakes)) {
        return;
    }

    for (s = ngx_agents_ws_find(t, &agent, NULL); s; s = next) {

        /* the handler may take it out */
        next = ngx_agents_ws_find(t, &agent, s);

        ngx_agents_ws_wakes[i].handler(s, words[2]);
    }
}


static size_t
ngx_agents_ws_words(u_char *p, size_t n, vmops_span_t *words)
{
    u_char  *end, *last;
    size_t   i;

    last = p + n;

    for (i = 0; i < NGX_AGENTS_WS_WORDS; i++) {
        words[i] = vmops_span("", 0);
    }

    for (i = 0; i < NGX_AGENTS_WS_WORDS && p < last; i++) {

        end = ngx_strlchr(p, last, ' ');
        if (end == NULL) {
            end = last;
        }

        words[i] = vmops_span(p, end - p);
        p = (end < last) ? end + 1 : last;
    }

    return i;
}


static void
ngx_agents_ws_wake_cmd(ngx_agents_ws_session_t *s, vmops_span_t arg)
{
    ngx_agents_ws_take(s);
}


static void
ngx_agents_ws_wake_cancel(ngx_agents_ws_session_t *s, vmops_span_t arg)
{
    vmops_ctl_t  ctl;

    ngx_memzero(&ctl, sizeof(vmops_ctl_t));

    if (s->state != NGX_AGENTS_WS_READY
        || vmops_uuid_parse(&ctl.id, arg) != 0)
    {
        return;
    }

    ctl.what = VMOPS_CTL_CANCEL;

    ngx_agents_ws_ctl(s, &ctl);
}


static void
ngx_agents_ws_wake_rotate(ngx_agents_ws_session_t *s, vmops_span_t arg)
{
    if (s->state == NGX_AGENTS_WS_READY) {
        ngx_agents_ws_rotate(s, arg);
    }
}


static void
ngx_agents_ws_wake_look(ngx_agents_ws_session_t *s, vmops_span_t arg)
{
    ngx_agents_ws_look(s);
}


static void
ngx_agents_ws_wake_replaced(ngx_agents_ws_session_t *s, vmops_span_t arg)
{
    vmops_uuid_t  session;

    if (vmops_uuid_parse(&session, arg) == 0
        && vmops_uuid_eq(&session, &s->id))
    {
        ngx_agents_ws_displaced(s);
    }
}


static void
ngx_agents_ws_wake_repaired(ngx_agents_ws_session_t *s, vmops_span_t arg)
{
    ngx_agents_ws_close(s, VMOPS_CLOSE_AUTH, "paired again");
}


static void
ngx_agents_ws_wake_suspend(ngx_agents_ws_tenant_t *t)
{
    ngx_queue_t              *q;
    ngx_agents_ws_session_t  *s;

    for (q = ngx_queue_head(&t->sessions);
         q != ngx_queue_sentinel(&t->sessions);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_agents_ws_session_t, link);

        if (s->registered) {
            ngx_agents_ws_end_suspended(s);
        }
    }
}


void
ngx_agents_ws_look(ngx_agents_ws_session_t *s)
{
    char          agent[VMOPS_UUID_TEXT + 1];
    vmops_span_t  argv[2];

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = vmops_span("", 0);

    if (ngx_agents_ws_call(s, "agent_get", ngx_agents_ws_look_handler, 2, argv)
        == NULL)
    {
        ngx_agents_ws_refused(s, NULL);
    }
}


static void
ngx_agents_ws_look_handler(ngx_agents_ws_call_t *call, redisReply *reply)
{
    redisReply                *record;
    vmops_span_t               values[2];
    ngx_agents_ws_session_t   *s = call->session;
    ngx_agents_ws_identity_t   id;

    static const char *const   names[] = { "locked", "tenant_status" };

    if (s == NULL || s->closing || s->dead) {
        return;
    }

    if (reply == NULL || !ngx_agents_ws_reply_is(reply, "OK")) {
        ngx_agents_ws_refused(s, reply);
        return;
    }

    record = ngx_agents_ws_reply_array(reply, 1);

    if (ngx_agents_ws_identity(s->tenant, &s->agent, record, &id) != NGX_OK) {
        ngx_agents_ws_end_auth(s);
        return;
    }

    ngx_agents_ws_fields(record, names, 2, values);

    if (vmops_span_is(id.revoked, "1")) {
        ngx_agents_ws_bye(s, VMOPS_CLOSE_REVOKED, "agent_revoked");

    } else if (vmops_span_is(values[0], "1")) {
        ngx_agents_ws_end_locked(s);

    } else if (vmops_span_is(values[1], "suspended")) {
        ngx_agents_ws_end_suspended(s);

    } else if (vmops_span_is(id.approved, "1") && !s->approved) {
        ngx_agents_ws_approve(s);
    }
}


static void
ngx_agents_ws_approve(ngx_agents_ws_session_t *s)
{
    vmops_ctl_t  ctl;

    ngx_memzero(&ctl, sizeof(vmops_ctl_t));

    ctl.what = VMOPS_CTL_APPROVED;

    s->approved = 1;

    ngx_agents_ws_ctl(s, &ctl);
    ngx_agents_ws_take(s);
}


void
ngx_agents_ws_refused(ngx_agents_ws_session_t *s, redisReply *reply)
{
    size_t  i;

    if (reply) {

        for (i = 0; i < ngx_agents_ws_nelts(ngx_agents_ws_ends); i++) {

            if (ngx_agents_ws_reply_is(reply, ngx_agents_ws_ends[i].code)) {
                ngx_agents_ws_ends[i].handler(s);
                return;
            }
        }
    }

    ngx_agents_ws_pause_bye(s, "store_unavailable",
                            randombytes_uniform(NGX_AGENTS_WS_AGAIN_MS),
                            VMOPS_CLOSE_TRY_LATER);
}


static void
ngx_agents_ws_end_auth(ngx_agents_ws_session_t *s)
{
    ngx_agents_ws_close(s, VMOPS_CLOSE_AUTH, "authentication failed");
}


/* only a record with its MAC ends an agent for good */

static void
ngx_agents_ws_end_revoked(ngx_agents_ws_session_t *s)
{
    ngx_agents_ws_look(s);
}


static void
ngx_agents_ws_end_locked(ngx_agents_ws_session_t *s)
{
    ngx_agents_ws_bye(s, VMOPS_CLOSE_LOCKED, "agent_locked");
}


void
ngx_agents_ws_replaced(ngx_agents_ws_session_t *s)
{
    ngx_agents_ws_close(s, VMOPS_CLOSE_REPLACED, "replaced");
}


/*
 * An agent that connects anew has left its old socket, or died with it.  If
 * somebody answers there, two processes share the identity and its epochs; the
 * store counts, and says when it is enough.  No other ping has this payload.
 */

void
ngx_agents_ws_displaced(ngx_agents_ws_session_t *s)
{
    if (s->state != NGX_AGENTS_WS_READY) {

        /* it never was in any place */
        ngx_agents_ws_replaced(s);
        return;
    }

    if (s->displaced || s->closing || s->dead) {
        return;
    }

    s->displaced = 1;

    (void) ngx_agents_ws_send(s, VMOPS_WS_PING, s->id.b, sizeof(s->id.b),
                              NULL);

    /* the wheel may be late by a tick */
    ngx_agents_ws_wheel_set(s, VMOPS_EPOCH_TAKEOVER_PING_MS
                               - NGX_AGENTS_WS_TICK);
}


void
ngx_agents_ws_pong(ngx_agents_ws_session_t *s, vmops_span_t data)
{
    char          agent[VMOPS_UUID_TEXT + 1];
    char          session[VMOPS_UUID_TEXT + 1];
    vmops_span_t  argv[2];

    if (!s->displaced
        || s->answered
        || s->closing
        || data.n != sizeof(s->id.b)
        || ngx_memcmp(data.p, s->id.b, sizeof(s->id.b)) != 0)
    {
        return;
    }

    s->answered = 1;

    argv[0] = ngx_agents_ws_uuid(agent, &s->agent);
    argv[1] = ngx_agents_ws_uuid(session, &s->id);

    if (ngx_agents_ws_call(s, "session_displaced",
                           ngx_agents_ws_displaced_handler, 2, argv)
        == NULL)
    {
        ngx_agents_ws_replaced(s);
        return;
    }

    ngx_agents_ws_wheel_set(s, VMOPS_REDIS_CALL_MS);
}


static void
ngx_agents_ws_displaced_handler(ngx_agents_ws_call_t *call, redisReply *reply)
{
    ngx_agents_ws_session_t *s = call->session;

    if (s == NULL || s->closing || s->dead) {
        return;
    }

    if (reply && ngx_agents_ws_reply_is(reply, "agent_locked")) {
        ngx_agents_ws_end_locked(s);
        return;
    }

    ngx_agents_ws_replaced(s);
}


static void
ngx_agents_ws_end_suspended(ngx_agents_ws_session_t *s)
{
    ngx_agents_ws_pause_bye(s, "tenant_suspended", VMOPS_SUSPENDED_PAUSE_MS,
                            VMOPS_CLOSE_TRY_LATER);
}
