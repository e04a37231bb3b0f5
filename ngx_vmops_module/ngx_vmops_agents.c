
/* agents as a tenant sees them, and the heartbeat of one */


#include "ngx_vmops_audit.h"
#include "ngx_vmops_routes.h"
#include "ngx_vmops_sweep.h"


/* what an owner changes in an agent's record under its MAC */

typedef struct {
    const char            *field;
    ngx_vmops_function_e   fn;
    ngx_uint_t             twice;
} ngx_vmops_agent_change_t;


static void ngx_vmops_agent_change(ngx_vmops_op_t *op,
    const ngx_vmops_agent_change_t *change);
static void ngx_vmops_agent_changing(ngx_vmops_op_t *op, redisReply *reply);
static ngx_int_t ngx_vmops_agent_keys(redisReply *record, uint8_t ed_pk[32],
    uint8_t x_pk[32]);
static void ngx_vmops_agent_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);
static void ngx_vmops_heartbeat_answer(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_heartbeat_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);


static const vmops_json_field_t  ngx_vmops_agent_patch_fields[] = {
    { .name = "name", .type = VMOPS_FT_STRING, .min = VMOPS_NAME_MIN,
      .max = VMOPS_NAME_MAX, .pattern = VMOPS_P_TEXT }
};

static const vmops_json_field_t  ngx_vmops_approve_fields[] = {
    { .name = "fingerprint", .type = VMOPS_FT_STRING, .min = 1,
      .max = VMOPS_NAME_MAX }
};

static const char *const  ngx_vmops_keystores[] = { "ok", "unreadable", NULL };

static const char *const  ngx_vmops_services[] = {
#define VMOPS_X(id, name)  name,
    VMOPS_SERVICES(VMOPS_X)
#undef VMOPS_X
    NULL
};

static const vmops_json_field_t  ngx_vmops_capability = {
    .type = VMOPS_FT_STRING, .values = ngx_vmops_services
};

static const vmops_json_field_t  ngx_vmops_any = { .type = VMOPS_FT_ANY };

static const vmops_json_field_t  ngx_vmops_heartbeat_fields[] = {
    { .name = "version", .type = VMOPS_FT_STRING, .min = 1,
      .max = VMOPS_VERSION_MAX, .pattern = VMOPS_P_VERSION },
    { .name = "capabilities", .type = VMOPS_FT_ARRAY,
      .max = VMOPS_SERVICE_MAX_, .of = &ngx_vmops_capability, .of_n = 1 },
    { .name = "routes", .type = VMOPS_FT_ARRAY, .max = VMOPS_ROUTES_MAX,
      .of = &ngx_vmops_any, .of_n = 1 },
    { .name = "keystore", .type = VMOPS_FT_STRING,
      .values = ngx_vmops_keystores },
    { .name = "key_id", .type = VMOPS_FT_STRING, .flags = VMOPS_F_NULLABLE,
      .pattern = VMOPS_P_KEY_ID }
};

const ngx_vmops_body_t  ngx_vmops_agent_patch_body =
    ngx_vmops_body(ngx_vmops_agent_patch_fields);

const ngx_vmops_body_t  ngx_vmops_approve_body =
    ngx_vmops_body(ngx_vmops_approve_fields);

const ngx_vmops_body_t  ngx_vmops_heartbeat_body =
    ngx_vmops_body(ngx_vmops_heartbeat_fields);


static const ngx_vmops_member_t  ngx_vmops_agent_members[] = {
    { "agent_id", "agent_id", NGX_VMOPS_STRING },
    { "name", "name", NGX_VMOPS_STRING },
    { "status", "status", NGX_VMOPS_STRING },
    { "version", "version", NGX_VMOPS_TEXT },
    { "platform", "platform", NGX_VMOPS_TEXT },
    { "hostname", "hostname", NGX_VMOPS_TEXT },
    { "capabilities", "capabilities", NGX_VMOPS_ARRAY },
    { "key_id", "key_id", NGX_VMOPS_TEXT },
    { "keystore", "keystore", NGX_VMOPS_TEXT },
    { "last_seen", "last_seen", NGX_VMOPS_TIME },
    { "connected_since", "connected_since", NGX_VMOPS_TIME },
    { "routes", "routes", NGX_VMOPS_ARRAY },
    { "created_at", "created_at", NGX_VMOPS_TIME },
    { NULL, NULL, 0 }
};

static const ngx_vmops_agent_change_t  ngx_vmops_approving = {
    "approved", NGX_VMOPS_FN_agent_approve, 0
};

static const ngx_vmops_agent_change_t  ngx_vmops_revoking = {
    "revoked", NGX_VMOPS_FN_agent_revoke, 1
};


void
ngx_vmops_agent_list(ngx_vmops_op_t *op)
{
    ngx_vmops_page_t  page;

    if (ngx_vmops_page(op, VMOPS_P_UUID, &page) != NGX_OK) {
        return;
    }

    op->draw = ngx_vmops_agent_draw;

    ngx_vmops_invoke(op, agent_list, ngx_vmops_answer_list, ngx_vmops_live(),
                     page.cursor, page.limit);
}


void
ngx_vmops_agent_get(ngx_vmops_op_t *op)
{
    op->draw = ngx_vmops_agent_draw;

    ngx_vmops_invoke(op, agent_get, ngx_vmops_answer_item, op->path[0],
                     ngx_vmops_live());
}


void
ngx_vmops_agent_patch(ngx_vmops_op_t *op)
{
    op->draw = ngx_vmops_agent_draw;

    ngx_vmops_invoke(op, agent_name, ngx_vmops_answer_item,
                     op->principal->actor, op->path[0],
                     ngx_vmops_value(op, "name"), ngx_vmops_live());
}


void
ngx_vmops_agent_unlock(ngx_vmops_op_t *op)
{
    op->draw = ngx_vmops_agent_draw;

    ngx_vmops_invoke(op, agent_unlock, ngx_vmops_answer_item,
                     op->principal->actor, op->path[0], ngx_vmops_live());
}


void
ngx_vmops_agent_approve(ngx_vmops_op_t *op)
{
    ngx_vmops_agent_change(op, &ngx_vmops_approving);
}


void
ngx_vmops_agent_revoke(ngx_vmops_op_t *op)
{
    ngx_vmops_agent_change(op, &ngx_vmops_revoking);
}


/* read, check the MAC, compare and swap with the MAC of what it will be */

static void
ngx_vmops_agent_change(ngx_vmops_op_t *op,
    const ngx_vmops_agent_change_t *change)
{
    op->data = (void *) change;
    op->draw = ngx_vmops_agent_draw;

    ngx_vmops_invoke(op, agent_get, ngx_vmops_agent_changing, op->path[0],
                     ngx_vmops_live());
}


static void
ngx_vmops_agent_changing(ngx_vmops_op_t *op, redisReply *reply)
{
    const ngx_vmops_agent_change_t *change = op->data;

    char            fingerprint[VMOPS_FINGERPRINT_TEXT + 1];
    u_char          text[VMOPS_REDIS_KEY_MAX];
    uint8_t         ed_pk[32], x_pk[32];
    redisReply     *record;
    vmops_span_t    key, values[VMOPS_RECORD_FIELDS_MAX], args[5];

    record = ngx_vmops_item(reply, 1);
    key = ngx_vmops_key(text, &op->tenant, "agents", op->path[0]);

    if (ngx_vmops_mac_check(VMOPS_RECORD_agent, key, record) != NGX_OK
        || ngx_vmops_agent_keys(record, ed_pk, x_pk) != NGX_OK)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    if (op->json) {
        vmops_fingerprint(fingerprint, ed_pk, x_pk,
                          ngx_vmops_worker.conf->command_pk);

        if (!vmops_span_is(ngx_vmops_value(op, "fingerprint"), fingerprint)) {
            ngx_vmops_problem(op, VMOPS_PROBLEM_fingerprint_mismatch);
            return;
        }
    }

    ngx_vmops_mac_read(VMOPS_RECORD_agent, record, values);
    ngx_vmops_mac_set(VMOPS_RECORD_agent, values, change->field,
                      vmops_span_str("1"));

    args[0] = op->principal->actor;
    args[1] = op->path[0];
    args[2] = ngx_vmops_field(record, "mac");
    args[3] = ngx_vmops_mac(op->request->pool, VMOPS_RECORD_agent, key, values);
    args[4] = ngx_vmops_live();

    if (change->twice) {
        ngx_vmops_again(change->fn, op->tenant, args, 5);
    }

    ngx_vmops_call(op, change->fn, ngx_vmops_answer_item, args, 5);
}


static ngx_int_t
ngx_vmops_agent_keys(redisReply *record, uint8_t ed_pk[32], uint8_t x_pk[32])
{
    if (vmops_b64u_decode_exact(ed_pk, 32, ngx_vmops_field(record, "ed_pk"))
        != 0
        || vmops_b64u_decode_exact(x_pk, 32, ngx_vmops_field(record, "x_pk"))
           != 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_vmops_agent_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *record)
{
    char     fingerprint[VMOPS_FINGERPRINT_TEXT + 1];
    uint8_t  ed_pk[32], x_pk[32];

    vmops_jw_obj(w);

    ngx_vmops_draw_members(w, record, ngx_vmops_agent_members);

    vmops_jw_key(w, "fingerprint");

    if (ngx_vmops_agent_keys(record, ed_pk, x_pk) == NGX_OK) {
        vmops_fingerprint(fingerprint, ed_pk, x_pk,
                          ngx_vmops_worker.conf->command_pk);
        vmops_jw_cstr(w, fingerprint);

    } else {
        vmops_jw_null(w);
    }

    vmops_jw_obj_end(w);
}


void
ngx_vmops_heartbeat(ngx_vmops_op_t *op)
{
    vmops_json_error_t  err;

    vmops_json_error_init(&err, "/routes");

    if (vmops_routes_check(vmops_json_get(op->json, "routes"), &err) != 0) {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_invalid_params, err.pointer,
                             vmops_json_error_name(err.code));
        return;
    }

    ngx_vmops_invoke(op, agent_heartbeat, ngx_vmops_heartbeat_answer,
                     op->principal->key, ngx_vmops_nonce(op),
                     ngx_vmops_value(op, "version"),
                     ngx_vmops_value(op, "capabilities"),
                     ngx_vmops_value(op, "routes"),
                     ngx_vmops_value(op, "keystore"),
                     ngx_vmops_value(op, "key_id"), ngx_vmops_live());
}


static void
ngx_vmops_heartbeat_answer(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_heartbeat_draw, reply);
}


static void
ngx_vmops_heartbeat_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    vmops_jw_obj(w);
    vmops_jw_kstr(w, "status", ngx_vmops_item_text(reply, 1));
    vmops_jw_ktime(w, "server_time", ngx_vmops_now());
    vmops_jw_key(w, "audit_head");
    ngx_vmops_seal_draw(op->request->pool, w, ngx_vmops_item_text(reply, 2));
    vmops_jw_obj_end(w);
}
