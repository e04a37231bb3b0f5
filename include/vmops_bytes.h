/*
 * Bytes: spans, bounded buffers, and the text forms of binary values.
 *
 * A function which can fail returns 0 on success and -1 otherwise, and leaves
 * its outputs unspecified then.  Nothing here allocates.  Text outputs are
 * given as char arrays with their exact size, a terminating NUL included
 * where the size says so.
 */

#ifndef VMOPS_BYTES_H
#define VMOPS_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vmops_limits.h"

#pragma GCC visibility push(hidden)

/* Borrowed bytes; whoever hands out a span says whose memory it is. */

typedef struct {
    const uint8_t  *p;
    size_t          n;
} vmops_span_t;

/* 16 bytes in the order of the hex digits (docs/protocol.md). */

typedef struct {
    uint8_t         b[16];
} vmops_uuid_t;

/* The span of a string literal, usable in static initialisers. */

#define VMOPS_SPAN(lit)  { (const uint8_t *) (lit), sizeof(lit) - 1 }

static inline vmops_span_t
vmops_span(const void *p, size_t n)
{
    return (vmops_span_t) { p, n };
}

static inline vmops_span_t
vmops_span_str(const char *s)
{
    return (vmops_span_t) { (const uint8_t *) s, s ? strlen(s) : 0 };
}

/* 1 if equal.  Not constant-time: not for secrets, MACs or lookups. */
int vmops_span_eq(vmops_span_t a, vmops_span_t b);
int vmops_span_is(vmops_span_t a, const char *s);

/* 1 if the n bytes are equal, in time that depends on n alone. */
int vmops_ct_eq(const void *a, const void *b, size_t n);


/*
 * A bounded output buffer over the caller's memory.  Appending beyond `cap`
 * writes nothing and sets `overflow`, which stays: test it once at the end.
 */

typedef struct {
    uint8_t        *p;
    size_t          n;
    size_t          cap;
    int             overflow;
} vmops_buf_t;

void vmops_buf_init(vmops_buf_t *b, void *p, size_t cap);
void vmops_buf_put(vmops_buf_t *b, const void *p, size_t n);
void vmops_buf_span(vmops_buf_t *b, vmops_span_t s);
void vmops_buf_str(vmops_buf_t *b, const char *s);
void vmops_buf_u8(vmops_buf_t *b, uint8_t v);
void vmops_buf_u16(vmops_buf_t *b, uint16_t v);     /* big-endian, as are */
void vmops_buf_u32(vmops_buf_t *b, uint32_t v);     /* all of them */
void vmops_buf_u64(vmops_buf_t *b, uint64_t v);
void vmops_buf_dec(vmops_buf_t *b, uint64_t v);     /* decimal digits */

/* 0 and the bytes written so far; -1 if something did not fit. */
int vmops_buf_done(const vmops_buf_t *b, vmops_span_t *out);


/* big-endian */

void vmops_put_u16(uint8_t *p, uint16_t v);
void vmops_put_u32(uint8_t *p, uint32_t v);
void vmops_put_u64(uint8_t *p, uint64_t v);
uint16_t vmops_get_u16(const uint8_t *p);
uint32_t vmops_get_u32(const uint8_t *p);
uint64_t vmops_get_u64(const uint8_t *p);


/*
 * b64u: RFC 4648 section 5, no padding, canonical only: a length of 1 mod 4,
 * set bits after the last byte and foreign characters are refused.
 */

#define VMOPS_B64U_LEN(n)  (((n) * 4 + 2) / 3)

/* Writes VMOPS_B64U_LEN(n) characters and no NUL; returns that number. */
size_t vmops_b64u_encode(char *dst, const void *src, size_t n);

/* Decodes into at most `cap` bytes; *len is how many.  dst may be text.p. */
int vmops_b64u_decode(uint8_t *dst, size_t cap, size_t *len,
    vmops_span_t text);

/* Decodes exactly n bytes; any other length is a failure. */
int vmops_b64u_decode_exact(uint8_t *dst, size_t n, vmops_span_t text);


/* RFC 4648 section 4 with padding, canonical only: RFC 9421, RFC 6455. */

size_t vmops_b64_encode(char *dst, const void *src, size_t n);
int vmops_b64_decode(uint8_t *dst, size_t cap, size_t *len, vmops_span_t text);


/* Lower-case hex: writes 2 n characters and no NUL; reads exactly n bytes. */

void vmops_hex_encode(char *dst, const void *src, size_t n);
int vmops_hex_decode(uint8_t *dst, size_t n, vmops_span_t text);


/* Decimal digits without sign, leading zeros or anything else, <= max. */

int vmops_dec_parse(vmops_span_t text, uint64_t max, uint64_t *out);


/* UUIDs: lower case, 8-4-4-4-12; any version is parsed. */

int vmops_uuid_parse(vmops_uuid_t *u, vmops_span_t text);
void vmops_uuid_format(char out[VMOPS_UUID_TEXT + 1], const vmops_uuid_t *u);

/* RFC 9562 UUIDv7 from Unix milliseconds and 10 random bytes. */
void vmops_uuid_v7(vmops_uuid_t *u, uint64_t ms, const uint8_t random[10]);

static inline int
vmops_uuid_eq(const vmops_uuid_t *a, const vmops_uuid_t *b)
{
    return memcmp(a->b, b->b, 16) == 0;
}

/* `sec_` + the secret's id as 32 hex digits. */

int vmops_secret_ref_parse(vmops_uuid_t *u, vmops_span_t text);
void vmops_secret_ref_format(char out[VMOPS_SECRET_REF_TEXT + 1],
    const vmops_uuid_t *u);


/*
 * RFC 3339 in UTC with milliseconds.  Reading takes upper-case T and Z or a
 * numeric offset, and 0 to 9 fraction digits (cut to milliseconds); years
 * 1970 to 9999; leap seconds are refused.  Milliseconds since 1970.
 */

void vmops_time_format(char out[VMOPS_TIME_TEXT + 1], int64_t ms);
int vmops_time_parse(int64_t *ms, vmops_span_t text);


/* CRC-32 (IEEE 802.3, reflected, as in zlib) of the bytes. */
uint32_t vmops_crc32(vmops_span_t s);


/*
 * Named patterns of the documents.  Each also bounds the length.
 *
 * uuid, uuid7 (of version 7 only), tenant (a slug, not `platform`),
 * secret_ref, b64u (canonical, may be empty), bot_id, node, hostname (RFC 1123
 * or an address literal), vm_name (RFC 1123 label or dotted name), key_id,
 * command_key_id, action (a name of the catalogue's form), code (a stable
 * code), subject (printable ASCII without space), version, time (RFC 3339),
 * text (UTF-8 on one line: no control characters; up to the field's own
 * length), hex64 (64 digits).
 */

typedef enum {
    VMOPS_P_NONE = 0,
    VMOPS_P_UUID,
    VMOPS_P_UUID7,
    VMOPS_P_TENANT,
    VMOPS_P_SECRET_REF,
    VMOPS_P_B64U,
    VMOPS_P_BOT_ID,
    VMOPS_P_NODE,
    VMOPS_P_HOSTNAME,
    VMOPS_P_VM_NAME,
    VMOPS_P_KEY_ID,
    VMOPS_P_COMMAND_KEY_ID,
    VMOPS_P_ACTION,
    VMOPS_P_CODE,
    VMOPS_P_SUBJECT,
    VMOPS_P_VERSION,
    VMOPS_P_TIME,
    VMOPS_P_TEXT,
    VMOPS_P_HEX64,
    VMOPS_P_MAX_
} vmops_pattern_t;

/* 1 if the whole of s has the form. */
int vmops_pattern_match(vmops_pattern_t pattern, vmops_span_t s);

/*
 * The pattern as an ECMA-262 regular expression for JSON Schema, or NULL if
 * it cannot be said as one (text, time).
 */
const char *vmops_pattern_regex(vmops_pattern_t pattern);

#pragma GCC visibility pop

#endif /* VMOPS_BYTES_H */
