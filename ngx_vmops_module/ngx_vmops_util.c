
/* headers, query arguments, ids and numbers of a request */


#include "ngx_vmops.h"

#include <sodium.h>


/* NGX_OK: one such header; NGX_DECLINED: none; NGX_ERROR: more than one */

ngx_int_t
ngx_vmops_header_in(ngx_http_request_t *r, const char *lowcase,
    vmops_span_t *value)
{
    size_t            len;
    ngx_int_t         rc;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    rc = NGX_DECLINED;
    len = ngx_strlen(lowcase);

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != len
                || ngx_strncmp(h[i].lowcase_key, lowcase, len) != 0)
            {
                continue;
            }

            if (rc == NGX_OK) {
                return NGX_ERROR;
            }

            *value = ngx_vmops_span(&h[i].value);
            rc = NGX_OK;
        }
    }

    return rc;
}


/*
 * If-Match with one strong entity tag, a version in quotes (RFC 9110 section
 * 13.1.1): NGX_OK; NGX_DECLINED: no such header; NGX_ERROR: another form
 */

ngx_int_t
ngx_vmops_if_match(ngx_http_request_t *r, vmops_span_t *version)
{
    uint64_t      n;
    ngx_int_t     rc;
    vmops_span_t  tag;

    rc = ngx_vmops_header_in(r, "if-match", &tag);

    if (rc != NGX_OK) {
        return rc;
    }

    if (tag.n < 3 || tag.p[0] != '"' || tag.p[tag.n - 1] != '"') {
        return NGX_ERROR;
    }

    *version = vmops_span(tag.p + 1, tag.n - 2);

    return vmops_dec_parse(*version, INT64_MAX, &n) == 0 ? NGX_OK : NGX_ERROR;
}


/* a query argument, unescaped: NGX_OK, or NGX_DECLINED and value stays */

ngx_int_t
ngx_vmops_arg(ngx_http_request_t *r, const char *name, vmops_span_t *value)
{
    u_char     *p, *dst, *src;
    ngx_str_t   raw;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &raw) != NGX_OK) {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, raw.len + 1);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    dst = p;
    src = raw.data;

    ngx_unescape_uri(&dst, &src, raw.len, 0);

    *value = vmops_span(p, dst - p);

    return NGX_OK;
}


uint64_t
ngx_vmops_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}


/* milliseconds until a moment of ngx_current_msec */

ngx_msec_t
ngx_vmops_left(ngx_msec_t when)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (when - ngx_current_msec);

    return left > 0 ? (ngx_msec_t) left : 0;
}


vmops_span_t
ngx_vmops_dup(ngx_pool_t *pool, vmops_span_t s)
{
    u_char  *p;

    p = ngx_pnalloc(pool, s.n + 1);
    if (p == NULL) {
        return vmops_span(NULL, 0);
    }

    ngx_memcpy(p, s.p, s.n);

    return vmops_span(p, s.n);
}


vmops_span_t
ngx_vmops_decimal(ngx_pool_t *pool, int64_t n)
{
    u_char  *p;

    p = ngx_pnalloc(pool, NGX_INT64_LEN);
    if (p == NULL) {
        return vmops_span(NULL, 0);
    }

    return vmops_span(p, ngx_sprintf(p, "%L", n) - p);
}


vmops_span_t
ngx_vmops_new_id(ngx_pool_t *pool)
{
    char          *p;
    uint8_t        random[10];
    vmops_uuid_t   id;

    p = ngx_pnalloc(pool, VMOPS_UUID_TEXT + 1);
    if (p == NULL) {
        return vmops_span(NULL, 0);
    }

    randombytes_buf(random, sizeof(random));
    vmops_uuid_v7(&id, ngx_vmops_now(), random);
    vmops_uuid_format(p, &id);

    return vmops_span(p, VMOPS_UUID_TEXT);
}


/* the argument "live" of functions */

vmops_span_t
ngx_vmops_live(void)
{
    return ngx_vmops_span(vmops_beat_live(ngx_vmops_worker.beat));
}
