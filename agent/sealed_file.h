
/*
 * Files that only this installation can read:
 *
 *     magic (8) || u8 wrap type || u16 length || wrapped key
 *     || nonce (24) || XChaCha20-Poly1305(key, content, AAD = all before)
 *
 * The key is drawn for each write; the platform wraps it.
 */

#ifndef VMOPS_SEALED_FILE_H
#define VMOPS_SEALED_FILE_H


#include "agent.h"


#define SEALED_CONTENT_MAX  16384

typedef enum {
    SEALED_OK = 0,
    SEALED_NONE,            /* there is no such file */
    SEALED_UNREADABLE,      /* and it has been renamed to *.unreadable */
    SEALED_ERROR            /* the file could not be read this time */
} sealed_rc_t;

/*
 * Reads the file `name` of the state folder into content (sodium_malloc
 * memory of cap bytes).  A file that cannot be unwrapped or fails to
 * authenticate is kept under another name, never written over.
 */
sealed_rc_t sealed_read(const home_t *home, const char *name,
    const char magic[8], uint8_t *content, size_t cap, size_t *len);

/* Replaces it in one step.  0, or -1 with the old file in place. */
int sealed_write(const home_t *home, const char *name, const char magic[8],
    vmops_span_t content);


#endif /* VMOPS_SEALED_FILE_H */
