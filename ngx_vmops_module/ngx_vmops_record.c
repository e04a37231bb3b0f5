
/*
 * Records of Redis under a MAC (include/vmops_records.def): whoever can write
 * to Redis cannot make or alter one.
 */


#include "ngx_vmops.h"
#include "ngx_vmops_commands.h"


/* tenant NULL: the platform's.  text has VMOPS_REDIS_KEY_MAX bytes */

vmops_span_t
ngx_vmops_key(u_char *text, const vmops_span_t *tenant, const char *what,
    vmops_span_t id)
{
    u_char  *last;

    if (tenant) {
        last = ngx_snprintf(text, VMOPS_REDIS_KEY_MAX, "tenants/{%*s}/%s/%*s",
                            tenant->n, tenant->p, what, id.n, id.p);

    } else {
        last = ngx_snprintf(text, VMOPS_REDIS_KEY_MAX, "platform/{p}/%s/%*s",
                            what, id.n, id.p);
    }

    return vmops_span(text, last - text);
}


void
ngx_vmops_mac_read(vmops_record_t type, redisReply *record,
    vmops_span_t *values)
{
    size_t              i, n;
    const char *const  *fields;

    fields = vmops_record_fields(type, &n);

    for (i = 0; i < n; i++) {
        values[i] = ngx_vmops_field(record, fields[i]);
    }
}


void
ngx_vmops_mac_set(vmops_record_t type, vmops_span_t *values, const char *name,
    vmops_span_t value)
{
    ngx_vmops_mac_set_span(type, values, vmops_span_str(name), value);
}


/* a field that the MAC does not cover changes nothing */

void
ngx_vmops_mac_set_span(vmops_record_t type, vmops_span_t *values,
    vmops_span_t name, vmops_span_t value)
{
    size_t              i, n;
    const char *const  *fields;

    fields = vmops_record_fields(type, &n);

    for (i = 0; i < n; i++) {
        if (vmops_span_is(name, fields[i])) {
            values[i] = value;
        }
    }
}


vmops_span_t
ngx_vmops_mac(ngx_pool_t *pool, vmops_record_t type, vmops_span_t key,
    const vmops_span_t *values)
{
    char  *text;

    text = ngx_pnalloc(pool, VMOPS_MAC_TEXT + 1);
    if (text == NULL) {
        return vmops_span(NULL, 0);
    }

    vmops_record_mac_text(text, ngx_vmops_worker.conf->mac_key, type, key,
                          values);

    return vmops_span(text, VMOPS_MAC_TEXT);
}


ngx_int_t
ngx_vmops_mac_check(vmops_record_t type, vmops_span_t key, redisReply *record)
{
    vmops_span_t  values[VMOPS_RECORD_FIELDS_MAX];

    ngx_vmops_mac_read(type, record, values);

    if (vmops_record_verify(ngx_vmops_field(record, "mac"),
                            ngx_vmops_worker.conf->mac_key, type, key, values)
        == 0)
    {
        return NGX_OK;
    }

    /* a tenant's key names no secret; a token's ends with its HMAC */

    ngx_log_error(NGX_LOG_ERR, ngx_vmops_worker.log, 0,
                  "the MAC of a record does not hold: type %d, "
                  "somebody else than nginx has written it, or this node has "
                  "another mac.key", (int) type);

    return NGX_ERROR;
}


redisReply *
ngx_vmops_record_whole(ngx_pool_t *pool, redisReply *record)
{
    redisReply    *whole;
    vmops_span_t   intent;

    intent = ngx_vmops_field(record, "intent");

    if (intent.n == 0) {
        return record;
    }

    whole = vmops_redis_joined(pool, record,
                               vmops_redis_unpack(pool, (u_char *) intent.p,
                                                  intent.n));

    return whole ? whole : record;
}


redisReply *
ngx_vmops_record_keep(ngx_pool_t *pool, redisReply *record)
{
    size_t         n, size;
    u_char        *p;
    ngx_uint_t     i;
    redisReply    *copy, *e;
    vmops_span_t   s;

    n = record->elements;
    size = 0;

    for (i = 0; i < n; i++) {
        size += ngx_vmops_item_text(record, i).n;
    }

    copy = ngx_pcalloc(pool, (1 + n) * sizeof(redisReply)
                             + n * sizeof(redisReply *) + size);
    if (copy == NULL) {
        return NULL;
    }

    e = copy + 1;
    copy->type = REDIS_REPLY_ARRAY;
    copy->elements = n;
    copy->element = (redisReply **) (e + n);
    p = (u_char *) (copy->element + n);

    for (i = 0; i < n; i++) {
        s = ngx_vmops_item_text(record, i);

        e[i].type = REDIS_REPLY_STRING;
        e[i].str = (char *) p;
        e[i].len = s.n;
        copy->element[i] = &e[i];

        p = ngx_cpymem(p, s.p, s.n);
    }

    return copy;
}
