
/*
 * Key wrapping without a desktop: the key of a file is sealed with another
 * one, which lies in a file of its own that only its owner can read.
 *
 *     wrapped = nonce (24) || XChaCha20-Poly1305(key), 72 bytes
 */

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "platform/platform.h"
#include "vmops_banned.h"


#define WRAP_FILE   1
#define WRAP_NONCE  crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define WRAP_TAG    crypto_aead_xchacha20poly1305_ietf_ABYTES
#define WRAP_LEN    (WRAP_NONCE + PLAT_WRAP_KEY + WRAP_TAG)

static const char  wrap_label[] = "vmops-wrap-file-v1";


static int
file_key(const char *dir, uint8_t key[PLAT_WRAP_KEY], int create)
{
    int     rc, n;
    char    path[PLAT_PATH_MAX];
    size_t  len;

    n = snprintf(path, sizeof(path), "%s/wrap.key", dir);
    if (n < 0 || (size_t) n >= sizeof(path)) {
        return PLAT_ETOOBIG;
    }

    rc = plat_read_private(path, key, PLAT_WRAP_KEY, &len);
    if (rc == 0) {
        return len == PLAT_WRAP_KEY ? 0 : PLAT_E;
    }
    if (rc != PLAT_ENOENT || !create) {
        return rc == PLAT_ENOENT || rc == PLAT_ETOOBIG ? PLAT_E : PLAT_EOPEN;
    }

    randombytes_buf(key, PLAT_WRAP_KEY);

    return plat_write_file(path, key, PLAT_WRAP_KEY);
}


static int
file_wrap(const char *dir, const uint8_t key[PLAT_WRAP_KEY], uint8_t *wrapped,
    size_t *len)
{
    int      rc;
    uint8_t  outer[PLAT_WRAP_KEY];

    if (file_key(dir, outer, 1) != 0) {
        return PLAT_E;
    }

    randombytes_buf(wrapped, WRAP_NONCE);

    rc = crypto_aead_xchacha20poly1305_ietf_encrypt(wrapped + WRAP_NONCE, NULL,
             key, PLAT_WRAP_KEY, (const uint8_t *) wrap_label,
             sizeof(wrap_label), NULL, wrapped, outer);

    sodium_memzero(outer, sizeof(outer));
    *len = WRAP_LEN;

    return rc == 0 ? 0 : PLAT_E;
}


static int
file_unwrap(const char *dir, const uint8_t *wrapped, size_t len,
    uint8_t key[PLAT_WRAP_KEY])
{
    int      rc;
    uint8_t  outer[PLAT_WRAP_KEY];

    if (len != WRAP_LEN) {
        return PLAT_E;
    }

    rc = file_key(dir, outer, 0);
    if (rc != 0) {
        return rc;
    }

    rc = crypto_aead_xchacha20poly1305_ietf_decrypt(key, NULL, NULL,
             wrapped + WRAP_NONCE, len - WRAP_NONCE,
             (const uint8_t *) wrap_label, sizeof(wrap_label), wrapped, outer);

    sodium_memzero(outer, sizeof(outer));

    return rc == 0 ? 0 : PLAT_E;
}


const plat_wrap_t  plat_wraps[] = {
    { WRAP_FILE, "file", file_wrap, file_unwrap },
    { 0, NULL, NULL, NULL }
};
