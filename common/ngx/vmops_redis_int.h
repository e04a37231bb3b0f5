
/* What the files of the Redis client share; see vmops_redis.h */


#ifndef _VMOPS_REDIS_INT_H_INCLUDED_
#define _VMOPS_REDIS_INT_H_INCLUDED_


#include "vmops_compat.h"
#include "vmops_limits.h"
#include "vmops_redis.h"


#pragma GCC visibility push(hidden)


#define VMOPS_REDIS_BUFFER  32768     /* of a connection, for sending */


typedef struct vmops_redis_conn_s     vmops_redis_conn_t;
typedef struct vmops_redis_channel_s  vmops_redis_channel_t;


/*
 * A connection's fault is logged once between two ready states: the reasons
 * already told are a bit mask.
 */

typedef enum {
    VMOPS_REDIS_LOST_CONNECT = 0,
    VMOPS_REDIS_LOST_SLOW,
    VMOPS_REDIS_LOST_TLS,
    VMOPS_REDIS_LOST_AUTH,
    VMOPS_REDIS_LOST_SERVING,
    VMOPS_REDIS_LOST_LIBRARY,
    VMOPS_REDIS_LOST_RIGHTS,
    VMOPS_REDIS_LOST_KEYS,
    VMOPS_REDIS_LOST_CLOSED,
    VMOPS_REDIS_LOST_HUNG,
    VMOPS_REDIS_LOST_PROTOCOL,
    VMOPS_REDIS_LOST_TOO_BIG,
    VMOPS_REDIS_LOST_MEMORY
} vmops_redis_lost_e;


struct vmops_redis_call_s {
    ngx_queue_t              queue;     /* in conn->calls or conn->again */
    ngx_rbtree_node_t        node;      /* in conn->deadlines, if timed */

    vmops_redis_pt           handler;
    void                    *data;

    u_char                  *cmd;       /* kept until the reply: TRYAGAIN */
    size_t                   len;

    unsigned                 timed:1;
    unsigned                 expired:1; /* its caller has had its NULL */
    unsigned                 sent:1;    /* at least in part: in conn->out */
};


struct vmops_redis_conn_s {
    vmops_redis_t           *client;
    const char              *role;

    ngx_peer_connection_t    peer;
    ngx_connection_t        *connection;
    ngx_uint_t               addr;
    ngx_msec_t               backoff;

    ngx_log_t                log;       /* ours */
    ngx_log_t                net_log;   /* nginx's own messages: silent while
                                           the same fault repeats */
    ngx_uint_t               told;
    ngx_err_t                err;       /* of connect() */

    ngx_event_t              timer;     /* backoff, or what is due first */
    ngx_msec_t               ready_by;  /* or the connection is given up */
    ngx_connection_t         dummy;

    redisReader             *reader;
    redisReplyObjectFunctions  objects; /* hiredis' own, with a limit */
    void                  *(*array)(const redisReadTask *task, int elements);
    size_t                   partial;   /* bytes of the unfinished reply */

    ngx_queue_t              calls;     /* in the order of their replies */
    ngx_queue_t             *unsent;    /* first not wholly in buf yet */
    size_t                   offset;    /* how much of it is */
    ngx_queue_t              again;     /* to repeat: TRYAGAIN; before the
                                           first connection: to send */
    ngx_msec_t               again_at;
    ngx_uint_t               ncalls;
    size_t                   bytes;     /* of the commands of all calls */
    size_t                   out;       /* of those that are sent */
    size_t                   gathered;  /* of those since the last send */

    ngx_rbtree_t             deadlines;
    ngx_rbtree_node_t        sentinel;
    ngx_msec_t               alive;     /* last bytes, or first call waiting */

    u_char                  *buf;
    u_char                  *pos;
    u_char                  *last;

    /* ready; not any more; 1: the reply was no answer to a call */
    void                   (*up)(vmops_redis_conn_t *conn);
    void                   (*down)(vmops_redis_conn_t *conn);
    ngx_uint_t             (*push)(vmops_redis_conn_t *conn,
                                   redisReply *reply);

    unsigned                 starting:1;  /* the first try of a worker */
    unsigned                 ready:1;
    unsigned                 full:1;    /* the limit is logged */
    unsigned                 commands:1;  /* not the subscriber */
};


typedef struct {
    void                   (*handler)(void *data, ngx_uint_t up);
    void                    *data;
} vmops_redis_state_t;


struct vmops_redis_s {
    vmops_redis_conf_t      *conf;
    ngx_pool_t              *pool;
    ngx_cycle_t             *cycle;
    ngx_array_t              states;    /* vmops_redis_state_t */
    uint64_t                 keys_since;

    vmops_redis_conn_t       cmd;

    /* subscriptions */
    vmops_redis_conn_t       sub;
    ngx_rbtree_t             channels;  /* ngx_str_rbtree */
    ngx_rbtree_node_t        sentinel;
    ngx_uint_t               nchannels;
    ngx_queue_t              idle;      /* to be subscribed */
    ngx_queue_t              active;    /* asked for, or subscribed */
    ngx_queue_t              failed;    /* idle again with the next tick */
    ngx_queue_t              changed;   /* subscribers to be told */
    ngx_queue_t             *cursor;    /* next one to have a message */
    ngx_event_t              notify;
    ngx_event_t              tick;
    ngx_connection_t         dummy;
    unsigned                 started:1;
    unsigned                 refused:1; /* a refusal is logged */
};


/* vmops_redis_conn.c */

void vmops_redis_conn_init(vmops_redis_conn_t *conn, vmops_redis_t *r,
    const char *role);
void vmops_redis_connect(vmops_redis_conn_t *conn);
void vmops_redis_conn_close(vmops_redis_conn_t *conn);
void vmops_redis_lost(vmops_redis_conn_t *conn, vmops_redis_lost_e why,
    ngx_str_t *detail);
void vmops_redis_timer(ngx_event_t *ev, ngx_connection_t *dummy,
    ngx_log_t *log, void *data, ngx_event_handler_pt handler);

/* vmops_redis_setup.c */

void vmops_redis_setup(vmops_redis_conn_t *conn);

/* vmops_redis_io.c */

void vmops_redis_read(vmops_redis_conn_t *conn);
void vmops_redis_read_handler(ngx_event_t *rev);
void vmops_redis_write_handler(ngx_event_t *wev);
void vmops_redis_send(vmops_redis_conn_t *conn);

/* vmops_redis_call.c */

/* deadline 0: a call of the setup, which has its own */
vmops_redis_call_t *vmops_redis_call(vmops_redis_conn_t *conn,
    ngx_msec_t deadline, vmops_redis_pt handler, void *data, int argc,
    const ngx_str_t *argv);
ngx_uint_t vmops_redis_call_is(vmops_redis_call_t *call, int argc,
    const ngx_str_t *argv);
ngx_int_t vmops_redis_answer(vmops_redis_conn_t *conn, redisReply *reply);
void vmops_redis_fail_all(vmops_redis_conn_t *conn);
void vmops_redis_deadlines(ngx_event_t *ev);
void vmops_redis_arm(vmops_redis_conn_t *conn);
void vmops_redis_again(vmops_redis_conn_t *conn);

/* vmops_redis_sub.c */

void vmops_redis_sub_init(vmops_redis_t *r);
void vmops_redis_sub_close(vmops_redis_t *r);

/* vmops_redis_reply.c */

/* the first word of an error reply: all of it that may be logged */
ngx_str_t vmops_redis_code(redisReply *reply);
ngx_uint_t vmops_redis_is(redisReply *reply, const char *word);


#pragma GCC visibility pop


#endif /* _VMOPS_REDIS_INT_H_INCLUDED_ */
