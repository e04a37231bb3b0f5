
/*
 * The vault: seals secrets for the server to keep, and opens what the server
 * gives back, if it is exactly what was sealed here (docs/protocol.md,
 * The secret envelope).
 */

#ifndef VMOPS_VAULT_H
#define VMOPS_VAULT_H


#include "db.h"
#include "endpoint.h"
#include "identity.h"
#include "keystore.h"
#include "redact.h"
#include "vmops_problem.h"


typedef struct vault_s  vault_t;

/* One version as it was sealed here; version 0: there is none. */

typedef struct {
    uint64_t  version;
    uint8_t   hash[32];         /* vmops_envelope_floor() */
    uint8_t   kid[32];
} floor_t;

typedef struct {
    vmops_uuid_t  id;
    unsigned      kind;
    char          label[VMOPS_LABEL_MAX + 1];
    uint8_t       has_via;
    vmops_uuid_t  via;
    uint8_t       rotate_asked;
    uint8_t       readable;     /* this row's MAC holds under our keystore */
    endpoint_t    endpoint;
    floor_t       previous;
    floor_t       current;
    floor_t       next;         /* sealed, and not known to be stored */
} vault_entry_t;

/* What the server keeps; ciphertext and aad_meta are this struct's own. */

typedef struct {
    char          alg[32];
    char          key_id[VMOPS_KEY_ID_TEXT + 1];
    unsigned      kind;
    uint64_t      version;
    uint64_t      created_ms;
    uint8_t       nonce[VMOPS_ENVELOPE_NONCE];
    size_t        nonce_n;
    uint8_t       ciphertext[VMOPS_SECRET_CIPHERTEXT_MAX];
    size_t        ciphertext_n;
    uint8_t       aad_meta[VMOPS_AAD_META_MAX];
    size_t        aad_meta_n;
} sealed_secret_t;

/* A secret while it is open. */

typedef struct {
    uint8_t        *plain;      /* sodium_malloc: what s points into */
    unsigned        kind;
    vmops_secret_t  s;
    endpoint_t      endpoint;
    redact_t       *redact[2];
} opened_t;


/* NULL: no memory.  home, db and id must outlive it; any thread may use it. */
vault_t *vault_new(const home_t *home, db_t *db, const identity_t *id);
void vault_free(vault_t *v);

/* Whether stored secrets can be opened, and the key id to tell the server:
 * the current one, or the last that was known ("": never had one). */
int vault_readable(vault_t *v, char key_id[VMOPS_KEY_ID_TEXT + 1]);

/*
 * Makes keys if there are none, or none that can be read; kid of the current
 * one.  0, or -1.
 */
int vault_keys(vault_t *v, uint8_t kid[32]);

/* A row by id: 0, -1 if there is none of this tenant. */
int vault_entry(vault_t *v, const vmops_uuid_t *id, vault_entry_t *e);

/* All rows of this tenant by id; 0 to go on.  Copies: no lock is held. */
typedef int (*vault_walk_t)(void *data, const vault_entry_t *e);
int vault_each(vault_t *v, vault_walk_t walk, void *data);

/* Writes or replaces a row, MACed; -1 without a readable keystore. */
int vault_save(vault_t *v, vault_entry_t *e);
int vault_forget(vault_t *v, const vmops_uuid_t *id);
int vault_ask_rotation(vault_t *v, const vmops_uuid_t *id);

/*
 * Seals secret (and passphrase) with e's endpoint as version e->current + 1
 * into out, and records it as e->next: from then on that version can be
 * opened.  0; -1 if an envelope rule is broken, 1 if it cannot be written.
 */
int vault_seal(vault_t *v, vault_entry_t *e, vmops_span_t secret,
    vmops_span_t passphrase, sealed_secret_t *out);

/* The server has e->next: it becomes current, that becomes previous. */
int vault_stored(vault_t *v, vault_entry_t *e);

/* The server surely has it not. */
int vault_not_stored(vault_t *v, vault_entry_t *e);

/*
 * Opens version `version` of secret id from what the server answered.  0 and
 * o (to be closed); -1 and *error: one of secret_unreadable,
 * secret_tampered, secret_rolled_back, internal.
 */
int vault_unseal(vault_t *v, const vmops_uuid_t *id, uint64_t version,
    const sealed_secret_t *in, opened_t *o, vmops_command_error_t *error)
    __attribute__((warn_unused_result));
void vault_close(opened_t *o);


#endif /* VMOPS_VAULT_H */
