
/* which secret a VM's, or a bot's, actions of one family use */


#include "ngx_vmops_routes.h"


static void ngx_vmops_binding_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);


static const vmops_json_field_t  ngx_vmops_binding_fields[] = {
    { .name = "secret_ref", .type = VMOPS_FT_STRING,
      .pattern = VMOPS_P_SECRET_REF }
};

const ngx_vmops_body_t  ngx_vmops_binding_body =
    ngx_vmops_body(ngx_vmops_binding_fields);


static const ngx_vmops_member_t  ngx_vmops_binding_members[] = {
    { "scope_type", "scope_type", NGX_VMOPS_STRING },
    { "scope_id", "scope_id", NGX_VMOPS_STRING },
    { "family", "family", NGX_VMOPS_STRING },
    { "secret_ref", "secret_ref", NGX_VMOPS_STRING },
    { NULL, NULL, 0 }
};


void
ngx_vmops_binding_put(ngx_vmops_op_t *op)
{
    u_char         text[VMOPS_REDIS_KEY_MAX], name[VMOPS_REDIS_KEY_MAX], *last;
    vmops_span_t   values[VMOPS_RECORD_FIELDS_MAX], key, ref, mac;

    ref = ngx_vmops_value(op, "secret_ref");

    last = ngx_snprintf(name, sizeof(name), "%*s:%*s:%*s",
                        op->path[0].n, op->path[0].p,
                        op->path[1].n, op->path[1].p,
                        op->path[2].n, op->path[2].p);

    key = ngx_vmops_key(text, &op->tenant, "secret_bindings",
                        vmops_span(name, last - name));

    ngx_memzero(values, sizeof(values));
    ngx_vmops_mac_set(VMOPS_RECORD_binding, values, "scope_type", op->path[0]);
    ngx_vmops_mac_set(VMOPS_RECORD_binding, values, "scope_id", op->path[1]);
    ngx_vmops_mac_set(VMOPS_RECORD_binding, values, "family", op->path[2]);
    ngx_vmops_mac_set(VMOPS_RECORD_binding, values, "secret_ref", ref);

    mac = ngx_vmops_mac(op->request->pool, VMOPS_RECORD_binding, key, values);

    op->draw = ngx_vmops_binding_draw;

    ngx_vmops_invoke(op, binding_set, ngx_vmops_answer_item,
                     op->principal->actor, op->path[0], op->path[1],
                     op->path[2], ref, mac);
}


void
ngx_vmops_binding_get(ngx_vmops_op_t *op)
{
    op->draw = ngx_vmops_binding_draw;

    ngx_vmops_invoke(op, binding_get, ngx_vmops_answer_item, op->path[0],
                     op->path[1], op->path[2]);
}


void
ngx_vmops_binding_delete(ngx_vmops_op_t *op)
{
    ngx_vmops_invoke(op, binding_delete, ngx_vmops_no_content,
                     op->principal->actor, op->path[0], op->path[1],
                     op->path[2]);
}


static void
ngx_vmops_binding_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *record)
{
    vmops_jw_obj(w);
    ngx_vmops_draw_members(w, record, ngx_vmops_binding_members);
    vmops_jw_obj_end(w);
}
