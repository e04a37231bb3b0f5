
/* secrets: ciphertext that its agent uploads, and what may be known of it */


#include "ngx_vmops_routes.h"


static ngx_int_t ngx_vmops_secret_size(ngx_vmops_op_t *op, vmops_span_t *size);
static void ngx_vmops_secret_added(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_secret_added_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_secret_rotated(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_secret_rotated_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_secret_asked_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);
static void ngx_vmops_secret_shown(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_secret_shown_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_secret_list_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *item);
static void ngx_vmops_secret_draw(vmops_jw_t *w, redisReply *record,
    redisReply *bindings);


static const char *const  ngx_vmops_secret_kinds[] = {
#define VMOPS_X(number, id, name, family)  name,
    VMOPS_SECRET_KINDS(VMOPS_X)
#undef VMOPS_X
    NULL
};

static const char *const  ngx_vmops_algs[] = { VMOPS_ENVELOPE_ALG, NULL };

/* what both a new secret and a new version have */

#define NGX_VMOPS_SEALED_FIELDS                                               \
    { .name = "alg", .type = VMOPS_FT_STRING, .values = ngx_vmops_algs },     \
    { .name = "key_id", .type = VMOPS_FT_STRING, .pattern = VMOPS_P_KEY_ID }, \
    { .name = "created_ms", .type = VMOPS_FT_INT, .min = 1,                   \
      .max = 253402300799999 },                                               \
    { .name = "nonce", .type = VMOPS_FT_STRING,                               \
      .min = VMOPS_B64U_LEN(VMOPS_ENVELOPE_NONCE),                            \
      .max = VMOPS_B64U_LEN(VMOPS_ENVELOPE_NONCE), .pattern = VMOPS_P_B64U }, \
    { .name = "ciphertext", .type = VMOPS_FT_STRING,                          \
      .min = VMOPS_B64U_LEN(VMOPS_SECRET_CIPHERTEXT_MIN),                     \
      .max = VMOPS_B64U_LEN(VMOPS_SECRET_CIPHERTEXT_MAX),                     \
      .pattern = VMOPS_P_B64U },                                              \
    { .name = "aad_meta", .type = VMOPS_FT_STRING, .min = 0,                  \
      .max = VMOPS_AAD_META_MAX }

static const vmops_json_field_t  ngx_vmops_secret_fields[] = {
    { .name = "secret_id", .type = VMOPS_FT_STRING, .pattern = VMOPS_P_UUID7 },
    { .name = "kind", .type = VMOPS_FT_STRING,
      .values = ngx_vmops_secret_kinds },
    { .name = "label", .type = VMOPS_FT_STRING, .min = 1,
      .max = VMOPS_LABEL_MAX, .pattern = VMOPS_P_TEXT },
    { .name = "via", .type = VMOPS_FT_STRING,
      .flags = VMOPS_F_OPTIONAL|VMOPS_F_NULLABLE,
      .pattern = VMOPS_P_SECRET_REF },
    { .name = "version", .type = VMOPS_FT_INT, .min = 1, .max = 1 },
    NGX_VMOPS_SEALED_FIELDS
};

static const vmops_json_field_t  ngx_vmops_rotate_fields[] = {
    { .name = "version", .type = VMOPS_FT_INT, .min = 2, .max = INT32_MAX },
    NGX_VMOPS_SEALED_FIELDS
};

const ngx_vmops_body_t  ngx_vmops_secret_body =
    ngx_vmops_body_no_secrets(ngx_vmops_secret_fields);

const ngx_vmops_body_t  ngx_vmops_rotate_body =
    ngx_vmops_body_no_secrets(ngx_vmops_rotate_fields);


static const ngx_vmops_member_t  ngx_vmops_secret_members[] = {
    { "secret_ref", "secret_ref", NGX_VMOPS_STRING },
    { "kind", "kind", NGX_VMOPS_STRING },
    { "label", "label", NGX_VMOPS_STRING },
    { "alg", "alg", NGX_VMOPS_STRING },
    { "key_id", "key_id", NGX_VMOPS_STRING },
    { "version", "version", NGX_VMOPS_NUMBER },
    { "size", "size", NGX_VMOPS_NUMBER },
    { "agent_id", "agent_id", NGX_VMOPS_STRING },
    { "status", "status", NGX_VMOPS_STRING },
    { "created_at", "created_at", NGX_VMOPS_TIME },
    { "rotated_at", "rotated_at", NGX_VMOPS_TIME },
    { NULL, NULL, 0 }
};


/*
 * A secret in the clear is not for the store: members that the table does not
 * know and that are named like one, and values that look like one; without a
 * table, at any depth.
 */

ngx_uint_t
ngx_vmops_plaintext(const vmops_json_t *json, const ngx_vmops_body_t *body,
    vmops_json_error_t *err)
{
    size_t               i;
    const vmops_json_t  *m;

    if (body->n == 0) {
        return vmops_sensitive_find(json, err);
    }

    if (!vmops_json_is(json, VMOPS_JSON_OBJECT)) {
        return 0;
    }

    for (m = json->child; m; m = m->next) {

        for (i = 0; i < body->n; i++) {
            if (vmops_span_is(m->key, body->fields[i].name)) {
                break;
            }
        }

        if ((i == body->n && vmops_sensitive_name(m->key))
            || (m->type == VMOPS_JSON_STRING && vmops_sensitive_value(m->str)))
        {
            vmops_json_error_push(err, m->key);
            return 1;
        }
    }

    return 0;
}


void
ngx_vmops_secret_add(ngx_vmops_op_t *op)
{
    vmops_span_t  size;

    if (ngx_vmops_secret_size(op, &size) != NGX_OK) {
        return;
    }

    ngx_vmops_invoke(op, secret_add, ngx_vmops_secret_added,
                     op->principal->key, ngx_vmops_nonce(op),
                     ngx_vmops_value(op, "secret_id"),
                     ngx_vmops_value(op, "kind"),
                     ngx_vmops_value(op, "label"),
                     ngx_vmops_value(op, "via"),
                     ngx_vmops_value(op, "alg"),
                     ngx_vmops_value(op, "key_id"),
                     ngx_vmops_value(op, "created_ms"),
                     ngx_vmops_value(op, "nonce"),
                     ngx_vmops_value(op, "ciphertext"),
                     ngx_vmops_value(op, "aad_meta"), size);
}


/* bytes of the ciphertext: no length that padding cannot give */

static ngx_int_t
ngx_vmops_secret_size(ngx_vmops_op_t *op, vmops_span_t *size)
{
    size_t  n;

    n = ngx_vmops_value(op, "ciphertext").n * 3 / 4 - VMOPS_ENVELOPE_TAG;

    if (n % (n <= VMOPS_SECRET_PAD_SMALL_MAX + VMOPS_SECRET_PAD
             ? VMOPS_SECRET_PAD : VMOPS_SECRET_PAD_LARGE)
        != 0)
    {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_invalid_params, "/ciphertext",
                             "length");
        return NGX_ERROR;
    }

    *size = ngx_vmops_decimal(op->request->pool, n + VMOPS_ENVELOPE_TAG);

    return NGX_OK;
}


static void
ngx_vmops_secret_added(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_answer(op, NGX_HTTP_CREATED, ngx_vmops_secret_added_draw, NULL);
}


static void
ngx_vmops_secret_added_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply)
{
    vmops_uuid_t  id;

    vmops_jw_obj(w);
    vmops_jw_key(w, "secret_ref");

    if (vmops_uuid_parse(&id, ngx_vmops_value(op, "secret_id")) == 0) {
        vmops_jw_secret_ref(w, &id);

    } else {
        vmops_jw_null(w);
    }

    vmops_jw_obj_end(w);
}


void
ngx_vmops_secret_rotate(ngx_vmops_op_t *op)
{
    ngx_int_t     rc;
    vmops_span_t  version, size;

    rc = ngx_vmops_if_match(op->request, &version);

    if (rc == NGX_DECLINED) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_precondition_required);
        return;
    }

    if (rc != NGX_OK) {
        ngx_vmops_problem_header(op, "/if-match");
        return;
    }

    if (ngx_vmops_secret_size(op, &size) != NGX_OK) {
        return;
    }

    ngx_vmops_invoke(op, secret_rotate, ngx_vmops_secret_rotated,
                     op->principal->key, ngx_vmops_nonce(op), op->path[0],
                     version,
                     ngx_vmops_value(op, "version"),
                     ngx_vmops_value(op, "alg"),
                     ngx_vmops_value(op, "key_id"),
                     ngx_vmops_value(op, "created_ms"),
                     ngx_vmops_value(op, "nonce"),
                     ngx_vmops_value(op, "ciphertext"),
                     ngx_vmops_value(op, "aad_meta"), size);
}


static void
ngx_vmops_secret_rotated(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_secret_rotated_draw, reply);
}


static void
ngx_vmops_secret_rotated_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply)
{
    vmops_jw_obj(w);
    vmops_jw_kstr(w, "secret_ref", op->path[0]);
    vmops_jw_kint(w, "version", ngx_vmops_item_int(reply, 1));
    vmops_jw_obj_end(w);
}


void
ngx_vmops_secret_ask_rotate(ngx_vmops_op_t *op)
{
    op->status = NGX_HTTP_ACCEPTED;
    op->draw = ngx_vmops_secret_asked_draw;

    ngx_vmops_invoke(op, secret_ask_rotate, ngx_vmops_answer_item,
                     op->principal->actor, op->path[0]);
}


static void
ngx_vmops_secret_asked_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record)
{
    vmops_jw_obj(w);
    vmops_jw_kstr(w, "secret_ref", op->path[0]);
    vmops_jw_kstr(w, "status", ngx_vmops_field(record, "status"));
    vmops_jw_obj_end(w);
}


void
ngx_vmops_secret_meta(ngx_vmops_op_t *op)
{
    ngx_vmops_invoke(op, secret_get, ngx_vmops_secret_shown, op->path[0]);
}


static void
ngx_vmops_secret_shown(ngx_vmops_op_t *op, redisReply *reply)
{
    u_char        *p;
    vmops_span_t   version;

    version = ngx_vmops_field(ngx_vmops_item(reply, 1), "version");

    p = ngx_pnalloc(op->request->pool, version.n + 2);

    if (p) {
        ngx_sprintf(p, "\"%*s\"", version.n, version.p);
        ngx_vmops_header(op, "ETag", vmops_span(p, version.n + 2));
    }

    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_secret_shown_draw, reply);
}


static void
ngx_vmops_secret_shown_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply)
{
    ngx_vmops_secret_draw(w, ngx_vmops_item(reply, 1),
                          ngx_vmops_item(reply, 2));
}


void
ngx_vmops_secret_list(ngx_vmops_op_t *op)
{
    ngx_vmops_page_t  page;

    if (ngx_vmops_page(op, VMOPS_P_SECRET_REF, &page) != NGX_OK) {
        return;
    }

    op->draw = ngx_vmops_secret_list_draw;

    ngx_vmops_invoke(op, secret_list, ngx_vmops_answer_list, page.cursor,
                     page.limit);
}


static void
ngx_vmops_secret_list_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *item)
{
    ngx_vmops_secret_draw(w, ngx_vmops_item(item, 0), ngx_vmops_item(item, 1));
}


/* bindings: "<type>:<scope id>:<family>" */

static void
ngx_vmops_secret_draw(vmops_jw_t *w, redisReply *record, redisReply *bindings)
{
    ngx_uint_t      i;
    vmops_span_t    name;
    const uint8_t  *first, *last;

    vmops_jw_obj(w);
    ngx_vmops_draw_members(w, record, ngx_vmops_secret_members);

    vmops_jw_key(w, "bindings");
    vmops_jw_arr(w);

    for (i = 0; i < bindings->elements; i++) {
        name = ngx_vmops_item_text(bindings, i);

        first = memchr(name.p, ':', name.n);
        last = first ? memrchr(name.p, ':', name.n) : NULL;

        if (last == NULL || last == first) {
            continue;
        }

        vmops_jw_obj(w);
        vmops_jw_kstr(w, "scope_type", vmops_span(name.p, first - name.p));
        vmops_jw_kstr(w, "scope_id", vmops_span(first + 1, last - first - 1));
        vmops_jw_kstr(w, "family",
                      vmops_span(last + 1, name.p + name.n - last - 1));
        vmops_jw_obj_end(w);
    }

    vmops_jw_arr_end(w);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_secret_delete(ngx_vmops_op_t *op)
{
    vmops_span_t  force;

    force = vmops_span("", 0);
    (void) ngx_vmops_arg(op->request, "force", &force);

    ngx_vmops_invoke(op, secret_delete, ngx_vmops_no_content,
                     op->principal->actor, op->path[0],
                     ngx_vmops_bool(vmops_span_is(force, "true")));
}
