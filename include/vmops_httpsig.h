/*
 * HTTP message signatures of agents' REST calls: RFC 9421 and RFC 9530 in
 * the one strict form of docs/protocol.md.
 */

#ifndef VMOPS_HTTPSIG_H
#define VMOPS_HTTPSIG_H

#include "vmops_bytes.h"

#pragma GCC visibility push(hidden)

#define VMOPS_HTTPSIG_DIGEST_TEXT  54       /* sha-256=:<44>: */
#define VMOPS_HTTPSIG_INPUT_MAX    256
#define VMOPS_HTTPSIG_SIG_TEXT     95       /* sig1=:<88>: */

typedef struct {
    vmops_span_t   method;          /* upper case */
    vmops_span_t   target_uri;      /* public URL + raw request target */
    vmops_span_t   digest;          /* Content-Digest's value */
    vmops_span_t   tenant;
    vmops_uuid_t   agent;
    int64_t        created_s;       /* Unix seconds */
    uint8_t        nonce[16];
    uint8_t        sig[64];
} vmops_httpsig_t;

typedef enum {
    VMOPS_HTTPSIG_OK = 0,
    VMOPS_HTTPSIG_FORM,             /* not the one strict form */
    VMOPS_HTTPSIG_STALE,            /* created too far from now */
    VMOPS_HTTPSIG_DIGEST,           /* the body is another one */
    VMOPS_HTTPSIG_SIGNATURE         /* not by this key over these parts */
} vmops_httpsig_rc_t;

/* Content-Digest of a body (also of an empty one), NUL-ended. */
void vmops_httpsig_digest(char out[VMOPS_HTTPSIG_DIGEST_TEXT + 1],
    vmops_span_t body);

/*
 * The agent: signs method, target_uri and digest with tenant, agent,
 * created_s and nonce as they stand in h; writes the values of both headers,
 * NUL-ended.  -1 if target_uri is too long or tenant no slug.
 */
int vmops_httpsig_sign(char input[VMOPS_HTTPSIG_INPUT_MAX + 1],
    char signature[VMOPS_HTTPSIG_SIG_TEXT + 1], vmops_httpsig_t *h,
    const uint8_t sk[64]) __attribute__((warn_unused_result));

/*
 * The server, before it knows the key: reads both headers into tenant (a
 * span into `input`), agent, created_s, nonce and sig.
 */
vmops_httpsig_rc_t vmops_httpsig_parse(vmops_httpsig_t *h, vmops_span_t input,
    vmops_span_t signature) __attribute__((warn_unused_result));

/*
 * And when it does: h from parse, with method, target_uri and digest (the
 * header's value) set by the caller.  The nonce's first use is the caller's
 * to check, after this.
 */
vmops_httpsig_rc_t vmops_httpsig_verify(const vmops_httpsig_t *h,
    vmops_span_t body, int64_t now_s, const uint8_t pk[32])
    __attribute__((warn_unused_result));

#pragma GCC visibility pop

#endif /* VMOPS_HTTPSIG_H */
