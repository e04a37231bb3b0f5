
/* Sealed files: layout, wrapping, and what happens to unreadable ones. */

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "sealed_file.h"
#include "vmops_banned.h"


#define NONCE     crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG       crypto_aead_xchacha20poly1305_ietf_ABYTES
#define HEAD_MIN  (8 + 1 + 2)
#define FILE_MAX  (HEAD_MIN + PLAT_WRAP_MAX + NONCE + SEALED_CONTENT_MAX + TAG)

typedef struct {
    const plat_wrap_t  *wrap;
    vmops_span_t        wrapped;
    vmops_span_t        head;       /* the AAD */
    const uint8_t      *nonce;
    vmops_span_t        sealed;
} sealed_t;


static int
parse(sealed_t *f, vmops_span_t file, const char magic[8])
{
    size_t  n;

    if (file.n < HEAD_MIN || memcmp(file.p, magic, 8) != 0) {
        return -1;
    }

    n = vmops_get_u16(file.p + 9);
    if (n > PLAT_WRAP_MAX || file.n < HEAD_MIN + n + NONCE + TAG) {
        return -1;
    }

    for (f->wrap = plat_wraps; f->wrap->name != NULL; f->wrap++) {
        if (f->wrap->id == file.p[8]) {
            break;
        }
    }

    f->wrapped = vmops_span(file.p + HEAD_MIN, n);
    f->nonce = file.p + HEAD_MIN + n;
    f->head = vmops_span(file.p, HEAD_MIN + n + NONCE);
    f->sealed = vmops_span(file.p + f->head.n, file.n - f->head.n);

    return f->wrap->name != NULL ? 0 : -1;
}


static sealed_rc_t
unseal(const home_t *home, vmops_span_t file, const char magic[8],
    uint8_t *content, size_t cap, size_t *len)
{
    int                 rc;
    uint8_t             key[PLAT_WRAP_KEY];
    sealed_t            f;
    unsigned long long  n;

    if (parse(&f, file, magic) != 0 || f.sealed.n - TAG > cap) {
        return SEALED_UNREADABLE;
    }

    rc = f.wrap->unwrap(home->config, f.wrapped.p, f.wrapped.n, key);
    if (rc != 0) {
        return rc == PLAT_E ? SEALED_UNREADABLE : SEALED_ERROR;
    }

    rc = crypto_aead_xchacha20poly1305_ietf_decrypt(content, &n, NULL,
             f.sealed.p, f.sealed.n, f.head.p, f.head.n, f.nonce, key);

    sodium_memzero(key, sizeof(key));
    *len = (size_t) n;

    return rc == 0 ? SEALED_OK : SEALED_UNREADABLE;
}


static void
set_aside(const char *path, const char *name)
{
    int   i, rc = PLAT_EEXIST;
    char  to[PLAT_PATH_MAX + 32];

    for (i = 0; i < 100 && rc == PLAT_EEXIST; i++) {
        snprintf(to, sizeof(to), i > 0 ? "%s.unreadable.%d" : "%s.unreadable",
                 path, i);
        rc = plat_rename_new(path, to);
    }

    log_event(LOG_ERROR, "file_unreadable", LOG_CODE("file", name),
              LOG_NUM("kept", rc == 0));
}


sealed_rc_t
sealed_read(const home_t *home, const char *name, const char magic[8],
    uint8_t *content, size_t cap, size_t *len)
{
    int          rc;
    char         path[PLAT_PATH_MAX];
    size_t       n;
    uint8_t      file[FILE_MAX];
    sealed_rc_t  result;

    if (home_path(path, home->state, name) != 0) {
        return SEALED_ERROR;
    }

    rc = plat_read_file(path, file, sizeof(file), &n);

    if (rc == PLAT_ENOENT) {
        return SEALED_NONE;
    }
    if (rc != 0 && rc != PLAT_ETOOBIG) {
        return SEALED_ERROR;
    }

    result = rc == PLAT_ETOOBIG ? SEALED_UNREADABLE
             : unseal(home, vmops_span(file, n), magic, content, cap, len);

    if (result == SEALED_UNREADABLE) {
        set_aside(path, name);
    }

    return result;
}


int
sealed_write(const home_t *home, const char *name, const char magic[8],
    vmops_span_t content)
{
    int                 rc = -1;
    char                path[PLAT_PATH_MAX];
    uint8_t             key[PLAT_WRAP_KEY], wrapped[PLAT_WRAP_MAX];
    uint8_t             file[FILE_MAX], nonce[NONCE];
    size_t              n;
    vmops_buf_t         b;
    unsigned long long  sealed;

    if (content.n > SEALED_CONTENT_MAX
        || home_path(path, home->state, name) != 0)
    {
        return -1;
    }

    randombytes_buf(key, sizeof(key));
    randombytes_buf(nonce, sizeof(nonce));

    if (plat_wraps[0].wrap(home->config, key, wrapped, &n) == 0) {
        vmops_buf_init(&b, file, sizeof(file));
        vmops_buf_put(&b, magic, 8);
        vmops_buf_u8(&b, plat_wraps[0].id);
        vmops_buf_u16(&b, (uint16_t) n);
        vmops_buf_put(&b, wrapped, n);
        vmops_buf_put(&b, nonce, sizeof(nonce));

        rc = crypto_aead_xchacha20poly1305_ietf_encrypt(file + b.n, &sealed,
                 content.p, content.n, file, b.n, NULL, nonce, key);
    }

    sodium_memzero(key, sizeof(key));

    return rc == 0 ? plat_write_file(path, file, b.n + (size_t) sealed) : -1;
}
