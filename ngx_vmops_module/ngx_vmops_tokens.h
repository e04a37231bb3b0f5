
/* tokens that are being made */


#ifndef _NGX_VMOPS_TOKENS_H_INCLUDED_
#define _NGX_VMOPS_TOKENS_H_INCLUDED_


#include "ngx_vmops.h"


#pragma GCC visibility push(hidden)


typedef struct {
    vmops_span_t    token;         /* shown once, here */
    vmops_span_t    lookup;
    vmops_span_t    id;
    vmops_span_t    role;
    vmops_span_t    name;
    vmops_span_t    expires;       /* Unix ms as text; empty: never */
    vmops_span_t    mac;

    char            text[VMOPS_TOKEN_MAX + 1];
    char            lookup_text[VMOPS_LOOKUP_TEXT + 1];
} ngx_vmops_new_token_t;


/* of op->tenant; also in op->data.  NULL: the step has been ended */
ngx_vmops_new_token_t *ngx_vmops_token_make(ngx_vmops_op_t *op,
    vmops_span_t role, vmops_span_t name, vmops_span_t expires);

/* stores it and answers with it; ends the step */
void ngx_vmops_token_add(ngx_vmops_op_t *op, ngx_vmops_new_token_t *t);


#pragma GCC visibility pop


#endif /* _NGX_VMOPS_TOKENS_H_INCLUDED_ */
