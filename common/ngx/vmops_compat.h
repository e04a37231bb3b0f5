
/*
 * The differences between nginx 1.22 (Debian 12) and current nginx, in one
 * place.  Everything here is inline: both modules carry their own copy.
 */


#ifndef _VMOPS_COMPAT_H_INCLUDED_
#define _VMOPS_COMPAT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>


#if (nginx_version < 1022000)
#error "nginx 1.22 or newer is needed"
#endif

#if !(NGX_SSL)
#error "nginx has to be built with OpenSSL (--with-http_ssl_module)"
#endif


/*
 * Since 1.23.0 header lines of one name form a list: a header made with
 * ngx_list_push() has to end it.
 */

static ngx_inline void
vmops_header_end(ngx_table_elt_t *h)
{
#if (nginx_version >= 1023000)
    h->next = NULL;
#else
    (void) h;
#endif
}


/* the value of a cookie: NGX_OK, or NGX_DECLINED when it did not come */

static ngx_inline ngx_int_t
vmops_cookie(ngx_http_request_t *r, ngx_str_t *name, ngx_str_t *value)
{
#if (nginx_version >= 1023000)
    return ngx_http_parse_multi_header_lines(r, r->headers_in.cookie, name,
                                             value)
           ? NGX_OK : NGX_DECLINED;
#else
    return ngx_http_parse_multi_header_lines(&r->headers_in.cookies, name,
                                             value)
           == NGX_DECLINED ? NGX_DECLINED : NGX_OK;
#endif
}


/* whether any Cookie header came */

static ngx_inline ngx_uint_t
vmops_has_cookies(ngx_http_request_t *r)
{
#if (nginx_version >= 1023000)
    return r->headers_in.cookie != NULL;
#else
    return r->headers_in.cookies.nelts != 0;
#endif
}


#endif /* _VMOPS_COMPAT_H_INCLUDED_ */
