
/*
 * infra_settings_public: the tenant's settings that are no secret.  What they
 * mean is the console's affair; what is like a secret does not come in.
 */


#include "ngx_vmops_routes.h"


static void ngx_vmops_settings_answer(ngx_vmops_op_t *op, redisReply *reply);
static void ngx_vmops_settings_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);


/* any object */

const ngx_vmops_body_t  ngx_vmops_settings_body = {
    .no_secrets = 1,
    .by_handler = 1
};


void
ngx_vmops_settings_get(ngx_vmops_op_t *op)
{
    ngx_vmops_invoke(op, settings_get, ngx_vmops_settings_answer);
}


void
ngx_vmops_settings_put(ngx_vmops_op_t *op)
{
    vmops_span_t  version;

    if (!vmops_json_is(op->json, VMOPS_JSON_OBJECT)) {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_invalid_params, "",
                             vmops_json_error_name(VMOPS_JE_TYPE));
        return;
    }

    version = vmops_span("", 0);        /* of any */

    if (ngx_vmops_if_match(op->request, &version) == NGX_ERROR) {
        ngx_vmops_problem_header(op, "/if-match");
        return;
    }

    ngx_vmops_invoke(op, settings_set, ngx_vmops_settings_answer,
                     op->principal->actor, version,
                     ngx_vmops_argument(op->request->pool, op->json));
}


static void
ngx_vmops_settings_answer(ngx_vmops_op_t *op, redisReply *reply)
{
    u_char        *p;
    vmops_span_t   tag;

    p = ngx_pnalloc(op->request->pool, NGX_INT64_LEN + 2);
    if (p == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    tag.p = p;
    tag.n = ngx_sprintf(p, "\"%L\"",
                        ngx_vmops_field_int(ngx_vmops_item(reply, 1),
                                            "version"))
            - p;

    ngx_vmops_header(op, "ETag", tag);

    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_settings_draw, reply);
}


static void
ngx_vmops_settings_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    ngx_vmops_draw_value(w, NGX_VMOPS_OBJECT,
                         ngx_vmops_field(ngx_vmops_item(reply, 1),
                                         "settings"));
}
