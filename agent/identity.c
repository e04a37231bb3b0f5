
/*
 * identity.bin: u16 version = 1, then the fields below, each u16 length and
 * bytes, in this order.
 */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "identity.h"
#include "vmops_banned.h"


#define IDENTITY_FILE     "identity.bin"
#define IDENTITY_MAGIC    "VMOPSID1"
#define IDENTITY_VERSION  1

typedef struct {
    size_t   at;
    size_t   size;
    uint8_t  text;          /* NUL-terminated, up to size - 1 bytes */
} field_t;

#define FIELD(name, text)                                                     \
    { offsetof(identity_t, name), sizeof(((identity_t *) 0)->name), text }

static const field_t  fields[] = {
    FIELD(tenant, 1),
    FIELD(agent, 0),
    FIELD(name, 1),
    FIELD(server, 1),
    FIELD(ca_file, 1),
    FIELD(ed_seed, 0),
    FIELD(x_sk, 0),
    FIELD(command_pk, 0),
};

#define FIELDS  (sizeof(fields) / sizeof(fields[0]))


identity_t *
identity_new(void)
{
    identity_t  *id = sodium_malloc(sizeof(*id));

    if (id != NULL) {
        memset(id, 0, sizeof(*id));
    }

    return id;
}


void
identity_free(identity_t *id)
{
    sodium_free(id);
}


void
identity_compute(identity_t *id)
{
    crypto_sign_seed_keypair(id->ed_pk, id->ed_sk, id->ed_seed);
    crypto_scalarmult_base(id->x_pk, id->x_sk);
    vmops_tenant16(id->tenant16, vmops_span_str(id->tenant));
    vmops_command_key_id(id->command_key_id, id->command_pk);
}


void
identity_make_keys(identity_t *id)
{
    randombytes_buf(id->ed_seed, sizeof(id->ed_seed));
    randombytes_buf(id->x_sk, sizeof(id->x_sk));
    identity_compute(id);
}


static int
decode(identity_t *id, vmops_span_t s)
{
    size_t          i, n;
    const uint8_t  *p = s.p, *end = s.p + s.n;

    if (s.n < 2 || vmops_get_u16(p) != IDENTITY_VERSION) {
        return -1;
    }
    p += 2;

    for (i = 0; i < FIELDS; i++) {
        if (end - p < 2) {
            return -1;
        }

        n = vmops_get_u16(p);
        p += 2;

        if ((size_t) (end - p) < n
            || (fields[i].text ? n >= fields[i].size : n != fields[i].size))
        {
            return -1;
        }

        memcpy((uint8_t *) id + fields[i].at, p, n);
        p += n;
    }

    identity_compute(id);

    return p == end ? 0 : -1;
}


int
identity_there(const home_t *home)
{
    char  path[PLAT_PATH_MAX];

    return home_path(path, home->state, IDENTITY_FILE) == 0
           && plat_file_stamp(path) != 0;
}


sealed_rc_t
identity_load(identity_t *id, const home_t *home)
{
    size_t       len;
    uint8_t     *content;
    sealed_rc_t  rc;

    content = sodium_malloc(SEALED_CONTENT_MAX);
    if (content == NULL) {
        return SEALED_ERROR;
    }

    memset(id, 0, sizeof(*id));

    rc = sealed_read(home, IDENTITY_FILE, IDENTITY_MAGIC, content,
                     SEALED_CONTENT_MAX, &len);

    /* authentic, yet not ours to read: a later version's */
    if (rc == SEALED_OK && decode(id, vmops_span(content, len)) != 0) {
        rc = SEALED_ERROR;
    }

    sodium_free(content);

    return rc;
}


int
identity_save(const identity_t *id, const home_t *home)
{
    int             rc;
    size_t          i, n;
    uint8_t        *content;
    const uint8_t  *p;
    vmops_buf_t     b;

    content = sodium_malloc(SEALED_CONTENT_MAX);
    if (content == NULL) {
        return -1;
    }

    vmops_buf_init(&b, content, SEALED_CONTENT_MAX);
    vmops_buf_u16(&b, IDENTITY_VERSION);

    for (i = 0; i < FIELDS; i++) {
        p = (const uint8_t *) id + fields[i].at;
        n = fields[i].text ? strlen((const char *) p) : fields[i].size;
        vmops_buf_u16(&b, (uint16_t) n);
        vmops_buf_put(&b, p, n);
    }

    rc = sealed_write(home, IDENTITY_FILE, IDENTITY_MAGIC,
                      vmops_span(content, b.n));

    sodium_free(content);

    return rc;
}


int
identity_remove(const home_t *home)
{
    int   rc;
    char  path[PLAT_PATH_MAX];

    if (home_path(path, home->state, IDENTITY_FILE) != 0) {
        return -1;
    }

    rc = plat_remove(path);

    return rc == 0 || rc == PLAT_ENOENT ? 0 : -1;
}


void
identity_fingerprint(char out[VMOPS_FINGERPRINT_TEXT + 1],
    const identity_t *id)
{
    vmops_fingerprint(out, id->ed_pk, id->x_pk, id->command_pk);
}
