
/* API tokens of a tenant, and the list of the administrators' */


#include "ngx_vmops_routes.h"
#include "ngx_vmops_sweep.h"
#include "ngx_vmops_tokens.h"

#include <sodium.h>


static ngx_int_t ngx_vmops_token_expiry(ngx_vmops_op_t *op,
    vmops_span_t *expires);
static void ngx_vmops_token_added(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_token_made_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_token_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);
static void ngx_vmops_platform_token_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);


static const char *const  ngx_vmops_token_roles[] = {
    "viewer", "operator", "owner", NULL
};

static const vmops_json_field_t  ngx_vmops_token_fields[] = {
    { .name = "name", .type = VMOPS_FT_STRING, .min = VMOPS_NAME_MIN,
      .max = VMOPS_NAME_MAX, .pattern = VMOPS_P_TEXT },
    { .name = "role", .type = VMOPS_FT_STRING,
      .values = ngx_vmops_token_roles },
    { .name = "expires_at", .type = VMOPS_FT_STRING,
      .flags = VMOPS_F_OPTIONAL|VMOPS_F_NULLABLE, .pattern = VMOPS_P_TIME }
};

const ngx_vmops_body_t  ngx_vmops_token_body =
    ngx_vmops_body(ngx_vmops_token_fields);


static const ngx_vmops_member_t  ngx_vmops_token_members[] = {
    { "token_id", "token_id", NGX_VMOPS_STRING },
    { "name", "name", NGX_VMOPS_STRING },
    { "role", "role", NGX_VMOPS_STRING },
    { "expires_at", "expires_at", NGX_VMOPS_TIME },
    { "created_at", "created_at", NGX_VMOPS_TIME },
    { NULL, NULL, 0 }
};

static const ngx_vmops_member_t  ngx_vmops_platform_token_members[] = {
    { "token_id", "token_id", NGX_VMOPS_STRING },
    { "name", "name", NGX_VMOPS_STRING },
    { "created_at", "created_at", NGX_VMOPS_TIME },
    { NULL, NULL, 0 }
};


/* a token that no store knows yet: NULL, and the step has been ended */

ngx_vmops_new_token_t *
ngx_vmops_token_make(ngx_vmops_op_t *op, vmops_span_t role, vmops_span_t name,
    vmops_span_t expires)
{
    u_char                  key[VMOPS_REDIS_KEY_MAX];
    uint8_t                 random[32];
    ngx_pool_t             *pool;
    vmops_span_t            values[VMOPS_RECORD_FIELDS_MAX];
    ngx_vmops_new_token_t  *t;

    pool = op->request->pool;

    t = ngx_pcalloc(pool, sizeof(ngx_vmops_new_token_t));
    if (t == NULL) {
        goto failed;
    }

    randombytes_buf(random, sizeof(random));

    if (vmops_token_make(t->text, op->tenant, random) != 0) {
        goto failed;
    }

    sodium_memzero(random, sizeof(random));

    t->token = vmops_span_str(t->text);

    vmops_lookup_text(t->lookup_text, ngx_vmops_worker.conf->pepper, t->token);

    t->lookup = vmops_span(t->lookup_text, VMOPS_LOOKUP_TEXT);
    t->id = ngx_vmops_new_id(pool);
    t->role = role;
    t->name = name;
    t->expires = expires;

    ngx_memzero(values, sizeof(values));
    ngx_vmops_mac_set(VMOPS_RECORD_token, values, "token_id", t->id);
    ngx_vmops_mac_set(VMOPS_RECORD_token, values, "role", t->role);
    ngx_vmops_mac_set(VMOPS_RECORD_token, values, "name", t->name);
    ngx_vmops_mac_set(VMOPS_RECORD_token, values, "expires_at", t->expires);

    t->mac = ngx_vmops_mac(pool, VMOPS_RECORD_token,
                           ngx_vmops_key(key, &op->tenant, "tokens", t->lookup),
                           values);

    if (t->id.p == NULL || t->mac.p == NULL) {
        goto failed;
    }

    op->data = t;

    return t;

failed:

    ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);

    return NULL;
}


void
ngx_vmops_token_add(ngx_vmops_op_t *op, ngx_vmops_new_token_t *t)
{
    ngx_vmops_invoke(op, token_add, ngx_vmops_token_added,
                     op->principal->actor, t->lookup, t->id, t->role, t->name,
                     vmops_span("", 0), t->expires, t->mac);
}


static void
ngx_vmops_token_added(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_answer(op, NGX_HTTP_CREATED, ngx_vmops_token_made_draw, NULL);
}


static void
ngx_vmops_token_made_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_vmops_new_token_t *t = op->data;

    vmops_jw_obj(w);
    vmops_jw_kstr(w, "token_id", t->id);
    vmops_jw_kstr(w, "token", t->token);
    vmops_jw_kstr(w, "name", t->name);
    vmops_jw_kstr(w, "role", t->role);
    vmops_jw_key(w, "expires_at");
    ngx_vmops_draw_value(w, NGX_VMOPS_TIME, t->expires);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_token_create(ngx_vmops_op_t *op)
{
    vmops_span_t            expires;
    ngx_vmops_new_token_t  *t;

    if (ngx_vmops_token_expiry(op, &expires) != NGX_OK) {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_invalid_params, "/expires_at",
                             "range");
        return;
    }

    t = ngx_vmops_token_make(op, ngx_vmops_value(op, "role"),
                             ngx_vmops_value(op, "name"), expires);
    if (t) {
        ngx_vmops_token_add(op, t);
    }
}


static ngx_int_t
ngx_vmops_token_expiry(ngx_vmops_op_t *op, vmops_span_t *expires)
{
    uint64_t  ms;

    *expires = ngx_vmops_value_time(op, "expires_at");

    if (expires->n == 0) {
        return NGX_OK;
    }

    if (vmops_dec_parse(*expires, INT64_MAX, &ms) != 0
        || ms <= ngx_vmops_now())
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_vmops_token_list(ngx_vmops_op_t *op)
{
    ngx_vmops_page_t  page;

    if (ngx_vmops_page(op, VMOPS_P_UUID, &page) != NGX_OK) {
        return;
    }

    op->draw = ngx_vmops_token_draw;

    ngx_vmops_invoke(op, token_list, ngx_vmops_answer_list, page.cursor,
                     page.limit);
}


static void
ngx_vmops_token_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *record)
{
    vmops_jw_obj(w);
    ngx_vmops_draw_members(w, record, ngx_vmops_token_members);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_token_delete(ngx_vmops_op_t *op)
{
    ngx_vmops_invoke_twice(op, token_delete, ngx_vmops_no_content,
                           op->principal->actor, op->path[0]);
}


/* they are made and revoked on a node, by their names */

void
ngx_vmops_platform_token_list(ngx_vmops_op_t *op)
{
    ngx_vmops_page_t  page;

    if (ngx_vmops_page(op, VMOPS_P_UUID, &page) != NGX_OK) {
        return;
    }

    op->draw = ngx_vmops_platform_token_draw;

    ngx_vmops_invoke(op, platform_token_list, ngx_vmops_answer_list,
                     page.cursor, page.limit);
}


static void
ngx_vmops_platform_token_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record)
{
    vmops_jw_obj(w);
    ngx_vmops_draw_members(w, record, ngx_vmops_platform_token_members);
    vmops_jw_obj_end(w);
}
