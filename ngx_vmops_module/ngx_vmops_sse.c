
/*
 * Event streams (text/event-stream) of one command, or of a tenant.
 *
 * A stream reads the tenant's events in the store page by page, from where the
 * client left off, and reads on whenever the live channel says that there is
 * more; it reads no page before the one before is written.  So a slow client
 * holds one page, and is left after send_timeout; and whatever is missed on
 * the channel is found in the store.
 */


#include "ngx_vmops_routes.h"
#include "ngx_vmops_commands.h"
#include "ngx_vmops_events.h"
#include "ngx_vmops_live.h"
#include "ngx_vmops_writer.h"


typedef struct {
    ngx_vmops_stream_t       stream;
    ngx_vmops_command_t      command;      /* id empty: the tenant's stream */
    ngx_vmops_writer_t       writer;
    ngx_msec_t               said;         /* when all was written */

    ngx_vmops_event_id_t     after;        /* the client has all up to it */
    ngx_vmops_event_id_t     floor;        /* the oldest that is to be kept */

    unsigned                 resumed:1;    /* by Last-Event-ID */
    unsigned                 from_now:1;   /* after is not known yet */
    unsigned                 final:1;      /* the command had ended before */
    unsigned                 behind:1;     /* there may be more to read */
    unsigned                 tell:1;       /* where the command stands */
} ngx_vmops_sse_t;


static ngx_vmops_sse_t *ngx_vmops_sse_create(ngx_vmops_op_t *op);
static void ngx_vmops_sse_known(ngx_vmops_op_t *op);
static void ngx_vmops_sse_ready(ngx_vmops_op_t *op);
static void ngx_vmops_sse_message(ngx_vmops_op_t *op, vmops_span_t message);
static void ngx_vmops_sse_end(ngx_vmops_op_t *op, ngx_vmops_end_e why);
static void ngx_vmops_sse_close(ngx_vmops_op_t *op);
static void ngx_vmops_sse_written(ngx_vmops_op_t *op);
static void ngx_vmops_sse_pump(ngx_vmops_op_t *op);
static ngx_int_t ngx_vmops_sse_refused(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);
static void ngx_vmops_sse_read(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_sse_nothing(ngx_vmops_op_t *op);
static void ngx_vmops_sse_lost(ngx_vmops_op_t *op,
    ngx_vmops_event_id_t newest);
static void ngx_vmops_sse_lost_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_sse_state(ngx_vmops_op_t *op);
static void ngx_vmops_sse_state_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_sse_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *entries);
static ngx_uint_t ngx_vmops_sse_mine(ngx_vmops_sse_t *sse, redisReply *event);
static void ngx_vmops_sse_at(ngx_vmops_sse_t *sse, ngx_vmops_event_id_t id);
static ngx_int_t ngx_vmops_sse_page(ngx_vmops_op_t *op);
static void ngx_vmops_sse_send(ngx_vmops_op_t *op, ngx_vmops_draw_pt draw,
    redisReply *reply);
static void ngx_vmops_sse_write(ngx_vmops_op_t *op, vmops_span_t text);


static const char  ngx_vmops_sse_comment[] = ":\n\n";


void
ngx_vmops_events(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t  *sse;

    sse = ngx_vmops_sse_create(op);

    if (sse == NULL) {
        return;
    }

    sse->from_now = !sse->resumed;

    ngx_vmops_live_open(op);
}


void
ngx_vmops_command_events(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t  *sse;

    sse = ngx_vmops_sse_create(op);

    if (sse == NULL) {
        return;
    }

    if (ngx_vmops_sse_page(op) != NGX_OK) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    sse->command.id = op->path[0];
    sse->command.next = ngx_vmops_sse_known;

    ngx_vmops_command_fetch(op);
}


/* NULL: the step has been ended */

static ngx_vmops_sse_t *
ngx_vmops_sse_create(ngx_vmops_op_t *op)
{
    ngx_int_t         rc;
    vmops_span_t      id;
    ngx_vmops_sse_t  *sse;

    sse = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_sse_t));

    if (sse == NULL || ngx_vmops_writer_init(op, &sse->writer) != NGX_OK) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return NULL;
    }

    sse->writer.type = "text/event-stream";
    sse->writer.slow = "its events";
    sse->writer.next = ngx_vmops_sse_written;

    /* an empty one says that nothing has been seen (HTML, 9.2.4) */

    rc = ngx_vmops_header_in(op->request, "last-event-id", &id);

    if (rc == NGX_ERROR
        || (rc == NGX_OK && id.n
            && ngx_vmops_event_parse(&sse->after, id) != NGX_OK))
    {
        ngx_vmops_problem_header(op, "/last-event-id");
        return NULL;
    }

    sse->resumed = (rc == NGX_OK && id.n != 0);
    sse->floor = sse->after;
    sse->behind = 1;

    sse->stream.ready = ngx_vmops_sse_ready;
    sse->stream.message = ngx_vmops_sse_message;
    sse->stream.end = ngx_vmops_sse_end;

    op->data = sse;
    op->stream = &sse->stream;
    op->command = &sse->command;

    return sse;
}


/* the command is there: its first event is where the stream begins */

static void
ngx_vmops_sse_known(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_vmops_event_id_t  first;

    sse->final = sse->command.final;

    if (!sse->resumed) {

        if (ngx_vmops_event_parse(&first, sse->command.first) == NGX_OK) {
            sse->after = ngx_vmops_event_before(first);
            sse->floor = first;

        } else {
            /* recovered: nobody knows when it began */
            sse->from_now = 1;
            sse->tell = 1;
        }
    }

    ngx_vmops_writer_forget(&sse->writer);

    ngx_vmops_live_open(op);
}


static void
ngx_vmops_sse_ready(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    sse->behind = 1;

    if (!sse->writer.started && !(sse->resumed && sse->final)) {

        /* the header goes out at once, whenever the first event comes */

        ngx_vmops_sse_write(op, vmops_span_str(ngx_vmops_sse_comment));
        return;
    }

    ngx_vmops_sse_pump(op);
}


static void
ngx_vmops_sse_message(ngx_vmops_op_t *op, vmops_span_t message)
{
    ngx_vmops_sse_t *sse = op->data;

    vmops_span_t          id;
    ngx_vmops_event_id_t  event;

    id = sse->command.id;

    if (message.n == 0) {
        return;
    }

    if (id.n
        && (message.n < 4 + id.n || ngx_memcmp(message.p, "cmd ", 4) != 0
            || ngx_memcmp(message.p + 4, id.p, id.n) != 0))
    {
        return;
    }

    id = ngx_vmops_live_word(message, message.p[0] == 'c' ? 3 : 2);

    /* nothing of ours was missed: others' events need not be read */

    if (!sse->behind && op->call == NULL && !sse->writer.writing
        && ngx_vmops_event_parse(&event, id) == NGX_OK
        && ngx_vmops_event_older(sse->after, event))
    {
        sse->after = ngx_vmops_event_before(event);
        sse->floor = event;
    }

    sse->behind = 1;
    ngx_vmops_sse_pump(op);
}


static void
ngx_vmops_sse_end(ngx_vmops_op_t *op, ngx_vmops_end_e why)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_msec_t  silence;

    switch (why) {

    case NGX_VMOPS_END_EXIT:
        ngx_vmops_sse_close(op);
        return;

    case NGX_VMOPS_END_PRINCIPAL:

        if (sse->writer.started) {
            ngx_vmops_sse_close(op);

        } else {
            ngx_vmops_problem(op, ngx_vmops_live_refusal(op));
        }

        return;

    default: /* NGX_VMOPS_END_TIME */
        break;
    }

    if (!sse->writer.started) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_store_unavailable);
        return;
    }

    /* what was written meanwhile, or a store that hung, moved it only here */

    silence = ngx_current_msec - sse->said;

    ngx_vmops_live_timer(op, silence < VMOPS_SSE_COMMENT_MS
                             ? VMOPS_SSE_COMMENT_MS - silence
                             : VMOPS_SSE_COMMENT_MS);
    ngx_vmops_sse_pump(op);
}


/* the end of the answer; a client comes again with Last-Event-ID */

static void
ngx_vmops_sse_close(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    sse->writer.last = 1;
    ngx_vmops_sse_write(op, vmops_span("", 0));
}


static void
ngx_vmops_sse_written(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    sse->said = ngx_current_msec;

    ngx_vmops_sse_pump(op);
}


/*
 * The next page, when there may be one and the one before is gone; a comment
 * before it, if it is time for one.
 */

static void
ngx_vmops_sse_pump(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    u_char        text[NGX_VMOPS_EVENT_ID], number[NGX_INT_T_LEN];
    ngx_uint_t    n;
    vmops_span_t  after, limit;

    if (op->call || sse->writer.writing) {
        return;
    }

    if (sse->writer.started
        && ngx_current_msec - sse->said >= VMOPS_SSE_COMMENT_MS)
    {
        ngx_vmops_sse_write(op, vmops_span_str(ngx_vmops_sse_comment));
        return;
    }

    if (!sse->behind) {
        return;
    }

    if (sse->tell && !sse->from_now) {
        sse->command.next = ngx_vmops_sse_state;
        sse->command.refused = ngx_vmops_sse_refused;

        if (ngx_vmops_sse_page(op) != NGX_OK) {
            ngx_vmops_finish(op, NGX_ERROR);
            return;
        }

        ngx_vmops_command_fetch(op);
        return;
    }

    sse->behind = 0;

    after = vmops_span("", 0);
    n = 1;

    if (!sse->from_now) {
        after = ngx_vmops_event_text(text, sse->after);
        n = VMOPS_SSE_PAGE;
    }

    limit = vmops_span(number, ngx_sprintf(number, "%ui", n) - number);

    op->refusal = ngx_vmops_sse_refused;

    ngx_vmops_invoke(op, events_read, ngx_vmops_sse_read, after, limit);
}


/* once it has begun, a stream waits for the store to come back */

static ngx_int_t
ngx_vmops_sse_refused(ngx_vmops_op_t *op, ngx_int_t code, redisReply *reply)
{
    ngx_vmops_sse_t *sse = op->data;

    if (!sse->writer.started) {
        return NGX_DECLINED;
    }

    if (code != VMOPS_PROBLEM_store_unavailable) {
        /* the command is kept no longer */
        ngx_vmops_sse_close(op);
        return NGX_OK;
    }

    ngx_vmops_writer_forget(&sse->writer);

    sse->behind = 1;
    ngx_vmops_live_timer(op, VMOPS_LIVE_RETRY_MS);

    return NGX_OK;
}


static void
ngx_vmops_sse_read(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_sse_t *sse = op->data;

    redisReply            *entries;
    ngx_vmops_event_id_t   oldest, newest;

    entries = ngx_vmops_item(reply, 1);

    if (ngx_vmops_event_parse(&oldest, ngx_vmops_item_text(reply, 2)) != NGX_OK
        || ngx_vmops_event_parse(&newest, ngx_vmops_item_text(reply, 3))
           != NGX_OK)
    {
        /* there are none at all */
        ngx_memzero(&oldest, sizeof(ngx_vmops_event_id_t));
        newest = oldest;
    }

    if (sse->from_now) {
        sse->from_now = 0;
        ngx_vmops_sse_at(sse, newest);

        sse->behind |= sse->tell;
        ngx_vmops_sse_pump(op);
        return;
    }

    /* trimmed, or the store lost its last second */

    if (ngx_vmops_event_older(sse->floor, oldest)
        || ngx_vmops_event_older(newest, sse->after))
    {
        ngx_vmops_sse_lost(op, newest);
        return;
    }

    if (entries->elements == 0) {
        ngx_vmops_sse_nothing(op);
        return;
    }

    /* a page that is not full may not be the last: final needs an empty one */

    sse->behind |= entries->elements == VMOPS_SSE_PAGE || sse->final;

    ngx_vmops_sse_send(op, ngx_vmops_sse_draw, entries);
}


/* the client has all there is */

static void
ngx_vmops_sse_nothing(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    if (!sse->final) {
        ngx_vmops_sse_pump(op);
        return;
    }

    if (!sse->resumed) {
        /* its end is not among the events */
        sse->tell = 1;
        sse->behind = 1;
        ngx_vmops_sse_pump(op);
        return;
    }

    /* it has seen the end, and need not come again (HTML, 9.2.3) */

    if (!sse->writer.started) {
        ngx_vmops_no_content(op, NULL);
        return;
    }

    ngx_vmops_sse_close(op);
}


/* what came in between is gone: the client is told, and begins anew */

static void
ngx_vmops_sse_lost(ngx_vmops_op_t *op, ngx_vmops_event_id_t newest)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_vmops_sse_at(sse, newest);

    sse->behind = 1;
    sse->tell = sse->command.id.n != 0;

    ngx_vmops_sse_send(op, ngx_vmops_sse_lost_draw, NULL);
}


static void
ngx_vmops_sse_lost_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_vmops_event_begin(w, sse->after, vmops_span_str("reset"));
    vmops_jw_obj(w);
    vmops_jw_obj_end(w);
    ngx_vmops_event_end(w);
}


/* the command as it is: its end, or after a reset where it stands */

static void
ngx_vmops_sse_state(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    sse->tell = 0;
    sse->writer.last = sse->command.final;

    ngx_vmops_sse_send(op, ngx_vmops_sse_state_draw, NULL);
}


static void
ngx_vmops_sse_state_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_vmops_command_t  *c;

    c = &sse->command;

    if (c->final) {
        ngx_vmops_event_begin(w, sse->after, vmops_span_str("done"));
        vmops_jw_raw(w, c->json);

    } else {
        ngx_vmops_event_begin(w, sse->after, vmops_span_str("status"));
        ngx_vmops_event_status(w, c->id, c->status, ngx_vmops_now());
    }

    ngx_vmops_event_end(w);
}


/* entries of the store: [id, {event}] each; as many as a client may hold up */

static void
ngx_vmops_sse_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *entries)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_uint_t             i;
    redisReply            *event;
    ngx_vmops_event_id_t   id;

    for (i = 0; i < entries->elements; i++) {

        if (w->buf.n >= VMOPS_SSE_QUEUE_MAX) {
            sse->behind = 1;
            return;
        }

        event = ngx_vmops_item(entries->element[i], 1);

        if (ngx_vmops_event_parse(&id,
                                  ngx_vmops_item_text(entries->element[i], 0))
            != NGX_OK)
        {
            continue;
        }

        ngx_vmops_sse_at(sse, id);

        if (sse->command.id.n == 0) {
            ngx_vmops_event_change(sse->writer.pool, w, id, event);
            continue;
        }

        if (!ngx_vmops_sse_mine(sse, event)) {
            continue;
        }

        if (ngx_vmops_field_is(event, "kind", "done")) {
            /* it carries the command, which is to be read first */
            sse->tell = 1;
            sse->behind = 1;
            return;
        }

        ngx_vmops_event_command(sse->writer.pool, w, id, event);
    }
}


static ngx_uint_t
ngx_vmops_sse_mine(ngx_vmops_sse_t *sse, redisReply *event)
{
    return ngx_vmops_field_is(event, "type", "command")
           && vmops_span_eq(ngx_vmops_field(event, "command_id"),
                            sse->command.id);
}


/* the client has what is up to this event */

static void
ngx_vmops_sse_at(ngx_vmops_sse_t *sse, ngx_vmops_event_id_t id)
{
    sse->after = id;
    sse->floor = id;
}


static ngx_int_t
ngx_vmops_sse_page(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    if (ngx_vmops_writer_page(op) != NGX_OK) {
        return NGX_ERROR;
    }

    sse->command.pool = sse->writer.pool;

    return NGX_OK;
}


static void
ngx_vmops_sse_send(ngx_vmops_op_t *op, ngx_vmops_draw_pt draw,
    redisReply *reply)
{
    ngx_vmops_sse_t *sse = op->data;

    vmops_span_t  text;

    if (ngx_vmops_sse_page(op) != NGX_OK
        || ngx_vmops_draw(sse->writer.pool, op, draw, reply, &text) != NGX_OK)
    {
        ngx_vmops_write_failed(op);
        return;
    }

    if (text.n == 0) {
        /* all were of others */
        ngx_vmops_writer_forget(&sse->writer);
        ngx_vmops_sse_pump(op);
        return;
    }

    ngx_vmops_sse_write(op, text);
}


static void
ngx_vmops_sse_write(ngx_vmops_op_t *op, vmops_span_t text)
{
    ngx_vmops_sse_t *sse = op->data;

    if (!sse->writer.started) {

        /* proxies are asked to hold nothing back */

        ngx_vmops_header(op, "X-Accel-Buffering", vmops_span_str("no"));

        if (sse->stream.open) {
            ngx_vmops_live_timer(op, VMOPS_SSE_COMMENT_MS);
        }
    }

    ngx_vmops_write(op, text);
}
