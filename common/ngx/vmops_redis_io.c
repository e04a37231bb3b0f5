
/*
 * The bytes of a connection: commands out of the queue, replies into it.
 *
 * Redis answers once it has run all that it has read.  So it is given a batch
 * at a time, and the next one while it is at work on this: a worker and its
 * store would else take turns, each idle while the other goes through a pile.
 */


#include "vmops_redis_int.h"


#define VMOPS_REDIS_READ    16384     /* hiredis moves what it has not parsed:
                                         more is slower */
#define VMOPS_REDIS_BUDGET  64        /* reads of one event */


static void vmops_redis_replies(vmops_redis_conn_t *conn);
static ngx_int_t vmops_redis_write(vmops_redis_conn_t *conn);
static void vmops_redis_gather(vmops_redis_conn_t *conn);


void
vmops_redis_read_handler(ngx_event_t *rev)
{
    ngx_connection_t    *c;
    vmops_redis_conn_t  *conn;

    c = rev->data;
    conn = c->data;

    vmops_redis_read(conn);

    if (conn->connection && conn->ready) {
        vmops_redis_arm(conn);
    }
}


/* may lose the connection */

void
vmops_redis_read(vmops_redis_conn_t *conn)
{
    ssize_t            n;
    u_char             buf[VMOPS_REDIS_READ];
    ngx_uint_t         budget;
    ngx_connection_t  *c;

    c = conn->connection;

    for (budget = VMOPS_REDIS_BUDGET; budget; budget--) {

        n = c->recv(c, buf, VMOPS_REDIS_READ);

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
                vmops_redis_lost(conn, VMOPS_REDIS_LOST_CLOSED, NULL);
            }

            return;
        }

        if (n == NGX_ERROR || n == 0) {
            vmops_redis_lost(conn, VMOPS_REDIS_LOST_CLOSED, NULL);
            return;
        }

        conn->alive = ngx_current_msec;
        conn->partial += n;

        if (redisReaderFeed(conn->reader, (char *) buf, n) != REDIS_OK) {
            vmops_redis_lost(conn, VMOPS_REDIS_LOST_MEMORY, NULL);
            return;
        }

        vmops_redis_replies(conn);

        if (conn->connection == NULL) {
            return;
        }
    }

    /* the other connections of this worker have their turn first */

    ngx_post_event(c->read, &ngx_posted_next_events);
}


static void
vmops_redis_replies(vmops_redis_conn_t *conn)
{
    void       *reply;
    ngx_int_t   rc;

    for ( ;; ) {

        if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK) {
            vmops_redis_lost(conn, VMOPS_REDIS_LOST_PROTOCOL, NULL);
            return;
        }

        if (reply == NULL) {
            break;
        }

        conn->partial = conn->reader->len - conn->reader->pos;

        rc = vmops_redis_answer(conn, reply);

        freeReplyObject(reply);

        if (conn->connection == NULL) {
            return;
        }

        if (rc != NGX_OK) {
            vmops_redis_lost(conn, VMOPS_REDIS_LOST_PROTOCOL, NULL);
            return;
        }
    }

    if (conn->partial > VMOPS_REDIS_REPLY_MAX) {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_TOO_BIG, NULL);
    }
}


/* posted by a call, so that those of one event loop iteration go together */

void
vmops_redis_write_handler(ngx_event_t *wev)
{
    ngx_connection_t    *c;
    vmops_redis_conn_t  *conn;

    c = wev->data;
    conn = c->data;

    if (vmops_redis_write(conn) != NGX_OK) {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_CLOSED, NULL);
    }
}


/* within a call: one that fails does so again when the event is handled */

void
vmops_redis_send(vmops_redis_conn_t *conn)
{
    if (vmops_redis_write(conn) != NGX_OK) {
        ngx_post_event(conn->connection->write, &ngx_posted_events);
    }
}


static ngx_int_t
vmops_redis_write(vmops_redis_conn_t *conn)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = conn->connection;

    for ( ;; ) {

        if (conn->pos == conn->last) {
            vmops_redis_gather(conn);

            if (conn->pos == conn->last) {
                break;
            }
        }

        n = c->send(c, conn->pos, conn->last - conn->pos);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (n == NGX_AGAIN) {
            break;
        }

        conn->pos += n;
    }

    return ngx_handle_write_event(c->write, 0);
}


/* after NGX_AGAIN TLS wants the same bytes: only an empty buffer is filled */

static void
vmops_redis_gather(vmops_redis_conn_t *conn)
{
    size_t               n;
    vmops_redis_call_t  *call;

    conn->pos = conn->buf;
    conn->last = conn->buf;

    if (conn->offset == 0 && conn->out > VMOPS_REDIS_BATCH) {
        /* the server has enough to do */
        return;
    }

    conn->gathered = 0;

    while (conn->unsent != ngx_queue_sentinel(&conn->calls)) {

        n = conn->buf + VMOPS_REDIS_BUFFER - conn->last;
        if (n == 0) {
            return;
        }

        call = ngx_queue_data(conn->unsent, vmops_redis_call_t, queue);

        if (conn->offset == 0) {

            if (conn->out && conn->out + call->len > VMOPS_REDIS_WINDOW) {
                return;
            }

            conn->out += call->len;
            call->sent = 1;
        }

        n = ngx_min(n, call->len - conn->offset);

        conn->last = ngx_cpymem(conn->last, call->cmd + conn->offset, n);
        conn->offset += n;

        if (conn->offset == call->len) {
            conn->unsent = ngx_queue_next(conn->unsent);
            conn->offset = 0;
        }
    }
}
