
/* The session's life: connect, serve, wait, again. */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "redact.h"
#include "run_state.h"
#include "session_parts.h"
#include "vmops_banned.h"


#define TICK_MS          1000
#define STATUS_TEXT_MAX  49152      /* the longest message but results */
#define REFUSED_MIN_MS   15000      /* after 4401: a person has to act */
#define REFUSED_MAX_MS   45000
#define RETRY_SPREAD     5          /* a fifth more, so that not all come */
#define BYE_PAUSE_MS                /* at most the limit with its spread */   \
    (VMOPS_BYE_PAUSE_MAX_MS / (RETRY_SPREAD + 1) * RETRY_SPREAD)


int
session_send(session_t *s, const vmops_msg_t *m)
{
    uint8_t       text[STATUS_TEXT_MAX];
    vmops_span_t  out;

    if (vmops_msg_write(text, sizeof(text), &out, m) != 0) {
        log_event(LOG_ERROR, "message_not_written",
                  LOG_CODE("type", vmops_msg_name(m->type)));
        return 0;
    }

    if (redact_found_json(out)) {
        log_event(LOG_ERROR, "leak_blocked",
                  LOG_CODE("type", vmops_msg_name(m->type)));
        return 0;
    }

    return ws_send(s->ws, out);
}


void
session_fail(session_t *s, unsigned code, const char *why)
{
    s->close_with = code;
    s->why = why;
    log_event(LOG_ERROR, "session_failed", LOG_CODE("why", why));
}


static int
on_bye(session_t *s, const vmops_msg_bye_t *m)
{
    int  problem = vmops_problem_find(m->code);

    s->pause_ms = m->retry_after_ms < BYE_PAUSE_MS ? m->retry_after_ms
                                                   : BYE_PAUSE_MS;

    if (problem >= 0) {
        s->why = vmops_problem_info((unsigned) problem)->code;
    }

    log_event(LOG_INFO, "bye_unsigned", LOG_NUM("retry_after_ms", s->pause_ms));

    return 0;
}


/* Only what its state allows is looked at; 0, or -1: it is over. */

static int
dispatch(session_t *s, const vmops_msg_t *m)
{
    switch (m->type) {

    case VMOPS_MSG_HELLO:
        return s->state == SESSION_HELLO ? session_on_hello(s, &m->u.hello)
                                         : 0;
    case VMOPS_MSG_WELCOME:
        return s->state == SESSION_WELCOME
               ? session_on_welcome(s, &m->u.welcome) : 0;

    case VMOPS_MSG_CTL:
        return s->state != SESSION_HELLO ? session_on_ctl(s, &m->u.ctl) : 0;

    case VMOPS_MSG_BYE:
        return on_bye(s, &m->u.bye);

    case VMOPS_MSG_CMD:
        return s->state == SESSION_READY ? session_on_cmd(s, &m->u.cmd) : 0;

    case VMOPS_MSG_SECRET:
        channel_answer(s->agent->channel, &m->u.secret);
        return 0;

    case VMOPS_MSG_RESULT_OK:
        if (s->state == SESSION_READY) {
            session_on_result_ok(s, &m->u.result_ok.id);
        }
        return 0;

    default:
        return 0;
    }
}


static int
on_message(session_t *s, vmops_span_t text)
{
    int              rc = 0;
    size_t           size = vmops_json_arena_size(text.n);
    uint8_t         *memory;
    vmops_msg_t      m;
    vmops_arena_t    arena;

    memory = malloc(size);
    if (memory == NULL) {
        session_fail(s, VMOPS_CLOSE_INTERNAL, "internal");
        return -1;
    }

    vmops_arena_init(&arena, memory, size);

    switch (vmops_msg_parse(&m, &arena, text)) {

    case VMOPS_MSG_OK:
        rc = dispatch(s, &m);
        break;

    case VMOPS_MSG_MALFORMED:
        session_fail(s, VMOPS_CLOSE_POLICY, "malformed_message");
        rc = -1;
        break;

    case VMOPS_MSG_UNKNOWN:
        break;
    }

    free(memory);

    return rc;
}


/* 1: everything that came was taken, 0: it is over */

static int
take_messages(session_t *s)
{
    ws_rc_t       rc;
    vmops_span_t  text;

    for ( ;; ) {
        rc = ws_read(s->ws, &text);

        if (rc != WS_MESSAGE) {
            return rc == WS_NOTHING;
        }

        if (on_message(s, text) != 0 || s->close_with != 0 || s->ended) {
            return 0;
        }
    }
}


static int
overdue(session_t *s)
{
    uint64_t  now = plat_boot_ms();

    if (s->state != SESSION_READY
        && now - s->connected > VMOPS_AGENT_CONNECT_MS)
    {
        session_fail(s, VMOPS_CLOSE_NOT_READY, "no_welcome");
        return 1;
    }

    if (now - ws_heard(s->ws) > VMOPS_WS_IDLE_S * 1000) {
        session_fail(s, VMOPS_CLOSE_GOING_AWAY, "silence");
        return 1;
    }

    return 0;
}


/* A journal that cannot be trusted takes no order any more. */

static int
damaged(session_t *s)
{
    if (!s->ended && db_damaged(s->agent->db)) {
        s->ended = 1;
        s->end = SESSION_DAMAGED;
        session_fail(s, VMOPS_CLOSE_INTERNAL, "journal_damaged");
    }

    return s->ended;
}


/* What the peer's Close means for the next try. */

static void
judge_close(session_t *s)
{
    unsigned  code = ws_close_code(s->ws);

    log_event(LOG_INFO, "session_closed", LOG_NUM("code", code),
              LOG_NUM("our_code", s->close_with));

    if (code == VMOPS_CLOSE_REPLACED) {
        s->why = "replaced";
        if (s->pause_ms < VMOPS_AGENT_REPLACED_MS) {
            s->pause_ms = VMOPS_AGENT_REPLACED_MS;
        }

    } else if (code == VMOPS_CLOSE_AUTH) {
        s->why = "authentication_failed";
        s->pause_ms = REFUSED_MIN_MS
                      + randombytes_uniform(REFUSED_MAX_MS - REFUSED_MIN_MS);

    } else if (s->why == NULL && code != VMOPS_CLOSE_GOING_AWAY) {
        s->why = "disconnected";
    }
}


static void
serve(session_t *s)
{
    unsigned  events;

    while (!plat_stop_asked() && !damaged(s) && !overdue(s)) {

        if (!take_messages(s)) {
            break;
        }

        if (s->state == SESSION_READY ? session_pump(s) != 0
                                      : ws_flush(s->ws) != 0)
        {
            break;
        }

        events = PLAT_READABLE | (ws_pending(s->ws) ? PLAT_WRITABLE : 0);
        plat_wait(ws_socket(s->ws), events, s->agent->waker, TICK_MS);
    }

    channel_down(s->agent->channel);

    if (s->close_with == 0) {
        s->close_with = VMOPS_CLOSE_NORMAL;
    }

    judge_close(s);
    ws_end(s->ws, s->close_with);
    s->ws = NULL;
}


static const char *const  connect_errors[] = {
    [WS_E_NONE] = "none",
    [WS_E_CONNECT] = "connect",
    [WS_E_STATUS] = "http_status",
    [WS_E_HANDSHAKE] = "bad_handshake",
    [WS_E_TIMEOUT] = "timeout",
    [WS_E_STOPPED] = "stopped",
    [WS_E_INTERNAL] = "internal",
};


static void
connect_and_serve(session_t *s)
{
    ws_error_t  err;

    s->state = SESSION_HELLO;
    s->close_with = 0;
    s->pause_ms = 0;
    run_state_set(s->agent->home, RUN_CONNECTING, s->why);

    s->ws = ws_connect(&s->agent->net, VMOPS_WS_PATH, VMOPS_SUBPROTOCOL,
                       s->agent->waker, &err);
    s->connected = plat_boot_ms();

    if (s->ws != NULL) {
        serve(s);
        return;
    }

    s->why = connect_errors[err.type];
    s->pause_ms = err.retry_after_ms;

    if (err.type == WS_E_CONNECT) {
        s->why = net_fail_name(&err.fail);
    }

    if (err.type != WS_E_STOPPED) {
        log_event(LOG_WARN, "connect_failed", LOG_CODE("why", s->why),
                  LOG_NUM("status", err.status));
    }
}


/* Full jitter from 0.5 s doubling to 30 s; what the server asked for first. */

static uint64_t
next_delay(session_t *s)
{
    uint64_t  most;

    if (s->pause_ms > 0) {
        return s->pause_ms
               + randombytes_uniform((uint32_t) (s->pause_ms / RETRY_SPREAD)
                                     + 1);
    }

    most = VMOPS_AGENT_BACKOFF_MAX_MS;
    if (s->attempts < 6) {
        most = (uint64_t) VMOPS_AGENT_BACKOFF_MIN_MS << s->attempts;
        s->attempts++;
    }

    return randombytes_uniform((uint32_t) most + 1);
}


/* Waits; a resume from sleep or a change of the network ends it, unless the
 * server asked for the pause. */

static void
wait_to_retry(session_t *s)
{
    int       asked = s->pause_ms > 0;
    uint64_t  now, end, slept = plat_suspended_ms();
    unsigned  got;

    end = plat_boot_ms() + next_delay(s);
    run_state_set(s->agent->home, RUN_WAITING, s->why);

    while (!plat_stop_asked() && (now = plat_boot_ms()) < end) {
        got = plat_wait(PLAT_NO_SOCKET, 0, s->agent->waker,
                        end - now < TICK_MS ? end - now : TICK_MS);

        if (!asked && ((got & PLAT_NETWORK)
                       || plat_suspended_ms() > slept + TICK_MS))
        {
            log_event(LOG_INFO, "reconnect_at_once");
            break;
        }
    }
}


session_end_t
session_run(agent_t *agent, executor_t *executor, prober_t *prober)
{
    session_t      *s;
    session_end_t   end;

    s = mem_new(sizeof(*s));
    if (s == NULL) {
        return SESSION_ERROR;
    }

    s->agent = agent;
    s->executor = executor;
    s->prober = prober;

    while (!plat_stop_asked() && !damaged(s)) {
        connect_and_serve(s);
        if (!plat_stop_asked() && !damaged(s)) {
            wait_to_retry(s);
        }
    }

    end = s->ended ? s->end : SESSION_STOPPED;
    session_resumes_free(s);
    free(s);

    return end;
}
