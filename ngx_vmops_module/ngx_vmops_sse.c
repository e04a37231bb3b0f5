
/*
 * Event streams (text/event-stream) of one command, or of a tenant.
 *
 * A stream reads the tenant's events in the store page by page, from where the
 * client left off, and reads on whenever the live channel says that there is
 * more; it reads no page before the one before is written.  So a slow client
 * holds one page, and whatever is missed on the channel is found in the store.
 */


#include "ngx_vmops_routes.h"
#include "ngx_vmops_commands.h"
#include "ngx_vmops_live.h"


#define NGX_VMOPS_EVENT_ID  42             /* two 64-bit numbers and a dash */


typedef struct {
    ngx_vmops_stream_t       stream;
    ngx_vmops_command_t      command;      /* id empty: the tenant's stream */

    ngx_pool_t              *pool;         /* of the page being written */
    ngx_chain_t             *free;
    ngx_chain_t             *busy;

    u_char                   after[NGX_VMOPS_EVENT_ID];
    size_t                   after_n;      /* 0: from now on */
    u_char                   floor[NGX_VMOPS_EVENT_ID];
    size_t                   floor_n;      /* kept events go back to here */
    unsigned                 final:1;      /* the command had ended before */
    unsigned                 started:1;    /* the header is sent */
    unsigned                 writing:1;
    unsigned                 behind:1;     /* there may be more to read */
    unsigned                 done:1;       /* its event was read */
    unsigned                 reset:1;
    unsigned                 last:1;       /* what is written ends it */
} ngx_vmops_sse_t;


static ngx_vmops_sse_t *ngx_vmops_sse_create(ngx_vmops_op_t *op);
static void ngx_vmops_sse_cleanup(void *data);
static ngx_int_t ngx_vmops_sse_page_pool(ngx_vmops_op_t *op,
    ngx_vmops_sse_t *sse);
static void ngx_vmops_sse_known(ngx_vmops_op_t *op);
static void ngx_vmops_sse_ready(ngx_vmops_op_t *op);
static void ngx_vmops_sse_start(ngx_vmops_op_t *op);
static void ngx_vmops_sse_message(ngx_vmops_op_t *op, vmops_span_t message);
static void ngx_vmops_sse_end(ngx_vmops_op_t *op, ngx_vmops_end_e why);
static void ngx_vmops_sse_pump(ngx_vmops_op_t *op);
static void ngx_vmops_sse_read(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_sse_lost(ngx_vmops_op_t *op, vmops_span_t newest);
static void ngx_vmops_sse_state(ngx_vmops_op_t *op);
static void ngx_vmops_sse_state_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_sse_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_sse_event(vmops_jw_t *w, vmops_span_t id,
    redisReply *event);
static void ngx_vmops_sse_change(vmops_jw_t *w, vmops_span_t id,
    redisReply *event);
static void ngx_vmops_sse_begin(vmops_jw_t *w, vmops_span_t id,
    vmops_span_t name);
static void ngx_vmops_sse_at(ngx_vmops_sse_t *sse, vmops_span_t id);
static void ngx_vmops_sse_write(ngx_vmops_op_t *op, vmops_span_t text);
static void ngx_vmops_sse_written(ngx_vmops_op_t *op, ngx_int_t rc);
static void ngx_vmops_sse_write_handler(ngx_http_request_t *r);
static ngx_int_t ngx_vmops_event_id(vmops_span_t s, uint64_t id[2]);
static ngx_int_t ngx_vmops_event_before(u_char *p, size_t *n, vmops_span_t id);
static ngx_uint_t ngx_vmops_event_older(vmops_span_t a, vmops_span_t b);


/* types that the tenant's stream shows */

static const char *const  ngx_vmops_sse_types[] = {
    "command", "agent", "secret", "pairing", NULL
};

static const ngx_vmops_member_t  ngx_vmops_sse_members[] = {
    { "command_id", "command_id", NGX_VMOPS_TEXT },
    { "kind", "kind", NGX_VMOPS_TEXT },
    { "status", "status", NGX_VMOPS_TEXT },
    { "change", "entry", NGX_VMOPS_JSON },
    { NULL, NULL, 0 }
};


void
ngx_vmops_events(ngx_vmops_op_t *op)
{
    if (ngx_vmops_sse_create(op)) {
        ngx_vmops_live_open(op);
    }
}


void
ngx_vmops_command_events(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t  *sse;

    sse = ngx_vmops_sse_create(op);

    if (sse == NULL) {
        return;
    }

    if (ngx_vmops_sse_page_pool(op, sse) != NGX_OK) {
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
    uint64_t             numbers[2];
    ngx_int_t            rc;
    vmops_span_t         id;
    ngx_vmops_sse_t     *sse;
    ngx_pool_cleanup_t  *cln;

    rc = ngx_vmops_header_in(op->request, "last-event-id", &id);

    if (rc == NGX_ERROR
        || (rc == NGX_OK && ngx_vmops_event_id(id, numbers) != NGX_OK))
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_invalid_header);
        return NULL;
    }

    sse = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_sse_t));
    cln = ngx_pool_cleanup_add(op->request->pool, 0);

    if (sse == NULL || cln == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return NULL;
    }

    cln->handler = ngx_vmops_sse_cleanup;
    cln->data = sse;

    if (rc == NGX_OK) {
        ngx_memcpy(sse->after, id.p, id.n);
        sse->after_n = id.n;
        ngx_memcpy(sse->floor, id.p, id.n);
        sse->floor_n = id.n;
    }

    sse->stream.ready = ngx_vmops_sse_ready;
    sse->stream.message = ngx_vmops_sse_message;
    sse->stream.end = ngx_vmops_sse_end;

    op->data = sse;
    op->stream = &sse->stream;
    op->command = &sse->command;

    return sse;
}


/* with the request: what it wrote may be on its way until then */

static void
ngx_vmops_sse_cleanup(void *data)
{
    ngx_vmops_sse_t *sse = data;

    if (sse->pool) {
        ngx_destroy_pool(sse->pool);
        sse->pool = NULL;
    }
}


static ngx_int_t
ngx_vmops_sse_page_pool(ngx_vmops_op_t *op, ngx_vmops_sse_t *sse)
{
    if (sse->pool == NULL) {
        sse->pool = ngx_create_pool(2048, op->request->connection->log);
    }

    sse->command.pool = sse->pool;

    return sse->pool ? NGX_OK : NGX_ERROR;
}


/* the command is there: its first event is where the stream begins */

static void
ngx_vmops_sse_known(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    vmops_span_t  first;

    first = sse->command.first;
    sse->final = sse->command.final;

    if (sse->after_n == 0 && first.n <= NGX_VMOPS_EVENT_ID
        && ngx_vmops_event_before(sse->after, &sse->after_n, first) == NGX_OK)
    {
        ngx_memcpy(sse->floor, first.p, first.n);
        sse->floor_n = first.n;
    }

    ngx_vmops_sse_cleanup(sse);

    ngx_vmops_live_open(op);
}


static void
ngx_vmops_sse_ready(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    sse->behind = 1;

    if (!sse->started) {
        ngx_vmops_sse_start(op);
        return;
    }

    ngx_vmops_sse_pump(op);
}


static void
ngx_vmops_sse_start(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = op->request;

    /* proxies are asked to hold nothing back */

    ngx_vmops_header(op, "X-Accel-Buffering", vmops_span_str("no"));

    if (ngx_vmops_headers(op, NGX_HTTP_OK, "text/event-stream") != NGX_OK) {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    sse->started = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_vmops_finish(op, rc);
        return;
    }

    ngx_vmops_live_timer(op, VMOPS_SSE_COMMENT_MS);

    /* the header goes out at once, whenever the first event comes */

    ngx_vmops_sse_write(op, vmops_span_str(":\n\n"));
}


static void
ngx_vmops_sse_message(ngx_vmops_op_t *op, vmops_span_t message)
{
    ngx_vmops_sse_t *sse = op->data;

    vmops_span_t  id;

    id = sse->command.id;

    if (id.n
        && (message.n < 4 + id.n || ngx_memcmp(message.p, "cmd ", 4) != 0
            || ngx_memcmp(message.p + 4, id.p, id.n) != 0))
    {
        return;
    }

    sse->behind = 1;

    if (sse->started) {
        ngx_vmops_sse_pump(op);
    }
}


static void
ngx_vmops_sse_end(ngx_vmops_op_t *op, ngx_vmops_end_e why)
{
    ngx_vmops_sse_t *sse = op->data;

    if (!sse->started) {
        ngx_vmops_problem(op, why == NGX_VMOPS_END_PRINCIPAL
                              ? VMOPS_PROBLEM_unauthenticated
                              : VMOPS_PROBLEM_store_unavailable);
        return;
    }

    if (why == NGX_VMOPS_END_TIME) {
        ngx_vmops_live_timer(op, VMOPS_SSE_COMMENT_MS);

        if (op->call == NULL && !sse->writing) {
            ngx_vmops_sse_write(op, vmops_span_str(":\n\n"));
        }

        return;
    }

    sse->last = 1;
    ngx_vmops_sse_write(op, vmops_span("", 0));
}


/* the next page, when there may be one and the one before is gone */

static void
ngx_vmops_sse_pump(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    u_char  limit[NGX_INT_T_LEN];

    if (op->call || sse->writing || !sse->behind) {
        return;
    }

    if (sse->done || sse->reset) {
        sse->command.next = ngx_vmops_sse_state;

        if (ngx_vmops_sse_page_pool(op, sse) != NGX_OK) {
            ngx_vmops_finish(op, NGX_ERROR);
            return;
        }

        ngx_vmops_command_fetch(op);
        return;
    }

    sse->behind = 0;

    ngx_vmops_invoke(op, events_read, ngx_vmops_sse_read,
                     vmops_span(sse->after, sse->after_n),
                     vmops_span(limit, ngx_sprintf(limit, "%d", VMOPS_SSE_PAGE)
                                       - limit));
}


static void
ngx_vmops_sse_read(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_sse_t *sse = op->data;

    redisReply    *entries;
    vmops_span_t   oldest, newest, text;

    entries = ngx_vmops_item(reply, 1);
    oldest = ngx_vmops_item_text(reply, 2);
    newest = ngx_vmops_item_text(reply, 3);

    if (sse->after_n == 0) {
        /* the tenant's stream begins with what comes next */
        ngx_vmops_sse_at(sse, newest.n ? newest : vmops_span_str("0-0"));
        ngx_vmops_sse_pump(op);
        return;
    }

    if (oldest.n
        && ngx_vmops_event_older(vmops_span(sse->floor, sse->floor_n), oldest))
    {
        ngx_vmops_sse_lost(op, newest);
        return;
    }

    if (entries->elements == 0) {

        if (sse->final) {
            /* it had ended, and the client has seen that */
            ngx_vmops_sse_end(op, NGX_VMOPS_END_EXIT);
            return;
        }

        ngx_vmops_sse_pump(op);
        return;
    }

    if (ngx_vmops_sse_page_pool(op, sse) != NGX_OK
        || ngx_vmops_draw(sse->pool, op, ngx_vmops_sse_draw, entries, &text)
           != NGX_OK)
    {
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    if (!sse->done) {
        ngx_vmops_sse_at(sse,
            ngx_vmops_item_text(ngx_vmops_item(entries, entries->elements - 1),
                                0));
    }

    /* a page that is not full may not be the last: final needs an empty one */

    sse->behind |= entries->elements == VMOPS_SSE_PAGE || sse->done
                   || sse->final;

    if (text.n == 0) {
        ngx_vmops_sse_pump(op);
        return;
    }

    ngx_vmops_sse_write(op, text);
}


/* what came in between is gone: the client is told, and begins anew */

static void
ngx_vmops_sse_lost(ngx_vmops_op_t *op, vmops_span_t newest)
{
    ngx_vmops_sse_t *sse = op->data;

    u_char        *p;
    vmops_span_t   text;

    ngx_vmops_sse_at(sse, newest);

    sse->behind = 1;
    sse->reset = sse->command.id.n != 0;

    if (ngx_vmops_sse_page_pool(op, sse) != NGX_OK) {
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    p = ngx_pnalloc(sse->pool, NGX_VMOPS_EVENT_ID + 64);
    if (p == NULL) {
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    text.p = p;
    text.n = ngx_sprintf(p, "id: %*s\nevent: reset\ndata: {}\n\n", newest.n,
                         newest.p)
             - p;

    ngx_vmops_sse_write(op, text);
}


/* the command as it is: its end, or after a reset where it stands */

static void
ngx_vmops_sse_state(ngx_vmops_op_t *op)
{
    ngx_vmops_sse_t *sse = op->data;

    vmops_span_t  text;

    if (ngx_vmops_draw(sse->pool, op, ngx_vmops_sse_state_draw, NULL, &text)
        != NGX_OK)
    {
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    sse->reset = 0;
    sse->last = sse->command.final;

    ngx_vmops_sse_write(op, text);
}


static void
ngx_vmops_sse_state_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_vmops_sse_t *sse = op->data;

    vmops_span_t          id;
    ngx_vmops_command_t  *c;

    c = &sse->command;
    id = vmops_span(sse->after, sse->after_n);

    if (c->final) {
        ngx_vmops_sse_begin(w, id, vmops_span_str("done"));
        vmops_jw_raw(w, c->json);

    } else {
        ngx_vmops_sse_begin(w, id, vmops_span_str("status"));
        vmops_jw_obj(w);
        vmops_jw_kstr(w, "command_id", c->id);
        vmops_jw_kstr(w, "status", c->status);
        vmops_jw_ktime(w, "at", ngx_vmops_now());
        vmops_jw_obj_end(w);
    }

    vmops_buf_str(&w->buf, "\n\n");
}


/* entries of the store: [id, {event}] each */

static void
ngx_vmops_sse_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *entries)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_uint_t     i;
    redisReply    *event;
    vmops_span_t   id;

    for (i = 0; i < entries->elements; i++) {

        id = ngx_vmops_item_text(entries->element[i], 0);
        event = ngx_vmops_item(entries->element[i], 1);

        if (sse->command.id.n == 0) {
            ngx_vmops_sse_change(w, id, event);
            continue;
        }

        if (!ngx_vmops_field_is(event, "type", "command")
            || !vmops_span_eq(ngx_vmops_field(event, "command_id"),
                              sse->command.id))
        {
            continue;
        }

        if (ngx_vmops_field_is(event, "kind", "done")) {
            /* it carries the command, which is to be read first */
            sse->done = 1;
            ngx_vmops_sse_at(sse, id);
            return;
        }

        ngx_vmops_sse_event(w, id, event);
    }
}


/* one event of a command's stream: status, progress, log */

static void
ngx_vmops_sse_event(vmops_jw_t *w, vmops_span_t id, redisReply *event)
{
    vmops_span_t  kind, data;

    kind = ngx_vmops_field(event, "kind");
    data = ngx_vmops_field(event, "data");

    ngx_vmops_sse_begin(w, id, kind);

    if (vmops_span_is(kind, "progress")) {
        ngx_vmops_draw_value(w, NGX_VMOPS_OBJECT, data);

    } else {
        vmops_jw_obj(w);

        if (vmops_span_is(kind, "log")) {
            vmops_jw_kstr(w, "line", data);

        } else {
            vmops_jw_kstr(w, "command_id", ngx_vmops_field(event,
                                                           "command_id"));
            vmops_jw_kstr(w, "status", ngx_vmops_field(event, "status"));
        }

        vmops_jw_ktime(w, "at", ngx_vmops_field_int(event, "ms"));
        vmops_jw_obj_end(w);
    }

    vmops_buf_str(&w->buf, "\n\n");
}


/* one event of the tenant's stream: named by its type */

static void
ngx_vmops_sse_change(vmops_jw_t *w, vmops_span_t id, redisReply *event)
{
    ngx_uint_t    i;
    vmops_span_t  type;

    type = ngx_vmops_field(event, "type");

    for (i = 0; ngx_vmops_sse_types[i]; i++) {
        if (vmops_span_is(type, ngx_vmops_sse_types[i])) {
            break;
        }
    }

    if (ngx_vmops_sse_types[i] == NULL) {
        return;
    }

    ngx_vmops_sse_begin(w, id, type);

    vmops_jw_obj(w);
    vmops_jw_ktime(w, "at", ngx_vmops_field_int(event, "ms"));
    ngx_vmops_draw_members(w, event, ngx_vmops_sse_members);
    vmops_jw_obj_end(w);

    vmops_buf_str(&w->buf, "\n\n");
}


static void
ngx_vmops_sse_begin(vmops_jw_t *w, vmops_span_t id, vmops_span_t name)
{
    vmops_buf_str(&w->buf, "id: ");
    vmops_buf_span(&w->buf, id);
    vmops_buf_str(&w->buf, "\nevent: ");
    vmops_buf_span(&w->buf, name);
    vmops_buf_str(&w->buf, "\ndata: ");

    w->comma = 0;
}


/* the client has what is up to this event */

static void
ngx_vmops_sse_at(ngx_vmops_sse_t *sse, vmops_span_t id)
{
    if (id.n <= NGX_VMOPS_EVENT_ID) {
        ngx_memcpy(sse->after, id.p, id.n);
        ngx_memcpy(sse->floor, id.p, id.n);
        sse->after_n = id.n;
        sse->floor_n = id.n;
    }
}


/* text lives in sse->pool, or for ever; with sse->last it is the end */

static void
ngx_vmops_sse_write(ngx_vmops_op_t *op, vmops_span_t text)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_buf_t           *b;
    ngx_int_t            rc;
    ngx_chain_t         *out;
    ngx_http_request_t  *r;

    r = op->request;

    out = ngx_chain_get_free_buf(r->pool, &sse->free);
    if (out == NULL) {
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    b = out->buf;

    ngx_memzero(b, sizeof(ngx_buf_t));

    b->tag = (ngx_buf_tag_t) &ngx_vmops_module;
    b->pos = (u_char *) text.p;
    b->last = b->pos + text.n;
    b->memory = text.n != 0;
    b->flush = 1;
    b->last_buf = sse->last;
    b->last_in_chain = sse->last;

    rc = ngx_http_output_filter(r, out);

    ngx_chain_update_chains(r->pool, &sse->free, &sse->busy, &out, b->tag);

    if (sse->last) {
        ngx_vmops_finish(op, rc);
        return;
    }

    ngx_vmops_sse_written(op, rc);
}


static void
ngx_vmops_sse_written(ngx_vmops_op_t *op, ngx_int_t rc)
{
    ngx_vmops_sse_t *sse = op->data;

    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = op->request;
    wev = r->connection->write;

    if (rc == NGX_ERROR) {
        ngx_vmops_finish(op, NGX_ERROR);
        return;
    }

    if (rc == NGX_AGAIN) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        sse->writing = 1;
        r->write_event_handler = ngx_vmops_sse_write_handler;

        if (!wev->delayed) {
            ngx_add_timer(wev, clcf->send_timeout);
        }

        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_vmops_finish(op, NGX_ERROR);
        }

        return;
    }

    sse->writing = 0;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    ngx_vmops_sse_cleanup(sse);
    ngx_vmops_sse_pump(op);
}


static void
ngx_vmops_sse_write_handler(ngx_http_request_t *r)
{
    ngx_vmops_op_t  *op;

    op = ngx_http_get_module_ctx(r, ngx_vmops_module);

    if (r->connection->write->timedout) {
        r->connection->timedout = 1;
        ngx_vmops_finish(op, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    ngx_vmops_sse_written(op, ngx_http_output_filter(r, NULL));
}


/* "<ms>-<n>" */

static ngx_int_t
ngx_vmops_event_id(vmops_span_t s, uint64_t id[2])
{
    const uint8_t  *dash;

    dash = memchr(s.p, '-', s.n);

    if (dash == NULL || s.n > NGX_VMOPS_EVENT_ID
        || vmops_dec_parse(vmops_span(s.p, dash - s.p), UINT64_MAX, &id[0]) != 0
        || vmops_dec_parse(vmops_span(dash + 1, s.p + s.n - dash - 1),
                           UINT64_MAX, &id[1])
           != 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* the greatest id below */

static ngx_int_t
ngx_vmops_event_before(u_char *p, size_t *n, vmops_span_t id)
{
    uint64_t  number[2];

    if (ngx_vmops_event_id(id, number) != NGX_OK || number[0] == 0) {
        return NGX_ERROR;
    }

    if (number[1]-- == 0) {
        number[0]--;
    }

    *n = ngx_snprintf(p, NGX_VMOPS_EVENT_ID, "%uL-%uL", number[0], number[1])
         - p;

    return NGX_OK;
}


static ngx_uint_t
ngx_vmops_event_older(vmops_span_t a, vmops_span_t b)
{
    uint64_t  x[2], y[2];

    if (ngx_vmops_event_id(a, x) != NGX_OK || ngx_vmops_event_id(b, y) != NGX_OK)
    {
        return 0;
    }

    return x[0] < y[0] || (x[0] == y[0] && x[1] < y[1]);
}
