
/* changes of the header lines of what is proxied */


#include "ngx_vmops.h"


/*
 * The list is made anew without the lines that are dropped: pointers of
 * r->headers_in to lines of the old one stay good.
 */

ngx_int_t
ngx_vmops_headers_in_drop(ngx_http_request_t *r, ngx_vmops_drop_pt drop)
{
    ngx_list_t        kept;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *to;

    if (ngx_list_init(&kept, r->pool, 20, sizeof(ngx_table_elt_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (drop(&h[i])) {
                continue;
            }

            to = ngx_list_push(&kept);
            if (to == NULL) {
                return NGX_ERROR;
            }

            *to = h[i];
        }
    }

    /* the last part is the list's own, as long as there is but one */

    if (kept.last == &kept.part) {
        kept.last = &r->headers_in.headers.part;
    }

    r->headers_in.headers = kept;

    return NGX_OK;
}


/* the name in lower case; the value is of the request's pool */

ngx_int_t
ngx_vmops_headers_in_add(ngx_http_request_t *r, const char *name,
    vmops_span_t value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->lowcase_key = h->key.data;
    h->hash = ngx_hash_key(h->key.data, h->key.len);
    h->value.data = (u_char *) value.p;
    h->value.len = value.n;

    vmops_header_end(h);

    return NGX_OK;
}


/* names in lower case, ended by an empty one */

void
ngx_vmops_headers_out_drop(ngx_http_request_t *r, const ngx_str_t *names)
{
    ngx_uint_t        i;
    const ngx_str_t  *name;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            for (name = names; name->len; name++) {
                if (h[i].key.len == name->len
                    && ngx_strncasecmp(h[i].key.data, name->data, name->len)
                       == 0)
                {
                    h[i].hash = 0;
                }
            }
        }
    }
}
