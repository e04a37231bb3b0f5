
/* commands: reading them, their receipt, lists, cancelling */


#include "ngx_vmops_routes.h"
#include "ngx_vmops_commands.h"


/* a page of the catalogue; a cursor is how many are before it */

typedef struct {
    uint64_t  first;
    uint64_t  limit;
} ngx_vmops_actions_t;


static void ngx_vmops_actions_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static ngx_int_t ngx_vmops_command_create(ngx_vmops_op_t *op);
static void ngx_vmops_command_read(ngx_vmops_op_t *op, redisReply *reply);
static ngx_int_t ngx_vmops_command_begin(ngx_vmops_op_t *op,
    redisReply *reply);
static ngx_int_t ngx_vmops_command_keep(ngx_vmops_command_t *c,
    redisReply *record);
static void ngx_vmops_command_signed(ngx_vmops_op_t *op, redisReply *reply);
static ngx_int_t ngx_vmops_command_unsigned(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);
static void ngx_vmops_command_receipt(ngx_vmops_op_t *op, vmops_span_t key,
    ngx_int_t verdict);
static ngx_int_t ngx_vmops_command_verify(ngx_vmops_op_t *op,
    ngx_vmops_command_t *c, vmops_span_t key);
static ngx_uint_t ngx_vmops_result_same(ngx_pool_t *pool,
    const vmops_result_t *r, vmops_span_t result);
static void ngx_vmops_command_verdict(ngx_vmops_op_t *op,
    ngx_vmops_command_t *c, ngx_uint_t verified);
static void ngx_vmops_command_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_command_cancelled(ngx_vmops_op_t *op, redisReply *reply);


ngx_uint_t
ngx_vmops_command_final(vmops_span_t status)
{
    int  n;

    n = vmops_status_find(status);

    return n >= 0 && vmops_status_is_final(n);
}


void
ngx_vmops_actions(ngx_vmops_op_t *op)
{
    ngx_vmops_page_t      page;
    ngx_vmops_actions_t  *at;

    at = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_actions_t));
    if (at == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    op->data = at;

    if (ngx_vmops_page(op, VMOPS_P_NONE, &page) != NGX_OK) {
        return;
    }

    if (vmops_dec_parse(page.limit, VMOPS_LIST_LIMIT_MAX, &at->limit) != 0) {
        /* it was good: there was no memory for it */
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    if (page.cursor.n
        && vmops_dec_parse(page.cursor, VMOPS_ACT_MAX_, &at->first) != 0)
    {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_bad_request, "/cursor",
                             "pattern");
        return;
    }

    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_actions_draw, NULL);
}


static void
ngx_vmops_actions_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    u_char                text[NGX_INT64_LEN];
    uint64_t              i, end;
    vmops_span_t          cursor;
    ngx_vmops_actions_t  *at;

    at = op->data;
    end = ngx_min(at->first + at->limit, VMOPS_ACT_MAX_);

    vmops_jw_obj(w);
    vmops_jw_key(w, "items");
    vmops_jw_arr(w);

    for (i = at->first; i < end; i++) {
        vmops_action_entry(w, vmops_action_at(i));
    }

    vmops_jw_arr_end(w);

    cursor = vmops_span(text, end < VMOPS_ACT_MAX_
                              ? ngx_sprintf(text, "%uL", end) - text : 0);

    vmops_jw_key(w, "next_cursor");
    ngx_vmops_draw_value(w, NGX_VMOPS_TEXT, cursor);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_command_get(ngx_vmops_op_t *op)
{
    if (ngx_vmops_command_create(op) == NGX_OK) {
        ngx_vmops_command_fetch(op);
    }
}


/* NGX_ERROR: the step has been ended */

static ngx_int_t
ngx_vmops_command_create(ngx_vmops_op_t *op)
{
    ngx_vmops_command_t  *c;

    c = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_command_t));
    if (c == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return NGX_ERROR;
    }

    c->pool = op->request->pool;
    c->id = op->path[0];
    c->next = ngx_vmops_command_answer;

    op->command = c;

    return NGX_OK;
}


void
ngx_vmops_command_answer(ngx_vmops_op_t *op)
{
    ngx_vmops_answer(op, op->status ? op->status : NGX_HTTP_OK,
                     ngx_vmops_command_draw, NULL);
}


static void
ngx_vmops_command_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    vmops_jw_raw(w, op->command->json);
}


void
ngx_vmops_command_fetch(ngx_vmops_op_t *op)
{
    op->refusal = op->command->refused;

    ngx_vmops_invoke(op, command_get, ngx_vmops_command_read, op->command->id);
}


/*
 * All but the receipt is drawn now, while the reply is there; the object is
 * closed when the agent's key has come.
 */

static void
ngx_vmops_command_read(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_command_t  *c;

    c = op->command;

    if (ngx_vmops_command_begin(op, reply) != NGX_OK) {
        return;
    }

    op->refusal = ngx_vmops_command_unsigned;

    ngx_vmops_invoke(op, agent_get, ngx_vmops_command_signed, c->agent_id,
                     ngx_vmops_live());
}


/* NGX_DONE: that was all of it; NGX_ERROR: the step has been ended */

static ngx_int_t
ngx_vmops_command_begin(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_command_t  *c;

    c = op->command;

    if (ngx_vmops_draw(c->pool, op, ngx_vmops_command_open_draw, reply,
                       &c->json)
        != NGX_OK
        || ngx_vmops_command_keep(c, ngx_vmops_item(reply, 1)) != NGX_OK)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return NGX_ERROR;
    }

    if (c->signature.n == 0) {
        ngx_vmops_command_receipt(op, vmops_span(NULL, 0), NGX_DECLINED);
        return NGX_DONE;
    }

    return NGX_OK;
}


/*
 * A verdict is kept by who reads the record: here it would cost the store
 * another call for every command that is waited for.
 */

void
ngx_vmops_command_told(ngx_vmops_op_t *op, redisReply *record,
    redisReply *agent)
{
    u_char                text[VMOPS_REDIS_KEY_MAX];
    redisReply            reply, *elements[2];
    vmops_span_t          key;
    ngx_vmops_command_t  *c;

    c = op->command;

    ngx_memzero(&reply, sizeof(redisReply));

    elements[0] = record;
    elements[1] = record;

    reply.type = REDIS_REPLY_ARRAY;
    reply.elements = 2;
    reply.element = elements;

    if (ngx_vmops_command_begin(op, &reply) != NGX_OK) {
        return;
    }

    key = ngx_vmops_field(agent, "ed_pk");

    if (ngx_vmops_mac_check(VMOPS_RECORD_agent,
                            ngx_vmops_key(text, &op->tenant, "agents",
                                          c->agent_id),
                            agent)
        != NGX_OK
        || ngx_vmops_command_verify(op, c, key) != NGX_OK)
    {
        ngx_vmops_command_fetch(op);
        return;
    }

    ngx_vmops_command_receipt(op, key, NGX_OK);
}


static ngx_int_t
ngx_vmops_command_keep(ngx_vmops_command_t *c, redisReply *record)
{
    ngx_uint_t  i;

    const struct {
        const char     *name;
        vmops_span_t   *to;
    } fields[] = {
        { "receipt_payload", &c->payload },
        { "receipt_signature", &c->signature },
        { "receipt_verdict", &c->verdict },
        { "agent_id", &c->agent_id },
        { "status", &c->status },
        { "result", &c->result },
        { "error_code", &c->error },
        { "ev0", &c->first }
    };

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        *fields[i].to = ngx_vmops_dup(c->pool,
                                      ngx_vmops_field(record, fields[i].name));

        if (fields[i].to->p == NULL) {
            return NGX_ERROR;
        }
    }

    c->final = ngx_vmops_command_final(c->status);

    return NGX_OK;
}


static void
ngx_vmops_command_signed(ngx_vmops_op_t *op, redisReply *reply)
{
    u_char                text[VMOPS_REDIS_KEY_MAX];
    ngx_int_t             verdict;
    redisReply           *agent;
    vmops_span_t          key;
    ngx_vmops_command_t  *c;

    c = op->command;
    agent = ngx_vmops_item(reply, 1);

    key = ngx_vmops_field(agent, "ed_pk");

    if (ngx_vmops_mac_check(VMOPS_RECORD_agent,
                            ngx_vmops_key(text, &op->tenant, "agents",
                                          c->agent_id),
                            agent)
        != NGX_OK)
    {
        /* whose key this is nobody knows: nothing to keep, or to show */
        key = vmops_span(NULL, 0);
        verdict = NGX_ERROR;

    } else if (c->verdict.n) {
        verdict = vmops_span_is(c->verdict, "1") ? NGX_OK : NGX_ERROR;

    } else {
        verdict = ngx_vmops_command_verify(op, c, key);
        ngx_vmops_command_verdict(op, c, verdict == NGX_OK);
    }

    ngx_vmops_command_receipt(op, key, verdict);
}


static ngx_int_t
ngx_vmops_command_unsigned(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply)
{
    if (code != VMOPS_PROBLEM_not_found) {
        return op->command->refused ? op->command->refused(op, code, reply)
                                    : NGX_DECLINED;
    }

    ngx_vmops_command_receipt(op, vmops_span(NULL, 0), NGX_ERROR);

    return NGX_OK;
}


static void
ngx_vmops_command_receipt(ngx_vmops_op_t *op, vmops_span_t key,
    ngx_int_t verdict)
{
    size_t                size;
    u_char               *p;
    vmops_jw_t            w;
    ngx_vmops_command_t  *c;

    c = op->command;

    size = c->json.n + c->payload.n + c->signature.n + key.n
           + sizeof(",\"receipt\":{\"payload\":\"\",\"signature\":\"\","
                    "\"key\":null,\"verified\":false}}");

    p = ngx_pnalloc(c->pool, size);
    if (p == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    vmops_jw_init(&w, p, size);
    vmops_jw_raw(&w, c->json);
    vmops_jw_key(&w, "receipt");

    if (verdict == NGX_DECLINED) {
        vmops_jw_null(&w);

    } else {
        vmops_jw_obj(&w);
        vmops_jw_kstr(&w, "payload", c->payload);
        vmops_jw_kstr(&w, "signature", c->signature);
        vmops_jw_kstr(&w, "key", key);
        vmops_jw_kbool(&w, "verified", verdict == NGX_OK);
        vmops_jw_obj_end(&w);
    }

    vmops_jw_obj_end(&w);

    if (vmops_jw_done(&w, &c->json) != 0) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    c->next(op);
}


/* the agent's signature, over what the record says */

static ngx_int_t
ngx_vmops_command_verify(ngx_vmops_op_t *op, ngx_vmops_command_t *c,
    vmops_span_t key)
{
    char             id[VMOPS_UUID_TEXT + 1];
    size_t           n;
    uint8_t         *payload, sig[VMOPS_SIG], pk[32], tenant16[16];
    vmops_uuid_t     agent;
    vmops_arena_t    arena;
    vmops_result_t   r;

    n = c->payload.n + vmops_json_arena_size(c->payload.n);

    payload = ngx_palloc(c->pool, n);

    if (payload == NULL
        || vmops_b64u_decode(payload, c->payload.n, &n, c->payload) != 0
        || vmops_b64u_decode_exact(sig, VMOPS_SIG, c->signature) != 0
        || vmops_b64u_decode_exact(pk, 32, key) != 0
        || vmops_uuid_parse(&agent, c->agent_id) != 0)
    {
        return NGX_ERROR;
    }

    vmops_tenant16(tenant16, op->tenant);

    if (vmops_payload_verify(sig, VMOPS_SIGNED_RESULT, tenant16, &agent, NULL,
                             vmops_span(payload, n), pk)
        != 0)
    {
        return NGX_ERROR;
    }

    vmops_arena_init(&arena, payload + c->payload.n,
                     vmops_json_arena_size(c->payload.n));

    if (vmops_result_parse(&r, &arena, vmops_span(payload, n)) != 0) {
        return NGX_ERROR;
    }

    vmops_uuid_format(id, &r.id);

    return vmops_span_is(c->id, id)
           && vmops_span_is(c->status, vmops_status_name(r.status))
           && vmops_span_eq(c->error, r.error_code)
           && ngx_vmops_result_same(c->pool, &r, c->result)
           ? NGX_OK : NGX_ERROR;
}


static ngx_uint_t
ngx_vmops_result_same(ngx_pool_t *pool, const vmops_result_t *r,
    vmops_span_t result)
{
    if (!vmops_json_is(r->result.node, VMOPS_JSON_OBJECT)) {
        return result.n == 0;
    }

    return vmops_span_eq(ngx_vmops_argument(pool, r->result.node), result);
}


static void
ngx_vmops_command_verdict(ngx_vmops_op_t *op, ngx_vmops_command_t *c,
    ngx_uint_t verified)
{
    vmops_span_t  args[2];

    args[0] = c->id;
    args[1] = ngx_vmops_bool(verified);

    (void) ngx_vmops_store_call(NGX_VMOPS_FN_command_verdict, op->tenant, args,
                                2, NULL, NULL);
}


void
ngx_vmops_command_list(ngx_vmops_op_t *op)
{
    ngx_uint_t        i;
    vmops_span_t      filter[3];
    ngx_vmops_page_t  page;

    static const struct {
        const char       *pointer;
        vmops_pattern_t   pattern;
        const char       *code;
    } filters[] = {
        { "/status", VMOPS_P_NONE, "value" },
        { "/vm_uuid", VMOPS_P_UUID, "pattern" },
        { "/agent_id", VMOPS_P_UUID, "pattern" }
    };

    /* the store knows what a cursor of this list is */

    if (ngx_vmops_page(op, VMOPS_P_NONE, &page) != NGX_OK) {
        return;
    }

    for (i = 0; i < 3; i++) {
        filter[i] = vmops_span("", 0);

        if (ngx_vmops_arg(op->request, filters[i].pointer + 1, &filter[i])
            != NGX_OK
            || filter[i].n == 0)
        {
            continue;
        }

        if (filters[i].pattern == VMOPS_P_NONE
            ? vmops_status_find(filter[i]) < 0
            : !vmops_pattern_match(filters[i].pattern, filter[i]))
        {
            ngx_vmops_problem_at(op, VMOPS_PROBLEM_bad_request,
                                 filters[i].pointer, filters[i].code);
            return;
        }
    }

    op->draw = ngx_vmops_command_list_draw;

    ngx_vmops_invoke(op, command_list, ngx_vmops_answer_list, page.cursor,
                     page.limit, filter[0], filter[1], filter[2]);
}


void
ngx_vmops_command_cancel(ngx_vmops_op_t *op)
{
    if (ngx_vmops_command_create(op) != NGX_OK) {
        return;
    }

    op->status = NGX_HTTP_ACCEPTED;

    ngx_vmops_invoke(op, command_cancel, ngx_vmops_command_cancelled,
                     op->principal->actor, op->path[0]);
}


static void
ngx_vmops_command_cancelled(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_command_fetch(op);
}
