/*
 * Between the files that make hashes, MACs and signatures.
 */

#ifndef VMOPS_KEYS_PARTS_H
#define VMOPS_KEYS_PARTS_H

#include "vmops_bytes.h"

#pragma GCC visibility push(hidden)

/* A label with its one zero byte (docs/protocol.md). */
#define VMOPS_LABEL(lit)  { (const uint8_t *) (lit), sizeof(lit) }

/* BLAKE2b of n bytes over the parts in a row; key NULL or 32 bytes. */
void vmops_blake2b(uint8_t *out, size_t n, const uint8_t *key,
    const vmops_span_t *parts, size_t count);

#pragma GCC visibility pop

#endif /* VMOPS_KEYS_PARTS_H */
