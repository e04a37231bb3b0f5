
/* calls of Redis functions (include/vmops_functions.def), and their replies */


#include "ngx_vmops.h"


typedef enum {
    NGX_VMOPS_KEY_TENANT = 0,
    NGX_VMOPS_KEY_PLATFORM,
    NGX_VMOPS_KEY_SELECTOR
} ngx_vmops_key_e;

typedef struct {
    ngx_str_t          name;
    const char        *function;       /* the same, as the table has it */
    ngx_vmops_key_e    key;
} ngx_vmops_function_t;


static void ngx_vmops_replied(void *data, redisReply *reply);
static void ngx_vmops_failed(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);
static void ngx_vmops_refused(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);


#define VMOPS_FUNCTION(name, key, flags, args, reply, about)                  \
    { ngx_string("vmops_" #name), #name, NGX_VMOPS_KEY_##key },

static const ngx_vmops_function_t  ngx_vmops_functions[] = {
#include "vmops_functions.def"
};

#undef VMOPS_FUNCTION


static redisReply  ngx_vmops_nothing = { .type = REDIS_REPLY_ARRAY };


vmops_redis_call_t *
ngx_vmops_store_call(ngx_vmops_function_e fn, vmops_span_t key,
    const vmops_span_t *args, ngx_uint_t nargs, vmops_redis_pt cb, void *data)
{
    u_char                       text[VMOPS_REDIS_KEY_MAX];
    ngx_str_t                    argv[VMOPS_REDIS_ARGS_MAX];
    ngx_uint_t                   i;
    const char                  *form;
    const ngx_vmops_function_t  *f;

    f = &ngx_vmops_functions[fn];

    if (nargs > VMOPS_REDIS_ARGS_MAX - 4) {
        return NULL;
    }

    if (f->key == NGX_VMOPS_KEY_TENANT) {
        vmops_unsealed_tell(ngx_vmops_worker.unsealed, key, f->function);
    }

    form = f->key == NGX_VMOPS_KEY_TENANT ? "tenants/{%*s}"
         : f->key == NGX_VMOPS_KEY_PLATFORM ? "platform/{p}"
         : "pairings/%*s";

    ngx_str_set(&argv[0], "FCALL");
    argv[1] = f->name;
    ngx_str_set(&argv[2], "1");

    argv[3].data = text;
    argv[3].len = ngx_snprintf(text, sizeof(text), form, key.n, key.p) - text;

    for (i = 0; i < nargs; i++) {
        if (args[i].p == NULL) {
            return NULL;
        }

        argv[4 + i].data = (u_char *) args[i].p;
        argv[4 + i].len = args[i].n;
    }

    return vmops_redis_command(ngx_vmops_worker.redis, VMOPS_REDIS_CALL_MS, cb,
                               data, 4 + nargs, argv);
}


void
ngx_vmops_call(ngx_vmops_op_t *op, ngx_vmops_function_e fn,
    ngx_vmops_reply_pt next, const vmops_span_t *args, ngx_uint_t nargs)
{
    vmops_span_t  key;

    key = op->tenant;

    if (ngx_vmops_functions[fn].key == NGX_VMOPS_KEY_SELECTOR) {
        key = *args++;
        nargs--;
    }

    op->reply = next;
    op->call = ngx_vmops_store_call(fn, key, args, nargs, ngx_vmops_replied,
                                    op);

    if (op->call == NULL) {
        ngx_vmops_failed(op, VMOPS_PROBLEM_store_unavailable, NULL);
        return;
    }

    ngx_vmops_watch(op);
}


static void
ngx_vmops_replied(void *data, redisReply *reply)
{
    ngx_vmops_op_t *op = data;

    ngx_int_t          code;
    ngx_connection_t  *c;

    c = op->request->connection;

    op->call = NULL;

    code = ngx_vmops_store_code(reply);

    if (code == NGX_VMOPS_STORE_OK) {
        op->refusal = NULL;
        op->reply(op, reply);

    } else {
        ngx_vmops_failed(op, code, reply);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_vmops_failed(ngx_vmops_op_t *op, ngx_int_t code, redisReply *reply)
{
    ngx_vmops_refusal_pt  refusal;

    refusal = op->refusal;
    op->refusal = NULL;

    if (refusal == NULL || refusal(op, code, reply) != NGX_OK) {
        ngx_vmops_refused(op, code, reply);
    }
}


/* a refusal may come with a detail */

static void
ngx_vmops_refused(ngx_vmops_op_t *op, ngx_int_t code, redisReply *reply)
{
    switch (code) {

    case VMOPS_PROBLEM_rate_limited:
        ngx_vmops_problem_limit(op, ngx_vmops_item_int(reply, 2),
                                ngx_vmops_item_int(reply, 1));
        return;

    case VMOPS_PROBLEM_bad_request:
    case VMOPS_PROBLEM_invalid_params:
    case VMOPS_PROBLEM_not_found:
        ngx_vmops_problem_told(op, code, ngx_vmops_item_text(reply, 1));
        return;

    default:
        ngx_vmops_problem(op, code);
    }
}


ngx_int_t
ngx_vmops_store_code(redisReply *reply)
{
    ngx_int_t     code;
    vmops_span_t  word;

    switch (vmops_redis_redirect(reply, NULL)) {

    case VMOPS_REDIS_OK:
        break;

    case VMOPS_REDIS_ERROR:
        ngx_log_error(NGX_LOG_ERR, ngx_vmops_worker.log, 0,
                      "redis refused a call: \"%*s\"",
                      (size_t) reply->len, reply->str);

        return VMOPS_PROBLEM_internal_error;

    default:
        return VMOPS_PROBLEM_store_unavailable;
    }

    word = ngx_vmops_item_text(reply, 0);

    if (vmops_span_is(word, "OK")) {
        vmops_metrics_ended(ngx_vmops_worker.metrics, reply);
        return NGX_VMOPS_STORE_OK;
    }

    code = vmops_problem_find(word);

    if (code < 0) {
        ngx_log_error(NGX_LOG_ALERT, ngx_vmops_worker.log, 0,
                      "a redis function answered \"%*s\", which is no problem",
                      word.n, word.p);

        return VMOPS_PROBLEM_internal_error;
    }

    return code;
}


redisReply *
ngx_vmops_item(redisReply *reply, ngx_uint_t i)
{
    if (reply->type != REDIS_REPLY_ARRAY || i >= reply->elements) {
        return &ngx_vmops_nothing;
    }

    return reply->element[i];
}


vmops_span_t
ngx_vmops_item_text(redisReply *reply, ngx_uint_t i)
{
    redisReply  *item;

    item = ngx_vmops_item(reply, i);

    if (item->type != REDIS_REPLY_STRING && item->type != REDIS_REPLY_STATUS) {
        return vmops_span("", 0);
    }

    return vmops_span(item->str, item->len);
}


int64_t
ngx_vmops_item_int(redisReply *reply, ngx_uint_t i)
{
    uint64_t     n;
    redisReply  *item;

    item = ngx_vmops_item(reply, i);

    if (item->type == REDIS_REPLY_INTEGER) {
        return item->integer;
    }

    if (vmops_dec_parse(ngx_vmops_item_text(reply, i), INT64_MAX, &n) != 0) {
        return 0;
    }

    return n;
}


vmops_span_t
ngx_vmops_field(redisReply *record, const char *name)
{
    size_t       n;
    ngx_uint_t   i;
    redisReply  *field;

    if (record->type != REDIS_REPLY_ARRAY) {
        return vmops_span("", 0);
    }

    n = ngx_strlen(name);

    for (i = 0; i + 1 < record->elements; i += 2) {
        field = record->element[i];

        if (field->len == n && field->type == REDIS_REPLY_STRING
            && ngx_memcmp(field->str, name, n) == 0)
        {
            return ngx_vmops_item_text(record, i + 1);
        }
    }

    return vmops_span("", 0);
}


int64_t
ngx_vmops_field_int(redisReply *record, const char *name)
{
    uint64_t  n;

    if (vmops_dec_parse(ngx_vmops_field(record, name), INT64_MAX, &n) != 0) {
        return 0;
    }

    return n;
}


ngx_uint_t
ngx_vmops_field_is(redisReply *record, const char *name, const char *value)
{
    return vmops_span_is(ngx_vmops_field(record, name), value);
}
