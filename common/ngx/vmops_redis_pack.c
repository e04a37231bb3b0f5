
/*
 * What a function packs into one text: arrays of strings in MessagePack, as
 * Redis' cmsgpack.pack() writes them.  Unpacked it is as if it had been the
 * function's reply.  What nobody in the store looks into is packed here.
 */


#include "vmops_redis_int.h"


#define VMOPS_REDIS_PACK_DEPTH  4


typedef struct {
    ngx_pool_t              *pool;
    u_char                  *pos;
    u_char                  *last;
    ngx_uint_t               left;      /* elements that may still come */
} vmops_redis_pack_t;


static ngx_int_t vmops_redis_unpack_one(vmops_redis_pack_t *p,
    redisReply *reply, ngx_uint_t depth);
static ngx_int_t vmops_redis_unpack_array(vmops_redis_pack_t *p,
    redisReply *reply, size_t n, ngx_uint_t depth);
static ngx_int_t vmops_redis_unpack_size(vmops_redis_pack_t *p,
    ngx_uint_t bytes, size_t *n);
static u_char *vmops_redis_pack_text(u_char *p, const void *text, size_t n);


redisReply *
vmops_redis_unpack(ngx_pool_t *pool, u_char *text, size_t n)
{
    redisReply          *reply;
    vmops_redis_pack_t   p;

    p.pool = pool;
    p.pos = text;
    p.last = text + n;
    p.left = VMOPS_REDIS_PACKED_MAX;

    reply = ngx_pcalloc(pool, sizeof(redisReply));

    if (reply == NULL || vmops_redis_unpack_one(&p, reply, 0) != NGX_OK
        || p.pos != p.last)
    {
        return NULL;
    }

    return reply;
}


redisReply *
vmops_redis_joined(ngx_pool_t *pool, redisReply *record, redisReply *more)
{
    size_t        n;
    redisReply   *both, **list;

    if (more == NULL || more->type != REDIS_REPLY_ARRAY || more->elements % 2
        || record->type != REDIS_REPLY_ARRAY || record->elements % 2)
    {
        return NULL;
    }

    n = record->elements;

    both = ngx_palloc(pool, sizeof(redisReply));
    list = ngx_palloc(pool, (n + more->elements) * sizeof(redisReply *));

    if (both == NULL || list == NULL) {
        return NULL;
    }

    if (n) {
        ngx_memcpy(list, record->element, n * sizeof(redisReply *));
    }

    if (more->elements) {
        ngx_memcpy(list + n, more->element,
                   more->elements * sizeof(redisReply *));
    }

    *both = *record;
    both->element = list;
    both->elements = n + more->elements;

    return both;
}


redisReply *
vmops_redis_named(ngx_pool_t *pool, redisReply *values,
    const char *const *names, size_t n, const char *last)
{
    size_t       i;
    redisReply  *record, *name, **e;

    if (values->type != REDIS_REPLY_ARRAY
        || (values->elements != n + 1 && values->elements != 0))
    {
        return NULL;
    }

    record = ngx_pcalloc(pool, (n + 2) * sizeof(redisReply)
                               + 2 * (n + 1) * sizeof(redisReply *));
    if (record == NULL) {
        return NULL;
    }

    name = record + 1;
    e = (redisReply **) (name + n + 1);

    record->type = REDIS_REPLY_ARRAY;
    record->element = e;

    for (i = 0; i < values->elements; i++) {

        if (values->element[i]->type != REDIS_REPLY_STRING) {
            continue;
        }

        name[i].type = REDIS_REPLY_STRING;
        name[i].str = (char *) (i == n ? last : names[i]);
        name[i].len = ngx_strlen(name[i].str);

        *e++ = &name[i];
        *e++ = values->element[i];
        record->elements += 2;
    }

    return record;
}


vmops_span_t
vmops_redis_pack(ngx_pool_t *pool, const char *const *names,
    const vmops_span_t *values, size_t n)
{
    size_t   i, size;
    u_char  *p, *text;

    size = 3;

    for (i = 0; i < n; i++) {
        size += 10 + ngx_strlen(names[i]) + values[i].n;
    }

    text = ngx_pnalloc(pool, size);
    if (text == NULL) {
        return vmops_span(NULL, 0);
    }

    p = text + 3;

    for (size = 0, i = 0; i < n; i++) {

        if (values[i].n == 0) {
            continue;
        }

        p = vmops_redis_pack_text(p, names[i], ngx_strlen(names[i]));
        p = vmops_redis_pack_text(p, values[i].p, values[i].n);
        size += 2;
    }

    text[0] = 0xdc;
    text[1] = (u_char) (size >> 8);
    text[2] = (u_char) size;

    return vmops_span(text, p - text);
}


/* the first byte is a type, or a type and a small size (msgpack's spec.md) */

static ngx_int_t
vmops_redis_unpack_one(vmops_redis_pack_t *p, redisReply *reply,
    ngx_uint_t depth)
{
    u_char  type;
    size_t  n;

    if (p->pos == p->last) {
        return NGX_ERROR;
    }

    type = *p->pos++;
    n = 0;

    switch (type) {

    case 0xc2: /* false: a field that is not there */
        reply->type = REDIS_REPLY_NIL;
        return NGX_OK;

    case 0xd9: /* string, 8, 16 or 32 bits of size */
    case 0xda:
    case 0xdb:

        if (vmops_redis_unpack_size(p, (ngx_uint_t) 1 << (type - 0xd9), &n)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        break;

    case 0xdc: /* array, 16 or 32 bits of size */
    case 0xdd:

        if (vmops_redis_unpack_size(p, (ngx_uint_t) 2 << (type - 0xdc), &n)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        return vmops_redis_unpack_array(p, reply, n, depth);

    default:

        if ((type & 0xf0) == 0x90) {
            return vmops_redis_unpack_array(p, reply, type & 0x0f, depth);
        }

        if ((type & 0xe0) != 0xa0) {
            return NGX_ERROR;
        }

        n = type & 0x1f;
    }

    if (n > (size_t) (p->last - p->pos)) {
        return NGX_ERROR;
    }

    reply->type = REDIS_REPLY_STRING;
    reply->str = (char *) p->pos;
    reply->len = n;

    p->pos += n;

    return NGX_OK;
}


static ngx_int_t
vmops_redis_unpack_array(vmops_redis_pack_t *p, redisReply *reply, size_t n,
    ngx_uint_t depth)
{
    size_t       i;
    redisReply  *elements;

    if (n > p->left || depth == VMOPS_REDIS_PACK_DEPTH) {
        return NGX_ERROR;
    }

    p->left -= n;

    reply->type = REDIS_REPLY_ARRAY;

    if (n == 0) {
        return NGX_OK;
    }

    reply->element = ngx_palloc(p->pool, n * sizeof(redisReply *));
    elements = ngx_pcalloc(p->pool, n * sizeof(redisReply));

    if (reply->element == NULL || elements == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        reply->element[i] = &elements[i];

        if (vmops_redis_unpack_one(p, &elements[i], depth + 1) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    reply->elements = n;

    return NGX_OK;
}


/* big-endian */

static ngx_int_t
vmops_redis_unpack_size(vmops_redis_pack_t *p, ngx_uint_t bytes, size_t *n)
{
    if (bytes > (size_t) (p->last - p->pos)) {
        return NGX_ERROR;
    }

    for (*n = 0; bytes; bytes--) {
        *n = *n << 8 | *p->pos++;
    }

    return NGX_OK;
}


/* in the shortest form, as cmsgpack does */

static u_char *
vmops_redis_pack_text(u_char *p, const void *text, size_t n)
{
    if (n < 32) {
        *p++ = (u_char) (0xa0 | n);

    } else if (n < 256) {
        *p++ = 0xd9;
        *p++ = (u_char) n;

    } else {

        if (n < 65536) {
            *p++ = 0xda;

        } else {
            *p++ = 0xdb;
            *p++ = (u_char) (n >> 24);
            *p++ = (u_char) (n >> 16);
        }

        *p++ = (u_char) (n >> 8);
        *p++ = (u_char) n;
    }

    return ngx_cpymem(p, text, n);
}
