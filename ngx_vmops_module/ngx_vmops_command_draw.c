
/* commands as they are shown: a record as AgentCommand */


#include "ngx_vmops_commands.h"
#include "ngx_vmops_routes.h"


static void ngx_vmops_command_members(vmops_jw_t *w, redisReply *record);
static void ngx_vmops_command_target(vmops_jw_t *w, redisReply *record);
static void ngx_vmops_command_progress(vmops_jw_t *w, redisReply *record);
static void ngx_vmops_command_error(vmops_jw_t *w, redisReply *record);
static void ngx_vmops_command_secrets(vmops_jw_t *w, redisReply *record);
static void ngx_vmops_command_log(vmops_jw_t *w, redisReply *lines);


static const ngx_vmops_member_t  ngx_vmops_command_head[] = {
    { "command_id", "command_id", NGX_VMOPS_STRING },
    { "service", "service", NGX_VMOPS_STRING },
    { "action", "action", NGX_VMOPS_STRING },
    { "agent_id", "agent_id", NGX_VMOPS_TEXT },
    { "params", "params", NGX_VMOPS_OBJECT },
    { "status", "status", NGX_VMOPS_STRING },
    { "result", "result", NGX_VMOPS_JSON },
    { "created_by", "subject", NGX_VMOPS_TEXT },
    { "created_at", "created_at", NGX_VMOPS_TIME },
    { "delivered_at", "delivered_at", NGX_VMOPS_TIME },
    { "accepted_at", "accepted_at", NGX_VMOPS_TIME },
    { "finished_at", "finished_at", NGX_VMOPS_TIME },
    { "timeout_s", "timeout_s", NGX_VMOPS_NUMBER },
    { NULL, NULL, 0 }
};

static const ngx_vmops_member_t  ngx_vmops_target_members[] = {
    { "vm_uuid", "vm_uuid", NGX_VMOPS_STRING },
    { "guest", "guest", NGX_VMOPS_TEXT },
    { "node", "node", NGX_VMOPS_TEXT },
    { "vmid", "vmid", NGX_VMOPS_NUMBER },
    { NULL, NULL, 0 }
};

static const ngx_vmops_member_t  ngx_vmops_progress_members[] = {
    { "percent", "percent", NGX_VMOPS_NUMBER },
    { "stage", "stage", NGX_VMOPS_TEXT },
    { "message", "message", NGX_VMOPS_TEXT },
    { NULL, NULL, 0 }
};


void
ngx_vmops_command_open_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply)
{
    vmops_jw_obj(w);
    ngx_vmops_command_members(w, ngx_vmops_item(reply, 1));
    ngx_vmops_command_log(w, ngx_vmops_item(reply, 2));
}


static void
ngx_vmops_command_members(vmops_jw_t *w, redisReply *record)
{
    ngx_vmops_draw_members(w, record, ngx_vmops_command_head);
    ngx_vmops_command_target(w, record);
    ngx_vmops_command_progress(w, record);
    ngx_vmops_command_error(w, record);
    ngx_vmops_command_secrets(w, record);
    vmops_jw_kbool(w, "recovered",
                   ngx_vmops_field_is(record, "recovered", "1"));
}


static void
ngx_vmops_command_target(vmops_jw_t *w, redisReply *record)
{
    vmops_span_t  target;

    target = ngx_vmops_field(record, "target");

    vmops_jw_key(w, "target");
    vmops_jw_obj(w);

    if (ngx_vmops_field_is(record, "scope", "vm")) {
        ngx_vmops_draw_members(w, record, ngx_vmops_target_members);

    } else if (ngx_vmops_field_is(record, "scope", "endpoint")) {
        vmops_jw_kstr(w, "secret_ref", target);

    } else {
        vmops_jw_kstr(w, "command_id", target);
    }

    vmops_jw_obj_end(w);
}


static void
ngx_vmops_command_progress(vmops_jw_t *w, redisReply *record)
{
    const ngx_vmops_member_t  *m;

    vmops_jw_key(w, "progress");

    for (m = ngx_vmops_progress_members; m->name; m++) {
        if (ngx_vmops_field(record, m->field).n) {
            vmops_jw_obj(w);
            ngx_vmops_draw_members(w, record, ngx_vmops_progress_members);
            vmops_jw_obj_end(w);
            return;
        }
    }

    vmops_jw_null(w);
}


static void
ngx_vmops_command_error(vmops_jw_t *w, redisReply *record)
{
    vmops_span_t  code, stage;

    code = ngx_vmops_field(record, "error_code");
    stage = ngx_vmops_field(record, "error_stage");

    vmops_jw_key(w, "error");

    if (code.n == 0) {
        vmops_jw_null(w);
        return;
    }

    vmops_command_error_write(w, code, stage.n ? stage : vmops_span(NULL, 0));
}


/* what was pinned when it was submitted: its own secret, and the tunnel's */

static void
ngx_vmops_command_secrets(vmops_jw_t *w, redisReply *record)
{
    ngx_uint_t    i;
    vmops_span_t  ref;

    static const char *const  fields[][2] = {
        { "secret_ref", "secret_version" },
        { "via_ref", "via_version" }
    };

    vmops_jw_key(w, "secrets");
    vmops_jw_arr(w);

    for (i = 0; i < 2; i++) {
        ref = ngx_vmops_field(record, fields[i][0]);

        if (ref.n) {
            vmops_jw_obj(w);
            vmops_jw_kstr(w, "secret_ref", ref);
            vmops_jw_kint(w, "version",
                          ngx_vmops_field_int(record, fields[i][1]));
            vmops_jw_obj_end(w);
        }
    }

    vmops_jw_arr_end(w);
}


/* "<ms> <line>" each */

static void
ngx_vmops_command_log(vmops_jw_t *w, redisReply *lines)
{
    ngx_uint_t      i;
    vmops_span_t    s;
    const uint8_t  *space;

    vmops_jw_key(w, "log");
    vmops_jw_arr(w);

    for (i = 0; i < lines->elements; i++) {
        s = ngx_vmops_item_text(lines, i);
        space = memchr(s.p, ' ', s.n);

        if (space == NULL) {
            continue;
        }

        vmops_jw_obj(w);
        vmops_jw_key(w, "at");
        ngx_vmops_draw_value(w, NGX_VMOPS_TIME, vmops_span(s.p, space - s.p));
        vmops_jw_kstr(w, "line",
                      vmops_span(space + 1, s.p + s.n - space - 1));
        vmops_jw_obj_end(w);
    }

    vmops_jw_arr_end(w);
}


void
ngx_vmops_command_list_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record)
{
    vmops_jw_obj(w);
    ngx_vmops_command_members(w, record);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_command_new_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record)
{
    vmops_jw_obj(w);
    ngx_vmops_command_members(w, record);
    vmops_jw_kraw(w, "log", vmops_span_str("[]"));
    vmops_jw_knull(w, "receipt");
    vmops_jw_obj_end(w);
}
