
/* pairing codes, and the registration of an agent by one */


#include "ngx_vmops_routes.h"

#include <sodium.h>


#define NGX_VMOPS_SELECTOR_TRIES  5


typedef struct {
    char            shown[VMOPS_PAIRING_TEXT + 1];
    char            code[VMOPS_PAIRING_CODE + 1];
    char            lookup[VMOPS_LOOKUP_TEXT + 1];
    vmops_span_t    id;
    ngx_uint_t      tries;
    ngx_int_t       refused;       /* by pairing_create */
    vmops_span_t    detail;
} ngx_vmops_pairing_t;


static void ngx_vmops_pairing_try(ngx_vmops_op_t *op);
static ngx_int_t ngx_vmops_pairing_taken(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);
static void ngx_vmops_pairing_selected(ngx_vmops_op_t *op, redisReply *reply);
static ngx_int_t ngx_vmops_pairing_failed(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);
static void ngx_vmops_pairing_dropped(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_pairing_created(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_pairing_created_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_pairing_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);
static void ngx_vmops_pairing_deleted(ngx_vmops_op_t *op, redisReply *reply);


static const vmops_json_field_t  ngx_vmops_pairing_fields[] = {
    { .name = "name", .type = VMOPS_FT_STRING,
      .flags = VMOPS_F_OPTIONAL|VMOPS_F_NULLABLE, .min = VMOPS_NAME_MIN,
      .max = VMOPS_NAME_MAX, .pattern = VMOPS_P_TEXT },
    { .name = "auto_approve", .type = VMOPS_FT_BOOL,
      .flags = VMOPS_F_OPTIONAL },
    { .name = "agent_id", .type = VMOPS_FT_STRING,
      .flags = VMOPS_F_OPTIONAL|VMOPS_F_NULLABLE, .pattern = VMOPS_P_UUID }
};

const ngx_vmops_body_t  ngx_vmops_pairing_body =
    ngx_vmops_body_optional(ngx_vmops_pairing_fields);


static const ngx_vmops_member_t  ngx_vmops_pairing_members[] = {
    { "pairing_id", "pairing_id", NGX_VMOPS_STRING },
    { "status", "status", NGX_VMOPS_STRING },
    { "agent_id", "agent_id", NGX_VMOPS_TEXT },
    { "expires_at", "expires_at", NGX_VMOPS_TIME },
    { NULL, NULL, 0 }
};


void
ngx_vmops_pairing_create(ngx_vmops_op_t *op)
{
    ngx_vmops_pairing_t  *p;

    p = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_pairing_t));
    if (p == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    p->id = ngx_vmops_new_id(op->request->pool);
    op->data = p;

    ngx_vmops_pairing_try(op);
}


/* a selector is short: another pairing may have it */

static void
ngx_vmops_pairing_try(ngx_vmops_op_t *op)
{
    ngx_vmops_pairing_t *p = op->data;

    uint8_t  random[12];

    randombytes_buf(random, sizeof(random));
    vmops_pairing_code_make(p->shown, random);

    if (vmops_pairing_code_normalise(p->code, vmops_span_str(p->shown)) != 0) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    vmops_lookup_text(p->lookup, ngx_vmops_worker.conf->pepper,
                      vmops_span_str(p->code));

    op->refusal = ngx_vmops_pairing_taken;

    ngx_vmops_invoke(op, selector_set, ngx_vmops_pairing_selected,
                     vmops_span(p->code, VMOPS_PAIRING_SELECTOR), op->tenant,
                     p->id,
                     ngx_vmops_decimal(op->request->pool,
                                       VMOPS_PAIRING_S * 1000));
}


static ngx_int_t
ngx_vmops_pairing_taken(ngx_vmops_op_t *op, ngx_int_t code, redisReply *reply)
{
    ngx_vmops_pairing_t *p = op->data;

    if (code != VMOPS_PROBLEM_conflict
        || ++p->tries == NGX_VMOPS_SELECTOR_TRIES)
    {
        return NGX_DECLINED;
    }

    ngx_vmops_pairing_try(op);

    return NGX_OK;
}


static void
ngx_vmops_pairing_selected(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_pairing_t *p = op->data;

    int            approve;
    vmops_span_t   subject;

    approve = 0;
    (void) vmops_json_bool(vmops_json_get(op->json, "auto_approve"), &approve);

    subject = op->principal->subject;

    op->refusal = ngx_vmops_pairing_failed;

    ngx_vmops_invoke(op, pairing_create, ngx_vmops_pairing_created,
                     op->principal->actor, p->id,
                     vmops_span(p->lookup, VMOPS_LOOKUP_TEXT),
                     vmops_span(p->code, VMOPS_PAIRING_SELECTOR),
                     ngx_vmops_value(op, "name"), ngx_vmops_bool(approve),
                     ngx_vmops_value(op, "agent_id"), subject,
                     ngx_vmops_decimal(op->request->pool,
                                       VMOPS_PAIRING_S * 1000));
}


static ngx_int_t
ngx_vmops_pairing_failed(ngx_vmops_op_t *op, ngx_int_t code, redisReply *reply)
{
    ngx_vmops_pairing_t *p = op->data;

    if (code == VMOPS_PROBLEM_store_unavailable) {
        /* the selector ends by itself */
        return NGX_DECLINED;
    }

    p->refused = code;
    p->detail = ngx_vmops_dup(op->request->pool, ngx_vmops_item_text(reply, 1));

    ngx_vmops_invoke(op, selector_drop, ngx_vmops_pairing_dropped,
                     vmops_span(p->code, VMOPS_PAIRING_SELECTOR), op->tenant,
                     p->id);

    return NGX_OK;
}


static void
ngx_vmops_pairing_dropped(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_pairing_t *p = op->data;

    ngx_vmops_problem_told(op, p->refused, p->detail);
}


static void
ngx_vmops_pairing_created(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_pairing_t *p = op->data;

    ngx_vmops_location(op, "/agents/pairings/", p->id);

    ngx_vmops_answer(op, NGX_HTTP_CREATED, ngx_vmops_pairing_created_draw,
                     reply);
}


static void
ngx_vmops_pairing_created_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply)
{
    ngx_vmops_pairing_t *p = op->data;

    vmops_jw_obj(w);
    vmops_jw_kstr(w, "pairing_id", p->id);
    vmops_jw_kcstr(w, "code", p->shown);
    vmops_jw_ktime(w, "expires_at", ngx_vmops_item_int(reply, 1));
    vmops_jw_obj_end(w);
}


void
ngx_vmops_pairing_get(ngx_vmops_op_t *op)
{
    op->draw = ngx_vmops_pairing_draw;

    ngx_vmops_invoke(op, pairing_get, ngx_vmops_answer_item, op->path[0]);
}


static void
ngx_vmops_pairing_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *record)
{
    vmops_jw_obj(w);
    ngx_vmops_draw_members(w, record, ngx_vmops_pairing_members);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_pairing_delete(ngx_vmops_op_t *op)
{
    ngx_vmops_invoke(op, pairing_delete, ngx_vmops_pairing_deleted,
                     op->principal->actor, op->path[0]);
}


static void
ngx_vmops_pairing_deleted(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_invoke(op, selector_drop, ngx_vmops_no_content,
                     ngx_vmops_item_text(reply, 1), op->tenant, op->path[0]);
}
