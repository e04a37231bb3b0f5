
/* The vault: keys, sealing, and the checks before a secret opens. */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "vault_store.h"
#include "vmops_keys.h"
#include "vmops_banned.h"


struct vault_s {
    const home_t      *home;
    db_t              *db;
    const identity_t  *id;
    keystore_t        *ks;
    plat_mutex_t      *mutex;       /* of ks */
};


vault_t *
vault_new(const home_t *home, db_t *db, const identity_t *id)
{
    vault_t  *v;

    v = mem_new(sizeof(*v));
    if (v == NULL) {
        return NULL;
    }

    v->home = home;
    v->db = db;
    v->id = id;
    v->ks = keystore_new();
    v->mutex = plat_mutex_new();

    if (v->ks == NULL || v->mutex == NULL) {
        vault_free(v);
        return NULL;
    }

    keystore_load(v->ks, home);

    return v;
}


void
vault_free(vault_t *v)
{
    if (v != NULL) {
        keystore_free(v->ks);
        plat_mutex_free(v->mutex);
        free(v);
    }
}


/* Takes the lock; the key of the rows' MACs, or NULL. */

static const uint8_t *
keys_lock(vault_t *v)
{
    plat_mutex_lock(v->mutex);
    keystore_refresh(v->ks, v->home);

    return v->ks->state == SEALED_OK ? v->ks->mac_key : NULL;
}


int
vault_readable(vault_t *v, char key_id[VMOPS_KEY_ID_TEXT + 1])
{
    const vault_key_t  *key;

    keys_lock(v);
    key = keystore_current(v->ks);

    if (key != NULL) {
        memcpy(key_id, key->key_id, VMOPS_KEY_ID_TEXT + 1);
    }

    plat_mutex_unlock(v->mutex);

    if (key == NULL) {
        db_meta_text(v->db, "key_id", key_id, VMOPS_KEY_ID_TEXT + 1);
    }

    return key != NULL;
}


int
vault_keys(vault_t *v, uint8_t kid[32])
{
    int                 rc = 0;
    char                key_id[VMOPS_KEY_ID_TEXT + 1];
    const vault_key_t  *key;

    keys_lock(v);

    if (v->ks->state == SEALED_NONE || v->ks->state == SEALED_UNREADABLE) {
        rc = keystore_create(v->ks, v->home);
        log_event(LOG_INFO, "vault_key_made", LOG_NUM("ok", rc == 0));
    }

    key = keystore_current(v->ks);
    if (key != NULL) {
        memcpy(kid, key->kid, 32);
        memcpy(key_id, key->key_id, sizeof(key_id));
    }

    plat_mutex_unlock(v->mutex);

    return rc == 0 && key != NULL
           ? db_meta_set_text(v->db, "key_id", key_id) : -1;
}


int
vault_entry(vault_t *v, const vmops_uuid_t *id, vault_entry_t *e)
{
    int             rc;
    const uint8_t  *mac_key = keys_lock(v);

    rc = vault_row_read(v->db, v->id->tenant, mac_key, id, e);
    plat_mutex_unlock(v->mutex);

    return rc;
}


int
vault_each(vault_t *v, vault_walk_t walk, void *data)
{
    int             rc;
    vmops_uuid_t    id;
    vault_entry_t   e;

    rc = vault_row_next(v->db, v->id->tenant, NULL, &id);

    while (rc == 0) {
        if (vault_entry(v, &id, &e) == 0) {
            rc = walk(data, &e);
        }
        if (rc == 0) {
            rc = vault_row_next(v->db, v->id->tenant, &id, &id);
        }
    }

    return rc == 1 ? 0 : rc;
}


int
vault_save(vault_t *v, vault_entry_t *e)
{
    int             rc = -1;
    const uint8_t  *mac_key = keys_lock(v);

    if (mac_key != NULL) {
        rc = vault_row_write(v->db, v->id->tenant, mac_key, e);
    }

    plat_mutex_unlock(v->mutex);
    e->readable = rc == 0;

    return rc;
}


int
vault_forget(vault_t *v, const vmops_uuid_t *id)
{
    int  rc;

    db_lock(v->db);
    rc = db_run(v->db, "DELETE FROM secrets WHERE id = ? AND tenant = ?", "ut",
                id, v->id->tenant);
    db_unlock(v->db);

    return rc;
}


int
vault_ask_rotation(vault_t *v, const vmops_uuid_t *id)
{
    int  rc;

    db_lock(v->db);
    rc = db_run(v->db, "UPDATE secrets SET rotate_asked = 1 WHERE id = ?"
                " AND tenant = ?", "ut", id, v->id->tenant);
    if (rc == 0 && db_changes(v->db) == 0) {
        rc = -1;
    }
    db_unlock(v->db);

    return rc;
}


static void
head_fill(vmops_envelope_head_t *head, const vault_t *v,
    const vault_entry_t *e, const sealed_secret_t *s, const uint8_t kid[32])
{
    memset(head, 0, sizeof(*head));
    memcpy(head->tenant16, v->id->tenant16, 16);
    head->secret = e->id;
    head->kind = (uint16_t) e->kind;
    head->version = s->version;
    head->created_ms = s->created_ms;
    memcpy(head->kid, kid, 32);
    head->aad_meta = vmops_span(s->aad_meta, s->aad_meta_n);
}


/* Under the lock. */

static int
seal(vault_t *v, vault_entry_t *e, const vmops_secret_t *plain,
    sealed_secret_t *out)
{
    int                     rc = -1;
    size_t                  n;
    uint8_t                *padded;
    const vault_key_t      *key;
    vmops_envelope_head_t   head;

    key = keystore_current(v->ks);
    padded = sodium_malloc(VMOPS_SECRET_PLAINTEXT_MAX);
    if (key == NULL || padded == NULL) {
        sodium_free(padded);
        return -1;
    }

    memcpy(out->key_id, key->key_id, sizeof(out->key_id));
    head_fill(&head, v, e, out, key->kid);

    if (vmops_secret_encode(padded, VMOPS_SECRET_PLAINTEXT_MAX, &n, e->kind,
                            plain) == VMOPS_ENV_OK
        && vmops_envelope_seal(out->ciphertext, sizeof(out->ciphertext),
                               &out->ciphertext_n, out->nonce, &head, key->vk,
                               vmops_span(padded, n)) == VMOPS_ENV_OK)
    {
        e->next.version = out->version;
        memcpy(e->next.kid, key->kid, 32);
        vmops_envelope_floor(e->next.hash, out->nonce,
                             vmops_span(out->ciphertext, out->ciphertext_n));
        rc = 0;
    }

    sodium_free(padded);

    return rc;
}


int
vault_seal(vault_t *v, vault_entry_t *e, vmops_span_t secret,
    vmops_span_t passphrase, sealed_secret_t *out)
{
    int             rc;
    vmops_jw_t      w;
    vmops_span_t    meta;
    vmops_secret_t  plain;

    memset(out, 0, sizeof(*out));
    memset(&plain, 0, sizeof(plain));

    plain.secret = secret;
    plain.passphrase = passphrase;
    endpoint_to_secret(&e->endpoint, &plain);

    out->kind = e->kind;
    out->version = e->current.version + 1;
    out->created_ms = plat_wall_ms();
    out->nonce_n = sizeof(out->nonce);
    memcpy(out->alg, VMOPS_ENVELOPE_ALG, sizeof(VMOPS_ENVELOPE_ALG));

    vmops_jw_init(&w, out->aad_meta, sizeof(out->aad_meta));
    vmops_jw_obj(&w);
    vmops_jw_kcstr(&w, "label", e->label);
    vmops_jw_obj_end(&w);

    if (vmops_jw_done(&w, &meta) != 0) {
        return -1;
    }
    out->aad_meta_n = meta.n;

    keys_lock(v);
    rc = seal(v, e, &plain, out);
    plat_mutex_unlock(v->mutex);

    if (rc != 0) {
        return -1;
    }

    return vault_save(v, e) == 0 ? 0 : 1;
}


int
vault_stored(vault_t *v, vault_entry_t *e)
{
    e->previous = e->current;
    e->current = e->next;
    memset(&e->next, 0, sizeof(e->next));
    e->rotate_asked = 0;

    return vault_save(v, e);
}


int
vault_not_stored(vault_t *v, vault_entry_t *e)
{
    if (e->current.version == 0) {
        return vault_forget(v, &e->id);
    }

    memset(&e->next, 0, sizeof(e->next));

    return vault_save(v, e);
}


/* The floor of that version, or NULL and what its absence means. */

static const floor_t *
floor_find(const vault_entry_t *e, uint64_t version,
    vmops_command_error_t *error)
{
    size_t           i;
    const floor_t   *floors[] = { &e->current, &e->next, &e->previous };

    for (i = 0; i < 3; i++) {
        if (floors[i]->version == version && version != 0) {
            return floors[i];
        }
    }

    *error = version < e->current.version ? VMOPS_CMDERR_secret_rolled_back
                                          : VMOPS_CMDERR_secret_tampered;

    return NULL;
}


/* A match with a version it should not be: an old one was put in its place. */

static vmops_command_error_t
mismatch(const vault_entry_t *e, const floor_t *wanted, const uint8_t hash[32])
{
    if (wanted != &e->previous
        && e->previous.version != 0
        && vmops_ct_eq(hash, e->previous.hash, 32))
    {
        return VMOPS_CMDERR_secret_rolled_back;
    }

    if (wanted == &e->next && vmops_ct_eq(hash, e->current.hash, 32)) {
        return VMOPS_CMDERR_secret_rolled_back;
    }

    return VMOPS_CMDERR_secret_tampered;
}


static int
opened_watch(opened_t *o, vmops_command_error_t *error)
{
    int  failed, failed_too;

    o->redact[0] = redact_add(o->s.secret, &failed);
    o->redact[1] = redact_add(o->s.passphrase, &failed_too);

    *error = VMOPS_CMDERR_internal;

    return failed || failed_too ? -1 : 0;
}


/* Under the lock: everything between the floor and the plaintext. */

static int
unseal(vault_t *v, const vault_entry_t *e, const floor_t *floor,
    const sealed_secret_t *in, opened_t *o, vmops_command_error_t *error)
{
    char                    key_id[VMOPS_KEY_ID_TEXT + 1];
    const vault_key_t      *key;
    vmops_envelope_rc_t     rc;
    vmops_envelope_head_t   head;

    vmops_key_id(key_id, floor->kid);
    key = keystore_find(v->ks, vmops_span_str(key_id));

    if (key == NULL) {
        *error = VMOPS_CMDERR_secret_unreadable;
        return -1;
    }

    head_fill(&head, v, e, in, floor->kid);
    head.version = floor->version;

    rc = vmops_envelope_open(&o->s, o->plain, VMOPS_SECRET_PLAINTEXT_MAX,
                             vmops_span_str(in->alg), &head, key->vk,
                             vmops_span(in->nonce, in->nonce_n),
                             vmops_span(in->ciphertext, in->ciphertext_n));

    if (rc == VMOPS_ENV_KEY) {
        *error = VMOPS_CMDERR_secret_unreadable;
        return -1;
    }

    if (rc != VMOPS_ENV_OK
        || !vmops_secret_via_is(&o->s, e->has_via ? &e->via : NULL)
        || endpoint_from_secret(&o->endpoint, &o->s) != 0)
    {
        *error = VMOPS_CMDERR_secret_tampered;
        return -1;
    }

    return opened_watch(o, error);
}


int
vault_unseal(vault_t *v, const vmops_uuid_t *id, uint64_t version,
    const sealed_secret_t *in, opened_t *o, vmops_command_error_t *error)
{
    int             rc;
    uint8_t         hash[32];
    vault_entry_t   e;
    const floor_t  *floor;

    memset(o, 0, sizeof(*o));

    if (vault_entry(v, id, &e) != 0 || !e.readable) {
        *error = VMOPS_CMDERR_secret_unreadable;
        return -1;
    }

    floor = floor_find(&e, version, error);
    if (floor == NULL) {
        return -1;
    }

    if (in->nonce_n != sizeof(in->nonce)) {
        *error = VMOPS_CMDERR_secret_tampered;
        return -1;
    }

    vmops_envelope_floor(hash, in->nonce,
                         vmops_span(in->ciphertext, in->ciphertext_n));

    if (!vmops_ct_eq(hash, floor->hash, sizeof(hash))) {
        *error = mismatch(&e, floor, hash);
        return -1;
    }

    o->kind = e.kind;
    o->plain = sodium_malloc(VMOPS_SECRET_PLAINTEXT_MAX);
    if (o->plain == NULL) {
        *error = VMOPS_CMDERR_internal;
        return -1;
    }

    keys_lock(v);
    rc = unseal(v, &e, floor, in, o, error);
    plat_mutex_unlock(v->mutex);

    if (rc != 0) {
        vault_close(o);
    }

    return rc;
}


void
vault_close(opened_t *o)
{
    redact_remove(o->redact[0]);
    redact_remove(o->redact[1]);
    sodium_free(o->plain);
    memset(o, 0, sizeof(*o));
}
