
/* What the files of ngx_agents_ws_module share; see docs/protocol.md */


#ifndef _NGX_AGENTS_WS_H_INCLUDED_
#define _NGX_AGENTS_WS_H_INCLUDED_


#include "vmops_compat.h"
#include "vmops_beat.h"
#include "vmops_hook.h"
#include "vmops_keyfile.h"
#include "vmops_metrics.h"
#include "vmops_redis.h"
#include "vmops_unsealed.h"
#include "vmops_vars.h"

#include "vmops_limits.h"
#include "vmops_problem.h"
#include "vmops_proto.h"
#include "vmops_ws_frame.h"


#pragma GCC visibility push(hidden)


/*
 * All waits of all sockets are in one wheel of slots, turned by one timer:
 * the ping interval and every deadline are shorter than a turn.
 */

#define NGX_AGENTS_WS_TICK       250       /* ms */
#define NGX_AGENTS_WS_SLOTS      256

#define NGX_AGENTS_WS_READ       65536     /* bytes of one recv() */
#define NGX_AGENTS_WS_READS      8         /* of one socket in a row */
#define NGX_AGENTS_WS_TEXT       131072    /* room to build one message */

#define NGX_AGENTS_WS_CALLS      32        /* of one session, not answered */
#define NGX_AGENTS_WS_ACKS       32        /* of one session, not told yet */
#define NGX_AGENTS_WS_TAKE       8         /* commands in one call */
#define NGX_AGENTS_WS_ORDER      16384     /* to unpack one handed over */
#define NGX_AGENTS_WS_FINISH     8         /* arguments of vmops_finish */
#define NGX_AGENTS_WS_REGISTER   256       /* sessions being registered */
#define NGX_AGENTS_WS_ACK_DELAY  100       /* ms: most results come sooner */


typedef struct ngx_agents_ws_session_s  ngx_agents_ws_session_t;
typedef struct ngx_agents_ws_tenant_s   ngx_agents_ws_tenant_t;
typedef struct ngx_agents_ws_call_s     ngx_agents_ws_call_t;
typedef struct ngx_agents_ws_frame_s    ngx_agents_ws_frame_t;


typedef struct {
    u_char                      seed[VMOPS_KEYFILE_SIZE];
    u_char                      mac[VMOPS_KEYFILE_SIZE];
    u_char                      command[64];        /* Ed25519 secret key */
    char                        id[VMOPS_KEY_ID_TEXT + 1];
    char                        mac_id[VMOPS_KEY_ID_TEXT + 1];
} ngx_agents_ws_keys_t;


typedef struct {
    vmops_redis_conf_t          redis;
    ngx_agents_ws_keys_t       *keys;
    ngx_shm_zone_t             *metrics;
    vmops_vars_t                vars;
    ngx_uint_t                  enabled;
} ngx_agents_ws_main_conf_t;


typedef struct {
    ngx_msec_t                  ping;
    ngx_uint_t                  enabled;
} ngx_agents_ws_loc_conf_t;


/* sockets of one client address that are not ready yet */

typedef struct {
    ngx_str_node_t              sn;
    ngx_uint_t                  count;
} ngx_agents_ws_address_t;


/* what a session needs until it is ready */

typedef struct {
    ngx_agents_ws_session_t    *session;
    ngx_event_t                 takeover;
    ngx_http_connection_t      *http;      /* has it when the request is over */
    ngx_agents_ws_address_t    *address;
    ngx_uint_t                  frames;
    ngx_msec_t                  asked;     /* when "hello" went out */
    ngx_uint_t                  passed;    /* its epoch was old by then */

    vmops_ws_auth_t             auth;
    u_char                      sig[VMOPS_SIG];
    u_char                      hash[VMOPS_HASH];   /* of T and sig */

    u_char                      host[1];
} ngx_agents_ws_hello_t;


/* a message that is still arriving */

typedef struct {
    vmops_ws_reasm_t            reasm;
    u_char                     *data;
    size_t                      len;
    size_t                      size;
} ngx_agents_ws_partial_t;


/* bytes that came before the session could take them */

typedef struct {
    size_t                      len;
    u_char                      data[1];
} ngx_agents_ws_held_t;


typedef enum {
    NGX_AGENTS_WS_HELLO = 0,       /* "auth" has to come */
    NGX_AGENTS_WS_AUTH,            /* it is looked into */
    NGX_AGENTS_WS_WELCOME,         /* "ready" has to come */
    NGX_AGENTS_WS_READYING,        /* channel subscribed, presence written */
    NGX_AGENTS_WS_READY
} ngx_agents_ws_state_e;


struct ngx_agents_ws_session_s {
    ngx_connection_t           *connection;
    ngx_pool_cleanup_t         *cleanup;
    ngx_agents_ws_loc_conf_t   *conf;
    ngx_agents_ws_tenant_t     *tenant;    /* since the signature held */
    ngx_agents_ws_hello_t      *hello;     /* until ready */
    ngx_agents_ws_partial_t    *partial;
    ngx_agents_ws_held_t       *held;
    ngx_agents_ws_frame_t      *out;       /* not yet sent */
    ngx_agents_ws_frame_t      *out_last;

    ngx_queue_t                 wheel;
    ngx_queue_t                 link;      /* of the tenant, or pending */
    ngx_queue_t                 reg;       /* to be registered */
    ngx_queue_t                 calls;
    ngx_queue_t                 acks;

    ngx_rbtree_node_t           node;      /* of the tenant's agents */

    vmops_uuid_t                agent;
    vmops_uuid_t                id;
    uint64_t                    epoch;
    uint64_t                    last_seq;  /* the agent has seen */
    uint64_t                    ctl;       /* counter of signed ctl */
    uint64_t                    head;      /* begins the h in its welcome */

    uint32_t                    seen;      /* ms: last bytes */
    uint32_t                    busy;      /* ms: last command or result */
    uint32_t                    out_bytes;
    uint16_t                    out_frames;
    uint16_t                    ncalls;
    uint16_t                    nacks;
    uint16_t                    code;      /* of the first Close; 0: no 101 */

    u_char                      state;     /* ngx_agents_ws_state_e */
    u_char                      platform;
    u_char                      version_len;
    u_char                      version[VMOPS_VERSION_MAX];

    unsigned                    registered:1;  /* in the tenant's agents */
    unsigned                    present:1;     /* the store may name it */
    unsigned                    approved:1;
    unsigned                    paused:1;      /* no reading for now */
    unsigned                    witness:1; /* was asked what it has seen */
    unsigned                    taking:1;
    unsigned                    again:1;       /* take once more */
    unsigned                    displaced:1;   /* is asked if it is alive */
    unsigned                    answered:1;    /* it is */
    unsigned                    behind:1;      /* given back: take, at first */
    unsigned                    owed:1;        /* an answer it did not get */
    unsigned                    closing:1;     /* our Close is queued */
    unsigned                    closed:1;      /* the peer's Close came */
    unsigned                    failed:1;      /* input is not read as frames */
    unsigned                    shut:1;        /* our direction is closed */
    unsigned                    full:1;        /* commands wait for room */
    unsigned                    stuck:1;       /* nothing sent since a look */
    unsigned                    dead:1;        /* to be freed */
};


/* the peer has to wait: for an answer of the store */

#define ngx_agents_ws_blocked(s)                                              \
    ((s)->paused || (s)->ncalls >= NGX_AGENTS_WS_CALLS)


struct ngx_agents_ws_tenant_s {
    ngx_str_node_t              sn;        /* name */
    ngx_str_t                   key;       /* tenants/{name} */
    u_char                      id[16];
    ngx_uint_t                  refs;      /* of sessions and calls */
    ngx_queue_t                 sessions;
    ngx_rbtree_t                agents;
    ngx_rbtree_node_t           sentinel;
    vmops_redis_sub_t          *sub;       /* what wakes */
    vmops_redis_sub_t          *orders;    /* what is handed over */
    ngx_uint_t                  waking;
    ngx_uint_t                  ordering;
    ngx_uint_t                  subscribed;  /* to both */
    ngx_msec_t                  lost;      /* when it last was not any more */
};


typedef void (*ngx_agents_ws_call_pt)(ngx_agents_ws_call_t *call,
    redisReply *reply);


/*
 * A call of a Redis function for a session.  It outlives the session: what the
 * reply asks for may have to be done all the same.
 */

struct ngx_agents_ws_call_s {
    ngx_queue_t                 queue;     /* of the session */
    const char                 *function;
    ngx_agents_ws_session_t    *session;   /* NULL: it is gone */
    ngx_agents_ws_tenant_t     *tenant;
    vmops_uuid_t                agent;
    vmops_uuid_t                id;        /* session */
    ngx_agents_ws_call_pt       handler;
    vmops_uuid_t                command;
    uint64_t                    version;   /* of a secret */
    u_char                      proven;    /* a result that has its order */
    u_char                      len;
    u_char                      text[VMOPS_REQUEST_ID_MAX];
};


/* a command, and which of the times that it was taken */

typedef struct {
    vmops_uuid_t                id;
    uint64_t                    turn;
} ngx_agents_ws_taken_t;


/* a frame that waits to be sent, header first */

struct ngx_agents_ws_frame_s {
    ngx_agents_ws_frame_t      *next;
    uint32_t                    len;
    uint32_t                    sent;
    ngx_uint_t                  has_command;
    ngx_agents_ws_taken_t       command;   /* delivered in vain if unsent */
    u_char                      data[1];
};


/* a command accepted a moment ago: "running" unless its result comes first */

typedef struct {
    ngx_queue_t                 queue;     /* of the worker, oldest first */
    ngx_queue_t                 link;      /* of the session */
    ngx_agents_ws_session_t    *session;
    vmops_uuid_t                command;
    uint64_t                    accepted;  /* Unix ms */
    ngx_msec_t                  due;
} ngx_agents_ws_ack_t;


typedef struct {
    ngx_agents_ws_main_conf_t  *conf;
    ngx_cycle_t                *cycle;
    ngx_log_t                  *log;

    vmops_redis_t              *redis;
    vmops_beat_t               *beat;
    vmops_hook_t               *hook;
    vmops_unsealed_t           *unsealed;

    ngx_queue_t                 wheel[NGX_AGENTS_WS_SLOTS];
    ngx_uint_t                  slot;
    ngx_msec_t                  turned;    /* when it was the slot's time */
    ngx_event_t                 tick;

    ngx_queue_t                 acks;
    ngx_event_t                 ack_timer;
    ngx_connection_t            dummy;     /* of the timers */

    ngx_queue_t                 pending;   /* sessions without a tenant */
    ngx_queue_t                 reg;       /* sessions to be registered */
    ngx_queue_t                 tells;     /* calls to be sent again */
    ngx_uint_t                  registering;
    ngx_rbtree_t                tenants;
    ngx_rbtree_node_t           tenants_sentinel;
    ngx_rbtree_t                addresses;
    ngx_rbtree_node_t           addresses_sentinel;

    vmops_metrics_t            *metrics;
    ngx_event_t                 sample;

    ngx_uint_t                  nsessions;
    ngx_uint_t                  nhello;    /* not ready yet */
    ngx_uint_t                  nframes;   /* not sent yet */
    ngx_uint_t                  exiting;   /* nothing is tried again */

    vmops_ws_reasm_t            reasm;     /* of the socket being read */
    u_char                     *read;
    u_char                     *text;      /* messages are built here, */
    u_char                     *payload;   /* and signed payloads here */
    u_char                     *memory;
    size_t                      memory_size;
    vmops_arena_t               arena;     /* of the message being handled */
} ngx_agents_ws_worker_t;


extern ngx_module_t  ngx_agents_ws_module;

/* NULL where there are no sockets: master, cache helpers, not configured */
extern ngx_agents_ws_worker_t  *ngx_agents_ws_worker;


/* ngx_agents_ws_module.c */

uint64_t ngx_agents_ws_now(void);
void ngx_agents_ws_timer(ngx_event_t *ev, ngx_event_handler_pt handler);

/* ngx_agents_ws_handshake.c */

ngx_int_t ngx_agents_ws_handler(ngx_http_request_t *r);
ngx_int_t ngx_agents_ws_header(ngx_http_request_t *r, const char *name,
    const u_char *value, size_t len);

/* ngx_agents_ws_accept.c */

ngx_int_t ngx_agents_ws_accept(ngx_http_request_t *r, ngx_str_t *key);
ngx_agents_ws_address_t *ngx_agents_ws_address(ngx_connection_t *c,
    ngx_uint_t create);
void ngx_agents_ws_hello_free(ngx_agents_ws_session_t *s);

/* ngx_agents_ws_session.c: the life of a socket */

void ngx_agents_ws_start(ngx_agents_ws_session_t *s);
void ngx_agents_ws_pause(ngx_agents_ws_session_t *s);
void ngx_agents_ws_resume(ngx_agents_ws_session_t *s);
void ngx_agents_ws_close(ngx_agents_ws_session_t *s, ngx_uint_t code,
    const char *reason);
void ngx_agents_ws_fail(ngx_agents_ws_session_t *s, ngx_uint_t code,
    const char *reason);
void ngx_agents_ws_drop(ngx_agents_ws_session_t *s);
void ngx_agents_ws_cleanup(void *data);
void ngx_agents_ws_read_handler(ngx_event_t *rev);
void ngx_agents_ws_flushed(ngx_agents_ws_session_t *s);

/* ngx_agents_ws_output.c */

/*
 * Queues a frame and sends what it can.  command: untaken if the frame does not
 * leave, or NULL.  NGX_OK, or NGX_DECLINED: the session is closing, or had to
 * be closed for its full queue.
 */
ngx_int_t ngx_agents_ws_send(ngx_agents_ws_session_t *s, ngx_uint_t opcode,
    const u_char *p, size_t n, const ngx_agents_ws_taken_t *command);
ngx_int_t ngx_agents_ws_send_msg(ngx_agents_ws_session_t *s,
    const vmops_msg_t *msg, const ngx_agents_ws_taken_t *command);
void ngx_agents_ws_flush(ngx_agents_ws_session_t *s);
void ngx_agents_ws_write_handler(ngx_event_t *wev);

/*
 * Whether a command of n bytes may be queued: some room is left to answer the
 * agent.  Otherwise it has to wait until the queue is empty, when take is
 * called, for at most VMOPS_WS_STUCK_MS without progress.
 */
ngx_uint_t ngx_agents_ws_room(ngx_agents_ws_session_t *s, size_t n);

/* frees frames of which nothing was sent (all: every frame), untakes theirs */
void ngx_agents_ws_out_discard(ngx_agents_ws_session_t *s, ngx_uint_t all);

/* ngx_agents_ws_wheel.c */

void ngx_agents_ws_wheel_init(ngx_agents_ws_worker_t *w);
void ngx_agents_ws_wheel_set(ngx_agents_ws_session_t *s, ngx_msec_t ms);
void ngx_agents_ws_wheel_turn(void);
void ngx_agents_ws_wheel_remove(ngx_agents_ws_session_t *s);
void ngx_agents_ws_exiting(void *data);

/* ngx_agents_ws_auth.c */

void ngx_agents_ws_auth(ngx_agents_ws_session_t *s,
    const vmops_msg_auth_t *m);
void ngx_agents_ws_agent_ready(ngx_agents_ws_session_t *s,
    const vmops_msg_ready_t *m);

/* ngx_agents_ws_registry.c */

void ngx_agents_ws_attach(ngx_agents_ws_session_t *s, vmops_span_t tenant);
void ngx_agents_ws_detach(ngx_agents_ws_session_t *s);
void ngx_agents_ws_tenant_release(ngx_agents_ws_tenant_t *t);
void ngx_agents_ws_register(ngx_agents_ws_session_t *s);
void ngx_agents_ws_register_again(ngx_agents_ws_session_t *s);
void ngx_agents_ws_register_pump(void);
void ngx_agents_ws_unregister(ngx_agents_ws_session_t *s);
void ngx_agents_ws_beat_handler(void *data, vmops_beat_event_e event);

/* the sessions of an agent in this worker, one after the other: mostly one */
ngx_agents_ws_session_t *ngx_agents_ws_find(ngx_agents_ws_tenant_t *t,
    const vmops_uuid_t *agent, ngx_agents_ws_session_t *after);

/* ngx_agents_ws_wake.c */

void ngx_agents_ws_wake(void *data, u_char *p, size_t n);

/* reads the agent's record anew, and does what has become of it */
void ngx_agents_ws_look(ngx_agents_ws_session_t *s);

/*
 * Another session took this one's place.  It is closed once it is known whether
 * it was alive: a pong within VMOPS_EPOCH_TAKEOVER_PING_MS, or none.
 */
void ngx_agents_ws_displaced(ngx_agents_ws_session_t *s);
void ngx_agents_ws_pong(ngx_agents_ws_session_t *s, vmops_span_t data);
void ngx_agents_ws_replaced(ngx_agents_ws_session_t *s);

/* the end of a session, when a function refused it */
void ngx_agents_ws_refused(ngx_agents_ws_session_t *s, redisReply *reply);

/* ngx_agents_ws_call.c */

/*
 * Calls a function of vmops_functions.def for a session, with its arguments.
 * NULL: the store is not there.  Otherwise handler (unless NULL) runs once; its
 * reply is an array that begins with a string, or NULL when there was none.
 */
ngx_agents_ws_call_t *ngx_agents_ws_call(ngx_agents_ws_session_t *s,
    const char *function, ngx_agents_ws_call_pt handler, ngx_uint_t argc,
    const vmops_span_t *argv);

/*
 * The same for what has to arrive even where no session is left: tried again
 * for some seconds.  Only for functions that can be called twice.
 */
void ngx_agents_ws_tell(ngx_agents_ws_tenant_t *t, const char *function,
    ngx_uint_t argc, const vmops_span_t *argv);
void ngx_agents_ws_tell_pump(void);

/*
 * A call for no session: handler may be NULL, and gets what the client got.
 * NGX_ERROR: it will not run.
 */
ngx_int_t ngx_agents_ws_fcall(ngx_str_t *key, const char *function,
    ngx_uint_t argc, const vmops_span_t *argv, vmops_redis_pt handler,
    void *data);

/* of such a call: the reply if it is "OK", NULL for whatever else it is */
redisReply *ngx_agents_ws_reply_ok(redisReply *reply, const char *function);

ngx_uint_t ngx_agents_ws_reply_is(redisReply *reply, const char *code);
vmops_span_t ngx_agents_ws_reply_span(redisReply *reply, size_t i);
redisReply *ngx_agents_ws_reply_array(redisReply *reply, size_t i);

/* values of the named fields of a flat array; an absent one is empty */
void ngx_agents_ws_fields(redisReply *record, const char *const *names,
    size_t n, vmops_span_t *values);

/* arguments, written to buf: of VMOPS_UUID_TEXT + 1, NGX_INT64_LEN bytes */

vmops_span_t ngx_agents_ws_uuid(char *buf, const vmops_uuid_t *id);
vmops_span_t ngx_agents_ws_number(u_char *buf, uint64_t n);

/* ngx_agents_ws_dispatch.c */

void ngx_agents_ws_take(ngx_agents_ws_session_t *s);
void ngx_agents_ws_handed(void *data, u_char *p, size_t n);
void ngx_agents_ws_untake(ngx_agents_ws_tenant_t *t, const vmops_uuid_t *agent,
    const vmops_uuid_t *session, const ngx_agents_ws_taken_t *command);

/* ngx_agents_ws_verify.c */

typedef struct {
    vmops_span_t                agent_id;
    vmops_span_t                ed_pk;
    vmops_span_t                approved;
    vmops_span_t                revoked;
} ngx_agents_ws_identity_t;

/* an agent's record (a flat array): NGX_OK if its MAC holds */
ngx_int_t ngx_agents_ws_identity(ngx_agents_ws_tenant_t *t,
    const vmops_uuid_t *agent, redisReply *record,
    ngx_agents_ws_identity_t *id);

/*
 * The payload of a taken command in out, at most cap bytes, and its number.
 * NGX_DECLINED: what it has to be made of does not hold, *why says what.
 * *command is set if the record has an id at all, otherwise zero.
 */
ngx_int_t ngx_agents_ws_build(ngx_agents_ws_tenant_t *t,
    const vmops_uuid_t *agent, redisReply *taken, vmops_uuid_t *command,
    uint64_t *seq, u_char *out, size_t cap, vmops_span_t *payload,
    const char **why);

/* ngx_agents_ws_message.c */

void ngx_agents_ws_message(ngx_agents_ws_session_t *s, ngx_uint_t opcode,
    const u_char *p, size_t n);

/* ngx_agents_ws_report.c: what an agent reports of its commands */

void ngx_agents_ws_on_ack(ngx_agents_ws_session_t *s, const vmops_msg_t *msg);
void ngx_agents_ws_on_progress(ngx_agents_ws_session_t *s,
    const vmops_msg_t *msg);
void ngx_agents_ws_on_log(ngx_agents_ws_session_t *s, const vmops_msg_t *msg);
void ngx_agents_ws_on_result(ngx_agents_ws_session_t *s,
    const vmops_msg_t *msg);
void ngx_agents_ws_ack_handler(ngx_event_t *ev);
void ngx_agents_ws_acks_tell(ngx_agents_ws_session_t *s);
void ngx_agents_ws_reported(ngx_agents_ws_call_t *call, redisReply *reply);

/* ngx_agents_ws_recover.c */

/*
 * A result that came with its order: the store is given what the order says,
 * in case that it has lost it.  NGX_DECLINED: the order does not hold.
 */
ngx_int_t ngx_agents_ws_recover(ngx_agents_ws_session_t *s,
    const vmops_msg_result_t *m, const vmops_result_t *r);

/* ngx_agents_ws_seal.c: the seals of the audit */

void ngx_agents_ws_seal_init(void);

/* the last seal an agent has seen, if it is another than it was told now */
void ngx_agents_ws_witness(ngx_agents_ws_session_t *s,
    const vmops_seal_t *seal);

/* ngx_agents_ws_ctl.c */

void ngx_agents_ws_ctl(ngx_agents_ws_session_t *s, vmops_ctl_t *ctl);
void ngx_agents_ws_rotate(ngx_agents_ws_session_t *s, vmops_span_t ref);

/* a signed end: code of the Close that follows */
void ngx_agents_ws_bye(ngx_agents_ws_session_t *s, ngx_uint_t close,
    const char *reason);

/* an unsigned pause */
void ngx_agents_ws_pause_bye(ngx_agents_ws_session_t *s, const char *code,
    ngx_msec_t retry, ngx_uint_t close);


#pragma GCC visibility pop


#endif /* _NGX_AGENTS_WS_H_INCLUDED_ */
