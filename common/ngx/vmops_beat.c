
/* The beat of a worker: see vmops_beat.h. */


#include "vmops_compat.h"
#include "vmops_limits.h"
#include "vmops_beat.h"


#define VMOPS_BEAT_ID  16             /* random bytes of an incarnation */


typedef struct {
    ngx_str_t                name;
    vmops_flag_value_e       flags[VMOPS_FLAGS];
} vmops_beat_cohort_t;


/* what a beat brought, all of it in one pool */

typedef struct {
    ngx_pool_t              *pool;
    ngx_str_t                live;
    ngx_str_t                flags[VMOPS_FLAGS];
    vmops_beat_cohort_t     *cohorts;  /* the first one is "*", the global */
    ngx_uint_t               ncohorts;
} vmops_beat_news_t;


struct vmops_beat_s {
    ngx_log_t               *log;
    vmops_redis_t           *redis;

    vmops_beat_pt            handler;
    void                    *data;

    ngx_str_t                incarnation;
    u_char                   id[VMOPS_BEAT_ID * 2];

    ngx_event_t              timer;
    ngx_connection_t         dummy;

    vmops_redis_call_t      *call;
    ngx_msec_t               sent;
    ngx_msec_t               last;     /* when the last good one was sent */

    vmops_beat_news_t        news;

    unsigned                 own:1;
    unsigned                 stale:1;  /* the incarnation is to change */
    unsigned                 alive:1;
    unsigned                 refused:1;  /* a bad answer is logged */
};


static ngx_str_t  vmops_beat_names[VMOPS_FLAGS] = {
    ngx_string("AGENT_COMMAND_BUS_ENABLED"),
    ngx_string("SECRETS_E2E_ENABLED"),
    ngx_string("INFRA_LEGACY_ADMIN_ONLY")
};


static ngx_int_t vmops_beat_renew(vmops_beat_t *b);
static void vmops_beat_timer(ngx_event_t *ev);
static void vmops_beat_state(void *data, ngx_uint_t up);
static void vmops_beat_send(vmops_beat_t *b);
static void vmops_beat_reply(void *data, redisReply *reply);
static void vmops_beat_bad(vmops_beat_t *b, const char *what);
static ngx_int_t vmops_beat_parse(vmops_beat_news_t *news, redisReply *reply,
    ngx_log_t *log);
static ngx_int_t vmops_beat_parse_live(vmops_beat_news_t *news,
    redisReply *reply);
static ngx_int_t vmops_beat_parse_cohorts(vmops_beat_news_t *news,
    redisReply *global, redisReply *list);
static ngx_int_t vmops_beat_parse_flags(vmops_beat_cohort_t *cohort,
    redisReply *reply);
static ngx_int_t vmops_beat_join(vmops_beat_news_t *news, ngx_uint_t flag);
static ngx_uint_t vmops_beat_array(redisReply *reply, size_t max);
static ngx_uint_t vmops_beat_is(redisReply *reply, ngx_str_t *s);


vmops_beat_t *
vmops_beat_create(ngx_cycle_t *cycle, vmops_redis_t *redis, ngx_uint_t own,
    vmops_beat_pt handler, void *data)
{
    vmops_beat_t  *b;

    b = ngx_pcalloc(cycle->pool, sizeof(vmops_beat_t));
    if (b == NULL) {
        return NULL;
    }

    b->log = cycle->log;
    b->redis = redis;
    b->own = own;
    b->handler = handler;
    b->data = data;

    if (vmops_beat_renew(b) != NGX_OK
        || vmops_redis_on_state(redis, vmops_beat_state, b) != NGX_OK)
    {
        return NULL;
    }

    b->dummy.fd = (ngx_socket_t) -1;
    b->dummy.data = b;

    b->timer.handler = vmops_beat_timer;
    b->timer.data = &b->dummy;
    b->timer.log = cycle->log;
    b->timer.cancelable = 1;

    ngx_add_timer(&b->timer, VMOPS_BEAT_MS);

    vmops_beat_send(b);

    return b;
}


void
vmops_beat_close(vmops_beat_t *b)
{
    if (b->timer.timer_set) {
        ngx_del_timer(&b->timer);
    }

    if (b->call) {
        vmops_redis_detach(b->call);
        b->call = NULL;
    }

    if (b->news.pool) {
        ngx_destroy_pool(b->news.pool);
        ngx_memzero(&b->news, sizeof(vmops_beat_news_t));
    }
}


ngx_uint_t
vmops_beat_fresh(vmops_beat_t *b)
{
    return b->alive && ngx_current_msec - b->last < VMOPS_BEAT_LOST_MS;
}


ngx_uint_t
vmops_beat_calls(vmops_beat_t *b)
{
    return b->call != NULL;
}


ngx_str_t *
vmops_beat_incarnation(vmops_beat_t *b)
{
    return &b->incarnation;
}


ngx_str_t *
vmops_beat_live(vmops_beat_t *b)
{
    return &b->news.live;
}


ngx_str_t *
vmops_beat_flags(vmops_beat_t *b, vmops_flag_e flag)
{
    return &b->news.flags[flag];
}


ngx_str_t *
vmops_beat_flag_name(vmops_flag_e flag)
{
    return &vmops_beat_names[flag];
}


vmops_flag_value_e
vmops_beat_flag(vmops_beat_t *b, ngx_str_t *cohort, vmops_flag_e flag)
{
    ngx_uint_t            i;
    vmops_beat_cohort_t  *c;

    if (b->news.ncohorts == 0) {
        return VMOPS_FLAG_UNSET;
    }

    c = b->news.cohorts;

    for (i = 1; i < b->news.ncohorts; i++) {
        if (c[i].name.len == cohort->len
            && ngx_memcmp(c[i].name.data, cohort->data, cohort->len) == 0
            && c[i].flags[flag] != VMOPS_FLAG_UNSET)
        {
            return c[i].flags[flag];
        }
    }

    return c[0].flags[flag];
}


static ngx_int_t
vmops_beat_renew(vmops_beat_t *b)
{
    u_char  id[VMOPS_BEAT_ID];

    if (RAND_bytes(id, VMOPS_BEAT_ID) != 1) {
        ngx_ssl_error(NGX_LOG_ALERT, b->log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(b->id, id, VMOPS_BEAT_ID);

    b->incarnation.data = b->id;
    b->incarnation.len = sizeof(b->id);
    b->stale = 0;

    return NGX_OK;
}


static void
vmops_beat_timer(ngx_event_t *ev)
{
    vmops_beat_t      *b;
    ngx_msec_int_t     wait, left;
    ngx_connection_t  *dummy;

    dummy = ev->data;
    b = dummy->data;

    wait = VMOPS_BEAT_MS;

    if (b->alive && !vmops_beat_fresh(b)) {

        b->alive = 0;
        b->stale = 1;

        /* an answer to the old incarnation does not count any more */

        if (b->call) {
            vmops_redis_detach(b->call);
            b->call = NULL;
        }

        ngx_log_error(NGX_LOG_ERR, b->log, 0,
                      "no answer to the beat for %d ms: %s",
                      VMOPS_BEAT_LOST_MS,
                      b->own ? "its agents count as offline, nothing is sent "
                               "to them"
                             : "its API is not ready");

        if (b->handler) {
            b->handler(b->data, VMOPS_BEAT_LOST);
        }
    }

    if (b->call == NULL) {
        vmops_beat_send(b);
    }

    if (vmops_beat_fresh(b)) {
        left = (ngx_msec_int_t) (b->last + VMOPS_BEAT_LOST_MS
                                 - ngx_current_msec);
        wait = ngx_min(wait, left);
    }

    ngx_add_timer(ev, wait);
}


static void
vmops_beat_state(void *data, ngx_uint_t up)
{
    vmops_beat_t  *b;

    b = data;

    if (up && b->call == NULL) {
        vmops_beat_send(b);
    }
}


static void
vmops_beat_send(vmops_beat_t *b)
{
    u_char     ttl[NGX_INT_T_LEN];
    ngx_str_t  argv[6];

    if (b->stale && vmops_beat_renew(b) != NGX_OK) {
        return;
    }

    ngx_str_set(&argv[0], "FCALL");
    ngx_str_set(&argv[1], "vmops_beat");
    ngx_str_set(&argv[2], "1");
    ngx_str_set(&argv[3], "platform/{p}");

    if (b->own) {
        argv[4] = b->incarnation;

    } else {
        ngx_str_set(&argv[4], "");
    }

    argv[5].data = ttl;
    argv[5].len = ngx_sprintf(ttl, "%d", VMOPS_BEAT_TTL_MS) - ttl;

    b->sent = ngx_current_msec;

    b->call = vmops_redis_command(b->redis, VMOPS_BEAT_DEADLINE_MS,
                                  vmops_beat_reply, b, 6, argv);
}


static void
vmops_beat_reply(void *data, redisReply *reply)
{
    ngx_pool_t          *old;
    vmops_beat_t        *b;
    vmops_beat_news_t    news;
    vmops_beat_event_e   event;

    b = data;
    b->call = NULL;

    if (reply == NULL) {
        return;
    }

    if (vmops_beat_parse(&news, reply, b->log) != NGX_OK) {
        vmops_beat_bad(b, reply->type == REDIS_REPLY_ERROR
                          ? "is refused" : "has a bad answer");
        return;
    }

    old = b->news.pool;
    b->news = news;

    if (old) {
        ngx_destroy_pool(old);
    }

    event = b->alive ? VMOPS_BEAT_DONE : VMOPS_BEAT_BORN;

    b->last = b->sent;
    b->alive = 1;
    b->refused = 0;

    if (b->handler) {
        b->handler(b->data, event);
    }
}


static void
vmops_beat_bad(vmops_beat_t *b, const char *what)
{
    if (!b->refused) {
        b->refused = 1;
        ngx_log_error(NGX_LOG_ERR, b->log, 0, "the beat %s", what);
    }
}


/* "OK", live incarnations, global flags, a pair of name and flags a cohort */

static ngx_int_t
vmops_beat_parse(vmops_beat_news_t *news, redisReply *reply, ngx_log_t *log)
{
    ngx_uint_t        i;
    static ngx_str_t  ok = ngx_string("OK");

    ngx_memzero(news, sizeof(vmops_beat_news_t));

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 4
        || !vmops_beat_is(reply->element[0], &ok))
    {
        return NGX_ERROR;
    }

    news->pool = ngx_create_pool(1024, log);
    if (news->pool == NULL) {
        return NGX_ERROR;
    }

    if (vmops_beat_parse_live(news, reply->element[1]) != NGX_OK
        || vmops_beat_parse_cohorts(news, reply->element[2],
                                    reply->element[3])
           != NGX_OK)
    {
        goto failed;
    }

    for (i = 0; i < VMOPS_FLAGS; i++) {
        if (vmops_beat_join(news, i) != NGX_OK) {
            goto failed;
        }
    }

    return NGX_OK;

failed:

    ngx_destroy_pool(news->pool);

    return NGX_ERROR;
}


static ngx_int_t
vmops_beat_parse_live(vmops_beat_news_t *news, redisReply *reply)
{
    size_t       i, len;
    u_char      *p;
    redisReply  *e;

    if (!vmops_beat_array(reply, VMOPS_BEAT_LIVE_MAX)) {
        return NGX_ERROR;
    }

    len = 0;

    for (i = 0; i < reply->elements; i++) {
        e = reply->element[i];

        if (e->type != REDIS_REPLY_STRING || e->len != VMOPS_BEAT_ID * 2) {
            return NGX_ERROR;
        }

        len += e->len + 1;
    }

    p = ngx_pnalloc(news->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    news->live.data = p;

    for (i = 0; i < reply->elements; i++) {
        if (i) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, reply->element[i]->str, reply->element[i]->len);
    }

    news->live.len = p - news->live.data;

    return NGX_OK;
}


static ngx_int_t
vmops_beat_parse_cohorts(vmops_beat_news_t *news, redisReply *global,
    redisReply *list)
{
    size_t                i;
    redisReply           *e, *name;
    vmops_beat_cohort_t  *c;

    if (!vmops_beat_array(list, VMOPS_BEAT_COHORTS_MAX)) {
        return NGX_ERROR;
    }

    news->ncohorts = list->elements + 1;

    c = ngx_pcalloc(news->pool, news->ncohorts * sizeof(vmops_beat_cohort_t));
    if (c == NULL) {
        return NGX_ERROR;
    }

    news->cohorts = c;

    ngx_str_set(&c->name, "*");

    if (vmops_beat_parse_flags(c, global) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < list->elements; i++) {
        e = list->element[i];
        c++;

        if (!vmops_beat_array(e, 2) || e->elements != 2) {
            return NGX_ERROR;
        }

        name = e->element[0];

        if (name->type != REDIS_REPLY_STRING
            || name->len > VMOPS_BEAT_COHORT_MAX
            || vmops_beat_parse_flags(c, e->element[1]) != NGX_OK)
        {
            return NGX_ERROR;
        }

        c->name.len = name->len;
        c->name.data = ngx_pnalloc(news->pool, name->len + 1);
        if (c->name.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(c->name.data, name->str, name->len);
    }

    return NGX_OK;
}


/* name, value, ...; names of a newer library are passed over */

static ngx_int_t
vmops_beat_parse_flags(vmops_beat_cohort_t *cohort, redisReply *reply)
{
    size_t            i;
    ngx_uint_t        n;
    redisReply       *value;
    static ngx_str_t  one = ngx_string("1"), zero = ngx_string("0");

    if (!vmops_beat_array(reply, VMOPS_REDIS_ELEMENTS_MAX)
        || reply->elements % 2)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < reply->elements; i += 2) {

        for (n = 0; n < VMOPS_FLAGS; n++) {
            if (vmops_beat_is(reply->element[i], &vmops_beat_names[n])) {
                break;
            }
        }

        if (n == VMOPS_FLAGS) {
            continue;
        }

        value = reply->element[i + 1];

        if (vmops_beat_is(value, &one)) {
            cohort->flags[n] = VMOPS_FLAG_TRUE;

        } else if (vmops_beat_is(value, &zero)) {
            cohort->flags[n] = VMOPS_FLAG_FALSE;
        }
    }

    return NGX_OK;
}


/* "*=1,internal=0": one that inherits is absent */

static ngx_int_t
vmops_beat_join(vmops_beat_news_t *news, ngx_uint_t flag)
{
    size_t                len;
    u_char               *p, *start;
    ngx_uint_t            i;
    vmops_beat_cohort_t  *c;

    c = news->cohorts;
    len = 0;

    for (i = 0; i < news->ncohorts; i++) {
        len += c[i].name.len + sizeof("=1,") - 1;
    }

    start = ngx_pnalloc(news->pool, len);
    if (start == NULL) {
        return NGX_ERROR;
    }

    p = start;

    for (i = 0; i < news->ncohorts; i++) {

        if (c[i].flags[flag] == VMOPS_FLAG_UNSET) {
            continue;
        }

        if (p != start) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, c[i].name.data, c[i].name.len);
        *p++ = '=';
        *p++ = (c[i].flags[flag] == VMOPS_FLAG_TRUE) ? '1' : '0';
    }

    news->flags[flag].data = start;
    news->flags[flag].len = p - start;

    return NGX_OK;
}


static ngx_uint_t
vmops_beat_array(redisReply *reply, size_t max)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements <= max;
}


static ngx_uint_t
vmops_beat_is(redisReply *reply, ngx_str_t *s)
{
    return (reply->type == REDIS_REPLY_STRING
            || reply->type == REDIS_REPLY_STATUS)
           && reply->len == s->len
           && ngx_memcmp(reply->str, s->data, s->len) == 0;
}
