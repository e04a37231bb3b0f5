
/*
 * POST /agents/register: nobody's call, but for the code and the signature
 * (docs/protocol.md, Pairing).  Whatever is wrong with the code has one answer,
 * and counts against the address: from before the try is made, so that many at
 * once are no more than one after the other.
 */


#include "ngx_vmops_routes.h"


typedef struct {
    char              code[VMOPS_PAIRING_CODE + 1];
    char              lookup[VMOPS_LOOKUP_TEXT + 1];

    uint8_t           ed_pk[32];
    uint8_t           x_pk[32];
    uint8_t           kid[32];
    uint8_t           sig[VMOPS_SIG];

    vmops_span_t      agent_id;
    vmops_span_t      pairing_id;
    vmops_span_t      status;          /* as it was registered */
    vmops_span_t      created_by;
    ngx_int_t         refused;         /* a vmops_problem_t, if it was not */
    unsigned          signature_ok:1;
} ngx_vmops_register_ctx_t;


static void ngx_vmops_register_try(ngx_vmops_op_t *op, const char *tries,
    ngx_vmops_reply_pt next);
static void ngx_vmops_register_allowed(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_register_selected(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_register_found(ngx_vmops_op_t *op, redisReply *reply);
static ngx_int_t ngx_vmops_register_refused(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);
static void ngx_vmops_registered(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_register_not_failed(ngx_vmops_op_t *op);
static ngx_int_t ngx_vmops_register_counted(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);
static void ngx_vmops_register_answer(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_registered_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);


static const char *const  ngx_vmops_platforms[] = { "linux", "windows", NULL };

static const vmops_json_field_t  ngx_vmops_register_fields[] = {
    { .name = "code", .type = VMOPS_FT_STRING, .min = 1,
      .max = VMOPS_NAME_MAX },
    { .name = "ed25519_pk", .type = VMOPS_FT_STRING, .min = VMOPS_B64U_LEN(32),
      .max = VMOPS_B64U_LEN(32), .pattern = VMOPS_P_B64U },
    { .name = "x25519_pk", .type = VMOPS_FT_STRING, .min = VMOPS_B64U_LEN(32),
      .max = VMOPS_B64U_LEN(32), .pattern = VMOPS_P_B64U },
    { .name = "kid", .type = VMOPS_FT_STRING, .min = VMOPS_B64U_LEN(32),
      .max = VMOPS_B64U_LEN(32), .pattern = VMOPS_P_B64U },
    { .name = "platform", .type = VMOPS_FT_STRING,
      .values = ngx_vmops_platforms },
    { .name = "name", .type = VMOPS_FT_STRING, .min = VMOPS_NAME_MIN,
      .max = VMOPS_NAME_MAX, .pattern = VMOPS_P_TEXT },
    { .name = "hostname", .type = VMOPS_FT_STRING, .min = 1,
      .max = VMOPS_HOSTNAME_MAX, .pattern = VMOPS_P_TEXT },
    { .name = "version", .type = VMOPS_FT_STRING, .min = 1,
      .max = VMOPS_VERSION_MAX, .pattern = VMOPS_P_VERSION },
    { .name = "signature", .type = VMOPS_FT_STRING, .min = VMOPS_B64U_LEN(64),
      .max = VMOPS_B64U_LEN(64), .pattern = VMOPS_P_B64U }
};

const ngx_vmops_body_t  ngx_vmops_register_body =
    ngx_vmops_body(ngx_vmops_register_fields);


void
ngx_vmops_register(ngx_vmops_op_t *op)
{
    ngx_vmops_register_ctx_t  *ctx;

    ctx = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_register_ctx_t));
    if (ctx == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    op->data = ctx;
    ctx->refused = NGX_VMOPS_STORE_OK;

    /* the table has seen to their lengths */

    if (vmops_b64u_decode_exact(ctx->ed_pk, 32,
                                ngx_vmops_value(op, "ed25519_pk"))
        != 0
        || vmops_b64u_decode_exact(ctx->x_pk, 32,
                                   ngx_vmops_value(op, "x25519_pk"))
           != 0
        || vmops_b64u_decode_exact(ctx->kid, 32, ngx_vmops_value(op, "kid"))
           != 0
        || vmops_b64u_decode_exact(ctx->sig, VMOPS_SIG,
                                   ngx_vmops_value(op, "signature"))
           != 0)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_invalid_params);
        return;
    }

    ngx_vmops_register_try(op, "1", ngx_vmops_register_allowed);
}


/* a failed try of the address more, or one less */

static void
ngx_vmops_register_try(ngx_vmops_op_t *op, const char *tries,
    ngx_vmops_reply_pt next)
{
    ngx_vmops_invoke(op, pairing_allow, next,
                     ngx_vmops_span(&op->request->connection->addr_text),
                     ngx_vmops_decimal(op->request->pool,
                                       VMOPS_PAIRING_FAILED_PER_MIN),
                     vmops_span_str(tries));
}


static void
ngx_vmops_register_allowed(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_register_ctx_t *ctx = op->data;

    vmops_register_t  r;

    if (vmops_pairing_code_normalise(ctx->code, ngx_vmops_value(op, "code"))
        != 0)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_pairing_invalid);
        return;
    }

    r.code = vmops_span(ctx->code, VMOPS_PAIRING_CODE);
    r.ed_pk = ctx->ed_pk;
    r.x_pk = ctx->x_pk;
    r.kid = ctx->kid;
    r.platform = ngx_vmops_value(op, "platform");
    r.name = ngx_vmops_value(op, "name");
    r.hostname = ngx_vmops_value(op, "hostname");

    ctx->signature_ok = vmops_register_verify(ctx->sig, &r) == 0;

    vmops_lookup_text(ctx->lookup, ngx_vmops_worker.conf->pepper, r.code);

    op->refusal = ngx_vmops_register_refused;

    ngx_vmops_invoke(op, selector_get, ngx_vmops_register_selected,
                     vmops_span(ctx->code, VMOPS_PAIRING_SELECTOR));
}


static void
ngx_vmops_register_selected(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_register_ctx_t *ctx = op->data;

    op->tenant = ngx_vmops_dup(op->request->pool,
                               ngx_vmops_item_text(reply, 1));
    ctx->pairing_id = ngx_vmops_dup(op->request->pool,
                                    ngx_vmops_item_text(reply, 2));

    op->refusal = ngx_vmops_register_refused;

    ngx_vmops_invoke(op, pairing_get, ngx_vmops_register_found,
                     ctx->pairing_id);
}


static void
ngx_vmops_register_found(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_register_ctx_t *ctx = op->data;

    u_char          text[VMOPS_REDIS_KEY_MAX];
    ngx_pool_t     *pool;
    redisReply     *pairing;
    vmops_span_t    values[VMOPS_RECORD_FIELDS_MAX], approved, mac;

    pool = op->request->pool;
    pairing = ngx_vmops_item(reply, 1);

    /* the agent whose keys it replaces, or a new one */

    ctx->agent_id = ngx_vmops_field(pairing, "agent_id");
    ctx->agent_id = ctx->agent_id.n ? ngx_vmops_dup(pool, ctx->agent_id)
                                    : ngx_vmops_new_id(pool);

    approved = ngx_vmops_bool(ngx_vmops_field_is(pairing, "auto_approve", "1"));

    ngx_memzero(values, sizeof(values));
    ngx_vmops_mac_set(VMOPS_RECORD_agent, values, "agent_id", ctx->agent_id);
    ngx_vmops_mac_set(VMOPS_RECORD_agent, values, "ed_pk",
                      ngx_vmops_value(op, "ed25519_pk"));
    ngx_vmops_mac_set(VMOPS_RECORD_agent, values, "x_pk",
                      ngx_vmops_value(op, "x25519_pk"));
    ngx_vmops_mac_set(VMOPS_RECORD_agent, values, "approved", approved);
    ngx_vmops_mac_set(VMOPS_RECORD_agent, values, "revoked",
                      vmops_span_str("0"));

    mac = ngx_vmops_mac(pool, VMOPS_RECORD_agent,
                        ngx_vmops_key(text, &op->tenant, "agents",
                                      ctx->agent_id),
                        values);

    op->refusal = ngx_vmops_register_refused;

    ngx_vmops_invoke(op, register, ngx_vmops_registered, ctx->pairing_id,
                     vmops_span(ctx->lookup, VMOPS_LOOKUP_TEXT),
                     ngx_vmops_bool(ctx->signature_ok), ctx->agent_id,
                     approved, ngx_vmops_value(op, "ed25519_pk"),
                     ngx_vmops_value(op, "x25519_pk"),
                     ngx_vmops_value(op, "kid"),
                     ngx_vmops_value(op, "platform"),
                     ngx_vmops_value(op, "name"),
                     ngx_vmops_value(op, "hostname"),
                     ngx_vmops_value(op, "version"), mac);
}


static ngx_int_t
ngx_vmops_register_refused(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply)
{
    ngx_vmops_register_ctx_t *ctx = op->data;

    switch (code) {

    case VMOPS_PROBLEM_not_found:
    case VMOPS_PROBLEM_pairing_invalid:
        ngx_vmops_problem(op, VMOPS_PROBLEM_pairing_invalid);
        return NGX_OK;

    case VMOPS_PROBLEM_invalid_params:
    case VMOPS_PROBLEM_store_unavailable:
        return NGX_DECLINED;

    default:
        ctx->refused = code;
        ngx_vmops_register_not_failed(op);
        return NGX_OK;
    }
}


static void
ngx_vmops_registered(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_register_ctx_t *ctx = op->data;

    ctx->status = ngx_vmops_dup(op->request->pool,
                                ngx_vmops_item_text(reply, 1));
    ctx->created_by = ngx_vmops_dup(op->request->pool,
                                    ngx_vmops_item_text(reply, 2));

    ngx_vmops_register_not_failed(op);
}


/*
 * The next try may come as soon as this one is answered, so it is counted no
 * more by then.  Where the store has gone it stays counted, and is answered all
 * the same: the code is used up.
 */

static void
ngx_vmops_register_not_failed(ngx_vmops_op_t *op)
{
    op->refusal = ngx_vmops_register_counted;

    ngx_vmops_register_try(op, "-1", ngx_vmops_register_answer);
}


static ngx_int_t
ngx_vmops_register_counted(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply)
{
    ngx_vmops_register_answer(op, reply);

    return NGX_OK;
}


static void
ngx_vmops_register_answer(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_register_ctx_t *ctx = op->data;

    if (ctx->refused != NGX_VMOPS_STORE_OK) {
        ngx_vmops_problem(op, ctx->refused);
        return;
    }

    ngx_vmops_answer(op, NGX_HTTP_CREATED, ngx_vmops_registered_draw, reply);
}


static void
ngx_vmops_registered_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_vmops_register_ctx_t *ctx = op->data;

    char                    fingerprint[VMOPS_FINGERPRINT_TEXT + 1];
    ngx_vmops_main_conf_t  *vmcf;

    vmcf = ngx_vmops_worker.conf;

    vmops_fingerprint(fingerprint, ctx->ed_pk, ctx->x_pk, vmcf->command_pk);

    vmops_jw_obj(w);
    vmops_jw_kstr(w, "agent_id", ctx->agent_id);
    vmops_jw_kstr(w, "tenant", op->tenant);
    vmops_jw_kstr(w, "created_by", ctx->created_by);
    vmops_jw_kstr(w, "status", ctx->status);
    vmops_jw_kb64u(w, "command_key", vmcf->command_pk, 32);
    vmops_jw_kcstr(w, "command_key_id", vmcf->command_key_id);
    vmops_jw_kcstr(w, "fingerprint", fingerprint);
    vmops_jw_ktime(w, "server_time", ngx_vmops_now());
    vmops_jw_obj_end(w);
}
