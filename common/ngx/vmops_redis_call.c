
/*
 * The calls of a connection: a queue in the order of the replies, and the same
 * calls by deadline.
 *
 * A call that expires gives its caller NULL.  If it was never sent it is gone;
 * otherwise it keeps its place, without a caller, for the reply that is still
 * to come.  A connection whose first call has expired and that is silent for a
 * second is hung and given up.
 */


#include "vmops_redis_int.h"


static size_t vmops_redis_size(int argc, const ngx_str_t *argv);
static void vmops_redis_format(u_char *p, int argc, const ngx_str_t *argv);
static void vmops_redis_append(vmops_redis_conn_t *conn,
    vmops_redis_call_t *call);
static ngx_int_t vmops_redis_full(vmops_redis_conn_t *conn, size_t len);
static void vmops_redis_refill(vmops_redis_conn_t *conn);
static ngx_uint_t vmops_redis_repeat(vmops_redis_conn_t *conn,
    vmops_redis_call_t *call, redisReply *reply);
static void vmops_redis_expire(vmops_redis_conn_t *conn,
    vmops_redis_call_t *call);
static void vmops_redis_remove(vmops_redis_conn_t *conn,
    vmops_redis_call_t *call);
static void vmops_redis_finish(vmops_redis_call_t *call, redisReply *reply);
static ngx_uint_t vmops_redis_late(vmops_redis_conn_t *conn);
static void vmops_redis_sooner(ngx_msec_t at, ngx_msec_int_t *wait);


vmops_redis_call_t *
vmops_redis_call(vmops_redis_conn_t *conn, ngx_msec_t deadline,
    vmops_redis_pt handler, void *data, int argc, const ngx_str_t *argv)
{
    size_t               len;
    vmops_redis_call_t  *call;

    if (argc < 1 || argc > VMOPS_REDIS_ARGS_MAX) {
        ngx_log_error(NGX_LOG_ALERT, &conn->log, 0,
                      "redis: a call with %d arguments", argc);
        return NULL;
    }

    len = vmops_redis_size(argc, argv);

    if (vmops_redis_full(conn, len) != NGX_OK) {
        return NULL;
    }

    call = ngx_alloc(sizeof(vmops_redis_call_t) + len, &conn->log);
    if (call == NULL) {
        return NULL;
    }

    ngx_memzero(call, sizeof(vmops_redis_call_t));

    call->cmd = (u_char *) (call + 1);
    call->len = len;

    vmops_redis_format(call->cmd, argc, argv);

    call->handler = handler;
    call->data = data;

    if (conn->ncalls == 0) {
        conn->alive = ngx_current_msec;
    }

    conn->ncalls++;
    conn->bytes += len;

    if (conn->ready || deadline == 0) {
        vmops_redis_append(conn, call);

    } else {
        ngx_queue_insert_tail(&conn->again, &call->queue);
    }

    if (deadline) {
        call->timed = 1;
        call->node.key = ngx_current_msec + deadline;
        ngx_rbtree_insert(&conn->deadlines, &call->node);

        vmops_redis_arm(conn);
    }

    return call;
}


/* of an array of strings, as the protocol has it; no more than it must be */

static size_t
vmops_redis_size(int argc, const ngx_str_t *argv)
{
    int     i;
    size_t  size;
    u_char  head[sizeof("$" CRLF) + NGX_SIZE_T_LEN];

    size = ngx_sprintf(head, "*%d" CRLF, argc) - head;

    for (i = 0; i < argc; i++) {

        if (argv[i].len > VMOPS_REDIS_OUTPUT_MAX) {
            return argv[i].len;
        }

        size += ngx_sprintf(head, "$%uz" CRLF, argv[i].len) - head;
        size += argv[i].len + sizeof(CRLF) - 1;
    }

    return size;
}


static void
vmops_redis_format(u_char *p, int argc, const ngx_str_t *argv)
{
    int  i;

    p = ngx_sprintf(p, "*%d" CRLF, argc);

    for (i = 0; i < argc; i++) {
        p = ngx_sprintf(p, "$%uz" CRLF, argv[i].len);
        p = ngx_cpymem(p, argv[i].data, argv[i].len);
        p = ngx_cpymem(p, CRLF, sizeof(CRLF) - 1);
    }
}


/* whether a call, expired or not, is this command */

ngx_uint_t
vmops_redis_call_is(vmops_redis_call_t *call, int argc, const ngx_str_t *argv)
{
    u_char      *cmd;
    ngx_uint_t   same;

    if (call->len != vmops_redis_size(argc, argv)) {
        return 0;
    }

    cmd = ngx_alloc(call->len, ngx_cycle->log);
    if (cmd == NULL) {
        return 0;
    }

    vmops_redis_format(cmd, argc, argv);

    same = (ngx_memcmp(call->cmd, cmd, call->len) == 0);

    ngx_free(cmd);

    return same;
}


static ngx_int_t
vmops_redis_full(vmops_redis_conn_t *conn, size_t len)
{
    if (conn->ncalls < VMOPS_REDIS_PENDING_MAX
        && conn->bytes + len <= VMOPS_REDIS_OUTPUT_MAX)
    {
        return NGX_OK;
    }

    if (!conn->full) {
        conn->full = 1;

        ngx_log_error(NGX_LOG_ERR, &conn->log, 0,
                      "redis: too much is waiting (%ui calls, %uz bytes), "
                      "calls are refused", conn->ncalls, conn->bytes);
    }

    return NGX_DECLINED;
}


static void
vmops_redis_append(vmops_redis_conn_t *conn, vmops_redis_call_t *call)
{
    ngx_event_t  *wev;

    ngx_queue_insert_tail(&conn->calls, &call->queue);

    if (conn->unsent == ngx_queue_sentinel(&conn->calls)) {
        conn->unsent = &call->queue;
    }

    conn->gathered += call->len;

    wev = conn->connection->write;

    if (!wev->ready) {
        return;
    }

    if (conn->ready
        && (conn->out == 0 || conn->gathered >= VMOPS_REDIS_BATCH))
    {
        vmops_redis_send(conn);
        return;
    }

    ngx_post_event(wev, &ngx_posted_events);
}


void
vmops_redis_detach(vmops_redis_call_t *call)
{
    call->handler = NULL;
}


/* NGX_ERROR: an answer that nothing asked for */

ngx_int_t
vmops_redis_answer(vmops_redis_conn_t *conn, redisReply *reply)
{
    ngx_queue_t         *q;
    vmops_redis_call_t  *call;

    if (conn->ready && conn->push && conn->push(conn, reply)) {
        return NGX_OK;
    }

    q = ngx_queue_head(&conn->calls);

    if (q == conn->unsent) {
        return NGX_ERROR;
    }

    call = ngx_queue_data(q, vmops_redis_call_t, queue);

    if (vmops_redis_repeat(conn, call, reply)) {
        vmops_redis_refill(conn);
        return NGX_OK;
    }

    vmops_redis_remove(conn, call);

    /* before the callback: the server has something to do meanwhile */
    vmops_redis_refill(conn);

    vmops_redis_finish(call, reply);

    return NGX_OK;
}


static void
vmops_redis_refill(vmops_redis_conn_t *conn)
{
    if (conn->unsent != ngx_queue_sentinel(&conn->calls)
        && conn->connection->write->ready)
    {
        vmops_redis_send(conn);
    }
}


static ngx_uint_t
vmops_redis_repeat(vmops_redis_conn_t *conn, vmops_redis_call_t *call,
    redisReply *reply)
{
    if (!call->timed || !vmops_redis_is(reply, "TRYAGAIN")) {
        return 0;
    }

    if (ngx_queue_empty(&conn->again)) {
        conn->again_at = ngx_current_msec + VMOPS_REDIS_TRYAGAIN_MS;
    }

    ngx_queue_remove(&call->queue);
    ngx_queue_insert_tail(&conn->again, &call->queue);

    conn->out -= call->len;
    call->sent = 0;

    return 1;
}


void
vmops_redis_deadlines(ngx_event_t *ev)
{
    ngx_connection_t    *dummy;
    ngx_rbtree_node_t   *node;
    vmops_redis_call_t  *call;
    vmops_redis_conn_t  *conn;

    dummy = ev->data;
    conn = dummy->data;

    /* a reply that is here already is not late */

    if (conn->ready && conn->connection->read->ready) {
        vmops_redis_read(conn);

        if (conn->connection == NULL) {
            return;
        }
    }

    while (conn->deadlines.root != conn->deadlines.sentinel) {

        node = ngx_rbtree_min(conn->deadlines.root, conn->deadlines.sentinel);

        if ((ngx_msec_int_t) (node->key - ngx_current_msec) > 0) {
            break;
        }

        call = ngx_rbtree_data(node, vmops_redis_call_t, node);

        vmops_redis_expire(conn, call);
    }

    if (!conn->ready) {

        if ((ngx_msec_int_t) (conn->ready_by - ngx_current_msec) <= 0) {
            vmops_redis_lost(conn, VMOPS_REDIS_LOST_SLOW, NULL);
            return;
        }

        vmops_redis_arm(conn);
        return;
    }

    if (vmops_redis_late(conn)
        && ngx_current_msec - conn->alive >= VMOPS_REDIS_HUNG_MS)
    {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_HUNG, NULL);
        return;
    }

    if (!ngx_queue_empty(&conn->again)
        && (ngx_msec_int_t) (conn->again_at - ngx_current_msec) <= 0)
    {
        vmops_redis_again(conn);
    }

    vmops_redis_arm(conn);
}


static void
vmops_redis_expire(vmops_redis_conn_t *conn, vmops_redis_call_t *call)
{
    void            *data;
    vmops_redis_pt   handler;

    if (!call->sent) {
        vmops_redis_remove(conn, call);
        vmops_redis_finish(call, NULL);
        return;
    }

    ngx_rbtree_delete(&conn->deadlines, &call->node);

    handler = call->handler;
    data = call->data;

    call->timed = 0;
    call->expired = 1;
    call->handler = NULL;

    if (handler) {
        handler(data, NULL);
    }
}


void
vmops_redis_again(vmops_redis_conn_t *conn)
{
    ngx_queue_t         *q;
    vmops_redis_call_t  *call;

    while (!ngx_queue_empty(&conn->again)) {
        q = ngx_queue_head(&conn->again);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, vmops_redis_call_t, queue);

        vmops_redis_append(conn, call);
    }
}


/* whether the first call's deadline is over */

static ngx_uint_t
vmops_redis_late(vmops_redis_conn_t *conn)
{
    vmops_redis_call_t  *call;

    if (ngx_queue_empty(&conn->calls)) {
        return 0;
    }

    call = ngx_queue_data(ngx_queue_head(&conn->calls), vmops_redis_call_t,
                          queue);

    return call->expired;
}


/*
 * Sets the timer to what is due first.  One that fires too early only comes
 * back here.
 *
 * A request that waits for its reply has no timer of its own: as long as there
 * is a call this one keeps an old worker from exiting, and no longer.
 */

void
vmops_redis_arm(vmops_redis_conn_t *conn)
{
    ngx_event_t        *timer;
    ngx_msec_int_t      wait;
    ngx_rbtree_node_t  *node;

    timer = &conn->timer;
    wait = -1;

    if (conn->deadlines.root != conn->deadlines.sentinel) {
        node = ngx_rbtree_min(conn->deadlines.root, conn->deadlines.sentinel);
        vmops_redis_sooner(node->key, &wait);
    }

    timer->cancelable = (wait < 0 || !conn->commands);

    if (!conn->ready) {
        vmops_redis_sooner(conn->ready_by, &wait);

    } else {
        if (vmops_redis_late(conn)) {
            vmops_redis_sooner(conn->alive + VMOPS_REDIS_HUNG_MS, &wait);
        }

        if (!ngx_queue_empty(&conn->again)) {
            vmops_redis_sooner(conn->again_at, &wait);
        }
    }

    if (timer->timer_set) {

        if (wait >= 0
            && (ngx_msec_int_t) (timer->timer.key - ngx_current_msec) <= wait)
        {
            return;
        }

        ngx_del_timer(timer);
    }

    if (wait >= 0) {
        ngx_add_timer(timer, (ngx_msec_t) wait);
    }
}


/* wait is -1 as long as nothing is due */

static void
vmops_redis_sooner(ngx_msec_t at, ngx_msec_int_t *wait)
{
    ngx_msec_int_t  n;

    n = (ngx_msec_int_t) (at - ngx_current_msec);
    n = ngx_max(n, 0);

    if (*wait < 0 || n < *wait) {
        *wait = n;
    }
}


/* the callbacks may detach one another, and call again (and are refused) */

void
vmops_redis_fail_all(vmops_redis_conn_t *conn)
{
    ngx_queue_t          all, *q;
    vmops_redis_call_t  *call;

    ngx_queue_init(&all);

    if (!ngx_queue_empty(&conn->calls)) {
        ngx_queue_add(&all, &conn->calls);
        ngx_queue_init(&conn->calls);
    }

    if (!ngx_queue_empty(&conn->again)) {
        ngx_queue_add(&all, &conn->again);
        ngx_queue_init(&conn->again);
    }

    ngx_rbtree_init(&conn->deadlines, &conn->sentinel,
                    ngx_rbtree_insert_timer_value);

    conn->unsent = ngx_queue_sentinel(&conn->calls);
    conn->offset = 0;
    conn->ncalls = 0;
    conn->bytes = 0;
    conn->out = 0;
    conn->gathered = 0;
    conn->full = 0;

    while (!ngx_queue_empty(&all)) {
        q = ngx_queue_head(&all);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, vmops_redis_call_t, queue);

        vmops_redis_finish(call, NULL);
    }
}


static void
vmops_redis_remove(vmops_redis_conn_t *conn, vmops_redis_call_t *call)
{
    if (conn->unsent == &call->queue) {
        conn->unsent = ngx_queue_next(&call->queue);
    }

    ngx_queue_remove(&call->queue);

    if (call->timed) {
        ngx_rbtree_delete(&conn->deadlines, &call->node);
    }

    conn->ncalls--;
    conn->bytes -= call->len;

    if (call->sent) {
        conn->out -= call->len;
    }

    if (conn->ncalls == 0) {
        conn->full = 0;
    }
}


/* a callback runs once: the call is gone before it does */

static void
vmops_redis_finish(vmops_redis_call_t *call, redisReply *reply)
{
    void            *data;
    vmops_redis_pt   handler;

    handler = call->handler;
    data = call->data;

    ngx_free(call);

    if (handler) {
        handler(data, reply);
    }
}
