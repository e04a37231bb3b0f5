
/* the license lease of a tenant */


#include "ngx_vmops_routes.h"


static void ngx_vmops_license_answer(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_license_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_lease_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *tenant);


static const vmops_json_field_t  ngx_vmops_license_fields[] = {
    { .name = "plan", .type = VMOPS_FT_STRING, .min = 1,
      .max = VMOPS_PLAN_MAX, .pattern = VMOPS_P_TEXT },
    { .name = "max_agents", .type = VMOPS_FT_INT, .min = 0, .max = 1000000 },
    { .name = "max_vms", .type = VMOPS_FT_INT, .min = 0, .max = 10000000 },
    { .name = "expires_at", .type = VMOPS_FT_STRING, .pattern = VMOPS_P_TIME },
    { .name = "grace_s", .type = VMOPS_FT_INT, .min = 0, .max = 31536000 }
};

const ngx_vmops_body_t  ngx_vmops_license_body =
    ngx_vmops_body(ngx_vmops_license_fields);


static const ngx_vmops_member_t  ngx_vmops_lease_members[] = {
    { "tenant", "tenant", NGX_VMOPS_STRING },
    { "plan", "lic_plan", NGX_VMOPS_TEXT },
    { "max_agents", "lic_max_agents", NGX_VMOPS_NUMBER },
    { "max_vms", "lic_max_vms", NGX_VMOPS_NUMBER },
    { "expires_at", "lic_expires_at", NGX_VMOPS_TIME },
    { "grace_s", "lic_grace_ms", NGX_VMOPS_SECONDS },
    { NULL, NULL, 0 }
};

/* in the order of the function's reply */

static const ngx_vmops_member_t  ngx_vmops_license_members[] = {
    { "status", NULL, NGX_VMOPS_STRING },
    { "plan", NULL, NGX_VMOPS_TEXT },
    { "expires_at", NULL, NGX_VMOPS_TIME },
    { "grace_until", NULL, NGX_VMOPS_TIME },
    { "max_agents", NULL, NGX_VMOPS_NUMBER },
    { "max_vms", NULL, NGX_VMOPS_NUMBER },
    { "agents", NULL, NGX_VMOPS_NUMBER },
    { "vms", NULL, NGX_VMOPS_NUMBER },
    { NULL, NULL, 0 }
};


void
ngx_vmops_license_get(ngx_vmops_op_t *op)
{
    ngx_vmops_invoke(op, license_get, ngx_vmops_license_answer);
}


static void
ngx_vmops_license_answer(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_license_draw, reply);
}


static void
ngx_vmops_license_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_uint_t                 i;
    const ngx_vmops_member_t  *m;

    vmops_jw_obj(w);

    m = ngx_vmops_license_members;

    for (i = 0; m[i].name; i++) {
        vmops_jw_key(w, m[i].name);
        ngx_vmops_draw_value(w, m[i].type, ngx_vmops_item_text(reply, i + 1));
    }

    vmops_jw_obj_end(w);
}


void
ngx_vmops_license_put(ngx_vmops_op_t *op)
{
    int64_t  grace_s;

    grace_s = 0;
    (void) vmops_json_int(vmops_json_get(op->json, "grace_s"), &grace_s);

    op->draw = ngx_vmops_lease_draw;

    ngx_vmops_invoke(op, license_set, ngx_vmops_answer_item,
                     op->principal->actor,
                     ngx_vmops_value(op, "plan"),
                     ngx_vmops_value(op, "max_agents"),
                     ngx_vmops_value(op, "max_vms"),
                     ngx_vmops_value_time(op, "expires_at"),
                     ngx_vmops_decimal(op->request->pool, grace_s * 1000));
}


static void
ngx_vmops_lease_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *tenant)
{
    vmops_jw_obj(w);
    ngx_vmops_draw_members(w, tenant, ngx_vmops_lease_members);
    vmops_jw_obj_end(w);
}
