/*
 * Secret envelope v1, alg `xc20p-blake2b-v1` (docs/protocol.md, The secret
 * envelope; vectors: t/vectors/envelope-v1.json).
 *
 * Only an agent seals and opens.  Plaintext stays in buffers of the caller,
 * which should come from sodium_malloc(); nothing here copies it elsewhere.
 */

#ifndef VMOPS_ENVELOPE_H
#define VMOPS_ENVELOPE_H

#include "vmops_kinds.h"

#pragma GCC visibility push(hidden)

#define VMOPS_ENVELOPE_ALG       "xc20p-blake2b-v1"
#define VMOPS_ENVELOPE_AAD       128
#define VMOPS_ENVELOPE_NONCE     24
#define VMOPS_ENVELOPE_TAG       16

typedef enum {
    VMOPS_ENV_OK = 0,
    VMOPS_ENV_ALG,          /* unknown alg */
    VMOPS_ENV_KEY,          /* the vault key is not the one of this kid */
    VMOPS_ENV_SIZE,         /* no length a ciphertext of v1 can have, or the
                               caller's buffer is too small */
    VMOPS_ENV_TAMPERED,     /* authentication failed */
    VMOPS_ENV_MALFORMED     /* authentic, but breaks a rule of v1 */
} vmops_envelope_rc_t;

/* What is authenticated beside the ciphertext.  tenant, secret and kind come
 * from what the agent itself knows, never from an answer. */

typedef struct {
    uint8_t       tenant16[16];
    vmops_uuid_t  secret;
    uint16_t      kind;             /* vmops_kind_t */
    uint64_t      version;          /* >= 1 */
    uint64_t      created_ms;
    uint8_t       kid[32];
    vmops_span_t  aad_meta;         /* as stored, <= VMOPS_AAD_META_MAX */
} vmops_envelope_head_t;

/* The plaintext's fields.  A span with p NULL is absent. */

typedef struct {
    vmops_span_t  user;             /* 0x0001 */
    vmops_span_t  secret;           /* 0x0002 */
    vmops_span_t  passphrase;       /* 0x0003 */
    vmops_span_t  host;             /* 0x0010 */
    uint16_t      port;             /* 0x0011; 0: absent */
    vmops_span_t  tls_pin;          /* 0x0012, 32 bytes */
    vmops_span_t  tls_pin_next;     /* 0x0013, 32 bytes */
    vmops_span_t  ssh_host_key;     /* 0x0014, 32 bytes */
    vmops_span_t  via;              /* 0x0015, 16 bytes */
    uint16_t      scheme;           /* 0x0016: VMOPS_SCHEME_*; 0: absent */
    uint64_t      classes;          /* 0x0020, if has_classes */
    uint64_t      not_after_ms;     /* 0x0021, if has_not_after */
    vmops_span_t  vmids;            /* 0x0022: 8 bytes each: u32 from, to */
    uint8_t       has_classes;
    uint8_t       has_not_after;
} vmops_secret_t;

#define VMOPS_SCHEME_HTTPS  1
#define VMOPS_SCHEME_HTTP   2

void vmops_envelope_kid(uint8_t kid[32], const uint8_t vault_key[32]);
void vmops_envelope_subkey(uint8_t subkey[32], const uint8_t vault_key[32],
    const uint8_t tenant16[16], const vmops_uuid_t *secret);
void vmops_envelope_aad(uint8_t aad[VMOPS_ENVELOPE_AAD],
    const vmops_envelope_head_t *head);

/* BLAKE2b-256(nonce || ciphertext): what the agent keeps against rollback. */
void vmops_envelope_floor(uint8_t out[32],
    const uint8_t nonce[VMOPS_ENVELOPE_NONCE], vmops_span_t ciphertext);

/*
 * Encodes and pads s into buf; *n is the padded length, at most
 * VMOPS_SECRET_PLAINTEXT_MAX.  MALFORMED if s breaks a rule for its kind,
 * SIZE if it does not fit into cap.
 */
vmops_envelope_rc_t vmops_secret_encode(uint8_t *buf, size_t cap, size_t *n,
    unsigned kind, const vmops_secret_t *s)
    __attribute__((warn_unused_result));

/* Decodes padded plaintext; the spans of s point into it. */
vmops_envelope_rc_t vmops_secret_decode(vmops_secret_t *s, unsigned kind,
    vmops_span_t padded)
    __attribute__((warn_unused_result));

/*
 * Seals padded plaintext (vmops_secret_encode) with a nonce of the caller's;
 * out takes padded.n + 16 bytes.  KEY if vault_key is not head->kid's, SIZE
 * if padded is none or out too small, MALFORMED for version 0, an unknown
 * kind or an aad_meta that is too long.  A nonce must never be used twice:
 * programs use vmops_envelope_seal(), which draws it.
 */
vmops_envelope_rc_t vmops_envelope_seal_nonce(uint8_t *out, size_t cap,
    size_t *n, const vmops_envelope_head_t *head, const uint8_t vault_key[32],
    const uint8_t nonce[VMOPS_ENVELOPE_NONCE], vmops_span_t padded)
    __attribute__((warn_unused_result));
vmops_envelope_rc_t vmops_envelope_seal(uint8_t *out, size_t cap, size_t *n,
    uint8_t nonce[VMOPS_ENVELOPE_NONCE], const vmops_envelope_head_t *head,
    const uint8_t vault_key[32], vmops_span_t padded)
    __attribute__((warn_unused_result));

/*
 * Opens into plain (cap bytes; VMOPS_SECRET_PLAINTEXT_MAX is always enough)
 * and decodes; the spans of s point into plain.  The kid of vault_key is
 * compared in full before.  On any failure plain is zeroed.
 */
vmops_envelope_rc_t vmops_envelope_open(vmops_secret_t *s, uint8_t *plain,
    size_t cap, vmops_span_t alg, const vmops_envelope_head_t *head,
    const uint8_t vault_key[32], vmops_span_t nonce, vmops_span_t ciphertext)
    __attribute__((warn_unused_result));

/* 1 if the secret's own restrictions allow it. */

int vmops_secret_allows_class(const vmops_secret_t *s, uint64_t class_bit);
int vmops_secret_allows_vmid(const vmops_secret_t *s, uint32_t vmid);
int vmops_secret_allows_time(const vmops_secret_t *s, uint64_t now_ms);

/* 1 if `via` as told in the clear (NULL: none) is what the envelope says. */
int vmops_secret_via_is(const vmops_secret_t *s, const vmops_uuid_t *via);

/* 1 for localhost, 127.0.0.0/8 and ::1 (with or without brackets): where
 * plain http and ws are allowed. */
int vmops_host_is_loopback(vmops_span_t host);

#pragma GCC visibility pop

#endif /* VMOPS_ENVELOPE_H */
