
/*
 * A Redis client on nginx's connections, timers and TLS; the protocol (RESP2)
 * is hiredis' reader.
 *
 * A client has two connections: one for commands, pipelined, and, once there
 * is a subscription, one for shard channels.  Both connect by themselves and,
 * when lost, again after 50 ms, doubling to 2 s, jittered.  A connection is
 * ready when it has authenticated and, if a library version is expected, the
 * server has it, and this node's keys are those of its data.
 *
 * Nothing here blocks.  No callback ever runs inside a call of this interface,
 * with the one exception of vmops_redis_close().  Callbacks may call anything
 * here but vmops_redis_close().
 */


#ifndef _VMOPS_REDIS_H_INCLUDED_
#define _VMOPS_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <hiredis/hiredis.h>

#include "vmops_bytes.h"


#pragma GCC visibility push(hidden)


typedef struct vmops_redis_s       vmops_redis_t;
typedef struct vmops_redis_call_s  vmops_redis_call_t;
typedef struct vmops_redis_sub_s   vmops_redis_sub_t;


#define VMOPS_REDIS_KEYS  3


typedef struct {
    ngx_str_t        url;          /* as written: for messages */

    ngx_addr_t      *addrs;        /* tried in turn */
    ngx_uint_t       naddrs;

    ngx_str_t        user;         /* empty: the default user */
    ngx_str_t        password;     /* empty: no AUTH */

    ngx_ssl_t       *ssl;          /* NULL: plain */
    ngx_str_t        server_name;  /* what the certificate has to name */

    /* set by the module before vmops_redis_create() */
    ngx_str_t        library;      /* "1.2": version 1.x, x >= 2, of the
                                      function library; empty: not checked */
    ngx_str_t        client_name;  /* for CLIENT LIST; no spaces */
    ngx_str_t        keys[VMOPS_REDIS_KEYS];
                                   /* ids of command.key, mac.key, pepper.key,
                                      which have to be the store's; empty: the
                                      module has not that one; all: not asked */
} vmops_redis_conf_t;


/*
 * Parses the arguments of a directive (NGX_CONF_1MORE):
 *
 *     unix:/path | host[:port] [user=NAME] [password_file=PATH] [tls]
 *                [ca_file=PATH] [name=HOST]
 *
 * The conf is zeroed by the caller and lives in cf->pool.  Without a ca_file
 * TLS trusts the system's certificates.  Returns NGX_CONF_OK, or an error
 * text, or NGX_CONF_ERROR when it is logged already.
 */
char *vmops_redis_conf_parse(ngx_conf_t *cf, ngx_command_t *cmd,
    vmops_redis_conf_t *rc);


/*
 * In init_process.  Starts connecting; NULL: no memory.  What rc points to
 * stays the caller's and has to live as long as the client.
 */
vmops_redis_t *vmops_redis_create(ngx_cycle_t *cycle, vmops_redis_conf_t *rc);

/*
 * In exit_process: closes both connections and frees the client.  Each pending
 * callback runs with NULL; subscriptions end without a call.
 */
void vmops_redis_close(vmops_redis_t *r);

/* 1: commands are taken */
ngx_uint_t vmops_redis_ready(vmops_redis_t *r);

/* Unix ms: when the keys were put in the place of others; 0: they never were */
uint64_t vmops_redis_keys_since(vmops_redis_t *r);

/* commands that are not answered yet */
ngx_uint_t vmops_redis_calls(vmops_redis_t *r);

/* calls handler on each change of vmops_redis_ready(); NGX_ERROR: no memory */
ngx_int_t vmops_redis_on_state(vmops_redis_t *r,
    void (*handler)(void *data, ngx_uint_t up), void *data);


/*
 * reply is NULL when there was none within the deadline or the connection is
 * lost; then it is unknown whether the command ran.  The reply belongs to the
 * client and is valid during the call only.
 */
typedef void (*vmops_redis_pt)(void *data, redisReply *reply);

/*
 * Queues a command.  It goes out at once if no other is under way, and else
 * with those of the same event loop iteration, or when enough have gathered or
 * been answered.  The arguments are copied.  deadline is in milliseconds from
 * now, at least 1.
 * A TRYAGAIN is retried within it.
 *
 * Returns NULL when the client is not ready or a limit is reached: then the
 * callback will not run, answer 503 at once.  Otherwise it runs exactly once,
 * and then the call is no more.  cb may be NULL: nobody waits for the reply.
 *
 * In a new worker calls wait for the first connection, so that a reload
 * refuses none; if it cannot be made, they end with NULL.
 */
vmops_redis_call_t *vmops_redis_command(vmops_redis_t *r, ngx_msec_t deadline,
    vmops_redis_pt cb, void *data, int argc, const ngx_str_t *argv);

/*
 * The owner of the callback goes away: it will not run.  The command itself
 * is not taken back.
 */
void vmops_redis_detach(vmops_redis_call_t *call);


/*
 * Subscribes to a shard channel.  Any number of subscriptions share one
 * SSUBSCRIBE; each goes on by itself after a reconnect.  state tells 1 when
 * messages come from now on, 0 when they no longer do (and 1 again later);
 * what was published in between is lost.  Both handlers may unsubscribe
 * anything.  The name is copied.  Returns NULL: no memory, or too many
 * channels.
 */
vmops_redis_sub_t *vmops_redis_subscribe(vmops_redis_t *r, ngx_str_t *channel,
    void (*message)(void *data, u_char *p, size_t n),
    void (*state)(void *data, ngx_uint_t subscribed), void *data);

/* neither handler runs any more */
void vmops_redis_unsubscribe(vmops_redis_sub_t *sub);


/*
 * What a function packed with cmsgpack: arrays of strings (or false: nil), at
 * most VMOPS_REDIS_PACKED_MAX of them.  The reply is of the pool, its strings
 * point into the text.  NULL: malformed, too many, or no memory.
 */
redisReply *vmops_redis_unpack(ngx_pool_t *pool, u_char *text, size_t n);

/* a flat array of fields and values, and behind them those of another one */
redisReply *vmops_redis_joined(ngx_pool_t *pool, redisReply *record,
    redisReply *more);

/*
 * A flat array of fields and values, of values without their names: those of
 * the n names and of the last one, or none at all.  What is no string is left
 * out.  NULL: it has another size, or no memory.
 */
redisReply *vmops_redis_named(ngx_pool_t *pool, redisReply *values,
    const char *const *names, size_t n, const char *last);

/*
 * A flat array of fields and values for vmops_redis_unpack() and cmsgpack, n at
 * most 32767, without those whose value is empty.  {NULL, 0}: no memory.
 */
vmops_span_t vmops_redis_pack(ngx_pool_t *pool, const char *const *names,
    const vmops_span_t *values, size_t n);


/* what a reply is, as far as the way to the store is concerned */

typedef enum {
    VMOPS_REDIS_OK = 0,            /* not an error */
    VMOPS_REDIS_ERROR,             /* an error of the command itself */
    VMOPS_REDIS_UNAVAILABLE,       /* NULL, or the server cannot serve it now:
                                      loading, read-only, full, cluster down */
    VMOPS_REDIS_TRYAGAIN,
    VMOPS_REDIS_MOVED,
    VMOPS_REDIS_ASK
} vmops_redis_answer_e;

typedef struct {
    ngx_uint_t       slot;
    ngx_str_t        addr;         /* in the reply */
} vmops_redis_redirect_t;

/* fills to (unless NULL) for MOVED and ASK; reply may be NULL */
vmops_redis_answer_e vmops_redis_redirect(redisReply *reply,
    vmops_redis_redirect_t *to);


#pragma GCC visibility pop


#endif /* _VMOPS_REDIS_H_INCLUDED_ */
