
/*
 * The audit (docs/audit.md), a page at a time, and its last seal.  The chain
 * is computed from what the store has now; whether that is what was sealed
 * says who verifies an export.
 */


#include "ngx_vmops_audit.h"
#include "ngx_vmops_routes.h"


/* a cursor: an event's id, the number and the head there, joined with "." */

#define NGX_VMOPS_AUDIT_HEAD    VMOPS_B64U_LEN(VMOPS_HASH)
#define NGX_VMOPS_AUDIT_CURSOR  (NGX_VMOPS_EVENT_ID + 2 + NGX_INT64_LEN       \
                                 + NGX_VMOPS_AUDIT_HEAD)


static ngx_int_t ngx_vmops_audit_cursor(ngx_vmops_audit_at_t *at,
    vmops_span_t text);
static vmops_span_t ngx_vmops_audit_part(vmops_span_t *text);
static void ngx_vmops_audit_cursor_draw(vmops_jw_t *w,
    const ngx_vmops_audit_at_t *at, vmops_span_t next);
static void ngx_vmops_audit_page(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_audit_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_audit_headed(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_audit_head_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);


void
ngx_vmops_audit_list(ngx_vmops_op_t *op)
{
    ngx_vmops_page_t       page;
    ngx_vmops_audit_at_t  *at;

    at = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_audit_at_t));
    if (at == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    if (ngx_vmops_page(op, VMOPS_P_NONE, &page) != NGX_OK) {
        return;
    }

    if (page.cursor.n && ngx_vmops_audit_cursor(at, page.cursor) != NGX_OK) {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_bad_request, "/cursor",
                             "pattern");
        return;
    }

    op->data = at;

    ngx_vmops_audit_read(op, at, page.limit, ngx_vmops_audit_page);
}


void
ngx_vmops_audit_read(ngx_vmops_op_t *op, const ngx_vmops_audit_at_t *at,
    vmops_span_t limit, ngx_vmops_reply_pt next)
{
    u_char        text[NGX_VMOPS_EVENT_ID], n[NGX_INT64_LEN];
    vmops_span_t  after;

    after = at->begun ? ngx_vmops_event_text(text, at->after)
                      : vmops_span("", 0);

    ngx_vmops_invoke(op, audit_read, next, after,
                     vmops_span(n, ngx_sprintf(n, "%uL", at->n) - n), limit);
}


static ngx_int_t
ngx_vmops_audit_cursor(ngx_vmops_audit_at_t *at, vmops_span_t text)
{
    if (ngx_vmops_event_parse(&at->after, ngx_vmops_audit_part(&text))
        != NGX_OK
        || vmops_dec_parse(ngx_vmops_audit_part(&text), INT64_MAX, &at->n) != 0
        || vmops_b64u_decode_exact(at->head, VMOPS_HASH, text) != 0)
    {
        return NGX_ERROR;
    }

    at->begun = 1;

    return NGX_OK;
}


/* what stands before the next ".", which text then begins after */

static vmops_span_t
ngx_vmops_audit_part(vmops_span_t *text)
{
    size_t         n;
    vmops_span_t   part;
    const uint8_t *dot;

    dot = text->n ? memchr(text->p, '.', text->n) : NULL;

    if (dot == NULL) {
        return vmops_span("", 0);
    }

    n = dot - text->p;
    part = vmops_span(text->p, n);
    *text = vmops_span(dot + 1, text->n - n - 1);

    return part;
}


static void
ngx_vmops_audit_cursor_draw(vmops_jw_t *w, const ngx_vmops_audit_at_t *at,
    vmops_span_t next)
{
    char     head[NGX_VMOPS_AUDIT_HEAD];
    u_char   text[NGX_VMOPS_AUDIT_CURSOR], *p;

    if (next.n == 0) {
        vmops_jw_null(w);
        return;
    }

    p = ngx_snprintf(text, sizeof(text), "%*s.%uL.%*s", next.n, next.p, at->n,
                     vmops_b64u_encode(head, at->head, VMOPS_HASH), head);

    vmops_jw_str(w, vmops_span(text, p - text));
}


static void
ngx_vmops_audit_page(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_audit_draw, reply);
}


/* what is not sealed yet has no h: it could still be lost, or be changed */

static void
ngx_vmops_audit_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    uint64_t               sealed;
    ngx_uint_t             i;
    ngx_pool_t            *pool;
    redisReply            *list;
    vmops_seal_t           seal;
    vmops_audit_entry_t    entry;
    ngx_vmops_audit_at_t   at;

    /* it may have to be drawn twice */
    at = *(ngx_vmops_audit_at_t *) op->data;
    pool = op->request->pool;

    if (!at.begun) {
        (void) ngx_vmops_audit_start(pool, reply, &at, &seal);
    }

    sealed = ngx_vmops_seal_read(pool, ngx_vmops_item_text(reply, 4), &seal)
             == NGX_OK ? seal.to : 0;

    list = ngx_vmops_item(reply, 1);

    vmops_jw_obj(w);
    vmops_jw_key(w, "items");
    vmops_jw_arr(w);

    for (i = 0; i < list->elements; i++) {

        if (ngx_vmops_audit_entry(reply, i, &at, &entry) != NGX_OK) {
            continue;
        }

        vmops_jw_obj(w);
        vmops_jw_kint(w, "n", entry.n);
        vmops_jw_kint(w, "ms", entry.ms);
        vmops_jw_kstr(w, "entry", entry.entry);

        if (entry.n <= sealed) {
            vmops_jw_kb64u(w, "h", entry.h, VMOPS_HASH);
        } else {
            vmops_jw_knull(w, "h");
        }

        vmops_jw_obj_end(w);
    }

    vmops_jw_arr_end(w);
    vmops_jw_key(w, "seals");
    vmops_jw_arr(w);

    list = ngx_vmops_item(reply, 2);

    for (i = 0; i < list->elements; i++) {
        ngx_vmops_seal_draw(pool, w, ngx_vmops_item_text(list, i));
    }

    vmops_jw_arr_end(w);
    vmops_jw_key(w, "next_cursor");
    ngx_vmops_audit_cursor_draw(w, &at, ngx_vmops_item_text(reply, 3));
    vmops_jw_obj_end(w);
}


ngx_int_t
ngx_vmops_audit_start(ngx_pool_t *pool, redisReply *reply,
    ngx_vmops_audit_at_t *at, vmops_seal_t *start)
{
    int64_t      trimmed;
    redisReply  *seals;

    ngx_memzero(at, sizeof(ngx_vmops_audit_at_t));

    at->begun = 1;

    seals = ngx_vmops_item(reply, 2);
    trimmed = ngx_vmops_item_int(reply, 5);

    if (trimmed == 0
        || ngx_vmops_seal_read(pool, ngx_vmops_item_text(seals, 0), start)
           != NGX_OK
        || start->to > (uint64_t) trimmed)
    {
        return NGX_DECLINED;
    }

    at->n = start->to;
    ngx_memcpy(at->head, start->head, VMOPS_HASH);

    return NGX_OK;
}


ngx_int_t
ngx_vmops_audit_entry(redisReply *reply, ngx_uint_t i,
    ngx_vmops_audit_at_t *at, vmops_audit_entry_t *entry)
{
    redisReply  *item;

    item = ngx_vmops_item(ngx_vmops_item(reply, 1), i);

    if (vmops_dec_parse(ngx_vmops_item_text(item, 0), INT64_MAX, &entry->n)
        != 0
        || vmops_dec_parse(ngx_vmops_item_text(item, 1), INT64_MAX, &entry->ms)
           != 0
        || ngx_vmops_event_parse(&at->after, ngx_vmops_item_text(item, 3))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    entry->entry = ngx_vmops_item_text(item, 2);

    vmops_audit_link(at->head, at->head, entry->n, entry->ms, entry->entry);

    at->n = entry->n;
    ngx_memcpy(entry->h, at->head, VMOPS_HASH);

    return NGX_OK;
}


void
ngx_vmops_audit_head(ngx_vmops_op_t *op)
{
    ngx_vmops_call(op, NGX_VMOPS_FN_audit_head, ngx_vmops_audit_headed, NULL,
                   0);
}


static void
ngx_vmops_audit_headed(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_audit_head_draw, reply);
}


static void
ngx_vmops_audit_head_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_vmops_seal_draw(op->request->pool, w, ngx_vmops_item_text(reply, 1));
}


ngx_int_t
ngx_vmops_seal_read(ngx_pool_t *pool, vmops_span_t text, vmops_seal_t *seal)
{
    void                *p;
    size_t               size;
    ngx_int_t            rc;
    vmops_arena_t        arena;
    const vmops_json_t  *root;

    if (text.n == 0 || text.n > VMOPS_AUDIT_SEAL_TEXT) {
        return NGX_DECLINED;
    }

    size = vmops_json_arena_size(VMOPS_AUDIT_SEAL_TEXT);

    p = ngx_alloc(size, pool->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    vmops_arena_init(&arena, p, size);

    rc = vmops_json_parse(&root, &arena, text) == VMOPS_JSON_OK
         && vmops_seal_parse(seal, root) == 0
         ? NGX_OK : NGX_DECLINED;

    ngx_free(p);

    return rc;
}


void
ngx_vmops_seal_draw(ngx_pool_t *pool, vmops_jw_t *w, vmops_span_t text)
{
    vmops_seal_t  seal;

    vmops_seal_write(w, ngx_vmops_seal_read(pool, text, &seal) == NGX_OK
                        ? &seal : NULL);
}
