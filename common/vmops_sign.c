/*
 * Every byte string that is signed with Ed25519.
 */

#include <sodium.h>

#include "vmops_keys.h"
#include "vmops_keys_parts.h"
#include "vmops_banned.h"


/* label, code hash, three keys, three texts with a length byte each */
#define REGISTER_MAX  (18 + 32 + 3 * 32 + 3 + 16 + VMOPS_NAME_MAX             \
                       + VMOPS_HOSTNAME_MAX)

/* label, two nonces, tenant16, agent, key hash, epoch, cb, cb32, host */
#define TRANSCRIPT_MAX  (18 + 64 + 16 + 16 + 32 + 8 + 1 + 32 + 1              \
                         + VMOPS_HOST_HEADER_MAX)

/* label, tenant16, agent, session16, payload */
#define SIGNED_MAX  (16 + 48 + VMOPS_PAYLOAD_MAX)


static int
sign(uint8_t sig[VMOPS_SIG], const vmops_buf_t *b, const uint8_t sk[64])
{
    return b->overflow ? -1
                       : crypto_sign_detached(sig, NULL, b->p, b->n, sk);
}


static int
verify(const uint8_t sig[VMOPS_SIG], const vmops_buf_t *b,
    const uint8_t pk[32])
{
    return b->overflow ? -1
                       : crypto_sign_verify_detached(sig, b->p, b->n, pk);
}


static void
put_short(vmops_buf_t *b, vmops_span_t s, size_t max)
{
    if (s.n == 0 || s.n > max) {
        b->overflow = 1;
        return;
    }

    vmops_buf_u8(b, (uint8_t) s.n);
    vmops_buf_span(b, s);
}


static void
register_bytes(vmops_buf_t *b, const vmops_register_t *r)
{
    uint8_t  code[VMOPS_HASH];

    if (r->code.n != VMOPS_PAIRING_CODE) {
        b->overflow = 1;
        return;
    }

    vmops_hash(code, r->code);

    vmops_buf_put(b, "vmops-register-v1", 18);
    vmops_buf_put(b, code, sizeof(code));
    vmops_buf_put(b, r->ed_pk, 32);
    vmops_buf_put(b, r->x_pk, 32);
    vmops_buf_put(b, r->kid, 32);
    put_short(b, r->platform, 16);
    put_short(b, r->name, VMOPS_NAME_MAX);
    put_short(b, r->hostname, VMOPS_HOSTNAME_MAX);
}


int
vmops_register_sign(uint8_t sig[VMOPS_SIG], const vmops_register_t *r,
    const uint8_t sk[64])
{
    uint8_t      bytes[REGISTER_MAX];
    vmops_buf_t  b;

    vmops_buf_init(&b, bytes, sizeof(bytes));
    register_bytes(&b, r);

    return sign(sig, &b, sk);
}


int
vmops_register_verify(const uint8_t sig[VMOPS_SIG], const vmops_register_t *r)
{
    uint8_t      bytes[REGISTER_MAX];
    vmops_buf_t  b;

    vmops_buf_init(&b, bytes, sizeof(bytes));
    register_bytes(&b, r);

    return verify(sig, &b, r->ed_pk);
}


/* T of docs/protocol.md */

static void
transcript(vmops_buf_t *b, const vmops_ws_auth_t *t)
{
    uint8_t  key[VMOPS_HASH];

    if (t->cb > VMOPS_CB_TLS_EXPORTER
        || (t->cb == VMOPS_CB_NONE && !sodium_is_zero(t->cb32, 32)))
    {
        b->overflow = 1;
        return;
    }

    vmops_hash(key, vmops_span(t->ed_pk, 32));

    vmops_buf_put(b, "vmops-ws-auth-v1", 17);
    vmops_buf_put(b, t->s_nonce, 32);
    vmops_buf_put(b, t->c_nonce, 32);
    vmops_buf_put(b, t->tenant16, 16);
    vmops_buf_put(b, t->agent.b, 16);
    vmops_buf_put(b, key, sizeof(key));
    vmops_buf_u64(b, t->epoch);
    vmops_buf_u8(b, t->cb);
    vmops_buf_put(b, t->cb32, 32);
    put_short(b, t->host, VMOPS_HOST_HEADER_MAX);
}


int
vmops_ws_auth_sign(uint8_t sig[VMOPS_SIG], const vmops_ws_auth_t *t,
    const uint8_t sk[64])
{
    uint8_t      bytes[TRANSCRIPT_MAX];
    vmops_buf_t  b;

    vmops_buf_init(&b, bytes, sizeof(bytes));
    transcript(&b, t);

    return sign(sig, &b, sk);
}


int
vmops_ws_auth_verify(const uint8_t sig[VMOPS_SIG], const vmops_ws_auth_t *t)
{
    uint8_t      bytes[TRANSCRIPT_MAX];
    vmops_buf_t  b;

    vmops_buf_init(&b, bytes, sizeof(bytes));
    transcript(&b, t);

    return verify(sig, &b, t->ed_pk);
}


int
vmops_ws_auth_hash(uint8_t out[VMOPS_HASH], const vmops_ws_auth_t *t,
    const uint8_t sig[VMOPS_SIG])
{
    uint8_t       bytes[TRANSCRIPT_MAX + VMOPS_SIG];
    vmops_buf_t   b;
    vmops_span_t  all;

    vmops_buf_init(&b, bytes, sizeof(bytes));
    transcript(&b, t);
    vmops_buf_put(&b, sig, VMOPS_SIG);

    if (vmops_buf_done(&b, &all) != 0) {
        return -1;
    }

    vmops_hash(out, all);
    return 0;
}


void
vmops_ws_session_before(vmops_uuid_t *session,
    const uint8_t auth_hash[VMOPS_HASH])
{
    memcpy(session->b, auth_hash, 16);
}


static void
welcome_bytes(vmops_buf_t *b, const uint8_t auth_hash[VMOPS_HASH],
    const vmops_uuid_t *session, uint64_t new_epoch, uint64_t time_ms)
{
    vmops_buf_put(b, "vmops-ws-welcome-v1", 20);
    vmops_buf_put(b, auth_hash, VMOPS_HASH);
    vmops_buf_put(b, session->b, 16);
    vmops_buf_u64(b, new_epoch);
    vmops_buf_u64(b, time_ms);
}


void
vmops_ws_welcome_sign(uint8_t sig[VMOPS_SIG],
    const uint8_t auth_hash[VMOPS_HASH], const vmops_uuid_t *session,
    uint64_t new_epoch, uint64_t time_ms, const uint8_t sk[64])
{
    uint8_t      bytes[128];
    vmops_buf_t  b;

    vmops_buf_init(&b, bytes, sizeof(bytes));
    welcome_bytes(&b, auth_hash, session, new_epoch, time_ms);
    (void) sign(sig, &b, sk);
}


int
vmops_ws_welcome_verify(const uint8_t sig[VMOPS_SIG],
    const uint8_t auth_hash[VMOPS_HASH], const vmops_uuid_t *session,
    uint64_t new_epoch, uint64_t time_ms, const uint8_t pk[32])
{
    uint8_t      bytes[128];
    vmops_buf_t  b;

    vmops_buf_init(&b, bytes, sizeof(bytes));
    welcome_bytes(&b, auth_hash, session, new_epoch, time_ms);

    return verify(sig, &b, pk);
}


static void
payload_bytes(vmops_buf_t *b, vmops_signed_t what, const uint8_t tenant16[16],
    const vmops_uuid_t *agent, const vmops_uuid_t *session,
    vmops_span_t payload)
{
    static const vmops_span_t  labels[] = {
        VMOPS_LABEL("vmops-cmd-v1"),
        VMOPS_LABEL("vmops-result-v1"),
        VMOPS_LABEL("vmops-ctl-v1")
    };

    vmops_buf_span(b, labels[what]);
    vmops_buf_put(b, tenant16, 16);
    vmops_buf_put(b, agent->b, 16);

    if (what == VMOPS_SIGNED_CTL) {
        vmops_buf_put(b, session->b, 16);
    }

    vmops_buf_span(b, payload);
}


int
vmops_payload_sign(uint8_t sig[VMOPS_SIG], vmops_signed_t what,
    const uint8_t tenant16[16], const vmops_uuid_t *agent,
    const vmops_uuid_t *session, vmops_span_t payload, const uint8_t sk[64])
{
    uint8_t      bytes[SIGNED_MAX];
    vmops_buf_t  b;

    if (payload.n > VMOPS_PAYLOAD_MAX) {
        return -1;
    }

    vmops_buf_init(&b, bytes, sizeof(bytes));
    payload_bytes(&b, what, tenant16, agent, session, payload);

    return sign(sig, &b, sk);
}


int
vmops_payload_verify(const uint8_t sig[VMOPS_SIG], vmops_signed_t what,
    const uint8_t tenant16[16], const vmops_uuid_t *agent,
    const vmops_uuid_t *session, vmops_span_t payload, const uint8_t pk[32])
{
    uint8_t      bytes[SIGNED_MAX];
    vmops_buf_t  b;

    if (payload.n > VMOPS_PAYLOAD_MAX) {
        return -1;
    }

    vmops_buf_init(&b, bytes, sizeof(bytes));
    payload_bytes(&b, what, tenant16, agent, session, payload);

    return verify(sig, &b, pk);
}


static void
seal_bytes(vmops_buf_t *b, const vmops_seal_t *s, const uint8_t tenant16[16])
{
    vmops_buf_put(b, "vmops-seal-v1", 14);
    vmops_buf_put(b, tenant16, 16);
    vmops_buf_u64(b, s->from);
    vmops_buf_u64(b, s->to);
    vmops_buf_put(b, s->head, VMOPS_HASH);
    vmops_buf_u64(b, s->ms);
}


void
vmops_seal_sign(vmops_seal_t *s, const uint8_t tenant16[16],
    const uint8_t sk[64])
{
    uint8_t      bytes[128];
    vmops_buf_t  b;

    vmops_buf_init(&b, bytes, sizeof(bytes));
    seal_bytes(&b, s, tenant16);
    (void) sign(s->sig, &b, sk);
}


int
vmops_seal_verify(const vmops_seal_t *s, const uint8_t tenant16[16],
    const uint8_t pk[32])
{
    uint8_t      bytes[128];
    vmops_buf_t  b;

    vmops_buf_init(&b, bytes, sizeof(bytes));
    seal_bytes(&b, s, tenant16);

    return verify(s->sig, &b, pk);
}
