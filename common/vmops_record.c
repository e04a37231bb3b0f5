/*
 * MACs over records and intents, and the audit chain.
 */

#include <sodium.h>

#include "vmops_keys.h"
#include "vmops_keys_parts.h"
#include "vmops_banned.h"


#define VMOPS_RECORD(type, ...)                                               \
    static const char *const  fields_##type[] = { __VA_ARGS__ };
#include "vmops_records.def"
#undef VMOPS_RECORD


static const struct {
    const char         *type;
    const char *const  *fields;
    size_t              n;
} records[] = {
#define VMOPS_RECORD(type, ...)                                               \
    { #type, fields_##type, sizeof(fields_##type) / sizeof(fields_##type[0]) },
#include "vmops_records.def"
#undef VMOPS_RECORD
};


typedef crypto_generichash_state  mac_t;


static void
mac_init(mac_t *m, const uint8_t key[32], vmops_span_t label)
{
    crypto_generichash_init(m, key, 32, VMOPS_HASH);
    crypto_generichash_update(m, label.p, label.n);
}


static void
mac_u8(mac_t *m, uint8_t v)
{
    crypto_generichash_update(m, &v, 1);
}


static void
mac_u32(mac_t *m, uint32_t v)
{
    uint8_t  be[4];

    vmops_put_u32(be, v);
    crypto_generichash_update(m, be, sizeof(be));
}


static void
mac_u64(mac_t *m, uint64_t v)
{
    uint8_t  be[8];

    vmops_put_u64(be, v);
    crypto_generichash_update(m, be, sizeof(be));
}


static void
mac_field(mac_t *m, vmops_span_t s)
{
    mac_u32(m, (uint32_t) s.n);
    crypto_generichash_update(m, s.p, s.n);
}


static void
mac_final(mac_t *m, uint8_t mac[VMOPS_HASH])
{
    crypto_generichash_final(m, mac, VMOPS_HASH);
    sodium_memzero(m, sizeof(*m));
}


static void
mac_text(char out[VMOPS_MAC_TEXT + 1], const uint8_t mac[VMOPS_HASH])
{
    vmops_b64u_encode(out, mac, VMOPS_HASH);
    out[VMOPS_MAC_TEXT] = '\0';
}


static int
mac_is(const uint8_t mac[VMOPS_HASH], vmops_span_t text)
{
    uint8_t  given[VMOPS_HASH];

    return vmops_b64u_decode_exact(given, sizeof(given), text) == 0
           && vmops_ct_eq(given, mac, VMOPS_HASH) ? 0 : -1;
}


const char *const *
vmops_record_fields(vmops_record_t type, size_t *n)
{
    *n = records[type].n;
    return records[type].fields;
}


void
vmops_record_mac(uint8_t mac[VMOPS_HASH], const uint8_t key[32],
    vmops_record_t type, vmops_span_t redis_key, const vmops_span_t *values)
{
    mac_t                      m;
    size_t                     i;
    vmops_span_t               name;
    static const vmops_span_t  label = VMOPS_LABEL("vmops-record-v1");

    name = vmops_span_str(records[type].type);

    mac_init(&m, key, label);
    mac_u8(&m, (uint8_t) name.n);
    crypto_generichash_update(&m, name.p, name.n);
    mac_field(&m, redis_key);
    mac_u8(&m, (uint8_t) records[type].n);

    for (i = 0; i < records[type].n; i++) {
        mac_field(&m, values[i]);
    }

    mac_final(&m, mac);
}


void
vmops_record_mac_text(char out[VMOPS_MAC_TEXT + 1], const uint8_t key[32],
    vmops_record_t type, vmops_span_t redis_key, const vmops_span_t *values)
{
    uint8_t  mac[VMOPS_HASH];

    vmops_record_mac(mac, key, type, redis_key, values);
    mac_text(out, mac);
}


int
vmops_record_verify(vmops_span_t text, const uint8_t key[32],
    vmops_record_t type, vmops_span_t redis_key, const vmops_span_t *values)
{
    uint8_t  mac[VMOPS_HASH];

    vmops_record_mac(mac, key, type, redis_key, values);

    return mac_is(mac, text);
}


void
vmops_intent_mac(uint8_t mac[VMOPS_HASH], const uint8_t key[32],
    const vmops_intent_t *i)
{
    mac_t                      m;
    uint8_t                    params[VMOPS_HASH];
    static const vmops_span_t  label = VMOPS_LABEL("vmops-intent-v1");

    vmops_hash(params, i->params);

    mac_init(&m, key, label);
    mac_field(&m, i->tenant);
    mac_field(&m, i->command_id);
    mac_field(&m, i->service);
    mac_field(&m, i->action);
    mac_field(&m, i->vm_uuid);
    mac_field(&m, i->secret_ref);
    mac_field(&m, i->target_command);
    mac_field(&m, vmops_span(params, sizeof(params)));
    mac_field(&m, i->principal_kind);
    mac_field(&m, i->principal_key);
    mac_field(&m, i->subject);
    mac_field(&m, i->role);
    mac_u64(&m, i->iat);
    mac_u64(&m, i->exp);
    mac_u32(&m, i->timeout_s);
    mac_field(&m, i->idem);
    mac_final(&m, mac);
}


void
vmops_intent_mac_text(char out[VMOPS_MAC_TEXT + 1], const uint8_t key[32],
    const vmops_intent_t *i)
{
    uint8_t  mac[VMOPS_HASH];

    vmops_intent_mac(mac, key, i);
    mac_text(out, mac);
}


int
vmops_intent_verify(vmops_span_t text, const uint8_t key[32],
    const vmops_intent_t *i)
{
    uint8_t  mac[VMOPS_HASH];

    vmops_intent_mac(mac, key, i);

    return mac_is(mac, text);
}


void
vmops_audit_link(uint8_t h[VMOPS_HASH], const uint8_t previous[VMOPS_HASH],
    uint64_t n, uint64_t ms, vmops_span_t entry)
{
    uint8_t       numbers[20];
    vmops_span_t  parts[4] = {
        VMOPS_LABEL("vmops-audit-v1"), { previous, VMOPS_HASH },
        { numbers, sizeof(numbers) }, entry
    };

    vmops_put_u64(numbers, n);
    vmops_put_u64(numbers + 8, ms);
    vmops_put_u32(numbers + 16, (uint32_t) entry.n);

    vmops_blake2b(h, VMOPS_HASH, NULL, parts, 4);
}
