/*
 * Names, keys, signatures and MACs: every label and every signed byte string
 * of docs/protocol.md as one function.
 *
 * Secret keys are libsodium's: Ed25519 secret keys have 64 bytes (seed and
 * public key; crypto_sign_seed_keypair makes them from a key file).  A
 * verify returns 0 if and only if the signature or MAC is right, -1
 * otherwise.  sodium_init() has been called.
 */

#ifndef VMOPS_KEYS_H
#define VMOPS_KEYS_H

#include "vmops_bytes.h"

#pragma GCC visibility push(hidden)

#define VMOPS_CHECKED  __attribute__((warn_unused_result))

#define VMOPS_SIG      64
#define VMOPS_HASH     32

/* BLAKE2b-128("vmops/tenant/v1" || tenant id) */
void vmops_tenant16(uint8_t out[16], vmops_span_t tenant);

/* "k1" + hex(kid[0..15]); "c1" + hex(BLAKE2b-128(public key)); NUL-ended */
void vmops_key_id(char out[VMOPS_KEY_ID_TEXT + 1], const uint8_t kid[32]);
void vmops_command_key_id(char out[VMOPS_KEY_ID_TEXT + 1],
    const uint8_t pk[32]);

/* prefix + hex(keyed BLAKE2b-128("vmops/key-id/v1")), NUL-ended: whether two
 * secret keys are the same, and nothing else of them */
#define VMOPS_MAC_KEY_PREFIX     "m1"
#define VMOPS_PEPPER_KEY_PREFIX  "p1"

void vmops_secret_key_id(char out[VMOPS_KEY_ID_TEXT + 1], const char *prefix,
    const uint8_t key[32]);

/* "12345 … 12345": six groups, single spaces, NUL-ended */

#define VMOPS_FINGERPRINT_TEXT  35

void vmops_fingerprint(char out[VMOPS_FINGERPRINT_TEXT + 1],
    const uint8_t ed_pk[32], const uint8_t x_pk[32],
    const uint8_t command_pk[32]);


/* Pairing codes: 12 Crockford base32 characters, 4 select and 8 verify. */

#define VMOPS_PAIRING_CODE      12
#define VMOPS_PAIRING_SELECTOR  4
#define VMOPS_PAIRING_TEXT      14      /* XXXX-XXXX-XXXX */

/* The shown form, NUL-ended, from 12 random bytes. */
void vmops_pairing_code_make(char out[VMOPS_PAIRING_TEXT + 1],
    const uint8_t random[12]);

/* What a person typed → 12 characters, NUL-ended: upper case, without `-`
 * and spaces, O as 0, I and L as 1.  -1 if that leaves no code. */
int vmops_pairing_code_normalise(char out[VMOPS_PAIRING_CODE + 1],
    vmops_span_t typed);

typedef struct {
    vmops_span_t    code;           /* the 12 characters */
    const uint8_t  *ed_pk;          /* 32 */
    const uint8_t  *x_pk;           /* 32 */
    const uint8_t  *kid;            /* 32 */
    vmops_span_t    platform;       /* linux, windows */
    vmops_span_t    name;           /* 1 ... 64 bytes */
    vmops_span_t    hostname;       /* 1 ... 253 bytes */
} vmops_register_t;

/* "vmops-register-v1\0" …; -1 if a length is out of its range. */
int vmops_register_sign(uint8_t sig[VMOPS_SIG], const vmops_register_t *r,
    const uint8_t sk[64]) VMOPS_CHECKED;
int vmops_register_verify(const uint8_t sig[VMOPS_SIG],
    const vmops_register_t *r) VMOPS_CHECKED;


/* The socket's challenge and response (docs/protocol.md). */

#define VMOPS_CB_NONE          0
#define VMOPS_CB_TLS_EXPORTER  1        /* RFC 9266 */

typedef struct {
    uint8_t         s_nonce[32];
    uint8_t         c_nonce[32];
    uint8_t         tenant16[16];
    vmops_uuid_t    agent;
    uint8_t         ed_pk[32];
    uint64_t        epoch;          /* the one presented */
    uint8_t         cb;             /* VMOPS_CB_* */
    uint8_t         cb32[32];       /* zero for VMOPS_CB_NONE */
    vmops_span_t    host;           /* Host header, byte for byte, <= 255 */
} vmops_ws_auth_t;

/* sig over T.  -1 for a host that is empty or too long. */
int vmops_ws_auth_sign(uint8_t sig[VMOPS_SIG], const vmops_ws_auth_t *t,
    const uint8_t sk[64]) VMOPS_CHECKED;
int vmops_ws_auth_verify(const uint8_t sig[VMOPS_SIG],
    const vmops_ws_auth_t *t) VMOPS_CHECKED;    /* by t->ed_pk */

/* BLAKE2b-256(T || sig): binds welcome and early ctl to this handshake. */
int vmops_ws_auth_hash(uint8_t out[VMOPS_HASH], const vmops_ws_auth_t *t,
    const uint8_t sig[VMOPS_SIG]) VMOPS_CHECKED;

/* ctl's session16 before a welcome: the first 16 bytes of that hash. */
void vmops_ws_session_before(vmops_uuid_t *session,
    const uint8_t auth_hash[VMOPS_HASH]);

void vmops_ws_welcome_sign(uint8_t sig[VMOPS_SIG],
    const uint8_t auth_hash[VMOPS_HASH], const vmops_uuid_t *session,
    uint64_t new_epoch, uint64_t time_ms, const uint8_t sk[64]);
int vmops_ws_welcome_verify(const uint8_t sig[VMOPS_SIG],
    const uint8_t auth_hash[VMOPS_HASH], const vmops_uuid_t *session,
    uint64_t new_epoch, uint64_t time_ms, const uint8_t pk[32]) VMOPS_CHECKED;


/*
 * Signed payloads: label || tenant16 || agent || [session16] || payload.
 * session is used for VMOPS_SIGNED_CTL only, and may be NULL for the others.
 * -1 for a payload above VMOPS_PAYLOAD_MAX.  Uses that much stack.
 */

typedef enum {
    VMOPS_SIGNED_CMD = 0,           /* "vmops-cmd-v1\0" */
    VMOPS_SIGNED_RESULT,            /* "vmops-result-v1\0" */
    VMOPS_SIGNED_CTL                /* "vmops-ctl-v1\0" */
} vmops_signed_t;

int vmops_payload_sign(uint8_t sig[VMOPS_SIG], vmops_signed_t what,
    const uint8_t tenant16[16], const vmops_uuid_t *agent,
    const vmops_uuid_t *session, vmops_span_t payload, const uint8_t sk[64])
    VMOPS_CHECKED;
int vmops_payload_verify(const uint8_t sig[VMOPS_SIG], vmops_signed_t what,
    const uint8_t tenant16[16], const vmops_uuid_t *agent,
    const vmops_uuid_t *session, vmops_span_t payload, const uint8_t pk[32])
    VMOPS_CHECKED;

/* cmd_hash, the parameters' hash, a body's hash: plain BLAKE2b-256. */
void vmops_hash(uint8_t out[VMOPS_HASH], vmops_span_t s);

/* BLAKE2b-256("vmops-idem-v1\0" || tenant16 || u8 len || subject || key) */
int vmops_idem_hash(uint8_t out[VMOPS_HASH], const uint8_t tenant16[16],
    vmops_span_t subject, vmops_span_t key) VMOPS_CHECKED;


/*
 * API tokens: vmo_<tenant>_<43 base62><6 of CRC-32>; platform tokens have
 * `platform` there.  Console sessions: <tenant>.<43 base62>.
 */

typedef struct {
    vmops_span_t    tenant;         /* points into the text */
    int             platform;       /* 1: platform_admin's, tenant unused */
} vmops_token_t;

/* tenant is a slug or `platform`; 32 random bytes.  NUL-ended. */
int vmops_token_make(char out[VMOPS_TOKEN_MAX + 1], vmops_span_t tenant,
    const uint8_t random[32]) VMOPS_CHECKED;
int vmops_token_parse(vmops_token_t *t, vmops_span_t text) VMOPS_CHECKED;

int vmops_cookie_make(char out[VMOPS_COOKIE_MAX + 1], vmops_span_t tenant,
    const uint8_t random[32]) VMOPS_CHECKED;
int vmops_cookie_parse(vmops_span_t *tenant, vmops_span_t text) VMOPS_CHECKED;

/*
 * HMAC-SHA256(pepper, text): under which name a token, a cookie or a pairing
 * code (its 12 characters) is stored.  The text form is b64u, NUL-ended.
 */

#define VMOPS_LOOKUP_TEXT  43

void vmops_lookup(uint8_t out[VMOPS_HASH], const uint8_t pepper[32],
    vmops_span_t text);
void vmops_lookup_text(char out[VMOPS_LOOKUP_TEXT + 1],
    const uint8_t pepper[32], vmops_span_t text);


/* MACs over records of Redis (vmops_records.def). */

typedef enum {
#define VMOPS_RECORD(type, ...)  VMOPS_RECORD_##type,
#include "vmops_records.def"
#undef VMOPS_RECORD
    VMOPS_RECORD_MAX_
} vmops_record_t;

#define VMOPS_RECORD_FIELDS_MAX  8
#define VMOPS_MAC_TEXT           43

/* The fields under the MAC, in order; *n is how many. */
const char *const *vmops_record_fields(vmops_record_t type, size_t *n);

/*
 * Keyed BLAKE2b-256 over "vmops-record-v1\0" || u8 len || type || u32 len ||
 * redis key || u8 count || (u32 len || field)...; values has one span per
 * field of the type, in its order; an absent field is empty.
 */
void vmops_record_mac(uint8_t mac[VMOPS_HASH], const uint8_t key[32],
    vmops_record_t type, vmops_span_t redis_key, const vmops_span_t *values);

/* The text in the hash's field `mac`: b64u, NUL-ended. */
void vmops_record_mac_text(char out[VMOPS_MAC_TEXT + 1], const uint8_t key[32],
    vmops_record_t type, vmops_span_t redis_key, const vmops_span_t *values);
int vmops_record_verify(vmops_span_t mac_text, const uint8_t key[32],
    vmops_record_t type, vmops_span_t redis_key, const vmops_span_t *values)
    VMOPS_CHECKED;


/* What the REST worker commits to when it submits a command. */

typedef struct {
    vmops_span_t    tenant;
    vmops_span_t    command_id;     /* texts, as they stand in the record */
    vmops_span_t    service;
    vmops_span_t    action;
    vmops_span_t    vm_uuid;        /* the target: exactly one of the three */
    vmops_span_t    secret_ref;     /* is not empty */
    vmops_span_t    target_command;
    vmops_span_t    params;         /* the JSON bytes; their hash is MACed */
    vmops_span_t    principal_kind; /* token, session, var */
    vmops_span_t    principal_key;  /* lookup text; empty for var */
    vmops_span_t    subject;
    vmops_span_t    role;
    uint64_t        iat;            /* Unix ms */
    uint64_t        exp;
    uint32_t        timeout_s;
    vmops_span_t    idem;           /* 32 bytes, or empty */
} vmops_intent_t;

/* Keyed BLAKE2b-256 over "vmops-intent-v1\0" || (u32 len || field)... in the
 * order of the struct, numbers as u64 and u32, params as its hash. */
void vmops_intent_mac(uint8_t mac[VMOPS_HASH], const uint8_t key[32],
    const vmops_intent_t *i);
void vmops_intent_mac_text(char out[VMOPS_MAC_TEXT + 1],
    const uint8_t key[32], const vmops_intent_t *i);
int vmops_intent_verify(vmops_span_t mac_text, const uint8_t key[32],
    const vmops_intent_t *i) VMOPS_CHECKED;


/* The audit chain and its seals (docs/audit.md). */

/* h = BLAKE2b-256("vmops-audit-v1\0" || previous || u64 n || u64 ms ||
 * u32 length || entry); the first previous is 32 zero bytes */
void vmops_audit_link(uint8_t h[VMOPS_HASH],
    const uint8_t previous[VMOPS_HASH], uint64_t n, uint64_t ms,
    vmops_span_t entry);

typedef struct {
    uint64_t        from;
    uint64_t        to;             /* `n` in JSON */
    uint8_t         head[VMOPS_HASH];
    uint64_t        ms;
    uint8_t         sig[VMOPS_SIG];
} vmops_seal_t;

/* Signs everything before sig, and sets it. */
void vmops_seal_sign(vmops_seal_t *s, const uint8_t tenant16[16],
    const uint8_t sk[64]);
int vmops_seal_verify(const vmops_seal_t *s, const uint8_t tenant16[16],
    const uint8_t pk[32]) VMOPS_CHECKED;

#pragma GCC visibility pop

#endif /* VMOPS_KEYS_H */
