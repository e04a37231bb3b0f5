
/* what a platform administrator does: tenants and feature flags */


#include "ngx_vmops_routes.h"
#include "ngx_vmops_sweep.h"
#include "ngx_vmops_tokens.h"


#define NGX_VMOPS_FLAG_PREFIX  "flag:"


/* a page of tenants: their names first, then one record after another */

typedef struct {
    vmops_span_t    *names;
    vmops_span_t    *records;      /* JSON; p NULL: it is gone */
    ngx_uint_t       n;
    ngx_uint_t       i;
    vmops_span_t     next_cursor;
} ngx_vmops_tenants_t;


static void ngx_vmops_tenant_listed(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_tenant_relist(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_tenant_created(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_tenant_created_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_tenants_named(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_tenants_next(ngx_vmops_op_t *op);
static void ngx_vmops_tenants_read(ngx_vmops_op_t *op, redisReply *reply);
static ngx_int_t ngx_vmops_tenants_gone(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);
static void ngx_vmops_tenants_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);
static void ngx_vmops_tenant_swept(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_tenant_deleted(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_tenant_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);
static ngx_uint_t ngx_vmops_flags_args(ngx_vmops_op_t *op, const char *prefix,
    vmops_span_t *args, ngx_uint_t n);
static void ngx_vmops_flags_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);
static void ngx_vmops_tenant_flags_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record);


static const char *const  ngx_vmops_cohorts[] = {
    "internal", "beta", "production", NULL
};

static const char *const  ngx_vmops_tenant_states[] = {
    "active", "suspended", NULL
};

#define NGX_VMOPS_TENANT_NAME(optional)                                       \
    { .name = "name", .type = VMOPS_FT_STRING, .flags = optional,             \
      .min = VMOPS_NAME_MIN, .max = VMOPS_NAME_MAX, .pattern = VMOPS_P_TEXT }
#define NGX_VMOPS_TENANT_COHORT                                               \
    { .name = "cohort", .type = VMOPS_FT_STRING, .flags = VMOPS_F_OPTIONAL,   \
      .values = ngx_vmops_cohorts }

static const vmops_json_field_t  ngx_vmops_tenant_create_fields[] = {
    { .name = "tenant", .type = VMOPS_FT_STRING, .pattern = VMOPS_P_TENANT },
    NGX_VMOPS_TENANT_NAME(VMOPS_F_OPTIONAL),
    NGX_VMOPS_TENANT_COHORT
};

static const vmops_json_field_t  ngx_vmops_tenant_patch_fields[] = {
    NGX_VMOPS_TENANT_NAME(VMOPS_F_OPTIONAL),
    NGX_VMOPS_TENANT_COHORT,
    { .name = "status", .type = VMOPS_FT_STRING, .flags = VMOPS_F_OPTIONAL,
      .values = ngx_vmops_tenant_states },
    { .name = "legacy_read_until", .type = VMOPS_FT_STRING,
      .flags = VMOPS_F_OPTIONAL|VMOPS_F_NULLABLE, .pattern = VMOPS_P_TIME }
};

static const vmops_json_field_t  ngx_vmops_owner_token_fields[] = {
    NGX_VMOPS_TENANT_NAME(VMOPS_F_OPTIONAL)
};

#define NGX_VMOPS_FLAG(flag)                                                  \
    { .name = flag, .type = VMOPS_FT_BOOL,                                    \
      .flags = VMOPS_F_OPTIONAL|VMOPS_F_NULLABLE }

static const vmops_json_field_t  ngx_vmops_flag_fields[] = {
    NGX_VMOPS_FLAG("AGENT_COMMAND_BUS_ENABLED"),
    NGX_VMOPS_FLAG("SECRETS_E2E_ENABLED"),
    NGX_VMOPS_FLAG("INFRA_LEGACY_ADMIN_ONLY")
};

#define NGX_VMOPS_FLAGS                                                       \
    (sizeof(ngx_vmops_flag_fields) / sizeof(ngx_vmops_flag_fields[0]))

const ngx_vmops_body_t  ngx_vmops_tenant_create_body =
    ngx_vmops_body(ngx_vmops_tenant_create_fields);

const ngx_vmops_body_t  ngx_vmops_tenant_patch_body =
    ngx_vmops_body(ngx_vmops_tenant_patch_fields);

const ngx_vmops_body_t  ngx_vmops_owner_token_body =
    ngx_vmops_body_optional(ngx_vmops_owner_token_fields);

const ngx_vmops_body_t  ngx_vmops_flags_body =
    ngx_vmops_body(ngx_vmops_flag_fields);


static const ngx_vmops_member_t  ngx_vmops_tenant_members[] = {
    { "tenant", "tenant", NGX_VMOPS_STRING },
    { "name", "name", NGX_VMOPS_STRING },
    { "cohort", "cohort", NGX_VMOPS_STRING },
    { "status", "status", NGX_VMOPS_STRING },
    { "legacy_read_until", "legacy_read_until", NGX_VMOPS_TIME },
    { "created_at", "created_at", NGX_VMOPS_TIME },
    { NULL, NULL, 0 }
};


/*
 * The list first: a tenant that is listed and was not made is passed over and
 * can be made again, one that was made and is not listed would be lost.
 */

void
ngx_vmops_tenant_create(ngx_vmops_op_t *op)
{
    op->tenant = ngx_vmops_value(op, "tenant");

    ngx_vmops_invoke(op, platform_tenant_add, ngx_vmops_tenant_listed,
                     op->tenant, op->principal->actor);
}


static void
ngx_vmops_tenant_listed(ngx_vmops_op_t *op, redisReply *reply)
{
    vmops_span_t            name, cohort;
    ngx_vmops_new_token_t  *t;

    name = ngx_vmops_value(op, "name");
    cohort = ngx_vmops_value(op, "cohort");

    if (name.n == 0) {
        name = op->tenant;
    }

    if (cohort.n == 0) {
        cohort = vmops_span_str("production");
    }

    t = ngx_vmops_token_make(op, vmops_span_str("owner"),
                             vmops_span_str("first owner"), vmops_span("", 0));
    if (t == NULL) {
        return;
    }

    ngx_vmops_invoke(op, tenant_create,
                     ngx_vmops_item_int(reply, 1) ? ngx_vmops_tenant_created
                                                  : ngx_vmops_tenant_relist,
                     name, cohort, op->principal->actor, t->lookup, t->id,
                     t->name, t->mac);
}


/*
 * It was listed before it was made: perhaps as the one before of that name,
 * whose listing went with it meanwhile.
 */

static void
ngx_vmops_tenant_relist(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_invoke(op, platform_tenant_add, ngx_vmops_tenant_created,
                     op->tenant, op->principal->actor);
}


static void
ngx_vmops_tenant_created(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_location(op, "/admin/tenants/", op->tenant);

    ngx_vmops_answer(op, NGX_HTTP_CREATED, ngx_vmops_tenant_created_draw, NULL);
}


static void
ngx_vmops_tenant_created_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply)
{
    ngx_vmops_new_token_t *t = op->data;

    vmops_jw_obj(w);
    vmops_jw_kstr(w, "tenant", op->tenant);
    vmops_jw_kstr(w, "owner_token", t->token);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_tenant_list(ngx_vmops_op_t *op)
{
    ngx_vmops_page_t  page;

    if (ngx_vmops_page(op, VMOPS_P_TENANT, &page) != NGX_OK) {
        return;
    }

    ngx_vmops_invoke(op, platform_tenants, ngx_vmops_tenants_named,
                     page.cursor, page.limit);
}


static void
ngx_vmops_tenants_named(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_uint_t            i;
    ngx_pool_t           *pool;
    redisReply           *names;
    ngx_vmops_tenants_t  *l;

    pool = op->request->pool;
    names = ngx_vmops_item(reply, 1);

    l = ngx_pcalloc(pool, sizeof(ngx_vmops_tenants_t)
                          + 2 * names->elements * sizeof(vmops_span_t));
    if (l == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    op->data = l;

    l->n = names->elements;
    l->names = (vmops_span_t *) (l + 1);
    l->records = l->names + l->n;
    l->next_cursor = ngx_vmops_dup(pool, ngx_vmops_item_text(reply, 2));

    for (i = 0; i < l->n; i++) {
        l->names[i] = ngx_vmops_dup(pool, ngx_vmops_item_text(names, i));
    }

    ngx_vmops_tenants_next(op);
}


static void
ngx_vmops_tenants_next(ngx_vmops_op_t *op)
{
    ngx_vmops_tenants_t *l = op->data;

    if (l->i == l->n) {
        ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_tenants_draw, NULL);
        return;
    }

    op->tenant = l->names[l->i];
    op->refusal = ngx_vmops_tenants_gone;

    ngx_vmops_invoke(op, tenant_get, ngx_vmops_tenants_read);
}


static void
ngx_vmops_tenants_read(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_tenants_t *l = op->data;

    if (ngx_vmops_draw(op->request->pool, op, ngx_vmops_tenant_draw,
                       ngx_vmops_item(reply, 1), &l->records[l->i])
        != NGX_OK)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    l->i++;
    ngx_vmops_tenants_next(op);
}


static ngx_int_t
ngx_vmops_tenants_gone(ngx_vmops_op_t *op, ngx_int_t code, redisReply *reply)
{
    ngx_vmops_tenants_t *l = op->data;

    if (code != VMOPS_PROBLEM_not_found) {
        return NGX_DECLINED;
    }

    l->i++;
    ngx_vmops_tenants_next(op);

    return NGX_OK;
}


static void
ngx_vmops_tenants_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_vmops_tenants_t *l = op->data;

    ngx_uint_t  i;

    vmops_jw_obj(w);
    vmops_jw_key(w, "items");
    vmops_jw_arr(w);

    for (i = 0; i < l->n; i++) {
        if (l->records[i].p) {
            vmops_jw_raw(w, l->records[i]);
        }
    }

    vmops_jw_arr_end(w);
    vmops_jw_key(w, "next_cursor");
    ngx_vmops_draw_value(w, NGX_VMOPS_TEXT, l->next_cursor);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_tenant_get(ngx_vmops_op_t *op)
{
    op->draw = ngx_vmops_tenant_draw;

    ngx_vmops_invoke(op, tenant_get, ngx_vmops_answer_item);
}


void
ngx_vmops_tenant_patch(ngx_vmops_op_t *op)
{
    vmops_span_t         args[1 + 2 * 4];
    ngx_uint_t           n;
    const vmops_json_t  *m;

    n = 0;
    args[n++] = op->principal->actor;

    for (m = op->json->child; m; m = m->next) {
        args[n++] = m->key;
        args[n++] = vmops_span_is(m->key, "legacy_read_until")
                    ? ngx_vmops_value_time(op, "legacy_read_until") : m->str;
    }

    if (n == 1) {
        ngx_vmops_tenant_get(op);
        return;
    }

    op->draw = ngx_vmops_tenant_draw;

    ngx_vmops_call(op, NGX_VMOPS_FN_tenant_set, ngx_vmops_answer_item, args, n);
}


/*
 * The sweep first: it goes on with what this worker does not end, and passes
 * over a tenant that is not to be deleted.
 */

void
ngx_vmops_tenant_delete(ngx_vmops_op_t *op)
{
    ngx_vmops_invoke(op, active_add, ngx_vmops_tenant_swept, op->tenant);
}


static void
ngx_vmops_tenant_swept(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_invoke(op, tenant_delete, ngx_vmops_tenant_deleted,
                     op->principal->actor);
}


static void
ngx_vmops_tenant_deleted(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_purge(op->tenant);

    op->status = NGX_HTTP_ACCEPTED;
    op->draw = ngx_vmops_tenant_draw;

    ngx_vmops_answer_item(op, reply);
}


static void
ngx_vmops_tenant_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *record)
{
    vmops_jw_obj(w);
    ngx_vmops_draw_members(w, record, ngx_vmops_tenant_members);
    vmops_jw_obj_end(w);
}


void
ngx_vmops_owner_token_create(ngx_vmops_op_t *op)
{
    vmops_span_t            name;
    ngx_vmops_new_token_t  *t;

    name = ngx_vmops_value(op, "name");

    if (name.n == 0) {
        name = vmops_span_str("owner");
    }

    t = ngx_vmops_token_make(op, vmops_span_str("owner"), name,
                             vmops_span("", 0));
    if (t) {
        ngx_vmops_token_add(op, t);
    }
}


/* of all (""), or of a cohort */

void
ngx_vmops_flags_get(ngx_vmops_op_t *op)
{
    op->draw = ngx_vmops_flags_draw;

    ngx_vmops_invoke(op, flags_get, ngx_vmops_answer_item, op->path[0]);
}


void
ngx_vmops_flags_put(ngx_vmops_op_t *op)
{
    vmops_span_t  args[2 + 2 * NGX_VMOPS_FLAGS];
    ngx_uint_t    n;

    args[0] = op->path[0];
    args[1] = op->principal->actor;

    n = ngx_vmops_flags_args(op, "", args, 2);

    op->draw = ngx_vmops_flags_draw;

    ngx_vmops_call(op, NGX_VMOPS_FN_flags_set, ngx_vmops_answer_item, args, n);
}


void
ngx_vmops_tenant_flags_get(ngx_vmops_op_t *op)
{
    op->draw = ngx_vmops_tenant_flags_draw;

    ngx_vmops_invoke(op, tenant_get, ngx_vmops_answer_item);
}


void
ngx_vmops_tenant_flags_put(ngx_vmops_op_t *op)
{
    vmops_span_t  args[1 + 2 * NGX_VMOPS_FLAGS];
    ngx_uint_t    n;

    args[0] = op->principal->actor;

    n = ngx_vmops_flags_args(op, NGX_VMOPS_FLAG_PREFIX, args, 1);

    if (n == 1) {
        ngx_vmops_tenant_flags_get(op);
        return;
    }

    op->draw = ngx_vmops_tenant_flags_draw;

    ngx_vmops_call(op, NGX_VMOPS_FN_tenant_set, ngx_vmops_answer_item, args, n);
}


/* name, value pairs of the body; names are those of the table */

static ngx_uint_t
ngx_vmops_flags_args(ngx_vmops_op_t *op, const char *prefix,
    vmops_span_t *args, ngx_uint_t n)
{
    u_char              *p;
    const vmops_json_t  *m;

    for (m = op->json->child; m; m = m->next) {

        p = ngx_pnalloc(op->request->pool, ngx_strlen(prefix) + m->key.n + 1);
        if (p == NULL) {
            break;
        }

        args[n].p = p;
        args[n++].n = ngx_sprintf(p, "%s%*s", prefix, m->key.n, m->key.p) - p;
        args[n++] = ngx_vmops_argument(op->request->pool, m);
    }

    return n;
}


static void
ngx_vmops_flags_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *record)
{
    ngx_uint_t  i;

    vmops_jw_obj(w);

    for (i = 0; i < NGX_VMOPS_FLAGS; i++) {
        vmops_jw_key(w, ngx_vmops_flag_fields[i].name);
        ngx_vmops_draw_value(w, NGX_VMOPS_BOOL,
                             ngx_vmops_field(record,
                                             ngx_vmops_flag_fields[i].name));
    }

    vmops_jw_obj_end(w);
}


static void
ngx_vmops_tenant_flags_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *record)
{
    u_char      field[64];
    ngx_uint_t  i;

    vmops_jw_obj(w);

    for (i = 0; i < NGX_VMOPS_FLAGS; i++) {
        ngx_snprintf(field, sizeof(field), NGX_VMOPS_FLAG_PREFIX "%s%Z",
                     ngx_vmops_flag_fields[i].name);

        vmops_jw_key(w, ngx_vmops_flag_fields[i].name);
        ngx_vmops_draw_value(w, NGX_VMOPS_BOOL,
                             ngx_vmops_field(record, (char *) field));
    }

    vmops_jw_obj_end(w);
}
