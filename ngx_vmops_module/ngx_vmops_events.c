
/* events of the store as server-sent events */


#include "ngx_vmops_events.h"


static void ngx_vmops_event_of_command(vmops_jw_t *w, ngx_vmops_event_id_t id,
    redisReply *event);
static void ngx_vmops_event_members(ngx_pool_t *pool, vmops_jw_t *w,
    vmops_span_t json);


/*
 * What the tenant's stream shows.  Tokens, the license and the like are the
 * owner's, and in the audit.
 */

static const char *const  ngx_vmops_event_types[] = {
    "agent", "secret", "pairing", NULL
};

/* who did it is the audit's, too */

static const char  ngx_vmops_event_actor[] = "actor";


ngx_int_t
ngx_vmops_event_parse(ngx_vmops_event_id_t *id, vmops_span_t text)
{
    const uint8_t  *dash;

    dash = text.n ? memchr(text.p, '-', text.n) : NULL;

    if (dash == NULL
        || vmops_dec_parse(vmops_span(text.p, dash - text.p), INT64_MAX,
                           &id->ms)
           != 0
        || vmops_dec_parse(vmops_span(dash + 1, text.p + text.n - dash - 1),
                           INT64_MAX, &id->n)
           != 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


vmops_span_t
ngx_vmops_event_text(u_char *text, ngx_vmops_event_id_t id)
{
    return vmops_span(text, ngx_sprintf(text, "%uL-%uL", id.ms, id.n) - text);
}


ngx_vmops_event_id_t
ngx_vmops_event_before(ngx_vmops_event_id_t id)
{
    if (id.n) {
        id.n--;

    } else if (id.ms) {
        id.ms--;
        id.n = INT64_MAX;
    }

    return id;
}


ngx_uint_t
ngx_vmops_event_older(ngx_vmops_event_id_t a, ngx_vmops_event_id_t b)
{
    return a.ms < b.ms || (a.ms == b.ms && a.n < b.n);
}


void
ngx_vmops_event_begin(vmops_jw_t *w, ngx_vmops_event_id_t id,
    vmops_span_t name)
{
    u_char  text[NGX_VMOPS_EVENT_ID];

    vmops_buf_str(&w->buf, "id: ");
    vmops_buf_span(&w->buf, ngx_vmops_event_text(text, id));
    vmops_buf_str(&w->buf, "\nevent: ");
    vmops_buf_span(&w->buf, name);
    vmops_buf_str(&w->buf, "\ndata: ");

    w->comma = 0;
}


void
ngx_vmops_event_end(vmops_jw_t *w)
{
    vmops_buf_str(&w->buf, "\n\n");
}


void
ngx_vmops_event_status(vmops_jw_t *w, vmops_span_t command_id,
    vmops_span_t status, int64_t ms)
{
    vmops_jw_obj(w);
    vmops_jw_kstr(w, "command_id", command_id);
    vmops_jw_kstr(w, "status", status);
    vmops_jw_ktime(w, "at", ms);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_event_command(ngx_pool_t *pool, vmops_jw_t *w,
    ngx_vmops_event_id_t id, redisReply *event)
{
    int64_t       ms;
    vmops_span_t  kind, data, command_id;

    kind = ngx_vmops_field(event, "kind");
    data = ngx_vmops_field(event, "data");
    command_id = ngx_vmops_field(event, "command_id");
    ms = ngx_vmops_field_int(event, "ms");

    ngx_vmops_event_begin(w, id, kind);

    if (vmops_span_is(kind, "status")) {
        ngx_vmops_event_status(w, command_id, ngx_vmops_field(event, "status"),
                               ms);

    } else {
        vmops_jw_obj(w);
        vmops_jw_kstr(w, "command_id", command_id);

        if (vmops_span_is(kind, "log")) {
            vmops_jw_kstr(w, "line", data);

        } else {
            ngx_vmops_event_members(pool, w, data);
        }

        vmops_jw_ktime(w, "at", ms);
        vmops_jw_obj_end(w);
    }

    ngx_vmops_event_end(w);
}


void
ngx_vmops_event_change(ngx_pool_t *pool, vmops_jw_t *w,
    ngx_vmops_event_id_t id, redisReply *event)
{
    ngx_uint_t    i;
    vmops_span_t  type;

    type = ngx_vmops_field(event, "type");

    if (vmops_span_is(type, "command")) {
        ngx_vmops_event_of_command(w, id, event);
        return;
    }

    for (i = 0; ngx_vmops_event_types[i]; i++) {

        if (!vmops_span_is(type, ngx_vmops_event_types[i])) {
            continue;
        }

        ngx_vmops_event_begin(w, id, type);

        vmops_jw_obj(w);
        ngx_vmops_event_members(pool, w, ngx_vmops_field(event, "entry"));
        vmops_jw_ktime(w, "at", ngx_vmops_field_int(event, "ms"));
        vmops_jw_obj_end(w);

        ngx_vmops_event_end(w);

        return;
    }
}


/* where a command stands; its lines are in its own stream */

static void
ngx_vmops_event_of_command(vmops_jw_t *w, ngx_vmops_event_id_t id,
    redisReply *event)
{
    vmops_span_t  kind;

    kind = ngx_vmops_field(event, "kind");

    if (kind.n == 0 || vmops_span_is(kind, "log")) {
        return;
    }

    ngx_vmops_event_begin(w, id, vmops_span_str("command"));

    vmops_jw_obj(w);
    vmops_jw_kstr(w, "command_id", ngx_vmops_field(event, "command_id"));
    vmops_jw_kstr(w, "status", ngx_vmops_field(event, "status"));
    vmops_jw_key(w, "progress");

    if (vmops_span_is(kind, "progress")) {
        ngx_vmops_draw_value(w, NGX_VMOPS_JSON, ngx_vmops_field(event, "data"));

    } else {
        vmops_jw_null(w);
    }

    vmops_jw_ktime(w, "at", ngx_vmops_field_int(event, "ms"));
    vmops_jw_obj_end(w);

    ngx_vmops_event_end(w);
}


/* the members of an object: an entry of the audit, or a command's progress */

static void
ngx_vmops_event_members(ngx_pool_t *pool, vmops_jw_t *w, vmops_span_t json)
{
    void                *memory;
    size_t               size;
    vmops_arena_t        arena;
    const vmops_json_t  *root, *member;

    size = vmops_json_arena_size(json.n);

    memory = ngx_palloc(pool, size);
    if (memory == NULL) {
        return;
    }

    vmops_arena_init(&arena, memory, size);

    if (vmops_json_parse(&root, &arena, json) == VMOPS_JSON_OK
        && vmops_json_is(root, VMOPS_JSON_OBJECT))
    {
        for (member = root->child; member; member = member->next) {
            if (!vmops_span_is(member->key, ngx_vmops_event_actor)) {
                vmops_jw_key_span(w, member->key);
                vmops_jw_node(w, member);
            }
        }
    }

    ngx_pfree(pool, memory);
}
