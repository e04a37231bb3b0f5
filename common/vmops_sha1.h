/*
 * SHA-1 (FIPS 180-4), for Sec-WebSocket-Accept alone (RFC 6455 section 1.3):
 * not a security function there, and used for nothing else.
 */

#ifndef VMOPS_SHA1_H
#define VMOPS_SHA1_H

#include "vmops_bytes.h"

#pragma GCC visibility push(hidden)

void vmops_sha1(uint8_t out[20], vmops_span_t s);

#pragma GCC visibility pop

#endif /* VMOPS_SHA1_H */
