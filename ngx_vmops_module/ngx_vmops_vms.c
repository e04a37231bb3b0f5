
/* the VM registry */


#include "ngx_vmops_routes.h"


static ngx_int_t ngx_vmops_labels_ok(ngx_vmops_op_t *op);
static void ngx_vmops_vm_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);
static void ngx_vmops_vm_patch_read(ngx_vmops_op_t *op, redisReply *reply);


static const char *const  ngx_vmops_guests[] = { "qemu", "lxc", NULL };

/* a VM to be made has them all but two; a change has any */

#define NGX_VMOPS_VM_FIELDS(given)                                            \
    { .name = "name", .type = VMOPS_FT_STRING, .flags = given,                \
      .min = VMOPS_NAME_MIN, .max = VMOPS_NAME_MAX, .pattern = VMOPS_P_TEXT },\
    { .name = "agent_id", .type = VMOPS_FT_STRING,                            \
      .flags = (given)|VMOPS_F_NULLABLE, .pattern = VMOPS_P_UUID },           \
    { .name = "guest", .type = VMOPS_FT_STRING, .flags = given,               \
      .values = ngx_vmops_guests },                                           \
    { .name = "node", .type = VMOPS_FT_STRING, .flags = given,                \
      .pattern = VMOPS_P_NODE },                                              \
    { .name = "vmid", .type = VMOPS_FT_INT, .flags = given,                   \
      .min = VMOPS_VMID_MIN, .max = VMOPS_VMID_MAX },                         \
    { .name = "bot_id", .type = VMOPS_FT_STRING,                              \
      .flags = VMOPS_F_OPTIONAL|VMOPS_F_NULLABLE, .pattern = VMOPS_P_BOT_ID },\
    { .name = "labels", .type = VMOPS_FT_OBJECT, .flags = VMOPS_F_OPTIONAL,   \
      .max = VMOPS_LABELS_MAX }

static const vmops_json_field_t  ngx_vmops_vm_fields[] = {
    NGX_VMOPS_VM_FIELDS(0)
};

static const vmops_json_field_t  ngx_vmops_vm_patch_fields[] = {
    NGX_VMOPS_VM_FIELDS(VMOPS_F_OPTIONAL)
};

const ngx_vmops_body_t  ngx_vmops_vm_body = ngx_vmops_body(ngx_vmops_vm_fields);

const ngx_vmops_body_t  ngx_vmops_vm_patch_body =
    ngx_vmops_body(ngx_vmops_vm_patch_fields);

#define NGX_VMOPS_VM_FIELD_N                                                  \
    (sizeof(ngx_vmops_vm_fields) / sizeof(ngx_vmops_vm_fields[0]))


static const vmops_json_field_t  ngx_vmops_label = {
    .type = VMOPS_FT_STRING, .max = VMOPS_LABEL_VALUE_MAX,
    .pattern = VMOPS_P_TEXT
};


static const ngx_vmops_member_t  ngx_vmops_vm_members[] = {
    { "vm_uuid", "vm_uuid", NGX_VMOPS_STRING },
    { "name", "name", NGX_VMOPS_STRING },
    { "bot_id", "bot_id", NGX_VMOPS_TEXT },
    { "agent_id", "agent_id", NGX_VMOPS_TEXT },
    { "guest", "guest", NGX_VMOPS_TEXT },
    { "node", "node", NGX_VMOPS_TEXT },
    { "vmid", "vmid", NGX_VMOPS_NUMBER },
    { "labels", "labels", NGX_VMOPS_OBJECT },
    { "state", "state", NGX_VMOPS_STRING },
    { "created_at", "created_at", NGX_VMOPS_TIME },
    { NULL, NULL, 0 }
};


void
ngx_vmops_vm_list(ngx_vmops_op_t *op)
{
    ngx_vmops_page_t  page;

    if (ngx_vmops_page(op, VMOPS_P_UUID, &page) != NGX_OK) {
        return;
    }

    op->draw = ngx_vmops_vm_draw;

    ngx_vmops_invoke(op, vm_list, ngx_vmops_answer_list, page.cursor,
                     page.limit);
}


void
ngx_vmops_vm_get(ngx_vmops_op_t *op)
{
    op->draw = ngx_vmops_vm_draw;

    ngx_vmops_invoke(op, vm_get, ngx_vmops_answer_item, op->path[0]);
}


void
ngx_vmops_vm_delete(ngx_vmops_op_t *op)
{
    ngx_vmops_invoke(op, vm_delete, ngx_vmops_no_content,
                     op->principal->actor, op->path[0]);
}


void
ngx_vmops_vm_create(ngx_vmops_op_t *op)
{
    u_char          key[VMOPS_REDIS_KEY_MAX];
    size_t          i, n;
    vmops_span_t    values[VMOPS_RECORD_FIELDS_MAX], id, state, mac;
    const char *const  *fields;

    if (ngx_vmops_labels_ok(op) != NGX_OK) {
        return;
    }

    id = ngx_vmops_new_id(op->request->pool);
    state = vmops_span_str("ready");

    fields = vmops_record_fields(VMOPS_RECORD_vm, &n);

    for (i = 0; i < n; i++) {
        values[i] = ngx_vmops_value(op, fields[i]);
    }

    ngx_vmops_mac_set(VMOPS_RECORD_vm, values, "state", state);

    mac = ngx_vmops_mac(op->request->pool, VMOPS_RECORD_vm,
                        ngx_vmops_key(key, &op->tenant, "vms", id), values);

    op->status = NGX_HTTP_CREATED;
    op->draw = ngx_vmops_vm_draw;
    ngx_vmops_location(op, "/vms/", id);

    ngx_vmops_invoke(op, vm_add, ngx_vmops_answer_item,
                     op->principal->actor, id,
                     ngx_vmops_value(op, "name"),
                     ngx_vmops_value(op, "agent_id"),
                     ngx_vmops_value(op, "guest"),
                     ngx_vmops_value(op, "node"),
                     ngx_vmops_value(op, "vmid"),
                     ngx_vmops_value(op, "bot_id"),
                     ngx_vmops_value(op, "labels"), state, mac);
}


static ngx_int_t
ngx_vmops_labels_ok(ngx_vmops_op_t *op)
{
    vmops_json_error_t   err;
    const vmops_json_t  *m;

    m = vmops_json_get(op->json, "labels");

    for (m = m ? m->child : NULL; m; m = m->next) {

        vmops_json_error_init(&err, "/labels");
        vmops_json_error_push(&err, m->key);
        err.code = VMOPS_JE_LENGTH;

        if (m->key.n == 0 || m->key.n > VMOPS_LABEL_KEY_MAX
            || vmops_json_check_value(m, &ngx_vmops_label, &err) != 0)
        {
            ngx_vmops_problem_at(op, VMOPS_PROBLEM_invalid_params, err.pointer,
                                 vmops_json_error_name(err.code));
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_vmops_vm_patch(ngx_vmops_op_t *op)
{
    if (ngx_vmops_labels_ok(op) != NGX_OK) {
        return;
    }

    if (op->json->child == NULL) {
        ngx_vmops_vm_get(op);
        return;
    }

    ngx_vmops_invoke(op, vm_get, ngx_vmops_vm_patch_read, op->path[0]);
}


static void
ngx_vmops_vm_patch_read(ngx_vmops_op_t *op, redisReply *reply)
{
    u_char               text[VMOPS_REDIS_KEY_MAX];
    ngx_uint_t           n;
    redisReply          *record;
    vmops_span_t         key, values[VMOPS_RECORD_FIELDS_MAX];
    vmops_span_t         args[4 + 2 * NGX_VMOPS_VM_FIELD_N];
    const vmops_json_t  *m;

    record = ngx_vmops_item(reply, 1);
    key = ngx_vmops_key(text, &op->tenant, "vms", op->path[0]);

    if (ngx_vmops_mac_check(VMOPS_RECORD_vm, key, record) != NGX_OK) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    ngx_vmops_mac_read(VMOPS_RECORD_vm, record, values);

    n = 4;

    for (m = op->json->child; m; m = m->next) {
        args[n] = m->key;
        args[n + 1] = ngx_vmops_argument(op->request->pool, m);

        ngx_vmops_mac_set_span(VMOPS_RECORD_vm, values, args[n], args[n + 1]);

        n += 2;
    }

    args[0] = op->principal->actor;
    args[1] = op->path[0];
    args[2] = ngx_vmops_field(record, "mac");
    args[3] = ngx_vmops_mac(op->request->pool, VMOPS_RECORD_vm, key, values);

    op->draw = ngx_vmops_vm_draw;

    ngx_vmops_call(op, NGX_VMOPS_FN_vm_set, ngx_vmops_answer_item, args, n);
}


static void
ngx_vmops_vm_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *record)
{
    vmops_jw_obj(w);
    ngx_vmops_draw_members(w, record, ngx_vmops_vm_members);
    vmops_jw_obj_end(w);
}
