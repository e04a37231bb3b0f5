
/*
 * What a function packs into one text: arrays of strings in MessagePack, as
 * Redis' cmsgpack.pack() writes them.  Unpacked it is as if it had been the
 * function's reply.
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
