
/* the request header Prefer (RFC 7240) */


#include "ngx_vmops.h"


#define NGX_VMOPS_PREFER_CAP  1000000      /* no number grows beyond it */


static vmops_span_t ngx_vmops_prefer_next(vmops_span_t *list);
static ngx_uint_t ngx_vmops_prefer_is(vmops_span_t *element, const char *name);
static ngx_int_t ngx_vmops_prefer_seconds(vmops_span_t value);
static void ngx_vmops_prefer_space(vmops_span_t *s);


/*
 * Seconds of wait=N, at most VMOPS_WAIT_MAX_S; 0: no waiting.  The first wait
 * of all headers is the one that counts, and what cannot be understood is as
 * if it were not there (RFC 7240 section 2).
 */

ngx_uint_t
ngx_vmops_prefer_wait(ngx_http_request_t *r)
{
    ngx_int_t         seconds;
    ngx_uint_t        i;
    vmops_span_t      list, element;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != sizeof("prefer") - 1
                || ngx_strncmp(h[i].lowcase_key, "prefer", h[i].key.len) != 0)
            {
                continue;
            }

            list = ngx_vmops_span(&h[i].value);

            while (list.n) {
                element = ngx_vmops_prefer_next(&list);

                if (ngx_vmops_prefer_is(&element, "wait")) {
                    seconds = ngx_vmops_prefer_seconds(element);

                    return ngx_min(seconds, VMOPS_WAIT_MAX_S);
                }
            }
        }
    }

    return 0;
}


/* takes one element of a list: a comma between quotes parts nothing */

static vmops_span_t
ngx_vmops_prefer_next(vmops_span_t *list)
{
    size_t        i;
    ngx_uint_t    quoted;
    vmops_span_t  element;

    quoted = 0;

    for (i = 0; i < list->n; i++) {

        if (quoted && list->p[i] == '\\') {
            i++;

        } else if (list->p[i] == '"') {
            quoted = !quoted;

        } else if (list->p[i] == ',' && !quoted) {
            break;
        }
    }

    i = ngx_min(i, list->n);
    element = vmops_span(list->p, i);

    i += i < list->n;
    *list = vmops_span(list->p + i, list->n - i);

    return element;
}


/* 1: the name is passed over */

static ngx_uint_t
ngx_vmops_prefer_is(vmops_span_t *element, const char *name)
{
    size_t  n;

    ngx_vmops_prefer_space(element);

    n = ngx_strlen(name);

    if (element->n < n
        || ngx_strncasecmp((u_char *) element->p, (u_char *) name, n) != 0
        || (element->n > n && ngx_strchr(" \t=;", element->p[n]) == NULL))
    {
        return 0;
    }

    *element = vmops_span(element->p + n, element->n - n);

    return 1;
}


/* = N, perhaps quoted, perhaps with parameters: they have no meaning here */

static ngx_int_t
ngx_vmops_prefer_seconds(vmops_span_t s)
{
    size_t      digits;
    ngx_int_t   seconds;
    ngx_uint_t  quoted;

    ngx_vmops_prefer_space(&s);

    if (s.n == 0 || *s.p != '=') {
        return 0;
    }

    s = vmops_span(s.p + 1, s.n - 1);
    ngx_vmops_prefer_space(&s);

    quoted = s.n && *s.p == '"';
    s = vmops_span(s.p + quoted, s.n - quoted);

    seconds = 0;

    for (digits = 0; digits < s.n; digits++) {

        if (s.p[digits] < '0' || s.p[digits] > '9') {
            break;
        }

        seconds = ngx_min(seconds * 10 + (s.p[digits] - '0'),
                          NGX_VMOPS_PREFER_CAP);
    }

    s = vmops_span(s.p + digits, s.n - digits);

    if (quoted) {

        if (s.n == 0 || *s.p != '"') {
            return 0;
        }

        s = vmops_span(s.p + 1, s.n - 1);
    }

    ngx_vmops_prefer_space(&s);

    return s.n == 0 || *s.p == ';' ? seconds : 0;
}


static void
ngx_vmops_prefer_space(vmops_span_t *s)
{
    while (s->n && (*s->p == ' ' || *s->p == '\t')) {
        s->p++;
        s->n--;
    }
}
