
/*
 * Who asks (docs/principals.md): an agent's signature (RFC 9421), nginx's
 * variables where the location says so, a bearer token, or the console's
 * cookie.  A request is one of them, in this order; another credential beside
 * it is not looked at.
 */


#include "ngx_vmops.h"


static void ngx_vmops_auth_agent(ngx_vmops_op_t *op, vmops_span_t input);
static void ngx_vmops_auth_agent_body(ngx_vmops_op_t *op);
static void ngx_vmops_auth_agent_known(ngx_vmops_op_t *op);
static void ngx_vmops_auth_vars(ngx_vmops_op_t *op,
    ngx_vmops_principal_conf_t *pc);
static void ngx_vmops_auth_token(ngx_vmops_op_t *op);
static void ngx_vmops_auth_session(ngx_vmops_op_t *op);
static vmops_span_t ngx_vmops_target_uri(ngx_http_request_t *r);


void
ngx_vmops_authenticate(ngx_vmops_op_t *op, ngx_vmops_step_pt next)
{
    ngx_int_t              rc;
    vmops_span_t           input;
    ngx_http_request_t    *r;
    ngx_vmops_loc_conf_t  *vlcf;

    r = op->request;
    vlcf = ngx_http_get_module_loc_conf(r, ngx_vmops_module);

    op->admit = next;

    rc = ngx_vmops_header_in(r, "signature-input", &input);

    if (rc == NGX_ERROR) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_unauthenticated);

    } else if (rc == NGX_OK) {
        ngx_vmops_auth_agent(op, input);

    } else if (vlcf->principal) {
        ngx_vmops_auth_vars(op, vlcf->principal);

    } else if (r->headers_in.authorization) {
        ngx_vmops_auth_token(op);

    } else {
        ngx_vmops_auth_session(op);
    }
}


/* the signature covers the body: that has to be here first */

static void
ngx_vmops_auth_agent(ngx_vmops_op_t *op, vmops_span_t input)
{
    vmops_span_t         signature;
    vmops_httpsig_t     *h;
    ngx_http_request_t  *r;

    r = op->request;

    h = ngx_pcalloc(r->pool, sizeof(vmops_httpsig_t));
    if (h == NULL) {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    h->method = ngx_vmops_span(&r->method_name);
    h->target_uri = ngx_vmops_target_uri(r);

    if (h->target_uri.p == NULL
        || ngx_vmops_header_in(r, "signature", &signature) != NGX_OK
        || ngx_vmops_header_in(r, "content-digest", &h->digest) != NGX_OK
        || vmops_httpsig_parse(h, input, signature) != VMOPS_HTTPSIG_OK)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_unauthenticated);
        return;
    }

    op->httpsig = h;

    ngx_vmops_read_body(op, ngx_vmops_auth_agent_body);
}


static void
ngx_vmops_auth_agent_body(ngx_vmops_op_t *op)
{
    char               *id;
    ngx_vmops_claim_t   claim;

    id = ngx_pnalloc(op->request->pool, VMOPS_UUID_TEXT + 1);
    if (id == NULL) {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    vmops_uuid_format(id, &op->httpsig->agent);

    ngx_memzero(&claim, sizeof(ngx_vmops_claim_t));

    claim.kind = NGX_VMOPS_AGENT;
    claim.tenant = op->httpsig->tenant;
    claim.key = vmops_span(id, VMOPS_UUID_TEXT);

    ngx_vmops_principal_get(op, &claim, ngx_vmops_auth_agent_known);
}


static void
ngx_vmops_auth_agent_known(ngx_vmops_op_t *op)
{
    if (vmops_httpsig_verify(op->httpsig, ngx_vmops_span(&op->body),
                             ngx_time(), op->principal->ed_pk)
        != VMOPS_HTTPSIG_OK)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_unauthenticated);
        return;
    }

    if (ngx_vmops_principal_count(op) == NGX_OK) {
        op->admit(op);
    }
}


/* the nonce of an agent's request, as an argument */

vmops_span_t
ngx_vmops_nonce(ngx_vmops_op_t *op)
{
    char  *p;

    p = ngx_pnalloc(op->request->pool, VMOPS_B64U_LEN(16));
    if (p == NULL) {
        return vmops_span(NULL, 0);
    }

    return vmops_span(p, vmops_b64u_encode(p, op->httpsig->nonce, 16));
}


/* @target-uri: the public URL and the request target as it came */

static vmops_span_t
ngx_vmops_target_uri(ngx_http_request_t *r)
{
    u_char     *p;
    ngx_str_t   url;

    if (ngx_vmops_public_url(r, &url) != NGX_OK) {
        return vmops_span(NULL, 0);
    }

    p = ngx_pnalloc(r->pool, url.len + r->unparsed_uri.len + 1);
    if (p == NULL) {
        return vmops_span(NULL, 0);
    }

    ngx_sprintf(p, "%V%V", &url, &r->unparsed_uri);

    return vmops_span(p, url.len + r->unparsed_uri.len);
}


static void
ngx_vmops_auth_vars(ngx_vmops_op_t *op, ngx_vmops_principal_conf_t *pc)
{
    ngx_str_t            tenant, subject, role;
    ngx_vmops_claim_t    claim;
    ngx_http_request_t  *r;

    r = op->request;

    if (ngx_http_complex_value(r, pc->tenant, &tenant) != NGX_OK
        || ngx_http_complex_value(r, pc->subject, &subject) != NGX_OK
        || ngx_http_complex_value(r, pc->role, &role) != NGX_OK)
    {
        ngx_vmops_finish(op, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_memzero(&claim, sizeof(ngx_vmops_claim_t));

    claim.kind = NGX_VMOPS_VAR;
    claim.tenant = ngx_vmops_span(&tenant);
    claim.subject = ngx_vmops_span(&subject);
    claim.role_name = ngx_vmops_span(&role);

    if (!ngx_vmops_var_tenant_ok(claim.tenant)
        || !ngx_vmops_var_subject_ok(claim.subject)
        || !ngx_vmops_var_role_ok(claim.role_name))
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_unauthenticated);
        return;
    }

    ngx_vmops_principal_get(op, &claim, op->admit);
}


ngx_uint_t
ngx_vmops_var_tenant_ok(vmops_span_t value)
{
    return vmops_pattern_match(VMOPS_P_TENANT, value);
}


ngx_uint_t
ngx_vmops_var_subject_ok(vmops_span_t value)
{
    return value.n <= VMOPS_SUBJECT_MAX
           && vmops_pattern_match(VMOPS_P_SUBJECT, value);
}


ngx_uint_t
ngx_vmops_var_role_ok(vmops_span_t value)
{
    return ngx_vmops_role(value) != NGX_VMOPS_FOR_ANYONE;
}


static void
ngx_vmops_auth_token(ngx_vmops_op_t *op)
{
    char                 lookup[VMOPS_LOOKUP_TEXT + 1];
    ngx_str_t           *value;
    vmops_span_t         text;
    ngx_vmops_claim_t    claim;

    value = &op->request->headers_in.authorization->value;

    if (value->len < sizeof("Bearer ") || value->len > VMOPS_BEARER_MAX
        || ngx_strncasecmp(value->data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_unauthenticated);
        return;
    }

    text = vmops_span(value->data + sizeof("Bearer ") - 1,
                      value->len - (sizeof("Bearer ") - 1));

    if (ngx_vmops_token_claim(&claim, lookup, text) != NGX_OK) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_unauthenticated);
        return;
    }

    ngx_vmops_principal_get(op, &claim, op->admit);
}


/* lookup has VMOPS_LOOKUP_TEXT + 1 bytes, and the claim points into it */

ngx_int_t
ngx_vmops_token_claim(ngx_vmops_claim_t *claim, char *lookup,
    vmops_span_t text)
{
    vmops_token_t  token;

    if (vmops_token_parse(&token, text) != 0) {
        return NGX_ERROR;
    }

    vmops_lookup_text(lookup, ngx_vmops_worker.conf->pepper, text);

    ngx_memzero(claim, sizeof(ngx_vmops_claim_t));

    claim->kind = token.platform ? NGX_VMOPS_PLATFORM : NGX_VMOPS_TOKEN;
    claim->tenant = token.tenant;
    claim->key = vmops_span(lookup, VMOPS_LOOKUP_TEXT);

    return NGX_OK;
}


static void
ngx_vmops_auth_session(ngx_vmops_op_t *op)
{
    char               lookup[VMOPS_LOOKUP_TEXT + 1];
    vmops_span_t       text, tenant;
    ngx_vmops_claim_t  claim;

    if (ngx_vmops_session_cookie(op->request, &text) != NGX_OK
        || vmops_cookie_parse(&tenant, text) != 0)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_unauthenticated);
        return;
    }

    vmops_lookup_text(lookup, ngx_vmops_worker.conf->pepper, text);

    ngx_memzero(&claim, sizeof(ngx_vmops_claim_t));

    claim.kind = NGX_VMOPS_SESSION;
    claim.tenant = tenant;
    claim.key = vmops_span(lookup, VMOPS_LOOKUP_TEXT);

    ngx_vmops_principal_get(op, &claim, op->admit);
}
