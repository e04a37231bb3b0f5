
/* keystore.bin: u16 version = 1, state-MAC key (32), u16 count, VKs (32). */

#include <sodium.h>
#include <string.h>

#include "keystore.h"
#include "vmops_envelope.h"
#include "vmops_keys.h"
#include "vmops_banned.h"


#define KEYSTORE_FILE     "keystore.bin"
#define KEYSTORE_MAGIC    "VMOPSKS1"
#define KEYSTORE_VERSION  1


keystore_t *
keystore_new(void)
{
    keystore_t  *ks = sodium_malloc(sizeof(*ks));

    if (ks != NULL) {
        memset(ks, 0, sizeof(*ks));
        ks->state = SEALED_NONE;
    }

    return ks;
}


void
keystore_free(keystore_t *ks)
{
    sodium_free(ks);
}


static void
key_add(keystore_t *ks, const uint8_t vk[32])
{
    vault_key_t  *key = &ks->keys[ks->keys_n++];

    memcpy(key->vk, vk, sizeof(key->vk));
    vmops_envelope_kid(key->kid, key->vk);
    vmops_key_id(key->key_id, key->kid);
}


static int
decode(keystore_t *ks, vmops_span_t s)
{
    size_t  i, n;

    if (s.n < 36 || vmops_get_u16(s.p) != KEYSTORE_VERSION) {
        return -1;
    }

    n = vmops_get_u16(s.p + 34);
    if (n == 0 || n > KEYSTORE_KEYS_MAX || s.n != 36 + n * 32) {
        return -1;
    }

    memcpy(ks->mac_key, s.p + 2, 32);

    for (i = 0; i < n; i++) {
        key_add(ks, s.p + 36 + i * 32);
    }

    return 0;
}


static uint64_t
file_stamp(const home_t *home)
{
    char  path[PLAT_PATH_MAX];

    return home_path(path, home->state, KEYSTORE_FILE) == 0
           ? plat_file_stamp(path) : 0;
}


void
keystore_load(keystore_t *ks, const home_t *home)
{
    size_t    len;
    uint8_t  *content;

    memset(ks, 0, sizeof(*ks));
    ks->stamp = file_stamp(home);
    ks->state = SEALED_ERROR;

    content = sodium_malloc(SEALED_CONTENT_MAX);
    if (content == NULL) {
        return;
    }

    ks->state = sealed_read(home, KEYSTORE_FILE, KEYSTORE_MAGIC, content,
                            SEALED_CONTENT_MAX, &len);

    if (ks->state == SEALED_OK && decode(ks, vmops_span(content, len)) != 0) {
        ks->state = SEALED_ERROR;
    }

    sodium_free(content);
}


int
keystore_refresh(keystore_t *ks, const home_t *home)
{
    if (file_stamp(home) == ks->stamp) {
        return 0;
    }

    keystore_load(ks, home);

    return 1;
}


int
keystore_create(keystore_t *ks, const home_t *home)
{
    int       rc;
    uint8_t   vk[32];
    uint8_t  *content;

    if (file_stamp(home) != 0) {
        return -1;
    }

    content = sodium_malloc(68);
    if (content == NULL) {
        return -1;
    }

    memset(ks, 0, sizeof(*ks));
    randombytes_buf(ks->mac_key, sizeof(ks->mac_key));
    randombytes_buf(vk, sizeof(vk));
    key_add(ks, vk);
    sodium_memzero(vk, sizeof(vk));

    vmops_put_u16(content, KEYSTORE_VERSION);
    memcpy(content + 2, ks->mac_key, 32);
    vmops_put_u16(content + 34, 1);
    memcpy(content + 36, ks->keys[0].vk, 32);

    rc = sealed_write(home, KEYSTORE_FILE, KEYSTORE_MAGIC,
                      vmops_span(content, 68));

    sodium_free(content);

    ks->state = rc == 0 ? SEALED_OK : SEALED_ERROR;
    ks->stamp = file_stamp(home);

    return rc;
}


int
keystore_remove(const home_t *home)
{
    int   rc;
    char  path[PLAT_PATH_MAX];

    if (home_path(path, home->state, KEYSTORE_FILE) != 0) {
        return -1;
    }

    rc = plat_remove(path);

    return rc == 0 || rc == PLAT_ENOENT ? 0 : -1;
}


const vault_key_t *
keystore_current(const keystore_t *ks)
{
    return ks->state == SEALED_OK ? &ks->keys[ks->keys_n - 1] : NULL;
}


const vault_key_t *
keystore_find(const keystore_t *ks, vmops_span_t key_id)
{
    size_t  i;

    for (i = 0; ks->state == SEALED_OK && i < ks->keys_n; i++) {
        if (vmops_span_is(key_id, ks->keys[i].key_id)) {
            return &ks->keys[i];
        }
    }

    return NULL;
}
