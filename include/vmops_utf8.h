/*
 * Incremental UTF-8 validation (RFC 3629: no overlong forms, no surrogates,
 * nothing above U+10FFFF), and cleaning of text that came from elsewhere.
 */

#ifndef VMOPS_UTF8_H
#define VMOPS_UTF8_H

#include "vmops_bytes.h"

#pragma GCC visibility push(hidden)

/* Zero is the initial state: { 0 }. */

typedef struct {
    uint8_t  need;      /* continuation bytes still to come */
    uint8_t  lo;        /* allowed range of the next one; 0: 0x80..0xbf */
    uint8_t  hi;
} vmops_utf8_t;

/* 0 while what was fed can be the beginning of UTF-8; -1 at the first byte
 * which cannot: reject then, there is no way back. */
int vmops_utf8_feed(vmops_utf8_t *u, const uint8_t *p, size_t n);

/* 1 if what was fed ends at the end of a character. */
int vmops_utf8_complete(const vmops_utf8_t *u);

/* 1 if all of s is UTF-8. */
int vmops_utf8_valid(vmops_span_t s);

/*
 * Copies s to dst, at most cap bytes: each bad byte becomes U+FFFD, control
 * characters become a space, and what does not fit is cut at the end of a
 * character.  Returns the length.  For log lines and messages from outside.
 */
size_t vmops_utf8_clean(uint8_t *dst, size_t cap, vmops_span_t s);

/* The longest prefix of s of at most max bytes that ends a character. */
size_t vmops_utf8_cut(vmops_span_t s, size_t max);

#pragma GCC visibility pop

#endif /* VMOPS_UTF8_H */
