
/*
 * For tests only: the Redis client, the hook and the beat over HTTP.
 *
 *     redis_test_server unix:/path | host:port ...;     http
 *     redis_test_library 1.0;                           http
 *     redis_test_beat own | read;                       http
 *     redis_test;                                       location
 *
 * The last part of the URI is what to do; arguments are in the query, a=
 * (repeated) are those of a Redis command, with \r and the like as %0D.
 *
 *     call        a, deadline: the reply as text; 503 refused, 504 none
 *     pipe        a, n, size, deadline, detach: n times the command and its
 *                 number, padded to size; detach=k: every k-th is detached
 *     subscribe   id, a: the channel; unsubscribe id; events id
 *     stat        counters of the worker; beat: what it knows
 */


#include "vmops_redis_int.h"
#include "vmops_beat.h"
#include "vmops_hook.h"


#define REDIS_TEST_ARGS  32
#define REDIS_TEST_SUBS  16
#define REDIS_TEST_TEXT  65536


typedef struct {
    vmops_redis_conf_t       redis;
    ngx_str_t                library;
    ngx_str_t                beat;
} redis_test_main_conf_t;


typedef struct redis_test_op_s  redis_test_op_t;


typedef struct {
    redis_test_op_t         *op;
    ngx_uint_t               number;
    ngx_uint_t               runs;
    unsigned                 detached:1;
} redis_test_item_t;


/* what a request waits for; it owns its pool and may outlive the request */

struct redis_test_op_s {
    ngx_http_request_t      *r;
    ngx_pool_t              *pool;
    vmops_redis_call_t      *call;

    redis_test_item_t       *items;
    ngx_uint_t               n;
    ngx_uint_t               next;      /* the number the next reply has */
    ngx_uint_t               waiting;
    ngx_uint_t               refused;
    ngx_uint_t               good;
    ngx_uint_t               none;
    ngx_uint_t               disorder;
    ngx_uint_t               twice;
    ngx_uint_t               detached;
    ngx_msec_t               start;
};


typedef struct {
    vmops_redis_sub_t       *sub;
    size_t                   len;
    u_char                   text[REDIS_TEST_TEXT];
} redis_test_sub_t;


typedef struct {
    ngx_str_t                name;
    ngx_int_t              (*handler)(ngx_http_request_t *r);
} redis_test_route_t;


static ngx_int_t redis_test_handler(ngx_http_request_t *r);
static ngx_int_t redis_test_call(ngx_http_request_t *r);
static void redis_test_call_done(void *data, redisReply *reply);
static void redis_test_call_cleanup(void *data);
static u_char *redis_test_text(u_char *p, u_char *last, redisReply *reply);
static ngx_int_t redis_test_pipe(ngx_http_request_t *r);
static void redis_test_pipe_done(void *data, redisReply *reply);
static void redis_test_pipe_end(redis_test_op_t *op);
static void redis_test_pipe_cleanup(void *data);
static ngx_int_t redis_test_subscribe(ngx_http_request_t *r);
static ngx_int_t redis_test_unsubscribe(ngx_http_request_t *r);
static ngx_int_t redis_test_events(ngx_http_request_t *r);
static void redis_test_message(void *data, u_char *p, size_t n);
static void redis_test_state(void *data, ngx_uint_t subscribed);
static ngx_int_t redis_test_stat(ngx_http_request_t *r);
static ngx_int_t redis_test_beat(ngx_http_request_t *r);
static void redis_test_beat_event(void *data, vmops_beat_event_e event);
static void redis_test_exit(void *data);
static void redis_test_up(void *data, ngx_uint_t up);
static redis_test_op_t *redis_test_op(ngx_http_request_t *r,
    ngx_pool_cleanup_pt cleanup);
static int redis_test_argv(ngx_http_request_t *r, ngx_str_t *argv);
static ngx_uint_t redis_test_number(ngx_http_request_t *r, const char *name,
    ngx_uint_t def);
static ngx_int_t redis_test_send(ngx_http_request_t *r, ngx_uint_t status,
    u_char *p, size_t len);
static void *redis_test_create_main_conf(ngx_conf_t *cf);
static char *redis_test_server(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *redis_test_location(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t redis_test_init_process(ngx_cycle_t *cycle);
static void redis_test_exit_process(ngx_cycle_t *cycle);


static ngx_command_t  redis_test_commands[] = {

    { ngx_string("redis_test_server"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      redis_test_server,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis_test_library"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(redis_test_main_conf_t, library),
      NULL },

    { ngx_string("redis_test_beat"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(redis_test_main_conf_t, beat),
      NULL },

    { ngx_string("redis_test"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      redis_test_location,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  redis_test_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */
    redis_test_create_main_conf,           /* create main configuration */
    NULL,                                  /* init main configuration */
    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */
    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_redis_test_module = {
    NGX_MODULE_V1,
    &redis_test_module_ctx,                /* module context */
    redis_test_commands,                   /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    redis_test_init_process,               /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    redis_test_exit_process,               /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static redis_test_route_t  redis_test_routes[] = {
    { ngx_string("/call"), redis_test_call },
    { ngx_string("/pipe"), redis_test_pipe },
    { ngx_string("/subscribe"), redis_test_subscribe },
    { ngx_string("/unsubscribe"), redis_test_unsubscribe },
    { ngx_string("/events"), redis_test_events },
    { ngx_string("/stat"), redis_test_stat },
    { ngx_string("/beat"), redis_test_beat },
    { ngx_null_string, NULL }
};


/* of the worker */

static vmops_redis_t     *redis;
static vmops_hook_t      *hook;
static vmops_beat_t      *beat;
static redis_test_sub_t   subs[REDIS_TEST_SUBS];
static ngx_uint_t         pending, ups, downs, born, beats, lost;


static ngx_int_t
redis_test_handler(ngx_http_request_t *r)
{
    ngx_int_t            rc;
    redis_test_route_t  *route;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    for (route = redis_test_routes; route->handler; route++) {
        if (r->uri.len == route->name.len
            && ngx_memcmp(r->uri.data, route->name.data, r->uri.len) == 0)
        {
            return redis == NULL ? NGX_HTTP_INTERNAL_SERVER_ERROR
                                 : route->handler(r);
        }
    }

    return NGX_HTTP_NOT_FOUND;
}


static ngx_int_t
redis_test_call(ngx_http_request_t *r)
{
    int               argc;
    ngx_str_t         argv[REDIS_TEST_ARGS];
    redis_test_op_t  *op;

    op = redis_test_op(r, redis_test_call_cleanup);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    argc = redis_test_argv(r, argv);

    op->call = vmops_redis_command(redis,
                                   redis_test_number(r, "deadline", 2000),
                                   redis_test_call_done, op, argc, argv);
    if (op->call == NULL) {
        return redis_test_send(r, 503, (u_char *) "refused", 7);
    }

    pending++;

    r->read_event_handler = ngx_http_test_reading;
    r->main->count++;

    return NGX_DONE;
}


static void
redis_test_call_done(void *data, redisReply *reply)
{
    u_char                  *p, *last, *start;
    ngx_int_t                rc;
    ngx_connection_t        *c;
    redis_test_op_t         *op;
    ngx_http_request_t      *r;
    vmops_redis_answer_e     answer;
    vmops_redis_redirect_t   to;

    op = data;
    op->call = NULL;
    r = op->r;
    c = r->connection;

    pending--;

    if (reply == NULL) {
        rc = redis_test_send(r, 504, (u_char *) "none", 4);
        goto done;
    }

    start = ngx_pnalloc(r->pool, REDIS_TEST_TEXT);
    if (start == NULL) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        goto done;
    }

    last = start + REDIS_TEST_TEXT;
    p = redis_test_text(start, last, reply);

    answer = vmops_redis_redirect(reply, &to);

    if (answer == VMOPS_REDIS_MOVED || answer == VMOPS_REDIS_ASK) {
        p = ngx_slprintf(p, last, "redirect %d %ui %V\n", (int) answer,
                         to.slot, &to.addr);

    } else if (answer != VMOPS_REDIS_OK) {
        p = ngx_slprintf(p, last, "answer %d\n", (int) answer);
    }

    rc = redis_test_send(r, 200, start, p - start);

done:

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static void
redis_test_call_cleanup(void *data)
{
    redis_test_op_t  *op = data;

    if (op->call) {
        vmops_redis_detach(op->call);
        pending--;
    }

    ngx_destroy_pool(op->pool);
}


static u_char *
redis_test_text(u_char *p, u_char *last, redisReply *reply)
{
    size_t  i;

    switch (reply->type) {

    case REDIS_REPLY_INTEGER:
        return ngx_slprintf(p, last, ":%L\n", (int64_t) reply->integer);

    case REDIS_REPLY_NIL:
        return ngx_slprintf(p, last, "nil\n");

    case REDIS_REPLY_ARRAY:
        p = ngx_slprintf(p, last, "*%uz\n", reply->elements);

        for (i = 0; i < reply->elements; i++) {
            p = redis_test_text(p, last, reply->element[i]);
        }

        return p;

    default:
        return ngx_slprintf(p, last, "%c%*s\n",
                            reply->type == REDIS_REPLY_ERROR ? '-'
                            : reply->type == REDIS_REPLY_STATUS ? '+' : '$',
                            ngx_min((size_t) reply->len, 1024), reply->str);
    }
}


static ngx_int_t
redis_test_pipe(ngx_http_request_t *r)
{
    int                  argc;
    size_t               size, len;
    u_char              *buf;
    ngx_str_t            argv[REDIS_TEST_ARGS + 1];
    ngx_uint_t           i, deadline, detach;
    redis_test_op_t     *op;
    redis_test_item_t   *item;
    vmops_redis_call_t  *call;

    op = redis_test_op(r, redis_test_pipe_cleanup);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    op->n = redis_test_number(r, "n", 1);
    size = ngx_max(redis_test_number(r, "size", 0), NGX_INT_T_LEN);
    deadline = redis_test_number(r, "deadline", 5000);
    detach = redis_test_number(r, "detach", 0);

    op->items = ngx_pcalloc(op->pool, op->n * sizeof(redis_test_item_t));
    buf = ngx_palloc(op->pool, size);

    if (op->items == NULL || buf == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memset(buf, ' ', size);

    argc = redis_test_argv(r, argv);

    for (i = 0; i < op->n; i++) {
        item = &op->items[i];
        item->op = op;
        item->number = i;

        len = ngx_sprintf(buf, "%ui", i) - buf;

        argv[argc].data = buf;
        argv[argc].len = (size > NGX_INT_T_LEN) ? size : len;

        call = vmops_redis_command(redis, deadline, redis_test_pipe_done, item,
                                   argc + 1, argv);
        if (call == NULL) {
            op->refused++;
            continue;
        }

        if (detach && i % detach == 0) {
            item->detached = 1;
            op->detached++;
            vmops_redis_detach(call);
            continue;
        }

        op->waiting++;
        pending++;
    }

    r->main->count++;

    if (op->waiting == 0) {
        redis_test_pipe_end(op);
    }

    return NGX_DONE;
}


static void
redis_test_pipe_done(void *data, redisReply *reply)
{
    ngx_int_t           n;
    redis_test_op_t    *op;
    redis_test_item_t  *item;

    item = data;
    op = item->op;

    if (item->runs++ || item->detached) {
        op->twice++;
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "redis test: a callback ran again");
        return;
    }

    pending--;

    if (reply == NULL) {
        op->none++;

    } else {
        op->good++;

        n = (reply->type == REDIS_REPLY_STRING)
            ? ngx_atoi((u_char *) reply->str, strcspn(reply->str, " "))
            : NGX_ERROR;

        if (n != (ngx_int_t) item->number || item->number < op->next) {
            op->disorder++;
        }

        op->next = item->number + 1;
    }

    if (--op->waiting == 0) {
        redis_test_pipe_end(op);
    }
}


static void
redis_test_pipe_end(redis_test_op_t *op)
{
    u_char              *p;
    u_char               buf[512];
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = op->r;
    c = r->connection;

    p = ngx_snprintf(buf, sizeof(buf),
                     "n=%ui refused=%ui ok=%ui none=%ui disorder=%ui "
                     "twice=%ui detached=%ui ms=%M\n",
                     op->n, op->refused, op->good, op->none, op->disorder,
                     op->twice, op->detached, ngx_current_msec - op->start);

    ngx_http_finalize_request(r, redis_test_send(r, 200, buf, p - buf));
    ngx_http_run_posted_requests(c);
}


/* items are not to be freed before their callbacks: nobody aborts in tests */

static void
redis_test_pipe_cleanup(void *data)
{
    redis_test_op_t  *op = data;

    if (op->waiting == 0) {
        ngx_destroy_pool(op->pool);
    }
}


static redis_test_sub_t *
redis_test_sub(ngx_http_request_t *r)
{
    return &subs[redis_test_number(r, "id", 0) % REDIS_TEST_SUBS];
}


static ngx_int_t
redis_test_subscribe(ngx_http_request_t *r)
{
    ngx_str_t          argv[REDIS_TEST_ARGS];
    redis_test_sub_t  *s;

    s = redis_test_sub(r);

    if (s->sub || redis_test_argv(r, argv) != 1) {
        return NGX_HTTP_BAD_REQUEST;
    }

    s->len = 0;
    s->sub = vmops_redis_subscribe(redis, &argv[0], redis_test_message,
                                   redis_test_state, s);

    if (s->sub == NULL) {
        return redis_test_send(r, 503, (u_char *) "refused", 7);
    }

    return redis_test_send(r, 200, s->text, s->len);
}


static ngx_int_t
redis_test_unsubscribe(ngx_http_request_t *r)
{
    redis_test_sub_t  *s;

    s = redis_test_sub(r);

    if (s->sub == NULL) {
        return NGX_HTTP_BAD_REQUEST;
    }

    vmops_redis_unsubscribe(s->sub);
    s->sub = NULL;

    return redis_test_send(r, 200, s->text, s->len);
}


static ngx_int_t
redis_test_events(ngx_http_request_t *r)
{
    redis_test_sub_t  *s;

    s = redis_test_sub(r);

    return redis_test_send(r, 200, s->text, s->len);
}


/* "leave": this subscriber and the next one go while they are told */

static void
redis_test_message(void *data, u_char *p, size_t n)
{
    ngx_uint_t         i;
    redis_test_sub_t  *s;

    s = data;

    s->len = ngx_slprintf(s->text + s->len, s->text + REDIS_TEST_TEXT,
                          "message %*s\n", n, p)
             - s->text;

    if (n == 5 && ngx_memcmp(p, "leave", 5) == 0) {

        for (i = 0; i < 2 && s < subs + REDIS_TEST_SUBS; i++, s++) {
            if (s->sub) {
                vmops_redis_unsubscribe(s->sub);
                s->sub = NULL;
            }
        }
    }
}


static void
redis_test_state(void *data, ngx_uint_t subscribed)
{
    redis_test_sub_t  *s;

    s = data;

    s->len = ngx_slprintf(s->text + s->len, s->text + REDIS_TEST_TEXT,
                          "state %ui\n", subscribed)
             - s->text;
}


static ngx_int_t
redis_test_stat(ngx_http_request_t *r)
{
    u_char  *p;
    u_char   buf[512];

    p = ngx_snprintf(buf, sizeof(buf),
                     "ready=%ui calls=%ui bytes=%uz pending=%ui ups=%ui "
                     "downs=%ui subscriber=%d channels=%ui pid=%P\n",
                     vmops_redis_ready(redis), redis->cmd.ncalls,
                     redis->cmd.bytes, pending, ups, downs,
                     (int) redis->sub.ready, redis->nchannels, ngx_pid);

    return redis_test_send(r, 200, buf, p - buf);
}


static ngx_int_t
redis_test_beat(ngx_http_request_t *r)
{
    u_char     *p, *last;
    u_char      buf[2048];
    ngx_str_t   cohort;

    if (beat == NULL) {
        return NGX_HTTP_NOT_FOUND;
    }

    if (ngx_http_arg(r, (u_char *) "cohort", 6, &cohort) != NGX_OK) {
        ngx_str_null(&cohort);
    }

    last = buf + sizeof(buf);

    p = ngx_slprintf(buf, last,
                     "incarnation=%V fresh=%ui live=%V born=%ui beats=%ui "
                     "lost=%ui bus=%V e2e=%V legacy=%V",
                     vmops_beat_incarnation(beat), vmops_beat_fresh(beat),
                     vmops_beat_live(beat), born, beats, lost,
                     vmops_beat_flags(beat, VMOPS_FLAG_COMMAND_BUS),
                     vmops_beat_flags(beat, VMOPS_FLAG_SECRETS_E2E),
                     vmops_beat_flags(beat, VMOPS_FLAG_LEGACY_ADMIN_ONLY));

    p = ngx_slprintf(p, last, " cohort=%d,%d,%d\n",
                     (int) vmops_beat_flag(beat, &cohort,
                                           VMOPS_FLAG_COMMAND_BUS),
                     (int) vmops_beat_flag(beat, &cohort,
                                           VMOPS_FLAG_SECRETS_E2E),
                     (int) vmops_beat_flag(beat, &cohort,
                                           VMOPS_FLAG_LEGACY_ADMIN_ONLY));

    return redis_test_send(r, 200, buf, p - buf);
}


static void
redis_test_beat_event(void *data, vmops_beat_event_e event)
{
    ngx_uint_t  *counters[] = { &born, &beats, &lost };

    (void) data;

    (*counters[event])++;
}


static void
redis_test_exit(void *data)
{
    ngx_log_error(NGX_LOG_NOTICE, (ngx_log_t *) data, 0,
                  "redis test: graceful exit begins");
}


static void
redis_test_up(void *data, ngx_uint_t up)
{
    (void) data;

    if (up) {
        ups++;

    } else {
        downs++;
    }
}


static redis_test_op_t *
redis_test_op(ngx_http_request_t *r, ngx_pool_cleanup_pt cleanup)
{
    ngx_pool_t          *pool;
    redis_test_op_t     *op;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    pool = ngx_create_pool(1024, r->connection->log);
    if (pool == NULL) {
        return NULL;
    }

    op = ngx_pcalloc(pool, sizeof(redis_test_op_t));
    if (op == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    op->r = r;
    op->pool = pool;
    op->start = ngx_current_msec;

    cln->handler = cleanup;
    cln->data = op;

    return op;
}


static int
redis_test_argv(ngx_http_request_t *r, ngx_str_t *argv)
{
    int      argc;
    u_char  *p, *last, *end, *dst, *src;

    argc = 0;
    p = r->args.data;
    last = p + r->args.len;

    for ( /* void */ ; p < last && argc < REDIS_TEST_ARGS; p = end + 1) {
        end = ngx_strlchr(p, last, '&');
        if (end == NULL) {
            end = last;
        }

        if (end - p < 2 || p[0] != 'a' || p[1] != '=') {
            continue;
        }

        src = p + 2;
        dst = ngx_pnalloc(r->pool, end - src + 1);
        if (dst == NULL) {
            return 0;
        }

        argv[argc].data = dst;
        ngx_unescape_uri(&dst, &src, end - src, 0);
        argv[argc].len = dst - argv[argc].data;
        argc++;
    }

    return argc;
}


static ngx_uint_t
redis_test_number(ngx_http_request_t *r, const char *name, ngx_uint_t def)
{
    ngx_int_t  n;
    ngx_str_t  value;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &value) != NGX_OK) {
        return def;
    }

    n = ngx_atoi(value.data, value.len);

    return n == NGX_ERROR ? def : (ngx_uint_t) n;
}


static ngx_int_t
redis_test_send(ngx_http_request_t *r, ngx_uint_t status, u_char *p,
    size_t len)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    b = ngx_create_temp_buf(r->pool, len + 1);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_cpymem(b->last, p, len);
    *b->last++ = LF;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    r->headers_out.status = status;
    r->headers_out.content_length_n = len + 1;
    ngx_str_set(&r->headers_out.content_type, "text/plain");

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


static void *
redis_test_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(redis_test_main_conf_t));
}


static char *
redis_test_server(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    redis_test_main_conf_t  *mcf = conf;

    return vmops_redis_conf_parse(cf, cmd, &mcf->redis);
}


static char *
redis_test_location(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    (void) cmd;
    (void) conf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = redis_test_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
redis_test_init_process(ngx_cycle_t *cycle)
{
    redis_test_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_redis_test_module);

    if (mcf == NULL || mcf->redis.url.len == 0 || !vmops_hook_worker()) {
        return NGX_OK;
    }

    mcf->redis.library = mcf->library;
    ngx_str_set(&mcf->redis.client_name, "redis-test");

    redis = vmops_redis_create(cycle, &mcf->redis);
    hook = vmops_hook_create(cycle);

    if (redis == NULL || hook == NULL
        || vmops_redis_on_state(redis, redis_test_up, NULL) != NGX_OK
        || vmops_hook_on_exit(hook, redis_test_exit, cycle->log) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (mcf->beat.len) {
        beat = vmops_beat_create(cycle, redis, mcf->beat.data[0] == 'o',
                                 redis_test_beat_event, NULL);
        if (beat == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
redis_test_exit_process(ngx_cycle_t *cycle)
{
    (void) cycle;

    if (beat) {
        vmops_beat_close(beat);
    }

    if (redis) {
        vmops_redis_close(redis);
    }

    if (hook) {
        vmops_hook_close(hook);
    }
}
