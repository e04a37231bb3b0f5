
/*
 * Shard channels, on a connection of their own.
 *
 * A channel is idle (to be asked for), active (asked for, or confirmed) or
 * failed (idle again with the next tick).  One SSUBSCRIBE names one channel,
 * as a cluster wants it; at most a window of them is under way.  Only the
 * answer to the latest SSUBSCRIBE of a channel confirms it: after an
 * unsubscribe an older one may still come.
 */


#include "vmops_redis_int.h"


#define VMOPS_REDIS_TICK_MS  1000


struct vmops_redis_sub_s {
    ngx_queue_t              queue;     /* in channel->subs */
    ngx_queue_t              changed;   /* in client->changed, if listed */
    vmops_redis_t           *client;
    vmops_redis_channel_t   *channel;

    void                   (*message)(void *data, u_char *p, size_t n);
    void                   (*state)(void *data, ngx_uint_t subscribed);
    void                    *data;

    unsigned                 told:1;
    unsigned                 listed:1;
};


typedef struct {
    vmops_redis_t           *client;
    size_t                   len;
    u_char                   name[1];
} vmops_redis_ask_t;


struct vmops_redis_channel_s {
    ngx_str_node_t           sn;
    ngx_queue_t              queue;     /* in client->idle, active, failed */
    ngx_queue_t              subs;
    vmops_redis_ask_t       *ask;       /* the latest SSUBSCRIBE under way */
    unsigned                 confirmed:1;
    u_char                   name[1];
};


static void vmops_redis_sub_up(vmops_redis_conn_t *conn);
static void vmops_redis_sub_down(vmops_redis_conn_t *conn);
static void vmops_redis_sub_retry(vmops_redis_t *r);
static ngx_uint_t vmops_redis_sub_push(vmops_redis_conn_t *conn,
    redisReply *reply);
static ngx_uint_t vmops_redis_sub_word(redisReply *reply, const char *word);
static void vmops_redis_sub_message(vmops_redis_t *r, redisReply *reply);
static ngx_uint_t vmops_redis_sub_unasked(vmops_redis_t *r, redisReply *reply);
static vmops_redis_channel_t *vmops_redis_channel(vmops_redis_t *r,
    u_char *p, size_t n);
static vmops_redis_channel_t *vmops_redis_channel_add(vmops_redis_t *r,
    ngx_str_t *name);
static void vmops_redis_channel_drop(vmops_redis_t *r,
    vmops_redis_channel_t *ch);
static void vmops_redis_channel_lost(vmops_redis_t *r,
    vmops_redis_channel_t *ch, ngx_queue_t *to);
static void vmops_redis_sub_pump(vmops_redis_t *r);
static ngx_int_t vmops_redis_ask(vmops_redis_t *r, vmops_redis_channel_t *ch);
static void vmops_redis_subscribed(void *data, redisReply *reply);
static void vmops_redis_leave(vmops_redis_t *r, vmops_redis_channel_t *ch);
static void vmops_redis_changed(vmops_redis_t *r, vmops_redis_sub_t *sub);
static void vmops_redis_notify(ngx_event_t *ev);
static void vmops_redis_tick(ngx_event_t *ev);


void
vmops_redis_sub_init(vmops_redis_t *r)
{
    r->sub.up = vmops_redis_sub_up;
    r->sub.down = vmops_redis_sub_down;
    r->sub.push = vmops_redis_sub_push;

    ngx_rbtree_init(&r->channels, &r->sentinel, ngx_str_rbtree_insert_value);

    ngx_queue_init(&r->idle);
    ngx_queue_init(&r->active);
    ngx_queue_init(&r->failed);
    ngx_queue_init(&r->changed);

    vmops_redis_timer(&r->notify, &r->dummy, &r->sub.log, r,
                      vmops_redis_notify);
    vmops_redis_timer(&r->tick, &r->dummy, &r->sub.log, r, vmops_redis_tick);
}


void
vmops_redis_sub_close(vmops_redis_t *r)
{
    ngx_uint_t              i;
    ngx_queue_t            *q, *lists[3];
    vmops_redis_sub_t      *sub;
    vmops_redis_channel_t  *ch;

    vmops_redis_conn_close(&r->sub);

    if (r->tick.timer_set) {
        ngx_del_timer(&r->tick);
    }

    if (r->notify.posted) {
        ngx_delete_posted_event(&r->notify);
    }

    lists[0] = &r->idle;
    lists[1] = &r->active;
    lists[2] = &r->failed;

    for (i = 0; i < 3; i++) {
        while (!ngx_queue_empty(lists[i])) {
            q = ngx_queue_head(lists[i]);
            ch = ngx_queue_data(q, vmops_redis_channel_t, queue);

            while (!ngx_queue_empty(&ch->subs)) {
                q = ngx_queue_head(&ch->subs);
                ngx_queue_remove(q);

                sub = ngx_queue_data(q, vmops_redis_sub_t, queue);
                ngx_free(sub);
            }

            vmops_redis_channel_drop(r, ch);
        }
    }
}


vmops_redis_sub_t *
vmops_redis_subscribe(vmops_redis_t *r, ngx_str_t *channel,
    void (*message)(void *data, u_char *p, size_t n),
    void (*state)(void *data, ngx_uint_t subscribed), void *data)
{
    vmops_redis_sub_t      *sub;
    vmops_redis_channel_t  *ch;

    sub = ngx_calloc(sizeof(vmops_redis_sub_t), &r->sub.log);
    if (sub == NULL) {
        return NULL;
    }

    ch = vmops_redis_channel(r, channel->data, channel->len);

    if (ch == NULL) {
        ch = vmops_redis_channel_add(r, channel);
        if (ch == NULL) {
            ngx_free(sub);
            return NULL;
        }
    }

    sub->client = r;
    sub->channel = ch;
    sub->message = message;
    sub->state = state;
    sub->data = data;

    ngx_queue_insert_tail(&ch->subs, &sub->queue);

    if (ch->confirmed) {
        vmops_redis_changed(r, sub);
    }

    if (!r->started) {
        r->started = 1;
        vmops_redis_connect(&r->sub);
        return sub;
    }

    vmops_redis_sub_pump(r);

    return sub;
}


void
vmops_redis_unsubscribe(vmops_redis_sub_t *sub)
{
    vmops_redis_t          *r;
    vmops_redis_channel_t  *ch;

    r = sub->client;
    ch = sub->channel;

    if (r->cursor == &sub->queue) {
        r->cursor = ngx_queue_next(&sub->queue);
    }

    ngx_queue_remove(&sub->queue);

    if (sub->listed) {
        ngx_queue_remove(&sub->changed);
    }

    ngx_free(sub);

    if (!ngx_queue_empty(&ch->subs) || r->cursor == &ch->subs) {
        return;
    }

    vmops_redis_leave(r, ch);
}


static void
vmops_redis_sub_up(vmops_redis_conn_t *conn)
{
    vmops_redis_t  *r;

    r = conn->client;
    r->refused = 0;

    ngx_add_timer(&r->tick, VMOPS_REDIS_TICK_MS);

    vmops_redis_sub_pump(r);
}


static void
vmops_redis_sub_down(vmops_redis_conn_t *conn)
{
    ngx_queue_t            *q;
    vmops_redis_t          *r;
    vmops_redis_channel_t  *ch;

    r = conn->client;

    if (r->tick.timer_set) {
        ngx_del_timer(&r->tick);
    }

    while (!ngx_queue_empty(&r->active)) {
        q = ngx_queue_head(&r->active);
        ch = ngx_queue_data(q, vmops_redis_channel_t, queue);

        vmops_redis_channel_lost(r, ch, &r->idle);
    }

    vmops_redis_sub_retry(r);
}


static void
vmops_redis_sub_retry(vmops_redis_t *r)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&r->failed)) {
        q = ngx_queue_head(&r->failed);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&r->idle, q);
    }
}


/* messages, and a "sunsubscribe" that is no answer: the slot has moved */

static ngx_uint_t
vmops_redis_sub_push(vmops_redis_conn_t *conn, redisReply *reply)
{
    if (vmops_redis_sub_word(reply, "smessage")) {
        vmops_redis_sub_message(conn->client, reply);
        return 1;
    }

    if (vmops_redis_sub_word(reply, "sunsubscribe")) {
        return vmops_redis_sub_unasked(conn->client, reply);
    }

    return 0;
}


static ngx_uint_t
vmops_redis_sub_word(redisReply *reply, const char *word)
{
    size_t  n;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        return 0;
    }

    n = ngx_strlen(word);

    return reply->element[0]->len == n
           && ngx_memcmp(reply->element[0]->str, word, n) == 0;
}


static void
vmops_redis_sub_message(vmops_redis_t *r, redisReply *reply)
{
    redisReply             *name, *text;
    ngx_queue_t            *q;
    vmops_redis_sub_t      *sub;
    vmops_redis_channel_t  *ch;

    name = reply->element[1];
    text = reply->element[2];

    ch = vmops_redis_channel(r, (u_char *) name->str, name->len);

    if (ch == NULL || !ch->confirmed || text->type != REDIS_REPLY_STRING) {
        return;
    }

    /* the cursor keeps the channel, and steps over a subscriber that leaves */

    for (q = ngx_queue_head(&ch->subs);
         q != ngx_queue_sentinel(&ch->subs);
         q = r->cursor)
    {
        r->cursor = ngx_queue_next(q);

        sub = ngx_queue_data(q, vmops_redis_sub_t, queue);

        if (sub->told) {
            sub->message(sub->data, (u_char *) text->str, text->len);
        }
    }

    r->cursor = NULL;

    if (ngx_queue_empty(&ch->subs)) {
        vmops_redis_leave(r, ch);
    }
}


static ngx_uint_t
vmops_redis_sub_unasked(vmops_redis_t *r, redisReply *reply)
{
    redisReply             *name;
    ngx_str_t               argv[2];
    ngx_queue_t            *q;
    vmops_redis_channel_t  *ch;

    name = reply->element[1];

    ngx_str_set(&argv[0], "SUNSUBSCRIBE");
    argv[1].data = (u_char *) name->str;
    argv[1].len = name->len;

    q = ngx_queue_head(&r->sub.calls);

    if (q != ngx_queue_sentinel(&r->sub.calls)
        && vmops_redis_call_is(ngx_queue_data(q, vmops_redis_call_t, queue),
                               2, argv))
    {
        return 0;
    }

    ch = vmops_redis_channel(r, argv[1].data, argv[1].len);

    if (ch && ch->confirmed) {
        vmops_redis_channel_lost(r, ch, &r->idle);
        vmops_redis_sub_pump(r);
    }

    return 1;
}


static vmops_redis_channel_t *
vmops_redis_channel(vmops_redis_t *r, u_char *p, size_t n)
{
    ngx_str_t  name;

    name.data = p;
    name.len = n;

    return (vmops_redis_channel_t *)
               ngx_str_rbtree_lookup(&r->channels, &name,
                                     ngx_crc32_short(p, n));
}


static vmops_redis_channel_t *
vmops_redis_channel_add(vmops_redis_t *r, ngx_str_t *name)
{
    vmops_redis_channel_t  *ch;

    if (r->nchannels >= VMOPS_REDIS_CHANNELS_MAX
        || name->len > VMOPS_REDIS_CHANNEL_MAX)
    {
        ngx_log_error(NGX_LOG_ERR, &r->sub.log, 0,
                      "redis: too many channels, or too long a name");
        return NULL;
    }

    ch = ngx_calloc(sizeof(vmops_redis_channel_t) + name->len, &r->sub.log);
    if (ch == NULL) {
        return NULL;
    }

    ngx_memcpy(ch->name, name->data, name->len);

    ch->sn.str.data = ch->name;
    ch->sn.str.len = name->len;
    ch->sn.node.key = ngx_crc32_short(ch->name, name->len);

    ngx_queue_init(&ch->subs);
    ngx_queue_insert_tail(&r->idle, &ch->queue);
    ngx_rbtree_insert(&r->channels, &ch->sn.node);
    r->nchannels++;

    return ch;
}


static void
vmops_redis_channel_drop(vmops_redis_t *r, vmops_redis_channel_t *ch)
{
    ngx_queue_remove(&ch->queue);
    ngx_rbtree_delete(&r->channels, &ch->sn.node);
    r->nchannels--;

    ngx_free(ch);
}


static void
vmops_redis_channel_lost(vmops_redis_t *r, vmops_redis_channel_t *ch,
    ngx_queue_t *to)
{
    ngx_queue_t  *q;

    ngx_queue_remove(&ch->queue);
    ngx_queue_insert_tail(to, &ch->queue);

    ch->ask = NULL;
    ch->confirmed = 0;

    for (q = ngx_queue_head(&ch->subs);
         q != ngx_queue_sentinel(&ch->subs);
         q = ngx_queue_next(q))
    {
        vmops_redis_changed(r, ngx_queue_data(q, vmops_redis_sub_t, queue));
    }
}


static void
vmops_redis_sub_pump(vmops_redis_t *r)
{
    ngx_queue_t            *q;
    vmops_redis_channel_t  *ch;

    if (!r->sub.ready) {
        return;
    }

    while (!ngx_queue_empty(&r->idle)
           && r->sub.ncalls < VMOPS_REDIS_SUBSCRIBE_WINDOW)
    {
        q = ngx_queue_head(&r->idle);
        ch = ngx_queue_data(q, vmops_redis_channel_t, queue);

        if (vmops_redis_ask(r, ch) != NGX_OK) {
            return;
        }

        ngx_queue_remove(&ch->queue);
        ngx_queue_insert_tail(&r->active, &ch->queue);
    }
}


static ngx_int_t
vmops_redis_ask(vmops_redis_t *r, vmops_redis_channel_t *ch)
{
    ngx_str_t           argv[2];
    vmops_redis_ask_t  *ask;

    ask = ngx_alloc(sizeof(vmops_redis_ask_t) + ch->sn.str.len, &r->sub.log);
    if (ask == NULL) {
        return NGX_ERROR;
    }

    ask->client = r;
    ask->len = ch->sn.str.len;
    ngx_memcpy(ask->name, ch->sn.str.data, ask->len);

    ngx_str_set(&argv[0], "SSUBSCRIBE");
    argv[1] = ch->sn.str;

    if (vmops_redis_call(&r->sub, VMOPS_REDIS_SUBSCRIBE_MS,
                         vmops_redis_subscribed, ask, 2, argv)
        == NULL)
    {
        ngx_free(ask);
        return NGX_ERROR;
    }

    ch->ask = ask;

    return NGX_OK;
}


static void
vmops_redis_subscribed(void *data, redisReply *reply)
{
    ngx_str_t               code;
    ngx_queue_t            *q;
    vmops_redis_t          *r;
    vmops_redis_ask_t      *ask;
    vmops_redis_channel_t  *ch;

    ask = data;
    r = ask->client;

    ch = vmops_redis_channel(r, ask->name, ask->len);

    if (ch && ch->ask == ask) {
        ch->ask = NULL;

        if (reply && vmops_redis_sub_word(reply, "ssubscribe")) {
            ch->confirmed = 1;

            for (q = ngx_queue_head(&ch->subs);
                 q != ngx_queue_sentinel(&ch->subs);
                 q = ngx_queue_next(q))
            {
                vmops_redis_changed(r, ngx_queue_data(q, vmops_redis_sub_t,
                                                      queue));
            }

        } else {
            vmops_redis_channel_lost(r, ch, &r->failed);
        }
    }

    ngx_free(ask);

    if (reply && reply->type == REDIS_REPLY_ERROR && !r->refused) {
        r->refused = 1;
        code = vmops_redis_code(reply);

        ngx_log_error(NGX_LOG_ERR, &r->sub.log, 0,
                      "redis: a subscription is refused: %V", &code);
    }

    vmops_redis_sub_pump(r);
}


/*
 * Nobody hears the channel any more.  If Redis cannot be told for want of
 * room, its messages come and are dropped until the connection ends.
 */

static void
vmops_redis_leave(vmops_redis_t *r, vmops_redis_channel_t *ch)
{
    ngx_str_t  argv[2];

    if (r->sub.ready && (ch->ask || ch->confirmed)) {
        ngx_str_set(&argv[0], "SUNSUBSCRIBE");
        argv[1] = ch->sn.str;

        (void) vmops_redis_call(&r->sub, VMOPS_REDIS_SUBSCRIBE_MS, NULL, NULL,
                                2, argv);
    }

    vmops_redis_channel_drop(r, ch);
}


/* no handler runs inside a call of the interface: the event is posted */

static void
vmops_redis_changed(vmops_redis_t *r, vmops_redis_sub_t *sub)
{
    if (sub->listed) {
        return;
    }

    sub->listed = 1;
    ngx_queue_insert_tail(&r->changed, &sub->changed);

    ngx_post_event(&r->notify, &ngx_posted_events);
}


static void
vmops_redis_notify(ngx_event_t *ev)
{
    ngx_queue_t        *q;
    vmops_redis_t      *r;
    ngx_connection_t   *dummy;
    vmops_redis_sub_t  *sub;

    dummy = ev->data;
    r = dummy->data;

    while (!ngx_queue_empty(&r->changed)) {
        q = ngx_queue_head(&r->changed);
        ngx_queue_remove(q);

        sub = ngx_queue_data(q, vmops_redis_sub_t, changed);
        sub->listed = 0;

        if (sub->told != sub->channel->confirmed) {
            sub->told = sub->channel->confirmed;
            sub->state(sub->data, sub->told);
        }
    }
}


/* tries refused channels again, and finds out about a dead peer */

static void
vmops_redis_tick(ngx_event_t *ev)
{
    ngx_str_t          ping;
    vmops_redis_t     *r;
    ngx_connection_t  *dummy;

    dummy = ev->data;
    r = dummy->data;

    vmops_redis_sub_retry(r);
    vmops_redis_sub_pump(r);

    if (r->sub.ncalls == 0
        && ngx_current_msec - r->sub.alive >= VMOPS_REDIS_PING_MS)
    {
        ngx_str_set(&ping, "PING");

        (void) vmops_redis_call(&r->sub, VMOPS_REDIS_SUBSCRIBE_MS, NULL, NULL,
                                1, &ping);
    }

    ngx_add_timer(ev, VMOPS_REDIS_TICK_MS);
}
