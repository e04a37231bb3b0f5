
/*
 * Calls of the Redis functions.  A call outlives its session, and holds the
 * tenant meanwhile; a session with many of them is not read.
 */


#include "ngx_agents_ws.h"

#include "vmops_banned.h"


#define NGX_AGENTS_WS_ARGS     48
#define NGX_AGENTS_WS_TELL_MS  10000       /* then the store has found out */


/* a call that has to arrive, whatever becomes of its session */

typedef struct {
    ngx_queue_t                 queue;     /* to be sent again */
    ngx_agents_ws_tenant_t     *tenant;
    const char                 *function;
    ngx_msec_t                  deadline;
    ngx_uint_t                  argc;
    vmops_span_t                argv[1];   /* and their bytes */
} ngx_agents_ws_tell_t;


static ngx_int_t ngx_agents_ws_tenant_call(ngx_agents_ws_tenant_t *t,
    const char *function, ngx_uint_t argc, const vmops_span_t *argv,
    vmops_redis_pt handler, void *data);
static void ngx_agents_ws_replied(void *data, redisReply *reply);
static redisReply *ngx_agents_ws_reply_check(redisReply *reply,
    const char *function);
static void ngx_agents_ws_tell_send(ngx_agents_ws_tell_t *tell);
static void ngx_agents_ws_told(void *data, redisReply *reply);
static void ngx_agents_ws_tell_again(ngx_agents_ws_tell_t *tell);


ngx_agents_ws_call_t *
ngx_agents_ws_call(ngx_agents_ws_session_t *s, const char *function,
    ngx_agents_ws_call_pt handler, ngx_uint_t argc, const vmops_span_t *argv)
{
    ngx_agents_ws_call_t  *call;

    call = ngx_calloc(sizeof(ngx_agents_ws_call_t), s->connection->log);
    if (call == NULL) {
        return NULL;
    }

    call->function = function;
    call->session = s;
    call->tenant = s->tenant;
    call->agent = s->agent;
    call->id = s->id;
    call->handler = handler;

    if (ngx_agents_ws_tenant_call(s->tenant, function, argc, argv,
                                  ngx_agents_ws_replied, call)
        != NGX_OK)
    {
        ngx_free(call);
        return NULL;
    }

    s->tenant->refs++;
    s->ncalls++;

    ngx_queue_insert_tail(&s->calls, &call->queue);

    return call;
}


void
ngx_agents_ws_tell(ngx_agents_ws_tenant_t *t, const char *function,
    ngx_uint_t argc, const vmops_span_t *argv)
{
    u_char                *p;
    size_t                 size;
    ngx_uint_t             i;
    ngx_agents_ws_tell_t  *tell;

    size = sizeof(ngx_agents_ws_tell_t) + argc * sizeof(vmops_span_t);

    for (i = 0; i < argc; i++) {
        size += argv[i].n;
    }

    tell = ngx_alloc(size, ngx_agents_ws_worker->log);
    if (tell == NULL) {
        return;
    }

    t->refs++;

    tell->tenant = t;
    tell->function = function;
    tell->deadline = ngx_current_msec + NGX_AGENTS_WS_TELL_MS;
    tell->argc = argc;

    p = (u_char *) &tell->argv[argc];

    for (i = 0; i < argc; i++) {
        tell->argv[i] = vmops_span(p, argv[i].n);
        p = ngx_cpymem(p, argv[i].p, argv[i].n);
    }

    ngx_agents_ws_tell_send(tell);
}


static void
ngx_agents_ws_tell_send(ngx_agents_ws_tell_t *tell)
{
    if (ngx_agents_ws_tenant_call(tell->tenant, tell->function, tell->argc,
                                  tell->argv, ngx_agents_ws_told, tell)
        != NGX_OK)
    {
        ngx_agents_ws_tell_again(tell);
    }
}


/* what is told can be told twice: each function looks what is there */

static void
ngx_agents_ws_told(void *data, redisReply *reply)
{
    ngx_agents_ws_tell_t *tell = data;

    if (reply == NULL && !ngx_agents_ws_worker->exiting) {
        ngx_agents_ws_tell_again(tell);
        return;
    }

    (void) ngx_agents_ws_reply_check(reply, tell->function);

    ngx_agents_ws_tenant_release(tell->tenant);
    ngx_free(tell);
}


static void
ngx_agents_ws_tell_again(ngx_agents_ws_tell_t *tell)
{
    ngx_queue_insert_tail(&ngx_agents_ws_worker->tells, &tell->queue);
    ngx_agents_ws_wheel_turn();
}


void
ngx_agents_ws_tell_pump(void)
{
    ngx_queue_t              *q;
    ngx_agents_ws_tell_t     *tell;
    ngx_agents_ws_worker_t   *w = ngx_agents_ws_worker;

    while (!ngx_queue_empty(&w->tells)) {
        q = ngx_queue_head(&w->tells);
        tell = ngx_queue_data(q, ngx_agents_ws_tell_t, queue);

        if (w->exiting
            || (ngx_msec_int_t) (tell->deadline - ngx_current_msec) <= 0)
        {
            ngx_queue_remove(q);

            ngx_agents_ws_tenant_release(tell->tenant);
            ngx_free(tell);
            continue;
        }

        if (!vmops_redis_ready(w->redis)) {
            return;
        }

        ngx_queue_remove(q);

        if (ngx_agents_ws_tenant_call(tell->tenant, tell->function,
                                      tell->argc, tell->argv,
                                      ngx_agents_ws_told, tell)
            != NGX_OK)
        {
            ngx_queue_insert_head(&w->tells, q);
            return;
        }
    }
}


static ngx_int_t
ngx_agents_ws_tenant_call(ngx_agents_ws_tenant_t *t, const char *function,
    ngx_uint_t argc, const vmops_span_t *argv, vmops_redis_pt handler,
    void *data)
{
    vmops_unsealed_tell(ngx_agents_ws_worker->unsealed,
                        vmops_span(t->sn.str.data, t->sn.str.len), function);

    return ngx_agents_ws_fcall(&t->key, function, argc, argv, handler, data);
}


ngx_int_t
ngx_agents_ws_fcall(ngx_str_t *key, const char *function, ngx_uint_t argc,
    const vmops_span_t *argv, vmops_redis_pt handler, void *data)
{
    u_char      name[64];
    ngx_str_t   args[4 + NGX_AGENTS_WS_ARGS];
    ngx_uint_t  i;

    ngx_str_set(&args[0], "FCALL");

    args[1].data = name;
    args[1].len = ngx_snprintf(name, sizeof(name), "vmops_%s", function)
                  - name;

    ngx_str_set(&args[2], "1");
    args[3] = *key;

    for (i = 0; i < argc; i++) {
        args[4 + i].data = (u_char *) argv[i].p;
        args[4 + i].len = argv[i].n;
    }

    return vmops_redis_command(ngx_agents_ws_worker->redis,
                               VMOPS_REDIS_CALL_MS, handler, data, 4 + argc,
                               args)
           ? NGX_OK : NGX_ERROR;
}


static void
ngx_agents_ws_replied(void *data, redisReply *reply)
{
    ngx_agents_ws_call_t *call = data;

    ngx_agents_ws_session_t  *s;

    reply = ngx_agents_ws_reply_check(reply, call->function);

    s = call->session;

    if (s) {
        ngx_queue_remove(&call->queue);

        if (s->ncalls-- == NGX_AGENTS_WS_CALLS) {
            ngx_post_event(s->connection->read, &ngx_posted_events);
        }
    }

    if (call->handler) {
        call->handler(call, reply);
    }

    ngx_agents_ws_tenant_release(call->tenant);

    ngx_free(call);
}


static redisReply *
ngx_agents_ws_reply_check(redisReply *reply, const char *function)
{
    size_t  len;

    if (reply == NULL
        || (reply->type == REDIS_REPLY_ARRAY
            && reply->elements
            && reply->element[0]->type == REDIS_REPLY_STRING))
    {
        vmops_metrics_ended(ngx_agents_ws_worker->metrics, reply);
        return reply;
    }

    /* of an error its code only: no more of it is ours to know */

    len = (reply->type == REDIS_REPLY_ERROR) ? strcspn(reply->str, " ") : 0;

    ngx_log_error(NGX_LOG_ERR, ngx_agents_ws_worker->log, 0,
                  "Redis function vmops_%s failed: \"%*s\"", function, len,
                  len ? reply->str : "");

    return NULL;
}


redisReply *
ngx_agents_ws_reply_ok(redisReply *reply, const char *function)
{
    /* a store that cannot serve now: that is no news */

    if (vmops_redis_redirect(reply, NULL) == VMOPS_REDIS_UNAVAILABLE) {
        return NULL;
    }

    reply = ngx_agents_ws_reply_check(reply, function);

    return reply && ngx_agents_ws_reply_is(reply, "OK") ? reply : NULL;
}


ngx_uint_t
ngx_agents_ws_reply_is(redisReply *reply, const char *code)
{
    return vmops_span_is(ngx_agents_ws_reply_span(reply, 0), code);
}


vmops_span_t
ngx_agents_ws_reply_span(redisReply *reply, size_t i)
{
    redisReply  *element;

    if (reply->type != REDIS_REPLY_ARRAY || i >= reply->elements) {
        return vmops_span(NULL, 0);
    }

    element = reply->element[i];

    if (element->type != REDIS_REPLY_STRING) {
        return vmops_span(NULL, 0);
    }

    return vmops_span(element->str, element->len);
}


redisReply *
ngx_agents_ws_reply_array(redisReply *reply, size_t i)
{
    if (reply->type != REDIS_REPLY_ARRAY
        || i >= reply->elements
        || reply->element[i]->type != REDIS_REPLY_ARRAY)
    {
        return NULL;
    }

    return reply->element[i];
}


void
ngx_agents_ws_fields(redisReply *record, const char *const *names, size_t n,
    vmops_span_t *values)
{
    size_t        i, k;
    vmops_span_t  name;

    for (k = 0; k < n; k++) {
        values[k] = vmops_span("", 0);
    }

    if (record == NULL) {
        return;
    }

    for (i = 0; i + 1 < record->elements; i += 2) {
        name = ngx_agents_ws_reply_span(record, i);

        for (k = 0; k < n; k++) {

            if (name.n && names[k][0] == (char) name.p[0]
                && vmops_span_is(name, names[k]))
            {
                values[k] = ngx_agents_ws_reply_span(record, i + 1);
                break;
            }
        }
    }
}


vmops_span_t
ngx_agents_ws_uuid(char *buf, const vmops_uuid_t *id)
{
    vmops_uuid_format(buf, id);

    return vmops_span(buf, VMOPS_UUID_TEXT);
}


vmops_span_t
ngx_agents_ws_number(u_char *buf, uint64_t n)
{
    return vmops_span(buf, ngx_sprintf(buf, "%uL", n) - buf);
}
