
/*
 * The send queue of a session.  A frame is kept where it is until all of it is
 * gone: OpenSSL wants a write that blocked to be repeated with the same bytes
 * at the same place.  Nothing goes through nginx's own TLS buffer, so none
 * stays allocated for an idle agent.
 */


#include "ngx_agents_ws.h"

#include "vmops_banned.h"


/* the part of the queue that commands may fill */
#define NGX_AGENTS_WS_ROOM_BYTES   (VMOPS_WS_QUEUE_BYTES / 4 * 3)
#define NGX_AGENTS_WS_ROOM_FRAMES  (VMOPS_WS_QUEUE_FRAMES / 4 * 3)


static void ngx_agents_ws_frame_free(ngx_agents_ws_session_t *s,
    ngx_agents_ws_frame_t *f);


ngx_int_t
ngx_agents_ws_send(ngx_agents_ws_session_t *s, ngx_uint_t opcode,
    const u_char *p, size_t n, const ngx_agents_ws_taken_t *command)
{
    u_char                  head[VMOPS_WS_HEAD_MAX];
    size_t                  size;
    ngx_agents_ws_frame_t  *f;

    if (s->closing || s->dead) {
        return NGX_DECLINED;
    }

    size = vmops_ws_head_write(head, opcode, 1, n, NULL);

    if (opcode != VMOPS_WS_CLOSE
        && (s->out_frames >= VMOPS_WS_QUEUE_FRAMES
            || s->out_bytes + size + n > VMOPS_WS_QUEUE_BYTES))
    {
        ngx_agents_ws_out_discard(s, 0);
        ngx_agents_ws_close(s, VMOPS_CLOSE_TRY_LATER, "too slow");
        return NGX_DECLINED;
    }

    f = ngx_alloc(sizeof(ngx_agents_ws_frame_t) + size + n,
                  s->connection->log);
    if (f == NULL) {
        ngx_agents_ws_drop(s);
        return NGX_DECLINED;
    }

    f->next = NULL;
    f->len = size + n;
    f->sent = 0;
    f->has_command = (command != NULL);

    if (command) {
        f->command = *command;
    }

    ngx_memcpy(f->data, head, size);

    if (n) {
        ngx_memcpy(f->data + size, p, n);
    }

    s->out_frames++;
    ngx_agents_ws_worker->nframes++;
    s->out_bytes += f->len;

    if (s->out) {
        s->out_last->next = f;
        s->out_last = f;
        return NGX_OK;
    }

    s->out = f;
    s->out_last = f;

    ngx_agents_ws_flush(s);

    return NGX_OK;
}


ngx_int_t
ngx_agents_ws_send_msg(ngx_agents_ws_session_t *s, const vmops_msg_t *msg,
    const ngx_agents_ws_taken_t *command)
{
    vmops_span_t  text;

    if (vmops_msg_write(ngx_agents_ws_worker->text, NGX_AGENTS_WS_TEXT, &text,
                        msg)
        != 0)
    {
        ngx_log_error(NGX_LOG_ERR, s->connection->log, 0,
                      "cannot write message \"%s\" to the agent",
                      vmops_msg_name(msg->type));
        return NGX_DECLINED;
    }

    return ngx_agents_ws_send(s, VMOPS_WS_TEXT, text.p, text.n, command);
}


void
ngx_agents_ws_write_handler(ngx_event_t *wev)
{
    ngx_connection_t         *c;
    ngx_agents_ws_session_t  *s;

    c = wev->data;
    s = c->data;

    if (!s->dead && s->out) {
        ngx_agents_ws_flush(s);
    }
}


void
ngx_agents_ws_flush(ngx_agents_ws_session_t *s)
{
    ssize_t                 n;
    ngx_connection_t       *c;
    ngx_agents_ws_frame_t  *f;

    c = s->connection;

    while ((f = s->out) != NULL) {

        n = c->send(c, f->data + f->sent, f->len - f->sent);

        if (n == NGX_ERROR) {
            ngx_agents_ws_drop(s);
            return;
        }

        if (n == NGX_AGAIN || n == 0) {

            if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
                ngx_agents_ws_drop(s);
            }

            return;
        }

        f->sent += n;
        s->out_bytes -= n;
        s->stuck = 0;

        if (f->sent == f->len) {
            s->out = f->next;
            f->has_command = 0;

            ngx_agents_ws_frame_free(s, f);
        }
    }

    ngx_agents_ws_flushed(s);

    if (s->full) {
        s->full = 0;
        ngx_agents_ws_wheel_set(s, s->conf->ping);
        ngx_agents_ws_take(s);
    }
}


ngx_uint_t
ngx_agents_ws_room(ngx_agents_ws_session_t *s, size_t n)
{
    if (s->out == NULL
        || (s->out_frames < NGX_AGENTS_WS_ROOM_FRAMES
            && s->out_bytes + n < NGX_AGENTS_WS_ROOM_BYTES))
    {
        return 1;
    }

    if (!s->full) {
        s->full = 1;
        s->stuck = 0;
        ngx_agents_ws_wheel_set(s, VMOPS_WS_STUCK_MS / 2);
    }

    return 0;
}


/*
 * The first frame may have gone in part: it stays, unless all have to go.  The
 * agent cannot have seen a frame that is not complete, so its command has not
 * been delivered.
 */

void
ngx_agents_ws_out_discard(ngx_agents_ws_session_t *s, ngx_uint_t all)
{
    ngx_agents_ws_frame_t  *f, *next;

    f = s->out;

    if (f == NULL) {
        return;
    }

    if (!all) {
        s->out_last = f;
        next = f->next;
        f->next = NULL;
        f = next;

    } else {
        s->out = NULL;
    }

    for ( /* void */ ; f; f = next) {
        next = f->next;
        s->out_bytes -= f->len - f->sent;
        ngx_agents_ws_frame_free(s, f);
    }
}


static void
ngx_agents_ws_frame_free(ngx_agents_ws_session_t *s, ngx_agents_ws_frame_t *f)
{
    s->out_frames--;
    ngx_agents_ws_worker->nframes--;

    if (f->has_command) {
        ngx_agents_ws_untake(s->tenant, &s->agent, &s->id, &f->command);
    }

    ngx_free(f);
}
