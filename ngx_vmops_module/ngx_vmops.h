
/*
 * ngx_vmops_module: the REST API.
 *
 * The way of a request, one file a step: request (lifetime, body) -> routes
 * (the table) -> auth, principal (who) -> a file per resource -> store (a Redis
 * function) -> render, response.  A step gets the operation and ends by calling
 * exactly one function of those marked "ends the step".
 */


#ifndef _NGX_VMOPS_H_INCLUDED_
#define _NGX_VMOPS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "vmops_action.h"
#include "vmops_beat.h"
#include "vmops_compat.h"
#include "vmops_envelope.h"
#include "vmops_hook.h"
#include "vmops_httpsig.h"
#include "vmops_keys.h"
#include "vmops_kinds.h"
#include "vmops_metrics.h"
#include "vmops_problem.h"
#include "vmops_proto.h"
#include "vmops_redis.h"
#include "vmops_sensitive.h"
#include "vmops_unsealed.h"
#include "vmops_vars.h"


#pragma GCC visibility push(hidden)


#define NGX_VMOPS_BASE         "/api/v1"
#define NGX_VMOPS_CAPTURES     3
#define NGX_VMOPS_HEADERS      6


typedef struct ngx_vmops_op_s         ngx_vmops_op_t;
typedef struct ngx_vmops_route_s      ngx_vmops_route_t;
typedef struct ngx_vmops_operation_s  ngx_vmops_operation_t;
typedef struct ngx_vmops_entry_s      ngx_vmops_entry_t;
typedef struct ngx_vmops_stream_s     ngx_vmops_stream_t;
typedef struct ngx_vmops_command_s    ngx_vmops_command_t;
typedef struct ngx_vmops_writer_s     ngx_vmops_writer_t;


/* configuration */

typedef struct {
    vmops_redis_conf_t         redis;
    ngx_flag_t                 has_redis;
    ngx_flag_t                 has_keys;
    const char                *has_api;        /* the directive that is one */

    ngx_int_t                  request_rate;   /* a minute, of a principal */
    ngx_int_t                  command_rate;   /* a minute, of a tenant */
    ngx_int_t                  open_commands;  /* of a tenant */

    u_char                     command_seed[32];
    u_char                     command_pk[32];
    u_char                     mac_key[32];
    u_char                     pepper[32];

    char                       command_key_id[VMOPS_KEY_ID_TEXT + 1];
    char                       mac_key_id[VMOPS_KEY_ID_TEXT + 1];
    char                       pepper_id[VMOPS_KEY_ID_TEXT + 1];
    ngx_int_t                  request_id;     /* index of $request_id */
    vmops_vars_t               vars;
    ngx_shm_zone_t            *metrics;        /* NULL: no vmops_api */
    vmops_span_t               openapi;        /* the API document */
} ngx_vmops_main_conf_t;


typedef struct {
    ngx_http_complex_value_t  *tenant;
    ngx_http_complex_value_t  *subject;
    ngx_http_complex_value_t  *role;
} ngx_vmops_principal_conf_t;


typedef struct {
    ngx_http_complex_value_t    *public_url;
    ngx_vmops_principal_conf_t  *principal;
    unsigned                     api:1;
} ngx_vmops_loc_conf_t;


/* what a worker has one of */

typedef struct {
    ngx_vmops_main_conf_t     *conf;
    vmops_redis_t             *redis;
    vmops_beat_t              *beat;
    vmops_hook_t              *hook;
    vmops_unsealed_t          *unsealed;
    vmops_metrics_t           *metrics;
    ngx_log_t                 *log;
} ngx_vmops_worker_t;


/* the Redis functions */

typedef enum {
#define VMOPS_FUNCTION(name, key, flags, args, reply, about)                  \
    NGX_VMOPS_FN_##name,
#include "vmops_functions.def"
#undef VMOPS_FUNCTION
    NGX_VMOPS_FN_MAX
} ngx_vmops_function_e;


/* principals */

typedef enum {
    NGX_VMOPS_NOBODY = 0,
    NGX_VMOPS_TOKEN,
    NGX_VMOPS_SESSION,             /* a console's: a cookie */
    NGX_VMOPS_VAR,                 /* nginx's variables: vmops_principal */
    NGX_VMOPS_PLATFORM,
    NGX_VMOPS_AGENT
} ngx_vmops_kind_e;

typedef enum {
    NGX_VMOPS_FOR_ANYONE = 0,      /* no credential is looked at */
    NGX_VMOPS_FOR_VIEWER,          /* roles: each includes those before it */
    NGX_VMOPS_FOR_OPERATOR,
    NGX_VMOPS_FOR_OWNER,
    NGX_VMOPS_FOR_PLATFORM,
    NGX_VMOPS_FOR_AGENT
} ngx_vmops_who_e;

/*
 * Immutable once made; shared by the cache and operations under way.  The
 * cache's next record of the same principal is another one.
 */

typedef struct {
    ngx_uint_t                 refs;
    ngx_vmops_kind_e           kind;
    ngx_vmops_who_e            role;

    vmops_span_t               tenant;
    vmops_span_t               key;            /* lookup text, agent id */
    vmops_span_t               subject;
    vmops_span_t               role_name;
    vmops_span_t               actor;          /* for the audit */
    vmops_span_t               csrf;           /* a session's */
    vmops_span_t               cohort;         /* the tenant's */

    vmops_flag_value_e         flags[VMOPS_FLAGS];  /* of the tenant itself */
    int64_t                    expires_ms;     /* 0: never */
    uint8_t                    ed_pk[32];      /* an agent's */

    unsigned                   suspended:1;    /* the tenant is */
    unsigned                   revoked:1;      /* the agent is */
} ngx_vmops_principal_t;

/* who a request says it is, before anybody was asked */

typedef struct {
    ngx_vmops_kind_e           kind;
    vmops_span_t               tenant;
    vmops_span_t               key;
    vmops_span_t               subject;
    vmops_span_t               role_name;
} ngx_vmops_claim_t;


/* operations */

typedef void (*ngx_vmops_step_pt)(ngx_vmops_op_t *op);
typedef void (*ngx_vmops_verdict_pt)(ngx_vmops_op_t *op, ngx_int_t verdict);
typedef void (*ngx_vmops_reply_pt)(ngx_vmops_op_t *op, redisReply *reply);
typedef ngx_int_t (*ngx_vmops_refusal_pt)(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);
typedef void (*ngx_vmops_draw_pt)(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);

typedef struct {
    const char                *name;
    vmops_span_t               value;
} ngx_vmops_header_t;

struct ngx_vmops_op_s {
    ngx_http_request_t        *request;        /* NULL: it has ended */
    const ngx_vmops_route_t   *route;
    vmops_span_t               tenant;         /* whose keys are meant */
    vmops_span_t               path[NGX_VMOPS_CAPTURES];

    /* the body */
    ngx_str_t                  body;
    size_t                     body_size;      /* allocated */
    ngx_vmops_step_pt          body_next;
    const vmops_json_t        *json;           /* checked; NULL: none came */

    /* the principal */
    vmops_httpsig_t           *httpsig;        /* of an agent's request */
    ngx_vmops_principal_t     *principal;
    ngx_vmops_entry_t         *entry;          /* where it is cached */
    ngx_uint_t                 cost;           /* requests to count */
    ngx_queue_t                waiting;        /* for the record */
    ngx_vmops_step_pt          known;
    ngx_vmops_verdict_pt       unknown;
    ngx_vmops_step_pt          admit;
    unsigned                   queued:1;

    /* the store's call under way */
    vmops_redis_call_t        *call;
    ngx_vmops_reply_pt         reply;
    ngx_vmops_refusal_pt       refusal;        /* NULL: refusals as they are */

    /* the answer */
    ngx_uint_t                 status;         /* of an item; 0: 200 */
    ngx_vmops_draw_pt          draw;           /* an item */
    ngx_vmops_header_t         headers[NGX_VMOPS_HEADERS];
    ngx_uint_t                 nheaders;
    const char                *location;       /* if it succeeds: path, id */
    vmops_span_t               location_id;

    ngx_vmops_stream_t        *stream;         /* what listens for events */
    ngx_vmops_command_t       *command;        /* to be shown */
    ngx_vmops_writer_t        *writer;         /* of page after page */
    void                      *data;           /* the resource's own */

    ngx_vmops_step_pt          admitted;       /* NULL: the route's handler */
    unsigned                   in_gate:1;      /* see ngx_vmops_gate() */
    unsigned                   passed:1;
};


/* module */

extern ngx_module_t           ngx_vmops_module;
extern ngx_vmops_worker_t     ngx_vmops_worker;

ngx_int_t ngx_vmops_public_url(ngx_http_request_t *r, ngx_str_t *url);


/* request */

ngx_int_t ngx_vmops_handler(ngx_http_request_t *r);
ngx_int_t ngx_vmops_gate(ngx_http_request_t *r, ngx_vmops_step_pt begin);

/* is the request's location one with vmops_legacy? */
ngx_uint_t ngx_vmops_legacy_location(ngx_http_request_t *r);
void ngx_vmops_proceed(ngx_vmops_op_t *op);                 /* ends the step */
void ngx_vmops_watch(ngx_vmops_op_t *op);
void ngx_vmops_read_body(ngx_vmops_op_t *op, ngx_vmops_step_pt next);
void ngx_vmops_finish(ngx_vmops_op_t *op, ngx_int_t rc);    /* ends the step */


/* dispatch */

void ngx_vmops_begin(ngx_vmops_op_t *op);
void ngx_vmops_admit(ngx_vmops_op_t *op);   /* for ngx_vmops_authenticate() */


/* auth: next runs with op->principal set.  Ends the step */

void ngx_vmops_authenticate(ngx_vmops_op_t *op, ngx_vmops_step_pt next);

/* what vmops_principal may say: any other value is nobody */
ngx_uint_t ngx_vmops_var_tenant_ok(vmops_span_t value);
ngx_uint_t ngx_vmops_var_subject_ok(vmops_span_t value);
ngx_uint_t ngx_vmops_var_role_ok(vmops_span_t value);

/* the claim of a token's text: NGX_OK, or NGX_ERROR: it has no such form */
ngx_int_t ngx_vmops_token_claim(ngx_vmops_claim_t *claim, char *lookup,
    vmops_span_t text);

vmops_span_t ngx_vmops_nonce(ngx_vmops_op_t *op);


/* session: the console's cookie, and what has to come with it */

/* NGX_OK, NGX_DECLINED: there is none, NGX_ERROR: it is of no use */
ngx_int_t ngx_vmops_session_cookie(ngx_http_request_t *r, vmops_span_t *value);

/* whether a request that changes something comes from the console itself */
ngx_uint_t ngx_vmops_session_same_site(ngx_vmops_op_t *op);


/* principal: the cache of records.  get and renew end the step */

void ngx_vmops_principal_init(void);
void ngx_vmops_principal_get(ngx_vmops_op_t *op, ngx_vmops_claim_t *claim,
    ngx_vmops_step_pt next);

/*
 * Counts the request of an agent, whose record alone is no proof; NGX_ERROR: it
 * is one too many, and the step has been ended.
 */
ngx_int_t ngx_vmops_principal_count(ngx_vmops_op_t *op);

/* again, in a long operation; one of the two runs, perhaps at once */
void ngx_vmops_principal_renew(ngx_vmops_op_t *op, ngx_vmops_step_pt next,
    ngx_vmops_verdict_pt refused);

/* requests to be told to the store with a call that counts them */
ngx_uint_t ngx_vmops_principal_cost(ngx_vmops_op_t *op);

/* the store is asked again before this principal does anything more */
void ngx_vmops_principal_forget(ngx_vmops_op_t *op);

void ngx_vmops_principal_leave(ngx_vmops_op_t *op);


/* identity: what a principal's record says */

ngx_vmops_who_e ngx_vmops_role(vmops_span_t name);
vmops_span_t ngx_vmops_kind_name(ngx_vmops_kind_e kind);
ngx_vmops_function_e ngx_vmops_kind_function(ngx_vmops_kind_e kind);
ngx_int_t ngx_vmops_claim_verify(ngx_vmops_claim_t *claim, redisReply *record);

/* a flag as it is now for the principal's tenant */
ngx_uint_t ngx_vmops_flag(ngx_vmops_principal_t *p, vmops_flag_e flag);

/* with one reference */
ngx_vmops_principal_t *ngx_vmops_principal_make(ngx_vmops_claim_t *claim,
    redisReply *record, redisReply *tenant);
void ngx_vmops_principal_free(ngx_vmops_principal_t *p);


/* store: calls of Redis functions */

#define NGX_VMOPS_STORE_OK  -1

/*
 * A call that belongs to no request.  key is the tenant or the selector, and
 * not used for the platform's functions.  An argument whose p is NULL is one
 * that no memory could be had for: there is no call then.
 */
vmops_redis_call_t *ngx_vmops_store_call(ngx_vmops_function_e fn,
    vmops_span_t key, const vmops_span_t *args, ngx_uint_t nargs,
    vmops_redis_pt cb, void *data);

/* NGX_VMOPS_STORE_OK, or a vmops_problem_t */
ngx_int_t ngx_vmops_store_code(redisReply *reply);

/*
 * Ends the step; next gets an "OK" only.  What the function refuses becomes
 * the problem, unless op->refusal is set: it answers NGX_OK when it has ended
 * the step itself, NGX_DECLINED otherwise.  It may run at once; reply is NULL
 * when the store did not answer.  The key is the operation's tenant,
 * and with a selector's function the first argument.
 */
void ngx_vmops_call(ngx_vmops_op_t *op, ngx_vmops_function_e fn,
    ngx_vmops_reply_pt next, const vmops_span_t *args, ngx_uint_t nargs);

#define ngx_vmops_invoke(op, fn, next, ...)                                   \
    ngx_vmops_call(op, NGX_VMOPS_FN_##fn, next,                               \
                   (vmops_span_t []) { __VA_ARGS__ },                         \
                   sizeof((vmops_span_t []) { __VA_ARGS__ })                  \
                   / sizeof(vmops_span_t))

/* an element; never NULL: an empty array stands in for what is not there */
redisReply *ngx_vmops_item(redisReply *reply, ngx_uint_t i);
vmops_span_t ngx_vmops_item_text(redisReply *reply, ngx_uint_t i);
int64_t ngx_vmops_item_int(redisReply *reply, ngx_uint_t i);

/* a field of a flat record; empty, or 0, where absent */
vmops_span_t ngx_vmops_field(redisReply *record, const char *name);
int64_t ngx_vmops_field_int(redisReply *record, const char *name);
ngx_uint_t ngx_vmops_field_is(redisReply *record, const char *name,
    const char *value);


/* record: MACs */

vmops_span_t ngx_vmops_key(u_char *text, const vmops_span_t *tenant,
    const char *what, vmops_span_t id);
void ngx_vmops_mac_read(vmops_record_t type, redisReply *record,
    vmops_span_t *values);
void ngx_vmops_mac_set(vmops_record_t type, vmops_span_t *values,
    const char *name, vmops_span_t value);
void ngx_vmops_mac_set_span(vmops_record_t type, vmops_span_t *values,
    vmops_span_t name, vmops_span_t value);
vmops_span_t ngx_vmops_mac(ngx_pool_t *pool, vmops_record_t type,
    vmops_span_t key, const vmops_span_t *values);
ngx_int_t ngx_vmops_mac_check(vmops_record_t type, vmops_span_t key,
    redisReply *record);


/* response: those of the first group end the step */

void ngx_vmops_problem(ngx_vmops_op_t *op, vmops_problem_t problem);
void ngx_vmops_problem_at(ngx_vmops_op_t *op, vmops_problem_t problem,
    const char *pointer, const char *code);
void ngx_vmops_problem_told(ngx_vmops_op_t *op, vmops_problem_t problem,
    vmops_span_t detail);          /* "<pointer> <code>", "": no field's */
void ngx_vmops_problem_header(ngx_vmops_op_t *op, const char *pointer);
void ngx_vmops_problem_limit(ngx_vmops_op_t *op, ngx_uint_t limit,
    ngx_msec_t reset);
void ngx_vmops_answer(ngx_vmops_op_t *op, ngx_uint_t status,
    ngx_vmops_draw_pt draw, redisReply *reply);
void ngx_vmops_answer_raw(ngx_vmops_op_t *op, const char *type,
    vmops_span_t body);
void ngx_vmops_no_content(ngx_vmops_op_t *op, redisReply *reply);

/* JSON of a reply in memory of the pool */
ngx_int_t ngx_vmops_draw(ngx_pool_t *pool, ngx_vmops_op_t *op,
    ngx_vmops_draw_pt draw, redisReply *reply, vmops_span_t *out);

/* headers of the answer to come */
void ngx_vmops_header(ngx_vmops_op_t *op, const char *name,
    vmops_span_t value);

/* a link to what the call makes; an answer has it, a problem has not */
void ngx_vmops_location(ngx_vmops_op_t *op, const char *path, vmops_span_t id);

ngx_int_t ngx_vmops_headers(ngx_vmops_op_t *op, ngx_uint_t status,
    const char *type);
ngx_int_t ngx_vmops_common_headers(ngx_http_request_t *r);
ngx_int_t ngx_vmops_push_header(ngx_http_request_t *r, const char *name,
    vmops_span_t value);
vmops_span_t ngx_vmops_request_id(ngx_http_request_t *r);

/* the access log's word for it */
void ngx_vmops_log_problem(ngx_http_request_t *r, vmops_problem_t problem);
void ngx_vmops_log_principal(ngx_http_request_t *r, ngx_vmops_kind_e kind,
    vmops_span_t tenant, vmops_span_t actor);


/* render: records as JSON, members of a body as arguments */

typedef enum {
    NGX_VMOPS_STRING = 0,          /* "" where absent */
    NGX_VMOPS_ARRAY,               /* JSON; [] where absent */
    NGX_VMOPS_OBJECT,              /* JSON; {} where absent */
    NGX_VMOPS_TEXT,                /* null where absent, as all below */
    NGX_VMOPS_JSON,
    NGX_VMOPS_BOOL,                /* of "1" and "0" */
    NGX_VMOPS_NUMBER,
    NGX_VMOPS_SECONDS,             /* of milliseconds */
    NGX_VMOPS_TIME                 /* of Unix milliseconds */
} ngx_vmops_value_e;

typedef struct {
    const char                *name;
    const char                *field;
    ngx_vmops_value_e          type;
} ngx_vmops_member_t;

typedef struct {
    vmops_span_t               cursor;
    vmops_span_t               limit;
} ngx_vmops_page_t;

void ngx_vmops_draw_members(vmops_jw_t *w, redisReply *record,
    const ngx_vmops_member_t *m);
void ngx_vmops_draw_value(vmops_jw_t *w, ngx_vmops_value_e type,
    vmops_span_t s);

/* answer with op->draw of a reply's one record, or of its page of them */
void ngx_vmops_answer_item(ngx_vmops_op_t *op, redisReply *reply);
void ngx_vmops_answer_list(ngx_vmops_op_t *op, redisReply *reply);

/* what a cursor of the list looks like; NGX_ERROR: the step has been ended */
ngx_int_t ngx_vmops_page(ngx_vmops_op_t *op, vmops_pattern_t cursor,
    ngx_vmops_page_t *page);

vmops_span_t ngx_vmops_value(ngx_vmops_op_t *op, const char *name);
vmops_span_t ngx_vmops_value_time(ngx_vmops_op_t *op, const char *name);
vmops_span_t ngx_vmops_argument(ngx_pool_t *pool, const vmops_json_t *node);


/* headers: lines of a proxied request that are not its client's; and of an
   answer that are not its upstream's */

typedef ngx_uint_t (*ngx_vmops_drop_pt)(ngx_table_elt_t *h);

ngx_int_t ngx_vmops_headers_in_drop(ngx_http_request_t *r,
    ngx_vmops_drop_pt drop);
ngx_int_t ngx_vmops_headers_in_add(ngx_http_request_t *r, const char *name,
    vmops_span_t value);
void ngx_vmops_headers_out_drop(ngx_http_request_t *r, const ngx_str_t *names);


/* util */

ngx_int_t ngx_vmops_header_in(ngx_http_request_t *r, const char *lowcase,
    vmops_span_t *value);
ngx_int_t ngx_vmops_if_match(ngx_http_request_t *r, vmops_span_t *version);
ngx_int_t ngx_vmops_arg(ngx_http_request_t *r, const char *name,
    vmops_span_t *value);
ngx_uint_t ngx_vmops_prefer_wait(ngx_http_request_t *r);
uint64_t ngx_vmops_now(void);                      /* Unix ms */
ngx_msec_t ngx_vmops_left(ngx_msec_t when);
vmops_span_t ngx_vmops_dup(ngx_pool_t *pool, vmops_span_t s);
vmops_span_t ngx_vmops_decimal(ngx_pool_t *pool, int64_t n);
vmops_span_t ngx_vmops_new_id(ngx_pool_t *pool);   /* a UUIDv7 */
vmops_span_t ngx_vmops_live(void);                 /* the argument "live" */

static ngx_inline vmops_span_t
ngx_vmops_span(ngx_str_t *s)
{
    return vmops_span(s->len ? s->data : (u_char *) "", s->len);
}

static ngx_inline vmops_span_t
ngx_vmops_bool(ngx_uint_t value)
{
    return vmops_span(value ? "1" : "0", 1);
}


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_H_INCLUDED_ */
