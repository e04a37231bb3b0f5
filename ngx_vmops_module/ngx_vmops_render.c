
/* from Redis' flat records to JSON, and from a request's values to arguments */


#include "ngx_vmops.h"


static void ngx_vmops_draw_item(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_draw_list(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);


void
ngx_vmops_draw_members(vmops_jw_t *w, redisReply *record,
    const ngx_vmops_member_t *m)
{
    for ( /* void */ ; m->name; m++) {
        vmops_jw_key(w, m->name);
        ngx_vmops_draw_value(w, m->type, ngx_vmops_field(record, m->field));
    }
}


void
ngx_vmops_draw_value(vmops_jw_t *w, ngx_vmops_value_e type, vmops_span_t s)
{
    uint64_t  n;

    switch (type) {

    case NGX_VMOPS_STRING:
        vmops_jw_str(w, s.n ? s : vmops_span("", 0));
        return;

    case NGX_VMOPS_ARRAY:
        vmops_jw_raw(w, s.n ? s : vmops_span_str("[]"));
        return;

    case NGX_VMOPS_OBJECT:
        vmops_jw_raw(w, s.n ? s : vmops_span_str("{}"));
        return;

    default:
        break;
    }

    if (s.n == 0) {
        vmops_jw_null(w);
        return;
    }

    switch (type) {

    case NGX_VMOPS_BOOL:
        vmops_jw_bool(w, vmops_span_is(s, "1"));
        break;

    case NGX_VMOPS_JSON:
        vmops_jw_raw(w, s);
        break;

    case NGX_VMOPS_NUMBER:
    case NGX_VMOPS_SECONDS:
    case NGX_VMOPS_TIME:

        if (vmops_dec_parse(s, INT64_MAX, &n) != 0) {
            vmops_jw_null(w);

        } else if (type == NGX_VMOPS_TIME) {
            vmops_jw_time(w, n);

        } else {
            vmops_jw_uint(w, type == NGX_VMOPS_SECONDS ? n / 1000 : n);
        }

        break;

    default: /* NGX_VMOPS_TEXT */
        vmops_jw_str(w, s);
    }
}


void
ngx_vmops_answer_item(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_answer(op, op->status ? op->status : NGX_HTTP_OK,
                     ngx_vmops_draw_item, reply);
}


static void
ngx_vmops_draw_item(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    op->draw(op, w, ngx_vmops_item(reply, 1));
}


void
ngx_vmops_answer_list(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_draw_list, reply);
}


static void
ngx_vmops_draw_list(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_uint_t     i;
    redisReply    *items;
    vmops_span_t   cursor;

    items = ngx_vmops_item(reply, 1);
    cursor = ngx_vmops_item_text(reply, 2);

    vmops_jw_obj(w);
    vmops_jw_key(w, "items");
    vmops_jw_arr(w);

    for (i = 0; i < items->elements; i++) {
        op->draw(op, w, items->element[i]);
    }

    vmops_jw_arr_end(w);
    vmops_jw_key(w, "next_cursor");
    ngx_vmops_draw_value(w, NGX_VMOPS_TEXT, cursor);
    vmops_jw_obj_end(w);
}


/* arguments of a list: NGX_ERROR, and the step has been ended */

ngx_int_t
ngx_vmops_page(ngx_vmops_op_t *op, vmops_pattern_t cursor,
    ngx_vmops_page_t *page)
{
    uint64_t    n;
    ngx_int_t   rc;

    page->limit = ngx_vmops_decimal(op->request->pool,
                                    VMOPS_LIST_LIMIT_DEFAULT);
    page->cursor = vmops_span("", 0);

    rc = ngx_vmops_arg(op->request, "limit", &page->limit);

    if (rc == NGX_OK
        && (vmops_dec_parse(page->limit, VMOPS_LIST_LIMIT_MAX, &n) != 0
            || n < VMOPS_LIST_LIMIT_MIN))
    {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_bad_request, "/limit", "range");
        return NGX_ERROR;
    }

    /* the id of the last one seen, which may be gone by now */

    if (ngx_vmops_arg(op->request, "cursor", &page->cursor) == NGX_OK
        && (page->cursor.n == 0
            || !vmops_pattern_match(cursor, page->cursor)))
    {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_bad_request, "/cursor",
                             "pattern");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* a member of the body as a function's argument; "" where absent or null */

vmops_span_t
ngx_vmops_value(ngx_vmops_op_t *op, const char *name)
{
    return ngx_vmops_argument(op->request->pool,
                              vmops_json_get(op->json, name));
}


vmops_span_t
ngx_vmops_argument(ngx_pool_t *pool, const vmops_json_t *node)
{
    u_char        *p;
    vmops_jw_t     w;
    vmops_span_t   out;

    if (node == NULL) {
        return vmops_span("", 0);
    }

    switch (node->type) {

    case VMOPS_JSON_NULL:
        return vmops_span("", 0);

    case VMOPS_JSON_BOOL:
        return ngx_vmops_bool(node->i);

    case VMOPS_JSON_NUMBER:
        return node->integral ? ngx_vmops_decimal(pool, node->i) : node->str;

    case VMOPS_JSON_STRING:
        return node->str.n ? node->str : vmops_span("", 0);

    default: /* VMOPS_JSON_ARRAY, VMOPS_JSON_OBJECT */
        break;
    }

    /* compact, and with fewer escapes than it came: no longer than the body */

    p = ngx_pnalloc(pool, VMOPS_BODY_MAX);
    if (p == NULL) {
        return vmops_span(NULL, 0);
    }

    vmops_jw_init(&w, p, VMOPS_BODY_MAX);
    vmops_jw_node(&w, node);

    if (vmops_jw_done(&w, &out) != 0) {
        return vmops_span(NULL, 0);
    }

    return out;
}


/* a time of the body in Unix milliseconds, as an argument */

vmops_span_t
ngx_vmops_value_time(ngx_vmops_op_t *op, const char *name)
{
    int64_t        ms;
    vmops_span_t   s;

    s = ngx_vmops_value(op, name);

    if (s.n == 0 || vmops_time_parse(&ms, s) != 0) {
        return vmops_span("", 0);
    }

    return ngx_vmops_decimal(op->request->pool, ms);
}
