
/*
 * One timer for all sockets: a wheel of slots, 250 ms each, in which every
 * session waits for its next ping or its deadline; and the graceful exit.
 */


#include "ngx_agents_ws.h"

#include <sodium.h>

#include "vmops_banned.h"


/* after a reload agents come back at this rate, at most */
#define NGX_AGENTS_WS_RETURN_PER_MS  5
#define NGX_AGENTS_WS_RETURN_MIN     200
#define NGX_AGENTS_WS_RETURN_MAX     3000


static void ngx_agents_ws_tick(ngx_event_t *ev);
static void ngx_agents_ws_due(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_ping(ngx_agents_ws_session_t *s);
static void ngx_agents_ws_leave(ngx_queue_t *sessions, ngx_msec_t spread);


void
ngx_agents_ws_wheel_init(ngx_agents_ws_worker_t *w)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_AGENTS_WS_SLOTS; i++) {
        ngx_queue_init(&w->wheel[i]);
    }

    ngx_agents_ws_timer(&w->tick, ngx_agents_ws_tick);
}


void
ngx_agents_ws_wheel_set(ngx_agents_ws_session_t *s, ngx_msec_t ms)
{
    ngx_uint_t               slot;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    ngx_agents_ws_wheel_turn();

    ngx_agents_ws_wheel_remove(s);

    slot = (w->slot + ms / NGX_AGENTS_WS_TICK + 1) % NGX_AGENTS_WS_SLOTS;

    ngx_queue_insert_tail(&w->wheel[slot], &s->wheel);
}


void
ngx_agents_ws_wheel_turn(void)
{
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    if (!w->tick.timer_set) {
        w->turned = ngx_current_msec;
        ngx_add_timer(&w->tick, NGX_AGENTS_WS_TICK);
    }
}


void
ngx_agents_ws_wheel_remove(ngx_agents_ws_session_t *s)
{
    if (s->wheel.next) {
        ngx_queue_remove(&s->wheel);
        s->wheel.next = NULL;
    }
}


static void
ngx_agents_ws_tick(ngx_event_t *ev)
{
    ngx_queue_t              *q, *slot;
    ngx_agents_ws_worker_t   *w = ngx_agents_ws_worker;
    ngx_agents_ws_session_t  *s;

    ngx_add_timer(ev, NGX_AGENTS_WS_TICK);

    while (ngx_current_msec - w->turned >= NGX_AGENTS_WS_TICK) {

        w->turned += NGX_AGENTS_WS_TICK;
        w->slot = (w->slot + 1) % NGX_AGENTS_WS_SLOTS;

        slot = &w->wheel[w->slot];

        while (!ngx_queue_empty(slot)) {
            q = ngx_queue_head(slot);
            s = ngx_queue_data(q, ngx_agents_ws_session_t, wheel);

            /* a later slot: whatever comes, the session stays in the wheel */
            ngx_agents_ws_wheel_set(s, s->conf->ping);

            if (!s->dead) {
                ngx_agents_ws_due(s);
            }
        }
    }

    ngx_agents_ws_register_pump();
    ngx_agents_ws_tell_pump();

    if (w->nsessions == 0 && ngx_queue_empty(&w->tells)) {
        ngx_del_timer(ev);
    }
}


static void
ngx_agents_ws_due(ngx_agents_ws_session_t *s)
{
    if (s->closing) {
        s->connection->timedout = 1;
        ngx_agents_ws_drop(s);
        return;
    }

    if (s->state != NGX_AGENTS_WS_READY) {
        ngx_agents_ws_close(s, VMOPS_CLOSE_NOT_READY, "not ready in time");
        return;
    }

    if (s->displaced) {
        ngx_agents_ws_replaced(s);
        return;
    }

    if (s->stuck) {
        ngx_agents_ws_out_discard(s, 0);
        ngx_agents_ws_close(s, VMOPS_CLOSE_TRY_LATER, "too slow");
        return;
    }

    if (s->full) {
        s->stuck = 1;
        ngx_agents_ws_wheel_set(s, VMOPS_WS_STUCK_MS / 2);
        return;
    }

    ngx_agents_ws_ping(s);
}


/*
 * A ping must be answered before the next one is due, so an agent that vanished
 * is noticed within two intervals.
 */

static void
ngx_agents_ws_ping(ngx_agents_ws_session_t *s)
{
    ngx_msec_t  silent;

    silent = (uint32_t) ngx_current_msec - s->seen;

    if (silent >= s->conf->ping + s->conf->ping / 2
        || silent >= VMOPS_WS_IDLE_S * 1000)
    {
        ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                      "agent was silent for %M ms", silent);

        s->connection->timedout = 1;
        ngx_agents_ws_drop(s);
        return;
    }

    (void) ngx_agents_ws_send(s, VMOPS_WS_PING, NULL, 0, NULL);

    s->stuck = (s->out != NULL);

    if (!s->tenant->subscribed) {

        /* nobody wakes it: whether it is revoked, and has commands, is asked */
        ngx_agents_ws_register_again(s);
    }
}


/*
 * A graceful exit: every agent is sent away, spread over the time the other
 * workers need to take them; no command is taken any more (ngx_exiting).  The
 * worker stays until all sockets are closed, by VMOPS_WS_CLOSE_MS.
 */

void
ngx_agents_ws_exiting(void *data)
{
    ngx_agents_ws_worker_t *w = data;

    ngx_msec_t               spread;
    ngx_rbtree_node_t       *node;
    ngx_agents_ws_tenant_t  *t;

    spread = w->nsessions / NGX_AGENTS_WS_RETURN_PER_MS;
    spread = ngx_max(spread, NGX_AGENTS_WS_RETURN_MIN);
    spread = ngx_min(spread, NGX_AGENTS_WS_RETURN_MAX);

    ngx_agents_ws_leave(&w->pending, spread);

    if (w->tenants.root != w->tenants.sentinel) {

        for (node = ngx_rbtree_min(w->tenants.root, w->tenants.sentinel);
             node;
             node = ngx_rbtree_next(&w->tenants, node))
        {
            t = (ngx_agents_ws_tenant_t *) node;
            ngx_agents_ws_leave(&t->sessions, spread);
        }
    }

    w->tick.cancelable = 0;
}


static void
ngx_agents_ws_leave(ngx_queue_t *sessions, ngx_msec_t spread)
{
    ngx_queue_t              *q;
    ngx_agents_ws_session_t  *s;

    for (q = ngx_queue_head(sessions);
         q != ngx_queue_sentinel(sessions);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_agents_ws_session_t, link);

        ngx_agents_ws_pause_bye(s, "going_away",
                                randombytes_uniform(spread),
                                VMOPS_CLOSE_GOING_AWAY);
    }
}
