
/*
 * ngx_agents_ws_module: the agents' sockets (docs/protocol.md).
 *
 *     agents_ws_redis  unix:/path user=NAME password_file=PATH;     http
 *     agents_ws_keys   DIR;                                         http
 *     agents_ws;                                                    location
 *     agents_ws_ping   25s;                      http, server, location
 */


#include "ngx_agents_ws.h"

#include <sodium.h>

#include "vmops_banned.h"


static ngx_int_t ngx_agents_ws_preconfiguration(ngx_conf_t *cf);
static void *ngx_agents_ws_create_main_conf(ngx_conf_t *cf);
static void *ngx_agents_ws_create_loc_conf(ngx_conf_t *cf);
static char *ngx_agents_ws_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_agents_ws_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_agents_ws_keys(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_agents_ws(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_agents_ws_ping_check(ngx_conf_t *cf, void *post, void *data);
static void ngx_agents_ws_keys_wipe(void *data);
static ngx_int_t ngx_agents_ws_init(ngx_conf_t *cf);
static ngx_int_t ngx_agents_ws_count(ngx_http_request_t *r);

static ngx_int_t ngx_agents_ws_init_process(ngx_cycle_t *cycle);
static void ngx_agents_ws_exit_process(ngx_cycle_t *cycle);
static void ngx_agents_ws_redis_state(void *data, ngx_uint_t up);
static void ngx_agents_ws_sample(ngx_event_t *ev);
static ngx_agents_ws_worker_t *ngx_agents_ws_worker_create(ngx_cycle_t *cycle,
    ngx_agents_ws_main_conf_t *mcf);
static void ngx_agents_ws_close_all(ngx_agents_ws_worker_t *w);


ngx_agents_ws_worker_t  *ngx_agents_ws_worker;


static ngx_conf_post_t  ngx_agents_ws_ping_post = { ngx_agents_ws_ping_check };


static vmops_keyfile_t  ngx_agents_ws_keyfiles[] = {
    { (char *) "command.key", offsetof(ngx_agents_ws_keys_t, seed) },
    { (char *) "mac.key", offsetof(ngx_agents_ws_keys_t, mac) },
    { NULL, 0 }
};


static ngx_command_t  ngx_agents_ws_commands[] = {

    { ngx_string("agents_ws_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_agents_ws_redis,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agents_ws_keys"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_agents_ws_keys,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agents_ws"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_agents_ws,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agents_ws_ping"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_agents_ws_loc_conf_t, ping),
      &ngx_agents_ws_ping_post },

      ngx_null_command
};


static ngx_http_module_t  ngx_agents_ws_module_ctx = {
    ngx_agents_ws_preconfiguration,        /* preconfiguration */
    ngx_agents_ws_init,                    /* postconfiguration */

    ngx_agents_ws_create_main_conf,        /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_agents_ws_create_loc_conf,         /* create location configuration */
    ngx_agents_ws_merge_loc_conf           /* merge location configuration */
};


ngx_module_t  ngx_agents_ws_module = {
    NGX_MODULE_V1,
    &ngx_agents_ws_module_ctx,             /* module context */
    ngx_agents_ws_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_agents_ws_init_process,            /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_agents_ws_exit_process,            /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


uint64_t
ngx_agents_ws_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}


void
ngx_agents_ws_timer(ngx_event_t *ev, ngx_event_handler_pt handler)
{
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    ev->handler = handler;
    ev->data = &w->dummy;
    ev->log = w->log;
    ev->cancelable = 1;
}


static ngx_int_t
ngx_agents_ws_init_process(ngx_cycle_t *cycle)
{
    ngx_agents_ws_worker_t     *w;
    ngx_agents_ws_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_agents_ws_module);

    if (mcf == NULL || !mcf->enabled || !vmops_hook_worker()) {
        return NGX_OK;
    }

    w = ngx_agents_ws_worker_create(cycle, mcf);
    if (w == NULL) {
        return NGX_ERROR;
    }

    ngx_agents_ws_worker = w;

    ngx_agents_ws_wheel_init(w);
    ngx_agents_ws_timer(&w->ack_timer, ngx_agents_ws_ack_handler);

    w->redis = vmops_redis_create(cycle, &mcf->redis);
    if (w->redis == NULL) {
        return NGX_ERROR;
    }

    w->unsealed = vmops_unsealed_create(cycle, w->redis);
    if (w->unsealed == NULL) {
        return NGX_ERROR;
    }

    w->beat = vmops_beat_create(cycle, w->redis, 1,
                                ngx_agents_ws_beat_handler, w);
    if (w->beat == NULL) {
        return NGX_ERROR;
    }

    w->hook = vmops_hook_create(cycle);
    if (w->hook == NULL) {
        return NGX_ERROR;
    }

    ngx_agents_ws_seal_init();

    w->metrics = vmops_metrics(mcf->metrics);

    vmops_metrics_sample(&w->sample, w->log, ngx_agents_ws_sample);

    if (vmops_redis_on_state(w->redis, ngx_agents_ws_redis_state, w)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return vmops_hook_on_exit(w->hook, ngx_agents_ws_exiting, w);
}


/* at once: /readyz, which is the other module's, looks at it */

static void
ngx_agents_ws_redis_state(void *data, ngx_uint_t up)
{
    ngx_agents_ws_worker_t *w = data;

    vmops_metrics_worker(w->metrics)->redis[VMOPS_METRICS_GATEWAY].ready = up;
}


static void
ngx_agents_ws_sample(ngx_event_t *ev)
{
    vmops_metrics_redis_t   *redis;
    vmops_metrics_worker_t  *mw;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    mw = vmops_metrics_worker(w->metrics);
    redis = &mw->redis[VMOPS_METRICS_GATEWAY];

    redis->there = 1;
    redis->ready = vmops_redis_ready(w->redis);
    redis->calls = vmops_redis_calls(w->redis) - vmops_beat_calls(w->beat);

    mw->agents = w->nsessions - w->nhello;
    mw->hellos = w->nhello;
    mw->frames = w->nframes;

    vmops_metrics_again(ev);
}


/* in the log phase: also what nginx itself answered, or another module */

static ngx_int_t
ngx_agents_ws_count(ngx_http_request_t *r)
{
    ngx_uint_t               i;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    if (w == NULL || r != r->main
        || r->content_handler != ngx_agents_ws_handler)
    {
        return NGX_OK;
    }

    i = vmops_metrics_place(vmops_metrics_handshakes,
                            r->err_status ? r->err_status
                                          : r->headers_out.status);

    (void) ngx_atomic_fetch_add(&w->metrics->handshakes[i], 1);

    return NGX_OK;
}


static ngx_agents_ws_worker_t *
ngx_agents_ws_worker_create(ngx_cycle_t *cycle, ngx_agents_ws_main_conf_t *mcf)
{
    ngx_agents_ws_worker_t  *w;

    w = ngx_pcalloc(cycle->pool, sizeof(ngx_agents_ws_worker_t));
    if (w == NULL) {
        return NULL;
    }

    w->conf = mcf;
    w->cycle = cycle;
    w->log = cycle->log;
    w->dummy.fd = (ngx_socket_t) -1;

    ngx_queue_init(&w->acks);
    ngx_queue_init(&w->pending);
    ngx_queue_init(&w->reg);
    ngx_queue_init(&w->tells);

    ngx_rbtree_init(&w->tenants, &w->tenants_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&w->addresses, &w->addresses_sentinel,
                    ngx_str_rbtree_insert_value);

    /* a message, and the payload inside it */
    w->memory_size = vmops_json_arena_size(VMOPS_WS_MESSAGE_MAX)
                     + vmops_json_arena_size(VMOPS_PAYLOAD_MAX);

    w->read = ngx_palloc(cycle->pool, NGX_AGENTS_WS_READ);
    w->text = ngx_palloc(cycle->pool, NGX_AGENTS_WS_TEXT);
    w->payload = ngx_palloc(cycle->pool, NGX_AGENTS_WS_TEXT);
    w->memory = ngx_palloc(cycle->pool, w->memory_size);

    if (w->read == NULL || w->text == NULL || w->payload == NULL
        || w->memory == NULL)
    {
        return NULL;
    }

    return w;
}


static void
ngx_agents_ws_exit_process(ngx_cycle_t *cycle)
{
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    if (w == NULL) {
        return;
    }

    w->exiting = 1;

    ngx_agents_ws_close_all(w);
    ngx_agents_ws_tell_pump();

    if (w->hook) {
        vmops_hook_close(w->hook);
    }

    if (w->beat) {
        vmops_beat_close(w->beat);
    }

    if (w->redis) {
        vmops_redis_close(w->redis);
    }

    ngx_agents_ws_worker = NULL;
}


/* what the graceful exit has left: nginx would report open sockets */

static void
ngx_agents_ws_close_all(ngx_agents_ws_worker_t *w)
{
    ngx_uint_t                i;
    ngx_queue_t              *q;
    ngx_connection_t         *c;
    ngx_agents_ws_session_t  *s;

    for (i = 0; i < NGX_AGENTS_WS_SLOTS; i++) {

        while (!ngx_queue_empty(&w->wheel[i])) {
            q = ngx_queue_head(&w->wheel[i]);
            s = ngx_queue_data(q, ngx_agents_ws_session_t, wheel);
            c = s->connection;

            s->cleanup->handler = NULL;
            ngx_agents_ws_cleanup(s);

            c->error = 1;
            ngx_http_close_connection(c);
        }
    }
}


static ngx_int_t
ngx_agents_ws_preconfiguration(ngx_conf_t *cf)
{
    ngx_agents_ws_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_agents_ws_module);

    return vmops_vars_add(cf, &mcf->vars);
}


static void *
ngx_agents_ws_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_agents_ws_main_conf_t));
}


static void *
ngx_agents_ws_create_loc_conf(ngx_conf_t *cf)
{
    ngx_agents_ws_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_agents_ws_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->ping = NGX_CONF_UNSET_MSEC;

    return conf;
}


/*
 * The connection leaves nginx's hands as a keepalive one (see the handshake):
 * that takes a keepalive_timeout, and nothing that still runs after a request.
 * The core module's own locations are merged before.
 */

static char *
ngx_agents_ws_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_agents_ws_loc_conf_t *prev = parent;
    ngx_agents_ws_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t   *clcf;
    ngx_agents_ws_main_conf_t  *mcf;

    ngx_conf_merge_msec_value(conf->ping, prev->ping, VMOPS_WS_PING_S * 1000);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->enabled && clcf->handler != ngx_agents_ws_handler) {
        /* a later directive's: it would win, and nobody be told */
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"agents_ws\" is beside another handler in location "
                      "\"%V\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (clcf->noname) {

        /* an "if": it is served by the handler of the location around it */
        conf->enabled = prev->enabled;
    }

    if (!conf->enabled) {
        return NGX_CONF_OK;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_agents_ws_module);

    if (mcf->redis.addrs == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"agents_ws\" is used, but there is no "
                      "\"agents_ws_redis\" in the http block");
        return NGX_CONF_ERROR;
    }

    if (mcf->keys == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"agents_ws\" is used, but there is no "
                      "\"agents_ws_keys\" in the http block");
        return NGX_CONF_ERROR;
    }

    if (clcf->keepalive_timeout == 0 || clcf->post_action.data) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"agents_ws\" in location \"%V\" works with neither "
                      "\"keepalive_timeout 0\" nor \"post_action\"",
                      &clcf->name);
        return NGX_CONF_ERROR;
    }

    mcf->enabled = 1;

    mcf->metrics = vmops_metrics_zone(cf);

    return mcf->metrics ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_agents_ws_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agents_ws_main_conf_t *mcf = conf;

    char  *rv;

    if (mcf->redis.addrs) {
        return (char *) "is duplicate";
    }

    rv = vmops_redis_conf_parse(cf, cmd, &mcf->redis);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    ngx_str_set(&mcf->redis.library, "1.0");
    ngx_str_set(&mcf->redis.client_name, "vmops-agents-ws");

    return NGX_CONF_OK;
}


static char *
ngx_agents_ws_keys(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agents_ws_main_conf_t *mcf = conf;

    char                *rv;
    u_char               pk[32];
    ngx_str_t           *value;
    ngx_pool_cleanup_t  *cln;

    if (mcf->keys) {
        return (char *) "is duplicate";
    }

    if (sodium_init() == -1) {
        return (char *) "cannot work: libsodium does not start";
    }

    mcf->keys = ngx_pcalloc(cf->pool, sizeof(ngx_agents_ws_keys_t));
    if (mcf->keys == NULL) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_agents_ws_keys_wipe;
    cln->data = mcf->keys;

    value = cf->args->elts;

    rv = vmops_keyfile_read(cf, &value[1], ngx_agents_ws_keyfiles, mcf->keys);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    (void) crypto_sign_seed_keypair(pk, mcf->keys->command, mcf->keys->seed);

    vmops_command_key_id(mcf->keys->id, pk);
    vmops_secret_key_id(mcf->keys->mac_id, VMOPS_MAC_KEY_PREFIX,
                        mcf->keys->mac);

    /* tokens are not looked at here: there is no pepper */

    mcf->redis.keys[0].data = (u_char *) mcf->keys->id;
    mcf->redis.keys[0].len = VMOPS_KEY_ID_TEXT;
    mcf->redis.keys[1].data = (u_char *) mcf->keys->mac_id;
    mcf->redis.keys[1].len = VMOPS_KEY_ID_TEXT;

    return NGX_CONF_OK;
}


static void
ngx_agents_ws_keys_wipe(void *data)
{
    sodium_memzero(data, sizeof(ngx_agents_ws_keys_t));
}


static char *
ngx_agents_ws(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agents_ws_loc_conf_t *alcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    if (alcf->enabled) {
        return (char *) "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return (char *) "is beside another handler in this location";
    }

    clcf->handler = ngx_agents_ws_handler;

    alcf->enabled = 1;

    return NGX_CONF_OK;
}


/* a socket without traffic is closed after VMOPS_WS_IDLE_S */

static char *
ngx_agents_ws_ping_check(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t *ping = data;

    if (*ping < 1000 || *ping > VMOPS_WS_IDLE_S * 1000 / 2) {
        return (char *) "has to be 1s to 30s";
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_agents_ws_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_agents_ws_main_conf_t  *mcf;
    ngx_http_core_main_conf_t  *cmcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_agents_ws_module);

    if (!mcf->enabled) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_agents_ws_count;

    return NGX_OK;
}
